"""Published numbers of the coloured digits, to stand beside one's own: of another network and another palette.

Sources: Kim et al. 2019 (arXiv 1812.10352), section 4.1 (baseline, BlindEye, grayscale, LNL); one run a point, a fixed
checkpoint, no interval.
"""

from __future__ import annotations

import pandas as pd

from analysis.errors import InputError

KIM_2019 = "Kim et al. 2019"
_VARIANCES = (0.020, 0.025, 0.030, 0.035, 0.040, 0.045, 0.050)
_KIM = {
    "erm": ("baseline", (0.4055, 0.4813, 0.5996, 0.6626, 0.7333, 0.7973, 0.8450)),
    "blind_eye": ("BlindEye", (0.6741, 0.7123, 0.7883, 0.8203, 0.8638, 0.8927, 0.9159)),
    "grayscale": ("grayscale input", (0.8374, 0.8751, 0.8996, 0.9166, 0.9325, 0.9472, 0.9596)),
    "lnl": ("LNL", (0.8185, 0.8854, 0.9137, 0.9306, 0.9406, 0.9555, 0.9618)),
}


def published_numbers(dataset: str) -> pd.DataFrame:
    """Published accuracies on a data set.

    Args:
        dataset: Registered name; ``coloured_digits`` is the one with numbers.

    Returns:
        ``source``, ``method`` (our name), ``name`` (theirs), ``bias_axis``, ``bias_value``, ``accuracy``.

    Raises:
        InputError: No numbers for that data set.
    """
    if dataset != "coloured_digits":
        raise InputError(f"published numbers exist for coloured_digits, but got '{dataset}': leave them out")
    rows = [
        (KIM_2019, method, name, "color_variance", variance, accuracy)
        for method, (name, accuracies) in _KIM.items()
        for variance, accuracy in zip(_VARIANCES, accuracies, strict=True)
    ]
    return pd.DataFrame(rows, columns=["source", "method", "name", "bias_axis", "bias_value", "accuracy"])
