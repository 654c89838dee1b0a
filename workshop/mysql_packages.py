"""MySQL Cluster packages from the sources of Debian's MySQL, where there is no other source."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from workshop import box
from workshop.errors import WorkshopError

SOURCE = "mysql-9.7"  # Debian's source package
SUITE = "sid"  # where Debian has it
VERSION = "9.7.2"  # the one the labs were proved with
SHA256 = "e5a676c7cb73738dc6ea33db2093806ebd512b629a139b897fcab68fcd81aaa4"  # of its archive
BUILDS_WITH = (
    *("build-essential", "cmake", "ninja-build", "bison", "pkg-config", "patchelf", "dpkg-dev"),
    *("libssl-dev", "libncurses-dev", "libtirpc-dev", "rpcsvc-proto", "libnuma-dev", "libaio-dev"),
)
NEEDED_BYTES = 12e9  # sources, objects and packages
STEPS = ("download", "unpack", "configure", "compile", "package")

Say = Callable[[str], None]


def build(checkout: Path, say: Say, until: str = STEPS[-1]) -> Path:
    """Build the packages into packages/ of the checkout; gives that folder.

    About an hour on two cores. Each step that was done is not done again, and compiling
    goes on where it was interrupted. It ends after the step `until`.
    Raises WorkshopError: packages to build with are missing, no space, a step failed.
    """
    lacking = missing()
    if lacking:
        raise WorkshopError(
            f"building takes packages that are not installed: apt install {' '.join(lacking)}"
        )
    work = work_folder()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "build").exists():
        box.require_space(work, NEEDED_BYTES, "building MySQL Cluster")
    into = work / "out"
    into.mkdir(exist_ok=True)
    script = checkout / "mysql-cluster" / "build.sh"
    log = work / "build.log"
    for step in STEPS[: STEPS.index(until) + 1]:
        say(f"{step}: its output goes to {log}")
        began = time.monotonic()
        if step == "download":
            archive = _download(work, log)
        else:
            given = {"unpack": [archive, work], "package": [work, into]}.get(step, [work])
            _run([str(word) for word in (script, step, *given)], log, f"step {step}")
        say(f"{step}: done in {time.monotonic() - began:.0f} s")
    if until == STEPS[-1]:
        _hand_over(into, checkout / "packages")
    return checkout / "packages"


def work_folder() -> Path:
    """Where sources and objects are kept between two attempts."""
    return box.cache_folder().parent / "mysql-cluster"


def missing() -> list[str]:
    """The packages to build with that are not installed."""
    asked = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n", *BUILDS_WITH]
    lines = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
    installed = {line.split()[-1] for line in lines if line.startswith("ii")}
    return [name for name in BUILDS_WITH if name not in installed]


def _download(work: Path, log: Path) -> Path:
    """The archive of the proved version, or else of the one that Debian has now.

    From the mirror this machine uses; apt verifies either.
    """
    if not _archives(work):
        mirror = _mirror()
        name = f"{SOURCE}_{VERSION}.orig.tar.gz"
        address = f"{mirror}pool/main/m/{SOURCE}/{name}"
        fetch = ["/usr/lib/apt/apt-helper", "download-file", address]
        try:
            _run([*fetch, str(work / name), f"SHA256:{SHA256}"], log, "downloading")
        except WorkshopError:
            _download_newest(mirror, work, log)
    return _archives(work)[-1]


def _archives(work: Path) -> list[Path]:
    return sorted(work.glob("mysql-*.orig.tar.?z"))


def _download_newest(mirror: str, work: Path, log: Path) -> None:
    apt = work / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(f"deb-src {mirror} {SUITE} main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    given = [f"--option={name}={value}" for name, value in options.items()]
    _run(["apt-get", *given, "update"], log, "reading Debian's index of sources")
    _run(["apt-get", *given, "--download-only", "source", SOURCE], log, "downloading", work)


def _mirror() -> str:
    """The address of Debian's archive that apt on this machine uses."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    chosen = [*asked, "Origin: Debian", "Component: main"]
    lines = subprocess.run(chosen, capture_output=True, text=True).stdout.splitlines()
    found = [line for line in lines if "security" not in line]
    if not found:
        raise WorkshopError(
            "apt on this machine knows no mirror of Debian: `apt-get update`, or build on Debian"
        )
    return found[0]


def _run(command: list[str], log: Path, what: str, folder: Path | None = None) -> None:
    with log.open("ab") as output:
        status = box.run_to_its_end(command, stdout=output, stderr=output, cwd=folder)
    if status:
        tail = log.read_text(errors="replace").splitlines()[-1:]
        raise WorkshopError(f"{what} failed: {' '.join(tail)}; all of it is in {log}")


def _hand_over(built: Path, packages: Path) -> None:
    """Put the finished packages where the kit looks, the checksums last."""
    packages.mkdir(exist_ok=True)
    for old in packages.glob("mysql-cluster-*.deb"):
        old.unlink()
    debs = sorted(built.glob("*.deb"))
    for deb in debs:
        shutil.move(deb, packages / deb.name)
    sums = "".join(f"{box.sha256(packages / deb.name)}  {deb.name}\n" for deb in debs)
    (packages / "SHA256SUMS").write_text(sums)
