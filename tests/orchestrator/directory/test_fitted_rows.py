"""Reports of trials, made into a row that a part can hold."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.directory.fitted_rows import fitted
from store.columns import to_table
from store.parts import part_bytes
from tests.orchestrator.directory.test_reader_and_writer import make_spec
from tests.orchestrator.support import fake_history, fake_row
from trainable.texts import LONGEST

ROW = fake_row(make_spec(1), 0.5)


def written(table: str, row: dict[str, Any]) -> dict[str, Any]:
    data = to_table(table, [row])
    assert part_bytes(data)
    (found,) = data.to_pylist()
    return {name: found[name] for name in row}


def test_ordinary_rows_stay_as_they_are() -> None:
    assert fitted("trials", ROW) == (ROW, [])
    entry = {"trial_id": "t", **fake_history([0.1])[0]}
    assert fitted("history", entry) == (entry, [])


@pytest.mark.parametrize(
    ("column", "value", "becomes"),
    [
        ("error", "\ud800 \x00\nx", "\\ud800 \\x00\\nx"),
        ("device_name", "cpu\udcff", "cpu\\udcff"),
        ("node", ValueError("no text"), "no text"),
        ("weights", ["a", 1], "['a', 1]"),
        ("val_biased", np.float32(0.5), 0.5),
        ("val_biased", torch.tensor(0.5), 0.5),
        ("val_biased", float("inf"), float("inf")),
        ("lr", 1, 1.0),
        ("epochs", np.int64(3), 3),
        ("epochs", 3.0, 3),
        ("collapsed", np.bool_(True), True),
        ("recall_caf\udce9", 0.5, 0.5),
    ],
)
def test_what_can_be_written_is(column: str, value: Any, becomes: Any) -> None:
    row, problems = fitted("trials", {**ROW, column: value})
    assert problems == []
    assert written("trials", row)[column.replace("\udce9", "\\udce9")] == becomes


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("val_biased", "0.5", "val_biased must be a number, but is '0.5' (str)"),
        ("val_biased", torch.tensor([1.0, 2.0]), "val_biased must be a number, but is tensor([1., 2.]) (Tensor)"),
        ("val_biased", 10**400, "val_biased must be a number"),
        ("val_biased", True, "val_biased must be a number, but is True (bool)"),
        ("epochs", float("nan"), "epochs must be a whole number, but is nan (float)"),
        ("epochs", float("inf"), "epochs must be a whole number, but is inf (float)"),
        ("epochs", 2.5, "epochs must be a whole number, but is 2.5 (float)"),
        ("seed", 2**63, "seed must be a whole number"),
        ("collapsed", 1, "collapsed must be true or false, but is 1 (int)"),
        ("started_at", "now", "started_at must be a time, but is 'now' (str)"),
        ("val_best", 0.5, "val_best is no column of trials"),
    ],
)
def test_what_cannot_be_written_is_left_out_and_named(column: str, value: Any, problem: str) -> None:
    row, problems = fitted("trials", {**ROW, column: value})
    assert len(problems) == 1 and problems[0].startswith(problem) and len(problems[0]) < 300
    assert row.get(column) is None and written("trials", row)


def test_texts_are_bounded_except_hyperparameters_which_are_read_back() -> None:
    text = "[" + "1, " * LONGEST + "1]"
    row, _ = fitted("trials", {**ROW, "error": "x" * 5_000_000, "hyperparameters": text})
    assert len(row["error"]) < LONGEST + 50 and row["hyperparameters"] == text


def test_a_value_that_cannot_be_shown_is_named_all_the_same() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise RuntimeError

    _, problems = fitted("trials", {**ROW, "epochs": Silent()})
    assert problems == ["epochs must be a whole number, but is something that cannot be shown (Silent)"]


def test_times_may_have_another_zone() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    began = datetime.datetime(2026, 1, 1, 12, tzinfo=zone)
    row, problems = fitted("trials", {**ROW, "started_at": began})
    assert problems == [] and written("trials", row)["started_at"] == began
