"""Methods without a search of their own (``like: LABEL``): what another method's search chose in the same cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from analysis.report_data import Findings
    from analysis.report_files import Sweep


@dataclass(frozen=True)
class Like:
    """Origin of the hyperparameters of a cell without a search.

    Attributes:
        label: The method whose search chooses.
        cell: Its cell at the same place.
        takes: Hyperparameters that are taken over.
        rest: Value of every other one.
    """

    label: str
    cell: str
    takes: tuple[str, ...]
    rest: Mapping[str, Any]

    def of(self, hyperparameters: str) -> str:
        """Hyperparameters of the cell as JSON, where its source has chosen these."""
        try:
            chosen = json.loads(hyperparameters)
            return json.dumps({**self.rest, **{name: chosen[name] for name in self.takes}}, sort_keys=True)
        except (ValueError, KeyError, TypeError):
            return ""


def likes_of(config: Mapping[str, Any]) -> dict[str, Like]:
    """Cells without a search of their own, by identifier, from ``sweep.yaml``."""
    found = {}
    for cell in config.get("cells") or ():
        like = cell.get("like") if isinstance(cell, Mapping) else None
        if isinstance(like, Mapping):
            takes, rest = like.get("takes"), like.get("rest")
            found[str(cell.get("cell"))] = Like(
                str(like.get("label")),
                str(like.get("cell")),
                tuple(str(name) for name in takes) if isinstance(takes, Sequence) else (),
                rest if isinstance(rest, Mapping) else {},
            )
    return found


def sources_of(sweep: Sweep) -> dict[str, str]:
    """Label of each method without a search -> the method whose search chooses for it."""
    likes = likes_of(sweep.config)
    return {str(c.get("label")): likes[str(c.get("cell"))].label for c in sweep.cells if str(c.get("cell")) in likes}


def like_words(sweep: Sweep) -> str:
    """Sentence on the origin of the hyperparameters of methods without a search; "" where every method has a search."""
    return " ".join(
        f"{label} has no search of its own: it is trained with the weights that {source} chose in the same cell."
        for label, source in sources_of(sweep).items()
    )


def without_pressure(findings: Findings, sweep: Sweep) -> list[str]:
    """Sentences about controls that are plain training, since the search they follow preferred no debiasing."""
    likes, rows, found = likes_of(sweep.config), findings.selected, dict[tuple[str, str], list[str]]()
    if rows.empty:
        return []
    rows = rows[(rows["sweep"] == sweep.name) & rows["anchor"] & (rows["rule"] == findings.headline)]
    places = {str(row["cell"]): f"{row['bias_value']:g}" for row in rows.to_dict("records")}
    for cell in sweep.cells:
        like = likes.get(str(cell.get("cell")))
        # One whose own weights are fixed has a pressure all the same.
        if like is not None and like.cell in places and not any(like.rest.get(name) for name in ("lambda_", "mu")):
            found.setdefault((str(cell.get("label")), like.label), []).append(places[like.cell])
    return [
        f"{label} is plain training at {', '.join(dict.fromkeys(values))}: there the search of {source} chose no "
        "debiasing (all its weights are 0), so that the control says nothing about its pressure."
        for (label, source), values in found.items()
    ]


def followers(likes: Mapping[str, Like], trials: pd.DataFrame, place: Sequence[int]) -> dict[tuple[str, int], Any]:
    """For the cell and repeat of a search: the controls that follow it, as (number of their place, like)."""
    found: dict[tuple[str, int], Any] = {}
    if not likes:
        return found
    repeats = trials["repeat"].fillna(0).astype(int)
    known = set(zip(trials["cell"], repeats, place, strict=True))
    for cell, repeat, number in known:
        like = likes.get(cell)
        if like is not None:
            found.setdefault((like.cell, repeat), []).append((number, like))
    return found
