"""How many more trials a cluster takes."""

from __future__ import annotations

import pytest

from orchestrator.cluster.capacity import Capacity, Demand

QUARTER, HALF, CARD, PLAIN = Demand(1, 0.25), Demand(1, 0.5), Demand(1, 1.0), Demand(1, 0.0)
GPU_NODE, CPU_NODE = {"CPU": 4.0, "GPU": 1.0}, {"CPU": 3.0}


@pytest.mark.parametrize(
    ("demand", "node", "trials"),
    [
        (QUARTER, GPU_NODE, 4),
        (QUARTER, {"CPU": 3.0, "GPU": 1.0}, 3),
        (QUARTER, CPU_NODE, 0),
        (PLAIN, GPU_NODE, 4),
        (Demand(2, 0.0), CPU_NODE, 1),
        (Demand(1, 1 / 3), {"CPU": 8.0, "GPU": 2.0}, 6),
        (Demand(1, 2.0), {"CPU": 8.0, "GPU": 5.0}, 2),
    ],
)
def test_trials_on_a_node(demand: Demand, node: dict[str, float], trials: int) -> None:
    assert demand.on(node) == trials


def filled(capacity: Capacity, demand: Demand) -> int:
    count = 0
    while capacity.takes(demand):
        capacity.issue(demand)
        count += 1
    return count


@pytest.mark.parametrize("ahead", [0, 1])
def test_trials_of_one_kind_fill_the_cluster(ahead: int) -> None:
    capacity = Capacity([GPU_NODE, GPU_NODE, CPU_NODE], [QUARTER, QUARTER], ahead=ahead)
    assert capacity.slots == 8
    assert filled(capacity, QUARTER) == 8 + ahead
    capacity.release(QUARTER)
    assert filled(capacity, QUARTER) == 1


def test_trials_without_a_card_run_beside_those_with_one() -> None:
    capacity = Capacity([GPU_NODE, CPU_NODE], [HALF, PLAIN])
    assert capacity.slots == 2 + 2 + 3
    assert filled(capacity, HALF) == 2
    assert filled(capacity, PLAIN) == 5
    capacity.release(HALF)
    assert filled(capacity, HALF) == 1


def test_shares_of_one_card_add_up() -> None:
    capacity = Capacity([GPU_NODE], [QUARTER, HALF])
    assert filled(capacity, HALF) == 2
    assert not capacity.takes(QUARTER)
    capacity.release(HALF)
    assert filled(capacity, QUARTER) == 2 and not capacity.takes(HALF)


def test_what_fits_nowhere_is_asked_for_once_so_that_ray_says_what_is_missing() -> None:
    capacity = Capacity([CPU_NODE], [CARD])
    assert capacity.slots == 1 and filled(capacity, CARD) == 1


def test_what_fits_nowhere_keeps_nothing_else_from_running() -> None:
    capacity = Capacity([{"CPU": 2.0}], [CARD, PLAIN])
    assert capacity.misfits == {CARD} and capacity.slots == 2
    assert filled(capacity, CARD) == 1 and filled(capacity, PLAIN) == 2
    capacity.release(PLAIN)
    assert filled(capacity, PLAIN) == 1


def test_after_all_trials_have_ended_it_takes_as_many_as_before() -> None:
    capacity = Capacity([{"CPU": 2.0}], [CARD, PLAIN])
    for demand in (PLAIN, CARD):
        count = filled(capacity, demand)
        for _ in range(count):
            capacity.release(demand)
    assert filled(capacity, CARD) == 1 and filled(capacity, PLAIN) == 2


def test_a_cluster_without_processors_lets_one_trial_of_each_kind_wait() -> None:
    capacity = Capacity([{"CPU": 0.0}], [PLAIN, Demand(2, 0.0)])
    assert filled(capacity, PLAIN) == filled(capacity, Demand(2, 0.0)) == 1


def test_the_largest_number_is_that_of_the_kind_of_which_most_fit() -> None:
    capacity = Capacity(8 * [GPU_NODE], [PLAIN, Demand(4, 1.0)])
    assert capacity.slots == 32


def test_the_caller_may_know_better() -> None:
    capacity = Capacity([GPU_NODE], [QUARTER, PLAIN], slots=3)
    assert capacity.slots == 3 and filled(capacity, QUARTER) == 3 and not capacity.takes(PLAIN)


def test_nodes_that_join_are_used_and_lost_ones_waited_for() -> None:
    capacity = Capacity([CPU_NODE], [CARD, PLAIN])
    assert capacity.misfits == {CARD} and filled(capacity, CARD) == 1 and filled(capacity, PLAIN) == 3
    assert capacity.grow([CPU_NODE, GPU_NODE, GPU_NODE])
    assert capacity.misfits == frozenset() and capacity.slots == 11
    assert filled(capacity, CARD) == 1 and filled(capacity, PLAIN) == 6
    assert not capacity.grow([CPU_NODE]) and capacity.slots == 11
    capacity.release(PLAIN)
    assert filled(capacity, PLAIN) == 1


def test_what_the_caller_knows_better_does_not_grow() -> None:
    capacity = Capacity([GPU_NODE], [PLAIN], slots=2)
    assert not capacity.grow([GPU_NODE, GPU_NODE]) and capacity.slots == 2 == filled(capacity, PLAIN)
