"""The handout, built from a lab that has all that a page can hold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fakes import refused

from workshop import evidence, lab_page, manifest, proofs, site, state
from workshop.distribution import Shipped

CHECKOUT = Path(__file__).resolve().parent.parent
KEY = "5e1f0c2b9a"  # the secret of a course, which no page may show

FIRST = {
    "lab.toml": """\
title = "A first lab"
summary = "One thing, twice."
nodes = ["directors"]
address = "192.168.56.100"
look = ["http://192.168.56.100/"]
""",
    "steps.md": "# A first lab\n\n## Build\n\n```install on=directors\n/etc/one.conf\n```\n",
    "files/directors/etc/one.conf": "colour red\nsize 1\n",
}

SECOND = {
    "lab.toml": """\
title = "A second lab"
summary = "All that a page can hold."
requires = [1]
nodes = ["directors", "db1"]
address = "192.168.56.100"

[variables]
deadtime = 10

[secrets]
door_key = "{hex}"

[modes]
"etc/two.conf" = "0600"

[faults.power-off]
title = "The serving machine loses its power"
does = "power_off"
expect = "The other node takes the address over."
serves = "peer"
outage = "deadtime + 20"
""",
    "steps.md": """\
# A second lab

A node is dead after {{ deadtime }} s: see [the cluster](../../handout/cluster.md) and
[the first lab](../01-first/steps.md).

```notes
Only the speaker knows about the elephant.
```

## Build

```install on=directors
/etc/one.conf
/etc/two.conf
```

```sh on=lb1,lb2
echo "$HOME" <&1
systemctl start thing
```

```sh on=client watch
curl -s http://192.168.56.100/
```

```expect within=30s
/served by lb[12]/
```

!!! gotcha "It does not start on Tuesdays"
    It is tired then; see [above](#build).

        journalctl -u thing
        systemctl start thing

    Wait for Wednesday.

## Try

```sh on=lb1 fails
thing --forbidden
```

```expect
refused: 42
```

```sql on=db1 session=a
SELECT 42;
```

```fault power-off
```

??? question "Why not three?"
    Because two is enough.
""",
    "files/directors/etc/one.conf": "colour blue\nsize 1\n",
    "files/directors/etc/two.conf.j2": "node {{ node.name }}\n\tkey = {{ secrets.door_key }}\n",
    "files/directors/etc/.hidden": "found\n",
}

PROVED = {
    "digest": "of then",
    "date": "2026-11-24",
    "accelerator": "tcg",
    "cpu": "A processor, 2 cores",
    "checks": {"check_it": {"before": "failed", "built": "passed", "mutated": "failed"}},
    "faults": {
        "power-off": {
            "outage": 15.6,
            "failed": 156,
            "requests": 420,
            "bound": 30.0,
            "heal_outage": 0.0,
            "wrong": "",
        }
    },
}


VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "path"}


class Reading(HTMLParser):
    """A page's text, what it loads, its links, and the code blocks that can be copied."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.copied: dict[str, str] = {}  # by the nearest id, as the theme's copy button looks
        self._open: list[tuple[str, str]] = []
        self._block = ""
        self.feed(source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "iframe", "source") and "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") != "canonical":
            self.loads.append(found["href"])
        if tag in ("td", "dt", "dd", "p"):
            self.text += " "  # cells stand apart
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if "id" in found:
            self.ids.append(found["id"])
        if tag not in VOID:
            self._open.append((tag, found.get("id", "")))
        if tag == "code" and len(self._open) > 1 and self._open[-2][0] == "pre":
            ids = [found for _, found in self._open if found]
            self._block = ids[-1] if ids else f"number {len(self.copied)}"
            assert self._block not in self.copied, f"two blocks share the id {self._block}"
            self.copied[self._block] = ""

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        if "script" in tags or "style" in tags:
            return
        self.text += data
        if tags[-1:] != ["pre"] and "pre" in tags and "code" in tags[tags.index("pre") :]:
            self.copied[self._block] += data


def checkout(folder: Path, labs: dict[str, dict[str, str]]) -> Path:
    """A checkout with these labs and this one's handout; its mkdocs.yml."""
    shutil.copytree(CHECKOUT / "handout", folder / "handout")
    (folder / "workshop").symlink_to(CHECKOUT / "workshop")
    shutil.copy(CHECKOUT / "mkdocs.yml", folder)
    (folder / "labs").mkdir()
    shutil.copy(CHECKOUT / "labs" / "cluster.toml", folder / "labs")
    for name, files in labs.items():
        for path, text in files.items():
            file = folder / "labs" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return folder / "mkdocs.yml"


@pytest.fixture(scope="module", autouse=True)
def _no_box() -> Iterator[None]:
    """The distribution's files take seconds to read, and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.box, "cached", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site of the two labs; nothing is proved."""
    folder = tmp_path_factory.mktemp("checkout")
    config = checkout(folder, {"01-first": FIRST, "02-second": SECOND})
    (folder / "site").mkdir()
    (folder / "site" / ".gitignore").write_text("*\n")
    (folder / "site" / "old.html").write_text("from an earlier build")
    with pytest.MonkeyPatch.context() as patch:  # a course that has its secret
        patch.setattr(state, "secret", lambda *_: KEY)
        site.build(config_file=config)
    return folder / "site"


@pytest.fixture(scope="module")
def page(built: Path) -> Reading:
    """The second lab's page."""
    return Reading((built / "labs/02-second/index.html").read_text())


def test_build_keeps_the_gitignore_and_nothing_else(built: Path) -> None:
    assert (built / ".gitignore").exists()
    assert not (built / "old.html").exists()


def test_nothing_is_written_beside_the_site(built: Path) -> None:
    assert sorted(p.name for p in (built.parent / "handout").iterdir()) == sorted(
        p.name for p in (CHECKOUT / "handout").iterdir()
    )


def test_nothing_comes_from_the_network(built: Path) -> None:
    for path in built.rglob("*.html"):
        if "configs" in path.parts:
            continue
        source = path.read_text()
        assert [u for u in Reading(source).loads if re.match(r"(https?:)?//", u)] == [], path.name
    for path in built.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text()), path.name


def test_every_link_leads_somewhere(built: Path) -> None:
    anchors: dict[Path, list[str]] = {}
    for path in built.rglob("*.html"):
        if "configs" not in path.parts:
            anchors[path.resolve()] = Reading(path.read_text()).ids
    for path in anchors:
        if path.name == "404.html":
            continue  # its links start at the root of a server
        for link in Reading(path.read_text()).links:
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            there = (path.parent / target).resolve() if target else path
            assert (there / "index.html" if there.is_dir() else there).exists(), f"{path}: {link}"
            if anchor and there in anchors:
                assert anchor in anchors[there], f"{path}: {link}"


def test_labs_are_discovered(built: Path) -> None:
    home = Reading((built / "index.html").read_text())
    assert "labs/01-first/index.html" in home.links
    assert "2. A second lab All that a page can hold. lb1, lb2, db1 Not proved yet" in home.text


def test_prose_has_its_variables(page: Reading) -> None:
    assert "A node is dead after 10 s" in page.text
    assert "../01-first/index.html" in page.links


def test_sh_is_copied_without_prompt_or_output(page: Reading) -> None:
    assert 'echo "$HOME" <&1\nsystemctl start thing\n' in page.copied.values()
    assert "on lb1, lb2 as root" in page.text
    assert "on your machine" in page.text


def test_expect_says_what_to_see(page: Reading) -> None:
    assert "You should see something that matches within 30 s served by lb[12]" in page.text
    assert "repeat until it is so" in page.text
    assert not any("refused: 42" in text for text in page.copied.values())


def test_fails_says_that_the_refusal_is_the_point(page: Reading) -> None:
    assert "the refusal is the point. You should see refused: 42" in page.text


def test_sql_names_node_and_session(page: Reading) -> None:
    assert "SQL on db1 session a: keep it open" in page.text
    assert "SELECT 42;\n" in page.copied.values()


def test_install_shows_the_whole_file_and_its_command(page: Reading, built: Path) -> None:
    commands = [text for text in page.copied.values() if text.startswith("install ")]
    assert commands == [
        "install -D -m 0644 /root/lab-2/etc/one.conf /etc/one.conf\n"
        "install -D -m 0600 /root/lab-2/etc/two.conf /etc/two.conf\n"
    ]
    for node in ("lb1", "lb2"):
        text = f"node {node}\n\tkey = @@SET-DOOR-KEY@@\n"
        assert text in page.copied.values()
        assert f"../../configs/02-second/{node}/etc/two.conf" in page.links
        assert (built / f"configs/02-second/{node}/etc/two.conf").read_text() == text
    assert list(page.copied.values()).count("colour blue\nsize 1\n") == 1  # the same on both


def test_install_shows_what_changes_of_a_required_labs_file(page: Reading) -> None:
    assert "What changes -colour red +colour blue size 1" in page.text


def test_install_says_where_the_distributions_file_was_not_at_hand(page: Reading) -> None:
    # of two.conf in its two variants, and not of one.conf, which lab 1 has put there
    assert page.text.count("The distribution's file was not at hand") == 2


@pytest.mark.parametrize(
    ("shipped", "words", "change"),
    [
        (None, "Debian's is not at hand", None),
        (Shipped(None), "Debian ships no such file.", None),
        (Shipped(None, example="/usr/share/doc/x.gz"), "/usr/share/doc/x.gz is an example", None),
        (Shipped(b"a\nb\nc\n", "thing", "1.2"), "Debian's thing 1.2 ships", ["-c", "+d"]),
        (Shipped(b"# long\n\n  # story\na\nb\nc\n", "thing", "1.2"), "Debian's", ["-c", "+d"]),
        (Shipped(b"a\nb\nc\n"), "Debian makes a file here", ["-c", "+d"]),
        (Shipped(b"a\nb\nd\n", "thing", "1.2"), "Debian's thing 1.2 ships", None),
        (Shipped(bytes(range(9)) + b"\xff\n", "thing", "1"), "Debian's thing 1 ships", None),
    ],
)
def test_what_changes_of_the_distributions_file(
    shipped: Shipped | None, words: str, change: list[str] | None
) -> None:
    assert words in lab_page.origin(shipped)
    found = lab_page.change(shipped, b"a\nb\nd\n")
    assert (found is None) == (change is None)
    for line in change or []:
        assert line in re.sub(r"<[^>]+>", "", str(found)).splitlines()


def test_of_a_file_that_is_replaced_no_difference_is_shown() -> None:
    before = b"\n".join(b"line %d" % number for number in range(99))
    assert lab_page.replaced(before, b"all new\n")
    assert lab_page.change(Shipped(before, "thing", "1"), b"all new\n") is None


def test_hidden_files_can_be_downloaded(built: Path) -> None:
    assert (built / "configs/02-second/lb1/etc/.hidden").read_text() == "found\n"


def test_fault_has_its_commands_bound_and_no_invented_figure(page: Reading) -> None:
    assert "invoke break 2 power-off\n" in page.copied.values()
    assert "invoke heal\n" in page.copied.values()
    assert "The other machine serves; visitors go without for at most 30 s." in page.text
    assert "Not measured yet." in page.text


def test_notes_and_secrets_stay_behind(built: Path) -> None:
    found = [p.read_bytes() for p in built.rglob("*") if p.is_file()]
    assert not any(b"elephant" in content for content in found)
    assert not any(b"secrets.door_key" in content for content in found)
    assert not any(KEY.encode() in content for content in found)


def test_gotchas_are_gathered(built: Path) -> None:
    gathered = Reading((built / "gotchas.html").read_text())
    assert "It does not start on Tuesdays" in gathered.text
    assert "Wait for Wednesday. Shown in lab 2: A second lab, under Build" in gathered.text
    assert "labs/02-second/index.html#gotcha-it-does-not-start-on-tuesdays" in gathered.links
    assert "labs/02-second/index.html#build" in gathered.links


def test_questions_are_gathered(built: Path) -> None:
    gathered = Reading((built / "contact.html").read_text())
    assert "Why not three?" in gathered.text
    assert "Because two is enough. Asked in lab 2: A second lab" in gathered.text
    assert "labs/02-second/index.html#question-why-not-three" in gathered.links
    assert "This copy was built at home and names nobody." in gathered.text


def test_cluster_is_drawn_from_the_topology(built: Path) -> None:
    source = (built / "cluster.html").read_text()
    drawing = source[
        source.index("<svg viewBox") : source.index("</svg>", source.index("<svg view"))
    ]
    for node in manifest.cluster_of(built.parent / "labs").nodes:
        assert f">{node}</text>" in drawing
    assert "192.168.57.21" in source


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", "Proved on 2026-11-24. Date"),
        ("it changed since", "Proof of 2026-11-24 is stale. Of this lab, it changed since. Date"),
    ],
)
def test_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, words: str) -> None:
    proved = {**SECOND, "proved.json": json.dumps(PROVED)}
    config = checkout(tmp_path, {"01-first": FIRST, "02-second": proved})
    monkeypatch.setattr(evidence, "stale", lambda *_: reason)
    site.build(config_file=config)
    text = Reading((tmp_path / "site/labs/02-second/index.html").read_text()).text
    assert words in text
    assert "Commit not committed yet" in text
    assert "Machine A processor, 2 cores, without KVM" in text
    assert "1 check passed, 1 mutation caught, 1 fault ended as declared" in text
    # the fault's picture has the seconds of a proof that holds, and of no other one
    assert ("lb2 serves, after 15.6 s." in text) is not bool(reason)
    assert "15.6 s without service, 156 of 420 requests failed; undoing it cost nothing" in text
    assert ("of another state of this lab: stale)." in text) is bool(reason)
    assert ("Stale: these figures are of another state of this lab." in text) is bool(reason)


def second_proved(folder: Path, **changed: Any) -> str:
    """The text of the second lab's page, whose fault was proved with these figures changed."""
    fault = {**PROVED["faults"]["power-off"], **changed}  # type: ignore[index]
    proved = json.dumps({**PROVED, "faults": {"power-off": fault}})
    config = checkout(folder, {"01-first": FIRST, "02-second": {**SECOND, "proved.json": proved}})
    site.build(config_file=config)
    return Reading((folder / "site/labs/02-second/index.html").read_text()).text


def test_a_slow_machines_allowance_stands_beside_the_bound(tmp_path: Path) -> None:
    text = second_proved(tmp_path, bound=66.0)
    assert "without KVM, a slow machine, which was allowed 66 s" in text
    assert "30 s; 66 s there" in text


def test_a_lab_that_counts_writes_shows_what_became_of_them(tmp_path: Path) -> None:
    writes = {"ok": 412, "lost": 5, "lost_updates": 1, "stale": 0, "ghosts": 0, "outage": 21.4}
    text = second_proved(tmp_path, writes=writes)
    assert "Acknowledged writes" in text
    assert "5 of 412 lost, 1 lost updates; none for 21.4 s" in text


def test_commit_comes_from_git(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=n@localhost"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    file = tmp_path / "proved.json"
    file.write_text("{}")
    assert proofs.commit_of(file) == ""
    git("init")
    git("add", ".")
    assert proofs.commit_of(file) == ""
    git("commit", "-m", "proved")
    assert re.fullmatch(r"[0-9a-f]{7,}", proofs.commit_of(file))
    file.write_text("{ }")
    assert proofs.commit_of(file) == ""


def bad(**changed: str) -> dict[str, Any]:
    return {"01-first": {**FIRST, **changed}}


def test_a_mistake_in_a_lab_is_one_line(tmp_path: Path) -> None:
    config = checkout(tmp_path, bad(**{"steps.md": "## Build\n\n```sh on=lb9\nid\n```\n"}))
    with refused("01-first/steps.md:3", "lb9"):
        site.build(config_file=config)


def test_a_dead_link_is_one_line(tmp_path: Path) -> None:
    config = checkout(tmp_path, bad(**{"steps.md": "# One\n\n[gone](../09-gone/steps.md)\n"}))
    with refused("labs/01-first/steps.md", "09-gone"):
        site.build(config_file=config)
