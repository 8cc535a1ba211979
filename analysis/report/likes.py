"""Sentences about methods without a search of their own (``like: LABEL``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.findings import Findings
    from analysis.sweep_folder import Sweep


def sources_of(sweep: Sweep) -> dict[str, str]:
    """Map the label of each method without a search to the method whose search chooses for it.

    Args:
        sweep: The sweep.

    Returns:
        Source by label.

    Example:
        >>> from analysis.examples import example_folder
        >>> from analysis.sweep_folder import read_sweep
        >>> from store.open import open_folder
        >>> sources_of(read_sweep(open_folder(example_folder()), "brain_phantom_study", []))
        {'permuted_bias': 'lnl'}
    """
    return {cell.label: cell.like.label for cell in sweep.sheet.cells if cell.like is not None}


def like_words(sweep: Sweep) -> str:
    """Write the sentence on the origin of the hyperparameters of methods without a search.

    Args:
        sweep: The sweep.

    Returns:
        The sentence; "" where every method has a search.

    Example:
        >>> from analysis.examples import example_folder
        >>> from analysis.sweep_folder import read_sweep
        >>> from store.open import open_folder
        >>> like_words(read_sweep(open_folder(example_folder()), "brain_phantom_study", [])).partition(":")[0]
        'permuted_bias has no search of its own'
    """
    return " ".join(
        f"{label} has no search of its own: it is trained with the weights that {source} chose in the same cell."
        for label, source in sources_of(sweep).items()
    )


def without_pressure(findings: Findings, sweep: Sweep) -> list[str]:
    """Write sentences about controls that are plain training, since the search they follow preferred no debiasing."""
    rows, plain = findings.selected, dict[tuple[str, str], list[str]]()
    if rows.empty:
        return []
    rows = rows[(rows["sweep"] == sweep.name) & rows["anchor"] & (rows["rule"] == findings.headline)]
    places = {str(row["cell"]): f"{row['bias_value']:g}" for row in rows.to_dict("records")}
    for cell in sweep.sheet.cells:
        like, pressures = cell.like, sweep.sheet.traits(cell.label, cell.method).pressures
        # One whose own weights are fixed has a pressure all the same.
        if like is not None and like.cell in places and not any(like.rest.get(name) for name in pressures):
            plain.setdefault((cell.label, like.label), []).append(places[like.cell])
    return [
        f"{label} is plain training at {', '.join(dict.fromkeys(values))}: there the search of {source} chose no "
        "debiasing (all its weights are 0), so that the control says nothing about its pressure."
        for (label, source), values in plain.items()
    ]
