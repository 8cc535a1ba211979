"""Bounds of a sweep on time and money, counted against a clock that the test gives."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.budget import Budget, Retries
from orchestrator.config.sweep_config import LimitsConfig


def an_hour(cost: float | None = 0.5, **row: Any) -> dict[str, Any]:
    return {"train_seconds": 3600.0, "cost": cost, **row}


def budget(finished: int = 0, **limits: float) -> Budget:
    return Budget(LimitsConfig(**limits), lambda row: row["cost"], 100.0, finished)


def test_without_bounds_nothing_is_exhausted() -> None:
    free = budget()
    free.trial_ended(an_hour(None))
    assert free.exhausted(1e9) is None and not free.is_overdue(0.0, 1e9)


def test_hours_count_from_the_start_of_this_driver() -> None:
    assert budget(max_hours=2).exhausted(100.0 + 7200.0) is None
    assert str(budget(max_hours=2).exhausted(100.0 + 7200.1)) == "limits.max_hours is over"


def test_the_start_of_a_cluster_costs_no_hours() -> None:
    waited = budget(max_hours=2)
    waited.start_hours(5000.0)
    assert waited.exhausted(5000.0 + 7200.0) is None and waited.seconds(5000.0) == 4900.0


def test_the_cost_of_earlier_drivers_counts() -> None:
    spent = budget(max_cost=1.2)
    spent.count_earlier([an_hour(), an_hour()])
    assert spent.cost == 1.0 and spent.exhausted(100.0) is None
    spent.trial_ended(an_hour())
    assert str(spent.exhausted(100.0)) == "limits.max_cost = 1.2 is spent"


def test_a_cost_that_is_not_known_stays_so() -> None:
    spent = budget(max_cost=1e6)
    for cost in (0.1, None, 0.1):
        spent.trial_ended(an_hour(cost))
    assert spent.cost is None and "the table of prices lacks a GPU" in str(spent.exhausted(100.0))


def test_a_trial_is_overdue_after_its_minutes() -> None:
    bounded = budget(trial_minutes=1.5)
    assert not bounded.is_overdue(200.0, 289.9) and bounded.is_overdue(200.0, 290.0)


@pytest.mark.parametrize(
    ("before", "slots", "finished", "seconds"),
    [(0, 0, 1, None), (0, 0, 2, 4 * 60 / 2), (0, 4, 3, None), (0, 4, 4, 30.0), (3, 0, 4, None), (3, 0, 5, 30.0)],
)
def test_the_time_to_go_follows_from_the_rate_of_this_driver(
    before: int, slots: int, finished: int, seconds: float | None
) -> None:
    running = budget(before)
    running.use_slots(slots, 100.0)
    assert running.eta_seconds(6, finished, 160.0) == seconds
    assert running.seconds(160.0) == 60.0


def test_the_share_of_the_slots_time_in_which_trials_train() -> None:
    running = budget()
    assert running.busy_share(110.0) is None
    running.use_slots(2, 100.0)
    running.trial_started("a", 105.0)
    assert running.busy_share(110.0) == 5 / 20
    running.use_slots(4, 110.0)
    running.trial_left("a")
    running.trial_ended({"train_seconds": 20.0, "cost": 0.0})
    assert running.busy_share(115.0) == 20 / 40
    running.trial_ended(an_hour())
    assert running.busy_share(115.0) == 1.0


def starts(retries: Retries, trial: str, death: str, label: str = "erm") -> int:
    """Times that a trial is started whose processes all die like this."""
    count = 1
    while not retries.died(trial, label, death):
        count += 1
    return count


def test_of_a_method_whose_trials_die_alike_one_start_is_enough() -> None:
    retries = Retries()
    assert [starts(retries, name, f"signal {number}") for number, name in enumerate("abc")] == [3, 1, 1]
    assert (retries.deaths("a"), retries.deaths("b"), retries.deaths("z")) == (3, 1, 0)
    assert starts(retries, "d", "out of memory") == 3 and starts(retries, "e", "signal 5", "lnl") == 3
    retries.trained("erm")
    assert starts(retries, "f", "signal 7") == 3 and starts(retries, "g", "signal 9", "lnl") == 1
