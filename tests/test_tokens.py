"""Tokens in the labs' files: none is missing, and none is taken apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes import refused, write_lab
from own_servers import other
from test_inventory import PAIR

from workshop import bundle, inventory, manifest, render, tokens
from workshop.manifest import Lab

LABS = manifest.labs()
MANY = pytest.mark.parametrize("lab", LABS, ids=[lab.name for lab in LABS])


def configs_of(files: list[bundle.File]) -> dict[str, bytes]:
    """What of a bundle lies in `configs/`."""
    return {
        file.path: file.content
        for file in files
        if re.match(r"\d\d-", file.path) and not file.path.endswith("/INSTALL.md")
    }


def test_the_courses_inventory_gives_the_courses_files() -> None:
    wanted = {
        f"{lab.name}/{path}": data for lab in LABS for path, data in render.published(lab).items()
    }
    assert configs_of(bundle.files(LABS)) == wanted


def named(piece: str, text: str) -> bool:
    """Whether the text has the piece; a name has to be a word, for there is an `ndb_mgmd`."""
    if piece.isalnum() and not piece.isdecimal():
        return re.search(rf"(?<!\w){piece}(?!\w)", text) is not None
    return piece in text


@MANY
def test_another_inventory_leaves_nothing_of_the_courses(lab: Lab) -> None:
    defaults = inventory.defaults(LABS)
    nodes = [value for key, value in defaults.items() if key.endswith(".name")]
    stems = {re.sub(r"\d+$", "", node) for node in nodes}
    pieces = {value for key, value in defaults.items()}
    for name in (*inventory.NETWORKS, "management"):
        network = lab.cluster.networks[name]
        pieces |= {network.interface, network.cidr.rpartition(".")[0] + "."}
        pieces |= {network.cidr.rpartition(".")[0].replace(".", "\\."), f"/{network.prefix}"}
    pieces.add("255.255.255.")
    # a name in a pattern: web[12], web\d, web.*, web*, web$i, "^OK web"
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(stems)})(?=[\[\\*$\"'{{]|\.\*)")
    found = []
    for file in bundle.files(LABS, other(LABS)):
        if not file.path.startswith(f"{lab.name}/"):
            continue
        for text in (file.path, *file.content.decode().splitlines()):
            found += [(file.path, text, piece) for piece in pieces if named(piece, text)]
            found += [(file.path, text, match[0]) for match in pattern.finditer(text)]
    assert found == [], "write a template, or the name in full"


def test_what_is_around_the_labs_names_the_readers_servers_only() -> None:
    values = other(LABS)
    around = {f.path: f.content.decode() for f in bundle.files(LABS, values) if "/" not in f.path}
    del around["inventory.toml"]  # it says which server is in whose place
    for path, text in around.items():
        assert [v for v in inventory.defaults(LABS).values() if named(v, text)] == [], path
        assert re.search(inventory.TOKEN, text) is None


def one(labs: Path, text: str, template: bool = True) -> str:
    """A file of these contents, as the first node gets it on other servers."""
    name = "directors/etc/ha.d/ha.cf" + (".j2" if template else "")
    lab = write_lab(labs, toml=PAIR, files={name: text})
    file = tokens.configs([lab])[0]
    assert file.path == "01-pair/@@nodes.lb1.name@@/etc/ha.d/ha.cf"
    return inventory.substitute(file.text, other([lab]), [lab])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{{ node.name }} {{ node.front }}", "alpha 10.20.30.1"),
        ("{{ nodes.lb2.back }}", "172.16.5.130"),
        ("{% for n in groups.directors %}{{ n }},{% endfor %}", "alpha,bravo,"),
        ("{{ site_address }}/{{ networks.front.prefix }}", "10.20.30.3/26"),
        ("{{ networks.back.cidr }} {{ networks.back.interface }}", "172.16.5.128/25 bond0.20"),
        ("{{ networks.front.address(12) }}", "10.20.30.2"),
        ("{{ networks.front.address(100) }}", "10.20.30.3"),
        ("{{ domain }} {{ deadtime }}", "shop.example 10"),
        ("lb1 lb11 xlb1 lb1_x lb1-x lb1.x", "alpha lb11 xlb1 lb1_x alpha-x alpha.x"),
        ("www.lamp.test", "www.shop.example"),
        ("eth1:site {{ site_address }}/24 dev eth1 24M", "ens18:site 10.20.30.3/26 dev ens18 24M"),
        ("192.168.56.100:80 192.168.56.11.", "10.20.30.3:80 10.20.30.1."),
        ("192.168.56.1 192.168.56.110", "192.168.56.1 192.168.56.110"),
        ("192.168.57.0/24", "172.16.5.128/25"),
    ],
)
def test_values_become_tokens(labs: Path, text: str, wanted: str) -> None:
    assert one(labs, text) == wanted


def test_a_file_that_is_no_template_has_tokens_too(labs: Path) -> None:
    assert one(labs, "{{ lb1 }} on eth2", template=False) == "{{ alpha }} on bond0.20"


@pytest.mark.parametrize(
    "text",
    [
        "{{ site_address[:-3] }}",
        "{{ site_address.rsplit('.', 1)[0] }}.0",
        "{{ site_address | replace('.', '\\\\.') }}",
        "{{ networks.back.cidr.split('/')[0] }}",
        "{{ networks.front.interface | upper }}",
    ],
)
def test_a_value_taken_apart_is_refused(labs: Path, text: str) -> None:
    with refused("01-pair/lb1/etc/ha.d/ha.cf"):
        one(labs, text)


def test_a_variable_of_a_database_is_no_token(labs: Path) -> None:
    for text in ("SELECT @@hostname, @@global.read_only;", "SET @@session.sql_log_bin = 0"):
        assert one(labs, text) == text


def test_arithmetic_on_a_value_is_refused(labs: Path) -> None:
    with refused("01-pair/files/directors/etc/ha.d/ha.cf.j2"):
        one(labs, "{{ networks.front.prefix - 1 }}")


def test_an_address_that_no_inventory_names_is_refused(labs: Path) -> None:
    with refused("ha.cf", "host 77", "variable"):
        one(labs, "{{ networks.front.address(77) }}")


def test_a_pattern_of_names_becomes_a_choice(labs: Path) -> None:
    lab = write_lab(labs, toml=PAIR)
    words = tokens.Words([lab])

    def shown(text: str) -> str:
        return inventory.substitute(words.pattern_of(text), other([lab]), [lab])

    assert shown(r"/by (lb[12])</") == "/by ((?:alpha|bravo))</"
    assert shown(r"/lb\d+/") == "/(?:alpha|bravo)+/"
    assert shown(r"/web[12] x[ab]/") == r"/web[12] x[ab]/"
    assert shown("lladdr 52:54:00") == "lladdr ..:..:.."


def test_a_file_that_is_no_text_is_refused(labs: Path) -> None:
    lab = write_lab(labs, toml=PAIR, files={"directors/etc/ha.d/ha.cf": "x"})
    (lab.folder / "files/directors/etc/ha.d/ha.cf").write_bytes(b"\xff")
    with refused("01-pair/lb1/etc/ha.d/ha.cf", "UTF-8"):
        tokens.configs([lab])
