"""The shipped cluster files against Ray's own schema, and against one another."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[3]
LAUNCHED = ["cluster.yaml", "clusters/gcp.yaml", "clusters/local.yaml"]
ALL = [*LAUNCHED, "clusters/kuberay-rayjob.yaml", "clusters/slurm.sh"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text(name))
    return found


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_accepts_it(name: str) -> None:
    validate_config(prepare_config(read(name)))


@pytest.mark.parametrize("name", ALL)
def test_three_lines_are_marked_for_editing(name: str) -> None:
    assert re.findall(r"# <- (\d)\.", text(name)) == ["1", "2", "3"]


@pytest.mark.parametrize("name", ALL)
def test_it_pins_the_ray_that_these_tests_run(name: str) -> None:
    pins = re.findall(
        r"(?:ray\[default,tune\]==|rayproject/ray:|rayVersion: \"|RAY_VERSION=)(\d+\.\d+\.\d+)", text(name)
    )
    assert pins and set(pins) == {importlib.metadata.version("ray")}


def test_the_project_pins_the_same() -> None:
    extra = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]["cluster"]
    assert f"ray[default,tune]=={importlib.metadata.version('ray')}" in extra


@pytest.mark.parametrize("name", LAUNCHED)
def test_nodes_get_a_python_that_the_project_accepts(name: str) -> None:
    wanted = tomllib.loads(text("pyproject.toml"))["project"]["requires-python"]
    found = re.findall(r"uv venv .*--python (3\.\d+)", text(name))
    assert found == [wanted.removeprefix(">=")]
    assert sys.version_info[:2] >= tuple(map(int, found[0].split(".")))


@pytest.mark.parametrize("name", [*LAUNCHED, "Makefile"])
def test_what_is_installed_is_compiled_once_and_not_by_each_worker(name: str) -> None:
    installs = re.findall(r"uv pip install.*", text(name))
    assert installs and all("--compile-bytecode" in install for install in installs)


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_setup_ends_with_the_program_itself(name: str) -> None:
    assert read(name)["setup_commands"][-1] == "lnl-sweep --version"


@pytest.mark.parametrize("name", LAUNCHED)
def test_one_edit_says_where_sweeps_and_data_lie(name: str, tmp_path: Path) -> None:
    (command,) = [command for command in read(name)["setup_commands"] if "SWEEPS=" in command]
    command = command.replace("s3://my-bucket/", "s3://mine/").replace("/shared/", "/mine/")
    told = ""
    for line in (command, command, "wc -l < ~/.bashrc; . ~/.bashrc; echo $SWEEPS $LNL_SWEEP_DATA"):
        told = subprocess.run(
            ["bash", "-c", line], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, capture_output=True,
            text=True, check=True,
        ).stdout  # fmt: skip
    lines, sweeps, data = told.split()
    assert lines == "1" and "/mine/" in sweeps and data == f"{sweeps}/data"


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_adds_no_commands_of_its_own(name: str) -> None:
    ours, merged = read(name), prepare_config(read(name))
    assert merged["head_setup_commands"] == ours["setup_commands"]
    assert merged["worker_setup_commands"] == ours["setup_commands"] + ours.get("worker_setup_commands", [])


@pytest.mark.parametrize("name", LAUNCHED)
def test_everything_the_package_needs_is_copied(name: str) -> None:
    mounts = {remote: local for remote, local in read(name)["file_mounts"].items() if not local.startswith("~")}
    assert all((ROOT / local).exists() for local in mounts.values())
    project = tomllib.loads(text("pyproject.toml"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    needed = {*packages, "pyproject.toml", project["project"]["readme"], project["project"]["license-files"][0]}
    assert set(mounts.values()) == needed
    assert {remote.rsplit("/", 1)[1] for remote in mounts} == set(mounts.values())


@pytest.mark.parametrize("name", ALL)
def test_no_secret_and_no_open_dashboard(name: str) -> None:
    lines = [line.split("#", 1)[0] for line in text(name).splitlines()]
    assert not re.search(r"AKIA|SECRET_ACCESS_KEY=|aws_secret|PRIVATE KEY", "\n".join(lines))
    if name in LAUNCHED:
        assert "--dashboard-host=127.0.0.1" in read(name)["head_start_ray_commands"][-1]


@pytest.mark.parametrize("name", LAUNCHED[:2])
def test_the_head_takes_no_trials_and_spot_comes_first(name: str) -> None:
    found = read(name)
    types = found["available_node_types"]
    assert types[found["head_node_type"]]["resources"] == {"CPU": 0}
    assert types["gpu_spot"]["priority"] > types["gpu_on_demand"]["priority"]
    assert [types[kind]["min_workers"] for kind in ("gpu_spot", "gpu_on_demand")] == [0, 0]
    assert types["gpu_spot"]["max_workers"] == found["max_workers"]


def test_a_rayjob_has_what_the_operator_asks_for() -> None:
    job = read("clusters/kuberay-rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob") and job["metadata"]["name"]
    spec = job["spec"]
    assert spec["entrypoint"].startswith("lnl-sweep run ") and spec["shutdownAfterJobFinishes"] is True
    cluster = spec["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert {port["name"] for port in head["template"]["spec"]["containers"][0]["ports"]} >= {"gcs", "dashboard"}
    for group in [head, *workers]:
        # Kubernetes takes only text here, and quantities of GPUs must be limits.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        container = group["template"]["spec"]["containers"][0]
        assert container["image"] and container["resources"]["limits"] == container["resources"]["requests"]
        assert group["template"]["spec"]["restartPolicy"] == "Never"
    slots = int(re.findall(r"--slots (\d+)", spec["entrypoint"])[0])
    assert sum(group["maxReplicas"] for group in workers) == slots
    assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in workers)
