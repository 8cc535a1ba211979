"""A sweep's folder into tidy data frames, also while the sweep is still running."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from analysis.candidates import SEARCH_SEEDS
from analysis.carried.images import with_images
from analysis.carried.pressures import with_pressures
from analysis.many_sweeps import beside
from analysis.natural import with_natural
from analysis.not_applicable import with_absent
from analysis.selection import mark
from store.columns import BIAS, bias_parameters
from store.errors import InputError
from store.gathered import DERIVED, ORDER, Gathered, read_gathered
from store.open import Location, SweepFiles, as_list, open_folder
from store.parts import read_parts
from store.sheet.external import PREFIX
from store.sheet.sheet import Sheet, mapping_in

_CELLS = re.compile(rb"^cells:.*\n(?:[ \-].*\n|\n)*", re.MULTILINE)
"""The cells in the text of ``sweep.yaml``."""
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
        in them, that the sweep asks for; 1 = seeds alone), ``stronger`` (``larger`` or ``smaller``: direction of the
        axis in which the bias is stronger), ``directory``, and each bias parameter once more under its own name
        (``rho`` beside ``bias_rho``).
        Sweeps of the same name have their folder beside it in ``sweep``. Where a sheet says the bias of the data as
        they are, or where a method is not applicable, the frame carries it, so that figures and tables say it.

    Raises:
        InputError: A folder is not a sweep's, holds no finished trial yet, or was written by a newer version.

    Example:
        >>> import analysis
        >>> trials = analysis.load(analysis.example_folder())
        >>> confirm = trials[trials["phase"] == "confirm"]
        >>> confirm.groupby("label")["test_accuracy"].max().round(2).loc[["ceiling", "erm"]].to_dict()
        {'ceiling': 0.91, 'erm': 0.92}
    """
    places = _places(directories)
    frames = _load_each(places)
    trials = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    sheets = {
        str(frame["sweep"].iloc[0]): _telling_sheet(open_folder(at)) for frame, at in zip(frames, places, strict=True)
    }
    known = {sweep: sheet for sweep, sheet in sheets.items() if sheet is not None}
    # The cells of a sheet may have been left out: what they tell is empty then.
    counting = trials if superseded else counted(trials)
    with_absent(counting, {sweep: sheet.not_applicable for sweep, sheet in known.items()})
    with_pressures(counting, {sweep: sheet.pressures for sweep, sheet in known.items()})
    with_images(counting, known)
    return with_natural(counting, {sweep: sheet.natural for sweep, sheet in known.items()})


def counted(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that count, of those that ``load`` returned with ``superseded=True``.

    Args:
        trials: Rows of one or several sweeps.

    Returns:
        The rows that are not superseded.

    Raises:
        InputError: All rows of a sweep are superseded.

    Example:
        >>> counted(pd.DataFrame({"superseded": [True, False], "directory": "d"})).index.to_list()
        [0]
    """
    for folder, rows in trials.groupby("directory", sort=False):
        if rows["superseded"].all():
            raise InputError(
                f"no trial of {folder} counts: its {len(rows)} rows are of configurations that no selection rule "
                "chooses, as where their search trials are lost: lnl-sweep verify names damaged files "
                "(analysis.load(..., superseded=True) returns the rows)"
            )
    return trials[~trials["superseded"]].reset_index(drop=True) if trials["superseded"].any() else trials


def load_history(directory: Location | Sequence[Location]) -> pd.DataFrame:
    """Load the epochs of all trials: one row per trial and epoch, no rows where none has been written.

    Args:
        directory: A sweep's folder, or several.

    Returns:
        The columns of ``store.columns.HISTORY``, sorted by trial and epoch; of several sweeps, one after the other,
        with ``sweep`` in front, as ``load`` gives it for the same folders.

    Raises:
        InputError: Not a sweep's folder, or written by a newer version; of several, one without a finished trial.

    Example:
        >>> import analysis
        >>> history = analysis.load_history(analysis.example_folder())
        >>> history[["epoch", "train_loss", "val_biased"]].head(2)
           epoch  train_loss  val_biased
        0      1      0.9402    0.631313
        1      2      0.5506    0.378788
    """
    places = _places(directory)
    frames = [_frame(read_parts(open_folder(address), "history")) for address in places]
    frames = [frame.sort_values(["trial_id", "epoch"], ignore_index=True) for frame in frames]
    return frames[0] if len(frames) == 1 else beside(frames, _load_each(places))


def load_predictions(directory: Location | Sequence[Location], variant: str | None = None) -> pd.DataFrame:
    """Load the confirm trials' predictions: one row per trial, test variant and image, no rows where there are none.

    Args:
        directory: A sweep's folder, or several.
        variant: Keep one test variant (``unbiased``, ``aligned``, ``independent`` or ``conflicting``), or an external
            test set (``external:NAME``, or ``external`` for all of them); None = all variants of the sweep's own test
            images.

    Returns:
        The columns of ``store.columns.PREDICTIONS`` and one ``p_<class>`` for each class; of several sweeps, one
        after the other, with ``sweep`` in front, as ``load`` gives it for the same folders.

    Raises:
        InputError: Not a sweep's folder, or written by a newer version; of several, one without a finished trial.

    Example:
        >>> import analysis
        >>> predictions = analysis.load_predictions(analysis.example_folder(), "unbiased")
        >>> predictions[["label", "predicted", "p_glioma"]].head(2)
           label  predicted  p_glioma
        0      1          1     0.995
        1      1          1     0.990
    """
    places = _places(directory)
    tables = [read_parts(open_folder(address), "predictions") for address in places]
    tables = [table.filter(_of_variant(table["variant"], variant)) for table in tables]
    frames = [_frame(table) for table in tables]
    return frames[0] if len(frames) == 1 else beside(frames, _load_each(places))


def _of_variant(variants: pa.ChunkedArray, variant: str | None) -> pa.ChunkedArray:
    """Tell which predictions are asked for: those on other images never come unasked."""
    if variant not in (None, PREFIX.rstrip(":")):
        return pc.equal(variants, variant)
    external = pc.starts_with(variants, PREFIX)
    return external if variant else pc.invert(external)


def load_splits(directory: Location) -> pd.DataFrame:
    """Load the splits: one row per seed, fold and image, no rows where none has been written.

    Args:
        directory: A sweep's folder.

    Returns:
        The columns of ``store.columns.SPLITS``.

    Raises:
        InputError: Not a sweep's folder, or written by a newer version.

    Example:
        >>> import analysis
        >>> splits = analysis.load_splits(analysis.example_folder())
        >>> splits.groupby("split")["patient"].nunique().to_dict()
        {'test': 198, 'train': 360, 'val': 99}
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

    Example:
        >>> import analysis
        >>> config = analysis.load_config(analysis.example_folder())
        >>> config["dataset"]["name"], config["primary"]["compare"]
        ('brain_phantom', ['lnl', 'erm'])
    """
    return read_config(open_folder(directory))


def read_config(folder: SweepFiles) -> dict[str, Any]:
    """Read ``sweep.yaml`` of an open folder.

    Args:
        folder: The sweep's folder, open.

    Returns:
        Its content; empty where there is no such file.

    Raises:
        InputError: The file is not YAML.

    Example:
        >>> from analysis.examples import example_folder
        >>> read_config(open_folder(example_folder()))["name"]
        'brain_phantom_study'
    """
    try:
        config = yaml.load(folder.read("sweep.yaml"), Loader=_LOADER)
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise InputError(f"{folder.name}/sweep.yaml must be YAML, but it is damaged: restore it from a copy") from error
    return dict(config) if isinstance(config, Mapping) else {}


section = mapping_in


def _telling_sheet(folder: SweepFiles) -> Sheet | None:
    """Sheet of a sweep, without its cells unless one of them is not applicable."""
    try:
        content = folder.read("sweep.yaml")
    except FileNotFoundError:
        return None
    if b"not_applicable:" in content:
        return Sheet(read_config(folder))
    # Reading the YAML of many cells takes longer than reading their rows.
    try:
        config = yaml.load(_CELLS.sub(b"", content), Loader=_LOADER)
    # Another part refers to something in the cells.
    except yaml.YAMLError:
        config = read_config(folder)
    return Sheet(config if isinstance(config, Mapping) else {})


def _places(directories: Location | Sequence[Location]) -> Sequence[Location]:
    places = as_list(directories)
    if not places:
        raise InputError("load needs at least one folder, but got none: give the folder a sweep was run in")
    return places


def _load_each(places: Sequence[Location]) -> list[pd.DataFrame]:
    """Each sweep's rows, superseded ones included, with names that tell the sweeps apart."""
    folders = [open_folder(address) for address in places]
    frames = [_load_one(folder) for folder in folders]
    names = [str(frame["sweep"].iloc[0]) for frame in frames]
    for frame, title in zip(frames, _titles(names, [folder.name for folder in folders]), strict=True):
        if title is not None:
            frame["sweep"] = title
    return frames


def _titles(names: Sequence[str], addresses: Sequence[str]) -> list[str | None]:
    """Name sweeps of the same name apart, by as many of the last folders as it takes.

    Returns:
        A title for each; None where a name is alone.
    """
    titles: list[str | None] = []
    for name, address in zip(names, addresses, strict=True):
        same = [PurePath(a).parts for n, a in zip(names, addresses, strict=True) if n == name]
        parts = PurePath(address).parts
        if len(same) == 1:
            titles.append(None)
            continue
        if same.count(parts) > 1:
            raise InputError(f"each sweep can be loaded once, but {address} was given {same.count(parts)} times")
        ends = (parts[-k:] for k in range(1, len(parts) + 1))
        shown = next((end for end in ends if sum(other[-len(end) :] == end for other in same) == 1), parts)
        titles.append(f"{name} ({'/'.join(shown)})")
    return titles


def _load_one(folder: SweepFiles) -> pd.DataFrame:
    # One file of all rows, which is much faster to read than hundreds of parts.
    fast_copy = read_gathered(folder)
    if fast_copy is not None:
        return _frame(fast_copy.rows).assign(**_derived(fast_copy), directory=folder.name, **_bare(fast_copy.rows))
    config = read_config(folder)
    rows = read_parts(folder, "trials")
    if not len(rows):
        raise InputError(f"no trial of {folder.name} has finished yet: try again when the first one has")
    frame = _derive(_frame(rows), Sheet(config)).assign(directory=folder.name, **_bare(rows))
    frame["sweep"] = frame["sweep"].fillna(str(config.get("name") or PurePath(folder.name).name))
    return frame if _is_sorted(frame) else _sorted(frame)


def _bare(rows: pa.Table) -> dict[str, Any]:
    """The bias parameters once more, under their own names, where no other column has that name."""
    taken = {*rows.column_names, *DERIVED, "directory"}
    names = [name for name in bias_parameters(rows.column_names) if name not in taken]
    return {name: rows[f"{BIAS}{name}"].to_numpy() for name in names}


def derive(folder: SweepFiles, rows: pa.Table) -> dict[str, list[Any]]:
    """Compute the columns that this module adds to a sweep's rows (``store.gathered.DERIVED``).

    Args:
        folder: The sweep's folder, open.
        rows: Its N trial rows.

    Returns:
        A value for each row, by column.
    """
    frame = _derive(_frame(rows), Sheet(read_config(folder)))
    return {name: frame[name].tolist() for name in DERIVED}


def _derived(fast_copy: Gathered) -> dict[str, Any]:
    """The added columns of gathered rows, as ``_derive`` makes them: an array, or one value for all rows."""
    combinations = np.empty(len(fast_copy.combinations), dtype=object)
    combinations[:] = list(fast_copy.combinations)
    values: dict[str, Any] = {name: column.to_numpy() for name, column in fast_copy.columns.items()}
    values["rules"] = combinations[values["rules"]]
    for name, kind in (("superseded", "bool"), ("whole_axis", "bool"), (SEARCH_SEEDS, "int64")):
        values[name] = values[name].astype(kind)
    values.update(fast_copy.same)
    return {name: values[name] for name in DERIVED}


def _derive(frame: pd.DataFrame, sheet: Sheet) -> pd.DataFrame:
    # A part may hold the rows of more seeds than the sweep asks for now.
    each = frame["cell"].map(sheet.search_seeds).fillna(1).astype("int64")
    frame = frame.assign(**{SEARCH_SEEDS: each})
    frame = mark(frame, sheet.rules, sheet.search_trials, sheet.likes)
    seeds = {rule: count * sheet.splits for rule, count in sheet.seeds_of_rules.items()}
    planned = np.full(len(frame), math.nan)
    for row, rules in enumerate(frame["rules"].tolist()):
        if rules:
            # Rules that chose the same configuration share its trials: the one that asks for most seeds decides.
            planned[row] = max(seeds.get(rule, math.nan) for rule in rules)
    frame["seeds_planned"] = planned
    frame["headline_rule"] = sheet.rules[0]
    frame["whole_axis"] = _whole_axis(frame, sheet)
    # To the place that ``DERIVED`` gives it: gathered rows and parts have their columns in one order.
    frame[SEARCH_SEEDS] = frame.pop(SEARCH_SEEDS)
    frame["units_planned"] = sheet.repeats if sheet.repeats > 1 else sheet.splits
    frame["stronger"] = sheet.stronger(str(frame["bias_axis"].iloc[0]))
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


def _whole_axis(frame: pd.DataFrame, sheet: Sheet) -> pd.Series:
    """Mark the rows of a ceiling of which one cell serves the whole axis.

    A half-finished sweep may hold one of several such cells.
    """
    names = list(zip(frame["label"], frame["method"], strict=True))
    known = {pair: sheet.traits(*map(str, pair)).ceiling for pair in set(names)}
    ceiling = pd.Series([known[pair] for pair in names], index=frame.index, dtype=bool)
    if sheet.cells:
        places = {cell.bias_value for cell in sheet.cells if sheet.traits(cell.label, cell.method).ceiling}
        return ceiling & (len(places) == 1)
    # Without a list of cells: a ceiling trained without any bias serves the whole axis.
    return ceiling & bool((frame.loc[ceiling, "bias_strength"].fillna(0.0) == 0.0).all())


def _frame(table: pa.Table) -> pd.DataFrame:
    # Otherwise a column of booleans with a missing value becomes one of objects.
    booleans = {pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=booleans.get)
    return frame
