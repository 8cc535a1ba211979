"""Losses and gradients of the group methods, in float64, against forms in which their papers write them."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.trainable.methods.groups.small import (
    ATTRIBUTE,
    LABELS,
    A,
    Flat,
    K,
    N,
    agree,
    batch_of,
    begun,
    facts,
    stepped,
)
from tests.trainable.methods.waits import no_waits
from trainable.methods.base import Batch, Nets
from trainable.methods.groups.bias_balance import LEAST
from trainable.methods.groups.group import codes_of, weights_of
from trainable.methods.groups.irm import scale_gradients

SOME = torch.tensor([3, 5, 0, 9, 9, 1, 7])
"""A batch with an image twice and without class 1's first group."""
ALL = torch.arange(N)
METHODS = ("reweight", "resample", "group_dro", "bias_balance", "irm", "mixup")


def by_group(net: Flat, index: Tensor) -> dict[tuple[int, int], Tensor]:
    """Mean loss of each group of a batch, an image at a time."""
    batch, losses = batch_of(facts(), index), {}
    for x, i in zip(batch.x, index.tolist(), strict=True):
        group = (int(LABELS[i]), int(ATTRIBUTE[i]))
        losses.setdefault(group, []).append(-torch.log(net(x).softmax(0)[LABELS[i]]))
    return {group: torch.stack(some).mean() for group, some in losses.items()}


def test_weights_by_hand() -> None:
    # Five groups of 3, 1, 1, 3 and 4 images.
    wanted = [12 / (5 * n) for n in (3, 3, 3, 1, 1, 3, 3, 3, 4, 4, 4, 4)]
    torch.testing.assert_close(weights_of(facts()), torch.tensor(wanted, dtype=torch.float64))
    unknown = ATTRIBUTE.clone()
    unknown[3] = -1
    assert codes_of(facts(unknown)).tolist() == [0, 0, 0, -1, 2, 3, 3, 3, 4, 4, 4, 4]
    found = weights_of(facts(unknown))
    assert found[3] == 0 and float(found.sum()) == pytest.approx(11) and found[0] == pytest.approx(11 / (4 * 3))


def test_reweight_is_the_mean_over_groups_of_their_mean_losses() -> None:
    twin = Flat()
    losses, net = stepped(begun("reweight", facts()), batch_of(facts(), ALL))
    agree(net, torch.stack(list(by_group(twin, ALL).values())).mean(), losses, twin)


def test_reweight_weighs_the_images_of_a_batch_as_those_of_the_whole_set() -> None:
    twin, batch = Flat(), batch_of(facts(), SOME)
    losses, net = stepped(begun("reweight", facts()), batch)
    sizes = {0: 3, 1: 1, 2: 1, 3: 3, 4: 4}
    terms = []
    for x, i in zip(batch.x, SOME.tolist(), strict=True):
        group = int(LABELS[i]) * A + int(ATTRIBUTE[i])
        terms.append(-torch.log(twin(x).softmax(0)[LABELS[i]]) * N / (5 * sizes[group]) / len(SOME))
    agree(net, torch.stack(terms).sum(), losses, twin)
    assert float(losses.label) == pytest.approx(float(F.cross_entropy(twin(batch.x), batch.y).detach()))


def test_resample_is_plain_training_on_equal_groups() -> None:
    twin, state = Flat(), begun("resample", facts())
    losses, net = stepped(state, batch_of(facts(), SOME))
    torch.autograd.backward(F.cross_entropy(twin(batch_of(facts(), SOME).x), LABELS[SOME]))
    torch.testing.assert_close(net.gradients[0], twin.gradients[0])
    assert losses.total is None
    order = state.order(0, torch.Generator().manual_seed(0))
    assert order is not None and len(order) == N
    sizes = torch.bincount((LABELS * A + ATTRIBUTE)[order], minlength=K * A)
    assert sorted(sizes.tolist()) == [0, 2, 2, 2, 3, 3] and sizes[5] == 0


def test_group_dro_follows_algorithm_1() -> None:
    state, eta = begun("group_dro", facts(), eta=0.5), 0.5
    torch.testing.assert_close(state.q, torch.tensor([0.2, 0.2, 0.2, 0.2, 0.2, 0.0]))
    state.q = state.q.double().sign() / 5
    q = {(y, b): 0.2 for y in range(K) for b in range(A) if (y, b) != (2, 1)}
    for index in (SOME, torch.tensor([4, 6, 10]), ALL):
        twin = Flat()
        losses, net = stepped(state, batch_of(facts(), index))
        means = by_group(twin, index)
        q = {group: p * math.exp(eta * float(means[group].detach())) if group in means else p for group, p in q.items()}
        q = {group: p / sum(q.values()) for group, p in q.items()}
        agree(net, torch.stack([q[group] * mean for group, mean in means.items()]).sum(), losses, twin)
        assert float(losses.terms["q_max"]) == pytest.approx(max(q.values()))
    assert float(state.q[5]) == 0 and float(state.q.sum()) == pytest.approx(1)
    assert set(state.tensors()) == {"q"}
    still = begun("group_dro", facts(), eta=0.0)
    stepped(still, batch_of(facts(), SOME))
    torch.testing.assert_close(still.q, torch.tensor([0.2, 0.2, 0.2, 0.2, 0.2, 0.0]))


def test_bias_balance_multiplies_by_the_prior() -> None:
    twin, batch = Flat(), batch_of(facts(), SOME)
    losses, net = stepped(begun("bias_balance", facts()), batch)
    # n_{y,b}: 3 1 | 1 3 | 4 0.
    prior = torch.tensor([[3 / 8, 1 / 8, 4 / 8], [1 / 4, 3 / 4, 0]], dtype=torch.float64) + LEAST
    odds = prior[ATTRIBUTE[SOME]] * twin(batch.x).exp()
    agree(net, -torch.log(odds[torch.arange(len(SOME)), batch.y] / odds.sum(dim=1)).mean(), losses, twin)
    assert float(losses.label) == pytest.approx(float(F.cross_entropy(twin(batch.x), batch.y).detach()))
    # The judged logits are the plain ones.
    torch.testing.assert_close(losses.logits, twin(batch.x).detach())


def test_bias_balance_without_a_bias_label_is_plain() -> None:
    known = facts(torch.full((N,), -1))
    losses, net = stepped(begun("bias_balance", known), batch_of(known, SOME))
    twin = Flat()
    agree(net, F.cross_entropy(twin(batch_of(known, SOME).x), LABELS[SOME]), losses, twin)


# A trial of 8 steps.
@pytest.mark.parametrize(("a", "step", "weight"), [(50.0, 2, 50.0), (50.0, 1, 1.0), (0.5, 7, 0.5)])
def test_irm_multiplies_the_gradients_of_two_halves_over_a_factor_of_the_logits(
    a: float, step: int, weight: float
) -> None:
    twin, batch = Flat(), batch_of(facts(), SOME, step)
    losses, net = stepped(begun("irm", facts(), a=a, anneal=0.25), batch)
    risks, penalties = [], []
    for b in range(A):
        chosen = batch.attribute == b
        w = torch.ones((), dtype=torch.float64, requires_grad=True)
        each = F.cross_entropy(w * twin(batch.x[chosen]), batch.y[chosen], reduction="none")
        # Twice differentiated, as the authors do.
        halves = [torch.autograd.grad(each[i::2].mean(), w, create_graph=True)[0] for i in (0, 1)]
        risks.append(each.mean())
        penalties.append(halves[0] * halves[1])
    total = torch.stack(risks).mean() + weight * torch.stack(penalties).mean()
    agree(net, total / max(weight, 1.0), losses, twin)
    assert float(losses.terms["penalty"]) == pytest.approx(float(torch.stack(penalties).mean().detach()))


def test_irm_counts_the_environments_of_the_batch() -> None:
    first = torch.tensor([0, 1, 4, 8])
    twin, batch = Flat(), batch_of(facts(), first)
    losses, net = stepped(begun("irm", facts(), a=1.0), batch)
    w = torch.ones((), dtype=torch.float64, requires_grad=True)
    each = F.cross_entropy(w * twin(batch.x), batch.y, reduction="none")
    halves = [torch.autograd.grad(each[i::2].mean(), w, create_graph=True)[0] for i in (0, 1)]
    agree(net, each.mean() + halves[0] * halves[1], losses, twin)


def test_irm_cannot_halve_a_single_image() -> None:
    twin, batch = Flat(), batch_of(facts(), torch.tensor([0]))
    losses, net = stepped(begun("irm", facts(), a=1.0), batch)
    agree(net, F.cross_entropy(twin(batch.x), batch.y), losses, twin)
    assert float(losses.terms["penalty"]) == 0


def test_the_penalty_of_irm_is_right_on_average() -> None:
    # The square of a batch's own gradient would exceed that of all images by the variance between batches.
    generator, labels = torch.Generator().manual_seed(0), torch.tensor([0, 1] * 32)
    logits = torch.randn((64, 2), generator=generator, dtype=torch.float64)
    wanted = float(scale_gradients(logits, labels).mean()) ** 2
    found = []
    for _ in range(4000):
        index = torch.randint(64, (8,), generator=generator)
        method = begun("irm", facts())
        nets = Nets(nn.Identity(), nn.Identity(), None)
        x, y, alike = logits[index].requires_grad_(), labels[index], torch.zeros(64, dtype=torch.long)
        batch = Batch(x, y, index[:0], index=index, attributes=alike)
        found.append(float(method.step(nets, batch, 1.0).terms["penalty"]))
    mean, error = fmean(found), stdev(found) / len(found) ** 0.5
    assert abs(mean - wanted) < 3 * error < wanted / 2


@pytest.mark.parametrize("name", METHODS)
def test_no_step_waits_for_the_device(name: str) -> None:
    state, batch, nets = begun(name, facts()), batch_of(facts(), SOME), Nets(nn.Identity(), Flat(), None)
    with no_waits():
        state.step(nets, batch, 1.0)


def test_the_guard_finds_waits() -> None:
    for wait in (lambda t: t.sum().item(), lambda t: t[t > 0], lambda t: t.nonzero(), lambda t: bool((t > 9).any())):
        with pytest.raises(AssertionError, match="waits for the device"), no_waits():
            wait(torch.arange(3))
