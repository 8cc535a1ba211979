"""Networks of timm, where it is installed: nothing is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from store.errors import InputError
from trainable.data.base import load_dataset
from trainable.networks.base import DataShape, network_module
from trainable.networks.build import build_nets
from trainable.networks.modes import evaluating
from trainable.trial.provenance import network_checksum

BY_IMAGE = DataShape.of(load_dataset("coloured_digits", bias_label="image"))


def test_without_timm_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="pip install timm"):
        build_nets("timm:resnet18", {}, BY_IMAGE, 0, False)
    assert network_module("timm:resnet18") == "trainable.networks.module"


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm", reason="timm, an optional package, is not installed")


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("resnet18.a1_in1k", {"image_size": 32}, (128, 4, 4)),
        ("convnext_atto", {"split_at": "stages.1", "image_size": 32, "channels": 1}, (80, 4, 4)),
        ("vit_tiny_patch16_224", {"split_at": "blocks.3", "image_size": 32}, (5, 192)),
    ],
)
def test_a_model_is_cut_in_two(timm: Any, name: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    nets = build_nets(f"timm:{name}", options, BY_IMAGE, 0, True)
    z = nets.f(torch.rand(2, 3, 14, 14))
    assert tuple(z.shape[1:]) == shape and nets.g(z).shape == (2, 10)
    assert nets.h is not None and nets.h(z, None).shape == (2, 3, 8)


def test_weights_bring_the_models_own_normalisation(timm: Any, tmp_path: Path) -> None:
    donor = timm.create_model("resnet10t", pretrained=False)
    torch.save({"state_dict": donor.state_dict()}, tmp_path / "donor.pt")
    options = {"weights": str(tmp_path / "donor.pt"), "image_size": 64, "freeze": ["conv1"], "split_at": "layer2"}
    nets = build_nets("timm:resnet10t.c3_in1k", options, BY_IMAGE, 0, False)
    assert nets.f[0].mean.flatten().tolist() == pytest.approx(donor.default_cfg["mean"])  # type: ignore[index, union-attr]
    x = torch.rand(2, 3, 64, 64)
    with evaluating(donor, nets.f), torch.inference_mode():
        donor.fc = torch.nn.Identity()
        expected = donor.layer2(
            donor.layer1(donor.maxpool(donor.act1(donor.bn1(donor.conv1((x - nets.f[0].mean) / nets.f[0].std)))))
        )  # type: ignore
        assert torch.allclose(nets.f(x), expected, atol=1e-5)


def test_another_version_of_timm_counts_as_another_source(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = network_checksum("timm:resnet18"), network_checksum("resnet18")
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0.0.1")
    assert network_checksum("timm:resnet18") != before[0] and network_checksum("resnet18") == before[1]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("resnet81", {}, "did you mean resnet18"),
        ("resnet18.a9_in1k", {}, "tag of resnet18 in timm 'a9_in1k'"),
        ("vit_tiny_patch16_224", {"image_size": 32}, "needs split_at.*blocks.3"),
        ("resnet18", {"args": {"pretrained": True}}, "must not hold pretrained"),
        ("resnet18", {"args": {"no_such": 1}}, "timm cannot make resnet18"),
        ("resnet18", {"weights": "imagenet"}, "path of a state dict"),
    ],
)
def test_one_sentence_for_what_cannot_be_used(timm: Any, name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_nets(f"timm:{name}", options, BY_IMAGE, 0, False)
