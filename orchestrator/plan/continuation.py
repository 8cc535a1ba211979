"""Check that a directory's sweep may go on under a configuration, which refuses what would mix rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.config.sweep_config import SweepConfig
from store.errors import InputError

_MAY_CHANGE = (
    "name",
    "plugins",
    "dataset.bias",
    "dataset.folds",
    "dataset.share_images",
    "methods",
    "search.trials",
    "search.repeats",
    "search.seeds",
    "confirm",
    "limits",
    "logging",
    "resources.gpu",
    "primary",
)
"""Keys that add to a sweep or change nothing in a trial.

A change of any other key would make rows incomparable.
"""
_VERSIONS = ("lnl_sweep_version", "torch_version", "torchvision_version")
"""Versions that are named where they differ.

Only the keys of ``changed_numbers`` make rows incomparable.
"""
_SOURCES = {
    "dataset_checksum": "the source of the data set",
    "network_checksum": "the source of the network",
    "weights_checksum": "the network's weights file",
    "files_checksum": "the files of the data set",
}


def check_config(
    old: Mapping[str, Any], new: SweepConfig, directory: str, may_move: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Compare the configuration of a directory with a new one.

    Args:
        old: The configuration in ``sweep.yaml``.
        new: The resolved configuration.
        directory: Its address, for the message.
        may_move: Keys of files that may lie elsewhere, since their contents are compared by checksums.

    Returns:
        Differences that are allowed: dotted key -> (old, new).

    Raises:
        InputError: A difference that would make new rows incomparable with the present ones.

    Example:
        >>> from orchestrator.config.sweep_file import parse_config
        >>> config = parse_config("{dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm]}")
        >>> old = config.model_dump(mode="json", by_alias=True) | {"name": "first"}
        >>> check_config(old, config, "results/demo")
        {'name': ('first', '')}
    """
    differs = all_changes(old, new)
    allowed = {
        key: pair
        for key, pair in differs.items()
        if key.startswith(_MAY_CHANGE) or (key in may_move and all(isinstance(path, str) for path in pair))
    }
    refused = {key: pair for key, pair in differs.items() if key not in allowed}
    if refused:
        key, (had, has) = next(iter(refused.items()))
        raise InputError(
            f"the sweep in {directory} was run with {key} = {had!r}, and {has!r} would make its rows incomparable: "
            "keep the old value, or choose another --out"
        )
    had, has = allowed.get("confirm.splits", (1, 1))
    if 1 in (had, has) and had != has:
        raise InputError(
            f"the sweep in {directory} was run with confirm.splits = {had}, and {has} would make its rows "
            "incomparable, since with 1 each seed draws its own split: keep the old value, or choose another --out"
        )
    methods = [method.model_dump(mode="json", by_alias=True) for method in new.methods]
    _check_methods(old.get("methods", []), methods, new.resources.cpu, directory)
    return allowed


def all_changes(old: Mapping[str, Any], new: SweepConfig) -> dict[str, tuple[Any, Any]]:
    """Differences of two configurations, allowed or not.

    Args:
        old: The configuration in ``sweep.yaml``.
        new: The resolved configuration.

    Returns:
        Dotted key -> (old, new).

    Example:
        >>> from orchestrator.config.sweep_file import parse_config
        >>> config = parse_config("{dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm]}")
        >>> old = config.model_dump(mode="json", by_alias=True) | {"seed": 3}
        >>> all_changes(old, config)
        {'seed': (3, 0)}
    """
    before, after = _flat(old), _flat(new.model_dump(mode="json", by_alias=True))
    keys = sorted({*before, *after})
    # A list that this version has added, and that is empty, says nothing.
    pairs = ((key, before.get(key), after.get(key)) for key in keys)
    return {key: (had, has) for key, had, has in pairs if had != has and not (had is None and has == [])}


def check_provenance(old: Mapping[str, Any], new: Mapping[str, Any], mix_versions: bool, directory: str) -> list[str]:
    """Compare the code and data behind a directory's rows with those of the next rows.

    Args:
        old: ``provenance`` of ``sweep.yaml``.
        new: That of this run.
        mix_versions: True = go on although numerics, the source of a method or of the network, or its weights file
            differ.
        directory: Its address, for the message.

    Returns:
        Differences that do not matter for the numbers, in words.

    Raises:
        InputError: Changed data, or changed numerics, source or weights without ``mix_versions``.

    Example:
        >>> old = {"data_checksum": "9f", "numerics": 3, "torch_version": "2.13.0"}
        >>> check_provenance(old, {**old, "torch_version": "2.14.1"}, False, "results/demo")
        ['torch_version 2.13.0 -> 2.14.1']
    """
    if old.get("data_checksum") != new.get("data_checksum"):
        raise InputError(
            f"the data have changed since the sweep in {directory} began (checksum {old.get('data_checksum')}, "
            f"now {new.get('data_checksum')}): restore them, or choose another --out"
        )
    pairs = changed_numbers(old, new)
    # A file explains why a source has changed.
    first = sorted(pairs, key=lambda key: not key.startswith("plugins."))
    changed = [_words(key, *pairs[key]) for key in first]
    if changed and not mix_versions:
        raise InputError(
            f"since the sweep in {directory} began, {' and '.join(changed)} changed, so new rows would not be "
            "comparable: go back to that version, choose another --out, or accept it with --mix-versions"
        )
    # An older version wrote fewer of them.
    known = [key for key in _VERSIONS if key in old]
    return changed + [f"{key} {old.get(key)} -> {new.get(key)}" for key in known if old.get(key) != new.get(key)]


def _words(key: str, had: Any, has: Any) -> str:
    if key == "numerics":
        return f"numerics {had} -> {has}"
    if key.startswith("plugins."):
        return f"plug-in {has['origin']}"
    return _SOURCES.get(key) or f"the source of method {key.partition('.')[2]}"


def changed_numbers(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Changes in the code that computes a trial's numbers.

    Args:
        old: ``provenance`` of ``sweep.yaml``.
        new: That of this run.

    Returns:
        Key of the provenance -> (old, new).

    Example:
        >>> changed_numbers({"numerics": 2}, {"numerics": 3})
        {'numerics': (2, 3)}
    """
    sources = new.get("method_checksums", {})
    pairs = {"numerics": (old.get("numerics"), new.get("numerics"))}
    for label, checksum in old.get("method_checksums", {}).items():
        if label in sources:
            pairs[f"method_checksums.{label}"] = (checksum, sources[label])
    # Any change in the file of a plug-in, even in what no trial of the sweep uses.
    plugins = new.get("plugins", {})
    for name, plugin in old.get("plugins", {}).items():
        if name in plugins and plugin["sha256"] != plugins[name]["sha256"]:
            pairs[f"plugins.{name}"] = (plugin, plugins[name])
    # The sweep.yaml of an older version says nothing about them.
    pairs.update({key: (old[key], new.get(key)) for key in _SOURCES if key in old})
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _check_methods(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], cpus: int, directory: str
) -> None:
    before = {method["label"]: _of_its_trials(method, cpus) for method in old}
    for method in new:
        had = before.get(method["label"])
        if had is not None and had != _of_its_trials(method, cpus):
            raise InputError(
                f"the sweep in {directory} ran method '{method['label']}' with other settings (name, space, fixed, "
                "like, draw or resources.cpu): give the new variant a label of its own"
            )


def _of_its_trials(method: Mapping[str, Any], cpus: int) -> dict[str, Any]:
    # Where a method has trials, and on which share of a GPU, changes none of them.
    resources = method.get("resources") or {}
    return {**method, "bias": None, "draw": method.get("draw"), "resources": resources.get("cpu") or cpus}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        elif isinstance(value, list):
            # A key that this version has added and that is not set says nothing.
            flat[f"{prefix}{key}"] = [_set_keys(entry) for entry in value]
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _set_keys(entry: Any) -> Any:
    return {k: v for k, v in entry.items() if v is not None} if isinstance(entry, Mapping) else entry
