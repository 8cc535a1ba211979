"""Switches of the report (rule, x axis, figure, method): buttons, and the content each one shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from analysis.report.html.markup import part


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


def buttons(switch: str, lead: str, choices: Mapping[str, str]) -> Markup:
    """Make a group of buttons of which one is pressed, the first at the start.

    Args:
        switch: Name of the switch.
        lead: Words before the buttons.
        choices: Values and their names.

    Returns:
        The HTML; none where there is no choice.

    Example:
        >>> buttons("rule", "Chosen by", {"a": "one", "b": "two"}).count("<button")
        2
        >>> buttons("rule", "Chosen by", {"a": "one"})
        Markup('')
    """
    return part("buttons", switch, lead, choices) if len(choices) > 1 else Markup("")


def per(switch: str, parts: Mapping[str, Markup]) -> Markup:
    """Make content with a part for each value of a switch, one part shown at a time.

    Without scripts the first is shown.

    Args:
        switch: Name of the switch.
        parts: Content by value.

    Returns:
        The HTML.

    Example:
        >>> per("rule", {"a": Markup("one"), "b": Markup("two")}).count("<div")
        2
    """
    return part("per", switch, parts)


def plot(identifier: str, name: str, views: Sequence[View], caption: Markup) -> Markup:
    """Make a figure with its data, a caption (HTML), and in words what it shows.

    Args:
        identifier: Identifier of the element.
        name: What the figure is called.
        views: Its states; a reader without scripts gets the summary of the first.
        caption: HTML under the figure.

    Returns:
        The HTML; ``report.js`` draws it.

    Example:
        >>> view = View({}, go.Figure(), "An empty figure.")
        >>> 'id="figure-empty"' in plot("figure-empty", "Empty", [view], Markup(""))
        True
    """
    data = [{"when": dict(view.when), **json.loads(view.figure.to_json()), "summary": view.summary} for view in views]
    height = int(views[0].figure.layout.height or 460)
    return part("plot", identifier, name, script_json(data), height, caption, views[0].summary)


def script_json(data: Any) -> Markup:
    """Write JSON that cannot end its script element.

    Example:
        >>> "</script>" in script_json({"text": "</script>"})
        False
    """
    # Old browsers end a line of a script at U+2028.
    return Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", "\\u2028"))
