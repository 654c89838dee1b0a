"""What stands at the engine's boundaries in tests, and small labs to try it on."""

from __future__ import annotations

import http.server
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workshop import cli, evidence, host, hypervisor, machines, manifest, state
from workshop.box import Box
from workshop.errors import WorkshopError
from workshop.host import Host
from workshop.manifest import Lab
from workshop.remote import NodeLost, Recorded, Result

RECORDED = Path(__file__).parent / "recorded"
HOST = Host("libvirt", "tcg", "for a test", False, "test:///default")

CLUSTER = """\
[networks.management]
cidr = "192.168.231.0/24"
interface = "eth0"
purpose = "the kit's way in"

[networks.front]
cidr = "192.168.56.0/24"
interface = "eth1"
purpose = "visitors"

[networks.back]
cidr = "192.168.57.0/24"
interface = "eth2"
purpose = "between nodes"

[nodes]
lb1 = { host = 11, memory = 320, does = "director" }
lb2 = { host = 12, memory = 320, does = "director" }
web1 = { host = 13, memory = 320, does = "web server" }

[groups]
directors = ["lb1", "lb2"]
web = ["web1"]
all = ["lb1", "lb2", "web1"]

[variables]
domain = "lamp.test"
"""

LAB = """\
title = "A pair"
summary = "Two machines."
nodes = ["directors"]
address = "192.168.56.100"

[variables]
deadtime = 10
"""

STEPS = """\
# A pair

## Build

```install on=directors
/etc/ha.d/ha.cf
```

## Try
"""

FILES = {"directors/etc/ha.d/ha.cf.j2": "deadtime {{ deadtime }}\nnode {{ node.name }}\n"}


def keep_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have state, caches, daemons and `.vagrant` below this folder, which is made."""
    home.mkdir()
    monkeypatch.setattr(state, "FOLDER", home / ".workshop")
    monkeypatch.setattr(state, "HOST_FOLDER", home / "cache")
    monkeypatch.setattr(state, "ROOT", home)
    monkeypatch.setattr(machines, "ROOT", home)
    monkeypatch.setattr(host, "RUN", home / "run")
    monkeypatch.setattr(host, "VAR", home / "var")
    monkeypatch.setattr(host, "NAMESPACE", "lamp-ha-test-none")
    monkeypatch.setenv("VAGRANT_HOME", str(home / "vagrant.d"))
    monkeypatch.setenv("WORKSHOP_PATIENCE", "1")
    for name in ("WORKSHOP_PROVIDER", "WORKSHOP_PACKAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # for a lab's checks


def be_the_labs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder of labs the one that the engine finds by itself."""
    manifest.cluster_of.cache_clear()
    manifest.load.cache_clear()
    monkeypatch.setattr(manifest, "LABS", folder)
    # defaults were bound when the functions were made
    for function in (manifest.lab_folders, manifest.labs, manifest.cluster_of.__wrapped__):
        monkeypatch.setattr(function, "__defaults__", (folder,))
    for function in (manifest.lab, manifest.closure):
        monkeypatch.setattr(function, "__defaults__", (folder,))


def write_lab(
    labs: Path,
    name: str = "01-pair",
    toml: str = LAB,
    *,
    steps: str = STEPS,
    files: dict[str, str] | None = None,
    checks: str = "",
    mutations: str = "",
    faults: str = "",
) -> Lab:
    """A lab's folder with these contents, loaded."""
    folder = labs / name
    folder.mkdir(exist_ok=True)
    contents = {"lab.toml": toml, "steps.md": steps}
    contents |= {"checks.py": checks, "mutations.toml": mutations, "faults.py": faults}
    for path, text in (FILES if files is None else files).items():
        contents[f"files/{path}"] = text
    for path, text in contents.items():
        if text:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    manifest.load.cache_clear()
    # pytest imports a checks.py once a process, by its path below the root
    sys.modules.pop(f"{labs.name}.{name}.checks", None)
    return manifest.load(folder)


def keyed(lab: Lab, recipe: str, found: dict[str, Any]) -> dict[str, Any]:
    """What a proof of the lab found, its faults and mutations proved of the lab as it is now."""
    whole = evidence.digest(lab, recipe)
    checks = {
        name: {**entry, "of": evidence.broken(lab, whole, name)} if name in lab.mutations else entry
        for name, entry in found.get("checks", {}).items()
    }
    faults = {
        name: {**entry, "of": evidence.faulted(lab, whole, name)}
        for name, entry in found.get("faults", {}).items()
    }
    return {**found, "checks": checks, "faults": faults}


def recorded(name: str) -> str:
    """Captured output of a real tool."""
    return (RECORDED / name).read_text()


@contextmanager
def refused(*words: str, kind: type[BaseException] = WorkshopError) -> Iterator[None]:
    """The block ends in one `WorkshopError` of one line that has all these words, in
    capitals or not."""
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text, "more than one line"
    for word in words:
        assert word.lower() in text.lower()


class FakeHypervisor:
    """A hypervisor that keeps its machines' states and what it was told."""

    def __init__(self) -> None:
        self.domains: dict[str, str] = {}
        self.did: list[tuple[str, ...]] = []
        self.refuses: set[tuple[str, ...]] = set()
        self.then: dict[str, Callable[[], object]] = {}  # what follows a verb

    def _do(self, verb: str, domain: str, becomes: str | None = None, *more: str) -> None:
        if (verb, domain) in self.refuses:
            raise WorkshopError(f"`virsh {verb} {domain}` failed: no")
        self.did.append((verb, domain, *more))
        if becomes is not None:
            self.domains[domain] = becomes
        self.then.get(verb, lambda: None)()

    def prepare(self) -> None:
        self.did.append(("prepare",))

    def clean(self) -> None:
        self.did.append(("clean",))

    def states(self, prefix: str) -> dict[str, str]:
        return {d: s for d, s in self.domains.items() if d.startswith(prefix)}

    def start(self, domain: str, paused: bool = False) -> None:
        self._do("start", domain, "paused" if paused else "running")

    def power_off(self, domain: str) -> None:
        self._do("power_off", domain, "off")

    def pause(self, domain: str) -> None:
        self._do("pause", domain, "paused")

    def resume(self, domain: str) -> None:
        self._do("resume", domain, "running")

    def suspend_to_disk(self, domain: str) -> None:
        self._do("suspend_to_disk", domain, "off")

    def link(self, domain: str, mac: str, up: bool) -> None:
        self._do("link", domain, None, mac, "up" if up else "down")

    def save(self, domain: str, name: str) -> None:
        self._do("save", domain, None, name)

    def load(self, domain: str, name: str) -> None:
        self._do("load", domain, None, name)

    def forget(self, domain: str, name: str) -> None:
        self._do("forget", domain, None, name)

    def remove(self, domain: str) -> None:
        self._do("remove", domain)
        del self.domains[domain]


class FakeNode(Recorded):
    """A recorded node that may be silent, and that takes several files at once."""

    def __init__(self, name: str, answers: dict[str, str | tuple[int, str]]) -> None:
        super().__init__(name, answers)
        self.error: WorkshopError | None = None

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        if self.error is not None:
            raise self.error
        return super().run(command, timeout, check)

    def put_many(self, files: list[tuple[str, str, bytes]]) -> None:
        for path, mode, content in files:
            self.put(content, path, mode)


class Fleet:
    """Machines of the small topology over `FakeHypervisor` and recorded nodes."""

    def __init__(self, labs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hypervisor = FakeHypervisor()
        self.cluster = manifest.cluster_of(labs)
        self.nodes: dict[str, FakeNode] = {}
        monkeypatch.setattr(hypervisor, "Libvirt", lambda *_: self.hypervisor)
        monkeypatch.setattr(machines, "Ssh", lambda name, *_args, **_named: self.nodes[name])
        for name in ("key", "key.pub"):
            state.path(name).write_text(f"the fake {name}\n")
        self.machines = machines.Machines(self.cluster, HOST)
        for name in self.cluster.nodes:
            self.nodes[name] = FakeNode(name, {"": ""})
        for name in ("lb1", "lb2"):
            self.set(name, "running")

    def set(self, node: str, what: str) -> None:
        """Have the machine in this state, as one that was taken over properly."""
        self.hypervisor.domains[self.machines.domain(node)] = what
        state.path(f"known/{node}").write_text("a host key\n")

    def holds(self, holder: str, address: str = "192.168.56.100") -> None:
        """Let this node (or several), and no other, show the floating address."""
        without = recorded("ip-addr-lb1.txt").replace("127.0.0.1", "127.0.0.9")
        for name, node in self.nodes.items():
            held = recorded("ip-addr-lb2.txt").replace("192.168.56.100", address)
            shown = held if name in holder.split(",") else without
            node.answers = {"ip -o -4 addr show": shown, "": ""}

    def here(self, monkeypatch: pytest.MonkeyPatch) -> Fleet:
        """Have the commands find these machines as this host's own, with a box."""
        image = Box(state.path("box"), {"image_sha256": "ab" * 32})
        monkeypatch.setattr(cli.box, "ready", lambda _root, _say: image)
        monkeypatch.setattr(host, "detect", lambda *_: HOST)
        monkeypatch.setattr(host, "enter", lambda _host: None)
        self.machines.box = image
        return self

    def did(self, verb: str) -> list[str]:
        """Nodes to which the hypervisor did this, in order."""
        prefix = self.machines.prefix
        return [d[1].removeprefix(prefix) for d in self.hypervisor.did if d[0] == verb]

    def refuse(self, verb: str, node: str) -> None:
        """Have the hypervisor refuse this to this node."""
        self.hypervisor.refuses.add((verb, self.machines.domain(node)))

    def lose(self, node: str) -> None:
        """Have the node not answer any more."""
        self.nodes[node].error = NodeLost(f"{node} stopped answering; `invoke status` shows why")


def tool(folder: Path, name: str, script: str) -> Path:
    """An executable shell script that stands for a tool of the host."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return path


def first_in_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have the tools in this folder found before the host's own."""
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@contextmanager
def web(answer: Callable[[str], tuple[int, bytes] | bytes]) -> Iterator[str]:
    """A web server on 127.0.0.1; `answer` gives status and body, or raw bytes, for a path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = answer(self.path)
            if isinstance(given, bytes):
                self.wfile.write(given)
                return
            self.send_response(given[0])
            self.end_headers()
            self.wfile.write(given[1])

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


PLAY = """\
# A pair

Two machines share *one* address.

## Build

### Files

They say who the nodes are. `ha.cf` is read at the start.

```install on=directors
/etc/ha.d/ha.cf
```

### Start

Both start. It takes a while.

```notes
Tell the story of the cleaner.
```

```sh on=directors
start everything
```

```sh on=client watch
ask for the page
```

```expect within=5s
/served by lb[12]/
```

## Try

Everything can break.

### The cable

It is pulled.

```fault dark
```

### Have a look

First this.

!!! gotcha "Not that"
    It is nothing.

```sh on=lb1
look here
```

```sh on=lb1 fails
look there
```
"""

PLAY_FAULT = """
[faults.dark]
title = "The cable"
does = "command"
options = { run = "cut it" }
expect = "Nothing at all."
serves = "holder"
outage = 20
settle = 0
heal_outage = 20
"""


def write_play(labs: Path, steps: str = PLAY) -> Lab:
    """A lab to perform: eight scenes in six sections, one with notes, one fault."""
    toml = "says = 'served by <strong>(\\w+)</strong>'\n" + LAB + PLAY_FAULT
    return write_lab(labs, toml=toml, steps=steps, checks='def check_it():\n    """It holds."""\n')
