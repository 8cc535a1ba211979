from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from store.errors import InputError
from trainable import train
from trainable.data.base import IGNORED, list_datasets, load_dataset, resolve_bias
from trainable.data.digits.biased_digits import BiasedDigits, strength
from trainable.data.digits.palette import COLOURS
from trainable.data.digits.source import load_digits
from trainable.data.view import DataView
from trainable.testing import assert_passes, check_dataset

RHOS = (0.1, 0.5, 0.9, 0.99, 0.999, 1.0)
COLOUR = np.array(list(COLOURS.values()))


@pytest.fixture(scope="module")
def digits() -> BiasedDigits:
    return load_dataset("biased_digits")  # type: ignore[return-value]


def view(digits: BiasedDigits, rho: float, seed: int = 0) -> DataView:
    return DataView(digits, {"rho": rho}, seed, None, "confirm")


@pytest.mark.parametrize("options", [{}, {"image_size": 14}, {"ink": "grey"}, {"subset": "development"}])
def test_passes_the_check(options: dict[str, object]) -> None:
    assert_passes(check_dataset("biased_digits", [{"rho": rho} for rho in (0.1, 0.95, 1.0)], options))


def test_an_image_is_a_white_digit_on_one_colour(digits: BiasedDigits) -> None:
    ink, labels = load_digits()
    images = view(digits, 1.0).train()
    for image, label, index in zip(images.images[:200].numpy(), images.labels, images.index, strict=False):
        digit = ink[int(index)] > 0
        assert (image[:, digit] == 255).all()
        assert (image[:, ~digit] == COLOUR[int(label)][:, None]).all()
        assert labels[int(index)] == label


def test_at_14_pixels_and_in_grey_ink_and_colour_are_blended() -> None:
    small = load_dataset("biased_digits", image_size=14)
    large = load_dataset("biased_digits", image_size=28)
    grey = load_dataset("biased_digits", image_size=28, ink="grey")
    index = np.arange(100)
    images = [data.train_images({"rho": 1.0}, 0, index, "biased").images.float() for data in (small, large, grey)]
    mean = images[1].reshape(100, 3, 14, 2, 14, 2).mean(dim=(3, 5))
    assert (images[0] - mean).abs().max() <= 1.0, "painting and shrinking may be exchanged, but for rounding"
    ink, labels = load_digits()
    share = torch.from_numpy(ink[index]).float()[:, None] / 255
    tint = torch.from_numpy(COLOUR[labels[index]]).float()[:, :, None, None]
    assert (images[2] - (255 * share + (1 - share) * tint)).abs().max() <= 0.51


def test_a_share_of_rho_is_aligned_and_the_others_uniform(digits: BiasedDigits) -> None:
    for rho in RHOS:
        images = digits.train_images({"rho": rho}, 3, np.arange(5000), "biased")
        aligned = float((images.attribute == images.labels).float().mean())
        assert abs(aligned - rho) < 4 * math.sqrt(max(rho * (1 - rho), 1e-9) / 5000) + 1e-9
        assert torch.equal(images.bias[:, 0], images.attribute)
    conflicting = digits.train_images({"rho": 0.1}, 3, np.arange(5000), "biased")
    steps = torch.bincount((conflicting.attribute - conflicting.labels) % 10, minlength=10)
    # 500 each, standard deviation 21.
    assert (steps - 500).abs().max() < 85


def test_draws_are_nested_along_the_axis(digits: BiasedDigits) -> None:
    index = digits.split(0).train
    drawn = [digits.train_images({"rho": rho}, 7, index, "biased") for rho in RHOS]
    for weaker, stronger in itertools.pairwise(drawn):
        before, after = weaker.attribute == weaker.labels, stronger.attribute == stronger.labels
        assert not (before & ~after).any()
        assert torch.equal(weaker.attribute[~after], stronger.attribute[~after])
    u = digits.annotation_draws(7)[index]
    assert np.array_equal((drawn[1].attribute == drawn[1].labels).numpy(), u < 0.5)
    assert (drawn[-1].attribute == drawn[-1].labels).all()


def test_unbiased_training_images_are_those_of_the_weakest_bias(digits: BiasedDigits) -> None:
    index = np.arange(300)
    unbiased = digits.train_images({"rho": 0.9}, 2, index, "unbiased")
    assert torch.equal(unbiased.images, digits.train_images({"rho": 0.1}, 2, index, "biased").images)
    clean = digits.train_images({"rho": 0.9}, 2, index, "clean")
    assert clean.attribute.eq(IGNORED).all() and clean.bias.eq(IGNORED).all()
    assert set(clean.images.unique().tolist()) == {0, 255}


def test_variants(digits: BiasedDigits) -> None:
    at_one, at_half = view(digits, 1.0, seed=1), view(digits, 0.5, seed=2)
    for variant in ("unbiased", "independent", "aligned", "conflicting"):
        assert torch.equal(at_one.test(variant).images, at_half.test(variant).images), "test images depend on nothing"
    unbiased, aligned, conflicting = (at_one.test(name) for name in ("unbiased", "aligned", "conflicting"))
    assert torch.equal(unbiased.images, at_one.test("independent").images)
    assert torch.equal(aligned.attribute, aligned.labels)
    assert digits.conflicting(conflicting).all() and not digits.conflicting(aligned).any()  # type: ignore[union-attr]
    # 100 each, standard deviation 9.5.
    assert (torch.bincount(unbiased.attribute, minlength=10) - 100).abs().max() < 40
    assert 0.06 < (unbiased.attribute == unbiased.labels).float().mean() < 0.14


def test_what_one_image_gets_does_not_depend_on_the_others(digits: BiasedDigits) -> None:
    index = digits.split(0).test
    whole = digits.variant_images("unbiased", {"rho": 0.9}, index, "test")
    part = digits.variant_images("unbiased", {"rho": 0.9}, index[100:110], "test")
    assert torch.equal(whole.images[100:110], part.images)


def test_the_digits_of_a_part_are_those_of_the_coloured_digits(digits: BiasedDigits) -> None:
    other = load_dataset("coloured_digits")
    assert not set(digits.image_keys()) & set(other.image_keys()), "no report takes them for the same images"
    for part in ("train", "val", "test"):
        assert np.array_equal(digits.split(4).part(part), other.split(4).part(part))  # type: ignore[arg-type]
    assert digits.checksum != load_dataset("coloured_digits", image_size=28).checksum


def test_strength_by_hand(digits: BiasedDigits) -> None:
    assert digits.bias_strength({"rho": 0.1}) == pytest.approx(0, abs=1e-12)
    assert digits.bias_strength({"rho": 1.0}) == pytest.approx(1)
    given = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1 / 9))
    assert digits.bias_strength({"rho": 0.9}) == pytest.approx(1 - given / math.log(10))
    # Two classes of 3 : 1 at rho = 1/2: the attribute tells nothing; at 1 everything.
    assert strength(0.5, np.array([0.75, 0.25])) == 0 and strength(1.0, np.array([0.75, 0.25])) == 1
    # Of the joint law of two equal classes at rho = .75: 1 - H(1/4) in bits.
    assert strength(0.75, np.array([0.5, 0.5])) == pytest.approx(1 + 0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))


def test_rho_is_named_and_bounded(digits: BiasedDigits) -> None:
    assert resolve_bias(digits, {"rho": 0.997}) == {"rho": 0.997}
    for value in (0.0, 0.05, 1.1, math.nan):
        with pytest.raises(InputError, match=r"rho must lie in \[0.1, 1\], but got"):
            resolve_bias(digits, {"rho": value})
    with pytest.raises(InputError, match="biased_digits needs a value of rho"):
        resolve_bias(digits, {})
    with pytest.raises(InputError, match="unknown bias parameter of biased_digits 'color_variance'"):
        resolve_bias(digits, {"color_variance": 0.1})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 20}, "image_size of biased_digits must be 14 or 28, but got 20"),
        ({"subset": "al"}, "unknown subset of biased_digits 'al': did you mean 'all'"),
        ({"ink": "gray"}, "unknown ink of biased_digits 'gray': did you mean 'grey'"),
    ],
)
def test_options_are_checked(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_dataset("biased_digits", **options)
    assert "biased_digits" in list_datasets()


def test_a_network_reads_the_background_and_repainting_stops_it() -> None:
    options = {
        "rho": 0.99,
        "epochs": 6,
        "batch_size": 64,
        "threads": 1,
        "network_options": {"stem": "stride"},
        "hyperparameters": {"lr": 3e-3},
        "dataset_options": {"subset": "development"},
    }
    plain = train("biased_digits", method="erm", **options).row
    repainted = train("biased_digits", method="repaint", **options).row
    assert plain["network"] == "small_cnn"
    assert plain["test_accuracy"] < 0.4 and plain["val_biased"] > 0.95
    assert repainted["test_accuracy"] > 0.85
