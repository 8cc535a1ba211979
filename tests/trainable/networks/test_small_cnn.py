from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from store.errors import InputError
from trainable.data.base import BiasHeads, load_dataset
from trainable.networks.base import DataShape, list_networks
from trainable.networks.build import build_nets, feature_shape


def data(size: int = 64, spatial: bool = False) -> DataShape:
    heads = BiasHeads(("red", "blue"), 2, spatial)
    return DataShape(3, size, size, ("a", "b", "c"), heads, "data")


def test_is_registered() -> None:
    assert "small_cnn" in list_networks()


@pytest.mark.parametrize("size", [32, 64, 100, 256])
@pytest.mark.parametrize(
    "options", [{}, {"norm": "group"}, {"width": 7, "split_at": 1}, {"split_at": 3}, {"stem": "stride"}]
)
@pytest.mark.parametrize("head", ["tail", "pooled"])
def test_shapes(size: int, options: dict[str, Any], head: str) -> None:
    nets = build_nets("small_cnn", {**options, "head": head}, data(size), 0, True)
    assert nets.h is not None
    z = nets.f(torch.rand(4, 3, size, size))
    assert z.shape[1:] == feature_shape(nets.f, size)
    assert z.shape[2] == size >> options.get("split_at", 2)
    assert nets.g(z).shape == (4, 3)
    assert nets.h(z, None).shape == (4, 2, 2)


def test_each_bias_has_weights_of_its_own_and_the_shape_of_g() -> None:
    nets = build_nets("small_cnn", {}, data(), 0, True)
    assert nets.h is not None
    red, blue = nets.h.tails
    shapes = [[tuple(w.shape) for w in tail.parameters()] for tail in (red, blue, nets.g)]
    assert shapes[0] == shapes[1]
    assert shapes[0][:-2] == shapes[2][:-2]
    assert not torch.equal(next(red.parameters()), next(blue.parameters()))


def test_group_norm_is_the_same_in_training_and_evaluation() -> None:
    nets = build_nets("small_cnn", {"norm": "group"}, data(), 0, False)
    whole = nn.Sequential(nets.f, nets.g)
    x = torch.rand(5, 3, 64, 64)
    trained = whole.train()(x)
    assert torch.equal(whole.eval()(x), trained)
    assert torch.allclose(whole(x[:1]), trained[:1], atol=1e-5)


def test_it_is_small() -> None:
    nets = build_nets("small_cnn", {}, data(), 0, False)
    count = sum(w.numel() for part in (nets.f, nets.g) for w in part.parameters())
    assert 5_000 < count < 15_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 2}, r"width of small_cnn must be a whole number in \[4, 256\], but got 2"),
        ({"split_at": 4}, r"split_at of small_cnn must be a whole number in \[1, 3\]"),
        ({"norm": "bach"}, "did you mean 'batch'"),
        ({"head": "tails"}, "did you mean 'tail'"),
        ({"depth": 3}, "option of network small_cnn"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_nets("small_cnn", options, data(), 0, True)


def test_bias_labels_of_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="belong to pixels"):
        build_nets("small_cnn", {}, DataShape.of(load_dataset("coloured_digits")), 0, True)
    assert build_nets("small_cnn", {}, data(spatial=True), 0, False).h is None
