"""Methods without a search of their own (``like: LABEL``): what another method's search chose in the same cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from store.names import hyperparameter_text
from store.sheet.sheet import Like

if TYPE_CHECKING:
    import pandas as pd


def chosen_text(like: Like, hyperparameters: str) -> str:
    """Hyperparameters of a cell as JSON, where its source has chosen these; "" where that says nothing."""
    try:
        return hyperparameter_text(like.of(json.loads(hyperparameters)))
    except (ValueError, KeyError, TypeError):
        return ""


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
