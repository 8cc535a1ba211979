"""Commands ``lnl-sweep report`` and ``lnl-sweep pack``, on finished trials."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def report(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep report``: rebuild ``report.html``, and export figures, tables and what a paper needs."""
    from analysis.findings import gather
    from analysis.report.page import place_report

    findings = gather(options.dir)
    written = place_report(findings, options.dir[0], options.out)
    print(as_uri(written))
    if options.csv:
        from analysis.export.csv import csv_of

        _print_paths(csv_of(findings, options.csv))
    if options.paper:
        from analysis.export.paper import write_paper

        _print_paths(write_paper(findings, options.paper))
    if options.png:
        from analysis.export.png import write_png

        folder = written.parent if isinstance(written, Path) else Path()
        _print_paths(write_png(findings, folder / "figures"))
    return 0


def pack(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep pack``: write rows, configuration, splits, samples and report into one file."""
    from analysis.export.pack import pack as pack_sweep

    print(as_uri(pack_sweep(options.dir, options.out)))
    return 0


def as_uri(path: Any) -> str:
    """Address that a terminal can open.

    Example:
        >>> as_uri("/data/results/report.html"), as_uri("s3://bucket/results/report.html")
        ('file:///data/results/report.html', 's3://bucket/results/report.html')
    """
    return Path(path).absolute().as_uri() if "://" not in str(path) else str(path)


def _print_paths(files: list[Path]) -> None:
    print(f"{len(files)} files in {as_uri(files[0].parent)}")
