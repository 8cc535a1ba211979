"""clusters/local.yaml on a head and two workers; one worker is lost in mid-sweep in the ways machines are lost."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.hosts import ROOT, Host, Laboratory, laboratory, wait_until
from tests.integration.support import CIRCUMSTANCES, KEYS, differences, rows

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.timeout(2400)]

NETWORK = "10.77.0"
NO_INTERNET = ("command -v uv", "uv venv", "cd ~/lnl-sweep && uv pip install")
ENVIRONMENT = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "RAY_UP_enable_autoscaler_v2": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_prestart_worker_first_driver": "0",
}


def edited(shared: Path) -> dict[str, Any]:
    """clusters/local.yaml after its user's edits, and what these hosts lack: the internet, and a second processor."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "clusters" / "local.yaml").read_text())
    config["provider"].update(head_ip=f"{NETWORK}.10", worker_ips=[f"{NETWORK}.11", f"{NETWORK}.12"])
    config["auth"]["ssh_user"] = "root"
    config["setup_commands"] = [
        command.replace("/shared/sweeps", str(shared))
        for command in config["setup_commands"]
        if not command.startswith(NO_INTERNET)
    ]
    for role in ("head", "worker"):
        config[f"{role}_start_ray_commands"] = [
            command.replace("--object-store-memory=1000000000", "--object-store-memory=100000000")
            for command in config[f"{role}_start_ray_commands"]
        ]
    config["worker_start_ray_commands"][-1] += " --num-cpus=1"
    return config


@dataclass
class Cluster:
    lab: Laboratory
    laptop: Host
    head: Host
    worker: Host
    shared: Path
    up: str

    def alive(self) -> int:
        """Nodes that the head believes in."""
        code = (
            "import ray; ray.init('auto', logging_level='error', log_to_driver=False); "
            "print('alive', sum(node['Alive'] for node in ray.nodes()))"
        )
        text = self.head.run(f'python -c "{code}"', 90, check=False)
        return int(text.rsplit("alive ", 1)[1]) if "alive " in text else 0

    def lose(self, how: str) -> None:
        if how == "raylet killed":
            self.worker.run("kill -9 $(pgrep -x raylet)")
        elif how == "cable cut":
            self.lab.cut(self.worker)
        else:
            self.lab.power_off(self.worker)


@pytest.fixture(params=["raylet killed", "cable cut", "power off"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with laboratory(f"{NETWORK}.1/24") as lab:
        # Outside /root and /tmp, which each host has for itself: the disk that all of them see.
        shared = Path(tempfile.mkdtemp(prefix="lnl", dir="/var/tmp"))
        try:
            key = lab.keygen("key")
            public = Path(f"{key}.pub").read_text()
            laptop = lab.boot("laptop", f"{NETWORK}.2", {**ENVIRONMENT, "PYTHONPATH": ""})
            shutil.copy(key, laptop.place / "root" / ".ssh" / "id_ed25519")
            laptop.run("ray get-auth-token --generate")
            nodes = [
                lab.boot(name, f"{NETWORK}.{10 + i}", {**ENVIRONMENT, "PYTHONPATH": "/root/lnl-sweep"}, public)
                for i, name in enumerate(("head", "one", "two"))
            ]
            (laptop.place / "root" / "local.yaml").write_text(yaml.safe_dump(edited(shared)))
            up = laptop.run(f"cd {ROOT} && ray up ~/local.yaml -y --no-config-cache", 900)
            found = Cluster(lab, laptop, nodes[0], nodes[1], shared, up)
            wait_until(lambda: found.alive() == 3, "head and two workers", 600, 2)
            yield found
        finally:
            shutil.rmtree(shared, ignore_errors=True)


def test_a_sweep_survives_the_loss_of_a_machine(
    cluster: Cluster, request: pytest.FixtureRequest, sweep_file: Path, undisturbed: Path
) -> None:
    assert "lnl-sweep 0." in cluster.up
    how = request.node.callspec.params["cluster"]
    out, planned = cluster.shared / "small", len(rows(undisturbed))
    shutil.copy(sweep_file, cluster.shared / "small.yaml")
    driver = cluster.head.start(f"lnl-sweep run {cluster.shared}/small.yaml --address auto --out $SWEEPS/small")
    log = cluster.head.place / f"{len(cluster.head.started) - 1}.log"
    wait_until(lambda: driver.poll() is not None or len(rows(out)) >= 3, "3 rows", 700)
    before = rows(out)
    # Two workers are busy until the last trials, so that the lost one had one.
    assert driver.poll() is None and len(before) <= planned - 4, log.read_text()
    began = time.monotonic()
    cluster.lose(how)
    assert driver.wait(1000) == 0, log.read_text()
    print(f"{how}: {len(before)} rows before, the rest took {time.monotonic() - began:.0f} s")

    assert f"planned = {planned}, finished = {planned}" in log.read_text()
    assert differences(before, rows(out)) == []
    for table in KEYS:
        first, second = (
            {key: {n: v for n, v in row.items() if n not in CIRCUMSTANCES} for key, row in rows(folder, table).items()}
            for folder in (out, undisturbed)
        )
        assert first.keys() == second.keys() and first
        assert differences(first, second) == [], table
