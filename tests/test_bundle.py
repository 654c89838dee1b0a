"""The bundle: whole, without a secret, and the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from fakes import refused, write_lab
from own_servers import blocks, moved, other, renamed, toml
from test_inventory import PAIR

from workshop import apply, bundle, commands, evidence, inventory, manifest, render, state, steps
from workshop.manifest import Lab

LABS = manifest.labs()
CHECKOUT = Path(__file__).resolve().parent.parent


def unpacked(archives: dict[str, bytes]) -> dict[str, dict[str, tuple[int, bytes]]]:
    """Mode and content of each file, by archive."""
    found: dict[str, dict[str, tuple[int, bytes]]] = {}
    for name, data in archives.items():
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(data)) as box:
                found[name] = {
                    i.filename: (i.external_attr >> 16 & 0o7777, box.read(i))
                    for i in box.infolist()
                }
        elif name.endswith(".tar.gz"):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                found[name] = {m.name: (m.mode, tar.extractfile(m).read()) for m in tar}  # type: ignore[union-attr]
    return found


def test_both_archives_hold_the_same() -> None:
    first, second = unpacked(bundle.archives(LABS)).values()
    assert first == second
    assert {path.split("/")[0] for path in first} == {bundle.NAME}


def test_the_bytes_are_those_of_any_python_and_any_zlib() -> None:
    """Nothing is compressed, and no header says who wrote it."""
    one = [bundle.File("a", b"x" * 200_000, "0644")]
    made = bundle.zipped(one), bundle.tarred(one)
    sums = [hashlib.sha256(archive).hexdigest()[:16] for archive in made]
    assert sums == ["29ba5e451fc8c70e", "3ef06682795eb093"]


def test_sums_cover_every_file(tmp_path: Path) -> None:
    for path in bundle.write(LABS, target=tmp_path):
        if path.suffix == ".zip":
            subprocess.run([sys.executable, "-m", "zipfile", "-e", path, tmp_path], check=True)
    check = ["sha256sum", "-c", "--quiet", "--strict"]
    subprocess.run([*check, f"{bundle.NAME}.SHA256SUMS"], cwd=tmp_path, check=True)
    folder = tmp_path / bundle.NAME
    subprocess.run([*check, "SHA256SUMS"], cwd=folder, check=True)
    listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert there - listed == {"SHA256SUMS"}


def test_every_lab_has_files_instructions_and_modes() -> None:
    files = {f.path: f for f in bundle.files(LABS)}
    for lab in LABS:
        assert f"{lab.name}/INSTALL.md" in files
        assert f"`{lab.name}`: {lab.title}" in files["README.md"].content.decode()
        for line in files[f"{lab.name}/MANIFEST"].content.decode().splitlines():
            owner, mode, path = line.split(" ", 2)
            assert owner == "root:root"
            assert files[f"{lab.name}/{path}"].mode == mode


MAKE = """
import sys
from pathlib import Path
from workshop import bundle, manifest
bundle.write(manifest.labs(), target=Path(sys.argv[1]))
"""


def test_archives_are_the_same_at_any_time_and_place(tmp_path: Path) -> None:
    found = []
    for zone, umask in (("Pacific/Auckland", 0o077), ("America/Lima", 0o002)):
        folder = tmp_path / zone.replace("/", "-")
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": "random", "PYTHONPATH": "."}
        subprocess.run(
            [sys.executable, "-c", MAKE, folder],
            cwd=CHECKOUT, env=environment, umask=umask, check=True,
        )  # fmt: skip
        found.append({p.name: p.read_bytes() for p in folder.iterdir()})
        time.sleep(1.1 - time.time() % 1)  # another second, should one be written down
    assert found[0] == found[1]
    assert len(found[0]) == 3


def test_no_secret_is_in_an_archive() -> None:
    secrets = {}
    for lab in LABS:
        secrets |= apply.secrets_of(lab)  # made now, in this test's own state
    assert secrets
    assert secrets == json.loads(state.path("secrets.json").read_text())
    words = {word for secret in secrets.values() for word in secret.split() if len(word) > 8}
    assert len(words) >= len(secrets)
    for values in (None, other(LABS)):
        for name, files in unpacked(bundle.archives(LABS, values)).items():
            for path, (_, content) in files.items():
                for word in words:
                    assert word.encode() not in content, f"{name}: {path}"


def test_every_placeholder_is_listed_with_its_files() -> None:
    files = {f.path: f.content.decode() for f in bundle.files(LABS)}
    readme = files["README.md"]
    seen = 0
    for path, text in files.items():
        if re.match(r"\d\d-", path):
            for match in re.finditer(r"@@SET-[A-Z0-9-]+@@", text):
                seen += 1
                assert f"`{match[0]}`, in" in readme
                assert f"`{path}`" in readme
    assert seen


def test_secrets_made_as_the_readme_says_are_accepted(tmp_path: Path) -> None:
    bundle.write(LABS, target=tmp_path)
    with tarfile.open(tmp_path / f"{bundle.NAME}.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / bundle.NAME
    readme = (folder / "README.md").read_text()
    typed = [block.command for block in blocks(readme) if not block.on]
    assert len(typed) >= 3
    for command in typed:
        if not command.startswith("scp"):
            subprocess.run(["bash", "-ec", command], cwd=folder, check=True)
    texts = {
        str(p.relative_to(folder)): p.read_text() for p in folder.glob("[0-9]*/**/*") if p.is_file()
    }
    assert [path for path, text in texts.items() if "@@" in text] == []
    keys = {text for path, text in texts.items() if path.endswith("/authkeys")}
    assert len(keys) == 1, "all servers have one key"
    assert re.fullmatch(r"auth 1\n1 sha1 [0-9a-f]{40}\n", keys.pop())


@pytest.mark.parametrize("lab", LABS, ids=[lab.name for lab in LABS])
def test_instructions_are_the_pages_build(lab: Lab) -> None:
    """Each command of Build, in order; each install takes a file that is there."""
    files = {f.path: f for f in bundle.files(LABS)}
    typed = blocks(files[f"{lab.name}/INSTALL.md"].content.decode())
    page = steps.parse(lab)
    wanted = []
    for step in page.section("build"):
        if step.kind == "install":
            wanted += [([node], None, "") for node in step.on]
        else:
            body = steps.sql_command(lab, step.body) if step.kind == "sql" else step.body
            wanted.append((step.on, body, step.expect.text if step.expect else ""))
    assert len(typed) == len(wanted)
    for block, (on, text, expect) in zip(typed, wanted, strict=True):
        body = block.command
        assert block.on == on
        assert bool(block.expect) == bool(expect)
        if text is not None:
            assert body == text
            continue
        for line in body.splitlines():
            match = re.fullmatch(r"install -D -m (\d+) (\S+) (/\S+)", line)
            assert match, line
            assert files[match[2]].mode == match[1]
            assert match[2].endswith(match[3])
            assert match[2].split("/")[1].split("@")[0] == on[0]
    lines = [line for block in typed for line in block.command.splitlines()]
    installed = {line.split()[4] for line in lines if line.startswith("install ")}
    built = {s.stage for s in page.section("build")}
    paths = {part: {p for s in page.section(part) for p in s.paths} for part in ("build", "try")}
    for_trying = {path.lstrip("/") for path in paths["try"] - paths["build"]}
    whole = {
        f"{f.source.split('/')[0]}/{f.node}{'@' + f.stage if f.stage else ''}/{f.path}"
        for f in render.files(lab) if f.stage in built and f.path not in for_trying
    }  # fmt: skip
    assert {path for path in whole if path.startswith(lab.name)} <= installed


def test_what_a_step_takes_from_the_labs_folder_lies_in_the_bundle(labs: Path) -> None:
    page = (
        "# A pair\n\n## Build\n\n```install on=directors\n/etc/ha.d/ha.cf\n```\n\n"
        "```sh on=directors fails\ncat {{ lab.folder }}/etc/ha.d/ha.cf\n```\n\n"
        "```sql on=lb1\nSELECT 'one'\n```\n\n## Try\n"
    )
    lab = write_lab(labs, toml=PAIR, steps=page)
    files = {f.path: f.content.decode() for f in bundle.files([lab], other([lab]))}
    text = files["01-pair/INSTALL.md"]
    assert "cat 01-pair/alpha/etc/ha.d/ha.cf" in text
    assert "cat 01-pair/bravo/etc/ha.d/ha.cf" in text
    assert "This is refused, and is meant to be." in text
    assert """mariadb --table -e 'SELECT '"'"'one'"'"''""" in text


def test_a_page_that_takes_a_value_apart_is_refused(labs: Path) -> None:
    page = (
        "# A pair\n\n## Build\n\n```sh on=lb1\nping {{ networks.back.cidr.split('/')[0] }}\n```\n"
    )
    lab = write_lab(labs, toml=PAIR, steps=page, files={})
    with refused("01-pair/steps.md:5", "taken apart"):
        bundle.files([lab])


def test_an_inventory_in_the_archive_gives_the_archive_again(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(toml(other(LABS), LABS))
    first = {p.name: p.read_bytes() for p in bundle.write(LABS, file, tmp_path / "one")}
    assert set(first) == {f"{bundle.OWN}{end}" for end in (".zip", ".tar.gz", ".SHA256SUMS")}
    again = unpacked(first)[f"{bundle.OWN}.zip"][f"{bundle.NAME}/inventory.toml"][1]
    file.write_bytes(again)
    assert first == {p.name: p.read_bytes() for p in bundle.write(LABS, file, tmp_path / "two")}


def test_the_task_prints_an_example_and_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.bundle("", True)
    text = capsys.readouterr().out
    file = tmp_path / "my.toml"
    file.write_text(text)
    assert inventory.read(file, LABS) == inventory.defaults(LABS)
    monkeypatch.setattr(bundle, "TARGET", tmp_path / "dist")
    file.write_text(text.replace('"lb1"', '"lb1; reboot"'))
    with pytest.raises(SystemExit):
        commands.bundle(str(file), False)
    told = capsys.readouterr().err
    assert "my.toml: nodes.lb1.name" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "dist").exists()


def test_names_and_sums_in_the_archive_are_those_of_the_inventory() -> None:
    files = {f.path: f.content for f in bundle.files(LABS, other(LABS))}
    for line in files["SHA256SUMS"].decode().splitlines():
        total, path = line.split("  ")
        assert hashlib.sha256(files[path]).hexdigest() == total


def test_packages_are_those_that_a_server_needs() -> None:
    text = {f.path: f.content.decode() for f in bundle.files(LABS)}["PACKAGES"]
    words = re.sub(r"#.*", "", text).split()
    assert {"heartbeat", "ldirectord", "apache2", "mariadb-server", "memcached"} <= set(words)
    assert not {"linux-image-cloud-amd64", "systemd-sysv", "openssh-server"} & set(words)


def test_no_proof_depends_on_the_bundle() -> None:
    assert {"bundle", "inventory", "tokens", "downloads"} <= evidence.APART


@pytest.mark.parametrize("lab", LABS, ids=[lab.name for lab in LABS])
def test_a_labs_checks_can_be_run_on_the_readers_servers(lab: Lab, tmp_path: Path) -> None:
    """What tests/vm/test_own_servers.py does before it needs a machine."""
    values = moved(LABS)
    assert inventory.complaints(values, inventory.specification(LABS)) == {}
    copy = renamed(lab, LABS, values, tmp_path / "labs")
    assert copy.nodes == [values[f"nodes.{node}.name"] for node in lab.nodes]
    for node, name in zip(lab.nodes, copy.nodes, strict=True):
        for network in inventory.NETWORKS:
            assert copy.cluster.address(name, network) == values[f"nodes.{node}.{network}"]
    floating = {f.default: values[f.key] for f in inventory.fields(LABS)}
    assert copy.file.address == floating[lab.file.address]
    for node, name in zip(lab.nodes, copy.nodes, strict=True):
        page = f"served by <strong>{node}</strong>"
        if match := re.search(lab.file.says, page):
            again = re.search(copy.file.says, page.replace(node, name))
            assert (match[1], again and again[1]) == (node, name)
    checks = (copy.folder / "checks.py").read_text()
    compile(checks, "checks.py", "exec")
    assert [v for v in inventory.defaults(LABS).values() if re.search(rf"\b{v}\b", checks)] == []
