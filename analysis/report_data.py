"""Everything a report says, gathered once from one or several sweeps' folders."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from analysis.breaking import breaking_of
from analysis.comparisons import Comparison, areas_of, primary_of, won_back_of
from analysis.curves import curve_of
from analysis.load import confirm_rules, load, load_history, load_predictions, read_config, section
from analysis.replicates import Point, collect
from analysis.source import Folder, Location, open_folder
from analysis.tables import headline_rule, selected_hyperparameters


@dataclass(frozen=True)
class Strip:
    """Sample images at one bias value."""

    value: float
    png: bytes
    caption: str


@dataclass(frozen=True)
class Sweep:
    """What stands beside the rows in a sweep's folder.

    Attributes:
        name: Its name, as in the rows' ``sweep`` column.
        address: Its folder.
        config: ``sweep.yaml``.
        status: ``status.json``.
        changes: Lines of ``changes.jsonl``.
        strips: Sample images, weak bias first.
        alt: What the sample images show.
        primary: The declared comparison, as far as it can be made; None where none is declared.
    """

    name: str
    address: str
    config: Mapping[str, Any]
    status: Mapping[str, Any]
    changes: tuple[Mapping[str, Any], ...]
    strips: tuple[Strip, ...]
    alt: str
    primary: Comparison | None

    @property
    def rules(self) -> tuple[str, ...]:
        """Selection rules, the headline rule first."""
        return confirm_rules(self.config)

    @property
    def cells(self) -> list[Mapping[str, Any]]:
        """The cells the sweep consists of; empty where the configuration does not list them."""
        return [cell for cell in self.config.get("cells") or () if isinstance(cell, Mapping)]

    def changed(self) -> list[tuple[str, int | None]]:
        """Every extension in words, and how many test results existed by then (None = not recorded)."""
        found = []
        for change in self.changes:
            what, seen = change.get("what"), change.get("test_results")
            if isinstance(what, Mapping):
                parts = [
                    f"{key} {v.get('old')} -> {v.get('new')}" if isinstance(v, Mapping) else f"{key} {v}"
                    for key, v in what.items()
                ]
                what = ", ".join(parts)
            if what:
                found.append((f"{change.get('when', 'no date')}: {what}", seen if isinstance(seen, int) else None))
        return found

    def axis(self, name: str) -> Mapping[str, Any]:
        """What the data set says about one bias parameter."""
        axes = section(self.config, "dataset_info").get("axes") or ()
        return next((a for a in axes if isinstance(a, Mapping) and a.get("name") == name), {})


@dataclass(frozen=True)
class Findings:
    """A report's content.

    Attributes:
        sweeps: The sweeps.
        trials: Their rows, superseded ones left out.
        n_superseded: Confirm rows left out.
        history: Their epochs.
        points: Points of all curves.
        curve: The same as ``accuracy_vs_bias`` gives them.
        rules: Rules with a curve, the headline rule first.
        column: The test column shown.
        won_back: As ``analysis.won_back``.
        areas: As ``analysis.areas``.
        breaking: As ``analysis.breaking_points``.
        selected: As ``analysis.selected_hyperparameters``.
        unread: Warnings about files that could not be read.
    """

    sweeps: tuple[Sweep, ...]
    trials: pd.DataFrame
    n_superseded: int
    history: pd.DataFrame
    points: tuple[Point, ...]
    curve: pd.DataFrame
    rules: tuple[str, ...]
    column: str
    won_back: pd.DataFrame
    areas: pd.DataFrame
    breaking: pd.DataFrame
    selected: pd.DataFrame
    unread: tuple[str, ...]

    @property
    def headline(self) -> str:
        """The rule whose curve is shown first."""
        return self.rules[0] if self.rules else headline_rule(self.trials)

    @property
    def metric(self) -> str:
        """The metric in words."""
        return self.column.removeprefix("test_").replace("_", " ").replace("auroc", "AUROC")

    def names(self) -> dict[str, str]:
        """Long names of the labels."""
        found: dict[str, str] = {}
        for sweep in self.sweeps:
            for label, info in section(sweep.config, "methods_info").items():
                if isinstance(info, Mapping) and info.get("long_name"):
                    found[str(label)] = str(info["long_name"])
        return found


def gather(places: Sequence[Location]) -> Findings:
    """Read the folders and compute everything the report shows.

    Args:
        places: Sweeps' folders.

    Returns:
        The findings.

    Raises:
        InputError: A folder is not a sweep's, or holds no finished trial.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        every = load(places, superseded=True)
        names = list(dict.fromkeys(every["sweep"]))
        predictions = _together([load_predictions(place, "unbiased") for place in places], names)
        history = _together([load_history(place) for place in places], names)
    if len(names) > 1:
        every["trial_id"] = every["sweep"] + "/" + every["trial_id"]
    trials = every[~every["superseded"]].reset_index(drop=True)
    points = tuple(collect(trials, predictions))
    curve = curve_of(points)
    headline = headline_rule(trials)
    with_points = [rule for rule in dict.fromkeys(point.line.rule for point in points) if rule != headline]
    return Findings(
        sweeps=tuple(_sweep(open_folder(place), name, points) for place, name in zip(places, names, strict=True)),
        trials=trials,
        n_superseded=len(every) - len(trials),
        history=history,
        points=points,
        curve=curve,
        rules=(headline, *with_points) if len(points) else (),
        column=f"test_{trials['metric'].iloc[0]}",
        won_back=won_back_of(list(points)),
        areas=areas_of(list(points)),
        breaking=breaking_of(list(points)),
        selected=selected_hyperparameters(trials),
        unread=tuple(dict.fromkeys(str(w.message) for w in caught if "left out" in str(w.message))),
    )


def _together(frames: list[pd.DataFrame], names: list[str]) -> pd.DataFrame:
    """One frame; with several sweeps their trial identifiers, which may coincide, get the sweep's name in front."""
    if len(frames) == 1:
        return frames[0]
    named = [frame.assign(trial_id=f"{name}/" + frame["trial_id"]) for frame, name in zip(frames, names, strict=True)]
    return pd.concat(named, ignore_index=True)


def _sweep(folder: Folder, name: str, points: Sequence[Point]) -> Sweep:
    config = read_config(folder)
    own = [point for point in points if point.line.sweep == name]
    compare = section(config, "primary").get("compare")
    rule = str(section(config, "primary").get("rule") or confirm_rules(config)[0])
    pair = tuple(str(c) for c in compare) if isinstance(compare, Sequence) and not isinstance(compare, str) else ()
    index = _json(folder, "samples/index.json")
    return Sweep(
        name=name,
        address=folder.name,
        config=config,
        status=_json(folder, "status.json"),
        changes=_changes(folder),
        strips=_strips(folder, index, config),
        alt=str(index.get("alt", "sample images at each bias strength")),
        primary=primary_of(own, (pair[0], pair[1]), rule) if len(pair) == 2 else None,
    )


def _json(folder: Folder, path: str) -> dict[str, Any]:
    """A small JSON file; empty where it is missing or just being replaced."""
    try:
        content = json.loads(folder.read(path))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _changes(folder: Folder) -> tuple[Mapping[str, Any], ...]:
    try:
        lines = folder.read("changes.jsonl").decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            change = json.loads(line)
        except ValueError:
            continue
        if isinstance(change, dict):
            found.append(change)
    return tuple(found)


def _strips(folder: Folder, index: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Strip, ...]:
    """Sample images that can be read, weak bias first."""
    found = []
    for entry in index.get("strips") or ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("value"), (int, float)):
            continue
        try:
            png = folder.read(f"samples/{PurePosixPath(str(entry.get('file'))).name}")
        except OSError:
            continue
        found.append(Strip(float(entry["value"]), png, str(entry.get("caption", f"{entry['value']:g}"))))
    axes = section(config, "dataset_info").get("axes") or ()
    smaller = any(
        isinstance(axis, Mapping) and axis.get("name") == index.get("axis") and axis.get("stronger") == "smaller"
        for axis in axes
    )
    return tuple(sorted(found, key=lambda strip: -strip.value if smaller else strip.value))
