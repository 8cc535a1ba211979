"""A Ray node that shares no disk with the head: it has processes, a name and a temporary and a home folder of its own.

It is on the same network, so that it reaches what the tests serve there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hosts import ROOT, wait_until
from tests.integration.support import NODE, end_session, own_cluster

NAME = "apart"
"""Name of its host."""
NAMESPACES = "unshare -m -p -u -i -f --kill-child --mount-proc"
INIT = """set -e
mount --make-rprivate /
mount -t tmpfs stage /mnt
{kept}
{hidden}
{back}
umount /mnt
mount -t tmpfs -o size=1g shm /dev/shm
hostname {name}
cd /
{ready}
exec {command}
"""


def require_namespaces() -> None:
    """Skip, with the reason, where such a node cannot be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a node without the head's disks needs Linux and root")
    tried = subprocess.run(
        [*NAMESPACES.split(), "mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"this machine allows no namespaces: {tried.stderr.strip()}")


@contextmanager
def node_apart(
    place: Path, cluster: Any, seen: Mapping[Path, Path] | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Add a node with one processor to a cluster; within the block it is one of its nodes.

    It sees neither ``/tmp``, where the tests have all their folders, nor the home folder.

    Args:
        place: Folder for its log.
        cluster: The cluster.
        seen: Folders of the head that it sees all the same, by the path under which it sees them.
        variables: Its environment, besides that of the tests.
    """
    require_namespaces()
    hidden = ["/tmp", str(Path.home())]
    program = {path: path for path in (str(ROOT), sys.prefix, sys.base_prefix)}
    wanted = {**program, **{str(there): str(here) for there, here in (seen or {}).items()}}
    kept = {there: wanted[there] for there in sorted(wanted) if there.startswith(tuple(f"{path}/" for path in hidden))}
    ray = str(Path(sys.executable).with_name("ray"))
    size = NODE["object_store_memory"]
    command = f"{ray} start --address={cluster.address} --num-cpus=1 --object-store-memory={size} --block"
    script = INIT.format(
        kept="\n".join(f"mkdir /mnt/{k} && mount --bind {here} /mnt/{k}" for k, here in enumerate(kept.values())),
        hidden="\n".join(f"mount -t tmpfs hidden {folder}" for folder in hidden),
        back="\n".join(f"mkdir -p {there} && mount --move /mnt/{k} {there}" for k, there in enumerate(kept)),
        name=NAME,
        ready="mkdir -p $HOME",
        command=command,
    )
    log = place / f"{NAME}.log"
    environment = {**os.environ, "HOME": "/tmp/own-home", "RAY_TMPDIR": "/tmp", **(variables or {})}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*NAMESPACES.split(), "bash", "-c", script],
            stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, env=environment,
        )  # fmt: skip
    try:
        wait_until(lambda: process.poll() is not None or _alive(cluster) == 2, "second node", 180)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        # With the first process of its namespace all others go.
        process.send_signal(signal.SIGTERM)
        end_session(process.pid)
        process.wait()


@contextmanager
def two_disks(place: Path, seen: Mapping[Path, Path] | None = None, **variables: str) -> Iterator[Any]:
    """A cluster of two nodes with one processor each, the second of which shares no disk with the first.

    Args:
        place: Folder for the files of the first.
        seen: As of ``node_apart``.
        variables: Environment of both.
    """
    require_namespaces()
    own = {"RAY_AUTH_MODE": "disabled", "LNL_SWEEP_CACHE": str(place / "cache"), **variables}
    with own_cluster(place, NODE, [], **own) as started, node_apart(place, started, seen, own):
        yield started


def _alive(cluster: Any) -> int:
    return sum(bool(node["Alive"]) for node in cluster.global_state.node_table())
