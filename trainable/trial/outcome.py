"""Report of a trial: an epoch's means, the trial's row, and the evaluation of a finished one."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

from store.columns import HYPERPARAMETERS, bias_column
from store.names import hyperparameter_text
from store.sealed import seal_tensors
from trainable import NUMERICS
from trainable.evaluation import evaluate
from trainable.evaluation.probe import bias_probe
from trainable.methods.base import METHODS, Losses, Nets
from trainable.networks.base import NETWORKS
from trainable.plugins import loaded_plugins
from trainable.plugins.stored import Reference
from trainable.spec import TrialSpec
from trainable.trial import provenance

if TYPE_CHECKING:
    from trainable.trial.trainer import Trainer

SPEC_COLUMNS = (
    *("sweep", "trial_id", "phase", "cell", "dataset", "network", "method", "fold", "seed", "repeat"),
    *("split", "split_seed", "search_number", "search_rule", "seed_number"),
    *("metric", "threads", "enqueued_from", "draw"),
)
HISTORY_VALUES = ("val_biased", "val_reweighted", "val_counterfactual", "val_unbiased")
ROW_VALUES = (*HISTORY_VALUES, "val_reweighted_se", "val_reweighted_n_eff")
COLLAPSE_IMAGES = 2000
CONSTANT = 1e-6
"""Largest difference over all images at which a feature counts as constant."""
INPUT = "RGB in [0, 1]: uint8 / 255; further normalisation is part of f"


@dataclass(frozen=True)
class Outcome:
    """Results of a finished trial.

    Attributes:
        row: Columns of ``trials``.
        history: Columns of ``history``, one dict for each epoch.
        predictions: Columns of ``predictions`` (confirm only), or None.
        model: f and g as a safetensors file (confirm with ``keep_model`` only), or None.
    """

    row: dict[str, Any]
    history: list[dict[str, Any]]
    predictions: dict[str, Any] | None
    model: bytes | None


def epoch_means(done: Sequence[Losses], y: Tensor, sizes: Sequence[int]) -> dict[str, float | None]:
    """Average every loss term, and the accuracies, over an epoch's images as they were trained on.

    Args:
        done: The steps.
        y: int64 ``[sum(sizes)]``, labels in the order of training.
        sizes: Images of each step.

    Returns:
        ``train_loss``, ``label_loss``, ``mi_loss``, ``bias_loss`` (nats), ``train_accuracy``, ``bias_accuracy``; None
        where the method has no such term.

    Example:
        >>> step = Losses(logits=torch.eye(2), label=torch.tensor(0.5))
        >>> means = epoch_means([step], torch.tensor([0, 0]), [2])
        >>> means["label_loss"], means["train_accuracy"], means["mi_loss"]
        (0.5, 0.5, None)
    """
    # The last batch may be smaller: the mean is one over images, not over steps.
    weight = torch.tensor(sizes, dtype=torch.float64, device=y.device)
    weight /= weight.sum()

    def mean(terms: list[Tensor | None]) -> float | None:
        present = [term for term in terms if term is not None]
        return float((torch.stack(present).double() * weight).sum()) if len(present) == len(sizes) else None

    correct = torch.cat([losses.logits for losses in done]).argmax(dim=1) == y
    bias = [losses.bias_correct for losses in done if losses.bias_correct is not None]
    bias_accuracy = None
    if bias:
        right, counted = (torch.stack([pair[i] for pair in bias]).double().sum() for i in (0, 1))
        bias_accuracy = float(right / counted) if counted > 0 else None
    return {
        "train_loss": mean([losses.label if losses.total is None else losses.total for losses in done]),
        "label_loss": mean([losses.label for losses in done]),
        "mi_loss": mean([losses.mi for losses in done]),
        "bias_loss": mean([losses.bias for losses in done]),
        "train_accuracy": float(correct.double().mean()),
        "bias_accuracy": bias_accuracy,
    }


def epoch_terms(done: Sequence[Losses], sizes: Sequence[int]) -> str | None:
    """Average the further numbers of a method (``Losses.terms``) over an epoch's images.

    Args:
        done: The steps.
        sizes: Images of each step.

    Returns:
        JSON text, keys sorted; null for a mean that is not finite. None where no step reported any.

    Example:
        >>> steps = [Losses(torch.eye(2), torch.tensor(0.5), terms={"q": torch.tensor(q)}) for q in (0.5, 2.0)]
        >>> epoch_terms(steps, [2, 1])
        '{"q": 1.0}'
    """
    names = sorted({name for losses in done for name in losses.terms})
    means = {}
    for name in names:
        present = [(losses.terms[name], size) for losses, size in zip(done, sizes, strict=True) if name in losses.terms]
        values = torch.stack([term.detach() for term, _ in present]).double()
        weight = torch.tensor([size for _, size in present], dtype=torch.float64, device=values.device)
        mean = float((values * weight).sum() / weight.sum())
        means[name] = mean if math.isfinite(mean) else None
    return json.dumps(means) if means else None


def at_chance(accuracy: float, n_classes: int, largest_class: float) -> bool:
    """Report whether a training accuracy is no better than guessing.

    Args:
        accuracy: Training accuracy.
        n_classes: K.
        largest_class: Share of the largest class.

    Returns:
        True below 1/K + .1 (1 - 1/K), or below the largest class's share + .02.

    Example:
        >>> at_chance(0.52, 2, largest_class=0.5), at_chance(0.9, 2, largest_class=0.5)
        (True, False)
    """
    chance = 1 / n_classes
    return accuracy < chance + 0.1 * (1 - chance) or accuracy < largest_class + 0.02


@torch.inference_mode()
def has_collapsed(nets: Nets, trainer: Trainer) -> bool:
    """Report whether the network has collapsed, by at most 2,000 training images in evaluation mode.

    Test images never judge.

    Args:
        nets: f and g of the reported epoch.
        trainer: The trial.

    Returns:
        True where it is at chance, or where every feature is constant over images.
    """
    right, n = 0, 0
    lowest, highest = None, None
    for x, y in trainer.feed.sample(COLLAPSE_IMAGES):
        feat = nets.f(x)
        right += int((nets.g(feat).argmax(dim=1) == y).sum())
        n += len(y)
        low, high = feat.aminmax(dim=0)
        lowest = low if lowest is None else torch.minimum(lowest, low)
        highest = high if highest is None else torch.maximum(highest, high)
    assert lowest is not None and highest is not None
    constant = bool((highest - lowest).max() <= CONSTANT)
    return constant or at_chance(right / n, len(trainer.dataset.classes), trainer.feed.largest_class)


def spec_row(spec: TrialSpec, status: str, error: str | None = None) -> dict[str, Any]:
    """Columns of ``trials`` that follow from the specification alone: the row of a trial that could not be built.

    Args:
        spec: The trial.
        status: ``completed``, ``pruned`` or ``failed``.
        error: Reason of a failure, one line.

    Returns:
        The columns; ``attempts`` and ``preemptions`` as of a trial started once.

    Example:
        >>> from trainable.api import make_spec
        >>> row = spec_row(make_spec("coloured_digits", color_variance=0.02), "failed", "out of memory")
        >>> row["bias_color_variance"], row["method"], row["error"]
        (0.02, 'erm', 'out of memory')
    """
    hyper, training = dict(spec.hyperparameters), spec.training
    named = {name: hyper.get(name) for name in HYPERPARAMETERS}
    axes = {column: value for name, value in spec.bias.items() if (column := bias_column(name)) is not None}
    now = datetime.datetime.now(datetime.UTC)
    return {
        **{name: getattr(spec, name) for name in SPEC_COLUMNS},
        "label": spec.label or spec.method,
        "weights": spec.network_options.get("weights"),
        "image_size": spec.network_options.get("image_size"),
        **axes,
        **named,
        "hyperparameters": hyperparameter_text(hyper),
        "batch_size": training.batch_size,
        "optimizer": training.optimizer,
        "precision": training.precision,
        "epochs": 0,
        "status": status,
        "error": error,
        "numerics": NUMERICS,
        "node": socket.gethostname(),
        "attempts": 1,
        "preemptions": 0,
        "started_at": now,
        "finished_at": now,
        "lnl_sweep_version": provenance.package_version(),
        "git_commit": provenance.git_commit(),
        "torch_version": torch.__version__,
        "ray_version": None,
    }


def trial_row(trainer: Trainer, status: str, error: str | None = None) -> dict[str, Any]:
    """Columns of ``trials`` that a worker knows, for ``Trainer.row``.

    Args:
        trainer: The trial.
        status: ``completed``, ``pruned`` or ``failed``.
        error: Reason of a failure, one line.
    """
    spec, feed, device = trainer.spec, trainer.feed, trainer.device
    row = spec_row(dataclasses.replace(spec, hyperparameters=trainer.hyper, bias=trainer.bias), status, error)
    if row["image_size"] is None:
        row["image_size"] = trainer.dataset.image_size
    if trainer.history:
        accuracy = trainer.history[-1]["train_accuracy"]
        row["collapsed"] = at_chance(accuracy, len(trainer.dataset.classes), feed.largest_drawn)
    row.update({name: trainer.reported.get(name) for name in ROW_VALUES})
    steps = trainer.seconds["steps"]
    return {
        **row,
        "bias_strength": trainer.dataset.bias_strength(trainer.bias),
        "epochs": trainer.epoch,
        "best_epoch": trainer.reported.get("epoch"),
        "n_train": trainer.n_train,
        "n_conflicting": trainer.n_conflicting,
        "n_val": _n_validation(trainer),
        "n_test": len(trainer.view.split.test) if spec.phase == "confirm" else None,
        "train_seconds": trainer.seconds["all"],
        "images_per_second": trainer.images_trained / steps if steps else None,
        "peak_memory_mb": provenance.peak_memory_mb(device),
        "gpu_share": 1.0 if device.type == "cuda" else 0.0,
        "device": device.type,
        "device_name": provenance.device_name(device),
        "started_at": trainer.started_at,
        "data_checksum": trainer.dataset.checksum,
        "method_checksum": provenance.method_checksum(trainer.method),
        "dataset_checksum": provenance.dataset_checksum(spec.dataset, spec.dataset_options),
        "files_checksum": provenance.files_checksum(spec.dataset, spec.dataset_options),
        "network_checksum": provenance.network_checksum(spec.network, spec.network_options),
        "weights_checksum": provenance.weights_checksum(spec.network, spec.network_options),
    }


def _n_validation(trainer: Trainer) -> int:
    drawn = trainer.validation_images.get("val_biased")
    return len(trainer.view.split.val) if drawn is None else len(drawn)


def model_bytes(trainer: Trainer, nets: Nets) -> bytes:
    """f and g as a safetensors file with all that ``trainable.load_model`` needs, so that no data set is.

    Args:
        trainer: The trial.
        nets: f and g of the reported epoch.

    Returns:
        The file.
    """
    spec, heads = trainer.spec, trainer.dataset.heads
    # Weights are stored channels last, and safetensors takes contiguous tensors only.
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, part in (("f", nets.f), ("g", nets.g))
        for key, tensor in part.state_dict().items()
    }
    metadata = {
        "network": spec.network,
        "network_options": json.dumps(dict(spec.network_options), sort_keys=True),
        "classes": json.dumps(trainer.dataset.classes),
        "image_size": str(trainer.dataset.image_size),
        "bias_heads": json.dumps(dataclasses.asdict(heads)),
        "input": INPUT,
        "method": spec.method,
        "dataset": spec.dataset,
        "epoch": str(trainer.reported.get("epoch")),
        "spec": spec.to_json(),
        **_plugins_behind(spec),
    }
    return seal_tensors(bytes(safetensors.torch.save(tensors, metadata)))


def _plugins_behind(spec: TrialSpec) -> dict[str, str]:
    """Plug-ins without which the classifier cannot be built, as metadata.

    Nothing where it is made of ours alone.
    """
    network = NETWORKS.find(spec.network)
    homes = [METHODS.module(spec.method)] + ([] if network is None else [NETWORKS.module(spec.network)])
    if all(home.partition(".")[0] == "trainable" for home in homes) and not NETWORKS.code(spec.network):
        return {}
    # All of them, since they may import each other.
    references = [dataclasses.asdict(Reference.of(plugin)) for plugin in loaded_plugins()]
    return {"plugins": json.dumps(references)} if references else {}


def finish(trainer: Trainer) -> Outcome:
    """Report a trained trial, for ``Trainer.finish``."""
    spec, nets = trainer.spec, trainer.reported_nets()
    row = trial_row(trainer, "completed")
    row["collapsed"] = has_collapsed(nets, trainer)
    if spec.phase != "confirm":
        return Outcome(row, trainer.history, None, None)
    columns, predictions = evaluate.test_report(
        nets, trainer.view, trainer.method.transform, spec.metric, trainer.device
    )
    row.update(columns)
    row["bias_probe_accuracy"] = bias_probe(nets.f, trainer.view, trainer.method.transform, spec.seed, trainer.device)
    row["finished_at"] = datetime.datetime.now(datetime.UTC)
    n = len(next(iter(predictions.values())))
    predictions = {**predictions, "trial_id": [spec.trial_id] * n}
    return Outcome(row, trainer.history, predictions, model_bytes(trainer, nets) if spec.keep_model else None)
