"""The test figures beside the headline: their meaning, their better direction and their limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.points.additive import LEAST_PROBABILITY, RECALL
from store.columns import BIAS, TRIALS
from store.errors import InputError
from store.sheet.external import PREFIX, is_external

_NAMED = (
    "The lowest of many noisy numbers lies below the lowest true one, so the worst is named for each seed by the "
    "mean of the other seeds and then measured on that seed; named by itself (a single seed, or no predictions) it is "
    "too low."
)


@dataclass(frozen=True)
class Measure:
    """One test column.

    Attributes:
        column: Its name in the trials.
        name: Its name in figures.
        better: Which direction is better: ``higher``, ``lower`` or ``0``, the value nearest to 0.
        says: Its meaning and its limits, in words.
        bounds: Its range.
        wilson: Where its interval is Wilson's over patients: ``edge``, where Student's would leave the range or has no
            width; ``always``, of a share over few images; ``never``, where it is no mean of zeros and ones.
        named: True for the worst of several groups: other seeds choose the group (``additive.worst_named_by_others``).
        clean: True where it is of the unbiased test variant alone, whose images are drawn like the ceiling's own
            training images: only there is training without bias a ceiling.
    """

    column: str
    name: str
    better: str
    says: str
    bounds: tuple[float, float] = (0.0, 1.0)
    wilson: Literal["edge", "always", "never"] = "edge"
    named: bool = False
    clean: bool = False

    @property
    def worst(self) -> float:
        """The worst value it can have.

        Of a signed measure it is the largest overconfidence.
        """
        return self.bounds[0] if self.better == "higher" else self.bounds[1]


WITHOUT_BIAS = "trained without bias"
"""Name of the method ``ceiling`` where it is no ceiling.

Plain training may beat it on images that carry the bias.
"""
_CEILING = "ceiling"

TEST_MEASURES = (
    Measure("test_accuracy", "accuracy", "higher", "Accuracy on the unbiased test images.", clean=True),
    Measure(
        "test_balanced_accuracy",
        "balanced accuracy",
        "higher",
        "Mean recall over classes, unbiased test images.",
        clean=True,
    ),
    Measure(
        "test_auroc",
        "AUROC",
        "higher",
        "Macro one-vs-rest area under the ROC curve, unbiased test images: the ranking, whatever the threshold.",
        clean=True,
    ),
    Measure(
        "test_aligned_accuracy",
        "aligned",
        "higher",
        "Accuracy where every test image carries its own class's bias: a network that reads nothing but the bias "
        "scores high here, so a high value is no merit by itself.",
    ),
    Measure(
        "test_conflicting_accuracy",
        "conflicting",
        "higher",
        "Accuracy where every test image carries another class's bias: the hardest case for a network that reads the "
        "bias.",
    ),
    Measure(
        "test_independent_accuracy",
        "independent",
        "higher",
        "Accuracy where the bias of the test images is drawn independently of their class.",
    ),
    Measure(
        "test_worst_group_accuracy",
        "worst group",
        "higher",
        f"Accuracy of the worst group of (class, bias attribute). {_NAMED}",
        wilson="always",
        named=True,
    ),
    Measure(
        "test_worst_class_accuracy",
        "worst class",
        "higher",
        f"Recall of the worst class, unbiased test images. {_NAMED}",
        wilson="always",
        named=True,
        clean=True,
    ),
    Measure(
        "flip_rate",
        "flip rate",
        "lower",
        "Share of test images whose predicted class changes when nothing but the bias is changed. A network that "
        "always says the same has 0: read it beside the accuracy.",
    ),
    Measure(
        "ece",
        "calibration error",
        "lower",
        "Expected calibration error, 15 equal bins, unbiased test images: how far confidence lies from accuracy, in "
        "either direction. It is never 0 in a finite sample: compare it with its null value.",
        wilson="never",
        clean=True,
    ),
    Measure(
        "confidence_gap",
        "confidence gap",
        "0",
        "Mean confidence minus accuracy, unbiased test images: above 0 the network is overconfident, below 0 "
        "underconfident. Errors in opposite directions cancel.",
        bounds=(-1.0, 1.0),
        wilson="never",
        clean=True,
    ),
    Measure(
        "test_brier",
        "Brier score",
        "lower",
        "Squared error of the probabilities, summed over classes (0 to 2), mean over the unbiased test images: "
        "discrimination and calibration together.",
        bounds=(0.0, 2.0),
        wilson="never",
        clean=True,
    ),
    Measure(
        "test_log_loss",
        "log loss",
        "lower",
        "Mean -log of the true class's probability on the unbiased test images, nats; probabilities under 1e-7 count "
        "as 1e-7, so that it is at most 16.1. A few confident mistakes make most of it.",
        bounds=(0.0, -math.log(LEAST_PROBABILITY)),
        wilson="never",
        clean=True,
    ),
    Measure(
        "bias_probe_accuracy",
        "bias probe",
        "lower",
        "Accuracy of a fresh head that reads the bias from the frozen features, on images whose bias is independent "
        "of the class. At chance this probe finds nothing; that does not prove that the classifier uses nothing.",
        wilson="never",
    ),
)
NULL_VALUES = {"ece": "ece_null"}
"""Columns with the value that a perfect network would have in a finite sample, by the column they belong to."""
METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
"""Figures of an external test set, and their names."""
_OWN: dict[str, Measure] = {}
_BY_COLUMN = {measure.column: measure for measure in TEST_MEASURES}
_BY_COLUMN["ece_null"] = Measure(
    "ece_null",
    "null value of the calibration error",
    "lower",
    "Expected calibration error of a perfectly calibrated network with the same confidences on as many images.",
    wilson="never",
)


def measure_of(column: str) -> Measure:
    """Look up the measure behind a test column.

    Args:
        column: A test column of the trials.

    Returns:
        The measure; a plain one for a column that has no entry, such as a class's recall.

    Example:
        >>> measure_of("ece").name, measure_of("ece").better
        ('calibration error', 'lower')
        >>> measure_of("recall_glioma").says
        'Share of the images of class glioma that are recognised, unbiased test images.'
    """
    name = column.removeprefix("test_").replace("_", " ")
    if column.startswith(RECALL):
        words = f"Share of the images of class {column.removeprefix(RECALL)} that are recognised, unbiased test images."
        return Measure(column, name, "higher", words, wilson="always", clean=True)
    if is_external(column):
        variant, _, metric = column.rpartition("/")
        return Measure(
            column, METRICS.get(metric, metric), "higher", f"On the external test set {variant[len(PREFIX) :]}."
        )
    known = _BY_COLUMN.get(column) or _OWN.get(column)
    if known is not None:
        return known
    # Nothing is known of the range of a column that somebody has added.
    validation = column.startswith("val_")
    bounds = (0.0, 1.0) if validation else (-math.inf, math.inf)
    wilson: Literal["edge", "never"] = "edge" if validation else "never"
    return Measure(column, name, "higher", f"The column {column}.", bounds=bounds, wilson=wilson, clean=True)


def register_measure(
    column: str,
    *,
    name: str = "",
    better: Literal["higher", "lower", "0"] = "higher",
    bounds: tuple[float, float] = (-math.inf, math.inf),
    says: str = "",
) -> None:
    """Say what a column of one's own measures: its name, its better direction and its range, in figures and report.

    Args:
        column: The column, which stands in the trials, one value a confirm trial.
        name: Its name in figures; default: that of the column.
        better: Which direction is better: ``higher``, ``lower`` or ``0``, the value nearest to 0.
        bounds: Its range, to which intervals are clipped; default: none.
        says: Its meaning and its limits, in words.

    Raises:
        InputError: A column of the package itself, another direction, or a range without a width.

    Example:
        >>> import analysis
        >>> analysis.register_measure("expected_cost", better="lower", bounds=(0, 50), says="Mean cost of an image.")
        >>> measure_of("expected_cost").name
        'expected cost'
    """
    if column in _BY_COLUMN or column in TRIALS or column.startswith((RECALL, BIAS)):
        raise InputError(
            f"a measure of one's own needs a column of its own, but {column} is one of lnl-sweep: rename it"
        )
    if better not in ("higher", "lower", "0"):
        raise InputError(f"better must be higher, lower or 0, but got {better!r}")
    low, high = bounds
    if not low < high:
        raise InputError(f"bounds must be the lowest and the highest value, but got {low:g} and {high:g}")
    _OWN[column] = Measure(
        column,
        name or column.replace("_", " ").strip(),
        better,
        says or f"The column {column}.",
        bounds=(float(low), float(high)),
        wilson="never",
        clean=True,
    )


def own_measures() -> list[Measure]:
    """List the measures that were registered, in order.

    Example:
        >>> "test_accuracy" in [measure.column for measure in own_measures()]
        False
    """
    return list(_OWN.values())


def measures_in(trials: pd.DataFrame) -> list[Measure]:
    """List the measures that some confirm row of the trials has.

    Args:
        trials: What ``analysis.load`` returned.

    Returns:
        The measures, in the order of ``TEST_MEASURES``, then those of ``register_measure``.

    Example:
        >>> trials = pd.DataFrame({"phase": ["search", "confirm"], "test_accuracy": [None, 0.9], "ece": [0.1, None]})
        >>> [measure.column for measure in measures_in(trials)]
        ['test_accuracy']
    """
    rows = trials[trials["phase"] == "confirm"]
    every = [*TEST_MEASURES, *own_measures()]
    return [m for m in every if m.column in rows and rows[m.column].notna().any()]


MANY = 6
"""Methods besides plain training and the ceiling that one picture can hold: with more, each gets a panel."""


def many(curve: pd.DataFrame) -> bool:
    """Tell if a curve has so many methods that each needs a panel of its own, and a rank.

    Args:
        curve: Rows of ``analysis.accuracy_vs_bias``.

    Returns:
        True for more than ``MANY`` labels besides plain training and the ceiling.

    Example:
        >>> many(pd.DataFrame({"label": ["erm", *"abcdefg"], "method": ["erm", *"abcdefg"]}))
        True
    """
    return int(curve.loc[~curve["method"].isin(("erm", _CEILING)), "label"].nunique()) > MANY


def shown(curve: pd.DataFrame, column: str | None) -> pd.DataFrame:
    """Give a curve's rows the labels that figures show: a ceiling is called one on the clean test variant alone.

    Args:
        curve: Rows with ``label`` and ``method``.
        column: Their test column; None = the headline one, which is of the clean variant.

    Returns:
        The rows; where the column is of another variant, a method ``ceiling`` is called ``trained without bias``.

    Example:
        >>> curve = pd.DataFrame({"label": ["erm", "ceiling"], "method": ["erm", "ceiling"]})
        >>> shown(curve, "test_conflicting_accuracy")["label"].tolist()
        ['erm', 'trained without bias']
    """
    if column is None or measure_of(column).clean:
        return curve
    labels = [called(str(la), str(me), column) for la, me in zip(curve["label"], curve["method"], strict=True)]
    return curve.assign(label=labels)


def called(label: str, method: str, column: str | None) -> str:
    """Name a line in figures and captions of a test column.

    A label of the user's own stays.

    Args:
        label: The line's label.
        method: Its method.
        column: The test column; None = the headline one.

    Returns:
        The name.

    Example:
        >>> called("ceiling", "ceiling", "test_accuracy"), called("ceiling", "ceiling", "flip_rate")
        ('ceiling', 'trained without bias')
    """
    ceiling = method == label == _CEILING
    return WITHOUT_BIAS if ceiling and column is not None and not measure_of(column).clean else label
