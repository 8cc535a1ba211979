"""The views of a figure: the first is stored whole, the others as what they change."""

from __future__ import annotations

import json
import re
from typing import Any

import plotly.graph_objects as go
import pytest
from markupsafe import Markup

from analysis.report.html.switches import View, change_of, plot


def merged(base: Any, change: dict[str, Any]) -> Any:
    """Undo ``change_of``, as ``report.js`` does."""
    whole = {str(k): v for k, v in (enumerate(base) if isinstance(base, list) else base.items())}
    for name, value in change.items():
        if value is None:
            del whole[name]
        elif isinstance(value, dict) and "[]" in value:
            whole[name] = merged(whole[name], value["[]"])
        else:
            both = isinstance(value, dict) and isinstance(whole.get(name), dict)
            whole[name] = merged(whole[name], value) if both else value
    return list(whole.values()) if isinstance(base, list) else whole


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ({}, {}),
        ({"a": 1}, {}),
        ({}, {"a": {"b": [1, 2]}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}),
        ({"a": [{"x": 1, "y": 2}, {"x": 3}]}, {"a": [{"x": 1, "y": 4}, {"x": 3, "z": 5}]}),
        ({"a": [{"x": 1}]}, {"a": [{"x": 1}, {"x": 2}]}),
        ({"a": [1, 2]}, {"a": {"dtype": "f4"}}),
        ({"a": {"dtype": "f4"}}, {"a": [1, 2]}),
        ({"a": [{"x": 1}]}, {"a": []}),
        ({"a": {"b": {"c": 1}}}, {"a": {}}),
    ],
)
def test_a_change_makes_one_object_of_another(base: dict[str, Any], other: dict[str, Any]) -> None:
    change = json.loads(json.dumps(change_of(base, other)))
    assert merged(base, change) == other


def test_equal_objects_need_no_change() -> None:
    assert change_of({"a": {"b": [{"x": 1}]}}, {"a": {"b": [{"x": 1}]}}) == {}


def test_views_hold_what_differs_from_the_first() -> None:
    def figure(*ys: float) -> go.Figure:
        lines = [go.Scatter(x=[0, 1], y=[y, y], uid=f"t{i}", name=f"line {i}") for i, y in enumerate(ys)]
        return go.Figure([*lines, go.Scatter(x=[0], y=[0], name="no identity")]).update_layout(title_text=str(ys[0]))

    figures = [figure(1, 2), figure(3), figure(1, 2, 5)]
    text = plot("figure-x", "X", [View({"rule": str(i)}, f, "") for i, f in enumerate(figures)], Markup(""))
    content = re.search(r"<script[^>]*>(.*?)</script>", text, re.S)
    assert content is not None
    first, *others = json.loads(content[1])
    traces = {trace.get("uid"): trace for trace in first["data"]}
    assert others[0]["data"][0] == {"uid": "t0", "y": [3, 3]}
    for view, drawn in zip(others, figures[1:], strict=True):
        whole = json.loads(drawn.to_json(remove_uids=False))
        assert merged(first["layout"], view["layout"]) == whole["layout"]
        known = [traces.get(trace["uid"], {}) if "uid" in trace else {} for trace in view["data"]]
        assert [merged(base, trace) for base, trace in zip(known, view["data"], strict=True)] == whole["data"]
