"""What a reader of the report can switch (rule, x axis, figure, method): buttons, and the content each one shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from analysis.report.html.markup import text


@dataclass(frozen=True)
class View:
    """One state of a figure.

    Attributes:
        when: Switches and the values they must have, e.g. ``{"rule": "val_biased"}``; empty = always.
        figure: The figure; a ``narrow`` entry of its ``layout.meta`` holds what is laid out otherwise on a phone.
        summary: What it shows, in words.
    """

    when: Mapping[str, str]
    figure: go.Figure
    summary: str


def buttons(switch: str, lead: str, choices: Mapping[str, str]) -> str:
    """A group of buttons of which one is pressed, the first at the start; none where there is no choice.

    Args:
        switch: Name of the switch.
        lead: Words before the buttons.
        choices: Values and their names.

    Returns:
        The HTML.
    """
    if len(choices) < 2:
        return ""
    listed = "".join(
        f'<button type="button" data-switch="{text(switch)}" data-value="{text(value)}" '
        f'aria-pressed="{str(i == 0).lower()}">{text(name)}</button>'
        for i, (value, name) in enumerate(choices.items())
    )
    return f'<div class="switch" role="group" aria-label="{text(lead)}"><span>{text(lead)}</span> {listed}</div>'


def per(switch: str, parts: Mapping[str, str]) -> str:
    """Content of which one value's is shown at a time; the first without scripts."""
    return "\n".join(
        f'<div data-switch-of="{text(switch)}" data-value="{text(value)}"{"" if i == 0 else " hidden"}>{part}</div>'
        for i, (value, part) in enumerate(parts.items())
        if part
    )


def plot(identifier: str, name: str, views: Sequence[View], caption: str) -> str:
    """A figure with its data, a caption (HTML), and in words what it shows.

    Args:
        identifier: Identifier of the element.
        name: What the figure is called.
        views: Its states; the first is what a reader without scripts is told of.
        caption: HTML under the figure.

    Returns:
        The HTML; ``report.js`` draws it.
    """
    data = [{"when": dict(view.when), **json.loads(view.figure.to_json()), "summary": view.summary} for view in views]
    height = int(views[0].figure.layout.height or 460)
    return (
        f'<figure><div class="plot" id="{text(identifier)}" role="group" aria-label="{text(name)}" '
        f'aria-describedby="{text(identifier)}-words" style="min-height:{height}px"></div>\n'
        f'<script type="application/json" data-for="{text(identifier)}">{script_json(data)}</script>\n'
        f"<figcaption>{caption}"
        f'<details><summary>The figure in words</summary><p id="{text(identifier)}-words">{text(views[0].summary)}</p>'
        f"</details></figcaption></figure>"
    )


def script_json(data: Any) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", "\\u2028")
