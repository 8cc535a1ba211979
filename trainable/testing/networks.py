"""Check of a network: shapes, parameters of its own for each part, modes, and a model that can be kept."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainable.data.parts import BiasHeads
from trainable.errors import InputError
from trainable.methods.base import Nets, get_method
from trainable.networks.base import NETWORKS, DataShape
from trainable.networks.build import build_nets, feature_shape, network_remarks
from trainable.networks.modes import evaluating
from trainable.plugins import load_object
from trainable.spec import Training, TrialSpec
from trainable.testing.findings import Finding, Level, count, guarded, some_of, where_defined
from trainable.testing.shaped import SHAPED, shaped
from trainable.testing.training import Difference, continued_difference, disturb, first_difference, tensors_of, trained
from trainable.trial.machine.process_state import kept
from trainable.trial.trainer import Trainer

USUAL = DataShape(3, 64, 64, ("a", "b", "c"), BiasHeads(("x", "y"), 2, False))
"""Shape of the data that a network is checked on where none is given."""
BATCH = 4
TOLERANCE = 1e-3
"""Largest difference of logits, as a share of the largest, by which an image alone may differ from it in a batch."""


@dataclass(frozen=True)
class Built:
    """A network that is looked at.

    Attributes:
        name: Registered name, or name of a torchvision classifier.
        options: Its options.
        shape: Shape of the data.
        nets: f, g and h; h is None where it cannot be built on these labels.
    """

    name: str
    options: Mapping[str, Any]
    shape: DataShape
    nets: Nets

    @property
    def what(self) -> str:
        """Name of the network in findings."""
        return f"network {self.name}"

    @property
    def with_head(self) -> bool:
        """True where it is built with h."""
        return self.nets.h is not None

    def again(self, seed: int) -> Nets:
        """The network built with another seed."""
        return build_nets(self.name, self.options, self.shape, seed, self.with_head)

    def images(self, n: int = BATCH) -> Tensor:
        """Fixed noise in [0, 1], ``[n, 3, H, W]``."""
        draws = torch.Generator().manual_seed(0)
        return torch.rand(n, self.shape.channels, self.shape.height, self.shape.width, generator=draws)


_Check = Callable[[Built], Iterator[Finding]]


def check_network(
    network: str, options: Mapping[str, Any] | None = None, shape: DataShape | None = None
) -> list[Finding]:
    """Check a network on noise in the shape of a data set.

    Small ones take seconds.

    f, g and h must share no parameter, be built the same with the same seed, give finite logits of the right shape,
    read each image by itself in evaluation mode, train on after an interruption as without, and be the same when they
    are read from the file in which a sweep keeps them.

    Args:
        network: Registered name, or name of a torchvision classifier.
        options: Its options.
        shape: Shape of the data; by default three classes and two bias labels of images of 64 pixels.

    Returns:
        The findings; ``assert_passes`` makes a test of them.

    Example:
        >>> from trainable.testing import assert_passes
        >>> findings = check_network("small_cnn", {"width": 4})
        >>> assert_passes(findings)
        >>> print(findings[0])
        ok    network small_cnn: built for images of 64 pixels: f 268, g 1,283, h 2,308 parameters
    """
    return list(network_findings(network, options, shape))


def network_findings(
    network: str, options: Mapping[str, Any] | None = None, shape: DataShape | None = None, trains: bool = True
) -> Iterator[Finding]:
    """Yield the findings of ``check_network`` as they are made.

    Args:
        network: Registered name, or name of a torchvision classifier.
        options: Its options.
        shape: Shape of the data, or None.
        trains: Train and keep it too, which takes longest.
    """
    what, given, of = f"network {network}", dict(options or {}), shape or USUAL
    registered = NETWORKS.find(network)
    where, built = where_defined(registered.builder) if registered else "", list[Built]()
    for option in NETWORKS.code(network):
        with contextlib.suppress(InputError):
            where = where_defined(load_object(given[option])) if option in given else where

    def build() -> Iterator[Finding]:
        nets = build_nets(network, given, of, 0, False)
        try:
            nets = build_nets(network, given, of, 0, bool(of.heads.names))
        except InputError as error:
            yield Finding("warn", what, f"it has no bias head for these labels ({error}): methods with one are refused")
        built.append(Built(network, given, of, nets))
        parts = {name: part for name, part in (("f", nets.f), ("g", nets.g), ("h", nets.h)) if part is not None}
        sizes = ", ".join(f"{name} {sum(p.numel() for p in part.parameters()):,}" for name, part in parts.items())
        yield Finding("ok", what, f"built for images of {of.height} pixels: {sizes} parameters")
        for remark in network_remarks(network, given, of):
            level: Level = "ok" if remark.startswith("the weights are those of") else "warn"
            yield Finding(level, what, remark)

    usable = True
    for check, doing in (
        (build, "its building"),
        *((lambda c=c: c(built[0]), d) for c, d in _CHECKS if trains or c not in _LONG),
    ):
        with kept():
            # As a trial computes by default; two on a busy machine wait for each other.
            torch.set_num_threads(1)
            findings = list(guarded(what, check, doing))
        for finding in findings:
            plain = finding.where or finding.level == "ok"
            yield finding if plain else Finding(finding.level, finding.what, finding.sentence, where)
        usable = usable and bool(built) and not (doing == _SHAPES and any(f.level == "FAIL" for f in findings))
        if not usable:
            return


def _apart(it: Built) -> Iterator[Finding]:
    """f, g and h have nothing in common."""
    parts = {"f": it.nets.f, "g": it.nets.g, "h": it.nets.h}
    owners: dict[int, str] = {}
    shared: dict[str, list[str]] = {}
    for part, net in parts.items():
        held = [] if net is None else [*net.named_parameters(), *net.named_buffers()]
        for name, tensor in held:
            owner = owners.setdefault(id(tensor), part)
            if owner != part:
                shared.setdefault(f"{owner} and {part}", []).append(name)
    for pair, names in shared.items():
        yield Finding(
            "FAIL",
            it.what,
            f"{pair} share {some_of(names)}: each must have its own, or one is trained on the other's losses and saved "
            "twice",
        )
    if not shared:
        yield Finding("ok", it.what, "f, g and h share no parameter and no buffer")


def _seeded(it: Built) -> Iterator[Finding]:
    """The same seed builds the same weights, and building moves no global random numbers."""
    runs = []
    for _ in range(2):
        disturb()
        before = torch.get_rng_state()
        nets = it.again(seed=1)
        runs.append(tensors_of(f=nets.f, g=nets.g, h=nets.h))
        if not torch.equal(before, torch.get_rng_state()):
            yield Finding("FAIL", it.what, "building it moves torch's random numbers: leave them to fork_rng")
    difference = first_difference(runs[0], runs[1])
    if difference is not None:
        yield Finding(
            "FAIL",
            it.what,
            f"the same seed builds other weights ({_words(difference)}): draw them from torch's random numbers, which "
            "are seeded before body() and head() are called",
        )
        return
    yield Finding("ok", it.what, "the same seed builds the same weights")


_SHAPES = "its first images"


def _shapes(it: Built) -> Iterator[Finding]:
    """Logits have the shapes of the contract and are finite, in both modes."""
    x, K = it.images(), len(it.shape.classes)
    side = feature_shape(it.nets.f, it.shape.image_size)
    for training in (True, False):
        mode = "training" if training else "evaluation"
        parts = [part for part in (it.nets.f, it.nets.g, it.nets.h) if part is not None]
        for part in parts:
            part.train(training)
        frozen = [name for part in parts for name, module in part.named_modules() if module.training != training]
        if frozen and "freeze" not in it.options:
            yield Finding(
                "warn", it.what, f"{some_of(frozen)} ignore the {mode} mode: is that meant (frozen BatchNorm)?"
            )
        with torch.no_grad():
            z = it.nets.f(x)
            outputs = {"f": z, "g": it.nets.g(z)}
            if it.nets.h is not None:
                places = None
                if it.shape.heads.spatial:
                    places = torch.zeros(BATCH, *side[1:], dtype=torch.bool)
                    places[:, 0, 0] = places[1, -1, -1] = True
                outputs["h"] = it.nets.h(z, places)
        wanted = {"f": (BATCH, *side), "g": (BATCH, K)}
        if "h" in outputs:
            rows = BATCH if not it.shape.heads.spatial else int(places.sum()) if places is not None else 0
            wanted["h"] = (rows, len(it.shape.heads.names), it.shape.heads.n_values)
        for name, output in outputs.items():
            if not isinstance(output, Tensor) or tuple(output.shape) != wanted[name]:
                got = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
                yield Finding("FAIL", it.what, f"{name} must return {wanted[name]} in {mode} mode, but returns {got}")
            elif not bool(output.isfinite().all()):
                yield Finding("FAIL", it.what, f"{name} returns numbers that are not finite in {mode} mode")
    f = "a vector" if len(side) == 1 else f"a grid of {' x '.join(map(str, side[1:]))}"
    yield Finding("ok", it.what, f"f gives {f} of {count(side[0], 'feature')}, g {K} logits; all finite in both modes")


def _alone(it: Built) -> Iterator[Finding]:
    """In evaluation mode an image's logits depend on nothing else."""
    f, g, x = it.nets.f, it.nets.g, it.images()
    with evaluating(f, g), torch.inference_mode():
        first, again, alone = g(f(x)), g(f(x)), g(f(x[:1]))
    if not torch.equal(first, again):
        yield Finding(
            "FAIL", it.what, "the same images give other logits in evaluation mode: does a dropout ignore eval()?"
        )
    elif float((first[:1] - alone).abs().max()) > TOLERANCE * max(1.0, float(first.abs().max())):
        yield Finding(
            "FAIL",
            it.what,
            "an image gives other logits by itself than in a batch, in evaluation mode: let BatchNorm keep running "
            "averages (track_running_stats=True), and average over no batch",
        )
    else:
        yield Finding("ok", it.what, "in evaluation mode each image is read by itself, and the same twice")


def _spec(it: Built, epochs: int, phase: str = "search") -> TrialSpec:
    return TrialSpec(
        dataset=SHAPED,
        bias={"rho": 1.0},
        network=it.name,
        network_options=dict(it.options),
        method="erm",
        hyperparameters={**get_method("erm").defaults, "weight_decay": 0.0},
        seed=1,
        phase=phase,  # type: ignore[arg-type]
        rule="val_biased",
        trial_id="check-network",
        training=Training(epochs=epochs, batch_size=BATCH, ramp=0.0),
        keep_model=True,
    )


def _learns(it: Built) -> Iterator[Finding]:
    """Every parameter gets a gradient, and an interruption costs nothing."""
    with shaped(it.shape):
        trainer = Trainer(_spec(it, epochs=1), "cpu")
        before = tensors_of(**trainer.parts())
        trainer.train_epoch()
        after = tensors_of(**trainer.parts())
        still = [
            f"{part}.{name}"
            for part, net in trainer.parts().items()
            for name, parameter in net.named_parameters()
            if parameter.requires_grad and torch.equal(before[f"{part}.{name}"], after[f"{part}.{name}"])
        ]
        if still:
            sentence = f"parameters that never get a gradient: {some_of(still)}: are they used?"
            yield Finding("warn", it.what, sentence)
        difference = continued_difference(_spec(it, epochs=2), stop=1)
    if difference is not None:
        yield Finding(
            "FAIL",
            it.what,
            "two epochs at once and one, an interruption, one more must be the same, but "
            f"{_words(difference)}: keep what changes in a buffer (register_buffer)",
        )
        return
    yield Finding("ok", it.what, "trains, and trains on after an interruption as without")


def _keeps(it: Built) -> Iterator[Finding]:
    """The model that a sweep keeps gives the logits of the network."""
    from trainable.api import load_model

    with shaped(it.shape), tempfile.TemporaryDirectory() as folder:
        trainer = trained(_spec(it, epochs=1, phase="confirm"))
        model = trainer.finish().model
        assert model is not None
        file = Path(folder, "check.safetensors")
        file.write_bytes(model)
        nets, x = trainer.reported_nets(), it.images()
        with evaluating(nets.f, nets.g), torch.inference_mode():
            expected, read = nets.g(nets.f(x)), load_model(file)(x)
    if not torch.equal(expected, read):
        yield Finding(
            "FAIL",
            it.what,
            f"the model that a sweep keeps gives other logits when it is read back (up to "
            f"{float((expected - read).abs().max()):.2g}): keep what decides them in parameters or buffers",
        )
        return
    yield Finding("ok", it.what, "the model that a sweep keeps gives the same logits when it is read back")


def _words(difference: Difference) -> str:
    return f"{difference.place} is {difference.first} and {difference.second}"


_LONG = (_seeded, _learns, _keeps)
_CHECKS: tuple[tuple[_Check, str], ...] = (
    (_apart, "its parameters"),
    (_shapes, _SHAPES),
    (_seeded, "its first weights"),
    (_alone, "its evaluation mode"),
    (_learns, "a trial of erm"),
    (_keeps, "its model"),
)
