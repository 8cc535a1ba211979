"""The report: one HTML file that opens offline, from a sweep's folder, finished or not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from plotly.offline import get_plotlyjs

from analysis import markup as m
from analysis import report_results as results
from analysis import report_sections as sections
from analysis import report_words as words
from analysis.errors import InputError
from analysis.load import section
from analysis.report_data import Findings, Sweep, gather
from analysis.report_warnings import warnings_of
from analysis.source import Location

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


def write_report(directory: Location | Sequence[Location], out: str | os.PathLike[str] | None = None) -> Path:
    """Write ``report.html`` of one or several sweeps, finished or still running.

    The file holds everything it shows and opens without a network. It appears whole or not at all.

    Args:
        directory: A sweep's folder, ``s3://`` address or packed zip file, or several of them.
        out: The file to write; default: ``report.html`` in the (first) folder, which must then be local.

    Returns:
        The file.

    Raises:
        InputError: A folder is not a sweep's, holds no finished trial, or has no place for the report.
    """
    places = [directory] if isinstance(directory, str) or not isinstance(directory, Sequence) else list(directory)
    findings = gather(places)
    first = os.fspath(places[0])
    if out is None and ("://" in first or not Path(first).expanduser().is_dir()):
        raise InputError(f"a report needs a local file to be written to, but {first} is not a local folder: give out=")
    target = Path(out if out is not None else Path(first).expanduser() / "report.html").absolute()
    _replace(target, render(findings))
    return target


def render(findings: Findings) -> str:
    """The report as HTML text."""
    titles = [str(section(s.config, "dataset_info").get("long_name") or s.name) for s in findings.sweeps]
    title = " and ".join(dict.fromkeys(titles))
    parts = [
        _header(findings, title),
        _warnings(findings),
        sections.curve_section(findings),
        results.table_section(findings),
        results.won_back_section(findings),
        sections.hyperparameter_section(findings),
        sections.search_section(findings),
        sections.learning_section(findings),
        results.rule_cost_section(findings),
        results.more_figures_section(findings),
        sections.cost_section(findings),
        *(_provenance(findings, sweep, i) for i, sweep in enumerate(findings.sweeps)),
    ]
    body = "\n".join(part for part in parts if part)
    files = resources.files("analysis")
    style, script = (files.joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="lnl-sweep">
<link rel="icon" href="data:,">
<title>{m.text(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{get_plotlyjs()}</script>
<script>{script}</script>
</body>
</html>
"""


def _header(findings: Findings, title: str) -> str:
    lines = []
    for sweep in findings.sweeps:
        mark = f"{sweep.name}: " if len(findings.sweeps) > 1 else ""
        answer = words.answer(findings, sweep)
        lines.append(m.paragraph(mark + answer, "answer"))
        if sweep.primary is not None and not sweep.primary.reason:
            lines.append(m.paragraph(words.test_words(sweep.primary), "quiet"))
    trials = findings.trials
    networks = ", ".join(str(n) for n in trials["network"].dropna().unique())
    names = ", ".join(sweep.name for sweep in findings.sweeps)
    subtitle = f"Sweep {names}; network {networks}; {len(trials)} trials finished"
    shared = _shared(findings) if len(findings.sweeps) > 1 else ""
    return f"<header><h1>{m.text(title)}</h1>{m.paragraph(subtitle, 'subtitle')}{''.join(lines)}{shared}</header>"


def _shared(findings: Findings) -> str:
    """Which sweeps share data, network, metric and rule: only such curves can be read against one another."""
    trials = findings.trials
    facts = []
    for column, word in (("data_checksum", "data"), ("network", "network"), ("metric", "metric")):
        kinds = trials.groupby("sweep")[column].agg(lambda v: ", ".join(sorted({str(x) for x in v.dropna()})))
        same = kinds.nunique() == 1
        facts.append(f"{word}: the same" if same else f"{word}: {'; '.join(f'{k} {v}' for k, v in kinds.items())}")
    rules = {sweep.rules[0] for sweep in findings.sweeps}
    facts.append("headline rule: the same" if len(rules) == 1 else f"headline rules differ: {', '.join(sorted(rules))}")
    return m.paragraph("What the sweeps share") + m.bullets(facts)


def _warnings(findings: Findings) -> str:
    found = warnings_of(findings)
    if not found:
        return ""
    return f'<aside class="warnings" id="warnings"><h2>Before you read on</h2>{m.bullets(found)}</aside>'


def _provenance(findings: Findings, sweep: Sweep, number: int) -> str:
    facts = dict(_facts(findings, sweep))
    items = "".join(f"<dt>{m.text(name)}</dt><dd>{m.text(value)}</dd>" for name, value in facts.items())
    changes = [f"{what}{'' if seen is None else f' ({seen} test results existed)'}" for what, seen in sweep.changed()]
    text = yaml.safe_dump(dict(sweep.config), sort_keys=False, allow_unicode=True) if sweep.config else ""
    config = (
        f"<details><summary>The resolved configuration (sweep.yaml)</summary>"
        f"<pre><code>{m.text(text)}</code></pre></details>"
        if text
        else ""
    )
    command = (
        "<p>To run this sweep again:</p><pre><code>lnl-sweep run sweep.yaml</code></pre>"
        f"<p>with the <code>sweep.yaml</code> of this folder; to rebuild this report: "
        f"<code>lnl-sweep report {m.text(sweep.address)}</code></p>"
    )
    history = m.paragraph("Changes after the start:") + m.bullets(changes) if changes else ""
    title = "Provenance" if len(findings.sweeps) == 1 else f"Provenance of {sweep.name}"
    return m.section(f"provenance-{number}", title, f"<dl>{items}</dl>", history, command, config)


def _facts(findings: Findings, sweep: Sweep) -> Iterator[tuple[str, str]]:
    rows = findings.trials[findings.trials["sweep"] == sweep.name]
    info = section(sweep.config, "dataset_info")
    yield "data set", str(info.get("long_name") or rows["dataset"].iloc[0])
    if info.get("citation"):
        yield "data from", str(info["citation"])
    classes: Any = info.get("classes")
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        yield "classes", ", ".join(str(c) for c in classes)
    for name, value in section(sweep.config, "provenance").items():
        if not isinstance(value, (Mapping, list)):
            yield str(name).replace("_", " "), str(value)
    for name in _ROW_FACTS:
        kinds = sorted({str(value) for value in rows[name].dropna()})
        if kinds:
            yield name.replace("_", " "), ", ".join(kinds)
    for label, method in section(sweep.config, "methods_info").items():
        if isinstance(method, Mapping):
            said = [str(method[key]) for key in ("long_name", "reference") if method.get(key)]
            yield str(label), ", ".join(said)
    ended = rows["finished_at"].dropna()
    if len(ended):
        yield "last trial ended", f"{ended.max():%Y-%m-%d %H:%M} UTC"


def _replace(target: Path, content: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".report-", suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}): give another out=") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
