"""The declared comparison in words, the same whether a method wins or loses: head of the report, warnings and paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.changes import added_words
from analysis.findings import Findings
from analysis.numbers.captions import unit_of
from analysis.numbers.comparisons import AREA, Comparison
from analysis.primary.comparison import STRONGEST, Primary
from analysis.primary.standing import Standing
from analysis.report.words import p_text, signed
from analysis.sweep_folder import Sweep
from store.rules import rule_name
from store.sheet.declaration import PARTS

_VERDICTS = {
    "higher": "scores higher than",
    "lower": "scores lower than",
    "equivalent": "is equivalent to",
    "undecided": "cannot be told apart from",
    "one seed": "was run with one seed, which allows no statement against",
    "no spread": "cannot be judged against",
}


def answer(findings: Findings, sweep: Sweep) -> str:
    """Write the sweep's result in one or two sentences, computed from its rows.

    Args:
        findings: The report's content.
        sweep: The sweep.

    Returns:
        The sentences; they claim nothing where there is no interval, where seeds are missing, or where the comparison
        was chosen once results existed.
    """
    primary = sweep.primary
    if primary is None:
        return "No primary comparison is declared: the curve below is descriptive."
    comparison, where = primary.comparison, place_words(primary)
    pair = (comparison.method, comparison.reference)
    if comparison.reason:
        if primary.missing:
            return f"Interim, no test: there is no answer to {pair[0]} against {pair[1]} yet: {comparison.reason}."
        return f"There is no answer to {pair[0]} against {pair[1]}: {comparison.reason}."
    figure = f"mean {findings.metric} over the axis" if primary.at == AREA else findings.metric
    if primary.missing:
        return (
            f"Interim, no test: {missing_words(primary)}. So far {figure} of {pair[0]} minus {pair[1]}{where} is "
            f"{comparison.difference.mean:+.3f} over {_seeds(comparison)}."
        )
    names = [_name(findings, label) for label in pair]
    # Chosen once results existed: the numbers are given, a verdict is not.
    if not sweep.standing.declared:
        return (
            f"Descriptive, not tested as declared: {figure} of {names[0]} minus {names[1]}{where} is "
            f"{signed(comparison.difference)}{_beside(primary, '')}."
        )
    return (
        f"{names[0]} {verdict(primary)} {names[1]}{where}: {figure} differs by {signed(comparison.difference)}"
        f"{more_words(primary)}{_beside(primary)}."
    )


def verdict(primary: Primary) -> str:
    """Choose the verb for the first method against the second: ``scores higher than`` and its like."""
    return _VERDICTS[primary.verdict.kind]


def place_words(primary: Primary) -> str:
    """Describe the place of the comparison, with a space before it.

    Of a comparison of areas it is the second bias alone, if there is one.
    """
    at, facet = primary.comparison.at, primary.comparison.facet
    beside = f", {facet}" if facet else ""
    if primary.at == AREA:
        without = primary.comparison.left_out
        common = f" without {primary.axis} = {without}, where one of them is not applicable" if without else ""
        return (f" with {facet}" if facet else "") + common
    if primary.at == STRONGEST:
        return " at the strongest bias" + (f" ({primary.axis} = {at}{beside})" if at != STRONGEST else "")
    return f" at {primary.axis} = {at}{beside}"


def more_words(primary: Primary) -> str:
    """Write the grounds of the verdict beside the 95 % interval, to follow the difference.

    Returns:
        The words; "" where there is nothing to add.
    """
    judged = primary.verdict
    if judged.kind == "undecided":
        return f"; this design could have shown a difference of {judged.d_min:.3f} (power .8)"
    if judged.kind == "no spread":
        return f"; {no_spread_words(primary.comparison)}"
    if not judged.within_margin or primary.margin is None:
        return ""
    margin = f"the margin of {primary.margin:g}"
    if judged.kind == "equivalent":
        mean = primary.comparison.difference.mean
        ends = f"[{mean - judged.half_90:+.3f}, {mean + judged.half_90:+.3f}]"
        return f", and the 90 % interval {ends} lies within {margin}"
    return f", which is within {margin}"


def no_spread_words(comparison: Comparison) -> str:
    """Write the reason for which a comparison with the same difference in all seeds has no interval.

    Args:
        comparison: The comparison.

    Returns:
        The words.

    Example:
        >>> from analysis.numbers.comparisons import no_comparison
        >>> no_spread_words(no_comparison("lnl", "erm", "val_biased", "")).partition(",")[0]
        'the paired difference is the same in all 0 seeds'
    """
    return (
        f"the paired difference is the same in all {_values(comparison)}, so that there is no spread among them from "
        "which an interval or a p value could follow"
    )


def missing_words(primary: Primary) -> str:
    """List the reasons that keep a comparison from being tested.

    Of more than four the rest is counted.
    """
    shown = primary.missing[:4]
    more = len(primary.missing) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def footnote(sweep: Sweep) -> str:
    """Write the test behind the declared comparison, and in a footnote those over seeds alone.

    The footnote says what so few seeds cannot show.

    Args:
        sweep: A sweep whose declared comparison could be made.

    Returns:
        The sentences.
    """
    primary, added = sweep.primary, sweep.seeds_added
    assert primary is not None
    comparison, test = primary.comparison, primary.comparison.test
    if primary.missing:
        return "It is tested once all its cells and seeds have finished."
    if test is None:
        return "One seed: no test."
    only = "This is the one comparison declared beforehand; everything else here is descriptive."
    if not sweep.standing.declared:
        only = "Everything here is descriptive."
    if primary.verdict.kind == "no spread":
        return f"No test: {no_spread_words(comparison)}. {only}"
    words = (
        f"{_p(comparison.p)}; interval and p are over {comparison.band}, from one variance. On these test "
        f"images alone, paired over {_values(comparison)}: t test {_p(test.p)}, exact sign-flip test "
        f"{_p(test.sign_flip_p)}"
    )
    # With so few pairs the exact test cannot reach .05 whatever the data are: the reader is to know.
    if test.smallest_sign_flip_p > 0.05:
        words += (
            f" (with {_values(comparison)} it cannot fall below {p_text(test.smallest_sign_flip_p)}, so it "
            f"cannot reach .05; six {unit_of([comparison.band])} can)"
        )
    late = f" {added_words({'': added})}" if added else ""
    collapsed = (
        f" No interval is right where runs collapse: {', '.join(primary.collapsed)}." if primary.collapsed else ""
    )
    return f"{words}.{collapsed}{late} {only}"


def standing_words(findings: Findings, sweep: Sweep) -> str:
    """Write the time and hash of the declaration, and the times of the first trial and the first test result.

    Args:
        findings: The report's content.
        sweep: The sweep.

    Returns:
        The sentence; "" where nothing was declared, then or now.
    """
    standing = sweep.standing
    if not standing.declared or sweep.primary is None:
        return ""
    rows = findings.trials[findings.trials["sweep"] == sweep.name]
    times = [_time(rows["started_at"]), _time(rows.loc[rows["phase"] == "confirm", "finished_at"])]
    marks = [f"{what} {time}" for what, time in zip(("first trial", "first test result"), times, strict=True) if time]
    since = "; seeds were changed since then" if standing.seeds_changed else ""
    return f"Declared {_declared(standing)}{''.join(f'; {mark}' for mark in marks)}{since}."


def descriptive_words(sweep: Sweep) -> str:
    """Write the reason for which the comparison is descriptive, and the one that was declared before.

    Args:
        sweep: The sweep.

    Returns:
        The sentence; "" where the comparison stands as declared.

    Example:
        >>> from analysis.examples import example_folder
        >>> from analysis.sweep_folder import read_sweep
        >>> from store.open import open_folder
        >>> descriptive_words(read_sweep(open_folder(example_folder()), "brain_phantom_study", []))
        ''
    """
    standing = sweep.standing
    if standing.declared or not (sweep.primary or standing.before):
        return ""
    if not standing.changed:
        return (
            f"The primary comparison is descriptive: what stands in sweep.yaml was changed by hand: it does not "
            f"have the hash that stands there ({standing.hash})."
        )
    seen = "" if standing.results is None else f", when {standing.results} test results existed"
    if standing.results is None:
        seen = ", and it is not recorded whether test results existed by then"
    parts = [PARTS[part] for part in standing.changed]
    listed = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    was = "were" if len(parts) > 1 or standing.changed[0] not in ("primary", "search") else "was"
    what = "no comparison is declared any more" if sweep.primary is None else "the primary comparison is descriptive"
    return (
        f"{what[0].upper()}{what[1:]}: {listed} {was} changed on {_day(standing.when) or 'an unknown day'}{seen}. "
        f"Declared before ({_declared(standing)}): {_before(standing.before)}."
    )


def paper_words(sweep: Sweep, metric: str) -> Iterator[str]:
    """Write the declared comparison for a paper's methods.

    Args:
        sweep: The sweep.
        metric: What is measured, in words.

    Yields:
        The sentences.
    """
    primary, standing = sweep.primary, sweep.standing
    late = descriptive_words(sweep)
    if late:
        yield late
    if primary is None:
        if not late:
            yield "No comparison was declared beforehand: everything is descriptive."
        return
    comparison = primary.comparison
    pair = f"{comparison.method} minus {comparison.reference}"
    kind = "Descriptive" if late else "Declared beforehand, and the only test"
    if comparison.reason and not primary.missing:
        yield f"{'The comparison' if late else 'The one comparison declared beforehand'} ({pair}) is not available."
    elif primary.missing:
        yield f"Interim, no test of {pair}: {missing_words(primary)}."
    else:
        figure = "normalised area" if primary.at == AREA else metric
        added = f", {sweep.seeds_added} of them added after results had been seen" if sweep.seeds_added else ""
        p = "" if comparison.test is None else f"{_p(comparison.p)} over {comparison.band}, "
        shown = "" if late else f": {comparison.method} {verdict(primary)} {comparison.reference}{more_words(primary)}"
        yield (
            f"{kind}: {figure} of {pair}{place_words(primary)} under {rule_name(comparison.rule)}, "
            f"{signed(comparison.difference)}, {p}{_seeds(comparison)}{added}{shown}{_beside(primary, '')}."
        )
    if not late:
        yield f"Declared {_declared(standing)}."


def _beside(primary: Primary, by: str = "by ") -> str:
    """Write the difference at the strongest bias, to stand beside one of areas.

    Returns:
        The words; "" elsewhere, or where there is no such difference.
    """
    beside = primary.strongest
    if beside is None or beside.reason:
        return ""
    facet = f", {beside.facet}" if beside.facet else ""
    common = "common " if primary.comparison.left_out else ""
    return f"; at the strongest {common}bias ({primary.axis} = {beside.at}{facet}) {by}{signed(beside.difference)}"


def _declared(standing: Standing) -> str:
    when = _time(pd.Series([standing.written])) if standing.written else ""
    time = when or "in sweep.yaml by a version that noted no time"
    return f"{time}{f', hash {standing.hash}' if standing.hash else ''}"


def _before(primary: Mapping[str, Any]) -> str:
    compare = primary.get("compare")
    if not isinstance(compare, (list, tuple)) or len(compare) != 2:
        return "no comparison"
    at = primary.get("at", AREA)
    where = {AREA: "over the axis", STRONGEST: "at the strongest bias"}.get(str(at), f"at {at}")
    rule = f", chosen by {rule_name(str(primary['rule']))}" if primary.get("rule") else ""
    margin = f", margin {primary['margin']:g}" if isinstance(primary.get("margin"), (int, float)) else ""
    return f"{compare[0]} minus {compare[1]} {where}{rule}{margin}"


def _p(p: float) -> str:
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _seeds(comparison: Comparison) -> str:
    return _values(comparison, "paired ")


def _values(comparison: Comparison, paired: str = "") -> str:
    """Number and unit of the values compared: ``5 seeds``."""
    unit = unit_of([comparison.band])
    return f"{comparison.n_seeds} {paired}{unit.removesuffix('s') if comparison.n_seeds == 1 else unit}"


def _time(times: pd.Series) -> str:
    """Write the earliest of some times, in UTC.

    Returns:
        The time; "" where there is none.
    """
    known = pd.to_datetime(times, utc=True, errors="coerce").dropna()
    return f"{known.min():%Y-%m-%d %H:%M} UTC" if len(known) else ""


def _day(when: str) -> str:
    return when[:10]


def _name(findings: Findings, label: str) -> str:
    long = findings.names().get(label, "")
    return f"{label} ({long})" if long and long != label else label
