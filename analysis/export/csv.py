"""All tables of one or several sweeps as CSV files, with a codebook that explains every column."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from analysis.export.codebook import explain
from analysis.findings import Findings, gather
from analysis.numbers.search import expected_validation, lambda_map
from analysis.numbers.tables import cost
from analysis.writing import out_folder, replacing, write_text
from store.columns import bias_parameters
from store.open import Location, as_list


def write_csv(directories: Location | Sequence[Location], out: str | os.PathLike[str]) -> list[Path]:
    """Write all tables as CSV and ``codebook.csv``, which names and explains every column of every table.

    Args:
        directories: A sweep's folder, or several.
        out: The folder to write into.

    Returns:
        The files, the codebook last.

    Raises:
        InputError: A folder is not a sweep's, or ``out`` is a file.

    Example:
        >>> import tempfile
        >>> from analysis.examples import write_small_example
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     small = write_small_example(Path(folder) / "small")
        ...     sorted(file.name for file in write_csv(small, Path(folder) / "tables"))
        ['codebook.csv', 'cost.csv', 'expected_validation.csv', 'selected_hyperparameters.csv', 'trials.csv']
    """
    return csv_of(gather(as_list(directories)), out)


def csv_of(findings: Findings, out: str | os.PathLike[str]) -> list[Path]:
    """Write the files of ``write_csv`` from findings already gathered.

    Args:
        findings: What ``analysis.findings.gather`` returned.
        out: The folder to write into.

    Returns:
        The files, the codebook last.

    Raises:
        InputError: ``out`` is a file.
    """
    folder = out_folder(out, "CSV files")
    files, book = [], []
    for name, table in tables_of(findings).items():
        # A reader, or a spreadsheet, never opens half a table.
        with replacing(folder / f"{name}.csv") as temporary:
            arrow = pa.Table.from_pandas(_flat(table), preserve_index=False)
            pacsv.write_csv(arrow, temporary, pacsv.WriteOptions(quoting_style="needed"))
        files.append(folder / f"{name}.csv")
        book += [(name, str(column), str(table[column].dtype), explain(name, str(column))) for column in table]
    lines = pd.DataFrame(book, columns=["table", "column", "type", "meaning"])
    files.append(write_text(folder / "codebook.csv", lines.to_csv(index=False, lineterminator="\n")))
    return files


def tables_of(findings: Findings) -> dict[str, pd.DataFrame]:
    """Collect the tables by name, empty ones left out.

    Predictions and splits stay Parquet, as no spreadsheet holds them.

    Args:
        findings: What ``analysis.findings.gather`` returned.

    Returns:
        Tables by name, which is also the name of their CSV file.
    """
    measures = [curve.assign(column=column) for column, curve in findings.measures.items()]
    external = [curve.assign(column=column) for column, curve in findings.external.items()]
    tables = {
        "trials": findings.trials.drop(columns=bias_parameters(findings.trials.columns), errors="ignore"),
        "history": findings.history,
        "curve": findings.curve.assign(column=findings.column),
        "measures": pd.concat(measures, ignore_index=True) if measures else pd.DataFrame(),
        "external": pd.concat(external, ignore_index=True) if external else pd.DataFrame(),
        "won_back": findings.won_back,
        "areas": findings.areas,
        "breaking_points": findings.breaking,
        "ranks": findings.ranks,
        "against_erm": findings.against_erm,
        "at_natural_bias": findings.here,
        "selected_hyperparameters": findings.selected,
        "lambda_map": lambda_map(findings.trials),
        "expected_validation": expected_validation(findings.trials),
        "confusion": findings.confusion,
        "published": findings.beside,
        "cost": cost(findings.trials),
        "sharing": findings.sharing.rename_axis("property").reset_index() if len(findings.sharing) else pd.DataFrame(),
    }
    return {name: table for name, table in tables.items() if len(table)}


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Write tuples as text, for one cell of a CSV file.

    Several values are separated by a semicolon, JSON texts stand in a JSON list.
    """
    flat = table.copy(deep=False)
    for name in flat:
        if flat[name].dtype == object and flat[name].map(lambda value: isinstance(value, tuple)).any():
            flat[name] = flat[name].map(_joined)
    return flat


def _joined(value: object) -> object:
    if not isinstance(value, tuple):
        return value
    if any(isinstance(part, str) and part.startswith("{") for part in value):
        return json.dumps(value)
    return ";".join(str(part) for part in value)
