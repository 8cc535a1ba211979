"""Methods without a search of their own (``like: LABEL``): what another method's search chose in the same cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


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
