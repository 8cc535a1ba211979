"""Processors of this machine that this process may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def processors(root: Path = Path("/")) -> int:
    """Number of processors that this process may use.

    The machine, ``taskset``, a batch system or a container may limit it.

    Args:
        root: Folder that holds ``proc`` and ``sys``.

    Returns:
        The smallest of these limits, in whole processors, at least 1.

    Example:
        >>> processors() >= 1
        True
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        # macOS and Windows.
        count = os.cpu_count() or 1
    return max(1, int(min([float(count), *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Limits in processors that control groups set for this process."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        _, names, path = line.split(":", 2)
        if not names:
            # Version 2; beside version 1 it lies in unified/ and has no limits.
            yield from (limit for group in _upwards(mounted, path) for limit in _version_2(group))
        elif "cpu" in names.split(","):
            for controller in (mounted / names, mounted / "cpu"):
                yield from (limit for group in _upwards(controller, path) for limit in _version_1(group))


def _upwards(mounted: Path, path: str) -> Iterator[Path]:
    # In a container the path may be that outside of it: then only the group that is mounted is there.
    group = mounted / path.strip("/")
    yield from (group, *(parent for parent in group.parents if parent.is_relative_to(mounted)))


def _version_2(group: Path) -> Iterator[float]:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        if quota != "max":
            yield int(quota) / int(period)


def _version_1(group: Path) -> Iterator[float]:
    with contextlib.suppress(OSError, ValueError):
        quota = int((group / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            yield quota / int((group / "cpu.cfs_period_us").read_text())
