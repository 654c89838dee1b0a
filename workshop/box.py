"""The box: the Debian machine that every VM of the workshop is a copy of.

`build` makes it from the recipe in `box/` into the user's cache; `cached` finds
it again. The recipe's digest names the cache folder, so a changed recipe, or
other MySQL Cluster packages, means another box.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from workshop.errors import WorkshopError

Say = Callable[[str], None]

RELEASE = "bookworm"
EPOCH = 1767225600  # 2026-01-01: no file in the image is younger
NEEDED_BYTES = 6_000_000_000  # root, raw image and packed boxes while building
DISK_GIB = 6  # as in box/disk.sh
STOP_SECONDS = 30.0  # for an interrupted command to end
REMOVE_TRIES = 50
TOOLS = {  # program: Debian package
    "mmdebstrap": "mmdebstrap",
    "apt-ftparchive": "apt-utils",
    "mke2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "qemu-img": "qemu-utils",
}
VAGRANT_KEYS = (
    "/usr/share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub",
    "/usr/share/vagrant*/keys/vagrant.pub",
    "/opt/vagrant/embedded/gems/gems/vagrant-*/keys/vagrant.pub",
    "/opt/vagrant/embedded/gems/*/gems/vagrant-*/keys/vagrant.pub",
)


@dataclass(frozen=True)
class Box:
    """A finished box in the cache."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the raw disk image."""
        return str(self.manifest["image_sha256"])

    @property
    def name(self) -> str:
        """Vagrant's name of the box; another image has another name."""
        return f"lamp-ha/{RELEASE}-{self.digest[:12]}"

    @property
    def kernel(self) -> Path:
        """The kernel inside the image, for booting it directly."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initrd inside the image, for booting it directly."""
        return self.folder / "initrd.img"

    @property
    def cmdline(self) -> str:
        """The kernel's parameters, as the image's boot loader gives them."""
        return str(self.manifest["cmdline"])

    def file(self, provider: str) -> Path:
        """The .box file of a provider: "libvirt" or "virtualbox"."""
        return self.folder / f"{provider}.box"

    def damage(self, *, thorough: bool = False) -> str | None:
        """What is wrong with the box's files, or None.

        Compares sizes; `thorough` reads every file and compares its SHA-256.
        """
        for name, entry in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file():
                return f"box file {path} is missing"
            if path.stat().st_size != entry["bytes"]:
                return f"box file {path} is damaged (cut short?)"
            if thorough and sha256(path) != entry["sha256"]:
                return f"box file {path} is damaged (its checksum differs)"
        return None


def cache_folder() -> Path:
    """The folder that holds all boxes."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lamp-ha-workshop" / "boxes"


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_folder(checkout: Path) -> Path | None:
    """The folder with the MySQL Cluster packages, or None where there is none.

    In order: $WORKSHOP_PACKAGES (set but empty means none), packages/ in the
    checkout, shared/mysql-cluster beside the checkout.
    Raises WorkshopError if $WORKSHOP_PACKAGES names a folder without packages.
    """
    named = os.environ.get("WORKSHOP_PACKAGES")
    if named == "":
        return None
    if named:
        if not list(Path(named).glob("mysql-cluster-*.deb")):
            raise WorkshopError(
                f"WORKSHOP_PACKAGES={named} holds no mysql-cluster-*.deb: "
                "name a folder that does, or unset it"
            )
        return Path(named).resolve()
    checkout = checkout.resolve()
    for folder in (checkout / "packages", checkout.parent / "shared" / "mysql-cluster"):
        if list(folder.glob("mysql-cluster-*.deb")):
            return folder
    return None


def package_checksums(folder: Path) -> dict[str, str]:
    """Name and SHA-256 of each .deb in a folder, checked against SHA256SUMS.

    Raises WorkshopError naming the file that differs or is not listed.
    """
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise WorkshopError(
            f"{sums} is missing: make it with 'sha256sum *.deb >SHA256SUMS' "
            "where the packages come from"
        )
    lines = (line.split(maxsplit=1) for line in sums.read_text().splitlines() if line.strip())
    listed = {name.strip().lstrip("*"): digest for digest, name in lines}
    found = {deb.name: sha256(deb) for deb in sorted(folder.glob("*.deb"))}
    for name, digest in found.items():
        if listed.get(name) != digest:
            raise WorkshopError(f"{folder / name} does not match {sums}: copy it again")
    return found


def recipe_digest(checkout: Path, package_list: str = "packages.txt", *, added: bool = True) -> str:
    """SHA-256 (hex) of the recipe: box/ without its README, and the added MySQL packages.

    Without what is added it is the same on every machine: evidence is keyed by that.
    Raises WorkshopError as `package_folder` and `package_checksums` do.
    """
    digest = hashlib.sha256(f"{package_list}\n".encode())
    box = checkout / "box"
    for path in sorted(box.rglob("*")):
        if path.is_file() and path.suffix not in (".md", ".pyc"):
            digest.update(f"{path.relative_to(box)} {sha256(path)}\n".encode())
    folder = package_folder(checkout) if added else None
    for name, checksum in package_checksums(folder).items() if folder else ():
        digest.update(f"{name} {checksum}\n".encode())
    return digest.hexdigest()


def cached(
    checkout: Path,
    say: Say = lambda line: None,
    *,
    thorough: bool = False,
    package_list: str = "packages.txt",
) -> Box | None:
    """The box of this recipe, or None if it is not built or (says so) damaged.

    Compares the files' sizes; `thorough` also their SHA-256.
    """
    folder = cache_folder() / recipe_digest(checkout, package_list)[:16]
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        say(f"box file {folder / 'manifest.json'} is damaged (cut short?); building it again")
        return None
    box = Box(folder, manifest)
    if damage := box.damage(thorough=thorough):
        say(f"{damage}; building it again")
        return None
    return box


def ready(checkout: Path, say: Say) -> Box:
    """The box, built where there is none; raises as `build` does."""
    return cached(checkout, say) or build(checkout, say)


def build(checkout: Path, say: Say, *, package_list: str = "packages.txt") -> Box:
    """Build the box and give it; about five minutes on two cores.

    A half-built box is never in place: the work is done in a folder of its own,
    which is removed whatever happens. If another build was running, waits for
    it and gives its box. Says each phase with its duration.
    Raises WorkshopError: no space, a tool missing, packages damaged, build failed.
    """
    checkout = checkout.resolve()
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    require_tools()
    recipe = recipe_digest(checkout, package_list)
    packages = package_folder(checkout)
    with lock(cache, say) as (lock_file, waited):
        if waited and (box := cached(checkout, say, package_list=package_list)):
            return box
        for leftover in cache.glob(".building*"):
            remove(leftover)
        require_space(cache)
        work = cache / ".building"
        work.mkdir()
        try:
            builder = Builder(
                box=checkout / "box",
                work=work,
                package_list=package_list,
                packages=packages,
                log=cache / "build.log",
                lock_file=lock_file,
                say=say,
            )
            finished = builder.run()
            final = cache / recipe[:16]
            remove(final)
            finished.rename(final)
        finally:
            remove(work)
    return Box(final, json.loads((final / "manifest.json").read_text()))


def require_tools() -> None:
    """Raises WorkshopError naming every missing package of the host."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted(
        {package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}
    )
    if missing:
        raise WorkshopError(
            f"building the box needs {', '.join(missing)}: apt-get install {' '.join(missing)}"
        )
    vagrant_key()


def require_space(
    cache: Path, needed: float = NEEDED_BYTES, what: str = "building the box"
) -> None:
    """Raises WorkshopError if the cache's file system has not the bytes that are `needed`."""
    free = shutil.disk_usage(cache).free
    if free < needed:
        raise WorkshopError(
            f"{cache} has {free / 1e9:.1f} GB free and {what} needs "
            f"{needed / 1e9:.0f} GB: free some, or set XDG_CACHE_HOME to a larger disk"
        )


def vagrant_key() -> Path:
    """Vagrant's public insecure key on this host; WorkshopError if it has none."""
    for pattern in VAGRANT_KEYS:
        for path in sorted(Path("/").glob(pattern[1:])):
            return path
    raise WorkshopError("Vagrant's vagrant.pub was not found: apt-get install vagrant")


@contextmanager
def lock(cache: Path, say: Say) -> Iterator[tuple[IO[str], bool]]:
    """Hold the lock of the cache; gives its file and whether it had to wait."""
    with (cache / ".lock").open("w") as file:
        waited = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("box: another build is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        yield file, waited


def as_root(command: list[str], environment: dict[str, str]) -> list[str]:
    """The command with its environment, through sudo where we are not root."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    return [*([] if os.geteuid() == 0 else ["sudo"]), "env", *settings, *command]


def remove(folder: Path) -> None:
    """Remove a folder that may hold root's files.

    Raises WorkshopError if it is still there after several tries: what an
    interrupted build started may still write to it for a moment.
    """
    command = as_root(["rm", "-rf", "--one-file-system", str(folder)], {})
    for _ in range(REMOVE_TRIES):
        if not folder.exists():
            return
        subprocess.run(command, stderr=subprocess.DEVNULL)
        time.sleep(0.2 if folder.exists() else 0)
    if folder.exists():
        raise WorkshopError(f"{folder} cannot be removed: run '{shlex.join(command)}'")


def run_to_its_end(command: list[str], **options: Any) -> int:
    """Run a command; gives its exit status.

    Where we are interrupted, it is told to stop and has STOP_SECONDS to undo
    its mounts.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def host_apt_options() -> list[str]:
    """The host's apt settings on how to reach a mirror (proxies and the like)."""
    dump = subprocess.run(
        ["apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries")
    return [f"--aptopt={line}" for line in dump.stdout.splitlines() if line.startswith(wanted)]


def add_to_tar(tar: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    """Add a file with fixed owner and time."""
    entry = tarfile.TarInfo(name)
    entry.mtime = EPOCH
    if isinstance(content, bytes):
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    else:
        entry.size = content.stat().st_size
        with content.open("rb") as file:
            tar.addfile(entry, file)


@dataclass
class Builder:
    """One run of the build, in the folder `work`."""

    box: Path
    work: Path
    package_list: str
    packages: Path | None
    log: Path
    lock_file: IO[str]
    say: Say

    def run(self) -> Path:
        """Build everything; gives the folder that holds the finished files."""
        seconds: dict[str, float] = {}
        out = self.work / "out"
        out.mkdir()
        self.log.write_text("")
        for phase, step in (
            ("install packages", self.install),
            ("make the disk image", self.make_disk),
            ("pack the boxes", self.pack),
        ):
            start = time.monotonic()
            step()
            seconds[phase] = round(time.monotonic() - start, 1)
            self.say(f"box: {phase}: {seconds[phase]:.0f} s")
        if self.packages is None:
            self.say("box: no MySQL Cluster packages found: its labs are left out")
        self.write_manifest(seconds)
        return out

    def command(self, *command: str, root: bool = False) -> None:
        """Run a command into the log; WorkshopError with its last line if it fails."""
        environment = {
            "SOURCE_DATE_EPOCH": str(EPOCH),
            "LC_ALL": "C.UTF-8",
            "BOX": str(self.box),
            "DEBS": str(self.packages or ""),
            "VAGRANT_KEY": str(vagrant_key()),
        }
        arguments = as_root(list(command), environment) if root else list(command)
        with self.log.open("a") as log:
            code = run_to_its_end(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.work, pass_fds=(self.lock_file.fileno(),),
            )  # fmt: skip
        if code:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line]
            errors = [line for line in lines if line.startswith("E:")] or lines or ["no output"]
            program = Path(command[0]).name
            raise WorkshopError(
                f"building the box failed in {program}: {errors[0]} (all of it: {self.log})"
            )

    def install(self) -> None:
        """The root file system, in root/."""
        lines = (self.box / self.package_list).read_text().splitlines()
        names = [name for line in lines for name in line.split("#")[0].split()]
        self.command(
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            "--variant=minbase",
            "--skip=cleanup/apt",
            f"--include={','.join(names)}",
            '--aptopt=APT::Install-Recommends "false"',
            *host_apt_options(),
            f"--dpkgopt={self.box / 'files/etc/dpkg/dpkg.cfg.d/lab'}",
            '--essential-hook=chroot "$1" debconf-set-selections <"$BOX/debconf"',
            f"--customize-hook={self.box / 'customize.sh'}",
            RELEASE,
            str(self.work / "root"),
            root=True,
        )

    def make_disk(self) -> None:
        """disk.raw, and the kernel and its companions in out/."""
        self.command(str(self.box / "disk.sh"), "root", "disk.raw", "out", root=True)
        self.command("chown", "-R", f"{os.getuid()}:{os.getgid()}", "disk.raw", "out", root=True)

    def pack(self) -> None:
        """libvirt.box and virtualbox.box in out/, both at a time."""
        with ThreadPoolExecutor() as pool:
            for job in [pool.submit(self.pack_libvirt), pool.submit(self.pack_virtualbox)]:
                job.result()

    def pack_libvirt(self) -> None:
        disk = self.convert("box.img", "-c", "-O", "qcow2", "-o", "compression_type=zstd")
        metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK_GIB}
        self.write_box("libvirt", metadata, {"box.img": disk})

    def pack_virtualbox(self) -> None:
        disk = self.convert("box-disk.vmdk", "-O", "vmdk", "-o", "subformat=streamOptimized")
        ovf = (self.box / "box.ovf").read_text()
        ovf = ovf.replace("@FILE_BYTES@", str(disk.stat().st_size))
        ovf = ovf.replace("@DISK_BYTES@", str(DISK_GIB << 30))
        self.write_box(
            "virtualbox",
            {"provider": "virtualbox"},
            {"box.ovf": ovf.encode(), "box-disk.vmdk": disk},
        )

    def convert(self, name: str, *options: str) -> Path:
        """disk.raw in another format."""
        self.command("qemu-img", "convert", *options, "-f", "raw", "disk.raw", name)
        return self.work / name

    def write_box(
        self, provider: str, metadata: dict[str, Any], files: Mapping[str, Path | bytes]
    ) -> None:
        with tarfile.open(self.work / "out" / f"{provider}.box", "w") as tar:
            add_to_tar(tar, "metadata.json", json.dumps(metadata).encode())
            add_to_tar(tar, "Vagrantfile", (self.box / f"Vagrantfile.{provider}").read_bytes())
            for name, content in files.items():
                add_to_tar(tar, name, content)

    def write_manifest(self, seconds: dict[str, float]) -> None:
        out = self.work / "out"
        versions = out / "package-versions"
        packages = dict(line.split() for line in versions.read_text().splitlines())
        versions.unlink()
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in sorted(out.iterdir())
        }
        manifest = {
            "image_sha256": sha256(self.work / "disk.raw"),
            "mysql_cluster": self.packages is not None,
            "virtualbox_tested": False,
            "cmdline": (self.box / "cmdline").read_text().strip(),
            "files": files,
            "build_seconds": seconds,
            "packages": packages,
        }
        (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
