"""Machines that cost nothing: hosts made of Linux namespaces on a bridge, each with its own sshd, processes and disks.

``ray up`` and ``ray down`` run ``ray stop`` on every host, which ends every Ray process it can see: the process
namespaces are what keeps that inside the laboratory. The bridge lives in a network namespace too, so that addresses
and servers of a laboratory are seen by its hosts alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("ip", "nsenter", "unshare", "mount", "ssh", "ssh-keygen", "rsync", "/usr/sbin/sshd", "pgrep")
CLONE_NEWNET = 0x40000000

T = TypeVar("T")

INIT = """set -e
mount --make-rprivate /
{binds}
mount --rbind {place}/root /root
mount -t tmpfs -o size=1g shm /dev/shm
mkdir -p /run/sshd
mount -t tmpfs run /run/sshd
chmod 755 /run/sshd
hostname {name}
mount --rbind {place}/tmp /tmp
exec {command}
"""
SSHD = (
    "/usr/sbin/sshd -D -e -f /dev/null -h /root/.ssh/hostkey -o PidFile=none -o UsePAM=no -o StrictModes=no "
    "-o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o MaxStartups=100"
)


def require_hosts() -> None:
    """Skip, with the reason, where such hosts cannot be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("namespaces for hosts need Linux and root")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        packages = "openssh-server openssh-client rsync iproute2 procps"
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install {packages})")
    tried = subprocess.run(
        ["unshare", "-m", "-p", "-u", "-i", "-n", "-f", "--mount-proc", "mount", "--make-rprivate", "/"],
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        pytest.skip(f"this machine allows no namespaces: {tried.stderr.strip()}")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass
class Host:
    """One machine. ``process`` is the handle that ends it and everything on it."""

    name: str
    address: str
    namespace: str
    link: str
    place: Path
    process: subprocess.Popen[bytes]
    init: int
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, text: str) -> list[str]:
        """A command line on this host, as a login shell would run it."""
        enter = ["nsenter", "-t", str(self.init), "-m", "-p", "-u", "-i", "-n"]
        clean = ["env", "-i", "HOME=/root", "USER=root", "TERM=dumb", "LANG=C.UTF-8"]
        clean.append(f"PATH={os.defpath}:/sbin:/usr/sbin")
        return [*enter, *clean, "bash", "-c", f"cd /root; . ~/.bashrc; {text}"]

    def run(self, text: str, seconds: float = 300, check: bool = True) -> str:
        """Run a command and give back what it printed."""
        done = subprocess.run(
            self.command(text), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True, timeout=seconds, errors="replace",
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{text}\n{done.stdout}"
        return done.stdout

    def start(self, text: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on until the host ends."""
        log = (self.place / f"{len(self.started)}.log").open("wb")
        process = subprocess.Popen(
            self.command(f"exec {text}"), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process


class Laboratory:
    """A network of hosts.

    Args:
        gateway: Address of the laboratory itself, with the length of the network's prefix.
    """

    def __init__(self, gateway: str) -> None:
        self.gateway, _, self.prefix = gateway.partition("/")
        self.place = Path(tempfile.mkdtemp(prefix="lab", dir="/tmp"))
        self.tag = self.place.name[3:7].lower().replace("_", "x") + str(os.getpid() % 1000)
        self.namespace = f"lnl-{self.tag}"
        self.hosts: dict[str, Host] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._inside = ThreadPoolExecutor(max_workers=8, initializer=self.enter)
        ip("netns", "add", self.namespace)
        ip("-n", self.namespace, "link", "set", "lo", "up")
        ip("-n", self.namespace, "link", "add", "br0", "type", "bridge")
        ip("-n", self.namespace, "addr", "add", gateway, "dev", "br0")
        ip("-n", self.namespace, "link", "set", "br0", "up")
        self.keygen("hostkey")

    def keygen(self, name: str) -> Path:
        """A key pair; gives back the private key's file."""
        path = self.place / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return path

    def enter(self) -> None:
        """Move the calling thread, and the threads it will start, into the laboratory's network."""
        with open(f"/run/netns/{self.namespace}") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def inside(self, work: Callable[[], T], seconds: float = 60) -> T:
        """Do something in the laboratory's network: the rest of this process stays outside."""
        return self._inside.submit(work).result(seconds)

    def boot(self, name: str, address: str, environment: Mapping[str, str], authorized: str | None = None) -> Host:
        """Start a host.

        Args:
            name: Its name.
            address: Its address in the laboratory's network.
            environment: What its shells export.
            authorized: Public key that may log in by SSH; None = no sshd, a machine one sits at.
        """
        with self._lock:
            self._count += 1
            number = self._count
        place = self.place / name
        root, tmp = place / "root", place / "tmp"
        (root / ".ssh").mkdir(parents=True, mode=0o700)
        tmp.mkdir()
        tmp.chmod(0o1777)
        shutil.copy(self.place / "hostkey", root / ".ssh" / "hostkey")
        (root / ".ssh" / "hostkey").chmod(0o600)
        if authorized:
            (root / ".ssh" / "authorized_keys").write_text(authorized)
        # Where cluster.yaml would install the project's environment stands this one's.
        (root / "env").symlink_to(sys.prefix)
        exports = "".join(f"export {key}='{value}'\n" for key, value in environment.items())
        (root / ".bashrc").write_text(f"{exports}export PATH=$HOME/env/bin:$PATH\n")
        (root / ".profile").write_text(". ~/.bashrc\n")
        needed = {str(ROOT), sys.prefix, sys.base_prefix}
        binds = []
        for path in sorted(needed):
            for hidden, new in (("/root/", root), ("/tmp/", tmp)):
                if path.startswith(hidden) and not any(path.startswith(f"{other}/") for other in needed):
                    target = new / path.removeprefix(hidden)
                    target.mkdir(parents=True, exist_ok=True)
                    binds.append(f"mount --bind {path} {target}")
        script = place / "init.sh"
        command = SSHD if authorized else "sleep infinity"
        script.write_text(INIT.format(binds="\n".join(binds), place=place, name=name, command=command))

        namespace, link = f"{self.namespace}-{number}", f"v{number}"
        ip("netns", "add", namespace)
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", self.namespace, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("-n", self.namespace, "link", "set", link, "master", "br0", "up")
        ip("-n", namespace, "addr", "add", f"{address}/{self.prefix}", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "route", "add", "default", "via", self.gateway)
        with (place / "init.log").open("wb") as log:
            process = subprocess.Popen(
                f"nsenter --net=/run/netns/{namespace} unshare -mpuif --kill-child --mount-proc bash {script}".split(),
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        host = Host(name, address, namespace, link, place, process, 0)
        self.hosts[name] = host
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        end = time.monotonic() + 20
        while not (host.init and self._ready(host)):
            assert process.poll() is None and time.monotonic() < end, (place / "init.log").read_text()
            found = children.read_text().split()
            host.init = int(found[0]) if found else 0
            time.sleep(0.05)
        return host

    def _ready(self, host: Host) -> bool:
        # The last thing init does before it becomes sshd (or sleep) is to hide this process's /tmp.
        name = Path(f"/proc/{host.init}/comm").read_text().strip()
        return name in ("sshd", "sleep")

    def cut(self, host: Host) -> None:
        """Pull the cable: nothing comes or goes any more, and nobody is told."""
        ip("-n", self.namespace, "link", "set", host.link, "down")

    def power_off(self, host: Host) -> None:
        """End a host and everything on it at once, without a last word on the network."""
        self.hosts.pop(host.name, None)
        subprocess.run(["ip", "-n", self.namespace, "link", "set", host.link, "down"], capture_output=True)
        for process in [*host.started, host.process]:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", host.namespace], capture_output=True)

    def close(self) -> None:
        """End all hosts and remove every trace."""
        for host in list(self.hosts.values()):
            self.power_off(host)
        self._inside.shutdown(wait=False, cancel_futures=True)
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True)
        shutil.rmtree(self.place, ignore_errors=True)


@contextmanager
def laboratory(gateway: str) -> Iterator[Laboratory]:
    """A laboratory that is gone at the end, whatever happens."""
    require_hosts()
    lab = Laboratory(gateway)
    try:
        yield lab
    finally:
        lab.close()


def wait_until(done: Callable[[], Any], what: str, seconds: float, pause: float = 0.5) -> Any:
    """Wait for something; gives back what it found."""
    end = time.monotonic() + seconds
    while True:
        # A command that did not answer in its time has said neither yes nor no.
        with contextlib.suppress(subprocess.TimeoutExpired):
            if found := done():
                return found
        assert time.monotonic() < end, f"no {what} within {seconds:g} s"
        time.sleep(pause)
