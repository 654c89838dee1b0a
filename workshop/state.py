"""What the kit remembers between commands: the folder `.workshop/`.

Files are written whole, synced and renamed into place, so that a kill at any moment
leaves either the old or the new content. One lock is held for the life of a command.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import string
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workshop.errors import WorkshopError
from workshop.manifest import ROOT

FOLDER = ROOT / ".workshop"
HOST_FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lamp-ha-workshop"


def path(name: str) -> Path:
    """A path below `.workshop/`; the folder is made, for its owner only."""
    result = FOLDER / name
    if not result.parent.is_dir():
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        result.parent.mkdir(parents=True, exist_ok=True)
    return result


def write(name: str, text: str, mode: int = 0o644) -> Path:
    """Replace `.workshop/NAME` in one step."""
    return write_file(path(name), text, mode)


def write_file(target: Path, text: str, mode: int = 0o644) -> Path:
    """Replace the file `target` in one step: written beside it, synced, renamed."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise WorkshopError(
            f"cannot write {target}: {error.strerror}; free some space or rights, then run it again"
        ) from None
    return target


def load(name: str, default: Any) -> Any:
    """Content of the JSON file `.workshop/NAME`, or `default` where there is none."""
    try:
        found = json.loads(path(name).read_text())
    except FileNotFoundError:
        return default
    except ValueError:
        raise damaged(name) from None
    if default is not None and not isinstance(found, type(default)):
        raise damaged(name)
    return found


def damaged(name: str) -> WorkshopError:
    """The error that says so, and the cure."""
    return WorkshopError(
        f".workshop/{name} is damaged; `invoke destroy` removes it and starts afresh"
    )


def store(name: str, value: Any, mode: int = 0o644) -> None:
    """Replace the JSON file `.workshop/NAME`."""
    write(name, json.dumps(value, indent=1, sort_keys=True) + "\n", mode)


def identifier() -> str:
    """Six characters that mark everything this workshop creates."""
    file = path("id")
    if not file.exists():
        write("id", secrets.token_hex(3) + "\n")
    return file.read_text().strip()


def secret(name: str, form: str) -> str:
    """A secret of this workshop, made on first use and kept (0600).

    `form` is a pattern in which `{hex}` stands for 40 random hexadecimal digits and
    `{word}` for 20 random letters and digits.
    """
    known: dict[str, str] = load("secrets.json", {})
    if name not in known:
        alphabet = string.ascii_letters + string.digits
        word = "".join(secrets.choice(alphabet) for _ in range(20))
        known[name] = form.format(hex=secrets.token_hex(20), word=word)
        store("secrets.json", known, 0o600)
    return known[name]


def key() -> Path:
    """Private key of this workshop's own, made on first use (0600)."""
    file = path("key")
    if not file.exists():
        temporary = file.with_name(".key.new")
        for leftover in (temporary, temporary.with_suffix(".new.pub")):
            leftover.unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lamp-ha-workshop"]
        done = subprocess.run(
            [*words, "-f", temporary], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode or not temporary.stat().st_size:
            why = (done.stderr.strip() or "it wrote nothing").splitlines()[-1]
            raise WorkshopError(f"cannot make this workshop's key: {why}; free some space")
        os.replace(f"{temporary}.pub", f"{file}.pub")
        os.replace(temporary, file)
    return file


BOUNDARIES = (
    *("namespace", "libvirtd", "libvirtd-up", "networks", "networks-up"),
    *("create", "vagrant", "vagrant-runs", "vagrant-done", "taken-over"),
    *("save", "saving", "saved-paused", "saved", "restore", "loading", "loaded", "restored"),
    *("staged", "step", "built", "checks", "fault", "faulted", "heal", "healed"),
    *("remove", "removed", "cleaned"),
)


def journal(event: str, **details: Any) -> None:
    """Append one line to the journal, synced before anything it announces happens.

    `event` is one of `BOUNDARIES`: the points at which `invoke torture` kills the kit.
    """
    if event not in BOUNDARIES:
        raise ValueError(f"{event} is no boundary of the journal")
    line = json.dumps({"time": round(time.time(), 3), "event": event, **details})
    try:
        with path("journal").open("a") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise WorkshopError(f"cannot write .workshop/journal: {error.strerror}") from None
    wanted, _, name = os.environ.get("WORKSHOP_TORTURE", "").partition("=")
    if wanted == event:
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(0.1)  # a signal handler runs at the next line


@contextlib.contextmanager
def lock(command: str) -> Iterator[None]:
    """Hold the workshop's lock; refused at once while another command holds it."""
    with path("lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another command"
            raise WorkshopError(
                f"`{holder}` is running in this folder; wait for it, or stop it with Ctrl-C"
            ) from None
        stream.seek(0)
        stream.truncate()
        stream.write(f"invoke {command} (process {os.getpid()})")
        stream.flush()
        try:
            yield
        finally:
            stream.seek(0)
            stream.truncate()


def claim() -> None:
    """Make this folder the owner of the host's one cluster, or say who is."""
    file = HOST_FOLDER / "owner"
    if file.exists():
        owner = Path(file.read_text().strip())
        if owner != ROOT and (owner / ".workshop").exists():
            raise WorkshopError(
                f"this machine runs one cluster, and it belongs to {owner}; "
                "run `invoke destroy` there first"
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, f"{ROOT}\n")


def forget() -> None:
    """Drop everything but logs: the end of `destroy`."""
    file = HOST_FOLDER / "owner"
    if file.exists() and file.read_text().strip() == str(ROOT):
        file.unlink()
    for entry in FOLDER.iterdir() if FOLDER.exists() else []:
        if entry.name in ("lock", "logs", "run.stamp"):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
