"""How many trials a cluster that grows can run at once, from what ``ray up`` leaves on its head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cluster import nodes as cluster
from orchestrator.cluster.capacity import Capacity
from orchestrator.cluster.nodes import cluster_nodes, demands_of, largest_cluster
from orchestrator.config.sweep_file import validate

ROOT = Path(__file__).parents[3]
SWEEP = {"dataset": {"name": "coloured_digits", "bias": {"color_variance": [0.02]}}, "methods": ["erm"]}


def counted(slots: int | None = None, **resources: Any) -> tuple[int, float]:
    """Trials at once, and the share of a GPU that each gets."""
    nodes = cluster_nodes()
    demands = demands_of(validate({**SWEEP, "resources": resources}, "test"), nodes)
    return Capacity(nodes, demands.values(), slots).slots, demands["erm"].gpu


def shipped() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return found


def test_types_share_the_largest_number_of_workers() -> None:
    nodes = largest_cluster(shipped())
    assert nodes == [{"CPU": 0}] + [{"CPU": 4, "GPU": 1}] * 8


def test_nodes_with_more_gpus_come_first() -> None:
    kinds = {
        "head": {"resources": {"CPU": 0}},
        "plain": {"resources": {"CPU": 64}, "max_workers": 9},
        "large": {"resources": {"CPU": 8, "GPU": 4}, "max_workers": 1},
    }
    nodes = largest_cluster({"available_node_types": kinds, "head_node_type": "head", "max_workers": 2})
    assert nodes[1:] == [{"CPU": 8, "GPU": 4}, {"CPU": 64}]


@pytest.mark.parametrize("nothing", [{}, {"available_node_types": None}, {"available_node_types": {"a": {}}}])
def test_no_configuration_is_no_cluster(nothing: dict[str, Any]) -> None:
    assert largest_cluster(nothing) == []


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head alone, of a cluster that cluster.yaml describes."""
    monkeypatch.setattr(cluster.ray, "nodes", lambda: [{"Alive": True, "Resources": {"memory": 1.0}}])
    monkeypatch.setattr(cluster, "_is_head_here", lambda: True)
    monkeypatch.setattr(cluster, "_autoscaling_config", shipped)


@pytest.mark.usefixtures("grown")
@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, (8, 1.0)),
        ({"gpu": "1/4"}, (32, 0.25)),
        ({"gpu": "1/8"}, (32, 0.125)),  # 4 processors a node
        ({"cpu": 4, "gpu": "1/4"}, (8, 0.25)),
        ({"gpu": 0}, (32, 0.0)),
    ],
)
def test_a_cluster_is_counted_at_its_largest(resources: dict[str, Any], expected: tuple[int, float]) -> None:
    assert counted(**resources) == expected


@pytest.mark.usefixtures("grown")
def test_the_caller_may_know_better() -> None:
    assert counted(3) == (3, 1.0)


@pytest.mark.usefixtures("grown")
def test_elsewhere_the_file_of_ray_up_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_is_head_here", lambda: False)
    assert counted() == (1, 0.0)


def test_a_trial_never_spans_two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 3.0}}] * 2 + [{"Alive": False, "Resources": {"CPU": 8.0}}]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(cluster, "_is_head_here", lambda: False)
    assert counted(cpu=2) == (2, 0.0)
