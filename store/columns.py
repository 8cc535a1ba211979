"""Names, types and meanings of the columns of a sweep's Parquet files.

This module imports only pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from store.errors import InputError

SCHEMA_VERSION = 2
VERSION_KEY = b"lnl_sweep_schema"

_TEXT, _FLOAT, _INT, _BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")

Columns = Mapping[str, tuple[pa.DataType, str]]

TRIALS: Columns = {
    "sweep": (_TEXT, "Name of the sweep."),
    "trial_id": (_TEXT, "Key of the row: what the trial trains."),
    "phase": (_TEXT, "search (never sees test data) or confirm (fresh seeds, evaluated on test)."),
    "cell": (_TEXT, "Identifier of (data set, bias values, fold, network, method)."),
    "dataset": (_TEXT, "Registered name of the data set."),
    "network": (_TEXT, "Registered name of the network."),
    "weights": (_TEXT, "Pretrained weights the network started from; null = none."),
    "image_size": (_INT, "Side of the square input images, pixels."),
    "method": (_TEXT, "Registered name of the method."),
    "label": (_TEXT, "Name of the method in this sweep; tells two variants of one method apart."),
    "bias_axis": (_TEXT, "Bias parameter on the x axis."),
    "bias_value": (_FLOAT, "Its value, in its own units."),
    "bias_strength": (_FLOAT, "I(b; y) / H(y) on the training law, in [0, 1], larger = stronger."),
    "fold": (_INT, "Fold of a cross-validated data set; null = one fixed split."),
    "draw": (
        _TEXT,
        "How training images are drawn: natural or balanced; null in rows of older versions = natural.",
    ),
    "seed": (_INT, "Seed of initialisation, batch order, painted images and split."),
    "repeat": (_INT, "Repetition of search and confirm."),
    "split": (_INT, "Index of the train / validation split (confirm.splits); null = each seed has a split of its own."),
    "split_seed": (_INT, "Seed of that split; null = the row's seed."),
    "search_number": (_INT, "Number of the candidate in its search, from 0; null in confirm rows."),
    "search_rule": (_TEXT, "Rule whose own search the trial belongs to; null = all rules choose from one search."),
    "seed_number": (_INT, "Index of the row's seed among the search, or the confirm, seeds of its repeat (and split)."),
    "lambda_": (_FLOAT, "Weight of L_MI; null where the method has none."),
    "mu": (_FLOAT, "Strength of the gradient reversal; null where the method has none."),
    "lr": (_FLOAT, "Learning rate of f and g."),
    "lr_bias": (_FLOAT, "Learning rate of h; null where the method has none."),
    "weight_decay": (_FLOAT, "Weight decay."),
    "hyperparameters": (_TEXT, "All hyperparameters as JSON text, keys sorted."),
    "batch_size": (_INT, "Images a step."),
    "optimizer": (_TEXT, "adam or sgd."),
    "precision": (_TEXT, "fp32 or bf16."),
    "epochs": (_INT, "Epochs trained (fewer than planned where pruned)."),
    "best_epoch": (_INT, "The epoch whose figures this row reports, counted from 1."),
    "status": (_TEXT, "completed, pruned or failed."),
    "collapsed": (_BOOL, "Final training accuracy at chance, or every feature constant over images."),
    "error": (_TEXT, "Reason of a failure; null otherwise."),
    "metric": (_TEXT, "The sweep's metric, in which the val_* columns are."),
    "val_biased": (_FLOAT, "Validation images drawn like the training images."),
    "val_reweighted": (_FLOAT, "The same, re-weighted to independence of bias and class."),
    "val_reweighted_se": (_FLOAT, "Its standard error, by group."),
    "val_reweighted_n_eff": (_FLOAT, "Its effective number of images."),
    "val_counterfactual": (_FLOAT, "Validation images annotated independently of the class."),
    "val_unbiased": (_FLOAT, "Validation side of the unbiased test variant: an oracle."),
    "enqueued_from": (_TEXT, "Cell whose best hyperparameters these were; null = drawn in this cell."),
    "numerics": (_INT, "trainable.NUMERICS: rows of different numerics are not comparable."),
    "gpu_share": (_FLOAT, "Share of a GPU the trial had; 0 = CPU."),
    "test_accuracy": (_FLOAT, "Accuracy on the unbiased test variant. Test columns are null in search rows."),
    "test_balanced_accuracy": (_FLOAT, "Mean recall over classes, unbiased variant."),
    "test_auroc": (_FLOAT, "Macro one-vs-rest area under the ROC curve, unbiased variant."),
    "test_aligned_accuracy": (_FLOAT, "Accuracy where every image carries its own class's bias."),
    "test_independent_accuracy": (_FLOAT, "Accuracy where the bias is independent of the class."),
    "test_conflicting_accuracy": (_FLOAT, "Accuracy where every image carries another class's bias."),
    "test_worst_group_accuracy": (_FLOAT, "Lowest accuracy over groups of (class, bias attribute)."),
    "test_worst_class_accuracy": (_FLOAT, "Lowest recall over classes, unbiased variant."),
    "flip_rate": (_FLOAT, "Share of test images whose prediction changes with the bias alone."),
    "ece": (_FLOAT, "Expected calibration error, 15 equal bins, unbiased variant."),
    "ece_null": (_FLOAT, "The ece of a perfectly calibrated network with these confidences on as many images."),
    "confidence_gap": (_FLOAT, "Mean confidence minus accuracy, unbiased variant: above 0 overconfident."),
    "test_brier": (_FLOAT, "Brier score summed over classes, in [0, 2], unbiased variant."),
    "test_log_loss": (_FLOAT, "Mean -log p of the true class, nats, p not below 1e-7, unbiased variant."),
    "bias_probe_accuracy": (_FLOAT, "Accuracy of a fresh head that reads the bias from the frozen features."),
    "n_train": (_INT, "Training images."),
    "n_conflicting": (_INT, "Training images whose bias is that of another class; null where undefined."),
    "n_val": (_INT, "Validation images."),
    "n_test": (_INT, "Test images; null in search rows."),
    "train_seconds": (_FLOAT, "Seconds of training and validation, without waiting."),
    "images_per_second": (_FLOAT, "Training images a second, validation excluded."),
    "peak_memory_mb": (_FLOAT, "Peak memory on the device (GPU), or of the process (CPU)."),
    "device": (_TEXT, "cpu or cuda."),
    "device_name": (_TEXT, "Name of the processor or card."),
    "node": (_TEXT, "Host name of the node."),
    "threads": (_INT, "CPU threads of the trial."),
    "attempts": (_INT, "Times the trial was started for a reason of its own: 1 + its errors."),
    "preemptions": (_INT, "Times it was started again because its node or driver was lost."),
    "started_at": (_TIME, "First start."),
    "finished_at": (_TIME, "End."),
    "lnl_sweep_version": (_TEXT, "Version of this package."),
    "git_commit": (_TEXT, "Commit of the source, where it is a checkout."),
    "data_checksum": (_TEXT, "Checksum of the data set."),
    "dataset_checksum": (_TEXT, "Checksum of the data set's source; null in rows of older versions."),
    "files_checksum": (_TEXT, "Checksum of the files that the data set's options name; null without one."),
    "method_checksum": (_TEXT, "Checksum of the method's source."),
    "network_checksum": (_TEXT, "Checksum of the network's source; null in rows of older versions."),
    "weights_checksum": (_TEXT, "Checksum of the weights file that the network begins with; null without one."),
    "torch_version": (_TEXT, "Version of torch."),
    "ray_version": (_TEXT, "Version of Ray; null where the trial ran without it."),
}

HISTORY: Columns = {
    "trial_id": (_TEXT, "The trial."),
    "epoch": (_INT, "Counted from 1; with trial_id the key of the row."),
    "train_loss": (_FLOAT, "Sum of the weighted loss terms, mean over the epoch."),
    "label_loss": (_FLOAT, "L_c, nats."),
    "mi_loss": (_FLOAT, "L_MI, negative conditional entropy of h, nats; null without a bias head."),
    "bias_loss": (_FLOAT, "L_B, h's cross-entropy, nats, summed over heads; null without a bias head."),
    "train_accuracy": (_FLOAT, "Accuracy on the training batches as they were trained on."),
    "val_biased": (_FLOAT, "As in trials."),
    "val_reweighted": (_FLOAT, "As in trials."),
    "val_counterfactual": (_FLOAT, "As in trials."),
    "val_unbiased": (_FLOAT, "As in trials."),
    "test_accuracy": (_FLOAT, "Unbiased test accuracy, confirm trials only: to look at, never to choose."),
    "bias_accuracy": (_FLOAT, "Accuracy of h on the training batches; null without a bias head."),
    "lr": (_FLOAT, "Learning rate of f and g at the end of the epoch."),
    "lambda_": (_FLOAT, "Weight of L_MI at the end of the epoch, ramp included."),
    "stage": (_TEXT, "Stage of the method that the epoch belongs to; null where the method has none."),
    "terms": (_TEXT, "Further numbers of the method as JSON text, means over the epoch; null where it has none."),
    "seconds": (_FLOAT, "Seconds of the epoch."),
}

PREDICTIONS: Columns = {
    "trial_id": (_TEXT, "The trial; with variant and image the key of the row."),
    "variant": (_TEXT, "unbiased, aligned, independent or conflicting."),
    "image": (_TEXT, "Keyed hash of the image."),
    "patient": (_TEXT, "Keyed hash of the patient; null where there are none."),
    "label": (_INT, "True class."),
    "attribute": (_INT, "Bias attribute painted on the image."),
    "predicted": (_INT, "Predicted class."),
    "weight": (_FLOAT, "What the image counts in the variant's figures, mean 1; null = every image counts 1."),
}
"""Besides one column ``p_<class>`` for each class: its probability (float32)."""

SPLITS: Columns = {
    "seed": (_INT, "The seed; with fold and image the key of the row."),
    "fold": (_INT, "The fold; null = one fixed split."),
    "image": (_TEXT, "Keyed hash of the image."),
    "patient": (_TEXT, "Keyed hash of the patient; null where there are none."),
    "label": (_INT, "Class."),
    "split": (_TEXT, "train, val or test."),
    "u": (_FLOAT, "The uniform draw in [0, 1) that decides the image's annotation; null where none does."),
}

TABLES: Mapping[str, Columns] = {
    "trials": TRIALS,
    "history": HISTORY,
    "predictions": PREDICTIONS,
    "splits": SPLITS,
}
KEYS: Mapping[str, tuple[str, ...]] = {
    "trials": ("trial_id",),
    "history": ("trial_id", "epoch"),
    "predictions": ("trial_id", "variant", "image"),
    "splits": ("seed", "fold", "image"),
}
HYPERPARAMETERS = ("lambda_", "mu", "lr", "lr_bias", "weight_decay")
"""Hyperparameters that have a column beside the JSON of all."""
PRESSURES = ("lambda_", "mu")
"""Hyperparameters that weight a debiasing term.

A method all of whose pressures are 0 is plain training.
"""
BIAS = "bias_"
"""Prefix of the columns of the data set's bias parameters."""
_PREFIXES: Mapping[str, Mapping[str, pa.DataType]] = {
    "trials": {"recall_": _FLOAT, BIAS: _FLOAT},
    "predictions": {"p_": pa.float32()},
}


TEST_COLUMNS_BESIDE = ("flip_rate", "ece", "ece_null", "confidence_gap", "bias_probe_accuracy")
"""Results on test images whose names do not begin with ``test_`` or ``recall_``."""


def is_of_the_test(column: str) -> bool:
    """True where a column of ``trials`` holds a result on test images.

    Example:
        >>> is_of_the_test("test_accuracy"), is_of_the_test("val_biased")
        (True, False)
    """
    return column.startswith(("test_", "recall_")) or column in TEST_COLUMNS_BESIDE


def column_type(table: str, name: str) -> pa.DataType | None:
    """Type of a table's column, or None for an unknown one.

    It knows the columns of a class (``recall_<class>``, ``p_<class>``) and of a bias parameter (``bias_<parameter>``).

    Args:
        table: ``trials``, ``history``, ``predictions`` or ``splits``.
        name: Name of the column.

    Example:
        >>> column_type("trials", "recall_glioma"), column_type("trials", "colour")
        (DataType(double), None)
    """
    if name in TABLES[table]:
        return TABLES[table][name][0]
    return next((kind for prefix, kind in _PREFIXES.get(table, {}).items() if name.startswith(prefix)), None)


def bias_column(parameter: str) -> str | None:
    """Column of ``trials`` that holds a bias parameter, or None where another column has that name.

    Args:
        parameter: Name of the bias parameter.

    Example:
        >>> bias_column("rho"), bias_column("strength")
        ('bias_rho', None)
    """
    name = f"{BIAS}{parameter}"
    return None if name in TRIALS else name


def bias_parameters(columns: Iterable[str]) -> list[str]:
    """Bias parameters that have a column among those of trial rows, in their order.

    Example:
        >>> bias_parameters(["bias_axis", "bias_rho", "bias_gamma", "recall_glioma"])
        ['rho', 'gamma']
    """
    return [name.removeprefix(BIAS) for name in columns if name.startswith(BIAS) and name not in TRIALS]


def arrow_schema(table: str, columns: Iterable[str] = ()) -> pa.Schema:
    """Arrow schema of one table.

    Args:
        table: ``trials``, ``history``, ``predictions`` or ``splits``.
        columns: Column names found in the rows; those of a class (``recall_<class>``, ``p_<class>``) and of a bias
            parameter (``bias_<parameter>``) are added.

    Returns:
        The schema, with its version in the metadata.

    Raises:
        InputError: A column that the table does not have.

    Example:
        >>> arrow_schema("predictions", ["p_glioma"]).names[-2:]
        ['weight', 'p_glioma']
    """
    known = TABLES[table]
    fields = [pa.field(name, kind) for name, (kind, _) in known.items()]
    for name in columns:
        if name in known:
            continue
        kind = column_type(table, name)
        if kind is None:
            raise InputError(f"table '{table}' has no column '{name}'")
        fields.append(pa.field(name, kind))
    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})


def to_table(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Build a typed Arrow table.

    Columns that a row lacks are null in it.

    Args:
        table: Name of the table.
        rows: The rows.

    Returns:
        The table, with the columns in the schema's order.

    Raises:
        InputError: A row has a column that the table does not have.

    Example:
        >>> to_table("history", [{"trial_id": "c-r0-007", "epoch": 1}]).select(["epoch", "lr"]).to_pylist()
        [{'epoch': 1, 'lr': None}]
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.Table.from_pylist(rows, schema=arrow_schema(table, names))
