"""The test figures beside the headline: what each measures, which way is better, and what it does not say."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Measure:
    """One test column.

    Attributes:
        column: Its name in the trials.
        name: Its name in figures.
        better: Which direction is better: ``higher`` or ``lower``.
        says: What it measures and what it does not say, in words.
        clean: True where it is of the unbiased test variant alone, whose images are drawn like the ceiling's own
            training images: only there is training without bias a ceiling.
    """

    column: str
    name: str
    better: str
    says: str
    clean: bool = False


WITHOUT_BIAS = "trained without bias"
"""What the method ``ceiling`` is called where it is none: plain training may beat it on images that carry the bias."""
_CEILING = "ceiling"

TEST_MEASURES = (
    Measure("test_accuracy", "accuracy", "higher", "Accuracy on the unbiased test images.", True),
    Measure(
        "test_balanced_accuracy",
        "balanced accuracy",
        "higher",
        "Mean recall over classes, unbiased test images.",
        True,
    ),
    Measure(
        "test_auroc",
        "AUROC",
        "higher",
        "Macro one-vs-rest area under the ROC curve, unbiased test images: the ranking, whatever the threshold.",
        True,
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
        "Lowest accuracy over groups of (class, bias attribute). The lowest of many noisy numbers lies below the "
        "lowest true one, more so the smaller the groups.",
    ),
    Measure(
        "test_worst_class_accuracy",
        "worst class",
        "higher",
        "Lowest recall over classes, unbiased test images; as a minimum it lies too low in small test sets.",
        True,
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
        "Expected calibration error, 15 equal bins, unbiased test images: how far confidence lies from accuracy. It is "
        "never exactly 0 in a finite sample.",
        True,
    ),
    Measure(
        "bias_probe_accuracy",
        "bias probe",
        "lower",
        "Accuracy of a fresh head that reads the bias from the frozen features, on images whose bias is independent "
        "of the class. At chance this probe finds nothing; that does not prove that the classifier uses nothing.",
    ),
)
_BY_COLUMN = {measure.column: measure for measure in TEST_MEASURES}


def measure_of(column: str) -> Measure:
    """The measure behind a test column; a plain one for a column that has no entry, such as a class's recall."""
    name = column.removeprefix("test_").replace("_", " ")
    return _BY_COLUMN.get(column) or Measure(column, name, "higher", f"The test column {column}.", True)


def measures_in(trials: pd.DataFrame) -> list[Measure]:
    """The measures that some confirm row of the trials has."""
    rows = trials[trials["phase"] == "confirm"]
    return [m for m in TEST_MEASURES if m.column in rows and rows[m.column].notna().any()]


def shown(curve: pd.DataFrame, column: str | None) -> pd.DataFrame:
    """A curve's rows with the labels that figures show: a ceiling is called one on the clean test variant alone.

    Args:
        curve: Rows with ``label`` and ``method``.
        column: Their test column; None = the headline one, which is of the clean variant.

    Returns:
        The rows; where the column is of another variant, a method ``ceiling`` is called ``trained without bias``.
    """
    if column is None or measure_of(column).clean:
        return curve
    labels = [called(str(la), str(me), column) for la, me in zip(curve["label"], curve["method"], strict=True)]
    return curve.assign(label=labels)


def called(label: str, method: str, column: str | None) -> str:
    """The label of a line in figures and captions of a test column; a label of the user's own stays."""
    ceiling = method == label == _CEILING
    return WITHOUT_BIAS if ceiling and column is not None and not measure_of(column).clean else label
