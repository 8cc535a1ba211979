"""What the tumour data sets share, on a small phantom: painting, variants, rules and groups."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from store.errors import InputError
from store.rules import VARIANTS
from trainable.data import base
from trainable.data.base import IGNORED, heads_with_labels, load_dataset, resolve_bias
from trainable.data.brain import paint, tumour_slices
from trainable.data.brain.paint import INKS, blend
from trainable.data.brain.phantom import BrainPhantom
from trainable.data.brain.tumour_slices import ANNOTATED, CLASSES
from trainable.data.samples import contact_sheet, sample_index, strips
from trainable.data.view import DataView
from trainable.evaluation import evaluate
from trainable.methods.base import Nets
from trainable.spec import Phase, Training, TrialSpec
from trainable.trial.refusals import count_conflicting
from trainable.trial.trainer import Trainer

pytestmark = pytest.mark.usefixtures("own_cache")

MENINGIOMA, GLIOMA, PITUITARY = range(3)
BOTH = [{"rho": 1.0, "gamma": 0.0}, {"rho": 0.0, "gamma": 1.0}, {"rho": 1.0, "gamma": 1.0}, {"rho": 0.0, "gamma": 0.0}]


def view(phantom: BrainPhantom, rho: float, gamma: float = 0.0, seed: int = 0, phase: str = "confirm") -> DataView:
    return DataView(phantom, {"rho": rho, "gamma": gamma}, seed, None, phase)  # type: ignore[arg-type]


def test_painting_is_nested_along_rho_and_exactly_where_u_is_below_it(phantom: BrainPhantom) -> None:
    index = phantom.split(0).train
    u, y = phantom.annotation_draws(5)[index], phantom.labels()[index]
    clean = phantom.train_images({"rho": 0.0, "gamma": 0.0}, 5, index, "biased").images
    for rho, gamma in ((0.3, 0.0), (0.6, 0.2), (1.0, 1.0)):
        found = phantom.train_images({"rho": rho, "gamma": gamma}, 5, index, "biased")
        red, blue = (y == GLIOMA) & (u < rho), (y == PITUITARY) & (u < gamma)
        assert np.array_equal(found.attribute.numpy(), red + 2 * blue)
        changed = (found.images != clean).flatten(1).any(dim=1).numpy()
        assert np.array_equal(changed, red | blue)
        for k, on in enumerate((red, blue)):
            expected = torch.from_numpy(on.astype(np.int64)) if on.any() else torch.full((len(index),), IGNORED)
            assert torch.equal(found.bias[:, k], expected)
    assert np.array_equal(found.labels.numpy(), y)


def test_a_painted_image_is_the_clean_one_with_ink_on_it(phantom: BrainPhantom) -> None:
    index = np.array([5, 17, 200])
    clean = phantom.painted(index, np.zeros((3, 2), dtype=bool)).images.numpy()
    assert np.array_equal(clean[:, 0], phantom.store.grey[index])
    assert np.array_equal(clean[:, 0], clean[:, 2])
    expected = clean.copy()
    blend(expected, np.array([0, 2]), phantom.layers.covers["red"][index[[0, 2]]], INKS[0])
    blend(expected, np.array([1, 2]), phantom.layers.covers["blue"][index[[1, 2]]], INKS[1])
    found = phantom.painted(index, np.array([[True, False], [False, True], [True, True]]))
    assert np.array_equal(found.images.numpy(), expected)
    assert found.attribute.tolist() == [1, 2, 3]
    assert found.images.dtype == torch.uint8


def test_ceiling_and_clean_are_unannotated(phantom: BrainPhantom) -> None:
    for draw in ("unbiased", "clean"):
        found = phantom.train_images({"rho": 1.0, "gamma": 1.0}, 0, np.arange(240), draw)  # type: ignore[arg-type]
        assert not found.attribute.any()
        assert (found.bias == IGNORED).all()
    assert not phantom.variants_depend_on_bias


@pytest.mark.parametrize("bias", BOTH, ids=["red", "blue", "both", "none"])
def test_variants(phantom: BrainPhantom, bias: dict[str, float]) -> None:
    active = [True, False] if not any(bias.values()) else [bias["rho"] > 0, bias["gamma"] > 0]
    index = np.arange(240)
    sets = {name: phantom.variant_images(name, bias, index, "test") for name in (*VARIANTS, ANNOTATED)}
    y = phantom.labels()
    red = {name: found.attribute.numpy() & 1 for name, found in sets.items()}
    blue = {name: found.attribute.numpy() >> 1 for name, found in sets.items()}
    assert not sets["unbiased"].attribute.any()
    assert np.array_equal(red["aligned"], (y == GLIOMA) & active[0])
    assert np.array_equal(blue["aligned"], (y == PITUITARY) & active[1])
    for on, is_active in zip((red, blue), active, strict=True):
        assert (0.35 < on["independent"].mean() < 0.65) if is_active else not on["independent"].any()
        assert on[ANNOTATED].all() if is_active else not on[ANNOTATED].any()
        for k in range(3):
            assert not is_active or 0.25 < on["independent"][y == k].mean() < 0.75
    # Every image carries one annotation, and none that of its own class.
    assert (red["conflicting"] + blue["conflicting"] == 1).all()
    assert not red["conflicting"][y == GLIOMA].any()
    assert not blue["conflicting"][y == PITUITARY].any()
    on_meningioma = red["conflicting"][y == MENINGIOMA].mean()
    assert 0.3 < on_meningioma < 0.7 if all(active) else on_meningioma == active[0]


def test_variant_draws_belong_to_the_image_and_the_role(phantom: BrainPhantom) -> None:
    for seed, rho in ((1, 0.5), (2, 1.0)):
        found = view(phantom, rho, seed=seed).test("independent")
        assert torch.equal(found.images, view(phantom, 0.0).test("independent").images)
    index = phantom.split(0).test
    part = phantom.variant_images("independent", {"rho": 1.0, "gamma": 0.0}, index[7:12], "test")
    assert torch.equal(part.images, found.images[7:12])
    other = phantom.variant_images("independent", {"rho": 1.0, "gamma": 0.0}, index, "val/0")
    assert not torch.equal(other.attribute, found.attribute)


def test_bias_strength(phantom: BrainPhantom) -> None:
    assert phantom.bias_strength({"rho": 0.0, "gamma": 0.0}) == 0
    assert phantom.bias_strength({"rho": 1.0, "gamma": 1.0}) == pytest.approx(1)
    third = (np.log(3) - 2 / 3 * np.log(2)) / np.log(3)
    assert phantom.bias_strength({"rho": 1.0, "gamma": 0.0}) == pytest.approx(third)
    values = [phantom.bias_strength({"rho": rho, "gamma": 0.0}) for rho in np.linspace(0, 1, 11)]
    assert (np.diff(values) > 0).all()


def test_conflicting_samples(phantom: BrainPhantom) -> None:
    counts = [count_conflicting(phantom, view(phantom, rho).train()) for rho in (0.0, 0.5, 0.9, 1.0)]
    assert counts[0] == counts[3] == 0
    assert counts[1] > counts[2] > 0  # type: ignore[operator]
    both = view(phantom, 0.5, 0.5).train()
    lacking = ((both.labels > 0) & (both.attribute == 0)).sum()
    assert count_conflicting(phantom, both) == lacking


def test_reweighting_looks_at_unannotated_images(phantom: BrainPhantom) -> None:
    target = phantom.reweighting_target
    half = view(phantom, 0.5, 0.5).validation("val_reweighted")
    y, b = half.labels.numpy(), half.attribute.numpy()
    weights = evaluate.bias_weights(y, b, target)
    assert (weights[b > 0] == 0).all()
    assert np.bincount(y, weights) == pytest.approx(np.bincount(y))
    plain = view(phantom, 0.0).validation("val_reweighted")
    assert (evaluate.bias_weights(plain.labels.numpy(), plain.attribute.numpy(), target) == 1).all()
    full = view(phantom, 1.0).validation("val_reweighted")
    with pytest.raises(InputError, match="class 1 has none of bias value 0"):
        evaluate.bias_weights(full.labels.numpy(), full.attribute.numpy(), target)


class SeesRed(torch.nn.Module):
    """Says glioma where there is any red, and meningioma elsewhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red = ((x[:, 0] - x[:, 1]) > 0.1).flatten(1).any(dim=1).long()
        return 20 * torch.nn.functional.one_hot(red, 3).float()


def test_report_of_a_shortcut_user(phantom: BrainPhantom) -> None:
    nets = Nets(torch.nn.Identity(), SeesRed(), None)
    columns, predictions = evaluate.test_report(nets, view(phantom, 1.0), None, "accuracy")
    third = pytest.approx(1 / 3)
    assert columns["test_accuracy"] == third
    assert columns["test_aligned_accuracy"] == pytest.approx(2 / 3)
    assert columns["test_conflicting_accuracy"] == 0
    assert columns["flip_rate"] == 1, "red on every test image changes every prediction"
    assert columns["test_worst_group_accuracy"] == 0
    assert set(predictions["variant"]) == set(VARIANTS)
    # Groups of (class, annotated): of the gliomas only the annotated ones are right.
    rows = np.array(predictions["variant"]) == "independent"
    glioma = rows & (predictions["label"] == GLIOMA)
    right = predictions["predicted"] == GLIOMA
    assert right[glioma & (predictions["attribute"] == 1)].all()
    assert not right[glioma & (predictions["attribute"] == 0)].any()


class Corner(torch.nn.Module):
    """Sees a corner of the image that no annotation reaches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :3, :3]


class Inks(torch.nn.Module):
    """How much more red than green there is and, if asked, how much more blue than green."""

    def __init__(self, blue: bool) -> None:
        super().__init__()
        self.blue = blue

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = [x[:, 0] - x[:, 1], *([x[:, 2] - x[:, 1] - (x[:, 0] - x[:, 1])] if self.blue else [])]
        return torch.stack(channels, dim=1).clamp(min=0)


@pytest.mark.parametrize("bias", BOTH, ids=["red", "blue", "both", "none"])
def test_a_probe_that_finds_nothing_is_right_half_of_the_time(phantom: BrainPhantom, bias: dict[str, float]) -> None:
    blind = evaluate.bias_probe(Corner(), view(phantom, **bias), None, 0)
    assert 0.35 < blind < 0.65
    seeing = evaluate.bias_probe(Inks(blue=True), view(phantom, **bias), None, 0)
    assert seeing > 0.85


def test_a_probe_of_two_annotations_is_the_mean_over_them(phantom: BrainPhantom) -> None:
    half = evaluate.bias_probe(Inks(blue=False), view(phantom, 1.0, 1.0), None, 0)
    assert 0.65 < half < 0.85


def test_worst_group_is_the_worst_of_class_and_annotation(phantom: BrainPhantom) -> None:
    class KnowsUnlessRed(torch.nn.Module):
        """Right on everything but a red meningioma: 5 of 6 groups."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            red = ((x[:, 0] - x[:, 1]) > 0.1).flatten(1).any(dim=1)
            y = truth[: len(x)].clone()
            y[red & (y == 0)] = 2
            return 20 * torch.nn.functional.one_hot(y, 3).float()

    truth = torch.from_numpy(phantom.labels()[phantom.split(0).test])
    columns, _ = evaluate.test_report(
        Nets(torch.nn.Identity(), KnowsUnlessRed(), None), view(phantom, 1.0), None, "accuracy"
    )
    assert columns["test_accuracy"] == 1
    assert columns["test_independent_accuracy"] > 0.7
    assert columns["test_worst_group_accuracy"] == 0


def test_axes(phantom: BrainPhantom) -> None:
    assert resolve_bias(phantom, {"rho": 0.5}) == {"rho": 0.5, "gamma": 0.0}
    with pytest.raises(InputError, match="needs a value of rho"):
        resolve_bias(phantom, {"gamma": 0.5})
    with pytest.raises(InputError, match=r"rho must lie in \[0, 1\]"):
        resolve_bias(phantom, {"rho": 1.5})


def test_pictures_show_the_same_training_patients(phantom: BrainPhantom) -> None:
    values = [{"rho": rho, "gamma": rho} for rho in (0.0, 0.5, 1.0)]
    rows = strips(phantom, values)
    assert len({image.size for _, image in rows}) == 1
    assert len({image.tobytes() for _, image in rows}) == 3
    side = (rows[0][1].width + 4) // len(sample_index(phantom)) - 4
    assert rows[0][1].height == side + 16
    assert (np.asarray(rows[0][1])[side:] < 128).any(), "a line that calls them synthetic"
    sheet = contact_sheet(phantom, values)
    assert sheet.height > 3 * 96
    assert not set(sample_index(phantom)) & set(phantom.split(0).test)
    assert phantom.labels()[sample_index(phantom, 3)].tolist() == [0, 1, 2]


def test_bad_requests(phantom: BrainPhantom) -> None:
    with pytest.raises(InputError, match="did you mean 'biased'"):
        phantom.train_images({"rho": 1.0, "gamma": 0.0}, 0, np.arange(3), "bias")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'aligned'"):
        phantom.variant_images("align", {"rho": 1.0, "gamma": 0.0}, np.arange(3), "test")
    with pytest.raises(InputError, match="has no fold 7"):
        phantom.split(0, 7)
    with pytest.raises(InputError, match="search phase"):
        view(phantom, 1.0, phase="search").test(ANNOTATED)
    assert load_dataset("brain_phantom").name == "brain_phantom"
    assert phantom.classes == CLASSES


def test_only_heads_with_a_label_are_kept(phantom: BrainPhantom) -> None:
    for bias, names in ((BOTH[0], ("red",)), (BOTH[1], ("blue",)), (BOTH[2], ("red", "blue")), (BOTH[3], ("red",))):
        images = phantom.train_images(bias, 0, phantom.split(0).train, "biased")
        heads, kept = heads_with_labels(phantom.heads, images)
        assert heads.names == names
        columns = [phantom.heads.names.index(name) for name in names]
        assert torch.equal(kept.bias, images.bias[:, columns])


def test_a_split_by_slice_has_patients_on_both_sides(phantom: BrainPhantom) -> None:
    groups = phantom.groups()
    by_slice = BrainPhantom(image_size=32, patients=60, slices=4, split_by="slice")
    for data, both in ((phantom, False), (by_slice, True)):
        split = data.split(0)
        assert bool(np.intersect1d(groups[split.train], groups[split.test]).size) is both
        assert sum(len(split.part(part)) for part in ("train", "val", "test")) == len(groups)  # type: ignore[arg-type]
    assert by_slice.checksum == phantom.checksum
    with pytest.raises(InputError, match="folds of patients"):
        by_slice.split(0, 1)


def test_the_seed_study_never_reached_the_last_pituitary_slices() -> None:
    data = BrainPhantom(image_size=32, patients=60, slices=4, pituitary="seed")
    split = data.split(0)
    used = np.concatenate([split.train, split.val, split.test])
    counts = np.bincount(data.labels()[used])
    assert counts.tolist() == [80, 80, 80 - 36]
    unused = np.setdiff1d(np.arange(240), used)
    assert unused.tolist() == np.flatnonzero(data.labels() == PITUITARY)[-36:].tolist()


@pytest.mark.parametrize("option", [{"split_by": "slise"}, {"pituitary": "half"}])
def test_an_unknown_switch_is_refused(option: dict[str, str]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(option))} of brain_phantom"):
        BrainPhantom(image_size=32, patients=60, slices=4, **option)  # type: ignore[arg-type]


def test_repainting_takes_the_annotation_from_a_coin(phantom: BrainPhantom) -> None:
    data = view(phantom, 1.0)
    y = data.train().labels.numpy()
    whole, half, none = (data.train("repainted", share) for share in (1.0, 0.5, 0.0))
    assert torch.equal(none.images, data.train().images)
    on = whole.attribute.numpy() == 1
    for k in range(3):
        assert 0.3 < on[y == k].mean() < 0.7
    # Nested: an image repainted at one half is the same image at a share of one.
    changed = ~(half.images == none.images).flatten(1).all(dim=1)
    assert torch.equal(half.images[changed], whole.images[changed])
    assert 0 < int(changed.sum()) < int((~(whole.images == none.images).flatten(1).all(dim=1)).sum())
    assert torch.equal(whole.index, none.index)
    with pytest.raises(InputError, match="repaint_share must lie"):
        data.train("repainted", 1.5)


@pytest.mark.parametrize("phase", ["search", "confirm"])
def test_annotations_are_drawn_once_a_node_and_laid_on_once_a_trial(
    phase: Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path))
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            calls[name] += 1
            return real(*arguments)

        monkeypatch.setattr(module, name, counted)

    count(paint, "coverage")
    count(tumour_slices, "blend")
    options = {"image_size": 32, "patients": 60, "slices": 2}
    for rho, seed in ((0.5, 0), (1.0, 0), (1.0, 1)):
        base._load.cache_clear()  # as in a new process
        spec = TrialSpec(
            dataset="brain_phantom", dataset_options=options, bias={"rho": rho}, method="lnl", hyperparameters={},
            network="small_cnn", seed=seed, phase=phase, trial_id="t", training=Training(epochs=3, batch_size=32),
        )  # fmt: skip
        before = calls["blend"]
        trainer = Trainer(spec, "cpu")
        laid = calls["blend"]
        assert laid > before
        while not trainer.finished:
            trainer.train_epoch()
        assert calls["blend"] == laid, "an epoch painted"
    base._load.cache_clear()
    assert calls["coverage"] == 60 * 2 * len(INKS)
