"""Frozen parts: neither their parameters nor their averages move."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from store.errors import InputError
from trainable.data.base import load_dataset
from trainable.networks.base import DataShape
from trainable.networks.build import build_nets
from trainable.networks.freeze import freeze
from trainable.networks.modes import evaluating, with_batch_statistics

BY_IMAGE = DataShape.of(load_dataset("coloured_digits", bias_label="image"))


def trained(model: nn.Module) -> dict[str, bool]:
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def test_a_frozen_batchnorm_keeps_its_averages_in_every_mode() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    freeze(model, "1")
    freeze(model, "1")
    assert trained(model) == {
        **{f"{i}.{name}": True for i in (0, 2, 3) for name in ("weight", "bias")}, "1.weight": False, "1.bias": False
    }  # fmt: skip
    for changed in (model, copy.deepcopy(model)):
        changed.train()
        before = copy.deepcopy(changed.state_dict())
        changed(torch.rand(4, 3, 8, 8))
        after = changed.state_dict()
        moved = {name for name in after if not torch.equal(after[name], before[name])}
        assert moved == {"3.running_mean", "3.running_var", "3.num_batches_tracked"}
    with evaluating(model), with_batch_statistics(model):
        assert not model[1].training and model[3].training
    assert [module.training for module in model] == [True, False, True, True]
    assert type(model[1]).__name__ == "BatchNorm2d" and isinstance(model[1], nn.BatchNorm2d)


def test_f_alone_is_frozen() -> None:
    nets = build_nets("resnet18", {"freeze": "f", "image_size": 32}, BY_IMAGE, 0, False)
    assert not any(trained(nets.f).values()) and all(trained(nets.g).values())
    again = build_nets("resnet18", {"image_size": 32}, BY_IMAGE, 0, False)
    assert all(
        torch.equal(a, b) for a, b in zip(nets.f.state_dict().values(), again.f.state_dict().values(), strict=True)
    )


def test_named_layers_are_frozen_on_both_sides_of_the_cut_and_never_in_h() -> None:
    nets = build_nets("resnet18", {"freeze": ["conv1", "bn1", "layer3"], "image_size": 32}, BY_IMAGE, 0, True)
    frozen = {name.split(".")[1] for name, free in trained(nets.f).items() if not free}
    assert frozen == {"conv1", "bn1"}
    assert {name.split(".")[0] for name, free in trained(nets.g).items() if not free} == {"layer3"}
    assert nets.h is not None and all(trained(nets.h).values())
    nets.h.train()
    assert all(module.training for module in nets.h.modules())


@pytest.mark.parametrize(
    ("value", "head", "words"),
    [
        ("layer1", False, "must be f .* or a list of names"),
        ([], False, "a list of names"),
        (["layer_1"], False, "did you mean 'layer1'"),
        (["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"], False, "nothing to train"),
        ("f", True, "a bias head changes f alone"),
    ],
)
def test_what_cannot_be_frozen(value: Any, head: bool, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_nets("resnet18", {"freeze": value, "image_size": 32}, BY_IMAGE, 0, head)
