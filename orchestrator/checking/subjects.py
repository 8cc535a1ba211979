"""Findings of a plug-in, of a sweep or of a table, in the order in which a user needs them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.checking.alone import Doing
from orchestrator.checking.task import Task
from orchestrator.checking.trials import trial_findings
from orchestrator.config.own_code import settled
from orchestrator.config.shipped import read_sweep
from orchestrator.config.sweep_file import parse_config, with_plugins
from orchestrator.plan.applicable import places_in_words
from orchestrator.plan.plan import Plan, make_plan
from trainable.data.base import DATASETS, dataset_factory
from trainable.data.contract import missing_options
from trainable.methods.base import METHODS
from trainable.networks.base import NETWORKS, DataShape
from trainable.plugins import Plugin, load_plugins, read_plugin
from trainable.registry import Registry
from trainable.testing.datasets import dataset_findings
from trainable.testing.findings import Finding, count, some_of
from trainable.testing.methods import method_findings
from trainable.testing.networks import network_findings

Message = Finding | Doing
MOST_POINTS = 5
"""Points of the grid at which a data set is looked at."""


def messages_of(task: Task) -> Iterator[Message]:
    """Yield what is begun and found of a task.

    Args:
        task: What is checked.
    """
    if task.kind == "plug-in":
        yield from _plugin(task)
    else:
        yield from _sweep(task)


def _plugin(task: Task) -> Iterator[Message]:
    file = Path(task.file)
    plugins = [read_plugin(entry, file.parent) for entry in (*task.plugins, task.file)]
    load_plugins(plugins)
    plugin = plugins[-1]
    datasets, methods, networks = (_of_plugin(registry, plugin) for registry in (DATASETS, METHODS, NETWORKS))
    what, names = f"plug-in {file.name}", [*datasets, *methods, *networks]
    if not names:
        yield Finding(
            "warn",
            what,
            "imports alone and registers nothing: decorate with register_method, register_dataset or register_network, "
            "unless a sweep names something in it",
        )
        return
    yield Finding("ok", what, f"imports alone, in another folder and process, and registers {some_of(names, 10)}")
    for name in datasets:
        missing = missing_options(dataset_factory(name), {})
        if missing:
            yield Finding(
                "warn",
                f"data set {name}",
                f"not checked, since it needs the option{'s' * (len(missing) > 1)} {', '.join(missing)}: check a sweep "
                "file that gives them",
            )
            continue
        yield from _each(f"data set {name}", dataset_findings(name))
    for name in methods:
        yield from _each(f"method {name}", method_findings(METHODS.get(name)))
    for name in networks:
        yield from _each(f"network {name}", network_findings(name))


def _of_plugin(registry: Registry[Any], plugin: Plugin) -> list[str]:
    return [name for name in registry.names() if registry.origin(name).name in (plugin.origin, plugin.name)]


def _each(what: str, findings: Iterator[Finding]) -> Iterator[Message]:
    yield Doing(what, "its check")
    yield from findings


def is_own(registry: Registry[Any], name: str) -> bool:
    """Report whether an entry is a user's, and not one that comes with this package.

    Args:
        registry: The registry.
        name: Its name; one that is not registered is torchvision's.

    Example:
        >>> is_own(METHODS, "lnl"), is_own(NETWORKS, "resnet18")
        (False, False)
    """
    if registry.find(name) is None:
        return False
    origin = registry.origin(name)
    return origin.kind != "module" or origin.name.partition(".")[0] != "trainable"


def _sweep(task: Task) -> Iterator[Message]:
    what = f"{task.kind} {Path(task.file).name}"
    yield Doing(what, "its plug-ins")
    if task.kind == "table":
        from orchestrator.proposal.propose import propose

        yield Doing(what, "its columns and images")
        text = propose(task.file, {})
        for line in _comments(text):
            yield Finding("ok", what, line)
        base = Path.cwd() if "://" in task.file else Path(task.file).parent
        config = settled(with_plugins(parse_config(text, list(task.overrides)), task.plugins), base)
    else:
        config = read_sweep(task.file, list(task.overrides), task.plugins, task.trust, "check")
    if config.plugins:
        yield Finding(
            "ok", what, f"{count(len(config.plugins), 'plug-in')} imported alone, in another folder and process"
        )
    yield Doing(what, "its plan")
    plan = make_plan(config)
    labels = list(dict.fromkeys(cell.label for cell in plan.cells))
    yield Finding(
        "ok", what, f"{count(len(plan.cells), 'cell')} of {some_of(labels, 10)}, on {plan.config.network.name}"
    )
    for line in places_in_words(plan.cells):
        yield Finding("warn", what, line)
    yield from _each(f"data set {plan.dataset.name}", _dataset(plan))
    name, shape = plan.config.network.name, DataShape.of(plan.dataset)
    own = is_own(NETWORKS, name) or bool(NETWORKS.code(name))
    yield from _each(f"network {name}", network_findings(name, plan.config.network.options, shape, trains=own))
    for method in dict.fromkeys(cell.method for cell in plan.cells):
        if is_own(METHODS, method):
            yield from _each(f"method {method}", method_findings(METHODS.get(method)))
    yield from trial_findings(plan, task.seconds)


def _comments(text: str) -> list[str]:
    """Sentences at the beginning of a proposed sweep file."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return [words for line in lines if (words := line.lstrip("# ").strip())]


def _dataset(plan: Plan) -> Iterator[Finding]:
    points: list[Mapping[str, float]] = []
    for cell in sorted(plan.cells, key=lambda cell: cell.bias_strength):
        if dict(cell.bias) not in points:
            points.append(dict(cell.bias))
    if len(points) > MOST_POINTS:
        points = [points[round(i * (len(points) - 1) / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]
    return dataset_findings(plan.config.dataset.name, points, plan.config.dataset.options)
