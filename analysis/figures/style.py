"""House style of the figures: colour-blind-safe colours, and for each method its own dash and marker as well."""

from __future__ import annotations

import dataclasses
import html
import textwrap
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GRID = "rgba(128, 128, 128, 0.25)"
TEXT = "#333333"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Okabe & Ito 2008; black is replaced by a grey that is legible on dark ground too, yellow left out.
_GREY, _ORANGE, _SKY, _GREEN = "#808080", "#E69F00", "#56B4E9", "#009E73"
_BLUE, _VERMILLION, _PURPLE = "#0072B2", "#D55E00", "#CC79A7"


@dataclass(frozen=True)
class Style:
    """Look of one method: colour, dash of its line, symbol of its marks."""

    color: str
    dash: str
    symbol: str

    def fill(self, opacity: float) -> str:
        """Write the colour at an opacity, as rgba text."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, {opacity})"

    def of_layer(self, layer: int) -> Style:
        """Give the same style with other marks.

        They are for another facet, data set or sweep of the same method that lies over the first.
        """
        return dataclasses.replace(self, symbol=f"{self.symbol}{_LAYERS[layer % len(_LAYERS)]}")


_LAYERS = ("", "-open", "-dot", "-open-dot")
_KNOWN = {
    "ceiling": Style(_GREY, "dot", "diamond"),
    # The ceiling under its other name (``points.measures.WITHOUT_BIAS``).
    "trained without bias": Style(_GREY, "dot", "diamond"),
    "erm": Style(_VERMILLION, "solid", "circle"),
    "lnl": Style(_BLUE, "dash", "square"),
    "grl": Style(_GREEN, "dashdot", "triangle-up"),
    "blind_eye": Style(_PURPLE, "longdash", "star"),
    "permuted_bias": Style(_ORANGE, "longdashdot", "x"),
}
_OTHERS = [
    Style(color, dash, symbol)
    for dash, symbol in (("solid", "hexagon"), ("dash", "cross"), ("dot", "triangle-down"), ("dashdot", "pentagon"))
    for color in (_SKY, _ORANGE, _PURPLE, _GREEN, _BLUE, _VERMILLION)
]


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """Choose a style for each label: fixed for the methods every sweep has, in order of appearance for the rest.

    Args:
        labels: Labels of methods, which may repeat.

    Returns:
        A style for each label.

    Example:
        >>> styles(["erm", "mine"])["erm"].color, styles(["mine"])["mine"].symbol
        ('#D55E00', 'hexagon')
    """
    chosen: dict[str, Style] = {}
    free = iter(_OTHERS * 8)
    for label in labels:
        if label not in chosen:
            chosen[label] = _KNOWN[label] if label in _KNOWN else next(free)
    return chosen


_NOTE_WIDTH = 140
"""Letters of a line of a note: more do not fit the report's figures."""


def layout(title: str, note: str = "") -> dict[str, Any]:
    """Make the layout of all figures: transparent background (light and dark), legend above, note under the title.

    Args:
        title: Title; "" = none.
        note: Note under the title; "" = none.

    Returns:
        A plotly layout.

    Example:
        >>> layout("Accuracy", "synthetic slices")["title"]["text"]
        "Accuracy<br><span style='font-size:12px'>synthetic slices</span>"
    """
    lines = textwrap.wrap(note, _NOTE_WIDTH)
    under = f"<br><span style='font-size:12px'>{'<br>'.join(map(safe, lines))}</span>" if note else ""
    return {
        "title": {"text": f"{safe(title)}{under}" if title else "", "x": 0, "xanchor": "left", "font": {"size": 16}},
        "font": {"family": FONT, "size": 13, "color": TEXT},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 58, "r": 16, "t": 46 + 24 * len(lines) if note else 50 if title else 16, "b": 64},
        "hoverlabel": {"align": "left", "font": {"size": 12}},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        "template": "none",
        "height": 460,
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Make an axis with light grid lines.

    Args:
        title: Its title.
        **more: Other options of a plotly axis.

    Returns:
        The options.

    Example:
        >>> axis("epoch", dtick=1)["dtick"]
        1
    """
    return {
        "title": {"text": title},
        "gridcolor": GRID,
        "linecolor": "rgba(128, 128, 128, 0.7)",
        "zeroline": False,
        "automargin": True,
        **more,
    }


def safe(text: object) -> str:
    """Escape the markup in a text: plotly reads a subset of HTML in every label.

    Example:
        >>> safe("gamma < 1")
        'gamma &lt; 1'
    """
    return html.escape(str(text), quote=False)


def trace_id(name: str) -> str:
    """Make the identifier that keeps a trace the same when another rule is shown.

    It is one word, since plotly puts it into CSS selectors.

    Args:
        name: The trace's line and kind.

    Returns:
        One word of letters and digits.

    Example:
        >>> trace_id("erm/mean") == trace_id("erm/mean"), trace_id("erm/mean").isalnum()
        (True, True)
    """
    return f"t{zlib.crc32(name.encode()):08x}"
