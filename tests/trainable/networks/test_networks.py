from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from store.errors import InputError
from trainable.data.base import load_dataset
from trainable.methods.base import Nets
from trainable.networks.base import NETWORKS, Blueprint, DataShape, list_networks, network_note, register_network
from trainable.networks.build import build_nets, downsample_bias, feature_shape
from trainable.networks.front import IMAGENET, Front
from trainable.networks.graph_cut import cut, layers
from trainable.networks.modes import evaluating, to_float

DIGITS = DataShape.of(load_dataset("coloured_digits"))
DIGITS_28 = DataShape.of(load_dataset("coloured_digits", image_size=28))
BY_IMAGE = DataShape.of(load_dataset("coloured_digits", bias_label="image"))
MOBILE = {"split_at": "features.3", "image_size": 32}


def same(a: nn.Module, b: nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def size(part: nn.Module | None) -> int:
    assert part is not None
    return sum(parameter.numel() for parameter in part.parameters())


@pytest.mark.parametrize(
    ("network", "data", "shape"),
    [
        ("pixel_front", DIGITS, (8, 14, 14)),
        ("pixel_front", DIGITS_28, (8, 28, 28)),
        ("kim2019", DIGITS, (32, 7, 7)),
        ("kim2019", DIGITS_28, (32, 14, 14)),
    ],
)
def test_shapes(network: str, data: DataShape, shape: tuple[int, ...]) -> None:
    nets = build_nets(network, {}, data, 0, True)
    side = data.image_size
    assert feature_shape(nets.f, side) == shape
    z = nets.f(torch.rand(4, 3, side, side))
    assert nets.g(z).shape == (4, 10)
    places = torch.rand(4, *shape[1:]) < 0.3
    assert nets.h is not None
    assert nets.h(z, places).shape == (int(places.sum()), 3, 8)


@pytest.mark.parametrize("network", ["pixel_front", "kim2019"])
def test_image_labels_have_one_prediction_an_image(network: str) -> None:
    nets = build_nets(network, {}, BY_IMAGE, 0, True)
    assert nets.h is not None
    assert nets.h(nets.f(torch.rand(4, 3, 14, 14)), None).shape == (4, 3, 8)


def test_parameter_counts_as_documented() -> None:
    small, paper = (build_nets(name, {}, DIGITS_28, 0, True) for name in ("pixel_front", "kim2019"))
    assert [size(part) for part in (small.f, paper.f)] == [110, 11_686]
    assert [size(part) for part in (small.h, paper.h)] == [1_144, 34_872]
    assert size(paper.g) == 56_074
    assert size(build_nets("pixel_front", {}, DIGITS, 0, False).g) == 13_082


@pytest.mark.parametrize(("network", "options"), [("pixel_front", {}), ("kim2019", {}), ("mobilenet_v3_small", MOBILE)])
def test_f_and_g_do_not_depend_on_h(network: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    alone, whole = (build_nets(network, options, BY_IMAGE, 3, head) for head in (False, True))
    again, other = (build_nets(network, options, BY_IMAGE, seed, True) for seed in (3, 4))
    assert alone.h is None
    assert whole.h is not None
    assert again.h is not None
    assert same(alone.f, whole.f)
    assert same(alone.g, whole.g)
    assert same(whole.h, again.h)
    assert not same(whole.g, other.g)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_pointwise_head_is_a_1x1_convolution_on_the_foreground() -> None:
    nets = build_nets("pixel_front", {}, DIGITS, 0, True)
    h = nets.h
    assert h is not None
    z, places = torch.rand(5, 8, 14, 14), torch.rand(5, 14, 14) < 0.2
    with evaluating(h):
        everywhere = h(z, torch.ones(5, 14, 14, dtype=torch.bool)).reshape(5, 14, 14, 3, 8)
        assert torch.allclose(h(z, places), everywhere[places], atol=1e-6)
        conv = nn.functional.conv2d(z, h.hidden.weight[:, :, None, None], h.hidden.bias)  # type: ignore
        x = nn.functional.conv2d(torch.relu(conv / math.sqrt(1 + 1e-5)), h.out.weight[:, :, None, None], h.out.bias)  # type: ignore
        assert torch.allclose(everywhere.permute(0, 3, 4, 1, 2).reshape(5, 24, 14, 14), x, atol=1e-5)


def test_places_are_in_row_major_order_for_both_heads() -> None:
    for network, grid in (("pixel_front", 14), ("kim2019", 7)):
        nets = build_nets(network, {}, DIGITS, 0, True)
        assert nets.h is not None
        with evaluating(nets.f, nets.h):
            z = nets.f(torch.rand(2, 3, 14, 14))
            whole = nets.h(z, torch.ones(2, grid, grid, dtype=torch.bool))
            one = torch.zeros(2, grid, grid, dtype=torch.bool)
            one[1, 2, 5] = True
            assert torch.allclose(nets.h(z, one)[0], whole[grid * grid + 2 * grid + 5], atol=1e-6)


def test_labels_go_to_the_grid_by_nearest_neighbour() -> None:
    b = torch.arange(16).reshape(1, 1, 4, 4)
    assert downsample_bias(b, (2, 2)).tolist() == [[[[0, 2], [8, 10]]]]
    assert downsample_bias(b, (4, 4)) is b
    images = load_dataset("coloured_digits", image_size=28).train_images(
        {"color_variance": 0.02}, 0, np.arange(5), "biased"
    )
    expected = nn.functional.interpolate(images.bias.double(), (14, 14), mode="nearest").long()
    assert torch.equal(downsample_bias(images.bias, (14, 14)), expected)


def test_evaluating_restores_every_mode() -> None:
    nets = build_nets("pixel_front", {}, DIGITS, 0, False)
    nets.g[1].eval()  # type: ignore[index]
    before = [module.training for module in nets.g.modules()]
    with evaluating(nets.f, nets.g):
        assert not any(module.training for module in nets.g.modules())
    assert [module.training for module in nets.g.modules()] == before


def test_input_is_scaled_then_transformed() -> None:
    images = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)
    assert torch.allclose(to_float(images), torch.tensor(0.2))
    assert torch.allclose(to_float(images, lambda x: 1 - x), torch.tensor(0.8))


def test_registry() -> None:
    assert {"pixel_front", "kim2019"} <= set(list_networks())
    assert network_note("pixel_front") == "toy network: its first stage sees colour only"
    assert network_note("kim2019") == network_note("resnet18") == ""
    with pytest.raises(InputError, match="registered twice"):
        register_network("kim2019")(lambda dataset: Blueprint(lambda: (nn.Identity(), nn.Identity()), nn.Identity))


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        ("resnet81", {}, "did you mean 'resnet18'"),
        ("pixel_frond", {}, "did you mean 'pixel_front'"),
        ("module", {"split_at": "blocks.1"}, "needs the option make: give network.make"),
        ("pixel_front", {"width": 3}, "has no options, but got 'width'"),
        ("resnet18", {"split": "layer2"}, "did you mean 'split_at'"),
        ("resnet18", {"split_at": "layer22"}, "did you mean 'layer2'"),
        ("resnet18", {"split_at": "layer2.0.conv1"}, "output alone carries on"),
        ("resnet18", {"split_at": "fc"}, "output alone carries on"),
        ("densenet121", {}, "needs split_at.*features.denseblock2"),
        ("resnet18", {"weights": "no/such/file.pt"}, "but got 'no/such/file.pt'"),
        ("resnet18", {"image_size": "big"}, "whole number of pixels"),
        ("vit_b_16", {"split_at": "encoder", "image_size": 30}, "set network.image_size"),
        ("alexnet", {"split_at": "features.2"}, "cannot work with images of 14 pixels"),
    ],
)
def test_bad_input(network: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_nets(network, options, DIGITS, 0, False)


@pytest.mark.parametrize(
    ("name", "split_at", "side"),
    [
        ("resnet18", "layer2", 64),
        ("mobilenet_v3_small", "features.4", 64),
        ("densenet121", "features.denseblock1", 64),
        ("swin_t", "features.1", 64),
        ("vit_b_32", "encoder.layers.encoder_layer_1", 64),
    ],
)
def test_the_cut_network_computes_what_the_whole_does(name: str, split_at: str, side: int) -> None:
    options = {"image_size": side} if name.startswith("vit") else {}
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, num_classes=4, **options)
    f, g = cut(model, split_at)
    assert not {id(p) for p in f.parameters()} & {id(p) for p in g.parameters()}
    assert size(f) + size(g) == size(model)
    x = torch.rand(2, 3, side, side)
    with evaluating(model, f, g), torch.inference_mode():
        assert torch.equal(g(f(x)), model(x))


def test_dropout_follows_the_mode_of_the_cut_network() -> None:
    torch.manual_seed(0)
    f, g = cut(torchvision.models.efficientnet_b0(num_classes=3), "features.2")
    z = f(torch.rand(2, 3, 32, 32)).detach()
    assert not torch.equal(g(z), g(z))
    g.eval()
    assert torch.equal(g(z), g(z))


def test_layers_name_where_a_cut_is_possible() -> None:
    model = torchvision.models.resnet18()
    found = layers(model)
    assert {"layer1", "layer2", "layer3"} <= set(found)
    assert "fc" not in found
    for name in found:
        cut(model, name)


def test_resnet_as_in_the_seed_study() -> None:
    nets = build_nets("resnet18", {"image_size": 64}, BY_IMAGE, 0, True)
    assert nets.h is not None
    assert feature_shape(nets.f, 14) == (128, 8, 8)
    assert nets.h(nets.f(torch.rand(2, 3, 14, 14)), None).shape == (2, 3, 8)
    assert size(nets.h) == 3 * (size(nets.g) - 512 * 2 - 2)


def test_group_norm_takes_the_place_of_batch_norm_everywhere() -> None:
    nets = build_nets("resnet18", {"image_size": 32, "norm": "group"}, BY_IMAGE, 0, True)
    kinds = [type(module).__name__ for part in (nets.f, nets.g, nets.h) for module in part.modules()]  # type: ignore[union-attr]
    assert "GroupNorm" in kinds and "BatchNorm2d" not in kinds
    x = torch.rand(4, 3, 14, 14)
    trained = nets.g(nets.f(x))
    assert torch.allclose(nets.g.eval()(nets.f.eval()(x[:1])), trained[:1], atol=1e-4)
    with pytest.raises(InputError, match="norm of resnet18"):
        build_nets("resnet18", {"norm": "grup"}, BY_IMAGE, 0, False)
    with pytest.raises(InputError, match="trained with BatchNorm"):
        build_nets("resnet18", {"norm": "group", "weights": "imagenet"}, BY_IMAGE, 0, False)


def test_pixel_labels_get_a_head_on_the_grid() -> None:
    nets = build_nets("resnet18", {"image_size": 32}, DIGITS, 0, True)
    z = nets.f(torch.rand(2, 3, 14, 14))
    assert z.shape[1:] == feature_shape(nets.f, 14) == (128, 4, 4)
    assert nets.h is not None
    assert nets.h(z, torch.ones(2, 4, 4, dtype=torch.bool)).shape == (32, 3, 8)
    with pytest.raises(InputError, match="features on a grid"):
        build_nets("vit_b_32", {"split_at": "encoder", "image_size": 32}, DIGITS, 0, True)


def test_weights_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    donor = torchvision.models.resnet18(num_classes=1000)
    torch.save(donor.state_dict(), tmp_path / "donor.pt")
    nets: Nets = build_nets("resnet18", {"weights": str(tmp_path / "donor.pt")}, BY_IMAGE, 0, True)
    own = {key.partition(".")[2]: value for key, value in nets.f.state_dict().items()}
    assert torch.equal(own["layer1.0.conv1.weight"], donor.layer1[0].conv1.weight)
    assert torch.equal(nets.g.state_dict()["layer4.0.conv1.weight"], donor.layer4[0].conv1.weight)
    assert nets.f[0].std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])  # type: ignore
    torch.save({"layer1.0.conv1.weight": torch.zeros(3)}, tmp_path / "wrong.pt")
    with pytest.raises(InputError, match="do not fit network resnet18"):
        build_nets("resnet18", {"weights": str(tmp_path / "wrong.pt")}, BY_IMAGE, 0, False)
    (tmp_path / "torn.pt").write_bytes(b"PK torn")
    with pytest.raises(InputError, match="cannot be read"):
        build_nets("resnet18", {"weights": str(tmp_path / "torn.pt")}, BY_IMAGE, 0, False)


def test_imagenet_weights_are_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"downloads nothing.*resnet18-\w+\.pth"):
        build_nets("resnet18", {"weights": "imagenet"}, BY_IMAGE, 0, False)


def test_the_front_resizes_and_normalises() -> None:
    x = torch.rand(2, 3, 14, 14)
    assert torch.equal(Front(14)(x), x)
    assert Front(28)(x).shape == (2, 3, 28, 28)
    expected = (x[:, 0] - 0.485) / 0.229
    assert torch.allclose(Front(14, IMAGENET)(x)[:, 0], expected)


def test_kept_weights_bring_their_normalisation_along(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), tmp_path / "donor.pt")
    trained = build_nets("resnet18", {"weights": str(tmp_path / "donor.pt")}, BY_IMAGE, 0, False)
    fresh = build_nets("resnet18", {}, BY_IMAGE, 1, False)
    fresh.f.load_state_dict(trained.f.state_dict())
    x = torch.rand(2, 3, 14, 14)
    with evaluating(trained.f, fresh.f), torch.inference_mode():
        assert torch.equal(trained.f(x), fresh.f(x))


def test_a_network_of_the_users_own_is_told_the_shape_of_the_data_alone() -> None:
    told: list[DataShape] = []

    @register_network("told")
    def lay_out(data: DataShape, depth: int = 1) -> Blueprint:
        told.append(data)
        return Blueprint(
            lambda: (nn.Flatten(), nn.Linear(3 * data.height * data.width, len(data.classes))), nn.Identity
        )

    try:
        nets = build_nets("told", {"depth": 2}, DataShape(3, 4, 6, ("a", "b")), 0, False)
    finally:
        NETWORKS.entries.pop("told")
    assert told == [DataShape(3, 4, 6, ("a", "b"))] and told[0].heads.names == ()
    assert nets.g(nets.f(torch.rand(2, 3, 4, 6))).shape == (2, 2)
    assert DIGITS.channels == 3 and DIGITS.height == DIGITS.width == DIGITS.image_size == 14
    assert DIGITS.heads.names == ("red", "green", "blue") and len(DIGITS.classes) == 10
