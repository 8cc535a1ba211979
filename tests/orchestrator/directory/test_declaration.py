"""Declared stays declared: what a resume may change, and when the comparison becomes descriptive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.primary.standing import Standing, standing_of
from orchestrator.cli import main
from orchestrator.directory.declaration import declaration_of, next_declaration
from orchestrator.directory.sheet import configuration_of
from orchestrator.plan.comparable import check_primary
from orchestrator.sweep import _as_begun
from store.errors import InputError
from store.open import open_folder
from store.sheet.declaration import hash_of, parts_of
from tests.orchestrator.support import FakeData, sweep_cells, sweep_config
from trainable.spec import TrialSpec

SWEEP = """
name: tiny
dataset: {name: coloured_digits, subset: development, bias: {color_variance: [0.02, 0.4]}}
network: {name: pixel_front}
methods: [erm, {name: erm, label: other, fixed: {lr: 0.01}}]
search: {trials: 1}
confirm: {seeds: 2}
training: {epochs: 1}
primary: {compare: [other, erm]}
"""
TIMES = ("2026-01-01T09:00:00+00:00", "2026-01-02T09:00:00+00:00", "2026-01-03T09:00:00+00:00")


def config(**changes: Any) -> dict[str, Any]:
    tree = {"primary": {"compare": ["lnl", "erm"]}, **changes}
    return sweep_config(**tree).model_dump(mode="json", by_alias=True)


def after(*changes: tuple[dict[str, Any], int]) -> Standing:
    """Standing of a sweep after changes, each made when so many test results existed."""
    now = config()
    sheet = {**now, "declaration": declaration_of(now, TIMES[0])}
    for (change, results), when in zip(changes, TIMES[1:], strict=False):
        new = config(**change)
        sheet = {**new, "declaration": next_declaration(sheet, now, new, results, when)}
        now = new
    # As it is read back.
    return standing_of(yaml.safe_load(yaml.safe_dump(sheet)))


CHANGES = [
    pytest.param({"primary": {"compare": ["erm", "lnl"]}}, "primary", id="compare"),
    pytest.param({"primary": {"compare": ["lnl", "erm"], "at": "area"}}, "primary", id="at"),
    pytest.param({"primary": {"compare": ["lnl", "erm"], "margin": 0.1}}, "primary", id="margin"),
    pytest.param({"primary": None}, "primary", id="withdrawn"),
    pytest.param({"dataset": {"name": "fake", "bias": {"rho": [0.5, 1.0]}}}, "bias", id="bias values"),
    pytest.param({"methods": ["erm", "lnl", "grl"]}, "methods", id="methods"),
    pytest.param({"confirm": {"seeds": 2, "rules": ["val_biased", "val_counterfactual"]}}, "rules", id="rules"),
    pytest.param({"search": {"trials": 9}}, "search", id="search"),
]


@pytest.mark.parametrize(("change", "part"), CHANGES)
def test_before_the_first_test_result_a_change_is_a_new_declaration(change: dict[str, Any], part: str) -> None:
    found = after((change, 0))
    assert found.declared and found.written == TIMES[1] and found.hash == hash_of(parts_of(config(**change)))[:12]


@pytest.mark.parametrize(("change", "part"), CHANGES)
def test_after_it_the_comparison_is_descriptive_and_the_old_one_is_kept(change: dict[str, Any], part: str) -> None:
    found = after((change, 3))
    assert not found.declared and found.changed == (part,)
    assert (found.written, found.when, found.results) == (TIMES[0], TIMES[1], 3)
    assert found.hash == hash_of(parts_of(config()))[:12] and found.before["compare"] == ["lnl", "erm"]


def test_seeds_limits_and_resources_leave_it_declared() -> None:
    found = after(({"confirm": {"seeds": 5}}, 6))
    assert found.declared and found.seeds_changed and found.written == TIMES[0]
    assert after(({"limits": {"max_hours": 2}, "resources": {"gpu": "1/2"}}, 6)) == after()


def test_a_change_that_is_taken_back_leaves_it_as_it_was_declared() -> None:
    swapped = {"primary": {"compare": ["erm", "lnl"]}}
    assert not after((swapped, 3)).declared
    assert after((swapped, 3), ({}, 4)) == after()
    found = after((swapped, 3), ({"confirm": {"seeds": 5}}, 4))
    assert found.declared and found.seeds_changed


def test_of_two_late_changes_the_first_one_gives_the_date() -> None:
    found = after(({"search": {"trials": 9}}, 3), ({"search": {"trials": 9}, "methods": ["erm", "lnl", "grl"]}, 8))
    assert found.changed == ("methods", "search") and (found.when, found.results) == (TIMES[1], 3)


def test_a_comparison_that_is_first_named_after_results_is_descriptive() -> None:
    none = config(primary=None)
    sheet = {**none, "declaration": declaration_of(none, TIMES[0])}
    new = config()
    found = standing_of({**new, "declaration": next_declaration(sheet, none, new, 3, TIMES[1])})
    assert found.changed == ("primary",) and found.before == {}


def test_the_sheet_of_an_older_version_gets_a_declaration_without_a_time() -> None:
    new = config(methods=["erm", "lnl", "grl"])
    found = standing_of({**new, "declaration": next_declaration(config(), config(), new, 3, TIMES[1])})
    assert found.changed == ("methods",) and found.written == "" and found.hash == hash_of(parts_of(config()))[:12]


# ------------------------------------------------------------------ where it is made


def test_the_sheet_of_an_older_version_keeps_its_area() -> None:
    sheet = config()
    for name in ("at", "margin"):
        del sheet["primary"][name]
    were = configuration_of(sheet)["primary"]
    assert (were["at"], were["margin"]) == ("area", None)
    begun = _as_begun(sweep_config(primary={"compare": ["lnl", "erm"]}), sheet).primary
    assert begun is not None and (begun.at, begun.margin) == ("area", None)
    named = _as_begun(sweep_config(primary={"compare": ["lnl", "erm"], "at": "strongest"}), sheet).primary
    assert named is not None and (named.at, named.margin) == ("strongest", None)


def refused(data: FakeData | None = None, **changes: Any) -> str:
    made = sweep_config(data, **changes)
    with pytest.raises(InputError) as caught:
        check_primary(made, sweep_cells(made, data), data or FakeData())  # type: ignore[arg-type]
    return str(caught.value)


def test_a_place_must_be_one_that_both_methods_have() -> None:
    pair = {"compare": ["lnl", "erm"]}
    for at in (0.5, "strongest", "area"):
        made = sweep_config(primary={**pair, "at": at})
        check_primary(made, sweep_cells(made), FakeData())  # type: ignore[arg-type]
    text = refused(primary={**pair, "at": 0.7})
    assert "primary.at" in text and "(0, 0.5, 1)" in text and "0.7" in text
    own = ["erm", {"name": "lnl", "bias": {"rho": 0.5}}]
    assert "(0.5)" in refused(methods=own, primary={**pair, "at": 1})
    apart = [{"name": "erm", "bias": {"rho": 0.0}}, {"name": "lnl", "bias": {"rho": 0.5}}]
    assert "a bias value in common" in refused(methods=apart, primary=pair)


def test_of_two_axes_the_place_is_one_where_the_other_has_its_default() -> None:
    bias = [{"rho": 0.5}, {"rho": 0.8, "gamma": 1.0}]
    text = refused(dataset={"name": "fake", "bias": bias}, primary={"compare": ["lnl", "erm"], "at": 0.8})
    assert "(0.5)" in text


@pytest.mark.parametrize("at", ["weakest", "true", "[1]", "null"])
def test_what_is_no_place_is_refused(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "coloured_digits", "--dry-run", "--set", f"primary.at={at}"]) == 2
    assert "primary.at: must be strongest, area or one of the sweep's bias values" in capsys.readouterr().err


@pytest.mark.parametrize("margin", ["0", "1", "-0.1", "true", "wide", ".nan"])
def test_a_margin_lies_between_0_and_1(margin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "coloured_digits", "--dry-run", "--set", f"primary.margin={margin}"]) == 2
    assert "primary.margin" in capsys.readouterr().err


# ------------------------------------------------------------------ a sweep


def standing() -> Standing:
    from analysis.changes import read_changes
    from analysis.loading import read_config

    folder = open_folder("out")
    return standing_of(read_config(folder), read_changes(folder))


def test_a_sweep_keeps_what_it_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SWEEP)
    ran: list[TrialSpec] = trials(None)
    # Nothing has run yet when it is first written and changed.
    assert main(["run", "tiny.yaml", "--out", "out", "--set", "limits.max_hours=0.0000001"]) == 1
    began = standing()
    assert began.declared and len(began.hash) == 12 and began.written and not ran
    assert main(["resume", "out", "--set", "primary.at=0.4", "--set", "limits.max_hours=null"]) == 0
    declared = standing()
    assert declared.declared and declared.hash != began.hash and any(spec.phase == "confirm" for spec in ran)
    assert main(["run", "tiny.yaml", "--out", "out", "--set", "primary.at=0.4", "--set", "confirm.seeds=3"]) == 0
    assert standing().declared and standing().seeds_changed
    assert main(["resume", "out", "--set", "primary.compare=[erm, other]"]) == 0
    found = standing()
    assert found.changed == ("primary",) and found.hash == declared.hash and found.results == 12
    assert found.before["compare"] == ["other", "erm"] and found.before["at"] == 0.4
    lines = [json.loads(line) for line in Path("out/changes.jsonl").read_text().splitlines()]
    assert [line["test_results"] for line in lines] == [0, 8, 12]
    assert lines[2]["what"]["primary.compare"] == {"old": ["other", "erm"], "new": ["erm", "other"]}
    # The sheet of a sweep can be run again, elsewhere.
    assert main(["run", "out/sweep.yaml", "--out", "again", "--dry-run"]) == 0
    assert main(["verify", "out"]) == 0, capsys.readouterr().out
