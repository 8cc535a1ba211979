"""Training of one trial in this process, without Ray, and reading of the models that a sweep kept."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from store.folder import LocalFolder
from store.local import expanded
from store.sealed import check_tensors
from trainable.data.base import BiasHeads, load_dataset, resolve_bias
from trainable.data.view import DataView
from trainable.errors import DamagedFile, InputError, unknown_name
from trainable.evaluation.rules import first_rule
from trainable.methods.base import Method, get_method
from trainable.networks.base import NETWORKS, DataShape, default_network
from trainable.networks.build import build_nets, check_size
from trainable.plugins import loaded_plugins
from trainable.plugins.stored import Reference, check_not_here, load_stored
from trainable.spec import Draw, Metric, Phase, Rule, Training, TrialSpec
from trainable.trial.machine.process_state import kept
from trainable.trial.trainer import Trainer


class Classifier(nn.Module):
    """A trained classifier, x -> g(f(x)), with the input transform of its method.

    Attributes:
        f: The features.
        g: The label head.
        classes: Names of the classes, in the order of the logits.
    """

    def __init__(self, f: nn.Module, g: nn.Module, method: Method, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.f, self.g = f, g
        self.classes = classes
        self._transform = method.transform

    def forward(self, images: Tensor) -> Tensor:
        """Label logits.

        Args:
            images: ``[N, 3, H, W]``, uint8 or float in [0, 1].

        Returns:
            float32 ``[N, classes]``.
        """
        device = next(self.parameters()).device
        x = images.to(device)
        x = x if x.is_floating_point() else x.float().div_(255)
        logits: Tensor = self.g(self.f(x if self._transform is None else self._transform(x)))
        return logits


@dataclass(frozen=True)
class Run:
    """A trained trial.

    Attributes:
        row: Columns of ``trials``.
        history: Columns of ``history``, one dict for each epoch.
        model: The classifier of the reported epoch, in evaluation mode: images in, logits out.
        predictions: Columns of ``predictions``: every test image and variant; None in the search phase.
    """

    row: dict[str, Any]
    history: list[dict[str, Any]]
    model: Classifier
    predictions: dict[str, Any] | None

    def predict(self, images: Tensor, batch_size: int = 512) -> Tensor:
        """Class probabilities.

        Args:
            images: ``[N, 3, H, W]``, uint8 or float in [0, 1].
            batch_size: Images a forward pass.

        Returns:
            float32 ``[N, classes]``, on the CPU.

        Raises:
            InputError: The images have another shape.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise InputError(f"images must have the shape [N, 3, H, W], but got {list(images.shape)}")
        # In batches: the activations of all images at once need not fit into memory.
        with torch.inference_mode():
            parts = [self.model(images[i : i + batch_size]).softmax(dim=1) for i in range(0, len(images), batch_size)]
        return torch.cat(parts).cpu() if parts else torch.empty(0, len(self.model.classes))


def make_spec(
    dataset: str,
    *,
    method: str = "erm",
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    network: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    dataset_options: Mapping[str, Any] | None = None,
    network_options: Mapping[str, Any] | None = None,
    phase: Phase = "confirm",
    metric: Metric = "accuracy",
    rule: Rule | None = None,
    training: Training | None = None,
    fold: int | None = None,
    split_seed: int | None = None,
    threads: int = 1,
    keep_model: bool = False,
    draw: Draw = "natural",
    **bias: float,
) -> TrialSpec:
    """Specify a trial by the few values that differ from the defaults.

    ``train`` explains the arguments.

    Raises:
        InputError: A name or a value is wrong.

    Example:
        >>> spec = make_spec("coloured_digits", method="lnl", color_variance=0.02)
        >>> spec.network, spec.hyperparameters["lambda_"]
        ('pixel_front', 1.0)
    """
    data = load_dataset(dataset, **(dataset_options or {}))
    training = training or Training()
    training = dataclasses.replace(
        training,
        epochs=training.epochs if epochs is None else epochs,
        batch_size=training.batch_size if batch_size is None else batch_size,
    )
    for name, least in (("epochs", 1), ("batch_size", 2)):
        value = getattr(training, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, but got {value!r}")
    if draw not in get_args(Draw):
        raise unknown_name("draw", draw, get_args(Draw))
    resolved = resolve_bias(data, bias)
    chosen = rule or first_rule(DataView(data, resolved, seed, fold, "search", split_seed))
    return TrialSpec(
        dataset=dataset,
        dataset_options=dict(dataset_options or {}),
        bias=resolved,
        network=network or default_network(data),
        network_options=dict(network_options or {}),
        method=method,
        hyperparameters={**get_method(method).defaults, **(hyperparameters or {})},
        seed=seed,
        phase=phase,
        training=training,
        metric=metric,
        rule=chosen,
        fold=fold,
        split_seed=split_seed,
        threads=threads,
        trial_id=f"{dataset}-{method}-{seed}",
        keep_model=keep_model,
        draw=draw,
    )


def train(dataset: str, *, method: str = "erm", device: str = "auto", **options: Any) -> Run:
    """Train one trial in this process: to debug a method or a data set, or to have a model.

    The process is left as it was, whatever the method does to it (``trainable.trial.machine.process_state``).

    Args:
        dataset: Registered name of the data set.
        method: Registered name of the method.
        device: ``auto``, ``cpu`` or ``cuda``.
        **options: ``epochs`` and ``batch_size``, or ``training`` (a ``Training``); ``seed`` (that of a row repeats
            it); ``network``, ``network_options``, ``dataset_options``; ``hyperparameters`` (those not named take the
            method's defaults); ``phase`` (``confirm`` is evaluated on the test images, ``search`` is not); ``metric``,
            ``rule``, ``fold``, ``threads``, ``split_seed`` (that of a row too, where it has one); ``draw``
            (``balanced`` = equal groups). Everything else is a bias parameter of the data set: ``rho=1``,
            ``color_variance=0.02``.

    Returns:
        The run: row, history, model, predictions.

    Raises:
        InputError: A name or a value is wrong, or the images are too small for the network.
        TrialFailed: A loss or a parameter became infinite or not a number.

    Example:
        >>> run = train("coloured_digits", method="lnl", color_variance=0.05, epochs=1, phase="search")
        >>> run.row["status"]
        'completed'
    """
    with kept():
        spec = make_spec(dataset, method=method, **options)
        _check_network(spec)
        trainer = Trainer(spec, device)
        while not trainer.finished:
            trainer.train_epoch()
        outcome = trainer.finish()
    nets = trainer.reported_nets()
    model = Classifier(nets.f, nets.g, trainer.method, trainer.dataset.classes).eval()
    return Run(outcome.row, outcome.history, model, outcome.predictions)


def _check_network(spec: TrialSpec) -> None:
    """Refuse images that are too small for the network, in the words that a plan has for them."""
    shape = DataShape.of(load_dataset(spec.dataset, **spec.dataset_options))
    nets = build_nets(spec.network, spec.network_options, shape, spec.seed, get_method(spec.method).bias_head)
    with torch.random.fork_rng(devices=[]):
        # The forward pass of a network of one's own may draw, and the training is to draw what it drew without it.
        check_size(spec.network, nets, shape)


def load_model(path: str | os.PathLike[str], device: str = "cpu", trust_plugins: bool = False) -> Classifier:
    """Read a classifier back from ``models/<trial_id>.safetensors``.

    The data set is not needed. Where the network or the method is a plug-in, it is read from ``plugins/`` of the
    sweep's directory, and runs only where its origin has the same content or this user has run it before.

    Args:
        path: The file.
        device: Where the model shall live.
        trust_plugins: Run plug-ins whoever wrote them.

    Returns:
        The classifier, in evaluation mode: images ``[N, 3, H, W]`` (uint8, or float in [0, 1]) in, logits out.

    Raises:
        InputError: There is no such file, or a sweep did not write it; or its plug-ins are missing, or may not run.

    Example:
        The file of an untrained network, as a sweep keeps those of trained ones:

        >>> import tempfile
        >>> from pathlib import Path
        >>> from trainable.trial.outcome import model_bytes
        >>> trainer = Trainer(make_spec("coloured_digits", color_variance=0.05))
        >>> with tempfile.TemporaryDirectory() as models:
        ...     file = Path(models, "trial.safetensors")
        ...     _ = file.write_bytes(model_bytes(trainer, trainer.nets))
        ...     model = load_model(file)
        >>> model(torch.zeros(1, 3, 14, 14)).shape
        torch.Size([1, 10])
    """
    file = expanded(path)
    if not file.is_file():
        raise InputError(
            f"there is no model file '{file}': a sweep keeps them in models/ where confirm.keep_models is true"
        )
    try:
        # Read once, so that the tensors are those whose checksum was compared.
        content = file.read_bytes()
        meta = check_tensors(f"'{file}'", content)
        tensors = safetensors.torch.load(content)
    except DamagedFile:
        raise
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"'{file}' is not a readable safetensors file: {error}") from error
    if "spec" not in meta or "network" not in meta:
        raise InputError(f"'{file}' was not written by lnl-sweep: its metadata name no network")
    if "plugins" in meta:
        _load_plugins(file, json.loads(meta["plugins"]), trust_plugins)
    if not trust_plugins:
        named = (str(json.loads(meta["network_options"]).get(option)) for option in NETWORKS.code(meta["network"]))
        places = (text.rpartition(":")[0] for text in named)
        check_not_here(place for place in places if place and not place.endswith(".py"))
    heads = json.loads(meta["bias_heads"])
    classes = tuple(json.loads(meta["classes"]))
    # All that a network asks of its data set; pretrained weights would be overwritten at once.
    side = int(meta["image_size"])
    data = DataShape(3, side, side, classes, BiasHeads(tuple(heads["names"]), heads["n_values"], heads["spatial"]))
    options = {k: v for k, v in json.loads(meta["network_options"]).items() if k != "weights"}
    nets = build_nets(meta["network"], options, data, seed=0, with_bias_head=False)
    for name, part in (("f", nets.f), ("g", nets.g)):
        part.load_state_dict({k[2:]: tensor for k, tensor in tensors.items() if k.startswith(f"{name}.")})
    return Classifier(nets.f, nets.g, get_method(meta["method"]), classes).to(device).eval()


def _load_plugins(model: Path, references: list[dict[str, str]], trust: bool) -> None:
    """Load the plug-ins behind a model, from the directory that it lies in."""
    try:
        named = [Reference(**reference) for reference in references]  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(
            f"'{model}' was not written by lnl-sweep: its metadata name plug-ins in another way"
        ) from error
    loaded = {plugin.sha256 for plugin in loaded_plugins()}
    load_stored(LocalFolder(model.parent.parent), [one for one in named if one.sha256 not in loaded], trust)
