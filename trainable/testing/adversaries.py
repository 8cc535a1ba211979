"""Check of a method with a bias head: f, g and h each move on their own terms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainable.methods.base import Method
from trainable.testing.findings import Finding
from trainable.testing.training import first_step, toy_spec

TOLERANCE = 1e-4
"""Largest difference of gradients that counts as none, as a share of the largest gradient.

The book's way, two passes through h, rounds otherwise than ours in one.
"""
SATURATED = 1e4
WEIGHT = 2.0
N_VALUES = 3
"""Values of a bias label of the toy."""


def h_moves_on_the_bias_loss(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that h moves on L_B alone, and f on every term that the anchor names.

    Args:
        method: The method.
        values: Hyperparameters besides its defaults.
    """
    if not method.bias_head:
        return
    what, spec_of = f"method {method.name}", {**values, **method.anchor}
    alone = first_step(toy_spec(method, spec_of, dropout=0.0))
    if not alone.h or all(float(g.abs().max()) == 0 for g in alone.h.values()):
        yield Finding("FAIL", what, "h gets no gradient: its cross-entropy L_B must reach it, whatever the weights are")
        return
    if any(not bool(g.isfinite().all()) for g in alone.h.values()):
        yield Finding("FAIL", what, "the gradient of h is not finite: take log_softmax, not log(softmax)")
        return
    wrong = False
    for weight in method.anchor:
        weighted = first_step(toy_spec(method, {**spec_of, weight: WEIGHT}, dropout=0.0))
        if _differ(weighted.h, alone.h):
            wrong = True
            yield Finding(
                "FAIL",
                what,
                f"h must move on its cross-entropy L_B alone, but {weight} = {WEIGHT:g} changes its gradient: let the "
                "term reach f alone (autograd.grad on the features, or requires_grad_(False) on h meanwhile)",
            )
        if not _differ(weighted.f, alone.f):
            wrong = True
            yield Finding("FAIL", what, f"the term that {weight} weights does not reach f: is it cut off by detach()?")
        if _differ(weighted.g, alone.g):
            wrong = True
            yield Finding(
                "warn",
                what,
                f"g moves on the term that {weight} weights: in the paper it moves on the label loss alone",
            )
    if not wrong:
        terms = f", f also on the terms of {', '.join(method.anchor)}" if method.anchor else ""
        yield Finding("ok", what, f"h moves on its cross-entropy alone{terms}")


def _differ(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    if a.keys() != b.keys():
        return True
    largest = max((float(g.abs().max()) for g in (*a.values(), *b.values())), default=0.0)
    return any(float((a[name] - b[name]).abs().max()) > TOLERANCE * largest for name in a)


def mutual_information(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Check L_MI = -log K where h is uniform, and that all is finite where h is saturated.

    Args:
        method: The method.
        values: Hyperparameters besides its defaults.
    """
    if not method.bias_head:
        return
    what = f"method {method.name}"
    spec = toy_spec(method, values, dropout=0.0)
    saturated = first_step(spec, lambda logits: logits * SATURATED)
    numbers = {"L_c": saturated.losses.label, "L_MI": saturated.losses.mi, "L_B": saturated.losses.bias}
    numbers |= {f"the gradient of f ({name})": g for name, g in saturated.f.items()}
    infinite = [name for name, number in numbers.items() if number is not None and not bool(number.isfinite().all())]
    if infinite:
        yield Finding(
            "FAIL", what, f"{infinite[0]} is not finite where h is certain: take log_softmax, not log(softmax)"
        )
    uniform = first_step(spec, lambda logits: logits * 0.0).losses.mi
    if uniform is None:
        return
    expected = -math.log(N_VALUES)
    if not torch.allclose(uniform.detach().double(), torch.tensor(expected, dtype=torch.float64), atol=1e-4):
        yield Finding(
            "warn",
            what,
            f"Losses.mi is {float(uniform):.4f} where h is uniform over {N_VALUES} values, and L_MI is "
            f"{expected:.4f}: the history's mi_loss would be read wrongly; leave mi out where it is another term",
        )
    elif not infinite:
        yield Finding("ok", what, "L_MI is -log K where h is uniform, and finite where it is certain")
