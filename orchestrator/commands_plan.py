"""``lnl-sweep plan``: what a sweep could have shown, and what more seeds or patients would show."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.errors import InputError as AnalysisError
from trainable.errors import InputError

if TYPE_CHECKING:
    from analysis.planning import Components

_WIDTH = 500

_SHOWN = {
    "label": "method",
    "facet": "facet",
    "bias_value": "bias",
    "sd_splits": "sd splits",
    "sd_seeds": "sd seeds",
    "sd_patients": "sd patients",
    "sd_interaction": "sd both",
    "n_seeds": "K",
    "n_patients": "patients",
    "d_min": "d_min",
    "d_min_seeds": "2 x K",
    "d_min_patients": "2 x patients",
    "buy": "to buy",
    "borrowed": "components of",
}


def plan(options: argparse.Namespace) -> int:
    """``lnl-sweep plan``: the variance components of each paired difference, and the least difference it would find."""
    from analysis.planning import PATIENTS, SEEDS, least_differences

    title, rows, parts = _measured(options.dir) or _borrowed(options.dir)
    if rows.empty:
        raise InputError(
            f"a design compares methods with erm, but {options.dir} has erm and ceiling alone: add a method"
        )
    print(title)
    shown = rows[[name for name in _SHOWN if name in rows]].rename(columns=_SHOWN)
    if "facet" in shown and not shown["facet"].any():
        shown = shown.drop(columns="facet")
    shown = shown.dropna(axis=1, how="all")
    print(_text(shown, index=False))
    print(
        "sd: of one seed on one patient, within classes. d_min: the least true difference to erm that is found in 8 "
        "cases of 10, with this design, with twice its seeds (or splits) K, and with twice the test patients."
    )
    place = int(rows["bias_strength"].to_numpy(dtype=float).argmax())
    row, own = rows.iloc[place], parts[place]
    patients = (*PATIENTS, int(row["n_patients"])) if row["n_patients"] else ()
    table = least_differences(own, (*SEEDS, int(row["n_seeds"])), patients)
    table.columns = pd.Index([f"P = {n}" if n else "these test images" for n in table.columns])
    table.index = pd.Index([f"K = {n}" for n in table.index])
    print(f"\nd_min of {row['label']} at {row['bias_axis']} = {row['bias_value']:g} with K seeds and P test patients:")
    print(_text(table))
    return 0


def _text(table: pd.DataFrame, index: bool = True) -> str:
    return table.to_string(index=index, float_format=lambda v: f"{v:.3f}", na_rep="-", line_width=_WIDTH)


_Design = tuple[str, "pd.DataFrame", "list[Components]"]


def _measured(place: str) -> _Design | None:
    """The design of a sweep that has confirm trials of two or more seeds; None of any other."""
    from analysis.load import load, load_predictions
    from analysis.pairing import finished_points
    from analysis.planning import components_rows
    from analysis.tables import headline_rule
    from orchestrator.results import SweepDirectory

    if _is_file(place) or ("://" not in place and not place.endswith(".zip") and not SweepDirectory(place).exists()):
        return None
    try:
        trials = load(place)
    except AnalysisError:
        # No trial has finished yet; whatever else is wrong is said when its sheet is read.
        return None
    rule = headline_rule(trials)
    rows, parts = components_rows(finished_points(trials, load_predictions(place), None, rule))
    return (f"{place}: as measured, under {rule}", rows, parts) if len(rows) else None


def _borrowed(place: str) -> _Design:
    """The design of a sweep not yet run, with the variance components of the stored example."""
    from analysis.planning_borrowed import borrowed_components

    rows, parts = borrowed_components(_sheet(place))
    title = (
        f"{place} has no two confirm seeds of a method yet: the components below are BORROWED from the stored example "
        "(brain_phantom_study, synthetic slices); those of other data may be several times as large"
    )
    return title, rows, parts


def _sheet(place: str) -> Mapping[str, Any]:
    from orchestrator.plan import make_plan
    from orchestrator.results import SweepDirectory
    from orchestrator.sheet import read_sheet, sweep_sheet
    from orchestrator.sweep import resume_config
    from orchestrator.sweep_file import read_config

    if _is_file(place):
        return sweep_sheet(make_plan(read_config(place)))
    directory = SweepDirectory(place)
    resume_config(directory)
    return read_sheet(directory)


def _is_file(place: str) -> bool:
    return "://" not in place and Path(place).suffix in (".yaml", ".yml") and Path(place).is_file()
