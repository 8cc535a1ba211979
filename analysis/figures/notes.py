"""Notes on data sets without real images, for figures where a table of rows is all that is at hand."""

from __future__ import annotations

from collections.abc import Iterable

SYNTHETIC = {"brain_phantom": "synthetic slices, not patients"}


def note_of(datasets: Iterable[str]) -> str:
    """Write the note that must stand under a figure of these data sets.

    Args:
        datasets: Names of data sets.

    Returns:
        The notes, joined by semicolons; "" where there is none.

    Example:
        >>> note_of(["brain_phantom", "brain_mri"])
        'synthetic slices, not patients'
    """
    return "; ".join(dict.fromkeys(SYNTHETIC[name] for name in datasets if name in SYNTHETIC))
