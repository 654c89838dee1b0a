"""The topology and the labs' tables: what they resolve to, and every mistake in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import CLUSTER, LAB, refused, write_lab

from workshop import manifest
from workshop.errors import WorkshopError
from workshop.manifest import Lab

FAULT = '\n[faults.dark]\ntitle = "Dark"\ndoes = "power_off"\nexpect = "It moves."\n'


def test_addresses_follow_from_the_host_number(labs: Path) -> None:
    cluster = manifest.cluster_of(labs)
    assert cluster.address("lb1") == "192.168.56.11"
    assert cluster.address("web1", "back") == "192.168.57.13"
    assert cluster.networks["front"].prefix == 24
    assert cluster.networks["front"].address(1) == "192.168.56.1"


def test_every_interface_has_a_hardware_address_of_its_own(labs: Path) -> None:
    cluster = manifest.cluster_of(labs)
    macs = {cluster.mac(node, network) for node in cluster.nodes for network in cluster.networks}
    assert len(macs) == len(cluster.nodes) * len(cluster.networks)
    assert cluster.mac("lb1", "front") == "52:54:00:4c:01:0b"


def test_members_of_nodes_and_groups(labs: Path) -> None:
    cluster = manifest.cluster_of(labs)
    assert cluster.members("lb2") == ["lb2"]
    assert cluster.members("directors") == ["lb1", "lb2"]
    with refused("'lb3'", "lb1", "directors"):
        cluster.members("lb3")


def test_whoever_changes_the_list_of_members_changes_a_copy(labs: Path) -> None:
    cluster = manifest.cluster_of(labs)
    cluster.members("directors").clear()
    assert cluster.members("directors") == ["lb1", "lb2"]


@pytest.mark.parametrize("which", [1, "1", "01", "pair", "01-pair"])
def test_a_lab_goes_by_number_slug_or_folder(lab: Lab, which: int | str) -> None:
    found = manifest.lab(which, lab.folder.parent)
    assert (found.number, found.slug, found.name) == (1, "pair", "01-pair")


@pytest.mark.parametrize("which", ["99", 99, "nowhere", "", "-1", "1.0", "²", "../01-pair"])
def test_an_unknown_lab_is_refused_and_the_known_are_listed(lab: Lab, which: int | str) -> None:
    with refused(repr(str(which)), "1 (pair)"):
        manifest.lab(which, lab.folder.parent)


def test_without_labs_the_list_says_so(labs: Path) -> None:
    with refused("none yet"):
        manifest.lab(1, labs)


def test_labs_come_in_order_of_their_number(labs: Path) -> None:
    for name in ("10-late", "02-second", "01-first"):
        write_lab(labs, name)
    (labs / "notes").mkdir()
    (labs / "03-empty").mkdir()
    assert [lab.number for lab in manifest.labs(labs)] == [1, 2, 10]


def test_two_labs_with_one_number_are_refused(labs: Path) -> None:
    write_lab(labs, "01-first")
    write_lab(labs, "01-second")
    with refused("01-first", "01-second"):
        manifest.labs(labs)


def test_a_labs_nodes_come_in_the_clusters_order_and_once(labs: Path) -> None:
    lab = write_lab(labs, toml=LAB.replace('["directors"]', '["web1", "directors", "lb2"]'))
    assert lab.nodes == ["lb1", "lb2", "web1"]


def test_variables_of_required_labs_are_inherited_and_overridden(labs: Path) -> None:
    write_lab(labs, "01-first", LAB + 'domain = "first.test"\nport = 80\n')
    second = LAB.replace("[variables]", "[variables]\nport = 81").replace(
        "nodes =", "requires = [1]\nnodes ="
    )
    lab = write_lab(labs, "02-second", second)
    assert lab.variables == {"domain": "first.test", "deadtime": 10, "port": 81}


def test_requirements_are_closed_over_in_the_order_to_build_them(labs: Path) -> None:
    for name, requires in {"01-a": [], "02-b": [1], "03-c": [1], "04-d": [3, 2]}.items():
        write_lab(labs, name, LAB.replace("nodes =", f"requires = {requires}\nnodes ="))
    assert manifest.closure([4], labs) == [1, 3, 2, 4]
    assert manifest.closure([], labs) == []


@pytest.mark.parametrize(
    ("requires", "circle"), [({1: 2, 2: 1}, "1 -> 2 -> 1"), ({1: 1}, "1 -> 1")]
)
def test_labs_that_require_each_other_are_refused(
    labs: Path, requires: dict[int, int], circle: str
) -> None:
    for number, other in requires.items():
        write_lab(labs, f"{number:02}-x", LAB.replace("nodes =", f"requires = [{other}]\nnodes ="))
    with refused(circle):
        manifest.closure([1], labs)


def test_a_required_lab_that_does_not_exist_is_named_with_its_file(labs: Path) -> None:
    with refused("01-pair/lab.toml", "requires", "7"):
        write_lab(labs, toml=LAB.replace("nodes =", "requires = [7]\nnodes =")).variables  # noqa: B018


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        (10, 10.0),
        (2.5, 2.5),
        ("30", 30.0),
        ("deadtime", 10.0),
        ("deadtime + 20", 30.0),
        ("2 * deadtime + 1.5", 21.5),
    ],
)
def test_bounds_are_sums_over_the_labs_variables(
    lab: Lab, expression: str | float, seconds: float
) -> None:
    assert lab.seconds(expression) == seconds


@pytest.mark.parametrize("expression", ["deadtme + 20", "domain", "deadtime - 2", "", "1e3", "+"])
def test_a_bound_that_cannot_be_evaluated_names_file_and_word(lab: Lab, expression: str) -> None:
    with refused("01-pair/lab.toml", repr(expression)):
        lab.seconds(expression)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("address", "adress", ["adress", "unknown key"]),
        ('title = "A pair"\n', "", ["title", "required"]),
        ('"A pair"', "7", ["title", "string"]),
        ('["directors"]', '"directors"', ["nodes", "list"]),
        ('["directors"]', "[]", ["nodes", "at least one"]),
        ('["directors"]', '["derectors"]', ["'derectors'"]),
        ("[variables]", "[variables", ["not valid TOML", "line 6"]),
        ("deadtime = 10", "deadtime = [10]", ["variables.deadtime"]),
        ("[variables]", '[modes]\n"etc/x" = "rw"\n[variables]', ["modes.etc/x", "'rw'"]),
        ("[variables]", '[modes]\n"etc/x" = "644"\n[variables]', ["modes.etc/x", "'644'"]),
    ],
)
def test_a_mistake_in_lab_toml_names_file_and_key(
    labs: Path, old: str, new: str, words: list[str]
) -> None:
    assert old in LAB
    with refused("01-pair/lab.toml", *words):
        write_lab(labs, toml=LAB.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("does =", "dose =", ["faults.dark.does"]),
        ("title", 'serves = "nowhere"\ntitle', ["faults.dark.serves", "'peer'"]),
        ("title", 'on = "lb9"\ntitle', ["faults.dark", "'lb9'"]),
        ("title", 'leaves = "web1"\ntitle', ["faults.dark.leaves", "'web1'"]),
    ],
)
def test_a_mistake_in_a_fault_names_file_and_key(
    labs: Path, old: str, new: str, words: list[str]
) -> None:
    fault = FAULT.replace("title", 'serves = "peer"\ntitle') if "serves" not in new else FAULT
    with refused("01-pair/lab.toml", *words):
        write_lab(labs, toml=LAB + fault.replace(old, new))


@pytest.mark.parametrize("on", ["lb1", "directors", "holder", "peer"])
def test_a_fault_is_aimed_at_a_node_a_group_or_a_role(labs: Path, on: str) -> None:
    fault = FAULT + f'serves = "peer"\non = "{on}"\n'
    assert write_lab(labs, toml=LAB + fault).file.faults["dark"].on == on


@pytest.mark.parametrize("says", ["(", "served by ["])
def test_a_content_pattern_that_is_no_regular_expression_is_refused(labs: Path, says: str) -> None:
    with refused("01-pair/lab.toml", "says"):
        write_lab(labs, toml=f"says = '{says}'\n{LAB}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[check_x]\nfile = "/etc/x"\n', ["check_x.on"]),
        ('[check_x]\non = "lb1"\nreplcae = "a"\n', ["check_x.replcae", "unknown key"]),
        ('[check_x]\non = "lb9"\n', ["'lb9'"]),
        ('check_x = "lb1"\n', ["check_x"]),
        ("[check_x\n", ["not valid TOML", "line 1"]),
    ],
)
def test_a_mistake_in_mutations_names_that_file(labs: Path, text: str, words: list[str]) -> None:
    with refused("01-pair/mutations.toml", *words):
        write_lab(labs, mutations=text)


def test_a_mutation_that_breaks_nothing_is_refused(labs: Path) -> None:
    with refused("01-pair/mutations.toml", "check_x"):
        write_lab(labs, mutations='[check_x]\non = "lb1"\nfile = "/etc/ha.d/ha.cf"\n')


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('["web1"]', '["web9"]', ["groups.web", "'web9'"]),
        ("host = 12", "host = 11", ["same host number"]),
        ("host = 12", "host = 1", ["nodes.lb2.host"]),
        ("host = 12", "host = 300", ["nodes.lb2.host"]),
        ("host = 12", 'host = "twelve"', ["nodes.lb2.host"]),
        ('memory = 320, does = "web', 'memory = 1, does = "web', ["nodes.web1.memory"]),
        ("192.168.56.0/24", "192.168.56.0/42", ["networks.front.cidr"]),
        ("192.168.56.0/24", "192.168.56.7/24", ["networks.front.cidr", "host bits"]),
        ("purpose", "porpoise", ["networks.management.p"]),
        ("[nodes]", "[nodes", ["not valid TOML", "line 16"]),
    ],
)
def test_a_mistake_in_the_topology_names_file_and_key(
    labs: Path, old: str, new: str, words: list[str]
) -> None:
    assert old in CLUSTER
    (labs / "cluster.toml").write_text(CLUSTER.replace(old, new))
    with refused("cluster.toml", *words):
        manifest.cluster_of(labs)


def test_a_missing_topology_is_named(tmp_path: Path) -> None:
    with refused("cluster.toml is missing"):
        manifest.cluster_of(tmp_path)


def test_a_file_in_another_encoding_is_named(labs: Path) -> None:
    (labs / "01-pair").mkdir()
    (labs / "01-pair" / "lab.toml").write_bytes('title = "Für zwei"'.encode("latin-1"))
    with refused("01-pair/lab.toml", "UTF-8"):
        manifest.load(labs / "01-pair")


LEDGER = """
[secrets]
written = "{word}"

[ledger]
address = "192.168.56.100"
user = "ledger"
secret = "written"
database = "book"
read_from = ["lb1"]
"""


def test_a_lab_may_have_a_ledger(labs: Path) -> None:
    write_lab(labs, toml=LAB + LEDGER)
    ledger = manifest.lab(1, labs).file.ledger
    assert ledger is not None
    assert (ledger.port, ledger.read_from) == (3306, ["lb1"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('["lb1"]', '["web1"]', "ledger.read_from: 'web1' is no node of the lab"),
        ('["lb1"]', "[]", "ledger.read_from"),
        ('"written"\ndata', '"lost"\ndata', "ledger.secret: there is no secret 'lost'"),
        ("user =", "usr =", "ledger.usr: unknown key|ledger.user"),
    ],
)
def test_a_ledger_that_cannot_be_kept_is_refused(
    labs: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(WorkshopError, match=words):
        write_lab(labs, toml=LAB + LEDGER.replace(old, new))
