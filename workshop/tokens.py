"""The labs' files with a token for whatever an inventory may change.

Templates are rendered with a topology whose values are tokens; what stands in a file as it is,
such as `lb1` or `eth1`, is found as a whole word. A value that a template takes apart (a slice, a
sum, an escaped dot) leaves a token that nobody knows, and that is an error which names the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workshop import inventory, manifest, render, steps
from workshop.errors import WorkshopError
from workshop.inventory import NETWORKS, token
from workshop.manifest import Cluster, Lab, Network, Value
from workshop.steps import Page

MAC = "52:54:00"  # how hardware addresses of the kit's machines begin


class TokenNetwork(Network):
    """A network that gives tokens for its values."""

    def known(self) -> dict[int, str]:
        """Token of each host number that an inventory names."""
        return self.__dict__["tokens"]  # type: ignore[no-any-return]

    @property
    def prefix(self) -> str:  # type: ignore[override]
        """A token for the length of the network part."""
        return self.cidr.replace(".cidr@@", ".prefix@@")

    def address(self, host: int) -> str:
        """A token for the address; one that nobody knows where no inventory names it."""
        return self.known().get(host, f"@@no.inventory.names.host.{host}@@")


class TokenLab(Lab):
    """A lab in whose topology and variables tokens stand for values."""

    @property
    def variables(self) -> dict[str, Value]:
        """The lab's variables, those that an inventory names as tokens."""
        found = super().variables
        addresses = inventory.floating([Lab(self.folder, self.file, {}, self.cluster_itself)])
        tokens = {name: token(f"addresses.{name}") for name in addresses}
        return found | tokens | ({"domain": token("domain")} if "domain" in found else {})

    @property
    def cluster_itself(self) -> Cluster:
        return manifest.cluster_of(self.folder.parent)


def tokened(lab: Lab, labs: list[Lab]) -> TokenLab:
    """The lab with tokens for the values of an inventory of `labs`."""
    return TokenLab(lab.folder, lab.file, {}, _cluster(lab.cluster, labs))


def _cluster(cluster: Cluster, labs: list[Lab]) -> Cluster:
    floating = inventory.floating(labs)
    networks: dict[str, Network] = {}
    for name, itself in cluster.networks.items():
        hosts = {n.host: token(f"nodes.{node}.{name}") for node, n in cluster.nodes.items()}
        first = int(inventory.span(itself.cidr)[0])
        for variable, (where, address) in floating.items():
            if where == name:
                hosts[inventory.number(address) - first] = token(f"addresses.{variable}")
        network = TokenNetwork.model_construct(
            cidr=token(f"networks.{name}.cidr"),
            interface=token(f"networks.{name}.interface"),
            purpose=itself.purpose,
        )
        network.__dict__["tokens"] = hosts
        networks[name] = network
    return Cluster.model_construct(
        networks=networks,
        nodes=cluster.nodes,
        groups=cluster.groups,
        variables=cluster.variables,
    )


class Words:
    """Finds the course's own values where they stand as whole words, and puts tokens there."""

    def __init__(self, labs: list[Lab]) -> None:
        self.labs, self.defaults = labs, inventory.defaults(labs)
        self.known = {field.default: field.token for field in inventory.fields(labs)}
        self.keys = {field.key for field in inventory.fields(labs)} | set(inventory.derived(labs))
        self.names = [f.default for f in inventory.fields(labs) if f.kind == "name"]
        # the longest first: a network's address is the beginning of its CIDR
        words = "|".join(re.escape(word) for word in sorted(self.known, key=len, reverse=True))
        self.pattern = re.compile(
            # what a backslash and a letter stand for is no part of a word
            rf"{inventory.TOKEN}|(?:(?<![A-Za-z0-9_])(?<![0-9]\.)|(?<=\\[bnst]))(?:{words})"
            r"(?![A-Za-z0-9_]|\.[0-9])"
        )
        floating = inventory.floating(labs)
        self.bits = {}
        for name in NETWORKS:
            addresses = [f.token for f in inventory.fields(labs) if f.key.endswith(f".{name}")]
            addresses += [token(f"addresses.{v}") for v, (n, _) in floating.items() if n == name]
            prefix = labs[0].cluster.networks[name].prefix
            group = "|".join(re.escape(each) for each in addresses)
            self.bits[name] = re.compile(rf"({group})/{prefix}(?![0-9])")

    def replaced(self, text: str) -> str:
        """`text` with tokens for whole words, and for a network's bits after an address."""
        text = self.pattern.sub(lambda m: self.known.get(m[0], m[0]), text)
        for name, pattern in self.bits.items():
            text = pattern.sub(
                lambda m, name=name: f"{m[1]}/{token(f'networks.{name}.prefix')}",  # type: ignore[misc]
                text,
            )
        return text

    def pattern_of(self, text: str) -> str:
        """A regular expression, as `replaced`; `lb[12]` and `web\\d` become a choice of names."""

        def choice(match: re.Match[str]) -> str:
            fit = [name for name in self.names if re.fullmatch(match[0], name)]
            return f"(?:{'|'.join(fit)})" if fit else match[0]

        text = re.sub(r"(?<![A-Za-z0-9_])[a-z]+(?:\[[0-9-]+\]|\\d)", choice, text)
        return self.replaced(text.replace(MAC, "..:..:.."))

    def checked(self, text: str, place: str) -> str:
        """`text`, unless a token stands in it that an inventory does not know."""
        left = re.sub(r"@@SET-[A-Z0-9-]+@@", "", text)
        for match in re.finditer(inventory.TOKEN, left):
            if match[1] not in self.keys:
                what = match[1].removeprefix("no.inventory.names.").replace(".", " ")
                raise WorkshopError(
                    f"{place}: {what}: no inventory names this; give it a variable of its own"
                )
        if "@@" in self._without_variables(re.sub(inventory.TOKEN, "", left)):
            raise _apart(place)
        return text

    def _without_variables(self, text: str) -> str:
        """`text` without a database's variables, @@hostname, which no token begins like."""
        return re.sub(
            r"@@([a-z_]+)\b(?!@@)",
            lambda found: found[0] if any(k.startswith(found[1]) for k in self.keys) else "",
            text,
        )

    def faithful(self, text: str, itself: str, place: str) -> str:
        """`text` with its tokens, which with the course's own values is the text `itself`."""
        text = self.checked(self.replaced(text), place)
        if inventory.substitute(text, self.defaults, self.labs) != itself:
            raise _apart(place)
        return text


def _apart(place: str) -> WorkshopError:
    return WorkshopError(
        f"{place}: a value of the topology is taken apart, which an inventory cannot follow; "
        "use it whole"
    )


@dataclass(frozen=True)
class TokenFile:
    """One file with tokens in its path and in its text."""

    path: str
    text: str
    mode: str = "0644"


def configs(labs: list[Lab]) -> list[TokenFile]:
    """What lies in `configs/`, with tokens, in the same order."""
    words = Words(labs)
    found = []
    for lab in labs:
        with_tokens = tokened(lab, labs)
        modes = {place(file): file.mode for file in render.files(lab)}
        texts = render.published(with_tokens)
        for path, itself in render.published(lab).items():
            name = f"{lab.name}/{path}"
            try:
                text = words.faithful(texts[path].decode(), itself.decode(), name)
            except UnicodeDecodeError:
                raise WorkshopError(f"{name}: not UTF-8: the bundle holds texts only") from None
            found.append(TokenFile(words.faithful(name, name, name), text, modes.get(name, "0644")))
    return found


def place(file: render.File) -> str:
    """Where the rendered file lies in the bundle, as in `configs/`."""
    stage = f"@{file.stage}" if file.stage else ""
    return f"{file.source.split('/')[0]}/{file.node}{stage}/{file.path}"


def page(lab: Lab, labs: list[Lab]) -> tuple[Page, list[render.File]]:
    """The lab's page with tokens, and the files that its `install` steps may name."""
    required = [manifest.lab(n, lab.folder.parent) for n in manifest.closure(
        lab.file.requires, lab.folder.parent)]  # fmt: skip
    files = [file for each in (*required, lab) for file in render.files(tokened(each, labs))]
    return steps.parse(tokened(lab, labs)), files
