"""Pieces of the page, from the templates.

Every text is escaped; markup is not escaped twice.
"""

from __future__ import annotations

import base64
import numbers
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

Cell = str | float | int | bool | None
_TEMPLATES = Path(__file__).parents[1] / "templates"
_LONG = 36
"""Letters of a cell that stays in one line."""
_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()<>]+)\)")


def fill(template: str, **values: Any) -> Markup:
    """Fill in one of the templates.

    Args:
        template: Name of the template.
        **values: Values of its variables; a missing one is an error.

    Returns:
        The HTML.
    """
    # The environment escapes what it fills in, so that its result is markup.
    return Markup(_environment().get_template(template).render(values))


def part(name: str, *values: Any) -> Markup:
    """Fill in a macro of ``parts.html``.

    Args:
        name: Name of the macro.
        *values: Its arguments.

    Returns:
        The HTML.

    Example:
        >>> print(part("heading", "lnl & erm"))
        <h3>lnl &amp; erm</h3>
    """
    return Markup(getattr(_environment().get_template("parts.html").module, name)(*values))


def together(parts: Iterable[str]) -> Markup:
    """Join pieces one after the other.

    Example:
        >>> print(together([heading("a"), heading("b")]))
        <h3>a</h3><h3>b</h3>
    """
    return Markup("").join(parts)


def paragraph(content: object, kind: str = "") -> Markup:
    """Make one paragraph, nothing for an empty text.

    Example:
        >>> print(paragraph("p < .05"))
        <p>p &lt; .05</p>
        >>> paragraph("")
        Markup('')
    """
    return part("paragraph", content, kind)


def section(identifier: str, title: str, *parts: Markup) -> Markup:
    """Make a section with its heading, nothing where it has no content.

    Example:
        >>> section("cost", "Cost", Markup(""))
        Markup('')
    """
    content = [piece for piece in parts if piece]
    return part("section", identifier, title, content) if content else Markup("")


def details(summary: object, *parts: Markup) -> Markup:
    """Make content that opens on demand.

    Example:
        >>> "<details" in details("The numbers", paragraph("0.9"))
        True
    """
    return part("details", summary, parts)


def heading(title: object) -> Markup:
    """Make a heading inside a section.

    Example:
        >>> print(heading("Digits"))
        <h3>Digits</h3>
    """
    return part("heading", title)


def bullets(items: Iterable[object]) -> Markup:
    """Make a list, nothing without items.

    Example:
        >>> bullets(["one", "two"]).count("<li>"), bullets([])
        (2, Markup(''))
    """
    return part("bullets", list(items))


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> Markup:
    """Make a table that scrolls inside its own box, nothing without rows.

    Args:
        columns: Titles of the columns.
        rows: Cells of each row.
        caption: Caption; "" = none.

    Returns:
        The HTML.

    Example:
        >>> table(["method", "mean"], [["erm", 0.84], ["lnl", 0.91]]).count("<tr>"), table(["method"], [])
        (3, Markup(''))
    """
    lines = [list(row) for row in rows]
    return part("table", columns, lines, caption) if lines else Markup("")


def download(name: str, content: str, label: str) -> Markup:
    """Make a link that saves a text as a file.

    Args:
        name: Name of the file.
        content: Its text, which the page holds in base64.
        label: Text of the link.

    Returns:
        The HTML.

    Example:
        >>> 'download="table.csv"' in download("table.csv", "a,b", "Download")
        True
    """
    return part("download", name, content.encode("utf-8"), label)


def remark(content: object) -> Markup:
    """Make a paragraph that may hold Markdown links ``[text](https://...)``.

    Example:
        >>> 'href="https://example.org"' in remark("see [the data](https://example.org)")
        True
    """
    before, *rest = _LINK.split(str(content))
    # The pattern has two groups: words of a link, its address, the text after it, and so on.
    linked = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    return part(
        "remark", [(before, ""), *(piece for words, to, after in linked for piece in ((words, to), (after, "")))]
    )


def cell_text(cell: Cell) -> str:
    """Write a cell: numbers to four significant digits, missing ones empty.

    Example:
        >>> cell_text(0.123456), cell_text(12), cell_text(True), cell_text(float("nan"))
        ('0.1235', '12', 'yes', '')
    """
    if cell is None or cell != cell:
        return ""
    # Before the numbers: a bool is an int too.
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def short(value: Any) -> Cell:
    """Shorten a value for a cell: floats to three significant digits, missing ones empty.

    Example:
        >>> short(0.123456), short(12), short("erm"), short(float("nan"))
        ('0.123', 12, 'erm', '')
    """
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return f"{value:.3g}" if isinstance(value, float) and value == value else ""


def _numeric(cell: Cell) -> bool:
    number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
    return number or (isinstance(cell, str) and cell[:1] in tuple("+-<>.0123456789"))


def _broken(text: str) -> str:
    """Put an interval, or what stands in parentheses, on a line of its own, as a table of many columns needs it."""
    return re.sub(r"(?<=[\d*%)\]]) (?=[\[(])|(?<=^not) (?=applicable$)", "\n", text)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters |= {
        "cell": cell_text,
        "broken": _broken,
        "base64": lambda content: base64.b64encode(content).decode("ascii"),
    }
    made.tests |= {"numeric": _numeric, "long": lambda cell: isinstance(cell, str) and len(cell) > _LONG}
    return made
