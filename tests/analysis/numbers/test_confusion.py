from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.numbers.confusion import worst_mistakes
from analysis.statistics.intervals import wilson
from analysis.statistics.variance import Sample, variance_of
from store.errors import InputError


@pytest.fixture(scope="module")
def trials(sweep_dir: Path) -> pd.DataFrame:
    return analysis.load(sweep_dir)


@pytest.fixture(scope="module")
def predictions(sweep_dir: Path) -> pd.DataFrame:
    return analysis.load_predictions(sweep_dir)


@pytest.fixture(scope="module")
def confusion(trials: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    return analysis.confusion_by_strength(trials, predictions)


def test_rows_add_up_and_the_diagonal_is_the_balanced_accuracy(confusion: pd.DataFrame, trials: pd.DataFrame) -> None:
    line = ["rule", "label", "bias_value"]
    assert confusion.groupby([*line, "true"])["share"].sum().to_numpy() == pytest.approx(1)
    own = confusion[(confusion["rule"] == "val_counterfactual") & (confusion["true"] == confusion["predicted"])]
    curve = analysis.accuracy_vs_bias(trials, rules=["val_counterfactual"]).set_index(["label", "bias_value"])
    diagonal = own.groupby(["label", "bias_value"])["share"].mean()
    assert diagonal.to_numpy() == pytest.approx(curve["mean"].reindex(diagonal.index).to_numpy())


def test_shares_equal_a_count_by_hand(confusion: pd.DataFrame, predictions: pd.DataFrame) -> None:
    ids = [f"digits-color_variance=0.02-erm-0123abcd-s{k}" for k in range(5)]
    own = predictions[predictions["trial_id"].isin(ids) & (predictions["label"] == 3)]
    by_seed = (own["predicted"] == 4).groupby(own["trial_id"]).mean().to_numpy()
    row = confusion[
        (confusion["rule"] == "val_counterfactual")
        & (confusion["label"] == "erm")
        & (confusion["bias_value"] == 0.02)
        & (confusion["true"] == 3)
        & (confusion["predicted"] == 4)
    ].iloc[0]
    assert row["share"] == pytest.approx(by_seed.mean())
    # Each of the 20 images is a unit of its own: left out, the mean over the other 19.
    called = (own["predicted"] == 4).groupby([own["trial_id"], own["image"]]).mean().unstack().to_numpy()
    left_out = (called.sum(axis=1, keepdims=True) - called) / 19
    variance = variance_of(Sample(by_seed, left_out, np.zeros(20, dtype=np.int64)))
    share = by_seed.mean()
    ends = wilson(share * (n := share * (1 - share) / variance.total), n, variance.quantile())
    assert (row["low"], row["high"]) == pytest.approx(ends, abs=1e-12)
    assert n < 20
    assert (row["n_seeds"], row["n_patients"], row["n_images"], row["band"]) == (5, 20, 20, "seeds and images")


def test_folds_are_pooled_before_shares_are_taken(trials: pd.DataFrame, predictions: pd.DataFrame) -> None:
    mine = "digits-color_variance=0.02-erm"
    rows = trials[trials["cell"] == mine]
    twin = rows.assign(cell=mine + "-fold1", trial_id=rows["trial_id"] + "-fold1", fold=1.0)
    kept = predictions[predictions["trial_id"].str.startswith(mine)]
    both = pd.concat([rows, twin], ignore_index=True)
    other = kept.assign(trial_id=kept["trial_id"] + "-fold1", predicted=0)
    found = analysis.confusion_by_strength(both, pd.concat([kept, other]), "val_counterfactual")
    alone = analysis.confusion_by_strength(rows, kept, "val_counterfactual").set_index(["true", "predicted"])["share"]
    pooled = found.set_index(["true", "predicted"])["share"]
    assert pooled[3, 3] == pytest.approx(alone[3, 3] / 2)
    assert set(found["n_seeds"]) == {5}


def test_the_worst_mistake_is_named(confusion: pd.DataFrame) -> None:
    names = [f"class {i}" for i in range(10)]
    worst = worst_mistakes(confusion, names)
    assert len(worst) == len(confusion.drop_duplicates(["rule", "label", "bias_value"]))
    assert (worst["true"] != worst["predicted"]).all() and worst["true"].str.startswith("class ").all()


def test_one_seed_has_no_interval(trials: pd.DataFrame, predictions: pd.DataFrame) -> None:
    rows = trials[trials["trial_id"].str.endswith(("-s0",)) | (trials["phase"] == "search")]
    found = analysis.confusion_by_strength(rows, predictions)
    assert set(found["band"]) == {"none"} and found["low"].isna().all()


def test_the_heat_maps_go_from_weak_to_strong_and_have_a_phone_layout(confusion: pd.DataFrame) -> None:
    figure = analysis.plot_confusion(confusion, "erm", classes=[f"<b>{i}" for i in range(10)])
    assert [a.text.split()[-1] for a in figure.layout.annotations] == ["0.4", "0.1", "0.05", "0.02", "class"]
    assert len(figure.data) == 4 and figure.data[0].z.shape == (10, 10)
    assert all("<b>" not in name for name in figure.data[0].x)
    narrow = figure.layout.meta["narrow"]
    assert narrow["xaxis3"]["domain"][0] == 0 and narrow["height"] > figure.layout.height
    assert "counterfactual validation" in figure.layout.title.text


def shares(classes: int, values: int) -> pd.DataFrame:
    """Even shares of so many classes at so many bias values."""
    line = {"sweep": "s", "label": "erm", "rule": "val_biased", "facet": "", "bias_axis": "rho"}
    cells = [
        {"bias_value": v, "true": t, "predicted": p}
        for v in range(values)
        for t in range(classes)
        for p in range(classes)
    ]
    return pd.DataFrame(cells).assign(**line, share=1 / classes)


@pytest.mark.parametrize("values", [5, 7, 8])
def test_names_stand_at_the_edges_of_the_maps_and_touch_nothing(values: int) -> None:
    names = ["no finding", "pituitary tumour", "pleural effusion, left side"]
    figure = analysis.plot_confusion(shares(3, values), "erm", classes=names)
    narrow = figure.layout.meta["narrow"]
    for axes, across, height in (
        (figure.layout, 4, figure.layout.height - figure.layout.margin.t),
        (narrow, 2, narrow["height"]),
    ):
        x, y = ([axes[f"{letter}axis{i + 1 if i else ''}"] for i in range(values)] for letter in "xy")
        assert [axis["showticklabels"] for axis in x] == [i + across >= values for i in range(values)]
        assert [axis["showticklabels"] for axis in y] == [i % across == 0 for i in range(values)]
        named = x[-1]
        assert list(named["ticktext"]) == ["no finding", "pituitary tumour", "pleural effusion,…"]
        # Turned, the longest one ends above the title under it, and both stand inside the margin.
        bottom = figure.layout.margin.b if across == 4 else narrow["margin"]["b"]
        last = figure.layout.annotations[-1] if across == 4 else narrow["annotations"][-1]
        assert named["tickangle"] == -90 and 18 * 6 < -last["yshift"] < bottom - 20
        # All maps are of one height, with room for a title between rows.
        inner = height - bottom
        edges = sorted({tuple(axis["domain"]) for axis in y})
        assert {round((top - low) * inner) for low, top in edges} == {220 if across == 4 else 160}
        assert all((above[0] - below[1]) * inner > 25 for below, above in itertools.pairwise(edges))


def test_short_names_lie_and_of_many_some_are_left_out() -> None:
    digits = analysis.plot_confusion(shares(10, 8), "erm").layout
    assert digits.xaxis5.tickangle == 0 and len(digits.xaxis5.ticktext) == 10
    many = analysis.plot_confusion(shares(40, 5), "erm").layout
    assert list(many.yaxis.ticktext[:3]) == ["0", "2", "4"] and list(many.xaxis2.ticktext[:2]) == ["0", "3"]


def test_bad_input_is_one_sentence(trials: pd.DataFrame, predictions: pd.DataFrame, confusion: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="none of 'aligned'"):
        analysis.confusion_by_strength(trials, predictions, variant="aligned")
    with pytest.raises(InputError, match="predictions of 'dfr'"):
        analysis.plot_confusion(confusion, "dfr")
