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
    data = [
        {"when": dict(v.when), **json.loads(v.figure.to_json(remove_uids=False)), "summary": v.summary} for v in views
    ]
    # Axes, marks and texts of two views are almost the same: each after the first holds what differs.
    data[1:] = [_change(data[0], view) for view in data[1:]]
    height = int(views[0].figure.layout.height or 460)
    return part("plot", identifier, name, script_json(data), height, caption, views[0].summary)


def _change(base: dict[str, Any], view: dict[str, Any]) -> dict[str, Any]:
    """Write a view as its changes to another, traces by their ``uid``.

    ``merged`` of ``report.js`` undoes it.
    """
    known = {trace["uid"]: trace for trace in base["data"] if "uid" in trace}
    traces = [{**change_of(known.get(t.get("uid"), {}), t), **_identity(t)} for t in view["data"]]
    return {**view, "data": traces, "layout": change_of(base["layout"], view["layout"])}


def _identity(trace: dict[str, Any]) -> dict[str, Any]:
    return {"uid": trace["uid"]} if "uid" in trace else {}


def change_of(base: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[Any, Any]:
    """Compute what must be changed in one JSON object to get another.

    Args:
        base: The object to change.
        other: The object to get, without nulls.

    Returns:
        Keys that differ; an object in it by its own changes, a list of as many objects by those of its entries, under
        ``[]``; null = the key goes.

    Example:
        >>> change_of({"x": {"range": [0, 1], "title": "bias"}, "height": 4}, {"x": {"range": [0, 2], "title": "bias"}})
        {'x': {'range': [0, 2]}, 'height': None}
        >>> change_of({"texts": [{"x": 0}, {"x": 1}]}, {"texts": [{"x": 0}, {"x": 2}]})
        {'texts': {'[]': {1: {'x': 2}}}}
    """
    change: dict[Any, Any] = {}
    for name, value in other.items():
        before = base.get(name)
        if name in base and before == value:
            continue
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            change[name] = change_of(before, value)
        elif isinstance(before, list) and isinstance(value, list) and _alike(before, value):
            change[name] = {"[]": change_of(dict(enumerate(before)), dict(enumerate(value)))}
        else:
            change[name] = value
    return change | {name: None for name in base if name not in other}


def _alike(before: list[Any], value: list[Any]) -> bool:
    """True of lists of as many objects."""
    return len(before) == len(value) and all(isinstance(entry, Mapping) for entry in (*before, *value))


def script_json(data: Any) -> Markup:
    """Write JSON that cannot end its script element.

    Example:
        >>> "</script>" in script_json({"text": "</script>"})
        False
    """
    # Old browsers end a line of a script at U+2028.
    return Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", "\\u2028"))
