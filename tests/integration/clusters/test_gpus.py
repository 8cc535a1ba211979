"""Shares of GPUs, on nodes that say they have one: never more trials on a card than it has shares."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cluster import gpu_packing, tuning
from orchestrator.config.sweep_file import validate
from orchestrator.sweep import Options, run_sweep
from tests.integration.null_trainable import null_trainable
from tests.integration.support import own_cluster, rows

pytestmark = pytest.mark.slow

CPUS = 3


@pytest.fixture(scope="module")
def cluster(short_tmp: Path) -> Iterator[Any]:
    """A node without a GPU and two with one each."""
    node = {"num_cpus": CPUS, "object_store_memory": 100 * 2**20}
    head = {**node, "num_cpus": 1, "include_dashboard": False}
    with own_cluster(short_tmp / "g", head, 2 * [{**node, "num_gpus": 1}]) as started:
        yield started


def swept(
    cluster: Any,
    out: Path,
    gpu: object,
    monkeypatch: pytest.MonkeyPatch,
    meet: int = 0,
    seconds: float = 0.3,
    **own: dict[str, Any],
) -> tuple[list[dict[str, Any]], str]:
    place = out.with_name(f"{out.name}-workers")
    place.mkdir()
    monkeypatch.setattr(tuning, "SweepTrainable", null_trainable(seconds, place=str(place), meet=meet))
    config = validate(
        {
            "name": "shares",
            "dataset": {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}},
            "network": {"name": "pixel_front"},
            "methods": [{"name": name, "resources": own.get(name)} for name in ("erm", "lnl")],
            "search": {"trials": 7, "sampler": "random", "early_stopping": "off"},
            "confirm": {"seeds": 1, "rules": ["val_counterfactual"]},
            "training": {"epochs": 2, "ramp": 0.0},
            "resources": {"gpu": gpu},
        }
    )
    told = io.StringIO()
    result = run_sweep(config, str(out), Options(address=cluster.address, console=Console(file=told, width=500)))
    assert result.complete and result.finished == 4 * 8
    return list(rows(out).values()), told.getvalue()


def together(found: list[dict[str, Any]]) -> int:
    """Largest number of these trials that ran at the same moment."""
    starts = [row["started_at"] for row in found]
    return max(sum(row["started_at"] <= moment < row["finished_at"] for row in found) for moment in starts)


def used(found: list[dict[str, Any]]) -> float:
    """Largest share of a card that these trials took at the same moment."""
    starts = [row["started_at"] for row in found]
    return max(sum(r["gpu_share"] for r in found if r["started_at"] <= t < r["finished_at"]) for t in starts)


def of(found: list[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    return [row for row in found if row["method"] == method]


def by_card(found: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    cards: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found:
        cards.setdefault((row["node"], row["device_name"]), []).append(row)
    return cards


def test_never_more_trials_on_a_card_than_it_has_shares(
    cluster: Any, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = swept(cluster, short_tmp / "half", "1/2", monkeypatch, meet=4)
    cards = by_card(found)
    assert len(cards) == 2 and all(name != "" for _, name in cards)
    assert {together(trials) for trials in cards.values()} == {2}
    assert {row["gpu_share"] for row in found} == {0.5}


def test_auto_packs_as_many_as_were_measured_to_fit(
    cluster: Any, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 0.9 x 10 GB hold three trials of 3 GB, and a node has three processors for its card.
    # One of 6 GB has a card for itself.
    needs = [3 * 2**30, 6 * 2**30]
    monkeypatch.setattr(gpu_packing, "_measure", lambda probes, plugins: (needs, 10 * 2**30, f"card of {len(probes)}"))
    found, told = swept(cluster, short_tmp / "auto", "auto", monkeypatch)
    assert "resources.gpu: auto = 1/3 for erm: a trial takes 3072 of 10240 MB on card of 2" in told
    assert "resources.gpu: auto = 1 for lnl: a trial takes 6144 of 10240 MB on card of 2" in told
    small, large = by_card(of(found, "erm")), by_card(of(found, "lnl"))
    assert max(together(trials) for trials in small.values()) <= 3
    assert max(together(trials) for trials in large.values()) == 1
    assert all(row["gpu_share"] == pytest.approx(1 / 3) for row in of(found, "erm"))
    assert {row["gpu_share"] for row in of(found, "lnl")} == {1.0}
    assert all(used(trials) <= 1 + 1e-6 for trials in by_card(found).values())


def test_auto_without_a_card_that_torch_can_use_gives_a_whole_one(
    cluster: Any, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a card here that torch can use")
    found, told = swept(cluster, short_tmp / "none", "auto", monkeypatch)
    assert "torch cannot use it there" in told
    assert {together(trials) for trials in by_card(found).values()} == {1}


def test_trials_without_a_share_run_on_every_node_and_take_no_card(
    cluster: Any, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = swept(cluster, short_tmp / "cpu", 0, monkeypatch, meet=1 + 2 * CPUS)
    assert len({row["node"] for row in found}) == 3
    assert {row["device_name"] for row in found} == {""} and {row["gpu_share"] for row in found} == {0.0}


def test_methods_with_resources_of_their_own_use_all_kinds_of_nodes_at_once(
    cluster: Any, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All processors are taken before the first trial ends: trials are left for the worker that starts last.
    found, _ = swept(cluster, short_tmp / "mixed", "1/2", monkeypatch, meet=1 + 2 * CPUS, erm={"gpu": 0, "cpu": 1})
    plain, debiased = of(found, "erm"), of(found, "lnl")
    assert {row["device_name"] for row in plain} == {""} and {row["gpu_share"] for row in plain} == {0.0}
    assert {row["gpu_share"] for row in debiased} == {0.5} and "" not in {row["device_name"] for row in debiased}
    # The node without a card takes trials too, and only such as need none.
    without_card = cluster.head_node.node_id
    assert without_card in {row["node"] for row in plain} and without_card not in {row["node"] for row in debiased}
    # Neither kind waits for the other.
    assert any(one["started_at"] < other["finished_at"] and other["started_at"] < one["finished_at"]
               for one in plain for other in debiased)  # fmt: skip
    assert all(together(trials) <= 2 for trials in by_card(debiased).values())
