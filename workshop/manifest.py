"""What the workshop consists of: the cluster's topology and the labs, read from TOML.

Everything here is pure: no network, no virtual machine. A mistake in a file is a
`WorkshopError` that names the file and the key.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workshop.errors import WorkshopError

ROOT = Path(__file__).resolve().parent.parent
LABS = ROOT / "labs"

Value = str | int | float | bool
ROLES = ("holder", "peer")  # of the floating address: who has it, and who would take it over


class Strict(BaseModel):
    """A table of a TOML file that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(Strict):
    """One network of the cluster; `interface` is its name inside every node."""

    cidr: str
    interface: str
    purpose: str

    @property
    def prefix(self) -> int:
        """Length of the network part, in bits."""
        return ipaddress.ip_network(self.cidr).prefixlen

    def address(self, host: int) -> str:
        """Address of the host numbered `host` in this network."""
        return str(ipaddress.ip_network(self.cidr)[host])


class Node(Strict):
    """One virtual machine; `host` is the host part of its address in every network."""

    host: Annotated[int, Field(ge=2, le=250)]
    memory: Annotated[int, Field(ge=128)]
    does: str


class Cluster(Strict):
    """The topology: `labs/cluster.toml`."""

    networks: dict[str, Network]
    nodes: dict[str, Node]
    groups: dict[str, list[str]]
    variables: dict[str, Value] = {}

    def members(self, name: str) -> list[str]:
        """Nodes that a node's or a group's name stands for, in the cluster's order."""
        if name in self.nodes:
            return [name]
        if name in self.groups:
            return list(self.groups[name])
        known = ", ".join([*self.nodes, *self.groups])
        raise WorkshopError(f"there is no node or group {name!r}; there are: {known}")

    def address(self, node: str, network: str = "front") -> str:
        """Address of `node` in `network`."""
        return self.networks[network].address(self.nodes[node].host)

    def mac(self, node: str, network: str) -> str:
        """Fixed hardware address, so that addresses are known before anything starts."""
        return f"52:54:00:4c:{list(self.networks).index(network):02x}:{self.nodes[node].host:02x}"


class Fault(Strict):
    """A declared fault: what is done, to whom, and the outcome that must follow.

    `does` names a function of `workshop.faults` or of the lab's own `faults.py`;
    `on` is a node, a group, `holder` or `peer` (of the floating address). `leaves` names one
    of several servers behind the address: once the outcome stands it must answer nobody and
    no answer may be bad; after healing it must answer again. Where `may_lose` is set,
    acknowledged writes may be gone afterwards, and where `must_lose` is, some must be: that
    is the lesson.
    Times are seconds and may be expressions over the lab's variables.
    """

    title: str
    does: str
    on: str = "holder"
    options: dict[str, Value] = {}
    expect: str
    serves: Literal["holder", "peer", "both", "nobody", "any"]
    leaves: str = ""
    may_lose: bool = False
    must_lose: bool = False
    shows: str | float = 0  # seconds until it can be noticed; nothing is judged before
    outage: str | float = 0
    settle: str | float = 5
    after_heal: Literal["holder", "peer", "any", "one"] = "one"
    heal_within: str | float = 60
    heal_outage: str | float = 0
    heal_settle: str | float = 0


class LedgerTable(Strict):
    """Where a lab's faults write and count: an address with a MySQL server behind it, an account
    that may insert into the table `ledger` of `database`, the name of the secret that is its
    password, and the nodes that must all show the same rows afterwards."""

    address: str
    port: int = 3306
    user: str
    secret: str
    database: str
    read_from: Annotated[list[str], Field(min_length=1)]
    counter: bool = False
    look_every: Annotated[float, Field(ge=0)] = 0
    fresh: bool = False


class LabFile(Strict):
    """Contents of `lab.toml`."""

    title: str
    summary: str
    requires: list[int] = []
    nodes: list[str]
    address: str = ""
    page: str = "/"
    says: str = ""
    visitors: Annotated[float, Field(gt=0, le=10)] = 10  # requests a second, under a fault
    look: list[str] = []
    variables: dict[str, Value] = {}
    secrets: dict[str, str] = {}
    modes: dict[str, str] = {}
    mysql_cluster: bool = False  # whether it needs the MySQL Cluster packages
    client: str = "mariadb"  # the program that runs the page's `sql` blocks
    ledger: LedgerTable | None = None
    faults: dict[str, Fault] = {}


class Mutation(Strict):
    """One line of the built lab that is broken so that one check must fail."""

    on: str
    file: str = ""
    replace: str = ""
    by: str = ""
    run: str = ""
    within: float = 60


@dataclass(frozen=True)
class Lab:
    """A lab: one folder, `labs/NN-slug`."""

    folder: Path
    file: LabFile
    mutations: dict[str, Mutation]
    cluster: Cluster

    @property
    def number(self) -> int:
        return int(self.folder.name[:2])

    @property
    def name(self) -> str:
        """Folder name, `NN-slug`."""
        return self.folder.name

    @property
    def slug(self) -> str:
        return self.folder.name[3:]

    @property
    def title(self) -> str:
        return self.file.title

    @property
    def nodes(self) -> list[str]:
        """The lab's nodes, groups resolved, in the cluster's order."""
        wanted = {n for name in self.file.nodes for n in self.cluster.members(name)}
        return [n for n in self.cluster.nodes if n in wanted]

    @functools.cached_property
    def variables(self) -> dict[str, Value]:
        """Shared variables, overridden by those of required labs and the lab's own."""
        merged = dict(self.cluster.variables)
        with _blamed(f"{self.name}/lab.toml: requires"):
            required = closure(self.file.requires, self.folder.parent)
        for number in required:
            merged |= lab(number, self.folder.parent).file.variables
        return merged | self.file.variables

    def seconds(self, expression: str | float) -> float:
        """Value in seconds of a bound, which may be a sum such as `deadtime + 20`."""
        if isinstance(expression, int | float):
            return float(expression)
        total = 0.0
        for term in expression.split("+"):
            factor = 1.0
            for word in term.split("*"):
                word = word.strip()
                if re.fullmatch(r"\d+(\.\d+)?", word):
                    factor *= float(word)
                elif isinstance(self.variables.get(word), int | float):
                    factor *= float(self.variables[word])
                else:
                    raise WorkshopError(
                        f"{self.folder.name}/lab.toml: {expression!r}: {word!r} is neither a "
                        "number nor a numeric variable of the lab"
                    )
            total += factor
        return total


def lab_folders(labs: Path = LABS) -> list[Path]:
    """Folders of all labs, in order of their number."""
    paths = sorted(p for p in labs.glob("[0-9][0-9]-*") if (p / "lab.toml").exists())
    for path, following in itertools.pairwise(paths):
        if path.name[:2] == following.name[:2]:
            raise WorkshopError(f"{path.name} and {following.name} have one number; rename one")
    return paths


def labs(folder: Path = LABS) -> list[Lab]:
    """All labs, in order."""
    return [load(p) for p in lab_folders(folder)]


def lab(which: int | str, folder: Path = LABS) -> Lab:
    """The lab with this number, slug or folder name."""
    paths = lab_folders(folder)
    for path in paths:
        if str(which) in (path.name, path.name[3:]) or (
            str(which).isdecimal() and int(which) == int(path.name[:2])
        ):
            return load(path)
    known = ", ".join(f"{int(p.name[:2])} ({p.name[3:]})" for p in paths)
    raise WorkshopError(f"there is no lab {str(which)!r}; there are: {known or 'none yet'}")


def closure(requires: list[int], folder: Path = LABS) -> list[int]:
    """`requires` with all that those labs require, each once, in the order to build them."""
    order: list[int] = []

    def visit(number: int, path: tuple[int, ...]) -> None:
        if number in path:
            circle = " -> ".join(str(n) for n in [*path, number])
            raise WorkshopError(f"labs require each other in a circle: {circle}")
        if number in order:
            return
        for required in lab(number, folder).file.requires:
            visit(required, (*path, number))
        order.append(number)

    for number in requires:
        visit(number, ())
    return order


@contextlib.contextmanager
def _blamed(place: str) -> Iterator[None]:
    """Name the file and key that an error inside the block comes from."""
    try:
        yield
    except WorkshopError as error:
        raise WorkshopError(f"{place}: {error}") from None


@functools.cache
def load(path: Path) -> Lab:
    """The lab in this folder, checked."""
    cluster = cluster_of(path.parent)
    file = read(path / "lab.toml", LabFile)
    mutations: dict[str, Mutation] = {}
    source = path / "mutations.toml"
    if source.exists():
        for name, table in _toml(source).items():
            mutations[name] = _validate(source, Mutation, table, prefix=f"{name}.")
    result = Lab(path, file, mutations, cluster)
    with _blamed(f"{path.name}/lab.toml: nodes"):
        nodes = result.nodes
    for name, fault in file.faults.items():
        if fault.on not in ROLES:
            with _blamed(f"{path.name}/lab.toml: faults.{name}.on"):
                cluster.members(fault.on)
        if fault.leaves and fault.leaves not in nodes:
            raise WorkshopError(
                f"{path.name}/lab.toml: faults.{name}.leaves: "
                f"{fault.leaves!r} is no node of the lab"
            )
    if ledger := file.ledger:
        for node in ledger.read_from:
            if node not in nodes:
                raise WorkshopError(
                    f"{path.name}/lab.toml: ledger.read_from: {node!r} is no node of the lab"
                )
        if ledger.secret not in file.secrets:
            raise WorkshopError(
                f"{path.name}/lab.toml: ledger.secret: there is no secret {ledger.secret!r}"
            )
    for name, mutation in mutations.items():
        with _blamed(f"{path.name}/mutations.toml: {name}.on"):
            cluster.members(mutation.on)
        if bool(mutation.file) != bool(mutation.replace) or not (mutation.file or mutation.run):
            raise WorkshopError(
                f"{path.name}/mutations.toml: {name}: it breaks nothing; it needs file and "
                "replace, or run"
            )
    if not nodes:
        raise WorkshopError(f"{path.name}/lab.toml: nodes: a lab needs at least one")
    try:
        re.compile(file.says)
    except re.error as error:
        raise WorkshopError(f"{path.name}/lab.toml: says: no regular expression: {error}") from None
    for dest, mode in file.modes.items():
        if not re.fullmatch(r"0[0-7]{3}", mode):
            raise WorkshopError(
                f"{path.name}/lab.toml: modes.{dest}: {mode!r} is no file mode such as '0644'"
            )
    return result


@functools.cache
def cluster_of(folder: Path = LABS) -> Cluster:
    """The topology in `folder`/cluster.toml, checked."""
    path = folder / "cluster.toml"
    cluster = read(path, Cluster)
    for group, members in cluster.groups.items():
        for member in members:
            if member not in cluster.nodes:
                raise WorkshopError(f"{path.name}: groups.{group}: there is no node {member!r}")
    hosts = [node.host for node in cluster.nodes.values()]
    if len(hosts) != len(set(hosts)):
        raise WorkshopError(f"{path.name}: nodes: two nodes have the same host number")
    for name, network in cluster.networks.items():
        try:
            ipaddress.ip_network(network.cidr)
        except ValueError as error:
            raise WorkshopError(f"{path.name}: networks.{name}.cidr: {error}") from None
    return cluster


Model = TypeVar("Model", bound=Strict)


def read(path: Path, model: type[Model]) -> Model:
    """The TOML file at `path` as `model`; unknown keys and wrong types are refused."""
    return _validate(path, model, _toml(path))


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def text(path: Path, name: str = "") -> str:
    """The text of a file of the workshop, which has to be UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise WorkshopError(f"{name or _label(path)}: not UTF-8 at byte {error.start}") from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text(path))
    except FileNotFoundError:
        raise WorkshopError(f"{_label(path)} is missing") from None
    except tomllib.TOMLDecodeError as error:
        raise WorkshopError(f"{_label(path)}: not valid TOML: {error}") from None


def _validate(path: Path, model: type[Model], data: Any, prefix: str = "") -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise WorkshopError(f"{_label(path)}: {key}: {what}") from None
