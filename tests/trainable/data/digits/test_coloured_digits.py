from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from store.errors import InputError
from trainable.data.arrays import cache
from trainable.data.base import IGNORED, list_datasets, load_dataset, resolve_bias
from trainable.data.digits.coloured_digits import FOREGROUND, PALETTE, ColouredDigits
from trainable.data.digits.source import load_digits
from trainable.data.samples import contact_sheet, sample_index, strips
from trainable.data.view import DataView
from trainable.randomness import numpy_generator


@pytest.fixture(scope="module")
def digits() -> ColouredDigits:
    return load_dataset("coloured_digits")  # type: ignore[return-value]


def view(digits: ColouredDigits, variance: float, seed: int = 0, phase: str = "confirm") -> DataView:
    return DataView(digits, {"color_variance": variance}, seed, None, phase)  # type: ignore[arg-type]


def painted(digits: ColouredDigits, index: np.ndarray, tint: np.ndarray) -> torch.Tensor:
    ink = torch.from_numpy(digits._ink[index]).float()
    return (ink[:, None] * torch.from_numpy(tint.astype(np.float32))[:, :, None, None]).round().to(torch.uint8)


def test_rows_of_older_sweeps_are_of_these_images(digits: ColouredDigits) -> None:
    """What a row was measured on is in its checksum, and the draws are a contract."""
    assert digits.checksum == "a48cc59a70a640d94dab33b4a5555f122dd7dfae3227e924e3dd0dbe702ef885"
    index = digits.split(3).test
    images = digits.variant_images("unbiased", {"color_variance": 0.03}, index, "test").images.numpy()
    assert hashlib.sha256(index.tobytes() + images.tobytes()).hexdigest() == (
        "bb2ba1483da5f2ec3716aef1bf3d56e4f966ff66d976293c90ac6c9a2388f7d4"
    )


def test_is_registered() -> None:
    assert "coloured_digits" in list_datasets()


@pytest.mark.parametrize(("subset", "sizes"), [("all", (3500, 500, 1000)), ("development", (2630, 370, 1000))])
def test_splits_are_disjoint_and_stratified(subset: str, sizes: tuple[int, ...]) -> None:
    digits = load_dataset("coloured_digits", subset=subset)
    split = digits.split(3)
    parts = (split.train, split.val, split.test)
    assert tuple(len(part) for part in parts) == sizes
    assert len(np.unique(np.concatenate(parts))) == sum(sizes)
    for part in parts:
        assert len(set(np.bincount(digits.labels()[part]))) == 1
    other = digits.split(4)
    assert np.array_equal(other.test, split.test)
    assert not np.array_equal(other.train, split.train)
    assert set(other.train) | set(other.val) == set(split.train) | set(split.val)


def test_development_never_holds_a_test_image(digits: ColouredDigits) -> None:
    development = load_dataset("coloured_digits", subset="development")
    test = set(digits.split(0).test)
    for seed in (0, 1):
        split = development.split(seed)
        assert not test & set(np.concatenate([split.train, split.val, split.test]))
    assert not set(sample_index(digits)) & test


def test_noise_is_paired_along_the_axis(digits: ColouredDigits) -> None:
    index = digits.split(0).train[:50]
    z = numpy_generator(7, "paint").standard_normal((5000, 3))[index]
    for variance in (0.02, 0.3):
        images = digits.train_images({"color_variance": variance}, 7, index, "biased")
        tint = np.clip(PALETTE[digits.labels()[index]] + np.sqrt(variance) * z, 0, 1)
        assert torch.equal(images.images, painted(digits, index, tint))


def test_a_draw_belongs_to_the_image_not_to_its_place(digits: ColouredDigits) -> None:
    index = digits.split(0).test
    bias = {"color_variance": 0.05}
    whole = digits.variant_images("unbiased", bias, index, "test")
    part = digits.variant_images("unbiased", bias, index[100:110], "test")
    assert torch.equal(whole.images[100:110], part.images)


def test_test_images_do_not_depend_on_the_seed(digits: ColouredDigits) -> None:
    for variant in ("unbiased", "aligned", "conflicting"):
        first, second = view(digits, 0.02, seed=1).test(variant), view(digits, 0.02, seed=2).test(variant)
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.attribute, view(digits, 0.4).test(variant).attribute)


def test_balance_and_size_are_the_same_along_the_axis(digits: ColouredDigits) -> None:
    for variance in (0.0, 0.02, 10.0):
        train = view(digits, variance).train()
        assert train.images.shape == (3500, 3, 14, 14)
        assert train.images.dtype == torch.uint8
        assert train.labels.bincount().tolist() == [350] * 10
        assert torch.equal(train.attribute, train.labels)


def test_ceiling_draws_colours_independently_with_the_same_noise(digits: ColouredDigits) -> None:
    index = digits.split(0).train
    images = digits.train_images({"color_variance": 0.05}, 5, index, "unbiased")
    colour = (10 * digits.annotation_draws(5)[index]).astype(int)
    assert np.array_equal(images.attribute.numpy(), colour)
    assert 0.07 < (images.attribute == images.labels).float().mean() < 0.13
    z = numpy_generator(5, "paint").standard_normal((5000, 3))[index]
    tint = np.clip(PALETTE[colour] + np.sqrt(0.05) * z, 0, 1)
    assert torch.equal(images.images, painted(digits, index, tint))


def test_clean_images_are_white(digits: ColouredDigits) -> None:
    images = digits.train_images({"color_variance": 1.0}, 0, np.arange(20), "clean")
    assert torch.equal(images.images, torch.from_numpy(digits._ink[:20])[:, None].expand(-1, 3, -1, -1))
    assert images.attribute.eq(IGNORED).all()


def test_variants(digits: ColouredDigits) -> None:
    confirm = view(digits, 0.02)
    unbiased, independent = confirm.test("unbiased"), confirm.test("independent")
    aligned, conflicting = confirm.test("aligned"), confirm.test("conflicting")
    assert torch.equal(unbiased.images, independent.images)
    assert torch.equal(aligned.attribute, aligned.labels)
    assert not (conflicting.attribute == conflicting.labels).any()
    others = torch.bincount((conflicting.attribute - conflicting.labels) % 10, minlength=10)
    assert others[1:].min() > 80
    assert others[1:].max() < 150
    assert unbiased.attribute.bincount(minlength=10).min() > 70


def test_no_variance_gives_the_exact_palette(digits: ColouredDigits) -> None:
    full = ColouredDigits(image_size=28)
    index = np.flatnonzero((full._ink == 255).any(axis=(1, 2)))[:200]
    images = full.train_images({"color_variance": 0.0}, 0, index, "biased")
    for ink, image, digit in zip(full._ink[index], images.images, images.labels, strict=True):
        expected = torch.from_numpy(np.rint(PALETTE[digit] * 255).astype(np.uint8))
        assert torch.equal(image[:, ink == 255], expected[:, None].expand(-1, int((ink == 255).sum())))


@pytest.mark.parametrize("size", [14, 28])
def test_pixel_labels_are_bins_of_the_foreground(size: int) -> None:
    digits = ColouredDigits(image_size=size)
    images = digits.train_images({"color_variance": 0.05}, 0, np.arange(0, 5000, 50), "biased")
    ink = torch.from_numpy(digits._ink[::50])
    counted = (ink >= FOREGROUND)[:, None].expand_as(images.bias)
    assert torch.equal(images.bias[counted], images.images[counted].long() // 32)
    assert images.bias[~counted].eq(IGNORED).all()
    assert images.images[~counted].max() < 32
    assert int(images.bias.max()) <= 7


def test_image_labels_are_the_largest_bin() -> None:
    digits = ColouredDigits(bias_label="image")
    images = digits.train_images({"color_variance": 0.05}, 0, np.arange(40), "biased")
    assert not digits.heads.spatial
    assert torch.equal(images.bias, images.images.flatten(2).amax(dim=2).long() // 32)


def test_ink_at_14_is_the_mean_over_2_x_2() -> None:
    native, _ = load_digits()
    small = ColouredDigits()._ink
    assert small[3, 5, 6] == np.rint(native[3, 10:12, 12:14].mean())


def test_the_search_phase_never_sees_test_images(digits: ColouredDigits) -> None:
    with pytest.raises(InputError, match="search phase"):
        view(digits, 0.02, phase="search").test("unbiased")
    assert len(view(digits, 0.02, phase="search").validation("val_counterfactual")) == 500


def test_checksum_is_stable_and_tells_options_apart(digits: ColouredDigits) -> None:
    assert digits.checksum == ColouredDigits().checksum
    options = [{}, {"image_size": 28}, {"subset": "development"}, {"bias_label": "image"}]
    assert len({ColouredDigits(**option).checksum for option in options}) == 4  # type: ignore[arg-type]


def test_keys_name_images_whatever_the_size(digits: ColouredDigits) -> None:
    keys = digits.image_keys()
    assert len(set(keys)) == 5000
    assert ColouredDigits(image_size=28, subset="development").image_keys() == keys
    assert digits.patient_keys() is None


def test_bias_strength_falls_from_one(digits: ColouredDigits) -> None:
    values = [digits.bias_strength({"color_variance": v}) for v in (0, *np.geomspace(0.001, 10, 40))]
    assert values[0] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(values))
    assert values[-1] < 0.01
    # Independent check: the mutual information of 200,000 simulated colours.
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 200_000)
    x = PALETTE[y] + np.sqrt(0.05) * rng.standard_normal((len(y), 3))
    logits = -((x[:, None] - PALETTE) ** 2).sum(axis=2) / 0.1
    log_p = logits[np.arange(len(y)), y] - np.log(np.exp(logits).sum(axis=1))
    expected = 1 + log_p.mean() / np.log(10)
    assert digits.bias_strength({"color_variance": 0.05}) == pytest.approx(expected, abs=0.005)


def test_the_palette_is_well_separated() -> None:
    distance = np.linalg.norm(PALETTE[:, None] - PALETTE, axis=2) + 9 * np.eye(10)
    assert distance.min() > 0.58


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 32}, "must be 14 or 28, but got 32"),
        ({"subset": "developement"}, "did you mean 'development'"),
        ({"bias_label": "pixels"}, "did you mean 'pixel'"),
    ],
)
def test_bad_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ColouredDigits(**options)  # type: ignore[arg-type]


def test_bad_requests(digits: ColouredDigits) -> None:
    with pytest.raises(InputError, match="no folds"):
        digits.split(0, fold=1)
    with pytest.raises(InputError, match="did you mean 'biased'"):
        digits.train_images({"color_variance": 1.0}, 0, np.arange(3), "bias")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'aligned'"):
        digits.variant_images("align", {"color_variance": 1.0}, np.arange(3), "test")
    with pytest.raises(InputError, match="color_variance must lie in"):
        resolve_bias(digits, {"color_variance": -0.1})


def test_cache_is_written_once_and_a_damaged_one_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(folder))
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    calls: list[int] = []

    def build() -> np.ndarray:
        calls.append(1)
        return array

    for _ in range(2):
        assert np.array_equal(cache.cached_array("x", cache.digest(array), build), array)
    assert len(calls) == 1
    assert [path.name for path in folder.iterdir()] == ["x.npy"]
    (folder / "x.npy").write_bytes(b"torn")
    assert np.array_equal(cache.cached_array("x", cache.digest(array), build), array)
    assert len(calls) == 2
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(folder / "x.npy" / "not-a-folder"))
    assert np.array_equal(cache.cached_array("x", cache.digest(array), build), array)


def test_pictures(digits: ColouredDigits) -> None:
    values = [{"color_variance": 0.0}, {"color_variance": 0.05}]
    rows = strips(digits, values)
    assert [value for value, _ in rows] == values
    assert {image.size for _, image in rows} == {(10 * 60 - 4, 56)}
    assert rows[0][1].tobytes() == strips(digits, values[:1])[0][1].tobytes()
    assert rows[0][1].tobytes() != rows[1][1].tobytes()
    sheet = contact_sheet(digits, values)
    assert sheet.height > 10 * 56
