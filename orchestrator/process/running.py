"""Processes: their identity across hosts, boots and containers, and the processes that they have started."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DEAD = "ZX"
"""States of a process that has ended and for which its parent has not waited yet."""


def process_identity() -> dict[str, Any]:
    """Entries that identify this process: host, boot, pid namespace, pid, and start in clock ticks since the boot.

    Example:
        >>> process_identity()["pid"] == os.getpid()
        True
    """
    here = _look(os.getpid())
    return {
        "host": socket.gethostname(),
        **_process_table(),
        "pid": os.getpid(),
        "process_started": None if here is None else here[1],
    }


def same_boot(entry: Mapping[str, Any]) -> bool:
    """Tell if a process of that identity has, or had, the clock of this one.

    Example:
        >>> same_boot({"host": "node-1", "pid": 1})
        False
    """
    boot = _process_table()["boot"]
    return boot is not None and entry.get("boot") == boot


def still_runs(entry: Mapping[str, Any]) -> bool | None:
    """Tell if the process of that identity runs.

    Containers may share a host name, and each counts its processes from 1. A pid therefore has a meaning only where
    host, boot and pid namespace are those of this process.

    Args:
        entry: Result of ``process_identity`` in that process.

    Returns:
        True or False, or None where this process cannot find out.

    Example:
        >>> still_runs({"host": "another-host", "pid": 1}) is None
        True
    """
    if entry.get("host") != socket.gethostname():
        return None
    table = _process_table()
    written = {name: entry.get(name) for name in table}
    recorded = None not in written.values()
    if recorded and written != table:
        return None
    pid = entry["pid"]
    seen = _look(pid)
    if seen is not None and seen[0] not in _DEAD and seen[1] == entry.get("process_started"):
        return True
    # Earlier versions recorded neither boot nor namespace: that no such process is here proves nothing.
    if not recorded or (seen is None and _exists(pid)):
        return None
    return False


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have started.

    Parents come before their children.
    """
    children: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(file.read_text(errors="replace").rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(file.parent.name))
    pids = list(children.get(pid, ()))
    for child in pids:
        pids += children.get(child, ())
    return pids


def _process_table() -> dict[str, str | None]:
    """Boot and pid namespace of this process.

    None for both where the system does not tell them.
    """
    try:
        # Without a /proc of its own, a process in a new namespace would look pids up in the one outside.
        if os.readlink("/proc/self") != str(os.getpid()):  # noqa: PTH115
            return {"boot": None, "pid_namespace": None}
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot": boot, "pid_namespace": os.readlink("/proc/self/ns/pid")}  # noqa: PTH115
    except OSError:
        return {"boot": None, "pid_namespace": None}


def _look(pid: int) -> tuple[str, str] | None:
    """State and start of a process, or None where there is none.

    The start differs from that of a later process that was given the same pid.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None


def _exists(pid: int) -> bool:
    # The processes of other users may be hidden in /proc.
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
