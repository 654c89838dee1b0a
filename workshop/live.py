"""The running cluster as checks, steps and the demo see it."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import testinfra.backend.base
import testinfra.host

from workshop import facts
from workshop.errors import WorkshopError
from workshop.machines import Machines
from workshop.manifest import ROLES, Lab
from workshop.remote import Local, Remote, Result, parallel
from workshop.steps import CLIENT


class _Backend(testinfra.backend.base.BaseBackend):  # type: ignore[misc]
    """pytest-testinfra over the kit's own connection."""

    NAME = "workshop"

    def __init__(self, remote: Remote) -> None:
        super().__init__(remote.name)
        self._remote = remote

    def run(self, command: str, *args: str, **_: Any) -> Any:
        text = self.get_command(command, *args)
        done = self._remote.run(text, check=False)
        return self.result(done.status, text, done.stdout.encode(), done.stderr.encode())


@dataclass(frozen=True)
class Answer:
    """What a visitor got: status (0 when there was no answer at all), body and headers."""

    status: int
    body: str
    headers: dict[str, str]


class Live:
    """A lab's nodes, running."""

    def __init__(self, machines: Machines, lab: Lab) -> None:
        self.machines = machines
        self.lab = lab
        self.client = Local()

    @property
    def nodes(self) -> list[str]:
        return self.lab.nodes

    @property
    def variables(self) -> dict[str, Any]:
        """The lab's variables."""
        return dict(self.lab.variables)

    def remote(self, node: str) -> Remote:
        """The node's shell; `client` is the reader's own machine."""
        return self.client if node == CLIENT else self.machines.remote(node)

    def run(self, node: str, command: str, timeout: float = 60, check: bool = True) -> Result:
        """Run a command as root on a node; `timeout` in seconds."""
        return self.remote(node).run(command, timeout, check)

    def said(self, node: str, command: str, timeout: float = 60) -> str:
        """What a command says on a node, whatever became of it: standard output, then standard
        error, without the space around; `timeout` in seconds."""
        return self.run(node, command, timeout, check=False).output.strip()

    def everywhere(
        self, command: str, nodes: list[str] | None = None, check: bool = False
    ) -> dict[str, str]:
        """Standard output of a command on several nodes at once; a failure is an error where
        `check` says so."""
        return parallel(lambda n: self.run(n, command, check=check).stdout, nodes or self.nodes)

    def address(self, node: str, network: str = "front") -> str:
        """The node's own address in `front`, `back` or `management`."""
        return self.lab.cluster.address(node, network)

    def host(self, node: str) -> Any:
        """The node as pytest-testinfra's `host`: packages, services, files, processes."""
        return testinfra.host.Host(_Backend(self.remote(node)))

    def holders(self, address: str | None = None) -> list[str]:
        """Nodes of the lab that hold the floating address; switched-off ones hold nothing."""
        states = self.machines.states()
        up = [self.remote(n) for n in self.nodes if states[n] == "running"]
        return facts.vip_holders(up, address or self.lab.file.address)

    def holder(self) -> str:
        """The one node that holds the floating address; a `WorkshopError` where there is not
        exactly one."""
        holders = self.holders()
        if len(holders) != 1:
            raise WorkshopError(
                f"lab {self.lab.number} is not whole: its address is on "
                f"{' and '.join(holders) or 'no node'}; `invoke heal`, or `invoke reset "
                f"{self.lab.number}` and `invoke lab {self.lab.number}`"
            )
        return holders[0]

    def one_holder(self) -> str:
        """The same, for a check: an AssertionError where there is not exactly one."""
        holders = self.holders()
        assert len(holders) == 1, f"the address is on {' and '.join(holders) or 'no node'}"
        return holders[0]

    def peer(self, holder: str) -> str:
        """The node that would take over from `holder`: the other one of the group that has
        it. A lone node is its own peer."""
        members = self.nodes
        for group in self.lab.cluster.groups.values():
            if holder in group and set(group) <= set(self.nodes):
                members = group
                break
        return next((node for node in members if node != holder), holder)

    def named(self, name: str) -> str:
        """The node that a step's `on` means now: `holder` and `peer` are looked up."""
        if name not in ROLES:
            return name
        holder = self.holder()
        return holder if name == "holder" else self.peer(holder)

    def get(self, url: str, timeout: float = 5) -> Answer:
        """GET a page as a visitor; `timeout` in seconds."""
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                body = answer.read().decode(errors="replace")
                return Answer(answer.status, body, dict(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(errors="replace"), dict(error.headers))
        except (OSError, http.client.HTTPException):
            return Answer(0, "", {})

    @property
    def url(self) -> str:
        """The page that visitors of this lab ask for."""
        return f"http://{self.lab.file.address}{self.lab.file.page}"
