"""Curves of external test sets: the columns they are made of, and what they are kept apart from."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.points.bias_groups import WORST_GROUP, laid_together
from analysis.points.external import external_columns, with_external
from analysis.points.measures import measure_of
from analysis.points.scores import measured

ACCURACY, BALANCED, AUROC = external_columns(["external:other"])


def test_a_column_names_figure_and_set() -> None:
    assert measured(AUROC) == ("auroc", "external:other")
    assert measure_of(AUROC).name == "AUROC" and not measure_of(AUROC).clean


def test_the_band_is_that_of_the_same_predictions_of_ones_own(three: ModuleType) -> None:
    frame = three.predictions()
    external = frame.assign(variant="external:other")
    trials = with_external(three.trials_of(frame), external)
    own = analysis.accuracy_vs_bias(trials, frame, "test_accuracy").iloc[0]
    other = analysis.accuracy_vs_bias(trials, external, ACCURACY).iloc[0]
    same = ["mean", "low", "high", "n_patients", "band", "values"]
    assert other[same].tolist() == own[same].tolist()
    balanced = analysis.accuracy_vs_bias(trials, external, BALANCED).iloc[0]
    recalls = (frame["predicted"] == frame["label"]).groupby([frame["trial_id"], frame["label"]]).mean()
    assert balanced["mean"] == pytest.approx(recalls.mean())
    assert analysis.external_curve(trials, external)["mean"].tolist() == [own["mean"]]


def test_trials_that_have_not_predicted_have_no_figure(three: ModuleType) -> None:
    frame = three.predictions()
    external = frame[frame["trial_id"] != "t1"].assign(variant="external:other")
    trials = with_external(three.trials_of(frame), external)
    assert np.isnan(trials.set_index("trial_id")[ACCURACY]["t1"])
    assert analysis.accuracy_vs_bias(trials, external, ACCURACY).iloc[0]["n_seeds"] == 2


def test_groups_are_never_found_among_external_images() -> None:
    same = {"trial_id": "t", "label": 0, "attribute": [0, 0, 1, 1], "image": list("abcd")}
    own = pd.DataFrame({**same, "variant": "independent", "predicted": [0, 0, 0, 1]})
    external = pd.DataFrame({**same, "variant": "external:other", "predicted": [1, 1, 1, 1]})
    rows = laid_together(WORST_GROUP, pd.concat([external, own], ignore_index=True), pd.Series({"t": 0.5}))
    assert rows is not None and len(rows) == 4
    assert laid_together(WORST_GROUP, external, pd.Series({"t": 0.0})) is None
