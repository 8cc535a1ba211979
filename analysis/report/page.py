"""The report: one HTML file that opens offline, from a sweep's folder, finished or not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from analysis.findings import Columns, Findings, gather
from analysis.loading import section
from analysis.report import curve as curves
from analysis.report import many, results, search
from analysis.report import primary as words
from analysis.report.bundle import bundle
from analysis.report.confusion import diagnosis_section
from analysis.report.cost import cost_section
from analysis.report.html import markup as m
from analysis.report.own_data.external import external_section
from analysis.report.own_data.where import where_section
from analysis.report.planning import planning_section
from analysis.report.warnings import warnings_of
from analysis.sweep_folder import Sweep
from analysis.writing import write_text
from store.errors import InputError
from store.local import expanded
from store.open import Location, as_list, put

_ROW_FACTS = (
    "lnl_sweep_version",
    "git_commit",
    "torch_version",
    "ray_version",
    "numerics",
    "device_name",
    "threads",
    "data_checksum",
)


def write_report(
    directory: Location | Sequence[Location],
    out: str | os.PathLike[str] | None = None,
    columns: Columns | None = None,
) -> Path | str:
    """Write ``report.html`` of one or several sweeps, finished or still running.

    The file holds everything it shows and opens without a network. It appears whole or not at all.

    Args:
        directory: A sweep's folder, ``s3://`` address or packed zip file, or several of them.
        out: The file to write; default: ``report.html`` in the (first) folder.
        columns: Test columns of one's own, shown under "Other test figures": column -> a value for each confirm trial
            by its ``trial_id`` (``analysis.register_measure`` says what a column measures).

    Returns:
        The file; its address where the folder is an ``s3://`` address.

    Raises:
        InputError: A folder is not a sweep's, holds no finished trial, or has no place for the report; or a column has
            no value for any trial.

    Example:
        >>> import tempfile
        >>> from analysis.examples import write_small_example
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     small = write_small_example(Path(folder) / "small")
        ...     write_report(small).name
        'report.html'
    """
    places = as_list(directory)
    return place_report(gather(places, columns), places[0], out)


def place_report(findings: Findings, first: Location, out: str | os.PathLike[str] | None = None) -> Path | str:
    """Write the report of findings already gathered, by default into the first sweep's folder.

    Args:
        findings: The report's content.
        first: The first sweep's folder.
        out: The file to write; None = ``report.html`` in that folder.

    Returns:
        The file; its address where the folder is an ``s3://`` address.

    Raises:
        InputError: The first sweep is no folder and ``out`` is missing, or ``out`` is a folder.
    """
    name = os.fspath(first)
    if out is None and "://" in name:
        return put(name, "report.html", render(findings).encode("utf-8"))
    if out is None and not expanded(name).is_dir():
        raise InputError(f"a report needs a file to be written to, but {name} is not a folder: give out= (--out FILE)")
    target = expanded(out) if out is not None else expanded(name) / "report.html"
    if target.is_dir():
        raise InputError(f"a report is one file, but {target} is a folder: give {target / 'report.html'}")
    return write_text(target, render(findings))


def render(findings: Findings) -> str:
    """Render the report as HTML text."""
    trials = findings.trials
    networks = ", ".join(str(n) for n in trials["network"].dropna().unique())
    names = ", ".join(sweep.name for sweep in findings.sweeps)
    here = Path(__file__)
    style, script = (here.with_name(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    page = m.fill(
        "page.html",
        title=" and ".join(dict.fromkeys(sweep.title for sweep in findings.sweeps)),
        subtitle=f"Sweep {names}; network {networks}; {len(trials)} trials finished",
        answers=[_answer(findings, sweep) for sweep in findings.sweeps],
        shared=_shared(findings) if len(findings.sweeps) > 1 else "",
        warnings=warnings_of(findings),
        sections=[
            curves.curve_section(findings),
            where_section(findings),
            results.table_section(findings),
            many.ranks_section(findings),
            many.against_erm_section(findings),
            results.won_back_section(findings),
            external_section(findings),
            planning_section(findings),
            search.hyperparameter_section(findings),
            search.search_section(findings),
            diagnosis_section(findings),
            curves.measures_section(findings),
            results.rule_cost_section(findings),
            search.learning_section(findings),
            cost_section(findings),
        ],
        sweeps=[_provenance(findings, sweep) for sweep in findings.sweeps],
        style=Markup(style),
        script=Markup(script),
        bundle=Markup(bundle()),
    )
    return str(page)


def _answer(findings: Findings, sweep: Sweep) -> dict[str, str]:
    """Write the head of the report: a sweep's answer, its test and its declaration."""
    mark = f"{sweep.name}: " if len(findings.sweeps) > 1 else ""
    late = words.descriptive_words(sweep)
    made = sweep.primary is not None and not sweep.primary.comparison.reason
    return {
        "said": mark + words.answer(findings, sweep),
        "late": mark + late if late else "",
        "test": words.footnote(sweep) if made else "",
        "declared": words.standing_words(findings, sweep),
    }


def _shared(findings: Findings) -> Markup:
    """List the properties that sweeps share: curves compare only over the same test images, split, network and rule."""
    table = findings.sharing
    rows = [[str(name), *(str(cell) for cell in table.loc[name])] for name in table.index]
    caption = (
        "What the sweeps share. Methods of two sweeps compare only over the same test images, split, network and rule; "
        "what differs in any of them is laid over one another to look at."
    )
    return m.table(["", *(str(c) for c in table.columns)], rows, caption)


def _provenance(findings: Findings, sweep: Sweep) -> dict[str, Any]:
    changes = [f"{what}{'' if seen is None else f' ({seen} test results existed)'}" for what, seen in sweep.changed()]
    return {
        "name": sweep.name,
        "address": sweep.address,
        "facts": dict(_facts(findings, sweep)),
        "changes": changes,
        "sheet": yaml.safe_dump(dict(sweep.config), sort_keys=False, allow_unicode=True) if sweep.config else "",
    }


def _facts(findings: Findings, sweep: Sweep) -> Iterator[tuple[str, str]]:
    rows = findings.trials[findings.trials["sweep"] == sweep.name]
    info = section(sweep.config, "dataset_info")
    yield "data set", str(info.get("long_name") or rows["dataset"].iloc[0])
    if info.get("citation"):
        yield "data from", str(info["citation"])
    classes: Any = info.get("classes")
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        yield "classes", ", ".join(str(c) for c in classes)
    for part, name in (
        ("train", "training images (search seed)"),
        ("val", "validation images (search seed)"),
        ("test", "test images"),
    ):
        by_fold = section(info, "sizes_by_fold")
        by_folds = [f"fold {fold}: {_counts(section(by_fold, fold), part)}" for fold in by_fold]
        counted = "; ".join(by_folds) or _counts(section(info, "sizes"), part)
        if counted:
            yield name, counted
    for name, value in section(sweep.config, "provenance").items():
        if not isinstance(value, (Mapping, list)):
            yield str(name).replace("_", " "), str(value)
    for name in _ROW_FACTS:
        kinds = sorted({str(value) for value in rows[name].dropna()})
        if kinds:
            yield name.replace("_", " "), ", ".join(kinds)
    for label, method in section(sweep.config, "methods_info").items():
        if isinstance(method, Mapping):
            described = [str(method[key]) for key in ("long_name", "reference") if method.get(key)]
            yield str(label), ", ".join(described)
    ended = rows["finished_at"].dropna()
    if len(ended):
        yield "last trial ended", f"{ended.max():%Y-%m-%d %H:%M} UTC"


def _counts(sizes: Mapping[str, Any], part: str) -> str:
    return ", ".join(_size(str(label), entry) for label, entry in section(sizes, part).items())


def _size(label: str, counts: Any) -> str:
    if not isinstance(counts, Mapping):
        return label
    patients = f" of {counts['patients']} patients" if "patients" in counts else ""
    return f"{label} {counts.get('images')}{patients}"
