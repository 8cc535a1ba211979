"""Reader of the sweep file, with changes by ``--set`` and one sentence for a rule that is broken."""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from orchestrator.config.own_code import settled
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.yaml_text import load_yaml, problem_of
from store.errors import InputError, nearest
from store.local import expanded
from trainable.texts import bounded

NOT_CONFIGURATION = ("declaration", "provenance", "dataset_info", "methods_info", "cells")
"""Keys of the ``sweep.yaml`` in a sweep's folder that are no part of its configuration."""


def read_config(
    path: str | Path, overrides: list[str] | None = None, plugins: Sequence[str] = (), trust: bool = False
) -> SweepConfig:
    """Read a sweep file, and load its plug-ins.

    Args:
        path: The YAML file.
        overrides: ``key=value`` with dotted keys; values are YAML.
        plugins: Further plug-ins; relative paths begin in the current folder.
        trust: True = run plug-ins of a ``sweep.yaml`` from somebody else.

    Returns:
        The validated configuration. Paths in it, which began in the file's folder, are absolute.

    Raises:
        InputError: The file cannot be read, is not a YAML mapping, or breaks a rule; or a plug-in cannot be imported.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        ...     _ = file.write("{dataset: {name: brain_phantom, bias: {rho: [0, 1]}}, methods: [erm, lnl]}")
        ...     file.flush()
        ...     config = read_config(file.name, ["confirm.seeds=3"])
        >>> config.dataset.bias, config.confirm.seeds
        ({'rho': [0.0, 1.0]}, 3)
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the sweep file '{path}': {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the sweep file '{path}' is not text in UTF-8") from error
    return settled(
        with_plugins(parse_config(text, overrides, name=str(path)), plugins), Path(path).absolute().parent, trust
    )


def with_plugins(config: SweepConfig, plugins: Sequence[str]) -> SweepConfig:
    """Configuration with further plug-ins, whose paths begin in the current folder.

    Example:
        >>> config = parse_config("{dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm]}")
        >>> with_plugins(config, ["/lab/xray.py"]).plugins
        ['/lab/xray.py']
    """
    # The name of an installed module stays one.
    paths = [str(expanded(entry)) if "/" in entry or expanded(entry).exists() else entry for entry in plugins]
    return config.model_copy(update={"plugins": [*config.plugins, *paths]}) if paths else config


def parse_config(text: str, overrides: list[str] | None = None, name: str = "sweep file") -> SweepConfig:
    """Parse and validate the text of a sweep file.

    Args:
        text: The YAML text.
        overrides: ``key=value`` with dotted keys, as in ``read_config``.
        name: Name of the file, for messages.

    Raises:
        InputError: The text is not a YAML mapping, or breaks a rule.

    Example:
        >>> config = parse_config("{dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm]}", ["seed=7"])
        >>> config.seed, config.methods[0].name
        (7, 'erm')
    """
    try:
        tree = load_yaml(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise InputError(f"{name} is not valid YAML{line}: {problem_of(error)}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{name} must hold a mapping with the keys dataset, methods, ..., but holds {_kind(tree)}")
    if isinstance(tree.get("provenance"), dict):
        # The sweep.yaml of a sweep that was run: it is repeated, by what is installed now.
        tree = configuration_in(tree)
    for override in overrides or []:
        apply_override(tree, override)
    return validate(tree, name)


def configuration_in(sheet: Mapping[str, Any]) -> dict[str, Any]:
    """Part of a ``sweep.yaml`` that is the configuration.

    What older versions left out is added as they meant it.

    Example:
        >>> configuration_in({"name": "demo", "provenance": {"numerics": 3}, "cells": []})
        {'name': 'demo'}
    """
    tree = {key: value for key, value in sheet.items() if key not in NOT_CONFIGURATION}
    primary = tree.get("primary")
    if isinstance(primary, dict) and "at" not in primary:
        # They compared areas, and knew no margin.
        tree["primary"] = {**primary, "at": "area", "margin": None}
    return tree


def validate(tree: Mapping[str, Any], name: str = "sweep file") -> SweepConfig:
    """Validate a mapping as a sweep configuration.

    Args:
        tree: The sweep file as a mapping.
        name: Name of the file, for the message.

    Raises:
        InputError: The first rule that is broken, with the key, the value found and the nearest known key.

    Example:
        >>> tree = {"dataset": {"name": "brain_phantom", "bias": {"rho": 1}}, "methods": ["erm"], "sed": 1}
        >>> validate(tree)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        store.errors.InputError: sweep file: unknown key 'sed': did you mean 'seed'? known here: ...
    """
    try:
        return SweepConfig.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{name}: {_sentence(error, tree)}") from error


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Apply one ``key=value`` in place.

    Args:
        tree: The sweep file as a mapping.
        override: A dotted key (list positions as numbers, methods also by their name) and a YAML value.

    Raises:
        InputError: No ``=``, a key that goes through a scalar, or a list position that does not exist.

    Example:
        >>> tree = {"methods": ["erm", "lnl"], "confirm": {"seeds": 5}}
        >>> apply_override(tree, "confirm.seeds=10")
        >>> apply_override(tree, "methods.lnl.fixed={mu: 1}")
        >>> tree
        {'methods': ['erm', {'name': 'lnl', 'fixed': {'mu': 1}}], 'confirm': {'seeds': 10}}
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set takes key=value, but got '{override}'")
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {key}: '{bounded(text, 100)}' is not valid YAML: {problem_of(error)}") from error
    node: Any = tree
    parts = key.split(".")
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(node, list):
            index = _list_index(node, part, override)
            if following is None:
                node[index] = value
                return
            if isinstance(node[index], str):
                node[index] = {"name": node[index]}
            node = node[index]
        elif isinstance(node, dict):
            if following is None:
                node[part] = value
                return
            if not isinstance(node.get(part), (dict, list)):
                node[part] = {"name": node[part]} if part == "network" and isinstance(node.get(part), str) else {}
            node = node[part]
        else:
            raise InputError(f"--set {key}: '{part}' lies below a single value, which has no keys")


def _list_index(node: list[Any], part: str, override: str) -> int:
    names = [(entry.get("label") or entry.get("name")) if isinstance(entry, dict) else entry for entry in node]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(node):
        return int(part)
    raise InputError(f"--set {override}: the list has no entry '{part}'; it has {names}")


def _sentence(error: ValidationError, tree: Mapping[str, Any]) -> str:
    errors = error.errors(include_url=False)
    # A union reports one error for each of its forms: the deepest one is the form that was meant.
    first = max(
        errors,
        key=lambda entry: (entry["type"] == "extra_forbidden", entry["type"] != "model_type", len(entry["loc"])),
    )
    path = _path(first["loc"], tree)
    key = bounded(".".join(path), 100)
    if first["type"] == "extra_forbidden":
        known = _known_keys(SweepConfig, list(first["loc"][:-1]))
        near = _nearest(path[-1], known)
        hint = f"did you mean '{near}'? " if near else ""
        return f"unknown key '{key}': {hint}known here: {', '.join(known)}"
    if first["type"] == "missing":
        return f"the key '{key}' is missing"
    if first["type"] == "invalid_key":
        where = ".".join(_path(first["loc"][:-1], tree))
        return f"{where}: " * bool(where) + f"keys must be text, but got {bounded(repr(first['input']), 100)}: quote it"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":
        message = "must be a mapping of keys to values"
    message = message[0].lower() + message[1:]
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        near = nearest(first["input"], re.findall(r"'([^']*)'", message))
        message = f"did you mean '{near}'? {message}" if near else message
    got = "" if first["type"] == "value_error" else f", but got {bounded(repr(first['input']), 200)}"
    return f"{key}: {message}{got}" if key else f"{message}{got}"


def _path(location: Sequence[int | str], tree: Any) -> list[str]:
    """Keys and positions in the file.

    Pydantic puts the names of a union's forms among them, which are left out.
    """
    path = []
    for part in location:
        there = isinstance(tree, Mapping) and part in tree
        if there or not _is_union_tag(part):
            path.append(str(part))
            within = there or (isinstance(tree, list) and isinstance(part, int) and part < len(tree))
            tree = tree[part] if within else None
    return path


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and (
        part[:1].isupper() or "[" in part or part in ("constrained-int", "constrained-str", "str")
    )


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """Known key of this place that was probably meant.

    Where there is none, the dotted key of that name elsewhere in the file.
    """
    near = nearest(name, known, cutoff=0.6)
    if near and (near.lower() == name.lower() or name.lower() not in _elsewhere()):
        return near
    return _elsewhere().get(name.lower())


@functools.cache
def _elsewhere() -> dict[str, str]:
    sections = {
        name: _models_in(field.annotation) for name, field in SweepConfig.model_fields.items() if name != "methods"
    }
    paths = {key: f"{name}.{key}" for name, models in sections.items() for m in models for key in m.model_fields}
    return {key: path for key, path in paths.items() if key not in SweepConfig.model_fields}


def _known_keys(model: type[BaseModel], path: list[int | str]) -> list[str]:
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        for inner in _models_in(model.model_fields[part].annotation):
            model = inner
            break
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]
    return []


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
