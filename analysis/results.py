"""Results of a sweep: the points of a test column gathered once, and every number computed from them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.natural import like, natural_in
from analysis.numbers.at_bias import COLUMNS, at_bias_rows
from analysis.numbers.breaking import breaking_rows
from analysis.numbers.captions import table_caption
from analysis.numbers.comparisons import Comparison, area_rows, won_back_rows
from analysis.numbers.curve import curve_rows
from analysis.numbers.published import COMPARABLE, beside_published
from analysis.numbers.tables import headline_rule, table_of, with_place, with_published
from analysis.points.absent import absent_points
from analysis.points.external import with_external
from analysis.points.measures import METRICS, measure_of
from analysis.points.points import ERM, Point, collect, collect_columns, default_column
from analysis.primary.comparison import STRONGEST, At, PairOfCurves
from store.errors import InputError, unknown_name
from store.sheet.external import PREFIX


class Results:
    """Points of one test column, and the results computed from them.

    Attributes:
        trials: What ``analysis.load`` returned.
        column: The test column.
        points: Its points; those without a finished seed included, so that gaps are seen, and those at which a method
            is not applicable.
    """

    def __init__(
        self,
        trials: pd.DataFrame,
        predictions: pd.DataFrame | None = None,
        column: str | None = None,
        points: Sequence[Point] | None = None,
    ) -> None:
        """Gather the points.

        Args:
            trials: What ``analysis.load`` returned.
            predictions: What ``analysis.load_predictions`` returned, or None.
            column: Test column; default: the sweep's metric.
            points: The column's points where they are gathered already.

        Raises:
            InputError: A column that the trials do not have, or sweeps of different metrics.
        """
        self.trials, self.column = trials, column or default_column(trials)
        gathered = collect(trials, predictions, self.column) if points is None else points
        # Last, so that a line's first point is one with seeds.
        self.points = (*gathered, *absent_points(trials, gathered))

    @classmethod
    def by_column(
        cls, trials: pd.DataFrame, predictions: pd.DataFrame | None, columns: Sequence[str]
    ) -> dict[str, Results]:
        """Gather several test columns at once, which is faster than one by one.

        Args:
            trials: What ``analysis.load`` returned.
            predictions: What ``analysis.load_predictions`` returned, or None.
            columns: The test columns.

        Returns:
            Results by column.
        """
        points_by_column = collect_columns(trials, predictions, columns)
        return {column: cls(trials, column=column, points=points) for column, points in points_by_column.items()}

    def of(self, rule: str | None) -> list[Point]:
        """Select the points of one rule.

        Args:
            rule: A selection rule; None = all rules.

        Returns:
            The points.
        """
        return [point for point in self.points if rule is None or point.line.rule == rule]

    def curve(self, rules: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows of ``accuracy_vs_bias``."""
        rows = curve_rows((p for p in self.points if rules is None or p.line.rule in rules), self.column)
        return like(rows, self.trials)

    def won_back(self, rule: str | None = None) -> pd.DataFrame:
        """The rows of ``won_back``."""
        return won_back_rows(self.of(rule))

    def areas(self, rule: str | None = None, reference: str = ERM, primary: Comparison | None = None) -> pd.DataFrame:
        """The rows of ``areas``."""
        return area_rows(self.of(rule), reference, primary)

    def breaking(self, rule: str | None = None, threshold: float | None = None) -> pd.DataFrame:
        """The rows of ``breaking_points``."""
        return breaking_rows(self.of(rule), threshold)

    def at_bias(self, value: float | None = None, rule: str | None = None) -> pd.DataFrame:
        """The rows of ``at_bias``.

        There are none without a value where no sheet says the bias of the data as they are.
        """
        natural, frames, measure = natural_in(self.trials), [], measure_of(self.column)
        for sweep, axis in dict.fromkeys((p.line.sweep, p.line.bias_axis) for p in self.of(rule)):
            known = natural[sweep].bias if sweep in natural else {}
            place = known.get(axis) if value is None else value
            if place is not None:
                of_sweep = [p for p in self.of(rule) if (p.line.sweep, p.line.bias_axis) == (sweep, axis)]
                frames.append(at_bias_rows(of_sweep, place, measure, known if value is None else None))
        rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
        return like(rows, self.trials)

    def primary(self, compare: tuple[str, str], rule: str, at: At = STRONGEST) -> Comparison:
        """The comparison of ``primary_comparison``."""
        return PairOfCurves(self.points, compare, rule).compared(at)

    def table(self, rule: str | None = None, published: bool = True) -> pd.DataFrame:
        """The table of ``summary_table``."""
        rule = rule or headline_rule(self.trials)
        curve = self.curve([rule])
        table = with_place(table_of(curve), curve, self.at_bias(rule=rule))
        if published and self.column == COMPARABLE:
            table = with_published(table, beside_published(curve), rule)
        table.attrs["caption"] = table_caption(curve, measure_of(self.column).name, rule)
        return table


def accuracy_vs_bias(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rules: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compute accuracy against bias strength, from confirm rows only.

    The band is mean +- t_{nu} sqrt(V) over seeds and over patients within classes where predictions are given ("seeds
    and patients", or "seeds and images"; ``analysis.statistics.variance``), Student's t over seeds without them ("seeds
    only"), and none for a single seed. Recalls, worst classes and worst groups get Wilson's interval over as many
    images as that V is worth.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        column: Test column, of accuracy or another (``analysis.points.measures`` lists them); default: the sweep's
            metric on the unbiased test variant.
        rules: Selection rules to keep; default: all of the sweep.

    Returns:
        One row per (sweep, data set, network, rule, method label, facet, bias value), weak bias first: ``bias_<name>``
        (of each bias parameter off the axis, also where no facet names it), ``mean``, ``low``, ``high`` (clipped to the
        measure's range), ``median``, ``worst_case`` (mean if every missing seed had the worst possible value),
        ``n_seeds`` of ``n_planned``, ``n_failed``, ``n_collapsed``, ``n_added`` (of those planned, added after test
        results existed, where the trials carry ``seeds_added``: ``analysis.mark_seeds_added``), ``n_patients`` (or
        images in the band), ``least_patients`` of a class, ``band``, ``values`` and ``seeds`` (tuples),
        ``hyperparameters`` (tuple of JSON text), ``named_by`` (of a worst class or group: ``other seeds``, or
        ``itself``, which lies too low), ``caption``.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> curve = analysis.accuracy_vs_bias(analysis.example(), rules=["val_counterfactual"])
        >>> strongest = curve[(curve["bias_value"] == 1) & (curve["facet"] == "gamma = 0")]
        >>> strongest.set_index("label")["mean"].round(3).loc[["erm", "lnl", "ceiling"]].to_dict()
        {'erm': 0.615, 'lnl': 0.792, 'ceiling': 0.906}
    """
    return Results(trials, predictions, column).curve(rules)


def won_back(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rule: str | None = None,
) -> pd.DataFrame:
    """Compute the share of the gap between plain training and the ceiling that each method wins back.

    R = (m - e) / (c - e), a ratio of means over the seeds that all three have, with Fieller's interval; with
    predictions the interval counts patients too (``fieller.recovery``).

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        column: Test column; default: the sweep's metric.
        rule: Selection rule to keep; default: all.

    Returns:
        One row per line and bias value: ``ratio``, ``low``, ``high``, ``g``, ``text``, which is "-" where the
        gap is not significant (g >= 1), ``n_seeds`` (paired) of ``n_planned``, ``n_added`` of these after results had
        been seen, ``n_patients``, ``n_test``, ``band`` and ``caption``; no rows without both erm and ceiling.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.won_back(analysis.example(), rule="val_counterfactual")
        >>> lnl = table[(table["label"] == "lnl") & (table["facet"] == "gamma = 0")]
        >>> dict(zip(lnl["bias_value"].tolist(), lnl["text"], strict=True))[1.0]
        '0.61 [0.49, 0.72]'
    """
    return Results(trials, predictions, column).won_back(rule)


def areas(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rule: str | None = None,
    reference: str = ERM,
    primary: Comparison | None = None,
) -> pd.DataFrame:
    """Compute the normalised area under each curve, and its paired difference to a reference.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        column: Test column; default: the sweep's metric.
        rule: Selection rule to keep; default: all.
        reference: Label (or method) the others are compared with.
        primary: The declared comparison, of ``analysis.primary_comparison``; None = all differences are adjusted.

    Returns:
        One row per line: ``area`` with ``low``, ``high`` over the seeds present at every bias value; ``difference``,
        ``difference_low``, ``difference_high``; ``p`` of the difference, from the variance of its interval, ``p_holm``
        (Holm over the methods of the same rule and facet; missing of the declared comparison, which is in no family),
        ``declared``; ``p_seeds`` (paired t) and ``sign_flip_p`` over seeds alone,
        statements about these test images; ``n_pairs`` (seeds in the difference); ``reason`` why there is no area,
        or no difference to the reference; "" where there are both, and for the reference itself; ``n_seeds`` of
        ``n_planned``, ``n_added`` of these after results had been seen, ``n_patients``, ``n_test`` and ``band`` of the
        area; ``caption``.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.areas(analysis.example(), rule="val_counterfactual")
        >>> table[table["facet"] == "gamma = 0"].set_index("label")["area"].round(3).loc[["erm", "lnl"]].to_dict()
        {'erm': 0.858, 'lnl': 0.871}
    """
    return Results(trials, predictions, column).areas(rule, reference, primary)


def breaking_points(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rule: str | None = None,
    threshold: float | None = None,
) -> pd.DataFrame:
    """Find the bias value at which each line first falls below a threshold, and stops being better than plain training.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned: gives the crossing an interval, by the paired crossed
            bootstrap over seeds and patients (accuracy and balanced accuracy).
        column: Test column; default: the sweep's metric.
        rule: Selection rule to keep; default: all.
        threshold: An accuracy; default: .05 below the ceiling at the same bias value.

    Returns:
        One row per line: ``value`` (missing where censored), ``censored``, ``text`` ("0.815", "> 1", "< 0"), ``low``
        and ``high`` (text), ``not_better_from`` (weakest bias at which the line is not better than erm any more, after
        having been better; text), ``threshold`` (text), ``n_seeds`` of ``n_planned``, ``n_added`` of these after
        results had been seen, ``n_patients``, ``n_test``, ``band`` ("none" without an interval), ``caption``. Lines
        with a missing point have no row.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.breaking_points(analysis.example(), rule="val_counterfactual", threshold=0.8)
        >>> table.set_index("label")["text"].loc[["erm", "repaint"]].to_dict()
        {'erm': '0.865', 'repaint': '> 1'}
    """
    return Results(trials, predictions, column).breaking(rule, threshold)


def summary_table(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    rule: str | None = None,
    published: bool = True,
) -> pd.DataFrame:
    """Lay out the literature's table: methods down, bias values across (weak to strong), with confidence intervals.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        column: Test column; default: the sweep's metric.
        rule: Selection rule; default: the headline rule, which stands first in the sweep's rules.
        published: Add the published accuracies at the same bias values, of other networks, palettes and splits
            (``analysis.numbers.published.NOTES``); only where ``column`` is accuracy.

    Returns:
        Text cells: "0.930 ± 0.020", "0.980 [0.950, 1.000]" where the band was clipped, "0.930 (1 seed)" without a
        band, "" where no seed has finished; of published numbers "0.406 outside" or "0.930 inside" the interval.
        ``attrs["caption"]`` says in words which rule chose, over how many seeds, what the intervals cover and for which
        test images they hold.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> table = analysis.summary_table(analysis.example())
        >>> table.loc["lnl (gamma = 0)", ["0", "1"]].tolist()
        ['0.911 ± 0.014', '0.792 ± 0.033']
    """
    return Results(trials, predictions, column).table(rule, published)


def at_bias(
    trials: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    value: float | None = None,
    column: str | None = None,
    rule: str | None = None,
) -> pd.DataFrame:
    """Compute what each method reaches, loses and wins back at a place on the axis, measured or between two values.

    Between two bias values the figure of each seed (and each patient) is interpolated linearly; intervals and
    differences follow from that as those of any figure (``analysis.statistics.variance``). Nothing is extrapolated.
    The place counts as known: its own interval is not in the others.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        value: The place, in units of the axis; default: the bias of the data as they are, where the data set knows it.
        column: Test column, of which higher is better; default: the sweep's metric.
        rule: Selection rule to keep; default: all.

    Returns:
        One row per line: ``below`` and ``above``, the values measured next to the place; ``mean``, ``low``, ``high``;
        ``lost``, the paired difference ``reference`` minus the line, where ``reference`` is the ceiling, or plain
        training at the weakest bias measured where no ceiling has finished there; ``gained``, the paired difference to
        plain training (erm), and ``share``, that over what erm lost (Fieller's interval; ``share_text`` "-" where the
        loss is not significant); ``reason`` why there is no figure or no difference, as where the place lies outside
        the values measured; ``n_seeds`` of ``n_planned``, ``n_added``, ``n_patients``, ``n_test``, ``band``,
        ``caption``.

    Raises:
        InputError: No value, where the data set does not know its own; or as ``accuracy_vs_bias``.

    Example:
        >>> import analysis
        >>> table = analysis.at_bias(analysis.example(), value=0.95, rule="val_counterfactual")
        >>> rows = table[table["facet"] == "gamma = 0"].set_index("label")
        >>> rows.loc["erm", ["mean", "lost"]].astype(float).round(3).tolist(), rows.loc["lnl", "share_text"]
        ([0.697, 0.209], '0.47 [0.28, 0.65]')
    """
    results = Results(trials, predictions, column)
    if value is None and not natural_in(trials):
        raise InputError(
            "a place on the axis must be given (value=), since no sweep.yaml says the bias of the data as they are"
        )
    return results.at_bias(value, rule)


def external_curve(
    trials: pd.DataFrame,
    external: pd.DataFrame,
    name: str | None = None,
    metric: str = "accuracy",
    rules: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compute accuracy on an external test set against bias strength, with the intervals of ``accuracy_vs_bias``.

    Args:
        trials: What ``analysis.load`` returned.
        external: What ``analysis.load_predictions(DIR, "external")`` returned, made by ``lnl-sweep predict``.
        name: The test set; may be left out where there is one.
        metric: ``accuracy``, ``balanced_accuracy`` or ``auroc``.
        rules: Selection rules to keep; default: all.

    Returns:
        As ``accuracy_vs_bias``; ``n_patients`` are those of the external test set.

    Raises:
        InputError: There are no such predictions, or several test sets and no name.

    Example:
        The same rows under the name of another test set, in place of one:

        >>> import analysis
        >>> predictions = analysis.load_predictions(analysis.example_folder(), "unbiased")
        >>> curve = external_curve(analysis.example(), predictions.assign(variant="external:other"))
        >>> row = curve.query("label == 'erm' and bias_value == 1 and facet == 'gamma = 0'").iloc[0]
        >>> round(float(row["mean"]), 3), row["band"]
        (0.615, 'seeds and patients')
    """
    if metric not in METRICS:
        raise unknown_name("figure of an external test set", metric, tuple(METRICS))
    names = sorted(str(variant).removeprefix(PREFIX) for variant in external["variant"].unique())
    if not names:
        raise InputError("there are no predictions on an external test set: run lnl-sweep predict DIR --data TABLE")
    if name is None and len(names) > 1:
        raise InputError(f"one curve is of one external test set, but there are {', '.join(names)}: give name=")
    if name is not None and name not in names:
        raise unknown_name("external test set", name, names)
    variant = f"{PREFIX}{name or names[0]}"
    rows = external[external["variant"] == variant]
    return Results(with_external(trials, rows), rows, f"{variant}/{metric}").curve(rules)


def primary_comparison(
    trials: pd.DataFrame,
    compare: tuple[str, str],
    rule: str,
    predictions: pd.DataFrame | None = None,
    column: str | None = None,
    at: At = STRONGEST,
) -> Comparison:
    """Make the one comparison that is tested: the paired difference of two methods.

    Args:
        trials: What ``analysis.load`` returned, of one sweep.
        compare: Labels (or methods) of the two.
        rule: The selection rule of both.
        predictions: What ``analysis.load_predictions`` returned.
        column: Test column; default: the sweep's metric.
        at: ``strongest`` for the strongest bias, a bias value, or ``area`` for the areas under the two curves.

    Returns:
        The comparison; with a ``reason`` and no numbers where it cannot be made.

    Raises:
        InputError: A column that the trials do not have, or sweeps of different metrics.

    Example:
        >>> import analysis
        >>> primary = analysis.primary_comparison(analysis.example(), ("lnl", "erm"), "val_counterfactual")
        >>> [round(end, 3) for end in (primary.difference.mean, primary.difference.low, primary.difference.high)]
        [0.177, 0.143, 0.211]
    """
    return Results(trials, predictions, column).primary(compare, rule, at)
