"""YAML parser that refuses repeated keys, and numbers that YAML 1.1 and 1.2 read differently."""

from __future__ import annotations

import re
from typing import Any

import yaml

from trainable.texts import one_line

# In C, ten times as fast, where PyYAML was built with it.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]
    """Loader of YAML 1.2 numbers.

    PyYAML reads ``1e-3`` as text.
    """


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TWO_MEANINGS = re.compile(r"[-+]?(0[0-9_]+|0b[01_]+|[0-9][0-9_]*(:[0-9_.]+)+)")


def load_yaml(text: str) -> Any:
    """Parse a YAML text that was written by hand.

    Args:
        text: One document.

    Returns:
        Mappings, lists and scalars; ``1e-3`` is a number, as in YAML 1.2.

    Raises:
        yaml.YAMLError: It is no YAML. A key stands twice in a mapping (what comes with a merge key ``<<`` may be
            overwritten). A number has two meanings, such as ``010`` (8 in YAML 1.1, 10 in 1.2), ``1:30`` (90, or
            text) or ``0b11``. A scalar is none of its kind, such as the date ``2026-13-45``.

    Example:
        >>> load_yaml("training: {epochs: 3}")
        {'training': {'epochs': 3}}
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, "", set())
        try:
            return loader.construct_document(node)
        except yaml.YAMLError:
            raise
        except Exception as error:
            # PyYAML makes numbers and dates of texts that only look like them, and lets Python's own errors through.
            problem = f"a value is no number, date or truth value that there can be ({one_line(str(error), 100)})"
            raise yaml.MarkedYAMLError(problem=f"{problem}: put quotes around a text") from error
    finally:
        loader.dispose()


def _check(node: yaml.Node, path: str, seen: set[int]) -> None:
    # A node is met again by each of its aliases.
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for i, entry in enumerate(node.value):
            _check(entry, f"{path}{i}.", seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if isinstance(key, yaml.ScalarNode):
                earlier = first.setdefault((key.tag, name), key)
                if earlier is not key:
                    _refuse(key, f"the key '{path}{name}' stands twice, first in line {earlier.start_mark.line + 1}")
            _check(key, path, seen)
            _check(value, f"{path}{name}.", seen)
    elif node.tag in _NUMBERS and _TWO_MEANINGS.fullmatch(node.value):
        where = f"{path.removesuffix('.')}: " if path else ""
        _refuse(
            node,
            f"{where}{node.value} is one number in YAML 1.1 and another, or text, in YAML 1.2: write a plain decimal "
            "number, or quotes around a text",
        )


def problem_of(error: yaml.YAMLError) -> str:
    """Problem of a text that is no YAML, in words.

    Example:
        >>> try:
        ...     load_yaml("{a: 1, a: 2}")
        ... except yaml.YAMLError as error:
        ...     problem_of(error)
        "the key 'a' stands twice, first in line 1"
    """
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot parse")


def _refuse(node: yaml.Node, problem: str) -> None:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
