"""From templates to a node's files, to `configs/`, and every mistake on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FILES, LAB, STEPS, refused, write_lab

from workshop import render, steps
from workshop.manifest import Lab
from workshop.render import File

SECRET = '[secrets]\npair_key = "sha1 {hex}"\n'


def content(lab: Lab, secrets: dict[str, str] | None = None) -> dict[str, str]:
    return {
        f"{f.node}{'@' if f.stage else ''}{f.stage}/{f.path}": f.content.decode()
        for f in render.files(lab, secrets)
    }


def test_a_template_is_rendered_for_every_node_of_its_group(lab: Lab) -> None:
    assert content(lab) == {
        "lb1/etc/ha.d/ha.cf": "deadtime 10\nnode lb1\n",
        "lb2/etc/ha.d/ha.cf": "deadtime 10\nnode lb2\n",
    }


def test_templates_know_networks_groups_and_addresses(labs: Path) -> None:
    text = (
        "{% for peer in groups.directors %}\n"
        "ucast {{ networks.back.interface }} {{ nodes[peer].back }}\n"
        "{% endfor %}\n"
        "{{ node.front }}/{{ networks.front.prefix }} {{ lab.folder }}\n"
    )
    lab = write_lab(labs, files={"lb2/etc/x.j2": text})
    assert content(lab)["lb2/etc/x"] == (
        "ucast eth2 192.168.57.11\nucast eth2 192.168.57.12\n192.168.56.12/24 /root/lab-1\n"
    )


def test_what_is_no_template_is_taken_as_it_is(labs: Path) -> None:
    lab = write_lab(labs, files={"lb1/etc/x": "{{ not a template }}"})
    (lab.folder / "files" / "lb1" / "etc" / "blob").write_bytes(bytes(range(256)))
    found = {f.path: f.content for f in render.files(lab)}
    assert found == {"etc/x": b"{{ not a template }}", "etc/blob": bytes(range(256))}


def test_a_nodes_own_file_wins_over_its_groups(labs: Path) -> None:
    lab = write_lab(labs, files={"directors/etc/x": "group", "lb2/etc/x": "own"})
    assert content(lab) == {"lb1/etc/x": "group", "lb2/etc/x": "own"}


def test_a_nodes_own_file_wins_over_that_of_a_group_of_one(labs: Path) -> None:
    toml = LAB.replace("directors", "web")
    lab = write_lab(labs, toml=toml, files={"web/etc/x": "group", "web1/etc/x": "own"})
    assert content(lab) == {"web1/etc/x": "own"}


def test_nothing_is_rendered_for_nodes_that_the_lab_does_not_have(labs: Path) -> None:
    lab = write_lab(labs, files={"all/etc/x": "everywhere"})
    assert set(content(lab)) == {"lb1/etc/x", "lb2/etc/x"}


def test_stages_lie_side_by_side(labs: Path) -> None:
    lab = write_lab(labs, files={"lb1/etc/x": "first", "lb1@tuned/etc/x": "second"})
    assert content(lab) == {"lb1/etc/x": "first", "lb1@tuned/etc/x": "second"}
    folders = {render.staged_path(file) for file in render.files(lab)}
    assert folders == {"/root/lab-1/etc/x", "/root/lab-1@tuned/etc/x"}


def test_modes_and_sources_are_kept(labs: Path) -> None:
    lab = write_lab(labs, toml=LAB + '[modes]\n"etc/ha.d/ha.cf" = "0600"\n')
    file = render.files(lab)[0]
    assert (file.mode, file.source) == ("0600", "01-pair/files/directors/etc/ha.d/ha.cf.j2")
    assert render.install_command(file) == (
        "install -D -m 0600 /root/lab-1/etc/ha.d/ha.cf /etc/ha.d/ha.cf"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ deadtme }}", ["'deadtme' is undefined", "lab.toml"]),
        ("{{ nodes.lb9.front }}", ["lb9"]),
        ("{{ networks.middle.prefix }}", ["middle"]),
        ("{{ secrets.pair_key }}", ["pair_key"]),
        ("fine\n{{ deadtime }\n", ["ha.cf.j2:2:"]),
        ("fine\n\n{% for x in groups %}\n", ["ha.cf.j2:", "endfor"]),
        ("{{ domain | nosuch }}", ["ha.cf.j2:1:", "nosuch"]),
        ("{{ domain + 1 }}", ["str"]),
        ("{{ deadtime // 0 }}", ["zero"]),
    ],
)
def test_a_mistake_in_a_template_names_the_file(labs: Path, text: str, words: list[str]) -> None:
    lab = write_lab(labs, files={"directors/etc/ha.d/ha.cf.j2": text})
    with refused("01-pair/files/directors/etc/ha.d/ha.cf.j2", *words):
        render.files(lab)


def test_a_template_in_another_encoding_is_named(labs: Path) -> None:
    lab = write_lab(labs)
    (lab.folder / "files/directors/etc/ha.d/ha.cf.j2").write_bytes("für".encode("latin-1"))
    with refused("ha.cf.j2", "UTF-8"):
        render.files(lab)


@pytest.mark.parametrize("owner", ["derectors", "lb9", "etc"])
def test_files_of_an_unknown_node_are_refused(labs: Path, owner: str) -> None:
    lab = write_lab(labs, files={f"{owner}/etc/x": ""} | {f"{owner}/etc/y": "text"})
    with refused(f"01-pair/files/{owner}", "no node or group"):
        render.files(lab)


def test_a_mode_of_no_file_is_refused(labs: Path) -> None:
    lab = write_lab(labs, toml=LAB + '[modes]\n"etc/authkeys" = "0600"\n')
    with refused("01-pair/lab.toml", "modes", "'etc/authkeys'"):
        render.files(lab)


# what is installed


def installed(lab: Lab, secrets: dict[str, str] | None = None) -> dict[str, list[File]]:
    page = steps.parse(lab)
    return render.installed(page, page.steps[0], render.available(lab, secrets))


def test_an_install_finds_each_nodes_file(lab: Lab) -> None:
    found = installed(lab)
    assert list(found) == ["lb1", "lb2"]
    assert found["lb2"][0].content == b"deadtime 10\nnode lb2\n"


def test_an_install_takes_the_files_of_its_stage(labs: Path) -> None:
    text = STEPS.replace("on=directors", "on=directors stage=tuned")
    files = {"directors/etc/ha.d/ha.cf": "first", "directors@tuned/etc/ha.d/ha.cf": "second"}
    assert installed(write_lab(labs, steps=text, files=files))["lb1"][0].content == b"second"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ha.cf", "ha.conf", ["lb1", "/etc/ha.d/ha.conf"]),
        ("on=directors", "on=directors stage=tuned", ["lb1@tuned", "/etc/ha.d/ha.cf"]),
        ("/etc/ha.d/ha.cf", "other:etc/ha.d/ha.cf", ["does not require 'other'"]),
        ("/etc/ha.d/ha.cf", "nosuch:etc/ha.d/ha.cf", ["no lab 'nosuch'"]),
    ],
)
def test_an_install_of_no_file_names_the_line(
    labs: Path, old: str, new: str, words: list[str]
) -> None:
    write_lab(labs, "02-other")
    lab = write_lab(labs, steps=STEPS.replace(old, new))
    with refused("01-pair/steps.md:5", *words):
        installed(lab)


def test_an_install_may_take_a_required_labs_file_secrets_included(labs: Path) -> None:
    text = {"directors/etc/ha.d/ha.cf.j2": "1 {{ secrets.pair_key }}\n"}
    write_lab(labs, "01-first", LAB + SECRET, files=text)
    lab = write_lab(
        labs,
        "02-second",
        LAB.replace("nodes =", "requires = [1]\nnodes ="),
        steps=STEPS.replace("/etc/ha.d/ha.cf", "first:etc/ha.d/ha.cf"),
        files={"directors/etc/ha.d/ha.cf": "its own"},
    )
    file = installed(lab, {"pair_key": "sha1 abc"})["lb1"][0]
    assert file.content == b"1 sha1 abc\n"
    assert render.install_command(file).endswith("/root/lab-1/etc/ha.d/ha.cf /etc/ha.d/ha.cf")


# secrets


def test_a_secret_is_a_placeholder_until_it_is_given(labs: Path) -> None:
    lab = write_lab(labs, toml=LAB + SECRET, files={"lb1/etc/key.j2": "1 {{ secrets.pair_key }}\n"})
    assert content(lab)["lb1/etc/key"] == "1 @@SET-PAIR-KEY@@\n"
    assert content(lab, {"pair_key": "sha1 abc"})["lb1/etc/key"] == "1 sha1 abc\n"


def test_secrets_of_required_labs_are_known(labs: Path) -> None:
    write_lab(labs, "01-first", LAB + SECRET)
    lab = write_lab(labs, "02-second", LAB.replace("nodes =", "requires = [1]\nnodes ="))
    assert render.placeholders(lab) == {"pair_key": "@@SET-PAIR-KEY@@"}


# configs/


def test_the_manifest_lists_owner_and_mode(labs: Path) -> None:
    lab = write_lab(labs, toml=LAB + '[modes]\n"etc/ha.d/ha.cf" = "0600"\n')
    published = render.published(lab)
    assert published["MANIFEST"].decode() == (
        "root:root 0600 lb1/etc/ha.d/ha.cf\nroot:root 0600 lb2/etc/ha.d/ha.cf\n"
    )
    assert "MANIFEST" not in render.published(write_lab(labs, "02-bare", files={}))


def test_configs_are_written_once_and_then_up_to_date(lab: Lab, tmp_path: Path) -> None:
    target = tmp_path / "configs"
    changed = render.write([lab], target)
    assert changed == [
        "01-pair/MANIFEST",
        "01-pair/lb1/etc/ha.d/ha.cf",
        "01-pair/lb2/etc/ha.d/ha.cf",
    ]
    assert render.drift([lab], target) == []
    assert render.write([lab], target) == []


def test_drift_sees_what_is_changed_missing_or_too_much(lab: Lab, tmp_path: Path) -> None:
    target = tmp_path / "configs"
    render.write([lab], target)
    folder = target / "01-pair"
    (folder / "lb1/etc/ha.d/ha.cf").write_text("edited by hand")
    (folder / "lb2/etc/ha.d/ha.cf").unlink()
    (folder / "lb2/etc/extra").write_text("left over")
    (target / "09-gone").mkdir()
    (target / "09-gone" / "file").write_text("of a lab that is no more")
    assert render.drift([lab], target) == [
        "01-pair/lb1/etc/ha.d/ha.cf",
        "01-pair/lb2/etc/extra",
        "01-pair/lb2/etc/ha.d/ha.cf",
        "09-gone/file",
    ]
    render.write([lab], target)
    assert render.drift([lab], target) == []
    assert not (target / "09-gone").exists()


def test_configs_keep_what_is_no_labs(lab: Lab, tmp_path: Path) -> None:
    target = tmp_path / "configs"
    target.mkdir()
    (target / "README.md").write_text("by hand")
    render.write([lab], target)
    assert (target / "README.md").read_text() == "by hand"


def test_a_mistake_leaves_configs_as_they_were(labs: Path, tmp_path: Path) -> None:
    target = tmp_path / "configs"
    render.write([write_lab(labs)], target)
    bad = write_lab(labs, files=FILES | {"lb1/etc/x.j2": "{{ nosuch }}"})
    with refused("nosuch"):
        render.write([bad], target)
    assert (target / "01-pair/lb1/etc/ha.d/ha.cf").exists()
