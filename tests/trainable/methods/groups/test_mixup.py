"""LISA: the mixtures are those of the paper, its draws have the right law, and the gradients follow."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.trainable.methods.groups.small import ATTRIBUTE, LABELS, Flat, K, N, agree, batch_of, begun, facts, stepped
from trainable.methods.base import Nets
from trainable.methods.groups.mixup import partners
from trainable.randomness import derive

BATCH = torch.tensor([3, 5, 0, 9, 9, 1, 7, 4])
STEPS = 400


def drawn(step: int, size: int = len(BATCH)) -> torch.Tensor:
    """The uniform numbers of a step, from the same (seed, role, step)."""
    generator = torch.Generator().manual_seed(derive(facts().seed, "mixup", step))
    return torch.rand(size + 1, 4, generator=generator)


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("p_sel", [0.0, 1.0, 0.5])
def test_the_loss_is_that_of_the_mixtures(p_sel: float, step: int) -> None:
    twin, batch, u = Flat(), batch_of(facts(), BATCH, step), drawn(step)
    losses, net = stepped(begun("mixup", facts(), p_sel=p_sel), batch)
    within_class = float(u[-1, 3]) < p_sel
    y, b = LABELS[BATCH].tolist(), ATTRIBUTE[BATCH].tolist()
    images, targets, mixed = [], [], 0
    for i in range(len(BATCH)):
        pairs = [(y[i] == y[j] and b[i] != b[j]) if within_class else (b[i] == b[j] and y[i] != y[j]) for j in range(8)]
        fitting = [j for j, fits in enumerate(pairs) if fits]
        ratio = float(sorted(u[i, :3].tolist())[1])
        ratio, partner = max(ratio, 1 - ratio), i
        if fitting:
            partner, mixed = fitting[int(float(u[i, 3]) * len(fitting))], mixed + 1
        images.append(ratio * batch.x[i] + (1 - ratio) * batch.x[partner])
        onehot = F.one_hot(batch.y, K).double()
        targets.append(ratio * onehot[i] + (1 - ratio) * onehot[partner])
    # Soft labels, as the authors write it.
    agree_loosely(net, F.cross_entropy(twin(torch.stack(images)), torch.stack(targets)), losses, twin)
    assert float(losses.terms["mixed"]) == pytest.approx(mixed / len(BATCH))


def agree_loosely(net: Flat, total: torch.Tensor, losses: object, twin: Flat) -> None:
    # The ratio is a float32 number, of which 1 - ratio rounds otherwise in Python.
    torch.autograd.backward(total)
    assert abs(float(losses.total) - float(total.detach())) < 1e-6  # type: ignore[attr-defined]
    for found, wanted in zip(net.gradients, twin.gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_an_image_without_a_partner_stays_as_it_is() -> None:
    # One class and one value of the bias.
    alone, twin = torch.tensor([8, 9, 10]), Flat()
    losses, net = stepped(begun("mixup", facts()), batch_of(facts(), alone))
    agree(net, F.cross_entropy(twin(batch_of(facts(), alone).x), LABELS[alone]), losses, twin)
    assert losses.terms["mixed"] == 0


def test_the_ratio_has_the_law_beta_2_2() -> None:
    u = torch.cat([drawn(step) for step in range(STEPS)])[:, :3]
    ratio = u.median(dim=1).values.double()
    n = len(ratio)
    # Beta(2, 2) has mean 1/2 and variance 1/20; its distribution function is 3 x^2 - 2 x^3.
    assert abs(float(ratio.mean()) - 0.5) < 4 * (0.05 / n) ** 0.5
    assert abs(float(ratio.var()) - 0.05) < 0.005
    for x in (0.2, 0.5, 0.8):
        wanted = 3 * x**2 - 2 * x**3
        assert abs(float((ratio < x).double().mean()) - wanted) < 4 * (wanted * (1 - wanted) / n) ** 0.5


def test_every_partner_that_fits_is_as_likely() -> None:
    fits = torch.tensor([[False, True, True, False, True]]).expand(9000, 5)
    found, there = partners(fits, torch.rand(9000, generator=torch.Generator().manual_seed(0)))
    counts = torch.bincount(found, minlength=5)
    assert there.all() and counts[0] == counts[3] == 0 and int(counts[[1, 2, 4]].min()) > 2800
    largest = torch.tensor([1 - 2**-24])
    assert partners(fits[:1], largest)[0].tolist() == [4] and partners(fits[:1], largest * 0)[0].tolist() == [1]


def test_kinds_are_drawn_with_their_share() -> None:
    state, within = begun("mixup", facts(), p_sel=0.3), 0
    # Class 0 and class 1 with one value each: only pairs across classes exist, or none.
    index = torch.tensor([0, 4])
    for step in range(STEPS):
        losses, _ = stepped(state, batch_of(facts(), index, step))
        within += float(losses.terms["mixed"]) == 0
    assert abs(within / STEPS - 0.3) < 4 * (0.3 * 0.7 / STEPS) ** 0.5


def test_draws_depend_on_the_step_and_move_no_global_numbers() -> None:
    state, nets = begun("mixup", facts()), Nets(nn.Identity(), Flat(), None)
    before = torch.get_rng_state()
    totals = [float(state.step(nets, batch_of(facts(), BATCH, step), 1.0).total or 0) for step in (0, 1, 0)]
    assert totals[0] == totals[2] != totals[1] and torch.equal(before, torch.get_rng_state())
    order = state.order(0, torch.Generator().manual_seed(0))
    assert order is not None and len(order) == N
