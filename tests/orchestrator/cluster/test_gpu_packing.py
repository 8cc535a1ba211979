"""How many trials share a card, and what Ray is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import ray.exceptions
from rich.console import Console

from orchestrator.cluster import gpu_packing
from orchestrator.cluster.capacity import Demand
from orchestrator.cluster.gpu_packing import pack_gpus, ray_share, trials_on_card
from orchestrator.config.sweep_file import validate
from store.errors import InputError
from tests.orchestrator.support import sweep_cells, sweep_config

GB = 2**30


@pytest.mark.parametrize(
    ("need", "memory", "cpus", "each", "expected"),
    [
        (3 * GB, 10 * GB, 8, 1, 3),  # nine tenths of the memory
        (5 * GB, 10 * GB, 8, 1, 1),
        (20 * GB, 10 * GB, 8, 1, 1),  # at least one: that it does not fit is the trial's own error
        (1 * GB, 80 * GB, 4, 1, 4),  # no more than there are processors
        (1 * GB, 80 * GB, 4, 3, 1),
    ],
)
def test_trials_on_a_card(need: int, memory: int, cpus: float, each: int, expected: int) -> None:
    assert trials_on_card(need, memory, cpus, each) == expected


@pytest.mark.parametrize("k", range(1, 33))
def test_exactly_k_shares_fill_a_card(k: int) -> None:
    units = round(ray_share(1 / k) * 10_000)
    assert ray_share(1 / k) * 10_000 == pytest.approx(units)
    assert k * units <= 10_000 < (k + 1) * units


def share_of(value: object) -> object:
    tree = {"dataset": {"name": "d", "bias": {"rho": [0.5]}}, "methods": ["erm"], "resources": {"gpu": value}}
    return validate(tree).resources.gpu


@pytest.mark.parametrize("value", ["auto", 0, 1, 2, "1/2", "1/7"])
def test_shares(value: object) -> None:
    assert share_of(value) == value


@pytest.mark.parametrize(
    ("value", "hint"),
    [(0.25, "write 1/4"), ("2/3", "write 1/2"), (1.5, "write 2"), ("half", "but got 'half'"), (-1, "but got -1")],
)
def test_other_shares_are_refused_with_the_reason(value: object, hint: str) -> None:
    with pytest.raises(InputError, match=r"k equal trials fill a GPU") as refused:
        share_of(value)
    assert hint in str(refused.value)


CARDS = {"accelerator_type:A10G": (24 * GB, "A10G"), "accelerator_type:T4": (16 * GB, "T4")}


@dataclass
class FakeRay:
    """As much of Ray as the packing asks for. A task that fits on no node never ends, as in Ray.

    Attributes:
        here: Resources of the nodes that are there; the first one with a card runs what may run on any.
        need: Memory that each trial turns out to need.
    """

    here: list[dict[str, float]]
    need: int = 5 * GB
    measured: list[int] = field(default_factory=list)
    cancelled: int = 0
    exceptions: Any = ray.exceptions

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": node} for node in self.here]

    def remote(self, **wanted: Any) -> Callable[[Any], Any]:
        def on(node: dict[str, float]) -> bool:
            named = {"GPU": wanted["num_gpus"], "CPU": wanted["num_cpus"], **wanted.get("resources", {})}
            return all(node.get(name, 0.0) >= amount for name, amount in named.items())

        def run(function: Any) -> Callable[..., Any]:
            def answer(*arguments: Any) -> Any:
                (card,) = [CARDS[name] for name in next(filter(on, self.here)) if name in CARDS]
                if function is gpu_packing._look:
                    return card
                assert function is gpu_packing._measure
                self.measured.append(len(arguments[0]))
                return [self.need] * len(arguments[0]), *card

            class Task:
                @staticmethod
                def remote(*arguments: Any) -> Callable[[], Any] | None:
                    return (lambda: answer(*arguments)) if any(map(on, self.here)) else None

            return Task

        return run

    def get(self, references: list[Any], timeout: float | None = None) -> list[Any]:
        if None in references:
            assert timeout is not None, "waits without end"
            raise ray.exceptions.GetTimeoutError("some object(s) not ready")
        return [reference() for reference in references]

    def cancel(self, reference: Any, force: bool = False) -> None:
        self.cancelled += 1


def packed(
    fake: FakeRay, monkeypatch: pytest.MonkeyPatch, largest: list[dict[str, float]] | None = None, lnl_cpus: int = 1
) -> tuple[dict[str, float], str]:
    """The share of each method's trials, and what was said, where ``erm`` takes one processor."""
    monkeypatch.setattr(gpu_packing, "ray", fake)
    monkeypatch.setattr(gpu_packing, "with_our_code", lambda work: work)
    monkeypatch.setattr(gpu_packing, "cluster_nodes", lambda: fake.here if largest is None else largest)
    config = sweep_config()
    told = io.StringIO()
    demands = {"erm": Demand(1, 1.0), "lnl": Demand(lnl_cpus, 1.0)}
    found = pack_gpus(config, sweep_cells(config), demands, Console(file=told, width=500))
    return {label: demand.gpu for label, demand in found.items()}, told.getvalue()


def node(kind: str, cpus: float = 8.0) -> dict[str, float]:
    return {"CPU": cpus, "GPU": 1.0, f"accelerator_type:{kind}": 1.0}


def test_of_two_kinds_of_cards_the_one_with_less_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _ = packed(FakeRay([node("A10G")]), monkeypatch)
    assert alone == {"erm": 1 / 4, "lnl": 1 / 4}
    both, told = packed(FakeRay([node("A10G"), node("T4")]), monkeypatch)
    assert both == {"erm": 1 / 2, "lnl": 1 / 2}
    assert "a trial takes 5120 of 16384 MB on T4" in told


def test_a_method_that_fits_on_no_node_to_come_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    # The head has no card, the first worker comes when something waits for it.
    fake = FakeRay([node("A10G", cpus=4)])
    shares, told = packed(fake, monkeypatch, [{"CPU": 2.0}, {"CPU": 4.0, "GPU": 1.0}], lnl_cpus=8)
    assert fake.measured == [1] and "of 1 trials" in told
    assert shares == {"erm": 1 / 4, "lnl": 1.0}


def test_where_no_method_fits_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay([{"CPU": 2.0}])
    shares, told = packed(fake, monkeypatch, [{"CPU": 2.0}], lnl_cpus=8)
    assert shares == {"erm": 1.0, "lnl": 1.0} and told == ""


def test_a_card_that_does_not_come_in_time_leaves_each_trial_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay([{"CPU": 2.0}])
    shares, told = packed(fake, monkeypatch, [{"CPU": 2.0}, node("A10G")])
    assert shares == {"erm": 1.0, "lnl": 1.0}
    assert told.splitlines()[1:] == [
        "resources.gpu: auto gives each trial a whole GPU: it was not measured "
        "(no card gave an answer within 30 minutes)"
    ]
    assert fake.cancelled == 1


def test_a_node_on_which_a_trial_does_not_fit_does_not_lower_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    shares, _ = packed(FakeRay([node("A10G"), node("A10G", cpus=2)]), monkeypatch, lnl_cpus=4)
    assert shares == {"erm": 1 / 2, "lnl": 1 / 2}
