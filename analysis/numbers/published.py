"""Published numbers to stand beside one's own: of other networks, palettes and splits, each a single run.

Sources: Kim et al. 2019 (arXiv 1812.10352), section 4.1, a fixed checkpoint; SABAF (arXiv 2310.04955), its figure read
to +-1 point, chosen on unbiased data; EnD (arXiv 2103.02023), Biased MNIST, mean of the three runs of a search that
were best on unbiased validation images (``results.py`` of its code, and its authors' list of the runs); G. Peretz 2020
(galprz/bias-in-medical-imaging), maximum over 30 epochs of test accuracy, slices of one patient on both sides of the
split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.carried.images import IMAGES
from store.columns import BIAS, bias_parameters
from store.errors import InputError

KIM_2019, SABAF_2023, PERETZ_2020 = "Kim et al. 2019", "SABAF 2023", "Peretz 2020"
END_2021 = "EnD 2021"
NOTES = {
    KIM_2019: "60,000 digits, another network and palette, one run a point, no interval",
    SABAF_2023: "60,000 digits, another network and palette, read off a figure to 0.01, chosen on unbiased data, no "
    "interval",
    END_2021: "60,000 digits, another network and palette, mean of the three of up to 80 trials that were best on "
    "unbiased validation images",
    PERETZ_2020: "slices of one patient on both sides of the split, about half of the pituitary class unused, no "
    "validation images, highest of 30 epochs' test accuracies, one run",
}
"""Facts that a reader must know before comparing with a source."""

_MNIST = "LeCun et al. 1998 (MNIST"
_DIGITS = 60_000
_TAKEN_OF = {KIM_2019: _MNIST, SABAF_2023: _MNIST, END_2021: _MNIST}
"""Beginning of the citation of the images that a source's numbers are of, where a data set takes others too."""

WIDEST = 0.2
"""Width of an interval from which on it tells nothing of a published number."""
COMPARABLE = "test_accuracy"
"""Test column that these numbers can be compared with."""

_COLUMNS = ["source", "method", "name", "bias_axis", "bias_value", "bias_gamma", "accuracy"]
_VARIANCES = (0.020, 0.025, 0.030, 0.035, 0.040, 0.045, 0.050)
_KIM = {
    "erm": ("baseline", (0.4055, 0.4813, 0.5996, 0.6626, 0.7333, 0.7973, 0.8450)),
    "blind_eye": ("BlindEye", (0.6741, 0.7123, 0.7883, 0.8203, 0.8638, 0.8927, 0.9159)),
    "grayscale": ("grayscale input", (0.8374, 0.8751, 0.8996, 0.9166, 0.9325, 0.9472, 0.9596)),
    "lnl": ("LNL", (0.8185, 0.8854, 0.9137, 0.9306, 0.9406, 0.9555, 0.9618)),
}
_SABAF_VARIANCES = (0.0, 0.002, 0.005, 0.010, 0.015, 0.020, 0.030, 0.040, 0.050)
_SABAF = {
    "erm": ("baseline", (14, 26, 32, 43, 53, 59, 72, 79, 88)),
    "lnl": ("LNL", (13, 20, 30, 49, 70, 77, 87, 91, 94)),
    "end": ("EnD", (14, 24, 31, 44, 60, 76, 85, 90, 93)),
}
_BIASED_DIGITS = [(END_2021, "end", "EnD", "rho", 0.999, math.nan, 0.5230)]
_PERETZ = [
    ("erm", "ResNet-18", rho, 0.0, accuracy)
    for rho, accuracy in zip(
        (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (0.957, 0.957, 0.959, 0.945, 0.911, 0.839, 0.674), strict=True
    )
] + [
    ("erm", "ResNet-18", 1.0, 1.0, 0.672),
    ("grl", "one reversed bias head", 1.0, 0.0, 0.923),
    ("grl", "two reversed bias heads", 1.0, 1.0, 0.911),
]


def published_numbers(dataset: str) -> pd.DataFrame:
    """List the published accuracies on a data set.

    Args:
        dataset: Registered name; ``coloured_digits``, ``biased_digits`` and ``brain_mri`` have numbers.

    Returns:
        ``source``, ``method`` (our name), ``name`` (theirs), ``bias_axis``, ``bias_value``, ``bias_gamma`` (missing
        where the data set has none), ``accuracy``.

    Raises:
        InputError: No numbers for that data set.

    Example:
        >>> import analysis
        >>> table = analysis.published_numbers("brain_mri")
        >>> table[table["method"] == "grl"][["name", "bias_value", "accuracy"]].values.tolist()
        [['one reversed bias head', 1.0, 0.923], ['two reversed bias heads', 1.0, 0.911]]
    """
    if dataset == "coloured_digits":
        kim = [
            (KIM_2019, method, name, "color_variance", variance, math.nan, accuracy)
            for method, (name, accuracies) in _KIM.items()
            for variance, accuracy in zip(_VARIANCES, accuracies, strict=True)
        ]
        sabaf = [
            (SABAF_2023, method, name, "color_variance", variance, math.nan, percent / 100)
            for method, (name, percents) in _SABAF.items()
            for variance, percent in zip(_SABAF_VARIANCES, percents, strict=True)
        ]
        return pd.DataFrame([*kim, *sabaf], columns=_COLUMNS)
    if dataset == "biased_digits":
        return pd.DataFrame(_BIASED_DIGITS, columns=_COLUMNS)
    if dataset == "brain_mri":
        rows = [(PERETZ_2020, method, name, "rho", rho, gamma, a) for method, name, rho, gamma, a in _PERETZ]
        return pd.DataFrame(rows, columns=_COLUMNS)
    raise InputError(
        f"published numbers exist for biased_digits, brain_mri and coloured_digits, but got '{dataset}': leave them out"
    )


def published_or_none(dataset: str) -> pd.DataFrame:
    """List the published accuracies on a data set, no rows where there are none.

    Args:
        dataset: Registered name.

    Returns:
        The columns of ``published_numbers``.

    Example:
        >>> len(published_or_none("coloured_digits")) > 0, len(published_or_none("another"))
        (True, 0)
    """
    try:
        return published_numbers(dataset)
    except InputError:
        return pd.DataFrame(columns=_COLUMNS)


def _is_of(source: str, images: Mapping[str, Any]) -> bool:
    """True where a source's numbers are of the images of a sweep: those that ship, or the same from a folder."""
    return not images.get("folder") or str(images.get("citation", "")).startswith(_TAKEN_OF.get(source, ""))


def _note(source: str, images: Mapping[str, Any]) -> str:
    """Write what differs: the number of digits only where a sweep has fewer."""
    number = images.get("n_images")
    every = isinstance(number, int) and number >= _DIGITS
    return NOTES[source].removeprefix(f"{_DIGITS:,} digits, ") if every else NOTES[source]


def beside_published(curve: pd.DataFrame) -> pd.DataFrame:
    """Compare one's own points with the published numbers at the same bias value.

    Inside or outside says whether the published number lies in one's own 95 % interval, where that is narrower than .2:
    in a wider one most numbers lie. As network, palette or split differ, neither is a test of a reproduction. Numbers
    of other images, as those of digits beside clothes in a folder of one's own, are left out.

    Args:
        curve: Rows of ``analysis.accuracy_vs_bias``; only unbiased accuracy is comparable with these numbers.

    Returns:
        One row per (point, published number): the curve's ``sweep``, ``dataset``, ``rule``, ``label``, ``facet``,
        ``bias_axis``, ``bias_value``, ``mean``, ``low``, ``high``; ``source``, ``name``, ``published``, ``verdict``
        ("inside the interval", "outside the interval", "interval too wide to tell" or "no interval") and ``note``.

    Example:
        >>> import analysis
        >>> curve = analysis.accuracy_vs_bias(analysis.example(), rules=["val_counterfactual"])
        >>> table = analysis.beside_published(curve.assign(dataset="brain_mri"))  # as if its slices were real ones
        >>> table[(table["label"] == "grl") & (table["facet"] == "gamma = 0")][["published", "verdict"]].values.tolist()
        [[0.923, 'outside the interval']]
    """
    keep = ["sweep", "dataset", "rule", "label", "facet", "bias_axis", "bias_value", "mean", "low", "high"]
    rows = []
    for (dataset, sweep), points in curve[curve["n_seeds"] > 0].groupby(["dataset", "sweep"], sort=False):
        images = curve.attrs.get(IMAGES, {}).get(sweep, {})
        numbers = [n for n in published_or_none(str(dataset)).to_dict("records") if _is_of(n["source"], images)]
        for point in points.to_dict("records"):
            for number in numbers:
                if not _same_place(point, number):
                    continue
                rows.append(
                    {
                        **{name: point[name] for name in keep},
                        "source": number["source"],
                        "name": number["name"],
                        "published": number["accuracy"],
                        "verdict": _verdict(point, number["accuracy"]),
                        "note": _note(number["source"], images),
                    }
                )
    return pd.DataFrame(rows, columns=[*keep, "source", "name", "published", "verdict", "note"])


def _verdict(point: Mapping[Any, Any], accuracy: float) -> str:
    if point["band"] == "none" or not math.isfinite(point["low"]):
        return "no interval"
    if point["high"] - point["low"] >= WIDEST:
        return "interval too wide to tell"
    return f"{'inside' if point['low'] <= accuracy <= point['high'] else 'outside'} the interval"


def same_off_axis(number: Mapping[Any, Any], point: Mapping[Any, Any]) -> bool:
    """True where a published number is of the point's bias parameters off the axis.

    A parameter that the source does not state agrees with any value; one that the point lacks is 0, as in a data set
    without that annotation.

    Args:
        number: The published number, with ``bias_<name>`` of the parameters that its source states.
        point: Row of a curve.

    Returns:
        True or False.

    Example:
        >>> same_off_axis({"bias_gamma": 0.0}, {}), same_off_axis({"bias_gamma": 1.0}, {"bias_gamma": 0.0})
        (True, False)
    """
    names = [f"{BIAS}{name}" for name in bias_parameters(map(str, number))]
    return all(
        pd.isna(number[name]) or _close(number[name], 0.0 if pd.isna(point.get(name)) else point[name])
        for name in names
    )


def _close(one: Any, other: Any) -> bool:
    # A bias value computed in a sweep file can differ from the printed one in its last bits.
    return math.isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-12)


def _same_place(point: Mapping[Any, Any], number: Mapping[Any, Any]) -> bool:
    """True where a published number is of the point's method and bias parameters, those off the axis included."""
    return (
        number["method"] == point["method"]
        and number["bias_axis"] == point["bias_axis"]
        and _close(number["bias_value"], point["bias_value"])
        and same_off_axis(number, point)
    )
