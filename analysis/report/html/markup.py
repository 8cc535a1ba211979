"""Pieces of HTML, every text escaped."""

from __future__ import annotations

import base64
import html
import numbers
import re
from collections.abc import Iterable, Sequence
from typing import Any

Cell = str | float | int | bool | None
_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()<>]+)\)")


def text(value: object) -> str:
    """Escape a text for element content and attributes."""
    return html.escape(str(value), quote=True)


def paragraph(content: object, kind: str = "") -> str:
    """One paragraph; nothing for an empty text."""
    attribute = f' class="{text(kind)}"' if kind else ""
    return f"<p{attribute}>{text(content)}</p>" if content else ""


def section(identifier: str, title: str, *parts: str) -> str:
    """A section with its heading; nothing where it has no content."""
    content = "\n".join(part for part in parts if part)
    return f'<section id="{text(identifier)}"><h2>{text(title)}</h2>\n{content}\n</section>' if content else ""


def details(summary: object, *parts: str) -> str:
    """Content that opens on demand."""
    return f"<details><summary>{text(summary)}</summary>{''.join(parts)}</details>"


def heading(title: object) -> str:
    """A heading inside a section."""
    return f"<h3>{text(title)}</h3>"


def bullets(items: Iterable[object], kind: str = "") -> str:
    """A list; nothing without items."""
    lines = "".join(f"<li>{text(item)}</li>" for item in items)
    return f'<ul class="{text(kind)}">{lines}</ul>' if lines else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> str:
    """A table that scrolls inside its own box; the first column names the row, numbers are set right."""
    lines = []
    for row in rows:
        head, *rest = row
        cells = "".join(f"<td{_numeric(cell)}>{text(cell_text(cell))}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{text(cell_text(head))}</th>{cells}</tr>')
    if not lines:
        return ""
    header = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    label = f' aria-label="{text(caption)}"' if caption else ""
    body = "\n".join(lines)
    return (
        f"{paragraph(caption, 'caption')}"
        f'<div class="scroll" tabindex="0"><table{label}><thead><tr>{header}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def cell_text(cell: Cell) -> str:
    """A cell's text: numbers to four significant digits, missing ones empty."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def short(value: Any) -> Cell:
    """A value for a cell: floats to three significant digits, missing ones empty."""
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return f"{value:.3g}" if isinstance(value, float) and value == value else ""


def linked(content: object) -> str:
    """A sentence that may hold Markdown links ``[text](https://...)``: those become links, all else is escaped."""
    said, end = str(content), 0
    parts = []
    for found in _LINK.finditer(said):
        parts.append(text(said[end : found.start()]))
        parts.append(f'<a href="{text(found[2])}" rel="noopener noreferrer">{text(found[1])}</a>')
        end = found.end()
    return "".join([*parts, text(said[end:])])


def download(name: str, content: str, label: str) -> str:
    """A link that saves a text as a file, without a server or a script."""
    data = base64.b64encode(content.encode("utf-8")).decode("ascii")
    return (
        f'<a class="button" download="{text(name)}" href="data:text/csv;charset=utf-8;base64,{data}">{text(label)}</a>'
    )


def image(png: bytes, alt: str) -> str:
    """A picture inside the page."""
    return f'<img alt="{text(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'


def _numeric(cell: Cell) -> str:
    number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
    return ' class="number"' if number or (isinstance(cell, str) and cell and cell[0] in "+-<>.0123456789") else ""
