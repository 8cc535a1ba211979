"""Tables of pages that are counted from the stored examples: how they are written, and put between their marks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def write_page(page: Path, names: Iterable[str], tables_of: Callable[[str], list[str]]) -> None:
    """Write the tables of some examples into a page."""
    page.write_text(filled(page.read_text(encoding="utf-8"), names, tables_of), encoding="utf-8")
    print(page)


def filled(text: str, names: Iterable[str], tables_of: Callable[[str], list[str]]) -> str:
    """Put tables in place of what stands between their marks ``<!-- NAME -->`` and ``<!-- end -->``.

    Args:
        text: The page.
        names: Names of examples.
        tables_of: Writes the lines of one.

    Returns:
        The page.
    """
    for name in names:
        mark = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        lines = "\n".join([*tables_of(name), ""])
        text, found = re.subn(mark, lambda match, new=lines: f"{match[1]}\n{new}{match[2]}", text, flags=re.DOTALL)
        assert found == 1, f"the page must have the mark <!-- {name} --> once, but has it {found} times"
    return text


def section(title: str, table: str, caption: str) -> list[str]:
    """Write a table with its heading and its caption."""
    return [f"### {title}", "", table, "", *_wrapped(caption), ""]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(value: float) -> str:
    """Write a share without its leading 0."""
    return f"{value:.3f}".replace("0.", ".", 1)


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign."""
    return f"{value:+.{digits}f}".replace("0.", ".", 1)


def point(row: Mapping[Any, Any] | None) -> str:
    """Write a point of a curve with half the width of its band."""
    if row is None or not row["n_seeds"]:
        return "not applicable"
    return f"{short(row['mean'])} ± {short((row['high'] - row['low']) / 2)}"


def by_place(rows: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], dict[Any, Any]]:
    """Rows by some of their columns."""
    return {tuple(row[name] for name in columns): row for row in rows.to_dict("records")}


def _wrapped(text: str, width: int = 130) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
