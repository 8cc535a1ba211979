"""Hash of what a sweep declares before its first result: the comparison that is tested, and all that could move it.

Both sides need the same: the driver writes the hash into ``sweep.yaml``, a reader compares it with what stands there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

SEEDS = "seeds"
"""Part of a declaration that may grow: seeds that were added late are counted and named, and the test is kept."""
PARTS = {
    "primary": "the comparison",
    "bias": "the bias values",
    "methods": "the methods",
    "rules": "the selection rules",
    "search": "the search",
    SEEDS: "the seeds",
}
"""Parts of a declaration, and their names in a sentence."""
SHOWN = 12
"""Characters of a hash that are shown."""


def parts_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Parts that a resolved configuration declares, in a canonical form.

    The parts of two configurations differ only where they mean something else.

    Keys without a value are left out, numbers are floats, and methods, bias values and rules, which have no order, are
    sorted. What a trial gets of a machine is no part of it.

    Args:
        config: Content of ``sweep.yaml``, or a configuration as a mapping.

    Returns:
        Part -> its content; the parts are those of ``PARTS``.

    Example:
        >>> parts_of({"search": {"trials": 3, "repeats": 2}})["search"]
        {'trials': 3.0}
    """
    dataset, search, confirm = (_section(config, name) for name in ("dataset", "search", "confirm"))
    rules = [_rule(entry) for entry in _listed(confirm.get("rules"))]
    parts = {
        "primary": config.get("primary"),
        "bias": {"bias": _points(dataset.get("bias")), "folds": _folds(dataset.get("folds"))},
        "methods": _sorted([_method(entry) for entry in _listed(config.get("methods"))]),
        "rules": sorted({str(rule) for rule, _ in rules}),
        "search": {key: value for key, value in search.items() if key != "repeats"},
        SEEDS: {
            "seed": config.get("seed"),
            "repeats": search.get("repeats"),
            "confirm": {key: value for key, value in confirm.items() if key not in ("rules", "keep_models")},
            "of_rules": {str(rule): seeds for rule, seeds in rules},
        },
    }
    return {name: _plain(parts[name]) for name in PARTS}


def hash_of(declared: Any) -> str:
    """SHA-256 of a value as JSON with sorted keys, 64 hexadecimal characters.

    Args:
        declared: What ``parts_of`` returned, or one of its parts.

    Example:
        >>> hash_of({"trials": 3.0})[:SHOWN]
        'fe73db5b6460'
    """
    return hashlib.sha256(_text(declared).encode()).hexdigest()


def changed_parts(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of the parts in which two configurations declare something else, in the order of ``PARTS``.

    Args:
        old: Content of ``sweep.yaml``, or a configuration as a mapping.
        new: The other one.

    Example:
        >>> changed_parts({"search": {"trials": 3}}, {"search": {"trials": 4}})
        ['search']
    """
    before, after = parts_of(old), parts_of(new)
    return [name for name in PARTS if before[name] != after[name]]


def parts_in(what: Mapping[str, Any]) -> list[str]:
    """Parts of the declaration that a line of ``changes.jsonl`` changed, from its dotted keys alone.

    Args:
        what: Dotted key -> ``{old, new}``.

    Example:
        >>> parts_in({"search.trials": {"old": 3, "new": 4}})
        ['search']
    """
    trees: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for key, change in what.items():
        if isinstance(change, Mapping):
            for tree, side in zip(trees, ("old", "new"), strict=True):
                _put(tree, str(key).split("."), change.get(side))
    return changed_parts(*trees)


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        below = tree.get(name)
        tree[name] = tree = below if isinstance(below, dict) else {}
    if not isinstance(tree.get(path[-1]), dict):
        tree[path[-1]] = value


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _rule(entry: Any) -> tuple[Any, Any]:
    return (entry.get("rule"), entry.get("seeds")) if isinstance(entry, Mapping) else (entry, None)


def _method(entry: Any) -> dict[str, Any]:
    tree = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    tree["bias"] = _points(tree.get("bias"))
    tree.pop("resources", None)
    return {**tree, "label": tree.get("label") or tree.get("name")}


def _points(bias: Any) -> Any:
    if isinstance(bias, Mapping):
        return {name: _sorted(values) if isinstance(values, list) else values for name, values in bias.items()}
    return _sorted(bias) if isinstance(bias, list) else bias


def _folds(folds: Any) -> Any:
    return _sorted(folds) if isinstance(folds, list) else folds


def _sorted(values: Sequence[Any]) -> list[Any]:
    return sorted((_plain(value) for value in values), key=_text)


def _plain(value: Any) -> Any:
    """Convert a value to what JSON has, with numbers as floats: 1 and 1.0 declare the same.

    Keys without a value are left out.
    """
    if isinstance(value, Mapping):
        kept = {str(name): _plain(entry) for name, entry in value.items()}
        return {name: entry for name, entry in kept.items() if entry not in (None, {})}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
