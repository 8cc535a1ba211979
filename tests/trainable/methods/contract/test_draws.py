"""Balanced draws: equal groups, even repeats, the same draw for the same generator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from store.errors import InputError
from trainable.methods.base import balanced, get_method, needs_of
from trainable.spec import TrialSpec
from trainable.trial.refusals import check_combination
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [None, 60, 7, 1001])
def test_groups_are_drawn_equally_often_and_images_evenly(size: int | None) -> None:
    groups = torch.tensor([0] * 50 + [3] * 9 + [4] * 2 + [-1] * 5)
    for seed in range(5):
        drawn = balanced(groups, generator(seed), size)
        assert len(drawn) == (len(groups) if size is None else size)
        counts = torch.bincount(groups[drawn] + 1, minlength=6)
        assert counts[0] == 0 and counts[2:4].sum() == 0
        of_groups = counts[[1, 4, 5]]
        assert of_groups.max() - of_groups.min() <= 1
        repeats = torch.bincount(drawn, minlength=len(groups))
        for code in (0, 3, 4):
            own = repeats[groups == code]
            assert own.max() - own.min() <= 1


def test_a_draw_is_that_of_its_generator() -> None:
    groups = torch.tensor([0] * 50 + [1] * 9)
    assert torch.equal(balanced(groups, generator(1)), balanced(groups, generator(1)))
    assert not torch.equal(balanced(groups, generator(1)), balanced(groups, generator(2)))


def test_over_epochs_every_image_of_the_majority_is_drawn() -> None:
    groups = torch.tensor([0] * 50 + [1] * 9)
    seen = torch.cat([balanced(groups, generator(seed)) for seed in range(12)]).unique()
    assert len(seen) == 59


def test_a_draw_from_an_empty_group_is_refused(tiny: MakeSpec) -> None:
    spec = tiny("lnl", bias={"rho": 0.3}, draw="balanced")
    with pytest.raises(InputError, match="none of class 'a' with 'red'"):
        # All images of class a carry no colour, or its own, which is none.
        Trainer(spec, "cpu")


def test_a_balanced_trial_draws_equal_groups_and_is_resumed_bit_for_bit(tiny: MakeSpec) -> None:
    # Colours are drawn independently of the class for the ceiling.
    spec = tiny("ceiling", epochs=3, seed=0, batch_size=20, draw="balanced")
    whole, part = Trainer(spec, "cpu"), Trainer(spec, "cpu")
    natural = Trainer(tiny("ceiling", epochs=3, seed=0, batch_size=20), "cpu")
    order = whole.feed.order(1)
    images = whole.view.train("unbiased")
    groups = (images.labels * 4 + images.attribute)[order]
    counts = torch.bincount(groups, minlength=16)
    assert len(order) == natural.feed.n and int(counts.min()) >= 1 and int(counts.max() - counts.min()) <= 1
    while not whole.finished:
        whole.train_epoch()
    part.train_epoch()
    saved = part.state()
    again = Trainer(TrialSpec.from_json(spec.to_json()), "cpu")
    again.load_state(saved)
    while not again.finished:
        again.train_epoch()
    natural.train_epoch()
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in whole.history]
    assert whole.history[0]["train_loss"] != natural.history[0]["train_loss"]
    assert whole.row()["draw"] == "balanced" and natural.row()["draw"] == "natural"
    with pytest.raises(InputError, match="belongs to another trial"):
        Trainer(tiny("ceiling", epochs=3, seed=0, batch_size=20), "cpu").load_state(saved)


def test_a_specification_without_the_key_is_natural(tiny: MakeSpec) -> None:
    spec = tiny("erm")
    assert '"draw"' not in spec.to_json() and TrialSpec.from_json(spec.to_json()) == spec
    other = tiny("erm", draw="balanced")
    assert '"draw": "balanced"' in other.to_json() and TrialSpec.from_json(other.to_json()) == other != spec


def test_what_a_balanced_draw_needs(tiny: MakeSpec) -> None:
    assert needs_of(get_method("erm")) == set()
    assert needs_of(get_method("lnl"), "balanced") == {"bias_labels", "group_counts", "all_groups"}
    trainer = Trainer(tiny("erm"), "cpu")

    class NoLabels(type(trainer.dataset)):  # type: ignore[misc]
        attributes = ()

    dataset = NoLabels()
    dataset.heads = type(dataset.heads)((), 0, False)
    with pytest.raises(InputError, match="tiny has no bias labels, which draw: balanced needs"):
        check_combination(get_method("erm"), dataset, trainer.spec.training, "balanced")
