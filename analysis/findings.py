"""The content of a report, computed once from one or several sweeps' folders."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.changes import mark_seeds_added
from analysis.figures.small_multiples import multiples
from analysis.loading import counted, load, load_history, load_predictions, load_splits, section
from analysis.many.against_erm import difference_rows
from analysis.many.images_apart import names_by_images
from analysis.many.ranks import rank_rows
from analysis.natural import like
from analysis.numbers.comparability import shared_properties
from analysis.numbers.comparisons import Comparison, area_rows
from analysis.numbers.confusion import confusion_by_strength
from analysis.numbers.curve import curve_rows
from analysis.numbers.published import COMPARABLE, beside_published
from analysis.numbers.tables import headline_rule, selected_hyperparameters
from analysis.points.calibration import with_calibration
from analysis.points.external import external_columns, with_external
from analysis.points.measures import NULL_VALUES, many, measures_in, own_measures, register_measure
from analysis.points.points import Point, default_column
from analysis.results import Results
from analysis.sweep_folder import Sweep, read_sweep
from store.errors import InputError
from store.open import Location, open_folder


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
        areas: As ``analysis.areas``, the declared comparison left out of the adjustment.
        breaking: As ``analysis.breaking_points``.
        ranks: As ``analysis.ranks``; no rows of few methods, or of a metric that has no better direction.
        against_erm: As ``analysis.against_erm``, the declared comparison left out of the adjustment; no rows of few
            methods.
        here: As ``analysis.at_bias`` at the bias of the data as they are; no rows where no sheet says it.
        selected: As ``analysis.selected_hyperparameters``.
        measures: Curves of the other test columns, as ``accuracy_vs_bias`` gives them, without hyperparameters.
        external: Curves of external test sets by their columns (``analysis.points.external``), as ``measures``.
        confusion: As ``analysis.confusion_by_strength``; no rows without predictions.
        beside: As ``analysis.beside_published``.
        sharing: What several sweeps share; no rows for a single one.
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
    ranks: pd.DataFrame
    against_erm: pd.DataFrame
    here: pd.DataFrame
    selected: pd.DataFrame
    measures: Mapping[str, pd.DataFrame]
    external: Mapping[str, pd.DataFrame]
    confusion: pd.DataFrame
    beside: pd.DataFrame
    sharing: pd.DataFrame
    unread: tuple[str, ...]

    @property
    def headline(self) -> str:
        """The rule whose curve is shown first."""
        return self.rules[0] if self.rules else headline_rule(self.trials)

    @property
    def metric(self) -> str:
        """The metric in words."""
        return self.column.removeprefix("test_").replace("_", " ").replace("auroc", "AUROC")

    @functools.cached_property
    def panel_order(self) -> list[str]:
        """Labels in the order of the panels of the headline rule's curve, so that no figure moves one.

        Highest mean over the axis first; none of few methods.
        """
        if not many(self.curve):
            return []
        try:
            return [panel.label for panel in multiples(self.curve, rule=self.headline).panels]
        # The headline rule has no finished trial yet.
        except InputError:
            return []

    def order_of(self, sweep: str) -> list[str] | None:
        """Labels of a sweep in the order of ``panel_order``, whose panels name data sets where there are several.

        Args:
            sweep: Name of the sweep.

        Returns:
            The labels; None of few methods.
        """
        datasets = set(self.trials.loc[self.trials["sweep"] == sweep, "dataset"])
        ends = [f", {dataset}" for dataset in datasets] if self.curve["dataset"].nunique() > 1 else []
        return [next((p.removesuffix(e) for e in ends if p.endswith(e)), p) for p in self.panel_order] or None

    def line_name(self, row: Mapping[Any, Any]) -> str:
        """Name a line in a table: the method's label, its facet, and its sweep where there are several."""
        more = [str(row["facet"]), str(row["sweep"]) if len(self.sweeps) > 1 else ""]
        words = ", ".join(part for part in more if part)
        return f"{row['label']} ({words})" if words else str(row["label"])

    def by_data(self, rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
        """Divide rows with ``sweep`` by data set and bias parameter, which no table mixes.

        Data sets of one name and of other images are two (``analysis.many.images_apart``).

        Returns:
            Of each, " on NAME" ("" of a single one), the name of its bias parameter, and its rows.
        """
        places = self.trials.drop_duplicates("sweep").set_index("sweep")[["dataset", "bias_axis"]]
        several = len(places.drop_duplicates()) > 1
        keys = [rows["sweep"].map(places[name]) for name in places]
        divided = rows.groupby(keys, sort=False)
        return [(f" on {dataset}" if several else "", str(name), group) for (dataset, name), group in divided]

    def with_lines(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table with ``line``, the name of each."""
        return rows.assign(line=[self.line_name(row) for row in rows.to_dict("records")])

    def names(self) -> dict[str, str]:
        """Long names of the labels."""
        long_names: dict[str, str] = {}
        for sweep in self.sweeps:
            for label, info in section(sweep.config, "methods_info").items():
                if isinstance(info, Mapping) and info.get("long_name"):
                    long_names[str(label)] = str(info["long_name"])
        return long_names


Columns = Mapping[str, Mapping[str, float] | pd.Series]
"""Columns of one's own: column -> value by ``trial_id``."""


def gather(places: Sequence[Location], columns: Columns | None = None) -> Findings:
    """Read the folders and compute everything the report shows.

    Args:
        places: Sweeps' folders.
        columns: Test columns of one's own, a value for each confirm trial by its ``trial_id``; where two sweeps have
            trials of the same identifier, by ``SWEEP/trial_id``.

    Returns:
        The findings.

    Raises:
        InputError: A folder is not a sweep's, or holds no finished trial; a column without a value for any trial.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Warnings of files that cannot be read become sentences of the report, in place of lines on a terminal.
        every = mark_seeds_added(load(places, superseded=True), places)
        names = list(dict.fromkeys(every["sweep"]))
        predictions = _together([load_predictions(address) for address in places], names)
        external = _together([load_predictions(address, "external") for address in places], names)
        history = _together([load_history(address) for address in places], names)
        splits = {n: load_splits(address) for n, address in zip(names, places, strict=True)} if len(names) > 1 else {}
    if len(names) > 1:
        # Two sweeps may have trials of the same identifier.
        every["trial_id"] = every["sweep"] + "/" + every["trial_id"]
    # A table of other images under one name would compare what cannot be compared.
    registered = every.drop_duplicates("sweep").set_index("sweep")["dataset"]
    every["dataset"] = every["sweep"].map(names_by_images(every))
    trials = with_columns(counted(every), columns or {})
    column = default_column(trials)
    trials = like(with_calibration(trials, predictions), every)
    others = [measure.column for measure in measures_in(trials) if measure.column != column]
    # Drawn as the grey band of the measure that it belongs to.
    others += [
        null for measure_column, null in NULL_VALUES.items() if measure_column in others and trials[null].notna().any()
    ]
    by_column = Results.by_column(trials, predictions, [column, *others])
    results = by_column[column]
    points, curve = results.points, results.curve()
    headline = headline_rule(trials)
    with_points = [rule for rule in dict.fromkeys(point.line.rule for point in points) if rule != headline]
    with warnings.catch_warnings(record=True) as beside:
        warnings.simplefilter("always")
        sweeps = tuple(
            read_sweep(open_folder(address), name, points) for address, name in zip(places, names, strict=True)
        )
    # Of few methods the curve itself shows which lies above which.
    several = many(curve)
    return Findings(
        sweeps=sweeps,
        trials=trials,
        n_superseded=int((every["superseded"] & (every["phase"] == "confirm")).sum()),
        history=history,
        points=points,
        curve=curve,
        rules=(headline, *with_points) if len(points) else (),
        column=column,
        won_back=results.won_back(),
        areas=pd.concat([_areas(points, sweep) for sweep in sweeps], ignore_index=True),
        breaking=results.breaking(),
        ranks=rank_rows(points if several else [], column),
        against_erm=pd.concat([_against_erm(points if several else [], sweep) for sweep in sweeps], ignore_index=True),
        here=results.at_bias(),
        selected=selected_hyperparameters(trials),
        measures={other: _without_hyperparameters(by_column[other]) for other in others},
        external=_external(trials, external),
        confusion=_confusion(trials, predictions),
        # The published numbers are accuracies: beside another metric they would mislead.
        beside=_beside(curve if column == COMPARABLE else curve.iloc[:0], registered),
        sharing=shared_properties(trials, splits, predictions) if len(names) > 1 else pd.DataFrame(),
        unread=tuple(dict.fromkeys(str(w.message) for w in [*caught, *beside] if "left out" in str(w.message))),
    )


def _beside(curve: pd.DataFrame, registered: pd.Series) -> pd.DataFrame:
    """Published numbers beside a curve, which are known by the registered names of data sets."""
    found = beside_published(like(curve.assign(dataset=curve["sweep"].map(registered)), curve))
    names = curve.drop_duplicates("sweep").set_index("sweep")["dataset"]
    return found.assign(dataset=found["sweep"].map(names))


def _against_erm(points: Sequence[Point], sweep: Sweep) -> pd.DataFrame:
    """Differences to plain training of a sweep's methods, beside the comparison that it declared."""
    return difference_rows([point for point in points if point.line.sweep == sweep.name], _declared(sweep))


def _areas(points: Sequence[Point], sweep: Sweep) -> pd.DataFrame:
    """Areas of a sweep's methods, beside the comparison that it declared."""
    return area_rows([point for point in points if point.line.sweep == sweep.name], primary=_declared(sweep))


def _declared(sweep: Sweep) -> Comparison | None:
    """Comparison of a sweep whose p stands unadjusted, or None."""
    primary = sweep.primary if sweep.standing.declared else None
    return None if primary is None or primary.missing else primary.comparison


def with_columns(trials: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Add columns of one's own to the trials.

    A column that is not registered (``analysis.register_measure``) counts as one of which higher is better.

    Args:
        trials: What ``analysis.load`` returned.
        columns: Column -> value by ``trial_id``, or by ``SWEEP/trial_id``.

    Returns:
        The trials with the columns.

    Raises:
        InputError: A column of the package itself, values that are no numbers, or none for any trial.

    Example:
        >>> trials = pd.DataFrame({"sweep": "s", "trial_id": ["t0", "t1"]})
        >>> with_columns(trials, {"own_cost": {"t1": 3.5}})["own_cost"].tolist()
        [nan, 3.5]
    """
    short = pd.Series([str(i).removeprefix(f"{s}/") for s, i in zip(trials["sweep"], trials["trial_id"], strict=True)])
    full = trials["sweep"].astype(str).to_numpy() + "/" + short.to_numpy(dtype=object)
    added = {}
    for column, values in columns.items():
        if column in trials:
            raise InputError(f"a column of one's own needs a name of its own, but the trials have a column {column}")
        if column not in {measure.column for measure in own_measures()}:
            register_measure(column)
        known = dict(values)
        cells = [known.get(long, known.get(brief)) for long, brief in zip(full, short, strict=True)]
        numbers = pd.to_numeric(pd.Series(cells, index=trials.index, dtype=object), errors="coerce").astype(float)
        if not numbers.notna().any():
            raise InputError(
                f"the column {column} needs a number for each confirm trial by its trial_id, but none of its "
                f"{len(known)} values is one for a trial of {', '.join(dict.fromkeys(trials['sweep']))}"
            )
        added[column] = numbers
    return like(trials.assign(**added), trials) if added else trials


def _without_hyperparameters(results: Results) -> pd.DataFrame:
    """A measure's curve: the headline curve names the hyperparameters already, and they are most of the text."""
    points = (dataclasses.replace(point, hyperparameters=()) for point in results.points)
    return like(curve_rows(points, results.column), results.trials)


def _external(trials: pd.DataFrame, external: pd.DataFrame) -> dict[str, pd.DataFrame]:
    columns = external_columns(sorted(external["variant"].unique()))
    by_column = Results.by_column(with_external(trials, external), external, columns) if columns else {}
    return {column: _without_hyperparameters(results) for column, results in by_column.items()}


def _confusion(trials: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    try:
        return confusion_by_strength(trials, predictions)
    # A sweep without predictions has no such section, and a report all the same.
    except InputError:
        return pd.DataFrame(columns=["sweep", "rule", "label"])


def _together(frames: list[pd.DataFrame], names: list[str]) -> pd.DataFrame:
    """Put the rows of several sweeps into one frame.

    Of several sweeps the trial identifiers, which may coincide, get the sweep's name in front.
    """
    if len(frames) == 1:
        return frames[0]
    named = [
        _by_place(frame).assign(trial_id=f"{name}/" + frame["trial_id"])
        for frame, name in zip(frames, names, strict=True)
    ]
    return pd.concat(named, ignore_index=True)


def _by_place(frame: pd.DataFrame) -> pd.DataFrame:
    """Probabilities named by the number of their class: data sets may have the same names in another order."""
    return frame.rename(columns={name: f"p_{k}" for k, name in enumerate(n for n in frame if str(n).startswith("p_"))})
