"""The shipped cluster.yaml from ``ray up`` to ``ray down``, in a region on this machine; a spot node is taken away."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.hosts import ROOT, require_hosts, wait_until
from tests.integration.region import BUCKET, Region, region
from tests.integration.support import CIRCUMSTANCES, KEYS, differences, rows

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.timeout(3000)]

WORKERS = 2
OUT = "sweeps/small"
FAST_CHECKS = "RAY_health_check_period_ms=2000 RAY_health_check_timeout_ms=2000 RAY_health_check_failure_threshold=5"
NO_INTERNET = ("command -v uv", "uv venv", "cd ~/lnl-sweep && uv pip install")
# Where there is a card the sweep takes it whole; here there is none, and the nodes only say so.
OF_THE_CLUSTER = {"gpu_share"}


def edited() -> dict[str, Any]:
    """cluster.yaml after its user's edits, and what these hosts lack: the internet, a GPU, a user, patience."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    config["setup_commands"] = [
        command.replace("s3://my-bucket/", f"s3://{BUCKET}/")
        for command in config["setup_commands"]
        if not command.startswith(NO_INTERNET)
    ]
    config["worker_setup_commands"] = []
    config["provider"]["use_internal_ips"] = True
    config["auth"]["ssh_user"] = "root"
    config["max_workers"] = WORKERS
    config["idle_timeout_minutes"] = 0.5
    for role in ("head", "worker"):
        config[f"{role}_start_ray_commands"] = [
            command.replace("--object-store-memory=1000000000", "--object-store-memory=100000000").replace(
                "ray start", f"{FAST_CHECKS} ray start"
            )
            for command in config[f"{role}_start_ray_commands"]
        ]
    return config


@dataclass
class Lived:
    """What was seen of a cluster's life."""

    up: str = ""
    after_up: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    launched: list[dict[str, str]] = field(default_factory=list)
    lost_with_rows: int = 0
    status: str = ""
    job: str = ""
    state: str = ""
    out: Path = Path()
    idle_left: int = -1
    down_left: int = -1


def submit(cloud: Region, sweep: Path, tunnel: list[subprocess.Popen[bytes]]) -> str:
    """The documented way: forward the dashboard's port, then ``ray job submit``."""
    folder = cloud.laptop.place / "root" / "mine"
    folder.mkdir()
    (folder / "small.yaml").write_text(sweep.read_text())
    tunnel.append(cloud.laptop.start("ray dashboard cluster.yaml"))
    asked = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8265/api/version', timeout=5).status)"
    wait_until(lambda: "200" in cloud.laptop.run(f'python -c "{asked}"', check=False), "dashboard on the laptop", 240)
    cloud.laptop.run(
        "ray job submit --address http://127.0.0.1:8265 --submission-id small --no-wait --working-dir mine -- "
        f"lnl-sweep run small.yaml --out s3://{BUCKET}/{OUT}",
        180,
    )
    return "small"


def job_state(cloud: Region, job: str) -> str:
    text = cloud.laptop.run(f"ray job status --address http://127.0.0.1:8265 {job}", 60, check=False)
    # "Status for job 'small': RUNNING" while it runs, "Job 'small' succeeded" at its end.
    return next((state for state in ("SUCCEEDED", "FAILED", "STOPPED") if state in text.upper()), "")


def cluster_up(cloud: Region) -> str:
    (cloud.laptop.place / "root" / "cluster.yaml").write_text(yaml.safe_dump(edited()))
    # file_mounts are relative to the repository, as they are for whoever runs ray up in it.
    return cloud.laptop.run(f"cd {ROOT} && ray up ~/cluster.yaml -y --no-config-cache", 900)


def written(cloud: Region) -> int:
    return len([key for key in cloud.objects(f"{OUT}/trials/") if key.endswith(".parquet")])


def diagnosis(cloud: Region, job: str) -> str:
    """What a person would look at."""
    logs = cloud.laptop.run(f"ray job logs --address http://127.0.0.1:8265 {job} | tail -n 40", 60, check=False)
    monitor = cloud.laptop.run(
        "ray exec cluster.yaml 'ray status; tail -n 60 /tmp/ray/session_latest/logs/monitor.log'", 90, check=False
    )
    return f"{logs}\n{monitor}\n{cloud.launched}"


@pytest.fixture(scope="module")
def lived(short_tmp: Path, sweep_file: Path) -> Iterator[Lived]:
    require_hosts()
    pytest.importorskip("moto", reason="moto[server] answers for the cloud")
    seen, clock, tunnel = Lived(out=short_tmp / "from-s3"), time.monotonic, []
    with region() as cloud:
        began = clock()
        seen.up = cluster_up(cloud)
        seen.seconds["up"] = clock() - began
        seen.after_up = [instance["tags"]["ray-user-node-type"] for instance in cloud.instances()]

        began = clock()
        job = submit(cloud, sweep_file, tunnel)
        try:
            wait_until(lambda: written(cloud) >= 1, "a row", 900)
            seen.status = cloud.laptop.run(f"lnl-sweep status s3://{BUCKET}/{OUT}", 120)
            wait_until(lambda: written(cloud) >= 4 and len(cloud.workers()) == WORKERS, "4 rows on two workers", 900)
            seen.lost_with_rows = written(cloud)
            cloud.terminate(next(w for w in cloud.workers() if w.get("InstanceLifecycle") == "spot"))
            seen.state = wait_until(lambda: job_state(cloud, job), "end of the job", 1200, 2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{diagnosis(cloud, job)}") from None
        seen.seconds["sweep"] = clock() - began
        seen.job = cloud.laptop.run(f"ray job logs --address http://127.0.0.1:8265 {job}", 60)
        seen.launched = list(cloud.launched)

        began = clock()
        wait_until(lambda: not cloud.workers(), "end of the idle workers", 400)
        seen.seconds["idle"] = clock() - began
        seen.idle_left = len(cloud.instances())
        for process in tunnel:
            process.kill()
            process.wait()
        began = clock()
        cloud.laptop.run("ray down cluster.yaml -y", 400)
        seen.seconds["down"] = clock() - began
        seen.down_left = len(cloud.instances("pending", "running", "stopping", "stopped"))
        cloud.download(OUT, seen.out)
        print(json.dumps(seen.seconds), seen.launched)
        yield seen


def test_ray_up_starts_the_head_alone_and_ends_with_the_program(lived: Lived) -> None:
    assert lived.after_up == ["head"]
    assert "lnl-sweep 0." in lived.up


def test_workers_come_from_nothing_and_from_the_spot_market(lived: Lived) -> None:
    kinds = [(entry["type"], entry["market"]) for entry in lived.launched]
    assert kinds[0] == ("head", "on-demand")
    # Two, and one for the one that was taken away if trials were left for it.
    assert len(kinds[1:]) >= WORKERS and set(kinds[1:]) == {("gpu_spot", "spot")}


def test_the_laptop_sees_how_far_the_sweep_is(lived: Lived) -> None:
    assert "state: running" in lived.status and "trials finished" in lived.status, lived.status


def test_the_sweep_ends_complete_although_a_node_was_taken_away(lived: Lived, undisturbed: Path) -> None:
    assert lived.state == "SUCCEEDED", lived.job
    assert 4 <= lived.lost_with_rows < len(rows(undisturbed))
    assert f"planned = {len(rows(undisturbed))}, finished = {len(rows(undisturbed))}" in lived.job


def test_its_rows_are_those_of_an_undisturbed_run_on_one_machine(lived: Lived, undisturbed: Path) -> None:
    left_out = CIRCUMSTANCES | OF_THE_CLUSTER
    for table in KEYS:
        first, second = (
            {key: {n: v for n, v in row.items() if n not in left_out} for key, row in rows(folder, table).items()}
            for folder in (lived.out, undisturbed)
        )
        assert first.keys() == second.keys() and first
        assert differences(first, second) == [], table


def test_trials_ran_on_the_workers_only(lived: Lived) -> None:
    names = {row["node"] for row in rows(lived.out).values()}
    assert len(names) >= WORKERS


def test_idle_workers_go_and_ray_down_leaves_nothing(lived: Lived) -> None:
    assert (lived.idle_left, lived.down_left) == (1, 0)
