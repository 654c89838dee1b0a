"""Machines come, go and come back, whatever state they were left in."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from fakes import HOST, Fleet, first_in_path, recorded, refused, tool

from workshop import machines, state
from workshop.box import Box
from workshop.host import Host
from workshop.machines import Machines
from workshop.waiting import eventually


@pytest.fixture
def boxed(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """The fleet's machines with a box that Vagrant knows already, and a key to begin with."""
    folder = tmp_path / "box"
    folder.mkdir()
    found = Machines(fleet.cluster, HOST, Box(folder, {"image_sha256": "ab" * 32}))
    name = found.box.name.replace("/", "-VAGRANTSLASH-")  # type: ignore[union-attr]
    metadata = Path(tmp_path / "home/vagrant.d/boxes" / name / "0/libvirt/metadata.json")
    metadata.parent.mkdir(parents=True)
    metadata.write_text("{}")
    insecure = state.path("first-contact")
    insecure.write_text("a key")
    monkeypatch.setattr(machines, "_insecure_key", lambda: insecure)
    return found


def test_machines_carry_this_workshops_mark(fleet: Fleet) -> None:
    assert fleet.machines.domain("lb1") == f"lamp-ha-{state.identifier()}-lb1"


def test_states_cover_every_node(fleet: Fleet) -> None:
    fleet.hypervisor.domains["lamp-ha-other-web1"] = "running"
    assert fleet.machines.states() == {"lb1": "running", "lb2": "running", "web1": "absent"}
    assert fleet.machines.running() == ["lb1", "lb2"]


def test_addresses_depend_on_the_provider(fleet: Fleet) -> None:
    assert fleet.machines.address("lb1") == ("192.168.231.11", 22)
    other = Machines(fleet.cluster, Host("virtualbox", "virtualbox", "", False, ""))
    assert other.address("lb1") == ("127.0.0.1", 52211)


def test_up_wakes_what_is_there_and_sets_the_clocks(fleet: Fleet) -> None:
    fleet.set("lb1", "off")
    fleet.set("lb2", "paused")
    said: list[tuple[str, str]] = []
    assert fleet.machines.up(["lb1", "lb2"], lambda *words: said.append(words)) == []
    assert fleet.machines.running() == ["lb1", "lb2"]
    assert (fleet.did("start"), fleet.did("resume")) == (["lb1"], ["lb2"])
    assert [w for w in said if w[1] == "ready"] == [("lb1", "ready"), ("lb2", "ready")]
    assert all("date -s @" in node.ran[-1] for node in (fleet.nodes["lb1"], fleet.nodes["lb2"]))


def test_up_leaves_running_machines_alone(fleet: Fleet) -> None:
    assert fleet.machines.up(["lb1", "lb2"]) == []
    assert fleet.hypervisor.did == []
    assert not [c for c in fleet.nodes["lb1"].ran if "date" in c]


def test_without_a_box_the_cure_is_said(fleet: Fleet) -> None:
    with refused("no box yet", "invoke box"):
        fleet.machines.up(["web1"])


def test_a_machine_of_an_interrupted_run_is_removed_first(fleet: Fleet) -> None:
    state.path("known/lb2").unlink()
    with refused("no box yet"):
        fleet.machines.up(["lb1", "lb2"])
    assert fleet.did("remove") == ["lb2"]


def test_down_keeps_the_memory_of_all_that_is_awake(fleet: Fleet) -> None:
    fleet.set("lb2", "paused")
    fleet.set("web1", "off")
    fleet.machines.down()
    assert sorted(fleet.did("suspend_to_disk")) == ["lb1", "lb2"]
    assert fleet.did("resume") == ["lb2"]
    fleet.machines.down()
    assert len(fleet.did("suspend_to_disk")) == 2


def test_destroy_removes_our_machines_and_no_others(fleet: Fleet) -> None:
    fleet.hypervisor.domains["lamp-ha-other-lb1"] = "running"
    assert sorted(fleet.machines.destroy()) == ["lb1", "lb2"]
    assert fleet.hypervisor.domains == {"lamp-ha-other-lb1": "running"}
    assert fleet.hypervisor.did[-1] == ("clean",)
    assert fleet.machines.destroy() == []


def test_power_is_switched_on_once(fleet: Fleet) -> None:
    fleet.machines.power_off("lb1")
    fleet.machines.power_on("lb1")
    fleet.machines.power_on("lb1")
    assert fleet.did("start") == ["lb1"]


def test_a_cable_is_found_by_its_address(fleet: Fleet) -> None:
    fleet.machines.link("lb1", "back", up=False)
    domain = fleet.machines.domain("lb1")
    assert fleet.hypervisor.did == [("link", domain, "52:54:00:4c:02:0b", "down")]


def test_a_node_that_never_answers_is_an_error_with_its_name(fleet: Fleet) -> None:
    fleet.lose("lb2")
    with refused("lb2"):
        fleet.machines.wait_for_ssh(["lb1", "lb2"], within=0.1)


def test_a_node_that_refuses_the_key_is_not_waited_for(fleet: Fleet) -> None:
    fleet.lose("lb1")
    fleet.nodes["lb1"].error.args = ("lb1: ssh refused this workshop's key; `invoke destroy`",)  # type: ignore[union-attr]
    started = time.monotonic()
    with refused("refused this workshop's key"):
        fleet.machines.wait_for_ssh(["lb1"], within=30)
    assert time.monotonic() - started < 5


# Vagrant


def test_vagrants_lines_become_milestones() -> None:
    said: list[tuple[str, str]] = []
    for line in recorded("vagrant-up.txt").splitlines():
        machines._report(line, lambda *words: said.append(words))
    for node in ("lb1", "lb2"):
        assert [doing for name, doing in said if name == node] == [
            "creating disk",
            "creating",
            "starting",
            "booting",
            "waiting for ssh",
            "booted",
        ]
    assert {name for name, _ in said} == {"lb1", "lb2"}


def test_creating_runs_vagrant_on_the_missing_machines_only(
    boxed: Machines, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path / "bin", "vagrant", f'echo "$@" >{tmp_path}/asked; echo "==> web1: Booting VM"')
    first_in_path(monkeypatch, tmp_path / "bin")
    taken: list[str] = []
    monkeypatch.setattr(boxed, "_take_over", taken.append)
    said: list[tuple[str, str]] = []
    created = boxed.up(["lb1", "web1"], lambda *words: said.append(words))
    assert created == taken == ["web1"]
    asked = (tmp_path / "asked").read_text()
    assert "/^(web1)$/" in asked
    assert "--provider=libvirt" in asked
    assert said == [("web1", "booting"), ("web1", "taking over"), ("web1", "ready")]


def test_the_topology_for_vagrant_is_resolved(boxed: Machines) -> None:
    boxed._resolve()
    topology = json.loads(state.path("topology.json").read_text())
    assert topology["box"] == "lamp-ha/bookworm-abababababab"
    assert topology["nodes"]["lb2"]["mac"] == "52:54:00:4c:00:0c"
    assert [n["ip"] for n in topology["nodes"]["lb2"]["networks"]] == [
        "192.168.56.12",
        "192.168.57.12",
    ]


def test_vagrants_failure_is_one_line_with_its_last_words(
    boxed: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = state.path("logs/vagrant-errors.log")
    script = "echo '==> web1: Creating domain'\necho '==> web1: An error occurred.'\n"
    script += "echo >&2\necho 'Name `web1` is taken.' >&2; exit 1"
    tool(tmp_path / "bin", "vagrant", script)
    first_in_path(monkeypatch, tmp_path / "bin")

    def busy(_node: str, _doing: str) -> None:
        """Vagrant says its last words before the kit has read the ones before."""
        eventually(lambda: "taken" in log.read_text(), 5, "Vagrant's last words", pause=0.01)

    with refused("Vagrant failed", "Name `web1` is taken.", "vagrant.log", "again"):
        boxed.up(["web1"], busy)


def test_a_host_without_vagrant_is_told_so(
    boxed: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("ssh-keygen",):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with refused("vagrant", "doctor"):
        boxed.up(["web1"])


def test_ctrl_c_stops_vagrant_once_and_waits_for_it(
    boxed: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks"
    script = f"trap 'echo INT >>{marks}; sleep 0.1; echo ended >>{marks}; exit 1' INT\n"
    script += "echo '==> web1: Starting domain.'\n"
    script += "i=0; while [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done"
    tool(tmp_path / "bin", "vagrant", script)
    first_in_path(monkeypatch, tmp_path / "bin")

    def interrupted(_node: str, doing: str) -> None:
        if doing == "starting":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        boxed.up(["web1"], interrupted)
    assert marks.read_text().split() == ["INT", "ended"]


def test_first_contact_sets_names_addresses_and_key(fleet: Fleet) -> None:
    script = fleet.machines._first_script("lb2")
    assert "192.168.56.12/24" in script
    assert "192.168.57.12/24" in script
    assert "192.168.231.12" not in script, "the kit's own network is left to DHCP"
    assert "192.168.56.11 lb1" in script
    assert Path(f"{state.key()}.pub").read_text().strip() in script
