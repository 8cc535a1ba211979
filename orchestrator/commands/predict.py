"""Command ``lnl-sweep predict``: an external test set through every model that a sweep has kept."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping

from store.errors import InputError


def predict(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep predict``: write the predictions, and rebuild the report with their section."""
    from analysis.report.page import write_report
    from orchestrator.commands.report import as_uri
    from orchestrator.external.predict import Request
    from orchestrator.external.predict import predict as predict_with

    request = Request(
        file=options.data,
        name=options.name,
        columns=columns_of(options.columns),
        rule=options.models,
        window=window_of(options.window),
        trust_plugins=options.trust_plugins,
        device=options.device,
    )
    done = predict_with(options.dir, request, print)
    sheet = done.external
    patients = f"; patients: {', '.join(_counted(sheet.patients))}" if sheet.patients else ""
    print(f"{sheet.name}: {sum(sheet.images.values())} images ({', '.join(_counted(sheet.images))}){patients}")
    if sheet.note:
        print(sheet.note)
    before = f", {done.before} had predicted it before" if done.before else ""
    gone = f", {done.gone} confirm trials have no model" if done.gone else ""
    print(f"{done.new} models have predicted it now{before}{gone}")
    if done.new:
        print(as_uri(write_report(options.dir)))
    return 0


def columns_of(text: str) -> dict[str, str]:
    """Columns by role, from ``ROLE=COL,...``.

    Args:
        text: Value of the option.

    Raises:
        InputError: A part without a role or a column.

    Example:
        >>> columns_of("path=file,label=diagnosis")
        {'path': 'file', 'label': 'diagnosis'}
    """
    columns = {}
    for part in filter(None, text.split(",")):
        role, found, name = part.partition("=")
        if not found or not role.strip() or not name.strip():
            raise InputError(f"--columns must be ROLE=COL,..., e.g. path=file,label=diagnosis, but holds '{part}'")
        columns[role.strip()] = name.strip()
    return columns


def window_of(text: str | None) -> tuple[float, float] | None:
    """Window from ``LOW,HIGH``, or None without one.

    Raises:
        InputError: Anything but two ascending numbers.

    Example:
        >>> window_of("0,4095"), window_of(None)
        ((0.0, 4095.0), None)
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"--window must be two ascending numbers, e.g. 0,4095, but is '{text}'")
    return low, high


def _counted(images: Mapping[str, int]) -> list[str]:
    return [f"{name} {count}" for name, count in images.items()]
