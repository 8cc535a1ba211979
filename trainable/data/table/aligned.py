"""Option ``aligned`` of a table: the attribute that is each class's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainable.data.table.rows import TableRows
from trainable.errors import InputError, unknown_name

_NOT_TEXT = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def aligned_of(rows: TableRows, option: Mapping[Any, Any] | None) -> dict[str, str]:
    """Attribute that is each class's own.

    Args:
        rows: The rows; where they have no attribute (it is painted) the option gives the names of its values.
        option: Option ``aligned``, attribute by class; None = the attribute of the same name.

    Returns:
        Attribute by class, for every class.

    Raises:
        InputError: A name that there is not, a class that is left out, or no option where the names differ.

    Example:
        >>> zeros = np.zeros(1, np.int64)
        >>> names = (("a", "b"), ("x", "y"))
        >>> rows = TableRows("t.csv", ("/a.png",), zeros, "line", zeros, zeros, zeros, None, None, *names, {})
        >>> aligned_of(rows, {"a": "x", "b": "z"})
        Traceback (most recent call last):
            ...
        store.errors.InputError: unknown attribute in aligned 'z': known: x, y
    """
    line = yaml_of(likely_aligned(rows))
    names = f"the classes of {rows.name} are {_listed(rows.classes)}, its attributes {_listed(rows.attributes)}"
    if option is None:
        if set(rows.classes) == set(rows.attributes):
            return {name: name for name in rows.classes}
        if not rows.attributes:
            raise InputError(
                f"aligned must name the attribute that is painted on each class of {rows.name}, e.g. aligned: "
                f"{yaml_of({name: f'mark_{k}' for k, name in enumerate(rows.classes)})}"
            )
        raise InputError(f"aligned must say which attribute is a class's own ({names}): add e.g. aligned: {line}")
    if not isinstance(option, Mapping):
        raise InputError(f"aligned must name an attribute for each class, e.g. {line}, but is {option!r}")
    known = rows.attributes or tuple(dict.fromkeys(map(str, option.values())))
    given = {
        _known("class in aligned", one, rows.classes): _known("attribute in aligned", own, known)
        for one, own in option.items()
    }
    lacking = [name for name in rows.classes if name not in given]
    if lacking:
        raise InputError(f"aligned must name an attribute for every class, but lacks {', '.join(lacking)} ({names})")
    if len(set(given.values())) == 1:
        only = next(iter(given.values()))
        raise InputError(f"aligned must tell the classes apart, but gives all of them '{only}' ({names})")
    return {name: given[name] for name in rows.classes}


def likely_aligned(rows: TableRows) -> dict[str, str]:
    """Attribute of each class that is more frequent in it than elsewhere: a proposal of ``aligned``.

    Example:
        >>> zeros, labels = np.zeros(4, np.int64), np.array([0, 0, 1, 1])
        >>> names = (("none", "pneumothorax"), ("drain", "no_drain"))
        >>> paths = ("/a", "/b", "/c", "/d")
        >>> rows = TableRows("t.csv", paths, zeros, "line", labels, 1 - labels, zeros, None, None, *names, {})
        >>> likely_aligned(rows)
        {'none': 'no_drain', 'pneumothorax': 'drain'}
    """
    if rows.attribute is None:
        return {}
    counts = np.zeros((len(rows.classes), len(rows.attributes)))
    np.add.at(counts, (rows.labels, rows.attribute), 1)
    lift = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) / np.maximum(counts.sum(axis=0), 1)
    own = lift.argmax(axis=1)
    if len(set(own.tolist())) == 1:
        # They must differ: the class that leans least to it gets its next one.
        weakest = int(lift[:, own[0]].argmin())
        own[weakest] = np.argsort(-lift[weakest], kind="stable")[1]
    return {name: rows.attributes[k] for name, k in zip(rows.classes, own.tolist(), strict=True)}


def yaml_of(names: Mapping[str, str]) -> str:
    """Mapping of names as it stands in a sweep file, on one line.

    Example:
        >>> yaml_of({"none": "no_drain", "1": "age >= 65"})
        '{none: no_drain, "1": "age >= 65"}'
    """
    return "{" + ", ".join(f"{_yaml(name)}: {_yaml(value)}" for name, value in names.items()) + "}"


def _known(what: str, value: Any, names: tuple[str, ...]) -> str:
    # YAML reads names such as 1 or true as what they look like.
    texts = (str(value), str(value).lower()) if isinstance(value, bool) else (str(value),)
    for text in texts:
        if text in names:
            return text
    raise unknown_name(what, texts[0], names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _yaml(name: str) -> str:
    plain = name.replace("_", "").replace("-", "").isalnum() and not name[0].isdigit()
    return name if plain and name.lower() not in _NOT_TEXT else json.dumps(name)
