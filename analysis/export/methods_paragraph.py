"""The methods paragraph: every number a reviewer asks for, from the rows and the resolved configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.candidates import SEARCH_SEEDS, seed_number
from analysis.changes import added_words
from analysis.export import references
from analysis.findings import Findings
from analysis.loading import section
from analysis.numbers.tables import cost
from analysis.report.likes import like_words
from analysis.report.primary import paper_words
from analysis.report.words import search_words
from analysis.sweep_folder import Sweep
from store.rules import ORACLE, rule_name


def methods_paragraph(findings: Findings, sweep: Sweep) -> str:
    """Write one sweep's methods in Markdown, with citations as Pandoc has them (``[@key]``).

    Args:
        findings: What ``analysis.findings.gather`` returned.
        sweep: The sweep.

    Returns:
        The paragraph.
    """
    rows = findings.trials[findings.trials["sweep"] == sweep.name]
    parts = (_data(sweep, rows), _bias(rows), _training(sweep, rows), _search(sweep, rows), _confirm(sweep, rows))
    more = (_statistics(findings, sweep), _exceptions(findings, sweep, rows), _software(findings, sweep, rows))
    return " ".join(sentence for part in (*parts, *more) for sentence in part if sentence)


def cited(findings: Findings) -> list[str]:
    """List the keys of the publications that the paragraphs of all sweeps cite.

    Args:
        findings: What ``analysis.findings.gather`` returned.

    Returns:
        Keys of ``references``, each once, in order of appearance.
    """
    keys: list[str] = []
    for sweep in findings.sweeps:
        text = methods_paragraph(findings, sweep)
        keys += [part.strip("@ ") for group in text.split("[@")[1:] for part in group.split("]")[0].split(";")]
    return list(dict.fromkeys(keys))


def _data(sweep: Sweep, rows: pd.DataFrame) -> Iterator[str]:
    info = sweep.info
    dataset = str(rows["dataset"].iloc[0])
    parts = (("train", "training"), ("val", "validation"), ("test", "test"))
    counts = [f"{number} {word}" for part, word in parts if (number := _part_size(info, part))]
    size = f", {int(info['n_images']):,} images" if isinstance(info.get("n_images"), int) else ""
    classes = f" of {len(sweep.classes)} classes" if sweep.classes else ""
    yield f"Data: {sweep.title}{_cite(references.DATA.get(dataset, ()))}{size}{classes}."
    if info.get("citation"):
        yield f"Source: {str(info['citation']).rstrip('.')}."
    folds = rows["fold"].dropna().nunique()
    kind = f"{folds}-fold cross-validation" if folds else "one fixed test set"
    checksum = str(rows["data_checksum"].dropna().iloc[0])[:12] if rows["data_checksum"].notna().any() else "unknown"
    each = " in each fold" if folds else ""
    # Each confirm seed divides training and validation images anew: the counts are those of one seed.
    seed = "; training and validation images are counted as the search seed divides them" if counts else ""
    yield f"Split: {kind}{f' ({_list(counts)} images{each}{seed})' if counts else ''}; data checksum {checksum}."
    yield _patients(sweep)
    if sweep.note:
        yield f"Note: {sweep.note}."


def _patients(sweep: Sweep) -> str:
    """Count the patients of each part.

    Returns:
        A sentence; "" where the data set has none, or where the sweep's file does not count them.
    """
    by_fold = section(sweep.info, "sizes_by_fold")
    sizes = section(sweep.info, "sizes") or section(by_fold, next(iter(by_fold), ""))
    counted = []
    for part, word in (("train", "training"), ("val", "validation"), ("test", "test")):
        numbers = [entry.get("patients") for entry in section(sizes, part).values() if isinstance(entry, Mapping)]
        known = [number for number in numbers if isinstance(number, int)]
        # No sentence rather than the total of some classes.
        if not known or len(known) < len(numbers):
            return ""
        counted.append((sum(known), word))
    of_fold = " of the first fold" if by_fold else ""
    listed = _list([f"{number:,} {word}" for number, word in counted])
    total = sum(number for number, _ in counted)
    return f"Patients{of_fold}: {total:,} ({listed}), added up over the classes; the split is by patient."


def _part_size(info: Mapping[str, Any], part: str) -> str:
    """Count the images of a part, a range where folds differ.

    Returns:
        The number as text; empty where the configuration does not say.
    """
    if isinstance(info.get(f"n_{part}"), int):
        return f"{int(info[f'n_{part}']):,}"
    by_fold = section(info, "sizes_by_fold")
    classes = [section(section(by_fold, fold), part) for fold in by_fold]
    totals = sorted(sum(int(section(of_fold, label).get("images") or 0) for label in of_fold) for of_fold in classes)
    if not totals:
        return ""
    return f"{totals[0]:,}" if totals[0] == totals[-1] else f"{totals[0]:,} to {totals[-1]:,}"


def _bias(rows: pd.DataFrame) -> Iterator[str]:
    for axis, of_axis in rows.groupby("bias_axis", sort=False):
        places = of_axis.drop_duplicates("bias_value").sort_values("bias_strength")
        values = [f"{v:g} ({s:.2f})" for v, s in zip(places["bias_value"], places["bias_strength"], strict=True)]
        yield f"Bias: {axis} = {_list(values)}, weak to strong, in parentheses the strength I(b; y) / H(y)."


def _training(sweep: Sweep, rows: pd.DataFrame) -> Iterator[str]:
    network = section(sweep.config, "network")
    options = [f"{k} {v}" for k, v in network.items() if k not in ("name", "note") and v not in (None, "", {}, [])]
    residual = _cite(("he2016",)) if "resnet" in str(network.get("name", "")) else ""
    name = network.get("name") or ", ".join(str(n) for n in rows["network"].unique())
    yield f"Network: {name}{residual}{f' ({_list(options)})' if options else ''}."
    infos = section(sweep.config, "methods_info")
    methods = []
    for label, of_label in rows.groupby("label", sort=False):
        method = str(of_label["method"].iloc[0])
        long = str(section(infos, str(label)).get("long_name") or "")
        methods.append(f"{label}{f' ({long})' if long else ''}{_cite(references.METHODS.get(method, ()))}")
    yield f"Methods: {_list(methods)}."
    training = section(sweep.config, "training")
    known = [f"{key.replace('_', ' ')} {value}" for key, value in training.items() if value not in (None, [], "", {})]
    epochs = rows.loc[rows["status"] == "completed", "epochs"]
    yield f"Training: {_list(known)}." if known else f"Training: {_span(epochs)} epochs."


def _search(sweep: Sweep, rows: pd.DataFrame) -> Iterator[str]:
    search = section(sweep.config, "search")
    searched = rows[rows["phase"] == "search"]
    if searched.empty:
        return
    # A candidate of several seeds counts once.
    per_cell = searched[seed_number(searched) == 0].groupby(["cell", "repeat"]).size()
    each = int(searched[SEARCH_SEEDS].max()) if SEARCH_SEEDS in searched else 1
    seeds = f", each with {each} search seeds and chosen by their mean" if each > 1 else ""
    counts = searched["status"].value_counts()
    sampler = search.get("sampler", "unknown")
    yield (
        f"Search: {_span(per_cell)} trials in each of {searched['cell'].nunique()} cells (bias value x method){seeds}, "
        f"sampler {sampler}{_cite(('akiba2019', 'liaw2018'))}, "
        f"following {rule_name(str(search.get('rule', 'unknown')))}; "
        f"{len(searched)} trials in all ({int(counts.get('completed', 0))} completed, {int(counts.get('pruned', 0))} "
        f"stopped early, {int(counts.get('failed', 0))} diverged or failed). No test image was used."
    )
    stopping = search.get("early_stopping")
    if isinstance(stopping, Mapping):
        yield f"Early stopping{_cite(('li2020',))}: {_list([f'{k} {v}' for k, v in stopping.items()])}."
    elif stopping is not None:
        yield f"Early stopping: {'off' if stopping is False else stopping}."
    spaces: dict[str, list[str]] = {}
    of_cell = sweep.spaces()
    for cell in (cell for cell in sweep.cells if not cell.get("like")):
        ranges = [f"{name.rstrip('_')} {_range(bounds)}" for name, bounds in of_cell[str(cell.get("cell"))].items()]
        spaces.setdefault("; ".join(ranges) or "nothing", []).append(str(cell.get("label")))
    yield like_words(sweep)
    for text, labels in spaces.items():
        yield f"Searched for {_list(list(dict.fromkeys(labels)))}: {text}."


def _confirm(sweep: Sweep, rows: pd.DataFrame) -> Iterator[str]:
    seeds = sweep.sheet.seeds_of_rules
    confirmed = rows[rows["phase"] == "confirm"]
    if confirmed.empty:
        return
    clauses = []
    for rule in sweep.sheet.rules:
        planned = seeds.get(rule, float("nan"))
        if confirmed["rules"].map(lambda rules, rule=rule: rule in rules).any():
            oracle = " (unbiased validation data, which nobody has in practice)" if rule == ORACLE else ""
            clauses.append(f"{rule_name(rule)}{oracle}{f' with {planned:g} seeds' if planned == planned else ''}")
    splits = sweep.sheet.splits
    drawn = f"; each in {splits} splits into training and validation" if splits > 1 else ""
    split = "" if sweep.sheet.one_split else "split, "
    images = "painted images" if sweep.sheet.painted else "training images"
    redrawn = "" if splits > 1 else f" A seed redraws {split}{images}, initial weights and order at once."
    metric = str(confirmed["metric"].iloc[0]).replace("_", " ").replace("auroc", "AUROC")
    measured = f"{metric} on the unbiased test variant"
    if metric == "worst group":
        measured = "the lowest accuracy over the groups of (class, bias attribute)"
    weighted = ""
    if sweep.sheet.natural is not None:
        weighted = (
            " The test images are those that were collected: unbiased figures weight each of them by "
            "p(b) p(y) / p(y, b), so that bias attribute b and class y are independent."
        )
    yield (
        f"The hyperparameters chosen by each rule were trained again from scratch with fresh seeds, the same for every "
        f"method and bias value: {_list(clauses)}{drawn}; {len(confirmed)} such trials, each evaluated once on the "
        f"test images. Metric: {measured}, at the {_epoch(sweep)} epoch.{weighted}{redrawn}"
    )
    yield from (words for rule in sweep.sheet.rules if (words := search_words(sweep, rule)))


def _statistics(findings: Findings, sweep: Sweep) -> Iterator[str]:
    kinds = sorted(set(findings.curve.loc[findings.curve["sweep"] == sweep.name, "band"]) - {"none"})
    if kinds:
        repeated = any(kind.startswith("repetitions") for kind in kinds)
        given = "for the whole procedure, its search included" if repeated else "given the selected hyperparameters"
        yield (
            f"Intervals are 95 %, over {_list(kinds)}: mean +- t sqrt(V), V = V_s + V_p - V_sp, of the seeds' values "
            "(V_s), of the patients (or images) by the jackknife within classes (V_p; 0 where seeds only) and of their "
            "interaction, which both hold (V_sp), with Satterthwaite's degrees of freedom [@satterthwaite1946]; near 0 "
            "and 1 Wilson's interval over as many images as V is worth [@wilson1927]. "
            f"They hold {given}. The p value of every comparison is of the same V. "
            "Shares won back have Fieller intervals [@fieller1954]; descriptive p values over methods are adjusted by "
            "Holm [@holm1979]; search budgets are compared by the expected best validation value [@dodge2019]."
        )
    yield from paper_words(sweep, findings.metric)


def _exceptions(findings: Findings, sweep: Sweep, rows: pd.DataFrame) -> Iterator[str]:
    confirm = rows[rows["phase"] == "confirm"]
    collapsed = int(confirm["collapsed"].fillna(False).astype(bool).sum())
    failed = int((confirm["status"] == "failed").sum())
    yield f"{collapsed} of {len(confirm)} confirm trials collapsed (they are included), {failed} failed."
    yield added_words({sweep.name: sweep.seeds_added})
    for what, seen in sweep.changed():
        yield f"Changed after the start: {what}{'' if seen is None else f' ({seen} test results existed)'}."
    if len(findings.sweeps) == 1 and findings.n_superseded:
        yield f"{findings.n_superseded} trials of configurations no longer chosen are left out."


def _software(findings: Findings, sweep: Sweep, rows: pd.DataFrame) -> Iterator[str]:
    versions = [
        f"{name} {', '.join(sorted({str(v) for v in rows[column].dropna()}))}"
        for name, column in (("lnl-sweep", "lnl_sweep_version"), ("PyTorch", "torch_version"), ("Ray", "ray_version"))
        if rows[column].notna().any()
    ]
    python = section(sweep.config, "provenance").get("python_version")
    commits = sorted({str(c)[:12] for c in rows["git_commit"].dropna()})
    yield (
        f"Software: {_list([*versions, *([f'Python {python}'] if python else [])])}{_cite(('paszke2019',))}"
        f"{f'; commit {_list(commits)}' if commits else ''}."
    )
    hours = cost(rows)["hours"].sum()
    devices = _list(sorted({str(d) for d in rows["device_name"].dropna()})) or "an unrecorded device"
    yield f"Cost: {hours:.3g} hours of training and validation in {len(rows)} trials on {devices}."


def _cite(keys: Sequence[str]) -> str:
    return f" [{'; '.join(f'@{key}' for key in keys)}]" if keys else ""


def _list(items: Sequence[str]) -> str:
    return ", ".join(items[:-1]) + (" and " if len(items) > 1 else "") + items[-1] if items else ""


def _span(values: pd.Series) -> str:
    if values.empty:
        return "0"
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _epoch(sweep: Sweep) -> str:
    return str(section(sweep.config, "training").get("epoch") or "last")


def _range(bounds: Any) -> str:
    if not isinstance(bounds, Mapping):
        return str(bounds)
    kind, ends = next(iter(bounds.items()), ("", ""))
    if isinstance(ends, Sequence) and not isinstance(ends, str) and len(ends) == 2 and kind != "choice":
        word = {"log": ", logarithmic", "int": ", whole numbers"}.get(str(kind), "")
        return f"{ends[0]:g} to {ends[1]:g}{word}"
    return f"one of {ends}" if kind == "choice" else str(dict(bounds))
