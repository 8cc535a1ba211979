"""Identifiers of cells and trials, named by what is trained and never by the rule that chose it.

Only this module builds them. They are names of files and keys of rows, and nothing is read out of them: what tells
trials of a cell apart stands in columns of its own. Rows and specifications of schema version 1 lack those columns. For
them, once, on reading, this module takes the values from the identifiers that it built.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from store.rules import RULES, Rule

SEARCH_PATTERN = r"(?:\.(?P<search_rule>val_[a-z]+)-)?(?P<search_number>[0-9]+)(?:\.s(?P<seed_number>[0-9]+))?$"
CONFIRM_PATTERN = r"-s(?P<seed_number>[0-9]+)$"


@dataclass(frozen=True)
class Place:
    """Place of a trial among those of its cell and repeat.

    Attributes:
        number: Number of a search trial's candidate; None for a confirm trial.
        rule: The rule whose own search it belongs to (``search.per_rule``); None where all rules choose from one.
        seed: Index of its search or confirm seed; None where it is not known.
    """

    number: int | None = None
    rule: Rule | None = None
    seed: int | None = None


def cell_id(dataset: str, bias: Mapping[str, float], fold: int | None, network: str, label: str) -> str:
    """Identifier of a cell, usable as the name of a file.

    Args:
        dataset: Registered name of the data set.
        bias: Value of every bias parameter.
        fold: Fold of a cross-validated data set, or None.
        network: Name of the network.
        label: Label of the method.

    Example:
        >>> cell_id("brain_mri", {"rho": 1.0, "gamma": 0.5}, None, "resnet18", "lnl")
        'brain_mri-rho1-gamma0.5-resnet18-lnl'
    """
    bias_text = "-".join(f"{name}{short(value)}" for name, value in bias.items())
    return f"{dataset}-{bias_text}{'' if fold is None else f'-fold{fold}'}-{network}-{label}"


def short(value: float) -> str:
    """Write a number as part of a name: with six digits where they are exact, else with all of them.

    Example:
        >>> short(0.5), short(0.12345678)
        ('0.5', '0.12345678')
    """
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def search_id(cell: str, repeat: int, number: int, rule: Rule | None = None, k: int = 0) -> str:
    """Identifier of a search trial.

    Args:
        cell: Identifier of its cell.
        repeat: Repetition of search and confirm.
        number: Number of the candidate.
        rule: The rule, where it has a search of its own.
        k: Index of the search seed.

    Example:
        >>> search_id("c", 0, 7, "val_biased", 2)
        'c-r0.val_biased-007.s2'
    """
    return f"{cell}-r{repeat}{f'.{rule}' if rule else ''}-{number:03d}{f'.s{k}' if k else ''}"


def confirm_id(cell: str, hyperparameters: Mapping[str, Any], k: int, repeat: int = 0, split: int | None = None) -> str:
    """Identifier of a confirm trial: cell, hash of the hyperparameters, index of the seed.

    Before the index stand the repeat, after the first one, and the split, where seeds share one.

    Args:
        cell: Identifier of its cell.
        hyperparameters: All hyperparameters.
        k: Index of the confirm seed.
        repeat: Repetition of search and confirm.
        split: Index of the split that seeds share, or None.

    Example:
        >>> confirm_id("c", {"lr": 0.1}, 2)
        'c-c924a5f4-s2'
    """
    digest = hashlib.sha256(hyperparameter_text(hyperparameters).encode()).hexdigest()[:8]
    within = f"{f'-r{repeat}' if repeat else ''}{'' if split is None else f'-p{split}'}"
    return f"{cell}-{digest}{within}-s{k}"


def hyperparameter_text(hyperparameters: Mapping[str, Any]) -> str:
    """Write hyperparameters as canonical JSON text, with sorted keys.

    It is a column of ``trials``, and what the identifier of a confirm trial hashes.

    Example:
        >>> hyperparameter_text({"mu": 1.0, "lr": 0.1})
        '{"lr": 0.1, "mu": 1.0}'
    """
    return json.dumps(dict(hyperparameters), sort_keys=True)


def belongs_to(trial: str, cell: str) -> bool:
    """Report whether a trial's identifier begins with that of a cell.

    More cannot be concluded from names alone: one cell's identifier can begin with that of another.

    Args:
        trial: Identifier of the trial.
        cell: Identifier of the cell.

    Example:
        >>> belongs_to("brain_mri-rho1-small_cnn-lnl-r0-003", "brain_mri-rho1-small_cnn-lnl")
        True
    """
    return trial.startswith(f"{cell}-")


def place_of_version_1(trial: str, phase: str) -> Place:
    """Place of a trial whose row or specification is of schema version 1.

    Args:
        trial: Its identifier.
        phase: ``search`` or ``confirm``.

    Example:
        >>> place_of_version_1("c-r0.val_biased-007.s2", "search")
        Place(number=7, rule='val_biased', seed=2)
    """
    match = re.search(SEARCH_PATTERN if phase == "search" else CONFIRM_PATTERN, trial)
    if match is None:
        return Place()
    parts = match.groupdict()
    # The first search seed has no mark of its own in an identifier.
    number, rule = parts.get("search_number"), parts.get("search_rule")
    seed = parts["seed_number"] or 0
    return Place(None if number is None else int(number), cast(Rule, rule) if rule in RULES else None, int(seed))
