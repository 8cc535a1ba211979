"""Warnings before the curve: everything missing, failed, doubtful or changed, as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis.candidates import seed_number
from analysis.findings import Findings
from analysis.loading import section
from analysis.numbers.captions import collapsed_words, no_spread, span, unit_of
from analysis.points.points import CEILING
from analysis.report.likes import without_pressure
from analysis.report.primary import descriptive_words
from analysis.sweep_folder import Sweep
from store.rules import rule_name

REPAINT = "repaint"
_FEW_SEEDS = 5
_FEW_PATIENTS = 20
_FEW_TRIALS = 8
_EDGE = 0.02
_LISTED = 6


def warnings_of(findings: Findings) -> list[str]:
    """Collect all warnings, the most serious first.

    Args:
        findings: The report's content.

    Returns:
        Sentences; empty where there is nothing to warn of.
    """
    sentences: list[str] = []
    for sweep in findings.sweeps:
        mark = f"{sweep.name}: " if len(findings.sweeps) > 1 else ""
        for check in (
            _unfinished,
            _problems,
            _missing_methods,
            _primary,
            _seeds_added,
            without_pressure,
            _without_repaint,
        ):
            sentences += [mark + text for text in check(findings, sweep)]
    for overall in (
        _failed,
        _short_of_seeds,
        _few_patients,
        _collapsed,
        _without_spread,
        _few_search_trials,
        _edges,
        _mixed,
        _other_images,
    ):
        sentences += overall(findings)
    return [*sentences, *(f"{text[0].upper()}{text[1:]}." for text in findings.unread)]


def unfinished_cells(findings: Findings, sweep: Sweep) -> list[str]:
    """List the cells that are not finished.

    ``status.json`` counts them, or else they are the ones without a confirm row.

    Args:
        findings: The report's content.
        sweep: The sweep.

    Returns:
        Identifiers of the cells.
    """
    cells = [cell for cell in sweep.status.get("cells") or () if isinstance(cell, Mapping)]
    if cells:
        return [str(c.get("cell")) for c in cells if _number(c.get("finished")) < _number(c.get("planned"))]
    rows = findings.trials[findings.trials["sweep"] == sweep.name]
    done = set(rows.loc[rows["phase"] == "confirm", "cell"])
    return [str(cell.get("cell")) for cell in sweep.cells if cell.get("cell") not in done]


def _cell_names(findings: Findings, cells: Sequence[str]) -> list[str]:
    """Name cells as a reader knows them: method and bias value."""
    known = {str(c.get("cell")): c for sweep in findings.sweeps for c in sweep.cells}
    names = []
    for cell in cells:
        entry = known.get(cell, {})
        bias = section(entry, "bias")
        position = ", ".join(f"{k} = {v:g}" for k, v in bias.items() if isinstance(v, (int, float)))
        names.append(f"{entry['label']} at {position}" if position and entry.get("label") else cell)
    return names


def _unfinished(findings: Findings, sweep: Sweep) -> Iterator[str]:
    cells = unfinished_cells(findings, sweep)
    planned, finished = sweep.status.get("planned"), sweep.status.get("finished")
    bound = "" if sweep.status.get("planned_is_exact", True) else "<= "
    count = f" ({finished} of {bound}{planned} trials)" if planned and finished is not None else ""
    if cells:
        names = _list(_cell_names(findings, cells))
        yield f"The sweep is not finished{count}: {_number_of(cells, 'cell')} unfinished: {names}."
    elif isinstance(planned, int) and isinstance(finished, int) and finished < planned:
        yield f"The sweep is not finished{count}."


def _missing_methods(findings: Findings, sweep: Sweep) -> Iterator[str]:
    named = [m.get("label") or m.get("name") if isinstance(m, Mapping) else m for m in _methods(sweep)]
    present = set(findings.curve.loc[findings.curve["sweep"] == sweep.name, "label"])
    absent = [str(name) for name in named if name not in present]
    if absent:
        yield f"No curve of {_list(absent)}: no confirm trial of it has finished."


def _methods(sweep: Sweep) -> Sequence[Any]:
    methods = sweep.config.get("methods")
    return methods if isinstance(methods, Sequence) and not isinstance(methods, str) else ()


def _primary(findings: Findings, sweep: Sweep) -> Iterator[str]:
    late = descriptive_words(sweep)
    if late:
        yield late
    if sweep.primary is not None and sweep.primary.comparison.reason:
        p = sweep.primary.comparison
        yield f"The primary comparison ({p.method} against {p.reference}) is not available: {p.reason}."


def _without_repaint(findings: Findings, sweep: Sweep) -> Iterator[str]:
    """Warn where debiasing methods are compared without the simplest remedy, and the bias can be painted."""
    infos = {label: info for label, info in section(sweep.config, "methods_info").items() if isinstance(info, Mapping)}
    debiasing = [str(label) for label, info in infos.items() if info.get("debiasing")]
    if sweep.info.get("painter") and debiasing and all(info.get("method") != REPAINT for info in infos.values()):
        yield (
            f"There is no {REPAINT} beside {_list(debiasing)}: where the bias can be painted, plain training on images "
            "painted independently of the class is what a debiasing method has to beat."
        )


def _seeds_added(findings: Findings, sweep: Sweep) -> Iterator[str]:
    for what, seen in sweep.changed():
        if "seed" in what.lower() and seen != 0:
            known = "If results had been seen by then" if seen is None else f"{seen} test results existed by then"
            yield (
                f"Seeds were changed after the start ({what}). {known}: p values are too small, since adding three "
                "seeds until significance takes an error of .05 to .08, twice to .105."
            )


def _problems(findings: Findings, sweep: Sweep) -> Iterator[str]:
    """Report the problems of ``status.json`` that no row shows, such as a cell without a completed search trial."""
    failed = set(findings.trials.loc[findings.trials["status"] == "failed", "trial_id"])
    lines = [str(line) for line in sweep.status.get("failed") or ()]
    # Those with a failed row are named by ``_failed``, with their reason.
    told = [line for line in lines if not any(line.startswith(trial.split("/")[-1]) for trial in failed)]
    if told:
        yield f"{_number_of(told, 'problem')} when the status was last written: {_list(told)}."


def _failed(findings: Findings) -> Iterator[str]:
    failed = findings.trials[findings.trials["status"] == "failed"]
    for phase, rows in failed.groupby("phase"):
        if phase == "confirm":
            reasons = [f"{t} ({e or 'no reason'})" for t, e in zip(rows["trial_id"], rows["error"], strict=True)]
            yield f"{_number_of(reasons, 'confirm trial')} failed: {_list(reasons)}."
        else:
            reasons = sorted({str(error) for error in rows["error"].dropna()})
            yield f"{len(rows)} search trials failed or diverged and count as such: {_list(reasons) or 'no reason'}."


def _short_of_seeds(findings: Findings) -> Iterator[str]:
    curve = findings.curve[findings.curve["rule"] == findings.headline]
    short = [
        f"{r['label']} at {r['bias_value']:g} ({r['n_seeds']} of {r['n_planned']} seeds finished, at worst "
        f"{r['worst_case']:.3f})"
        for r in curve.to_dict("records")
        # A ceiling of the whole axis would be named once for every bias value.
        if r["n_seeds"] < r["n_planned"] and not r["shared"]
    ]
    if short:
        yield f"Short of seeds: {_list(short)}."
    planned = curve["n_planned"].max() if len(curve) else _FEW_SEEDS
    if planned < _FEW_SEEDS:
        word = "one has no interval" if planned == 1 else "intervals over so few seeds are wide and fragile"
        unit = unit_of(list(curve["band"])).removesuffix("s")
        yield f"Only {planned:g} {unit}{'s' if planned > 1 else ''} a point: {word}; five or more are advised."


def _few_patients(findings: Findings) -> Iterator[str]:
    rows = findings.curve[(findings.curve["rule"] == findings.headline) & (findings.curve["least_patients"] > 0)]
    rows = rows[rows["least_patients"] < _FEW_PATIENTS]
    if len(rows):
        unit = str(rows["band"].iloc[0]).split(" and ")[-1]
        yield (
            f"Only {span(rows['least_patients'])} test {unit} of a class: intervals over so few are fragile; "
            f"{_FEW_PATIENTS} or more of each class are advised."
        )


def _collapsed(findings: Findings) -> Iterator[str]:
    rows = findings.curve[(findings.curve["rule"] == findings.headline) & (findings.curve["n_collapsed"] > 0)]
    runs = [
        f"{r['label']} at {r['bias_value']:g} ({collapsed_words(r['n_collapsed'], r['n_seeds'], unit_of([r['band']]))})"
        for r in rows.to_dict("records")
    ]
    if runs:
        yield f"Collapsed runs: {_list(runs)}. No interval is right when runs collapse: look at the single ones."


def _without_spread(findings: Findings) -> Iterator[str]:
    """Warn of intervals without a width, which three equal seeds have without other seeds being equal too."""
    rows = [row for row in findings.curve.to_dict("records") if no_spread(row)]
    if rows:
        names = [f"{findings.line_name(r)} at {r['bias_axis']} = {r['bias_value']:g}" for r in rows]
        yield (
            f"All seeds have exactly the same value at {_number_of(names, 'point')} ({_list(names)}): "
            "their spread is 0, which says nothing of other seeds, and no interval can be given."
        )


def _few_search_trials(findings: Findings) -> Iterator[str]:
    spaces = _spaces(findings)
    planned = {str(c.get("cell")): _number(c.get("trials")) for sweep in findings.sweeps for c in sweep.cells}
    search = findings.trials[findings.trials["phase"] == "search"]
    search = search[seed_number(search) == 0]
    counts = {str(cell): n for cell, n in search.groupby("cell").size().items()}
    few = [
        cell
        for cell, n in counts.items()
        # One trial is enough where there is nothing to search.
        if n < _FEW_TRIALS and (n > 1 or planned.get(cell, 0) > 1 or spaces.get(cell))
    ]
    if few:
        names = _list(_cell_names(findings, few))
        yield f"Fewer than {_FEW_TRIALS} search trials in {_number_of(few, 'cell')}: {names}."


def _edges(findings: Findings) -> Iterator[str]:
    spaces = _spaces(findings)
    rows = findings.selected
    edges = []
    for row in rows[rows["rule"] == findings.headline].to_dict("records") if len(rows) else ():
        for name, bounds in spaces.get(str(row["cell"]), {}).items():
            edge = _edge(row.get(name), bounds)
            if edge:
                edges.append(f"{row['label']} at {row['bias_value']:g}: {name} = {row[name]:.3g} ({edge})")
    if edges:
        yield f"The best value lies at the edge of the search space, a wider range may hold a better: {_list(edges)}."


def _spaces(findings: Findings) -> dict[str, Mapping[str, Any]]:
    return {cell: space for sweep in findings.sweeps for cell, space in sweep.spaces().items()}


def _edge(value: Any, bounds: Any) -> str:
    """Name the end of a range that a value lies near (within 2 %): ``lower end``, ``upper end`` or ""."""
    if not isinstance(bounds, Mapping) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    pair = next((bounds[k] for k in ("log", "uniform", "int") if isinstance(bounds.get(k), Sequence)), None)
    low, high = pair if isinstance(pair, Sequence) and len(pair) == 2 else (bounds.get("low"), bounds.get("high"))
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not low < high:
        return ""
    if value < low:  # the anchor's 0, which lies outside a log range
        return ""
    # In a logarithmic range "near" is measured in logarithms, as the search draws there.
    if bounds.get("log") and low > 0:
        low, high, value = math.log(low), math.log(high), math.log(value)
    share = (value - low) / (high - low)
    return "lower end" if share <= _EDGE else "upper end" if share >= 1 - _EDGE else ""


def _other_images(findings: Findings) -> Iterator[str]:
    named = findings.trials.drop_duplicates("sweep").set_index("sweep")["dataset"]
    of_name: dict[str, list[str]] = {}
    for sweep in findings.sweeps:
        dataset = section(sweep.config, "dataset").get("name")
        if dataset is not None and named[sweep.name] != dataset:
            of_name.setdefault(str(dataset), []).append(sweep.name)
    for dataset, sweeps in of_name.items():
        yield (
            f"{_list(sweeps)} are of {dataset} and have other images: they share no table, and the checksum of its "
            "images stands behind the name of each data set."
        )


def _mixed(findings: Findings) -> Iterator[str]:
    trials = findings.trials
    for name, words in (
        ("numerics", "versions whose numbers differ"),
        ("data_checksum", "different versions of the data"),
        ("dataset_checksum", "different sources of the data set"),
        ("files_checksum", "different files of the data set"),
    ):
        for dataset, rows in trials.groupby("dataset") if name in trials else ():
            kinds = sorted(str(value) for value in rows[name].dropna().unique())
            if len(kinds) > 1:
                yield f"Rows of {dataset} come from {words} ({name} {', '.join(kinds)}): they are not comparable."
    for name, words in (("network_checksum", "sources"), ("weights_checksum", "weights files")):
        if name not in trials:
            continue
        of_network = trials.groupby(["dataset", "network"])[name].nunique()
        for dataset, network in of_network[of_network > 1].index:
            yield f"Rows of {network} on {dataset} come from different {words} of the network: they are not comparable."
    sources = trials.groupby(["dataset", "label", "method"])["method_checksum"].nunique()
    for of_data, label, _ in sources[sources > 1].index:
        yield f"Rows of {label} on {of_data} come from different sources of the method: they are not comparable."
    if findings.n_superseded:
        yield (
            f"{findings.n_superseded} confirm trials of configurations that are not chosen any more are left out: "
            "a longer search chose others."
        )
    # Without any curve a missing ceiling is not worth a warning.
    has_ceiling = (findings.curve["method"] == CEILING).any() if len(findings.curve) else True
    if not has_ceiling:
        yield "There is no ceiling (training without bias): what is won back cannot be said."
    missing = [rule for sweep in findings.sweeps for rule in sweep.rules if rule not in findings.rules]
    if findings.rules and missing and findings.sweeps[0].config:
        yield f"No curve under {_list([rule_name(rule) for rule in dict.fromkeys(missing)])}: it chose nothing yet."


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _number_of(items: Sequence[str], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _list(items: Sequence[str]) -> str:
    more = len(items) - _LISTED
    return ", ".join(items[:_LISTED]) + (f" and {more} more" if more > 0 else "")
