"""Command ``lnl-sweep data``, and the parsers of bias values and options of a data set."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import yaml

from orchestrator.config.yaml_text import load_yaml, problem_of
from store.errors import InputError, unknown_name
from store.local import expanded
from trainable.texts import reason_of

SWEEP_FILES = (".yaml", ".yml")


def data(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep data list | prepare | preview``."""
    if options.action == "prepare":
        from orchestrator.commands.prepare import prepare

        return prepare(options)
    if options.action == "preview":
        return _data_preview(options)
    load_plugins_of(options.plugin)
    return _data_list()


def load_plugins_of(entries: list[str]) -> None:
    """Load the plug-ins of ``--plugin``, whose paths begin in the current folder.

    Raises:
        InputError: One cannot be read or imported.

    Example:
        >>> load_plugins_of([])
    """
    if entries:
        from trainable.plugins import load_plugins, read_plugin

        load_plugins([read_plugin(entry, expanded(".")) for entry in entries])


def _data_list() -> int:
    from store.errors import Unreachable
    from trainable.data.arrays.cache import cache_folder
    from trainable.data.base import list_datasets, load_dataset

    for name in list_datasets():
        try:
            dataset = load_dataset(name)
        except (InputError, Unreachable) as error:
            print(f"{name}: {error}")
            continue
        except Exception as error:
            # A fault of one must not hide the others.
            print(f"{name}: cannot be loaded ({reason_of(error)})")
            continue
        axes = ", ".join(f"{a.name} in [{a.low:g}, {a.high:g}], {a.stronger} = stronger" for a in dataset.axes)
        print(
            f"{name}: {dataset.long_name}, {len(dataset.labels())} images, {len(dataset.classes)} classes; bias: {axes}"
        )
    print(f"cache: {cache_folder()}")
    return 0


def _data_preview(options: argparse.Namespace) -> int:
    from orchestrator.config.own_code import absolute_paths
    from orchestrator.config.shipped import read_sweep
    from orchestrator.plan.cells import bias_points, load_checked
    from trainable.data.base import DATASETS, resolve_bias
    from trainable.data.samples import contact_sheet

    given = dict(assignments(options.set))
    if options.name.endswith(SWEEP_FILES):
        config = read_sweep(options.name, [], options.plugin, options.trust_plugins, "data preview")
        name, known = config.dataset.name, config.dataset.options
        given = {**known, **absolute_paths(DATASETS, name, given, expanded("."))}
    else:
        name, config = options.name, None
        load_plugins_of(options.plugin)
        given = absolute_paths(DATASETS, name, given, expanded("."))
    dataset = load_checked(name, given)
    points = _preview_points(options.bias, options.rest, [axis.name for axis in dataset.axes])
    if not points and config is not None:
        points = bias_points(config, dataset)
    if not points:
        raise InputError(f"give bias values to show, e.g. --bias {dataset.axes[0].name}=0.02,0.1")
    sheet = contact_sheet(dataset, [resolve_bias(dataset, point) for point in points])
    target = expanded(options.out)
    try:
        sheet.save(target)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the picture '{options.out}': {error}") from error
    print(target)
    return 0


def _preview_points(entries: list[str], rest: list[str], axes: list[str]) -> list[dict[str, float]]:
    values: dict[str, list[float]] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        if name in values:
            raise InputError(f"--bias {name} stands twice: give all values at once, e.g. --bias {name}=0,1")
        try:
            values[name] = [float(part) for part in text.split(",")]
        except ValueError:
            raise InputError(f"--bias takes NAME=VALUE,VALUE,..., but got '{entry}'") from None
    values.update({name: [value] for name, value in bias_options(rest).items()})
    for name in values:
        if name not in axes:
            raise unknown_name("bias parameter", name, axes)
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())] if values else []


def bias_options(rest: list[str]) -> dict[str, float]:
    """Parse bias values that were given like ``--rho 0.9``.

    Raises:
        InputError: A word that is no option, an option twice, or a value that is no number.

    Example:
        >>> bias_options(["--rho", "0.9", "--gamma=1"])
        {'rho': 0.9, 'gamma': 1.0}
    """
    bias: dict[str, float] = {}
    words = iter(rest)
    for word in words:
        if not word.startswith("--"):
            raise InputError(f"unexpected argument '{word}': bias values are given as --NAME VALUE")
        name, separator, text = word[2:].partition("=")
        if not separator:
            text = next(words, "")
        if name in bias:
            raise InputError(f"--{name} takes one value, but stands twice: remove one")
        try:
            bias[name] = float(text)
        except ValueError:
            raise InputError(f"--{name} takes a number, but got '{text}'") from None
    return bias


def assignments(entries: list[str]) -> list[tuple[str, Any]]:
    """Parse the ``key=value`` of each ``--set``, whose value is YAML.

    Raises:
        InputError: An entry without ``=``, or a value that is no YAML.

    Example:
        >>> assignments(["lr=1e-2", "training.augmentation=[flip]"])
        [('lr', 0.01), ('training.augmentation', ['flip'])]
    """
    pairs = []
    for entry in entries:
        key, separator, text = entry.partition("=")
        if not separator or not key:
            raise InputError(f"--set takes key=value, but got '{entry}'")
        try:
            pairs.append((key, load_yaml(text)))
        except yaml.YAMLError as error:
            raise InputError(f"--set {key}: '{text}' is not valid YAML: {problem_of(error)}") from error
    return pairs
