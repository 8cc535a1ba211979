"""The declared comparison: its verdict at the boundaries, where it is made, and what the head says of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from analysis.export.methods_paragraph import methods_paragraph
from analysis.findings import Findings, gather
from analysis.primary.comparison import declared_comparison
from analysis.primary.standing import standing_of
from analysis.primary.verdict import verdict_of
from analysis.report.primary import answer, descriptive_words, footnote, standing_words
from analysis.report.warnings import warnings_of
from analysis.statistics.variance import Sample, variance_of
from store.sheet.declaration import hash_of, parts_of

GOOD, BAD = [0.90, 0.92, 0.88, 0.91, 0.93], [0.68, 0.66, 0.70, 0.67, 0.69]
SAME = [0.91, 0.90, 0.90, 0.92, 0.91]
PAIR = {"compare": ["lnl", "erm"], "rule": "val_counterfactual"}
VARIANCE = variance_of(Sample(np.array([0.0, 0.02, -0.01, 0.01, 0.03])))
Made = Callable[..., Findings]


@pytest.fixture
def made(tmp_path: Path, synthetic: ModuleType) -> Made:
    def make(lnl: list[Any], erm: list[Any], weak: list[Any] | None = None, **config: Any) -> Findings:
        accuracies = {("lnl", 0.05): weak or lnl, ("erm", 0.05): erm, ("lnl", 0.02): lnl, ("erm", 0.02): erm}
        status = config.pop("status", None)
        folder = synthetic.write_values(tmp_path / "s", accuracies, **config)
        if status:
            (folder / "status.json").write_text(json.dumps(status))
        return gather([folder])

    return make


def said(findings: Findings) -> str:
    return answer(findings, findings.sweeps[0])


# ------------------------------------------------------------------ the verdict


@pytest.mark.parametrize(
    ("times", "kind"), [(1.001, "higher"), (0.999, "undecided"), (-0.999, "undecided"), (-1.001, "lower")]
)
def test_the_interval_alone_decides_what_is_higher(times: float, kind: str) -> None:
    difference = times * VARIANCE.half()
    assert verdict_of(difference, VARIANCE).kind == kind
    assert (VARIANCE.p(difference) < 0.05) is (kind != "undecided")


@pytest.mark.parametrize(("times", "kind"), [(1.001, "equivalent"), (0.999, "undecided")])
@pytest.mark.parametrize("sign", [1, -1])
def test_equivalent_is_a_90_percent_interval_inside_the_margin(times: float, kind: str, sign: int) -> None:
    difference = sign * 0.001
    margin = 0.001 + times * VARIANCE.half(0.9)
    assert verdict_of(difference, VARIANCE, margin).kind == kind
    assert verdict_of(difference, VARIANCE, None).kind == "undecided"


def test_higher_and_within_the_margin_is_called_higher() -> None:
    difference = 1.01 * VARIANCE.half()
    found = verdict_of(difference, VARIANCE, 0.2)
    assert (found.kind, found.within_margin) == ("higher", True)
    assert not verdict_of(difference, VARIANCE, 0.01).within_margin


def test_what_the_design_could_have_shown() -> None:
    found = verdict_of(0.0, VARIANCE, 0.001)
    assert found.kind == "undecided"
    # t_{.975,4} + t_{.8,4} = 2.776445 + 0.940965
    assert found.d_min == pytest.approx((2.776445 + 0.940965) * math.sqrt(VARIANCE.total), rel=1e-6)


@pytest.mark.parametrize("difference", [0.0, 0.01, -0.01, 1.0])
def test_the_same_difference_in_every_seed_allows_no_verdict(difference: float) -> None:
    variance = variance_of(Sample(np.full(5, difference)))
    assert variance.no_spread and verdict_of(difference, variance, 0.05).kind == "no spread"
    assert not variance.p(difference) < 0.05


def test_one_seed_has_no_verdict() -> None:
    assert verdict_of(0.3, variance_of(Sample(np.array([0.3]))), 0.05).kind == "one seed"


# ------------------------------------------------------------------ the head


def test_the_strongest_bias_is_compared_and_never_two_unpaired_intervals(made: Made) -> None:
    findings = made(GOOD, BAD, weak=BAD, primary={**PAIR, "at": "strongest", "margin": 0.05})
    assert said(findings) == (
        "lnl (Learning Not to Learn) scores higher than erm (plain training) at the strongest bias "
        "(color_variance = 0.02): accuracy differs by +0.228 [+0.190, +0.266]."
    )
    words = footnote(findings.sweeps[0])
    assert words.startswith("p < .0001; interval and p are over seeds only") and "it cannot reach .05" in words


def test_a_bias_value_of_ones_own(made: Made) -> None:
    weak = [x + d for x, d in zip(BAD, [0.001, -0.001, 0, 0.001, -0.001], strict=True)]
    text = said(made(GOOD, BAD, weak=weak, primary={**PAIR, "at": 0.05, "margin": 0.05}))
    assert "is equivalent to erm (plain training) at color_variance = 0.05: accuracy differs by +0.000" in text


def test_beside_an_area_stands_the_strongest_bias(made: Made) -> None:
    """The sheet of an older version says nothing of a place."""
    text = said(made(GOOD, BAD, weak=BAD, primary=PAIR))
    assert "mean accuracy over the axis differs by +0.114 [" in text
    assert text.endswith("; at the strongest bias (color_variance = 0.02) by +0.228 [+0.190, +0.266].")


def test_equivalent_undecided_and_one_seed_have_their_words(made: Made, tmp_path: Path) -> None:
    primary = {**PAIR, "at": "strongest"}
    text = said(made(GOOD, SAME, primary={**primary, "margin": 0.05}))
    assert "is equivalent to" in text and "the 90 % interval [-0.018, +0.018] lies within the margin of 0.05" in text
    text = said(made(GOOD, SAME, primary={**primary, "margin": 0.01}))
    assert "cannot be told apart from" in text and "this design could have shown a difference of 0.031" in text
    text = said(made(GOOD[:1], BAD[:1], primary=primary))
    assert "one seed, which allows no statement" in text and "(no interval)" in text and "[" not in text


def test_higher_within_the_margin_is_said(made: Made) -> None:
    less = [x - d for x, d in zip(GOOD, [0.01, 0.012, 0.008, 0.01, 0.01], strict=True)]
    text = said(made(GOOD, less, primary={**PAIR, "at": "strongest", "margin": 0.05}))
    assert "scores higher than" in text and text.endswith("which is within the margin of 0.05.")


def test_three_seeds_with_the_same_difference_are_no_proof(made: Made) -> None:
    findings = made([1.0] * 3, [0.0] * 3, primary={**PAIR, "at": "strongest", "margin": 0.05})
    text = said(findings)
    assert "cannot be judged against" in text and "+1.000 (no interval)" in text
    assert "the same in all 3 seeds, so that there is no spread among them" in text
    assert footnote(findings.sweeps[0]).startswith("No test: the paired difference is the same in all 3 seeds")
    assert any("All seeds have exactly the same value at 4 points" in line for line in warnings_of(findings))
    methods = " ".join(methods_paragraph(findings, findings.sweeps[0]))
    assert "p = 0" not in methods and "p < " not in methods


@pytest.mark.parametrize(
    ("erm", "finished", "words"),
    [
        ([*BAD[:4], None], 6, "erm at color_variance = 0.02: 4 of 5 seeds"),
        ([None] * 5, 6, "erm has no finished seed at color_variance 0.02"),
        (BAD, 5, "erm at color_variance = 0.02: not finished"),
    ],
)
def test_as_long_as_something_is_missing_nothing_is_tested(
    made: Made, erm: list[Any], finished: int, words: str
) -> None:
    status = {"cells": [{"cell": "digits-color_variance=0.02-erm", "planned": 6, "finished": finished}]}
    findings = made(GOOD, erm, primary={**PAIR, "at": "strongest", "margin": 0.05}, status=status)
    text = said(findings)
    assert text.startswith("Interim, no test") and words in text and "[" not in text and "higher" not in text
    assert " p " not in footnote(findings.sweeps[0])
    assert "Interim, no test" in methods_paragraph(findings, findings.sweeps[0])


def test_a_cell_that_the_comparison_does_not_take_may_be_unfinished(made: Made) -> None:
    status = {"cells": [{"cell": "digits-color_variance=0.05-erm", "planned": 6, "finished": 5}]}
    assert "scores higher" in said(made(GOOD, BAD, primary={**PAIR, "at": "strongest"}, status=status))


def test_with_two_axes_it_is_made_where_the_other_has_its_default(made: Made) -> None:
    """gamma = 0, which a sweep that does not name gamma has: not the stronger corner."""
    cells = [
        {
            "cell": f"{label}-{rho:g}-{gamma:g}", "label": label, "method": label, "bias_axis": "rho",
            "bias_value": rho, "bias_strength": rho / 2 + gamma / 4, "bias": {"rho": rho, "gamma": gamma},
        }
        for label in ("lnl", "erm") for rho, gamma in ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0))
    ]  # fmt: skip
    info = {"axes": [{"name": "rho", "default": None}, {"name": "gamma", "default": 0.0, "unbiased_at": 0.0}]}
    config = {"primary": {**PAIR, "at": "strongest"}, "cells": cells, "dataset_info": info}
    found = declared_comparison(config, {}, ())
    assert found is not None and found.comparison.at == "1"
    assert found.missing == ("lnl at rho = 1: no finished seed", "erm at rho = 1: no finished seed")
    area = declared_comparison({**config, "primary": {**PAIR, "at": "area"}}, {}, ())
    assert area is not None and len(area.missing) == 4


# ------------------------------------------------------------------ declared stays declared


def declared(primary: dict[str, Any], results: int = 0, changed: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """The part of a sheet that declares, as a resume would leave it."""
    first = {"hash": "f" * 64, "written": "2026-01-01T09:00:00+00:00", "parts": {}}
    late = {**first, "primary": PAIR, "results": results, "replaced": "2026-01-05T10:00:00+00:00", "changed": changed}
    return {"primary": primary, "declaration": {**first, **({"replaces": late} if changed else {})}, **more}


def sealed(synthetic: ModuleType, config: dict[str, Any]) -> dict[str, Any]:
    whole = synthetic.config_of(synthetic.Sweep(values=(0.05, 0.02), methods=("lnl", "erm"), seeds=(0, 1, 2, 3, 4)))
    config["declaration"]["hash"] = hash_of(parts_of({**whole, **config}))
    return config


def test_the_head_says_when_it_was_declared_and_by_which_hash(made: Made, synthetic: ModuleType) -> None:
    config = sealed(synthetic, declared({**PAIR, "at": "strongest"}))
    findings = made(GOOD, BAD, **config)
    sweep = findings.sweeps[0]
    shown = config["declaration"]["hash"][:12]
    words = standing_words(findings, sweep)
    assert words.startswith(
        f"Declared 2026-01-01 09:00 UTC, hash {shown}; first trial 2026-01-01 00:00 UTC; first test"
    )
    assert f"Declared 2026-01-01 09:00 UTC, hash {shown}." in methods_paragraph(findings, sweep)
    assert descriptive_words(sweep) == ""


def test_a_comparison_changed_after_results_is_descriptive_everywhere(made: Made, synthetic: ModuleType) -> None:
    config = sealed(synthetic, declared({**PAIR, "at": "strongest"}, 40, ("primary", "search")))
    findings = made(GOOD, BAD, **config)
    sweep = findings.sweeps[0]
    reason = (
        "The primary comparison is descriptive: the comparison and the search were changed on 2026-01-05, when 40 test "
        "results existed. Declared before (2026-01-01 09:00 UTC, hash ffffffffffff): lnl minus erm over the axis, "
        "chosen by counterfactual validation."
    )
    assert descriptive_words(sweep) == reason and standing_words(findings, sweep) == ""
    assert said(findings).startswith(
        "Descriptive, not tested as declared: accuracy of lnl (Learning Not to Learn) minus"
    )
    assert reason in warnings_of(findings) and "declared beforehand" not in footnote(sweep)
    paper = methods_paragraph(findings, sweep)
    assert reason in paper and "Declared beforehand" not in paper and "higher" not in paper


def test_seeds_added_late_leave_it_declared(made: Made, synthetic: ModuleType) -> None:
    findings = made(GOOD, BAD, **sealed(synthetic, declared({**PAIR, "at": "strongest"}, 40, ("seeds",))))
    assert "scores higher" in said(findings)
    words = standing_words(findings, findings.sweeps[0])
    assert "hash ffffffffffff" in words and words.endswith("; seeds were changed since then.")


def test_a_sheet_that_was_edited_by_hand_is_noticed(made: Made) -> None:
    findings = made(GOOD, BAD, **declared({**PAIR, "at": "strongest"}))
    assert "changed by hand" in descriptive_words(findings.sweeps[0])
    assert said(findings).startswith("Descriptive")


def test_a_comparison_that_was_withdrawn_after_results_is_named(made: Made, synthetic: ModuleType) -> None:
    config = {k: v for k, v in declared(PAIR, 40, ("primary",)).items() if k != "primary"} | {"primary": None}
    findings = made(GOOD, BAD, **sealed(synthetic, config))
    (found,) = [line for line in warnings_of(findings) if "No comparison is declared any more" in line]
    assert "lnl minus erm over the axis" in found


@pytest.mark.parametrize(
    ("what", "seen", "changed"),
    [
        ({"primary.compare": (["grl", "erm"], ["lnl", "erm"])}, 40, ("primary",)),
        ({"primary.compare": (["grl", "erm"], ["lnl", "erm"])}, 0, ()),
        ({"primary.compare": (["grl", "erm"], ["lnl", "erm"])}, None, ("primary",)),
        ({"dataset.bias.rho": ([0.5, 1.0], [0.5, 0.9, 1.0])}, 40, ("bias",)),
        ({"dataset.bias.rho": ([0.5, 1.0], [1.0, 0.5])}, 40, ()),
        ({"methods": (["erm"], ["erm", "lnl"]), "search.trials": (8, 16)}, 40, ("methods", "search")),
        ({"confirm.rules": (["val_biased"], ["val_biased", {"rule": "val_unbiased", "seeds": 3}])}, 40, ("rules",)),
        ({"confirm.seeds": (5, 8), "limits.max_hours": (None, 3)}, 40, ()),
        ({"search.repeats": (1, 3)}, 40, ()),
    ],
)
def test_what_a_version_without_declarations_noted_counts(
    what: dict[str, tuple[Any, Any]], seen: int | None, changed: tuple[str, ...]
) -> None:
    line = {"when": "2026-01-02", "what": {key: {"old": old, "new": new} for key, (old, new) in what.items()}}
    found = standing_of({"primary": PAIR}, [line if seen is None else {**line, "test_results": seen}])
    assert found.changed == changed and found.declared is not bool(changed)
    if "primary" in changed:
        assert found.before["compare"] == ["grl", "erm"] and found.when == "2026-01-02"
