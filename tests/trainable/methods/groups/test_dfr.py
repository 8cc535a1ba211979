"""DFR: the regression is optimal, C is chosen on a half, and the layer is fitted to all held-out images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor, nn

from trainable.errors import InputError
from trainable.methods.groups import dfr
from trainable.methods.groups.group import codes_of
from trainable.methods.groups.logistic import l1_logistic
from trainable.spec import TrialSpec
from trainable.trial.trainer import Trainer

MakeSpec = Callable[..., TrialSpec]


def problem(n: int = 60, d: int = 5, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    noisy = x[:, :classes] + torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return (x - x.mean(0)) / x.std(0, correction=0), noisy.argmax(dim=1)


def objective(W: Tensor, v: Tensor, x: Tensor, y: Tensor, C: float) -> Tensor:
    return W.abs().sum() + C * F.cross_entropy(x @ W.T + v, y, reduction="sum")


@pytest.mark.parametrize("C", [0.01, 0.07, 0.3, 1.0])
def test_the_fit_meets_the_conditions_of_an_optimum(C: float) -> None:
    x, y = problem()
    W, v = l1_logistic(x, y, 3, C)
    # Subgradients of C sum_i l: minus the sign of a weight that is not 0, in [-1, 1] of one that is.
    residual = (x @ W.T + v).softmax(dim=1) - F.one_hot(y, 3)
    slope = C * residual.T @ x
    assert float((slope + W.sign())[W != 0].abs().max() if (W != 0).any() else 0.0) < 1e-4
    assert float(slope[W == 0].abs().max() if (W == 0).any() else 0.0) < 1 + 1e-4
    assert float((C * residual.sum(dim=0)).abs().max()) < 1e-4
    if C == 0.01:
        assert (W == 0).any()


@pytest.mark.parametrize("C", [0.05, 1.0])
def test_the_fit_equals_that_of_another_solver(C: float) -> None:
    x, y = problem(classes=2)
    W, v = l1_logistic(x, y, 2, C)
    sign, a = 2 * y.numpy() - 1, x.numpy()

    def value(t: Any) -> tuple[float, Any]:
        # One vector w = p - m of two classes, p, m >= 0, and an intercept: a smooth problem with bounds.
        w, b = t[:5] - t[5:10], t[10]
        margin = sign * (a @ w + b)
        slope = -C * sign / (1 + np.exp(margin))
        return t[:10].sum() + C * np.logaddexp(0, -margin).sum(), np.r_[1 + slope @ a, 1 - slope @ a, slope.sum()]

    bounds = [(0, None)] * 10 + [(None, None)]
    solved = minimize(value, np.zeros(11), jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-15})
    assert float(objective(W, v, x, y, C)) == pytest.approx(solved.fun, rel=1e-6)
    np.testing.assert_allclose((W[1] - W[0]).numpy(), solved.x[:5] - solved.x[5:10], atol=2e-3)


def test_groups_are_cut_to_the_smallest_and_halved_within() -> None:
    codes = torch.tensor([0] * 9 + [3] * 4 + [-1] * 2 + [5] * 7)
    generator = torch.Generator().manual_seed(0)
    drawn = dfr.equal_groups(codes, generator)
    assert codes[drawn].tolist() == [0] * 4 + [3] * 4 + [5] * 4 and len(set(drawn.tolist())) == 12
    assert drawn.tolist() != dfr.equal_groups(codes, generator).tolist()
    one, other = dfr.halves(codes, generator)
    assert sorted(codes[one].tolist()) == [0] * 5 + [3] * 2 + [5] * 4
    assert sorted([*one.tolist(), *other.tolist()]) == [i for i in range(22) if i not in (13, 14)]


def test_c_is_chosen_on_a_half_and_the_layer_is_fitted_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.tensor([0] * 40 + [1] * 8 + [2] * 10 + [3] * 36)
    y = codes // 2
    phi = torch.randn(len(y), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    phi[:, 0] += 3 * (codes % 2)
    phi[:, 1] += 2 * y
    fits: list[tuple[int, float]] = []
    seen: list[frozenset[int]] = []
    results: list[tuple[Tensor, Tensor]] = []

    def recorded(some: Tensor, labels: Tensor, n_classes: int, C: float) -> tuple[Tensor, Tensor]:
        fits.append((len(some), C))
        seen.append(frozenset(int((phi == row).all(dim=1).nonzero()[0]) for row in some))
        results.append(fit(some, labels, n_classes, C))
        return results[-1]

    fit = dfr.fit
    monkeypatch.setattr(dfr, "fit", recorded)
    W, v, C = dfr.last_layer(phi, y, codes, 2, seed=3)
    # 4 of the smallest group's 8 images in the half: 4 groups of 4, then ten times 4 groups of 8.
    assert fits == [(16, value) for value in dfr.C_VALUES] + [(32, C)] * dfr.FITS
    assert len(set(seen[: len(dfr.C_VALUES)])) == 1 and len(set(seen[len(dfr.C_VALUES) :])) > 1
    # All images of the rarest group are used in the end, in every fit.
    assert all(set(range(40, 48)) <= images for images in seen[len(dfr.C_VALUES) :])
    torch.testing.assert_close(W, torch.stack([w for w, _ in results[len(dfr.C_VALUES) :]]).mean(0))
    torch.testing.assert_close(v, torch.stack([w for _, w in results[len(dfr.C_VALUES) :]]).mean(0))
    assert dfr.worst_group_accuracy(phi @ W.T + v, y, codes) > 0.7
    again = dfr.last_layer(phi, y, codes, 2, seed=3)
    assert torch.equal(again[0], W) and again[2] == C


def test_features_are_standardised_and_weights_are_for_them_as_they_are() -> None:
    x, y = problem()
    scale, shift = torch.tensor([1.0, 50, 0.1, 3, 7], dtype=torch.float64), torch.arange(5.0).double()
    W, v = dfr.fit(x * scale + shift, y, 3, 0.3)
    plain, constant = dfr.fit(x, y, 3, 0.3)
    torch.testing.assert_close(x @ plain.T + constant, (x * scale + shift) @ W.T + v, rtol=1e-4, atol=1e-4)
    flat = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    assert torch.isfinite(dfr.fit(flat, y, 3, 0.3)[0]).all()


def test_only_the_last_layer_changes_and_it_is_the_fit(tiny: MakeSpec) -> None:
    trainer = Trainer(tiny("dfr", epochs=3, bias={"rho": 0.6}), "cpu")
    for _ in range(2):
        trainer.train_epoch()
    layer = dfr.linear_of(trainer.nets.g, 4)
    parts = {f"{name}.{key}": t.clone() for name in "fg" for key, t in trainer.parts()[name].state_dict().items()}
    held = trainer.feeds["held_out"]
    assert held.attribute is not None
    with torch.no_grad():
        trainer.nets.f.eval(), trainer.nets.g.eval()
        with dfr.inputs_of(layer) as given:
            trainer.nets.g(trainer.nets.f(next(held.sample(size=held.n))[0]))
    row = trainer.train_epoch()
    after = {f"{name}.{key}": t for name in "fg" for key, t in trainer.parts()[name].state_dict().items()}
    changed = {name for name, t in after.items() if not torch.equal(t, parts[name])}
    own = {f"g.{name}" for name, module in trainer.nets.g.named_modules() if module is layer}
    assert changed == {f"{next(iter(own))}.{name}" for name in ("weight", "bias")}
    state = trainer.stepper.state
    assert state is not None and state.facts.held_out is not None
    codes = codes_of(state.facts.held_out)
    W, _, C = dfr.last_layer(torch.cat(given).double(), held.y, codes, 4, trainer.spec.seed)
    torch.testing.assert_close(layer.weight.double(), W, rtol=1e-3, atol=1e-4)
    assert row["stage"] == "last_layer" and json.loads(row["terms"]) == {"C": C}
    rest = trainer.feeds["train"]
    assert held.n + rest.n == trainer.n_train


def test_networks_and_images_that_do_not_allow_it_are_refused(tiny: MakeSpec) -> None:
    for g in (nn.Flatten(), nn.Linear(4, 3), nn.Linear(4, 2, bias=False)):
        with pytest.raises(InputError, match="does not end in a linear layer with a bias and 2 outputs"):
            dfr.linear_of(g, 2)
    with pytest.raises(InputError, match="leave none for each stage"):
        Trainer(tiny("dfr", epochs=1), "cpu")
    known = Trainer(tiny("dfr", epochs=2, bias={"rho": 0.6}), "cpu").stepper.state
    assert known is not None and known.facts.held_out is not None
    held = dataclasses.replace(known.facts.held_out, group_counts=torch.eye(4).long())
    with pytest.raises(InputError, match="dfr needs held-out images that contradict the bias"):
        dfr.DFR(dataclasses.replace(known.facts, held_out=held), {})
