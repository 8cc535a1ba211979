"""Processors and GPUs of this machine that this process may use, without starting Ray."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path


def processors(root: Path = Path("/")) -> int:
    """Number of processors: those of the machine, of ``taskset`` or a batch system, or of a container's limit.

    Args:
        root: Where ``proc`` and ``sys`` lie.

    Returns:
        The smallest of them, in whole processors, at least 1.
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
            yield from (limit for place in _upwards(mounted, path) for limit in _version_2(place))
        elif "cpu" in names.split(","):
            for place in (mounted / names, mounted / "cpu"):
                yield from (limit for group in _upwards(place, path) for limit in _version_1(group))


def _upwards(mounted: Path, path: str) -> Iterator[Path]:
    # In a container the path may be that outside of it: then only the group that is mounted is there.
    place = mounted / path.strip("/")
    yield from (place, *(parent for parent in place.parents if parent.is_relative_to(mounted)))


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


def gpus() -> float:
    """Number of GPUs that a Ray started here would have."""
    try:
        found = importlib.import_module("ray._private.accelerators")
        manager = found.get_accelerator_manager_for_resource("GPU")
        count = manager.get_current_node_num_accelerators()
        visible = manager.get_current_process_visible_accelerator_ids()
    except Exception:
        # A Ray that counts them elsewhere: then its nodes tell, once it runs.
        return float("inf")
    return float(count if visible is None else min(count, len(visible)))
