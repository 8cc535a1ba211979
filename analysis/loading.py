"""A sweep's folder into tidy data frames; also while the sweep is still running."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from analysis.candidates import SEARCH_SEEDS
from analysis.likes import likes_of
from analysis.many_sweeps import beside
from analysis.selection import mark
from store.errors import InputError
from store.gathered import DERIVED, ORDER, Gathered, read_gathered
from store.open import Location, SweepFiles, as_list, open_folder
from store.parts import read_parts
from store.rules import RULES

# The same safe loader in C, ten times as fast, where PyYAML was built with it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(directories: Location | Sequence[Location], superseded: bool = False) -> pd.DataFrame:
    """Load the finished trials of one or several sweeps.

    Args:
        directories: A sweep's folder, ``s3://`` address or packed zip file, or several of them.
        superseded: Keep what no longer counts: confirm rows of configurations that no rule of the sweep chooses any
            more, and search rows beyond the number of search trials.

    Returns:
        One row per trial with the columns of ``store.columns.TRIALS`` and, added here, ``rules`` (tuple of the
        selection rules that chose this configuration), ``superseded``, ``seeds_planned`` (confirm seeds the sweep
        asks for), ``headline_rule``, ``whole_axis`` (this ceiling serves every bias value), ``search_seeds`` (of each
        candidate of the cell's search), ``units_planned`` (repetitions of the procedure, else splits with seeds nested
        in them, that the sweep asks for; 1 = seeds alone) and ``directory``.
        Sweeps of the same name are told apart by their folder in ``sweep``.

    Raises:
        InputError: A folder is not a sweep's, holds no finished trial yet, or was written by a newer version.
    """
    frames = _load_each(_places(directories))
    trials = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    if superseded or not trials["superseded"].any():
        return trials
    return trials[~trials["superseded"]].reset_index(drop=True)


def load_history(directory: Location | Sequence[Location]) -> pd.DataFrame:
    """Load the epochs of all trials: one row per trial and epoch, no rows where none has been written.

    Args:
        directory: A sweep's folder, or several.

    Returns:
        The columns of ``store.columns.HISTORY``, sorted by trial and epoch; of several sweeps, one after the other,
        with ``sweep`` in front, as ``load`` gives it for the same folders.

    Raises:
        InputError: Not a sweep's folder, or written by a newer version; of several, one without a finished trial.
    """
    places = _places(directory)
    frames = [_frame(read_parts(open_folder(place), "history")) for place in places]
    frames = [frame.sort_values(["trial_id", "epoch"], ignore_index=True) for frame in frames]
    return frames[0] if len(frames) == 1 else beside(frames, _load_each(places))


def load_predictions(directory: Location | Sequence[Location], variant: str | None = None) -> pd.DataFrame:
    """Load the confirm trials' predictions: one row per trial, test variant and image, no rows where there are none.

    Args:
        directory: A sweep's folder, or several.
        variant: Keep one test variant (``unbiased``, ``aligned``, ``independent`` or ``conflicting``); None = all.

    Returns:
        The columns of ``store.columns.PREDICTIONS`` and one ``p_<class>`` for each class; of several sweeps, one
        after the other, with ``sweep`` in front, as ``load`` gives it for the same folders.

    Raises:
        InputError: Not a sweep's folder, or written by a newer version; of several, one without a finished trial.
    """
    places = _places(directory)
    tables = [read_parts(open_folder(place), "predictions") for place in places]
    if variant is not None:
        tables = [table.filter(pc.equal(table["variant"], variant)) for table in tables]
    frames = [_frame(table) for table in tables]
    return frames[0] if len(frames) == 1 else beside(frames, _load_each(places))


def load_splits(directory: Location) -> pd.DataFrame:
    """Load the splits: one row per seed, fold and image, no rows where none has been written.

    Args:
        directory: A sweep's folder.

    Returns:
        The columns of ``store.columns.SPLITS``.

    Raises:
        InputError: Not a sweep's folder, or written by a newer version.
    """
    return _frame(read_parts(open_folder(directory), "splits"))


def load_config(directory: Location) -> dict[str, Any]:
    """Load a sweep's resolved configuration.

    Args:
        directory: A sweep's folder.

    Returns:
        The content of ``sweep.yaml``; empty where there is no such file.

    Raises:
        InputError: Not a sweep's folder, or a file that is not YAML.
    """
    return read_config(open_folder(directory))


def read_config(folder: SweepFiles) -> dict[str, Any]:
    """Read ``sweep.yaml`` of an open folder; empty where there is none.

    Raises:
        InputError: The file is not YAML.
    """
    try:
        config = yaml.load(folder.read("sweep.yaml"), Loader=_LOADER)
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise InputError(f"{folder.name}/sweep.yaml must be YAML, but it is damaged: restore it from a copy") from error
    return dict(config) if isinstance(config, Mapping) else {}


def confirm_rules(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The selection rules of a sweep, the headline rule first; all four where the configuration names none."""
    listed = list(seeds_of_rules(config))
    headline = section(config, "primary").get("rule") or section(config, "search").get("rule")
    if headline in listed:
        listed.remove(str(headline))
        listed.insert(0, str(headline))
    return tuple(listed) or RULES


def seeds_of_rules(config: Mapping[str, Any]) -> dict[str, float]:
    """Confirm seeds of each rule; an entry of ``confirm.rules`` is a name, or ``{rule, seeds}``."""
    confirm = section(config, "confirm")
    rules, seeds = confirm.get("rules"), confirm.get("seeds")
    common = float(seeds) if isinstance(seeds, int) else math.nan
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        return {}
    return {
        str(rule["rule"] if isinstance(rule, Mapping) else rule): float(rule.get("seeds", common))
        if isinstance(rule, Mapping)
        else common
        for rule in rules
        if not isinstance(rule, Mapping) or "rule" in rule
    }


def confirm_splits(config: Mapping[str, Any]) -> int:
    """Train / validation splits in each of which every confirm seed count holds; 1 = each seed has its own."""
    splits = section(config, "confirm").get("splits")
    return splits if isinstance(splits, int) else 1


def one_split(config: Mapping[str, Any]) -> bool:
    """True where all seeds train and validate on the same patients, those for validation being drawn for it."""
    return section(config, "dataset").get("val_patients") is not None


def search_trials(config: Mapping[str, Any]) -> dict[str, int]:
    """Planned search trials of each cell, by its identifier."""
    cells = [cell for cell in config.get("cells") or () if isinstance(cell, Mapping)]
    return {
        str(cell["cell"]): cell["trials"] for cell in cells if isinstance(cell.get("trials"), int) and "cell" in cell
    }


def seeds_of_searches(config: Mapping[str, Any]) -> dict[str, int]:
    """Planned search seeds of each candidate, by the identifier of the cell."""
    cells = [cell for cell in config.get("cells") or () if isinstance(cell, Mapping)]
    return {str(cell.get("cell")): s for cell in cells if isinstance(s := cell.get(SEARCH_SEEDS), int)}


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping inside a configuration; empty where it is missing or something else."""
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}


def _places(directories: Location | Sequence[Location]) -> Sequence[Location]:
    places = as_list(directories)
    if not places:
        raise InputError("load needs at least one folder, but got none: give the folder a sweep was run in")
    return places


def _load_each(places: Sequence[Location]) -> list[pd.DataFrame]:
    """Each sweep's rows, superseded ones included, with names that tell the sweeps apart."""
    folders = [open_folder(place) for place in places]
    frames = [_load_one(folder) for folder in folders]
    names = [str(frame["sweep"].iloc[0]) for frame in frames]
    for frame, title in zip(frames, _titles(names, [folder.name for folder in folders]), strict=True):
        if title is not None:
            frame["sweep"] = title
    return frames


def _titles(names: Sequence[str], addresses: Sequence[str]) -> list[str | None]:
    """What tells sweeps of the same name apart: as many of the last folders as it takes; None where a name is alone."""
    titles: list[str | None] = []
    for name, address in zip(names, addresses, strict=True):
        same = [PurePath(a).parts for n, a in zip(names, addresses, strict=True) if n == name]
        own = PurePath(address).parts
        if len(same) == 1:
            titles.append(None)
            continue
        if same.count(own) > 1:
            raise InputError(f"each sweep can be loaded once, but {address} was given {same.count(own)} times")
        ends = (own[-k:] for k in range(1, len(own) + 1))
        shown = next((end for end in ends if sum(other[-len(end) :] == end for other in same) == 1), own)
        titles.append(f"{name} ({'/'.join(shown)})")
    return titles


def _load_one(folder: SweepFiles) -> pd.DataFrame:
    gathered = read_gathered(folder)
    if gathered is not None:
        return _frame(gathered.rows).assign(**_derived(gathered), directory=folder.name)
    config = read_config(folder)
    frame = _frame(read_parts(folder, "trials"))
    if frame.empty:
        raise InputError(f"no trial of {folder.name} has finished yet: try again when the first one has")
    frame = _derive(frame, config).assign(directory=folder.name)
    frame["sweep"] = frame["sweep"].fillna(str(config.get("name") or PurePath(folder.name).name))
    return frame if _is_sorted(frame) else _sorted(frame)


def derive(folder: SweepFiles, rows: pa.Table) -> dict[str, list[Any]]:
    """Columns that this module adds to a sweep's rows (``store.gathered.DERIVED``), a value for each row."""
    frame = _derive(_frame(rows), read_config(folder))
    return {name: frame[name].tolist() for name in DERIVED}


def _derived(gathered: Gathered) -> dict[str, Any]:
    """The added columns of gathered rows, as ``_derive`` makes them: an array, or one value for all rows."""
    combinations = np.empty(len(gathered.combinations), dtype=object)
    combinations[:] = list(gathered.combinations)
    values: dict[str, Any] = {name: column.to_numpy() for name, column in gathered.columns.items()}
    values["rules"] = combinations[values["rules"]]
    for name, kind in (("superseded", "bool"), ("whole_axis", "bool"), (SEARCH_SEEDS, "int64")):
        values[name] = values[name].astype(kind)
    values.update(gathered.same)
    return {name: values[name] for name in DERIVED}


def _derive(frame: pd.DataFrame, config: Mapping[str, Any]) -> pd.DataFrame:
    # A part may hold the rows of more seeds than the sweep asks for now.
    each = frame["cell"].map(seeds_of_searches(config)).fillna(1).astype("int64")
    frame = frame.assign(**{SEARCH_SEEDS: each})
    frame = mark(frame, confirm_rules(config), search_trials(config), likes_of(config))
    seeds = {rule: count * confirm_splits(config) for rule, count in seeds_of_rules(config).items()}
    planned = np.full(len(frame), math.nan)
    for row, rules in enumerate(frame["rules"].tolist()):
        if rules:
            planned[row] = max(seeds.get(rule, math.nan) for rule in rules)
    frame["seeds_planned"] = planned
    frame["headline_rule"] = confirm_rules(config)[0]
    frame["whole_axis"] = (frame["method"] == "ceiling") & _one_ceiling(frame, config)
    frame[SEARCH_SEEDS] = frame.pop(SEARCH_SEEDS)
    repeats = section(config, "search").get("repeats")
    frame["units_planned"] = repeats if isinstance(repeats, int) and repeats > 1 else confirm_splits(config)
    return frame


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    ascending = [way == "ascending" for _, way in ORDER]
    return frame.sort_values([name for name, _ in ORDER], ascending=ascending, ignore_index=True)


def _is_sorted(frame: pd.DataFrame) -> bool:
    # Sorting copies a hundred columns, which takes longer than reading them.
    equal = np.ones(max(len(frame) - 1, 0), dtype=bool)
    for name, way in ORDER:
        column = pa.array(frame[name], pa.string(), from_pandas=True)
        if column.null_count:
            return False
        before, after = column[:-1], column[1:]
        wrong = pc.greater(before, after) if way == "ascending" else pc.less(before, after)
        if (equal & np.asarray(wrong)).any():
            return False
        equal &= np.asarray(pc.equal(before, after))
    return True


def _one_ceiling(frame: pd.DataFrame, config: Mapping[str, Any]) -> bool:
    """True where one ceiling cell serves the whole axis: a half-finished sweep may hold one of several."""
    cells = [cell for cell in config.get("cells") or () if isinstance(cell, Mapping)]
    ceilings = {str(cell.get("bias_value")) for cell in cells if cell.get("method") == "ceiling"}
    if cells:
        return len(ceilings) == 1
    strengths = frame.loc[frame["method"] == "ceiling", "bias_strength"]
    return bool((strengths.fillna(0.0) == 0.0).all())


def _frame(table: pa.Table) -> pd.DataFrame:
    booleans = {pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=booleans.get)
    return frame
