"""Methods without a search of their own (``like: LABEL``): they take the choice of another method's search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from store.names import hyperparameter_text
from store.sheet.sheet import Like

if TYPE_CHECKING:
    import pandas as pd


def chosen_text(like: Like, hyperparameters: str) -> str:
    """Write the hyperparameters of a cell as JSON, where its source has chosen these.

    Args:
        like: The cell's source.
        hyperparameters: JSON text of the source's choice.

    Returns:
        JSON text; "" where the source's text says nothing.

    Example:
        >>> like = Like("lnl", "rho0.9-lnl", takes=("lambda_", "mu"), rest={"lr": 0.003})
        >>> chosen_text(like, '{"lambda_": 0.5, "mu": 1.0, "lr": 0.01}')
        '{"lambda_": 0.5, "lr": 0.003, "mu": 1.0}'
        >>> chosen_text(like, "{}")
        ''
    """
    try:
        return hyperparameter_text(like.of(json.loads(hyperparameters)))
    # Text of another version, or without one of the hyperparameters that are taken over.
    except (ValueError, KeyError, TypeError):
        return ""


def followers(
    likes: Mapping[str, Like], trials: pd.DataFrame, cell_numbers: Sequence[int]
) -> dict[tuple[str, int], Any]:
    """Find the controls that follow the search of each cell and repeat.

    Args:
        likes: Cells without a search, by identifier.
        trials: Trial rows of one sweep.
        cell_numbers: ``[N]``, number of each row's (cell, repeat).

    Returns:
        Lists of (number of the control's place, like) by (cell, repeat) of the search.

    Example:
        >>> import pandas as pd
        >>> followers({}, pd.DataFrame(), [])  # every method has a search of its own
        {}
    """
    following: dict[tuple[str, int], Any] = {}
    if not likes:
        return following
    repeats = trials["repeat"].fillna(0).astype(int)
    known = set(zip(trials["cell"], repeats, cell_numbers, strict=True))
    for cell, repeat, number in known:
        like = likes.get(cell)
        if like is not None:
            following.setdefault((like.cell, repeat), []).append((number, like))
    return following
