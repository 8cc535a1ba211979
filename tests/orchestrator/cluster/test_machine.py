"""Processors that a process may use: of a machine, of ``taskset``, of a container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.cluster import nodes as cluster
from orchestrator.cluster import own_ray
from orchestrator.cluster.machine import processors

HERE = len(os.sched_getaffinity(0))
V2, V1 = "0::/box/job\n", "3:memory:/x\n2:cpu,cpuacct:/box\n0::/\n"


def limited(root: Path, groups: str, files: Mapping[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def test_without_limits_it_is_what_the_process_may_run_on(tmp_path: Path) -> None:
    assert processors() <= processors(tmp_path) == HERE


def test_taskset(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert processors(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        (V2, {"sys/fs/cgroup/box/job/cpu.max": "150000 100000\n"}, 1),
        (V2, {"sys/fs/cgroup/box/job/cpu.max": "50000 100000\n"}, 1),
        # The limit of a group holds for those below it.
        (V2, {"sys/fs/cgroup/box/cpu.max": "300000 100000\n", "sys/fs/cgroup/box/job/cpu.max": "max 100000\n"}, 3),
        # In a container only the group that is mounted is there, under another path.
        (V2, {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        (V2, {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        (V2, {"sys/fs/cgroup/cpu.max": "unreadable"}, 8),
        (
            V1,
            {
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (V1, {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_the_limit_of_a_container(
    groups: str, files: dict[str, str], count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert processors(limited(tmp_path, groups, files)) == count


@pytest.mark.parametrize(("given", "slots"), [(None, 1), (2, 2)])
def test_a_ray_of_its_own_has_as_many_unless_told_otherwise(
    given: int | None, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int | None] = []
    monkeypatch.setattr(cluster, "processors", lambda: 1)
    monkeypatch.setattr(cluster.ray, "init", lambda **options: told.append(options["num_cpus"]))
    for name in ("make_token", "close_token"):
        monkeypatch.setattr(own_ray, name, lambda: None)
    cluster._init_own(given)
    assert told == [slots]
