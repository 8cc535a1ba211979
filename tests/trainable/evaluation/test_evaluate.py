from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from store.columns import PREDICTIONS, TRIALS
from store.errors import InputError
from trainable.data.base import load_dataset
from trainable.data.view import DataView
from trainable.evaluation import calibration, evaluate, metrics
from trainable.evaluation.probe import bias_probe
from trainable.methods.base import Nets
from trainable.networks.base import DataShape
from trainable.networks.build import build_nets

DIGITS = load_dataset("coloured_digits")


def view(variance: float = 0.02, phase: str = "confirm", seed: int = 0) -> DataView:
    return DataView(DIGITS, {"color_variance": variance}, seed, None, phase)  # type: ignore[arg-type]


def one_hot(predicted: list[int], n_classes: int) -> np.ndarray:
    return np.eye(n_classes)[predicted]


class ReadsColour(nn.Module):
    """A perfect shortcut user: predicts the class whose mean colour is nearest to that of the brightest pixel."""

    def forward(self, x: Tensor) -> Tensor:
        from trainable.data.digits.coloured_digits import PALETTE

        pixels = x.flatten(2)
        brightest = pixels.sum(dim=1).argmax(dim=1)
        colour = pixels.gather(2, brightest[:, None, None].expand(-1, 3, 1)).squeeze(2)
        return -50 * torch.cdist(colour, torch.from_numpy(PALETTE))


def shortcut() -> Nets:
    return Nets(nn.Identity(), ReadsColour(), None)


def test_accuracy_recall_and_balance_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    probs = one_hot([0, 0, 1, 1, 2, 2], 3)
    assert metrics.accuracy(probs, labels) == pytest.approx(4 / 6)
    assert metrics.recalls(probs, labels) == pytest.approx([2 / 3, 1 / 2, 1])
    assert metrics.balanced_accuracy(probs, labels) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.accuracy(probs, labels, np.array([1, 1, 4, 0, 0, 0])) == pytest.approx(2 / 6)


def test_a_class_without_images_is_left_out() -> None:
    probs, labels = one_hot([0, 1, 1], 3), np.array([0, 1, 0])
    assert np.isnan(metrics.recalls(probs, labels)[2])
    assert metrics.balanced_accuracy(probs, labels) == pytest.approx(0.75)
    assert metrics.auroc(probs, labels) == pytest.approx(0.75)


def test_auroc_by_hand() -> None:
    # Class 1 scores .9 and .4 against .8, .4 and .1: pairs won 3 + 1, one tie, of 6.
    p = np.array([0.9, 0.4, 0.8, 0.4, 0.1])
    labels = np.array([1, 1, 0, 0, 0])
    assert metrics.auroc(np.stack([1 - p, p], axis=1), labels) == pytest.approx(4.5 / 6)
    assert metrics.auroc(np.full((5, 2), 0.5), labels) == pytest.approx(0.5)
    assert metrics.auroc(np.stack([p, 1 - p], axis=1), labels) == pytest.approx(1.5 / 6)


def test_auroc_equals_the_count_over_pairs() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)
    probs = rng.integers(0, 4, (60, 4)) / 10
    areas = []
    for k in range(4):
        inside, outside = probs[labels == k, k], probs[labels != k, k]
        gap = inside[:, None] - outside
        areas.append(((gap > 0) + 0.5 * (gap == 0)).mean())
    assert metrics.auroc(probs, labels) == pytest.approx(np.mean(areas))


def test_weights_count_like_copies() -> None:
    rng = np.random.default_rng(1)
    labels, copies = rng.integers(0, 3, 30), rng.integers(0, 4, 30)
    probs = rng.dirichlet(np.ones(3), 30)
    for metric in ("accuracy", "balanced_accuracy", "auroc"):
        repeated = metrics.score(metric, probs.repeat(copies, axis=0), labels.repeat(copies))  # type: ignore[arg-type]
        assert metrics.score(metric, probs, labels, copies) == pytest.approx(repeated)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'auroc'"):
        metrics.score("auc_roc", probs, labels)  # type: ignore[arg-type]


def test_calibration_error_by_hand() -> None:
    # Confidences .62 and .64 share a bin (9/15, 10/15], one right; .9 lies in (13/15, 14/15] and is right.
    probs = np.array([[0.62, 0.38], [0.64, 0.36], [0.9, 0.1]])
    labels = np.array([0, 1, 0])
    assert calibration.calibration_error(probs, labels) == pytest.approx((abs(1 - 1.26) + 0.1) / 3)
    assert calibration.calibration_error(one_hot([0, 1], 2), np.array([0, 1])) == 0


def test_brier_log_loss_and_confidence_gap_by_hand() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.0, 1.0, 0.0]])
    labels = np.array([0, 1, 0])
    # .3^2 + .2^2 + .1^2, .5^2 + .7^2 + .2^2, 1 + 1.
    assert calibration.brier(probs, labels) == pytest.approx((0.14 + 0.78 + 2) / 3, abs=1e-15)
    losses = -np.log([0.7, 0.3, 1e-7])
    assert calibration.log_loss(probs, labels) == pytest.approx(losses.mean(), abs=1e-14)
    assert calibration.confidence_gap(probs, labels) == pytest.approx((0.7 + 0.5 + 1) / 3 - 1 / 3, abs=1e-15)
    assert calibration.confidence_gap(np.array([[0.6, 0.4]]), np.array([0])) == pytest.approx(-0.4)
    assert calibration.brier(np.full((5, 4), 0.25), np.array([0, 1, 2, 3, 0])) == pytest.approx(1 - 1 / 4)


def test_the_null_of_the_calibration_error_by_hand() -> None:
    # One image of confidence c errs by 1 - c with chance c and by c with chance 1 - c: 2 c (1 - c).
    assert calibration.calibration_error_null(np.array([[0.9, 0.1]])) == pytest.approx(2 * 0.9 * 0.1, abs=1e-15)
    # Two in one bin, .62 and .64: sums 2, 1, 0 about 1.26.
    two = np.array([[0.62, 0.38], [0.64, 0.36]])
    law = [0.38 * 0.36, 0.62 * 0.36 + 0.38 * 0.64, 0.62 * 0.64]
    expected = sum(chance * abs(k - 1.26) for k, chance in enumerate(law))
    assert calibration.calibration_error_null(two) == pytest.approx(expected / 2, abs=1e-15)
    # Another bin's deviation is added, and certain predictions have none.
    more = np.concatenate([two, [[0.9, 0.1], [1.0, 0.0]]])
    assert calibration.calibration_error_null(more) == pytest.approx((expected + 0.18) / 4, abs=1e-15)


@pytest.mark.parametrize("concentration", [0.2, 0.4])
def test_the_null_is_the_mean_error_of_a_calibrated_network(concentration: float) -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(3, concentration), 216)
    null = calibration.calibration_error_null(probs)
    # Labels drawn from the network's own probabilities: it is perfectly calibrated.
    cut = probs.cumsum(axis=1)
    drawn = [
        calibration.calibration_error(probs, (rng.random((216, 1)) > cut).sum(axis=1).clip(max=2)) for _ in range(2000)
    ]
    assert null == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(2000))
    assert 0.056 < null < 0.071
    shuffled = rng.permutation(216)
    assert calibration.calibration_error_null(probs[shuffled]) == pytest.approx(null, abs=1e-14)


def test_of_no_image_nothing_is_known() -> None:
    none, no_labels = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    for figure in (calibration.brier, calibration.log_loss, calibration.confidence_gap, calibration.calibration_error):
        assert np.isnan(figure(none, no_labels))
    assert np.isnan(calibration.calibration_error_null(none))


def test_worst_group_and_flips_by_hand() -> None:
    correct = np.array([True, True, False, True, False, False])
    assert metrics.worst_group_accuracy(correct, np.array([7, 7, 7, 3, 3, 3])) == pytest.approx(1 / 3)
    assert metrics.flip_rate(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 1])) == 0.5
    with pytest.raises(InputError, match="the same images"):
        metrics.flip_rate(np.array([0]), np.array([0, 1]))


def slices(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The check at rho = .9, n times: meningioma, glioma clean, glioma painted, pituitary."""
    counts = [106 * n, 214 * n // 10, 214 * n * 9 // 10, 140 * n]
    right = [0.9, 0.4, 0.99, 0.95]
    labels = np.repeat([0, 1, 1, 2], counts)
    bias = np.repeat([0, 0, 1, 0], counts)
    correct = np.concatenate([np.arange(c) < round(c * r) for c, r in zip(counts, right, strict=True)])
    return labels, bias, one_hot(list(np.where(correct, labels, (labels + 1) % 3)), 3)


def test_reweighted_check_value() -> None:
    labels, bias, probs = slices(500)
    assert metrics.accuracy(probs, labels) == pytest.approx(0.929639130435, abs=1e-12)
    target = np.array([1.0, 0.0])
    weights = metrics.bias_weights(labels, bias, target)
    assert metrics.score("accuracy", probs, labels, weights) == pytest.approx(0.682608695652, abs=1e-12)
    assert weights.sum() ** 2 / (weights**2).sum() / 500 == pytest.approx(88.7, abs=0.05)


def test_reweighted_standard_error_is_that_of_the_groups() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    bias = rng.integers(0, 2, 400)
    correct = rng.random(400) < 0.7
    probs = one_hot(list(np.where(correct, labels, 1 - labels)), 2)
    target = np.array([0.5, 0.5])
    groups = np.arange(400)
    result = metrics.reweighted("accuracy", probs, labels, bias, target, groups)
    weights = metrics.bias_weights(labels, bias, target)
    linear = weights * (correct - result.estimate) / weights.sum()
    assert result.se == pytest.approx(np.sqrt((linear**2).sum()), rel=0.15)
    # Ten identical images of each patient carry no more than one does.
    ten = [array.repeat(10, axis=0) for array in (probs, labels, bias)]
    few = metrics.reweighted("accuracy", ten[0], ten[1], ten[2], target, groups.repeat(10))
    assert few.se == pytest.approx(result.se, rel=1e-6)
    assert few.estimate == pytest.approx(result.estimate)
    assert metrics.reweighted("auroc", probs, labels, bias, target, groups).se > 0


def test_reweighted_refuses_what_it_cannot_know() -> None:
    labels, bias = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    with pytest.raises(InputError, match="class 1 has none of bias value 0"):
        metrics.bias_weights(labels, bias, np.array([1.0, 0.0]))
    one = metrics.reweighted(
        "accuracy", one_hot([0, 1], 2), labels[[0, 2]], bias[[1, 2]], np.array([0.0, 1]), bias[:2] * 0
    )
    assert one.estimate == 1.0
    assert np.isnan(one.se)


def test_predict_gives_probabilities_and_restores_the_mode() -> None:
    nets = build_nets("pixel_front", {}, DataShape.of(DIGITS), 0, False)
    images = view().validation("val_biased")
    before = {key: value.clone() for key, value in nets.f.state_dict().items()}
    whole = evaluate.predict(nets, images)
    assert whole.shape == (500, 10)
    assert whole.dtype == np.float32
    assert whole.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert nets.f.training
    assert all(torch.equal(value, before[key]) for key, value in nets.f.state_dict().items())
    assert evaluate.predict(nets, images, batch_size=33) == pytest.approx(whole, abs=1e-6)
    assert not np.allclose(evaluate.predict(nets, images, lambda x: 1 - x), whole)


def test_batch_statistics_make_a_prediction_depend_on_its_batch_and_leave_no_trace() -> None:
    nets = replace(build_nets("pixel_front", {}, DataShape.of(DIGITS), 0, False), batch_statistics=100)
    images = view().validation("val_biased")
    before = {key: value.clone() for key, value in nets.f.state_dict().items()}
    whole = evaluate.predict(nets, images)
    nets.f.train()
    nets.g.train()
    by_hand = nets.g(nets.f(images.images[:100].float() / 255)).softmax(dim=1)
    assert np.allclose(whole[:100], by_hand.detach().numpy(), atol=1e-4)
    assert not np.allclose(evaluate.predict(replace(nets, batch_statistics=50), images), whole, atol=1e-3)
    # The running averages that the forward above moved are the only ones that moved.
    moved = [key for key, value in before.items() if not torch.equal(nets.f.state_dict()[key], value)]
    assert all("running" in key or "tracked" in key for key in moved)
    kept = {key: value.clone() for key, value in nets.f.state_dict().items()}
    evaluate.predict(nets, images)
    assert all(torch.equal(value, kept[key]) for key, value in nets.f.state_dict().items())


def test_validation_values_show_the_shortcut() -> None:
    sets = evaluate.validation_sets(view(phase="search"))
    assert list(sets) == list(DIGITS.rules)
    assert sets["val_unbiased"] is sets["val_counterfactual"]
    values = evaluate.validation_values(shortcut(), sets, "accuracy")
    assert set(values) == {"val_biased", "val_unbiased", "val_counterfactual"}
    assert values["val_biased"] > 0.85  # type: ignore[operator]
    assert values["val_unbiased"] == values["val_counterfactual"] < 0.2  # type: ignore[operator]


def test_validation_values_reweight_where_the_data_set_can() -> None:
    images = view(phase="search").validation("val_unbiased")
    groups = np.arange(len(images))
    few = images.attribute % 2
    images = type(images)(images.images, images.labels, images.bias, few, images.index)
    reweighting = evaluate.Reweighting(None, groups)
    values = evaluate.validation_values(shortcut(), {"val_reweighted": images}, "accuracy", reweighting=reweighting)
    assert set(values) == {"val_reweighted", "val_reweighted_se", "val_reweighted_n_eff"}
    assert values["val_reweighted_n_eff"] < 500  # type: ignore[operator]
    with pytest.raises(InputError, match="pass reweighting"):
        evaluate.validation_values(shortcut(), {"val_reweighted": images}, "accuracy")


def test_report_of_a_shortcut_user() -> None:
    columns, predictions = evaluate.test_report(shortcut(), view(variance=0.0), None, "accuracy")
    known = {"recall_" + name for name in DIGITS.classes} | set(TRIALS)
    assert set(columns) <= known
    assert {name for name in TRIALS if name.startswith("test_")} <= set(columns)
    assert columns["n_test"] == 1000
    assert columns["test_aligned_accuracy"] > 0.95
    assert columns["test_conflicting_accuracy"] < 0.02
    assert columns["test_accuracy"] == columns["test_independent_accuracy"] == pytest.approx(0.1, abs=0.04)
    assert columns["test_worst_group_accuracy"] == 0
    assert columns["flip_rate"] > 0.95
    assert columns["test_balanced_accuracy"] == pytest.approx(columns["test_accuracy"])
    assert columns["recall_3"] >= columns["test_worst_class_accuracy"]

    assert set(predictions) == set(PREDICTIONS) - {"trial_id", "weight"} | {f"p_{name}" for name in DIGITS.classes}
    assert {len(column) for column in predictions.values()} == {4000}
    rows = np.array(predictions["variant"]) == "conflicting"
    assert not (predictions["attribute"] == predictions["label"])[rows].any()
    right = (predictions["predicted"] == predictions["label"])[rows].mean()
    assert right == pytest.approx(columns["test_conflicting_accuracy"])
    assert len(set(zip(predictions["variant"], predictions["image"], strict=True))) == 4000
    assert predictions["p_0"].dtype == np.float32


def test_report_and_probe_refuse_the_search_phase() -> None:
    with pytest.raises(InputError, match="search phase"):
        evaluate.test_report(shortcut(), view(phase="search"), None, "accuracy")
    with pytest.raises(InputError, match="search phase"):
        bias_probe(nn.Identity(), view(phase="search"), None, 0)


class Flatten(nn.Module):
    """Features that hold nothing but the ink's shape: the colour is divided out."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.amax(dim=1, keepdim=True) > 0.3).float()


@pytest.mark.parametrize(
    ("f", "low", "high"), [(nn.Identity(), 0.85, 1.0), (Flatten(), 0.05, 0.35)], ids=["colour", "no colour"]
)
def test_probe_reads_the_bias_where_it_is(f: nn.Module, low: float, high: float) -> None:
    value = bias_probe(f, view(), None, 0)
    assert low <= value <= high
    assert bias_probe(f, view(), None, 0) == value


def test_probe_leaves_the_features_alone() -> None:
    nets = build_nets("pixel_front", {}, DataShape.of(DIGITS), 0, False)
    before: dict[str, Any] = {key: value.clone() for key, value in nets.f.state_dict().items()}
    state = torch.random.get_rng_state()
    bias_probe(nets.f, view(), None, 0)
    assert nets.f.training
    assert all(torch.equal(value, before[key]) for key, value in nets.f.state_dict().items())
    assert all(parameter.grad is None for parameter in nets.f.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
