"""Command ``lnl-sweep plan``: differences that a sweep could show, with its own or with more seeds or patients."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from store.errors import InputError

if TYPE_CHECKING:
    from analysis.planning.components import Components

_WIDTH = 500

_SHOWN = {
    "label": "method",
    "reference": "minus",
    "facet": "facet",
    "bias_value": "bias",
    "sd_splits": "sd splits",
    "sd_seeds": "sd seeds",
    "sd_patients": "sd {tested}",
    "sd_interaction": "sd both",
    "n_seeds": "K",
    "n_patients": "{tested}",
    "d_min": "d_min",
    "d_min_seeds": "2 x K",
    "d_min_patients": "2 x {tested}",
    "buy": "to buy",
    "borrowed": "components of",
}


def plan(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep plan``: print each paired difference's variance components and the least difference it finds."""
    from analysis.planning.components import PATIENTS, SEEDS, least_differences

    title, rows, parts = _measured(options.dir) or _borrowed(options.dir)
    if rows.empty:
        raise InputError(
            f"a design compares methods with erm, or the two that primary names, but {options.dir} has no two such "
            "methods: add erm or another method, or name two in primary"
        )
    print(title)
    unit, tested = str(rows["unit"].iloc[0]), str(rows["tested"].iloc[0])
    known = bool(rows["n_patients"].any())
    names = {name: word.format(tested=tested) for name, word in _SHOWN.items() if name in rows}
    dropped = [name for name in ("facet", "n_patients") if name in rows and not rows[name].any()]
    shown = rows[list(names)].drop(columns=dropped).rename(columns=names)
    print(_text(shown.dropna(axis=1, how="all"), index=False))
    one = f"of one of the {unit} on one of the {tested}, within classes" if known else f"of one of the {unit}"
    print(
        f"sd: {one}. d_min: the least true difference that is found in 8 cases of 10, with this design (K {unit})"
        + (f", with twice its {unit}, and with twice the test {tested}." if known else f" and with twice its {unit}.")
    )
    shown_row = _shown_place(rows)
    row, components = rows.iloc[shown_row], parts[shown_row]
    patients = (*PATIENTS, int(row["n_patients"])) if row["n_patients"] else ()
    table = least_differences(components, (*SEEDS, int(row["n_seeds"])), patients)
    if table.empty:
        return 0
    table.columns = pd.Index([f"P = {n}" if n else "these test images" for n in table.columns])
    table.index = pd.Index([f"K = {n}" for n in table.index])
    where = f"{row['bias_axis']} = {row['bias_value']:g}" + (f", {row['facet']}" if row["facet"] else "")
    on = f"K {unit} and P test {tested}" if row["n_patients"] else f"K {unit}"
    print(f"\nd_min of {row['label']} minus {row['reference']} at {where} with {on}:")
    print(_text(table))
    return 0


def _shown_place(rows: pd.DataFrame) -> int:
    """Position of the row whose table is shown.

    Of the declared comparison where there is one, else of any, at the strongest bias.
    """
    declared, facet = rows.attrs["declared"], rows.attrs["facet"]

    def rank(i: int) -> tuple[bool, bool, bool, float]:
        row = rows.iloc[i]
        is_declared = declared is not None and {row["label"], row["reference"]} == {*declared}
        return (
            is_declared,
            facet is None or row["facet"] == facet,
            bool(pd.notna(row["d_min"])),
            float(row["bias_strength"]),
        )

    return max(range(len(rows)), key=rank)


def _text(table: pd.DataFrame, index: bool = True) -> str:
    return table.to_string(index=index, float_format=lambda v: f"{v:.3f}", na_rep="-", line_width=_WIDTH)


_Design = tuple[str, "pd.DataFrame", "list[Components]"]


def _measured(address: str) -> _Design | None:
    """Design of a sweep that has confirm trials of two or more seeds, or None of any other sweep."""
    from analysis.loading import load, load_predictions, read_config
    from analysis.numbers.tables import headline_rule
    from analysis.planning.components import components_rows
    from analysis.primary.grid import grid_of_pair
    from analysis.results import Results
    from orchestrator.directory.reader import SweepDirectory
    from store.open import open_folder

    if _is_file(address) or (
        "://" not in address and not address.endswith(".zip") and not SweepDirectory(address).exists()
    ):
        return None
    try:
        trials = load(address)
    except InputError:
        # No trial has finished yet; whatever else is wrong is said when its sheet is read.
        return None
    config = read_config(open_folder(address))
    rule, pair = headline_rule(trials), _pair(config)
    rows, parts = components_rows(Results(trials, load_predictions(address)).of(rule), pair=pair)
    rows.attrs |= {"declared": pair, "facet": grid_of_pair(config, pair).facet if pair else None}
    return (f"{address}: as measured, under {rule}", rows, parts) if len(rows) else None


def _borrowed(address: str) -> _Design:
    """Design of a sweep that has not run, with the variance components of the stored example."""
    from analysis.planning.borrowed import borrowed_components
    from analysis.primary.grid import grid_of_pair

    sheet = _sheet(address)
    pair = _pair(sheet)
    rows, parts = borrowed_components(sheet, pair=pair)
    rows.attrs |= {"declared": pair, "facet": grid_of_pair(sheet, pair).facet if pair else None}
    why = "has not been run" if _is_file(address) else "has no two confirm seeds of two methods to compare yet"
    title = (
        f"{address} {why}: the components below are BORROWED from the stored example (brain_phantom_study, synthetic "
        "slices, differences to erm); those of other data may be several times as large"
    )
    return title, rows, parts


def _pair(sheet: Mapping[str, Any]) -> tuple[str, str] | None:
    primary = sheet.get("primary")
    compare = primary.get("compare") if isinstance(primary, Mapping) else None
    return (str(compare[0]), str(compare[1])) if isinstance(compare, list) and len(compare) == 2 else None


def _sheet(address: str) -> Mapping[str, Any]:
    from analysis.loading import read_config
    from orchestrator.commands.run import READ_RETRY_SECONDS
    from orchestrator.config.loggers import check_folder
    from orchestrator.config.sweep_file import read_config as read_file
    from orchestrator.directory.reader import SweepDirectory
    from orchestrator.directory.sheet import read_sheet, sweep_sheet
    from orchestrator.plan.plan import make_plan
    from orchestrator.sweep import resume_config
    from store.open import open_folder

    if _is_file(address):
        config = read_file(address)
        check_folder(config.logging, "results")
        return sweep_sheet(make_plan(config))
    if address.endswith(".zip"):
        return read_config(open_folder(address))
    directory = SweepDirectory(address)
    directory.folder = directory.folder.patiently(READ_RETRY_SECONDS)
    resume_config(directory)
    return read_sheet(directory)


def _is_file(address: str) -> bool:
    return "://" not in address and Path(address).suffix in (".yaml", ".yml") and Path(address).is_file()
