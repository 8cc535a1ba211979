"""Specification of one trial as plain data.

It travels to a worker as JSON and stands in ``trials_open/<id>/spec.json``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from store.names import place_of_version_1
from store.rules import RULES, VARIANTS, Rule, objective

Phase = Literal["search", "confirm"]
Metric = Literal["accuracy", "balanced_accuracy", "auroc", "worst_group"]
Draw = Literal["natural", "balanced"]
"""Ways to draw the training images.

``natural``: each once an epoch. ``balanced``: as many images, drawn anew for each epoch so that all groups (class,
attribute) have the same number, each image repeated as evenly as possible.
"""

# Under these names data sets of users import them too.
__all__ = ["RULES", "VARIANTS", "Draw", "Metric", "Phase", "Rule", "Training", "TrialSpec", "objective"]


@dataclass(frozen=True)
class Training:
    """Settings of the training, the same for every method of a sweep.

    Attributes:
        epochs: Passes over the training images, ``pretrain_epochs`` of a method included (>= 1).
        batch_size: Images a step (>= 2; a last batch of one image is dropped: BatchNorm needs two).
        optimizer: ``adam`` or ``sgd`` (momentum 0.9).
        schedule: Learning rate over the steps: ``cosine`` to zero, ``constant``, or ``step`` (x 0.1 at 40 % and 80 %).
        clip_norm: Largest gradient norm, clipped over f, g and over h apart; None = no clipping.
        ramp: Share of the steps over which the adversarial weights rise from 0 to their value
            (Ganin & Lempitsky 2015); 0 = full weight from the first step.
        precision: ``fp32`` or ``bf16`` (autocast).
        class_weights: ``none`` or ``balanced`` (inverse class frequency in the label loss).
        augmentation: Names out of ``trainable.trial.augment.AUGMENTATIONS``, applied on the device.
        epoch: Which epoch is reported: the ``last`` or the ``best`` by the rule's validation metric.
        evaluation: ``eval``, or ``train``: the networks stay in training mode when they are evaluated, so that
            BatchNorm takes the statistics of each batch of evaluated images, as in the seed study, which never calls
            ``model.eval()``. Only to show what that is worth: a prediction then depends on its neighbours.
    """

    epochs: int = 20
    batch_size: int = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    clip_norm: float | None = 1.0
    ramp: float = 0.3
    precision: Literal["fp32", "bf16"] = "fp32"
    class_weights: Literal["none", "balanced"] = "none"
    augmentation: tuple[str, ...] = ()
    epoch: Literal["last", "best"] = "last"
    evaluation: Literal["eval", "train"] = "eval"


@dataclass(frozen=True)
class TrialSpec:
    """One trial: everything that decides its numbers, and the names under which they are filed.

    Attributes:
        dataset: Registered name of the data set.
        dataset_options: Options of the data set (``image_size`` ...).
        bias: Value of every bias parameter of the data set, e.g. ``{"color_variance": 0.02}``.
        network: Registered name of the network, or of a torchvision classifier.
        network_options: Options of the network (``split_at``, ``weights`` ...).
        method: Registered name of the method.
        hyperparameters: All of them, resolved: those searched, those fixed and the method's defaults.
        seed: Fixes initialisation, batch order, which images carry the bias, and the split.
        phase: ``search`` never sees test data; ``confirm`` is evaluated on it.
        training: How it is trained.
        metric: The sweep's metric; the ``val_*`` columns are in it.
        rule: The rule whose validation value is this trial's objective (and chooses ``best_epoch``).
        fold: Fold of a cross-validated data set, or None for the fixed split.
        repeat: Which repetition of search and confirm this belongs to.
        split: Index of its train / validation split where the sweep draws the splits apart from the seeds, or None.
        split_seed: Seed of that split, or None: the trial's seed decides the split too.
        search_number: Number of a search trial's candidate, or None.
        search_rule: The rule whose own search it belongs to, or None: all rules choose from one search.
        seed_number: Index of the seed among the search, or the confirm, seeds; None outside a sweep.
        label: Tells two variants of one method apart; the method's name by default.
        sweep: Name of the sweep.
        cell: Identifier of the cell.
        trial_id: Identifier of the trial (a file name: letters, digits, ``._-``).
        enqueued_from: Identifier of the cell whose best hyperparameters these are, or None.
        keep_model: Keep the network's weights (confirm only).
        threads: CPU threads the trial computes with; part of its identity, since sums depend on it.
        draw: How the training images are drawn.
    """

    dataset: str
    bias: Mapping[str, float]
    method: str
    hyperparameters: Mapping[str, Any]
    network: str
    seed: int
    phase: Phase
    trial_id: str
    training: Training = field(default_factory=Training)
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    metric: Metric = "accuracy"
    rule: Rule = "val_counterfactual"
    fold: int | None = None
    repeat: int = 0
    split: int | None = None
    split_seed: int | None = None
    search_number: int | None = None
    search_rule: Rule | None = None
    seed_number: int | None = None
    label: str = ""
    sweep: str = ""
    cell: str = ""
    enqueued_from: str | None = None
    keep_model: bool = False
    threads: int = 1
    draw: Draw = "natural"

    def to_json(self) -> str:
        """Serialise to JSON text."""
        fields = dataclasses.asdict(self)
        if self.draw == "natural":
            # As earlier versions wrote it.
            del fields["draw"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TrialSpec:
        """Read back what ``to_json`` wrote.

        Raises:
            ValueError: The text is not JSON or lacks a field.
        """
        fields = json.loads(text)
        training = fields.pop("training")
        training["augmentation"] = tuple(training["augmentation"])
        if "seed_number" not in fields:
            # Written under schema version 1.
            position = place_of_version_1(fields["trial_id"], fields["phase"])
            fields |= {"search_number": position.number, "search_rule": position.rule, "seed_number": position.seed}
        return cls(**fields, training=Training(**training))
