"""The machine the kit runs on: which provider, which accelerator, which libvirtd.

Where systemd runs, the host's own libvirtd is used. Where it does not, the kit starts a
libvirtd of its own inside a network namespace and a mount namespace, so that the host's
libvirt and network are never touched; `enter` moves this process into that network.
"""

from __future__ import annotations

import bz2
import ctypes
import functools
import math
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from workshop import state
from workshop.errors import WorkshopError

NAMESPACE = "lamp-ha"
RUN = Path("/run/lamp-ha-workshop")
VAR = Path("/var/lib/lamp-ha-workshop")
CLONE_NEWNET = 0x40000000
KVM_TRIAL = 12.0  # seconds a kernel may take under KVM to come to its end
REFERENCE = 0.003  # seconds of processor time in which the reference machine does the sample
SAMPLES = 60
SLOWEST = 4.0  # a factor beyond this is no machine to show anything on
MEASURED_ANEW = 60.0  # seconds; a machine that others share has slow hours

QEMU_CONF = """\
# the kit's own libvirtd: no helpers of the host's, no mounts of its own
namespaces = [ ]
stdio_handler = "file"
cgroup_controllers = [ ]
security_driver = "none"
"""


@dataclass(frozen=True)
class Host:
    """How virtual machines run on this machine."""

    provider: str  # "libvirt" or "virtualbox"
    accelerator: str  # "kvm", "tcg" or "virtualbox"
    why: str
    private: bool  # the kit runs libvirtd itself
    uri: str

    def __str__(self) -> str:
        patience = self.patience
        factor = f", time bounds x {patience:g}" if patience != 1 else ""
        return f"{self.provider}, {self.accelerator} ({self.why}){factor}"

    @property
    def patience(self) -> float:
        """Factor on every time bound: what `WORKSHOP_PATIENCE` says, else what was measured where
        processors are emulated. 1 on the reference machine, which has no KVM."""
        text = os.environ.get("WORKSHOP_PATIENCE")
        if text is None:
            now = int(time.monotonic() / MEASURED_ANEW)
            return slowness(now) if self.accelerator == "tcg" else 1.0
        try:
            factor = float(text)
        except ValueError:
            factor = 0.0
        if not 0 < factor < math.inf:
            raise WorkshopError(f"WORKSHOP_PATIENCE={text}: a factor such as 1 or 2.5 is meant")
        return factor


@functools.lru_cache(maxsize=1)
def slowness(_when: int = 0) -> float:
    """How many times slower than the reference machine's this processor is now, 1 to `SLOWEST`.

    Emulation takes as long as the processor does, and so do take-overs and starts of daemons.
    Measured is processor time, the least of many short samples: a busy neighbour, such as one of
    the cluster's own machines, takes caches and half a core now and then, and a slow processor is
    slow in all of them. The work branches, and does not fit into the smallest of the caches.
    """
    sample = b"".join(b"node %d has resource %d\n" % (n, n * n % 977) for n in range(2_500))
    times = []
    for _ in range(SAMPLES):
        begin = time.process_time()
        bz2.compress(sample)
        times.append(time.process_time() - begin)
    return round(min(max(min(times) / REFERENCE, 1.0), SLOWEST), 1)


def run(*command: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command on the host; a failure is one line with the command and its last words."""
    try:
        done = subprocess.run(
            command, text=True, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise WorkshopError(f"{command[0]} is not installed; `./run doctor` installs it") from None
    except subprocess.TimeoutExpired:
        raise WorkshopError(f"`{' '.join(command)}` did not end within {timeout:.0f} s") from None
    if check and done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise WorkshopError(f"`{' '.join(command)}` failed: {words}")
    return done


def systemd_runs() -> bool:
    """Whether systemd is this machine's init."""
    return Path("/run/systemd/system").is_dir()


@functools.cache
def detect(kernel: Path | None = None) -> Host:
    """The provider and accelerator that work here, and why these.

    `kernel` is the box's kernel, with which KVM is tried; without it an earlier verdict
    of this boot is used, or KVM counts as untried and is not used.
    """
    wanted = os.environ.get("WORKSHOP_PROVIDER", "")
    if wanted not in ("", "libvirt", "virtualbox"):
        raise WorkshopError(f"WORKSHOP_PROVIDER={wanted}: there are libvirt and virtualbox")
    if wanted == "virtualbox" or (
        not wanted and not shutil.which("virsh") and shutil.which("VBoxManage")
    ):
        return Host("virtualbox", "virtualbox", "VirtualBox is installed (untested)", False, "")
    usable, why = kvm_usable(kernel)
    private = not systemd_runs()
    socket = RUN / "run" / "libvirt-sock"
    uri = f"qemu+unix:///system?socket={socket}" if private else "qemu:///system"
    return Host("libvirt", "kvm" if usable else "tcg", why, private, uri)


def kvm_usable(kernel: Path | None) -> tuple[bool, str]:
    """Whether KVM runs a kernel to its end here, and why (not).

    The device may open and guests still hang, so a kernel is started under it: without a
    root file system it must panic within `KVM_TRIAL` seconds. The verdict is kept until
    the machine boots again.
    """
    device = Path("/dev/kvm")
    if not device.exists():
        return False, "there is no /dev/kvm"
    if not os.access(device, os.R_OK | os.W_OK):
        return False, "/dev/kvm may not be opened by this user (join the group kvm)"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = state.HOST_FOLDER / "kvm"
    if verdict.exists():
        known, _, rest = verdict.read_text().partition(" ")
        if known == boot:
            return rest.startswith("usable"), rest.strip()
    if kernel is None:
        return False, "/dev/kvm is not tried yet"
    started = time.monotonic()
    command = ["timeout", "-s", "KILL", str(KVM_TRIAL), "qemu-system-x86_64", "-accel", "kvm"]
    command += ["-cpu", "host", "-m", "128", "-display", "none", "-nodefaults", "-no-reboot"]
    command += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", "stdio"]
    trial = run(*command, check=False, timeout=KVM_TRIAL + 5)
    took = time.monotonic() - started
    if "Unable to mount root" in trial.stdout:
        why = f"usable: a kernel ran under it in {took:.1f} s"
    elif took < KVM_TRIAL - 1:
        words = (trial.stderr.strip() or "no message").splitlines()[0].rpartition("error: ")[2]
        why = f"/dev/kvm opens, but no kernel starts under it ({words})"
    else:
        why = f"/dev/kvm opens, but a kernel started under it hung for {took:.0f} s"
    state.HOST_FOLDER.mkdir(parents=True, exist_ok=True)
    state.write_file(verdict, f"{boot} {why}\n")
    return why.startswith("usable"), why


def enter(host: Host) -> None:
    """Make libvirt answer, starting it where the kit has to, and move this process into
    the cluster's network. Call it before any thread is started."""
    if host.provider != "libvirt":
        return
    if host.private:
        if os.geteuid() != 0:
            raise WorkshopError(
                "systemd does not run here, so the kit starts libvirtd itself and needs root"
            )
        _start_private(host)
        _join(Path(f"/run/netns/{NAMESPACE}"))
    done = run("virsh", "-c", host.uri, "version", check=False, timeout=30)
    if done.returncode:
        cure = "systemctl start libvirtd (and be in the group libvirt)"
        words = (done.stderr.strip() or "no message").splitlines()[-1]
        raise WorkshopError(f"libvirt does not answer at {host.uri}: {words}; try: {cure}")


def _join(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open() as stream:
        if libc.setns(stream.fileno(), CLONE_NEWNET):
            number = ctypes.get_errno()
            raise WorkshopError(f"cannot enter the cluster's network: {os.strerror(number)}")


def _pid(name: str) -> int | None:
    """Process id in a pid file of the kit, if that process lives."""
    try:
        pid = int((RUN / f"{name}.pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def running() -> bool:
    """Whether the kit's own libvirtd runs."""
    return _pid("libvirtd") is not None


def _start_private(host: Host) -> None:
    if not Path(f"/run/netns/{NAMESPACE}").exists():
        state.journal("namespace", name=NAMESPACE)
        run("ip", "netns", "add", NAMESPACE)
        run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
    if running():
        return
    state.journal("libvirtd", folder=str(RUN))
    binds = {
        "/etc/libvirt": VAR / "etc",
        "/run/libvirt": RUN / "run",
        "/var/lib/libvirt": VAR / "lib",
        "/var/log/libvirt": VAR / "log",
        "/var/cache/libvirt": VAR / "cache",
    }
    for place, source in binds.items():
        source.mkdir(parents=True, exist_ok=True)
        Path(place).mkdir(parents=True, exist_ok=True)
    (VAR / "lib" / "images").mkdir(exist_ok=True)
    for folder in (VAR, VAR / "lib", VAR / "lib" / "images"):
        folder.chmod(0o711)
    (VAR / "etc" / "qemu.conf").write_text(QEMU_CONF)
    (VAR / "etc" / "libvirtd.conf").write_text('auth_unix_rw = "none"\n')
    for leftover in (RUN / "run").glob("*.pid"):
        leftover.unlink()
    script = ["set -e"]
    script += [f"mount --bind {source} {place}" for place, source in binds.items()]
    if host.accelerator != "kvm" and Path("/dev/kvm").exists():
        # libvirt would ask QEMU for its capabilities again at every start: 52 s each time
        mask = RUN / "no-kvm"
        mask.touch(mode=0o600)
        script.append(f"mount --bind {mask} /dev/kvm")
    script.append(f"exec libvirtd -d -p {RUN}/libvirtd.pid")
    run(
        *("nsenter", f"--net=/run/netns/{NAMESPACE}"),
        *("unshare", "--mount", "--propagation", "private", "sh", "-c", "; ".join(script)),
        timeout=60,
    )
    deadline = time.monotonic() + 30
    while not (RUN / "run" / "libvirt-sock").exists():
        if time.monotonic() > deadline:
            raise WorkshopError(f"the kit's libvirtd did not come up; see {VAR}/log")
        time.sleep(0.05)
    state.journal("libvirtd-up")


def stop() -> list[str]:
    """Stop the kit's own libvirtd and remove its namespace and files; says what it ended."""
    ended = []
    if Path(f"/run/netns/{NAMESPACE}").exists():
        pids = [int(p) for p in run("ip", "netns", "pids", NAMESPACE).stdout.split()]
        daemons = [p for p in pids if _name(p) in ("libvirtd", "dnsmasq", "virtlogd")]
        daemons += [p for p in pids if _name(p).startswith("qemu-system")]
        for pid in daemons:
            ended.append(f"{_name(pid)} ({pid})")
            _end(pid)
        run("ip", "netns", "delete", NAMESPACE)
        ended.append(f"network namespace {NAMESPACE}")
    for folder in (RUN, VAR):
        if folder.exists():
            shutil.rmtree(folder)
    return ended


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _end(pid: int) -> None:
    """End one process: a request, and after 10 s the end."""
    for wanted, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, wanted)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not Path(f"/proc/{pid}").exists() or _name(pid) == "":
                return
            time.sleep(0.05)
