"""Controls that follow a search, candidates of several seeds, nested splits: whole sweeps that train nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import analysis
import orchestrator.directory.lease as lease
import orchestrator.sweep as sweep_module
from analysis.loading import load
from analysis.points.points import collect
from orchestrator.config.sweep_file import validate
from orchestrator.sweep import Options, Result, run_sweep
from store.errors import InputError
from tests.integration.damage import SWEEP, Stop, run_here
from trainable.data.base import load_dataset
from trainable.data.view import DataView


def run(out: Path, stop_after: int | None = None, **changes: Any) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "_run", run_here(stop_after))
        patch.setattr(lease, "SETTLE_SECONDS", 0.0)
        options = Options(console=Console(file=io.StringIO()))
        return run_sweep(validate({**SWEEP, **changes}), str(out), options)


def chosen(trials: pd.DataFrame, label: str) -> dict[tuple[float, str], set[str]]:
    """Configurations of a label's confirm rows by (bias value, rule)."""
    rows = trials[(trials["phase"] == "confirm") & (trials["label"] == label)].explode("rules")
    return {key: set(group["hyperparameters"]) for key, group in rows.groupby(["bias_value", "rules"])}


LIKE: dict[str, Any] = {
    "methods": ["lnl", {"name": "permuted_bias", "like": "lnl"}],
    "confirm": {"seeds": 2, "rules": ["val_counterfactual", "val_biased"]},
}


class TestLike:
    def test_rows_follow_the_search_through_an_interruption_and_an_extension(self, tmp_path: Path) -> None:
        out = tmp_path / "sweep"
        with pytest.raises(Stop):
            run(out, 9, **LIKE)
        result = run(out, **LIKE)
        assert (result.planned, result.problems) == (result.finished, [])
        trials = load(out)
        assert not trials["superseded"].any() and len(trials) == result.planned
        first = chosen(trials, "permuted_bias")
        assert first == chosen(trials, "lnl") and len(first) == 4
        longer = run(out, **LIKE, search={**SWEEP["search"], "trials": 9})
        assert (longer.planned, longer.problems) == (longer.finished, [])
        now = load(out)
        assert chosen(now, "permuted_bias") == chosen(now, "lnl") != first
        control = load(out, superseded=True).query("label == 'permuted_bias'")
        assert set(control["phase"]) == {"confirm"}
        old = set(control[control["superseded"]]["hyperparameters"])
        assert old and old <= set.union(*first.values()) and len(now) == longer.planned

    def test_the_report_says_so_and_names_a_control_without_pressure(self, tmp_path: Path) -> None:
        # One search trial besides the anchor: at one bias value the anchor wins by the values of run_here.
        out = tmp_path / "sweep"
        run(out, **LIKE, dataset={"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.05, 0.1, 0.2]}})
        text = Path(analysis.write_report(out)).read_text()
        assert "permuted_bias has no search of its own: it is trained with the weights that lnl chose" in text
        trials = load(out)
        control = trials[
            (trials["label"] == "permuted_bias") & trials["rules"].map(lambda r: "val_counterfactual" in r)
        ]
        plain = [json.loads(t)["lambda_"] == 0 for t in control["hyperparameters"]]
        places = sorted({f"{v:g}" for v, zero in zip(control["bias_value"], plain, strict=True) if zero})
        assert places and not all(plain)
        assert all("permuted_bias is plain training at" in text and place in text for place in places)


class TestSearchSeeds:
    def test_the_reader_chooses_what_the_driver_chose(self, tmp_path: Path) -> None:
        out, three = tmp_path / "sweep", {**SWEEP["search"], "seeds": 3, "trials": 4}
        with pytest.raises(Stop):
            run(out, 17, search=three)
        # While the sweep runs: no candidate counts before all its seeds have ended.
        kept = analysis.lambda_map(load(out))
        assert (kept["n_search_seeds"] == 3).all()
        result = run(out, search=three)
        assert (result.planned, result.problems) == (result.finished, []) and result.planned == 4 * (4 * 3 + 2)
        trials = load(out)
        assert not trials["superseded"].any() and set(trials["search_seeds"]) == {3}
        confirm = trials[trials["phase"] == "confirm"]
        assert len(confirm) == 4 * 2 and confirm["rules"].map(bool).all()
        shown = analysis.lambda_map(trials)
        assert len(shown) == 2 * 4 and shown["chosen"].sum() == 2
        for row in shown.to_dict("records"):
            stem = row["trial_id"]
            values = trials[trials["trial_id"].isin([stem, f"{stem}.s1", f"{stem}.s2"])]["val_counterfactual"]
            assert row["validation"] == pytest.approx(values.mean())
            assert row["validation_se"] == pytest.approx(values.std() / 3**0.5)
        selected = analysis.selected_hyperparameters(trials)
        assert set(selected["candidates"]) == {4} and set(selected["n_search_seeds"]) == {3}
        assert analysis.expected_validation(trials)["n"].max() == 4
        text = Path(analysis.write_report(out)).read_text()
        assert "means over 3 search seeds ± their standard error" in text

    def test_more_and_fewer_seeds_of_a_sweep_that_is_there(self, tmp_path: Path) -> None:
        out = tmp_path / "sweep"
        first = run(out)
        few = chosen(load(out), "lnl")
        more = run(out, search={**SWEEP["search"], "seeds": 2})
        trials = load(out)
        assert more.finished == more.planned == len(trials) == first.planned + 4 * 3
        assert not trials["superseded"].any() and set(trials[trials["phase"] == "search"]["seed"].value_counts()) == {
            12
        }
        back = run(out)
        assert back.planned == back.finished == len(load(out)) == first.planned and chosen(load(out), "lnl") == few


class TestSplits:
    NESTED = (("seeds", 2), ("splits", 3))

    def test_seeds_are_nested_in_splits_that_all_cells_share(self, tmp_path: Path) -> None:
        out, confirm = tmp_path / "sweep", {**SWEEP["confirm"], **dict(self.NESTED)}
        with pytest.raises(Stop):
            run(out, 16, confirm=confirm)
        with pytest.raises(Stop):
            run(out, 8, confirm=confirm)
        # Two of three splits: the third is missing, not absent, also where nothing but the rows says so.
        (out / "status.json").unlink()
        part = analysis.accuracy_vs_bias(load(out))
        assert set(part["n_planned"]) == {3} and part["n_seeds"].min() < 3
        assert any("of 3 splits finished" in text for text in part["caption"])
        result = run(out, confirm=confirm)
        assert (result.planned, result.problems) == (result.finished, []) and result.planned == 4 * (3 + 2 * 3)
        trials = load(out)
        rows = trials[trials["phase"] == "confirm"]
        assert rows["split"].value_counts().to_dict() == {0: 8, 1: 8, 2: 8}
        assert trials.loc[trials["phase"] == "search", ["split", "split_seed"]].isna().all(axis=None)
        for _, cell in rows.groupby("cell"):
            assert cell.groupby("split")["seed"].nunique().tolist() == [2, 2, 2] and cell["seed"].nunique() == 6
        assert rows.groupby("split")["split_seed"].nunique().tolist() == [1, 1, 1] and rows["split_seed"].nunique() == 3
        assert set(rows["seeds_planned"]) == {6.0}

        parts = analysis.load_splits(out).pivot_table(index="image", columns="seed", values="split", aggfunc="first")
        of_split = {m: [parts[s] for s in own["seed"].unique()] for m, own in rows.groupby("split")}
        assert all((one == other).all() for one, other in of_split.values()), "one split, whatever the seed"
        assert not (of_split[0][0] == of_split[1][0]).all()
        u = analysis.load_splits(out).pivot_table(index="image", columns="seed", values="u")
        seeds = rows[rows["split"] == 0]["seed"].unique()
        assert not (u[seeds[0]] == u[seeds[1]]).any(), "what is painted is the seed's"

    def test_a_split_is_one_value_of_the_curve(self, tmp_path: Path) -> None:
        out = tmp_path / "sweep"
        run(out, confirm={**SWEEP["confirm"], **dict(self.NESTED)})
        trials = load(out)
        curve = analysis.accuracy_vs_bias(trials)
        assert set(curve["band"]) == {"splits only"} and set(curve["n_seeds"]) == {3} == set(curve["n_planned"])
        row = curve[(curve["label"] == "erm") & (curve["bias_value"] == 0.02)].iloc[0]
        own = trials[(trials["phase"] == "confirm") & (trials["label"] == "erm") & (trials["bias_value"] == 0.02)]
        assert row["values"] == pytest.approx(tuple(own.groupby("split")["test_accuracy"].mean()))
        assert "3 of 3 splits finished" in row["caption"]
        points = collect(trials)
        assert {p.n_short for p in points} == {0}
        # A seed that failed for good: its split has a value, and is not whole.
        assert {p.n_short for p in collect(trials.drop(own.index[0])) if p.line.label == "erm"} == {0, 1}
        text = Path(analysis.write_report(out)).read_text()
        assert "their mean is the value of the split" in text and "Only 3 splits a point" in text
        assert "3 seeds" not in text.split("<h2")[0] and "paired on 3 seeds" not in text

    def test_one_split_is_what_it_was(self, tmp_path: Path) -> None:
        out = tmp_path / "sweep"
        run(out)
        rows = load(out).query("phase == 'confirm'")
        assert rows[["split", "split_seed"]].isna().all(axis=None)
        assert sorted(rows["trial_id"].str.extract(r"-([^-]+)$", expand=False).unique()) == ["s0", "s1"]
        assert "A seed redraws the split" in Path(analysis.write_report(out)).read_text()
        with pytest.raises(InputError, match=r"confirm.splits = 1, and 3 would make its rows incomparable"):
            run(out, confirm={**SWEEP["confirm"], "splits": 3})

    def test_a_trial_takes_its_split_from_there_and_the_rest_from_its_seed(self) -> None:
        data, bias = load_dataset("coloured_digits"), {"color_variance": 0.02}
        own, same, other = (DataView(data, bias, seed, None, "confirm", 77) for seed in (5, 5, 6))
        alone = DataView(data, bias, 5, None, "confirm")
        assert (own.split.val == other.split.val).all() and not (own.split.val == alone.split.val).all()
        first, again, second = (view.train() for view in (own, same, other))
        assert first.images.equal(again.images) and not first.images.equal(second.images)
        assert first.labels.equal(second.labels)

    def test_patients_drawn_for_validation_leave_one_split(self, tmp_path: Path) -> None:
        data = {
            "name": "brain_phantom", "bias": {"rho": [0.5, 1.0]}, "patients": 30, "slices": 1, "val_patients": 6,
            "image_size": 32,
        }  # fmt: skip
        with pytest.raises(InputError, match=r"confirm.splits draws splits .* and got 3: leave splits out"):
            run(tmp_path / "refused", dataset=data, confirm={**SWEEP["confirm"], "splits": 3})
        run(tmp_path / "sweep", dataset=data, search={"trials": 1})
        text = Path(analysis.write_report(tmp_path / "sweep")).read_text()
        assert "A seed redraws the split" not in text and "the same for all" in text

    def test_more_splits_add_trials(self, tmp_path: Path) -> None:
        out = tmp_path / "sweep"
        run(out, confirm={**SWEEP["confirm"], "splits": 2})
        before = set(load(out)["trial_id"])
        run(out, confirm={**SWEEP["confirm"], "splits": 3})
        after = load(out)
        assert before < set(after["trial_id"]) and set(
            after.set_index("trial_id").loc[list(before), "split"].dropna()
        ) == {0, 1}
        assert analysis.mark_seeds_added(after, out)["seeds_added"].max() == 1


def test_the_report_misses_repaint_beside_debiasing_methods_alone(tmp_path: Path) -> None:
    said = "There is no repaint beside lnl"
    for name, methods, missed in (
        ("lnl", ["erm", "lnl"], True),
        ("repaint", ["lnl", {"name": "repaint", "label": "painted"}], False),
        ("plain", ["erm", "ceiling"], False),
    ):
        run(tmp_path / name, methods=methods, search={"trials": 1}, confirm={"seeds": 1})
        assert (said in Path(analysis.write_report(tmp_path / name)).read_text()) == missed
