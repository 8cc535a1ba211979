"""Trials on the toy, and the comparison of what two of them have computed."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainable.methods.base import Losses, Method
from trainable.methods.contract.stages import REST, least_epochs
from trainable.spec import Phase, Training, TrialSpec
from trainable.testing.toy import TOY_DATASET, TOY_NETWORK
from trainable.trial.trainer import Trainer

TIMES = ("started_at", "finished_at", "train_seconds", "images_per_second", "peak_memory_mb", "seconds")
"""Values of a row or a state that differ between two runs of the same trial."""
BATCH_SIZE = 22


def toy_spec(
    method: Method,
    hyperparameters: Mapping[str, Any],
    *,
    epochs: int = 2,
    spatial: bool = False,
    phase: Phase = "search",
    dropout: float | None = None,
) -> TrialSpec:
    """Specify a trial on the toy, without clipping and ramp, so that gradients are what the method leaves.

    Args:
        method: A registered method.
        hyperparameters: Values besides its defaults.
        epochs: Passes over the 67 training images, of four steps each.
        spatial: Bias labels of pixels.
        phase: ``confirm`` is evaluated on the test images.
        dropout: That of the toy network; None = its own.
    """
    least = least_epochs(method.stages)
    named = [stage.epochs for stage in method.stages if isinstance(stage.epochs, str) and stage.epochs != REST]
    short = {name: max(1, min(int(method.defaults[name]), epochs // 3)) for name in named}
    return TrialSpec(
        dataset=TOY_DATASET,
        dataset_options={"spatial": spatial},
        bias={"rho": 0.9},
        network=TOY_NETWORK,
        network_options={} if dropout is None else {"dropout": dropout},
        method=method.name,
        hyperparameters={**method.defaults, "lr": 1e-2, "pretrain_epochs": 0, **short, **hyperparameters},
        seed=5,
        phase=phase,
        trial_id=f"check-{method.name}",
        training=Training(epochs=max(epochs, least), batch_size=BATCH_SIZE, clip_norm=None, ramp=0.0),
    )


def trained(spec: TrialSpec, epochs: int | None = None) -> Trainer:
    """Train a trial on the CPU, to its end or for some epochs."""
    trainer = Trainer(spec, "cpu")
    while not trainer.finished and (epochs is None or trainer.epoch < epochs):
        trainer.train_epoch()
    return trainer


def tensors_of(**parts: nn.Module | None) -> dict[str, Tensor]:
    """Copies of all parameters and buffers of some networks, by name."""
    held = {name: part for name, part in parts.items() if part is not None}
    return {f"{name}.{key}": tensor.clone() for name, part in held.items() for key, tensor in part.state_dict().items()}


@dataclass(frozen=True)
class Step:
    """First step of a trial.

    Attributes:
        losses: What the method reports.
        f: Gradient of each parameter of f by its name; absent where there is none.
        g: Those of g.
        h: Those of h; empty where there is no bias head.
    """

    losses: Losses
    f: dict[str, Tensor]
    g: dict[str, Tensor]
    h: dict[str, Tensor]


def first_step(spec: TrialSpec, on_h: Callable[[Tensor], Tensor] | None = None) -> Step:
    """Take the first step of a trial.

    Args:
        spec: The trial.
        on_h: Applied to the logits of h, or None.
    """
    trainer = Trainer(spec, "cpu")
    if on_h is not None and trainer.nets.h is not None:
        trainer.nets.h.register_forward_hook(lambda module, inputs, logits: on_h(logits))
    for part in trainer.parts().values():
        part.train()
    losses = trainer.train_batch(next(iter(trainer.feed.batches(0))), 0)
    gradients = {
        name: {key: p.grad.clone() for key, p in part.named_parameters() if p.grad is not None}
        for name, part in trainer.parts().items()
    }
    return Step(losses, gradients["f"], gradients["g"], gradients.get("h", {}))


@dataclass(frozen=True)
class Difference:
    """First value that two runs do not share.

    Attributes:
        place: Which value.
        first: That of the first run.
        second: That of the second one.
    """

    place: str
    first: str
    second: str


def first_difference(a: Any, b: Any, place: str = "") -> Difference | None:
    """Compare two values, bit for bit, those of ``TIMES`` left out.

    Args:
        a: Of the first run: numbers, texts, tensors, and mappings and lists of these.
        b: Of the second one.
        place: Name of the value.

    Returns:
        None where they are the same.

    Example:
        >>> first_difference({"epoch": 1, "loss": 0.5, "seconds": 3}, {"epoch": 1, "loss": 0.25, "seconds": 4})
        Difference(place='loss', first='0.5', second='0.25')
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if torch.equal(a, b) or (a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())):
            return None
        if a.shape != b.shape:
            return Difference(place, f"of shape {list(a.shape)}", f"of shape {list(b.shape)}")
        worst = int((a.double() - b.double()).abs().nan_to_num(math.inf).argmax())
        return Difference(place, f"{a.flatten()[worst].item():.9g}", f"{b.flatten()[worst].item():.9g}")
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        names = [name for name in a if name not in TIMES]
        if names != [name for name in b if name not in TIMES]:
            return Difference(place or "the names", str(list(a)), str(list(b)))
        parts = ((name, a[name], b[name]) for name in names)
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        parts = ((str(i + 1), one, other) for i, (one, other) in enumerate(zip(a, b, strict=True)))
    else:
        same = a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))
        return None if same else Difference(place, _text(a), _text(b))
    found = (first_difference(one, other, f"{place} {name}".strip()) for name, one, other in parts)
    return next((difference for difference in found if difference is not None), None)


def _text(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Content of a trial's checkpoint, read as a resumed trial reads it."""
    state: dict[str, Any] = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    return state


def disturb() -> None:
    """Move the global random numbers of torch, NumPy and Python to a place where no trial leaves them."""
    torch.manual_seed(random.randrange(2**31))
    np.random.seed(random.randrange(2**31))
    random.seed()


def continued_difference(spec: TrialSpec, stop: int = 3) -> Difference | None:
    """Compare a trial trained at once with one that was interrupted.

    The second is trained for some epochs, and its state loaded by a new trainer that trains the rest: whatever a method
    or a network keeps outside its state is lost there.

    Args:
        spec: The trial.
        stop: Epoch after which it is interrupted.

    Returns:
        First value of the epochs, the row or the state at the end that differs; None where all are the same.

    Raises:
        Exception: Whatever the trial, or the loading of its state with ``weights_only=True``, raises.

    Example:
        >>> from trainable.methods.base import get_method
        >>> from trainable.testing.toy import toys
        >>> with toys():
        ...     print(continued_difference(toy_spec(get_method("lnl"), {}, epochs=2), stop=1))
        None
    """
    whole = trained(spec)
    saved = trained(spec, stop).state()
    # Another trial in between: what a method keeps in its module, and begins anew at a first step, is lost then too.
    trained(spec, 1)
    disturb()
    resumed = Trainer(TrialSpec.from_json(spec.to_json()), "cpu")
    resumed.load_state(saved)
    while not resumed.finished:
        resumed.train_epoch()
    for one, other in zip(whole.history, resumed.history, strict=True):
        difference = first_difference(one, other)
        if difference is not None:
            return replace(difference, place=f"{difference.place} of epoch {one['epoch']}")
    return first_difference(whole.finish().row, resumed.finish().row) or first_difference(
        state_of(whole), state_of(resumed)
    )
