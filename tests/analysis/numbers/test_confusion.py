from __future__ import annotations

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
    assert [a.text.split()[-1] for a in figure.layout.annotations] == ["0.4", "0.1", "0.05", "0.02"]
    assert len(figure.data) == 4 and figure.data[0].z.shape == (10, 10)
    assert all("<b>" not in name for name in figure.data[0].x)
    narrow = figure.layout.meta["narrow"]
    assert narrow["xaxis3"]["domain"][0] == 0 and narrow["height"] > figure.layout.height
    assert "counterfactual validation" in figure.layout.title.text


def test_bad_input_is_one_sentence(trials: pd.DataFrame, predictions: pd.DataFrame, confusion: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="none of 'aligned'"):
        analysis.confusion_by_strength(trials, predictions, variant="aligned")
    with pytest.raises(InputError, match="predictions of 'dfr'"):
        analysis.plot_confusion(confusion, "dfr")
