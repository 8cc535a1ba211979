"""How many trials share a card, and what Ray is asked for."""

from __future__ import annotations

import pytest

from orchestrator.config import validate
from orchestrator.gpu_packing import ray_share, trials_on_card
from trainable.errors import InputError

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
