"""The check of a network: ours pass, and what is broken on purpose is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from trainable.data.base import BiasHeads, load_dataset
from trainable.networks.base import NETWORKS, Blueprint, DataShape, list_networks, register_network
from trainable.networks.heads import PointwiseHead
from trainable.testing import Finding, assert_passes, check_network

DIGITS = {"pixel_front", "kim2019"}
NEEDING_OPTIONS = {"module"}
SMALL = DataShape(3, 16, 16, ("a", "b"), BiasHeads(("x",), 2, False))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    NETWORKS.import_all()
    before = dict(NETWORKS.entries)
    yield
    NETWORKS.entries.clear()
    NETWORKS.entries.update(before)


@pytest.mark.parametrize("name", sorted(set(list_networks()) - NEEDING_OPTIONS))
def test_our_own_pass(name: str) -> None:
    shape = DataShape.of(load_dataset("coloured_digits")) if name in DIGITS else None
    findings = check_network(name, shape=shape)
    assert_passes(findings)
    assert {finding.level for finding in findings} == {"ok"}


def test_resnet18_passes() -> None:
    assert_passes(check_network("resnet18", {"image_size": 32}, SMALL))


def bodies() -> tuple[nn.Module, nn.Module]:
    f = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
    return f, nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(100, 2))


def network(body: Any) -> str:
    @register_network("own")
    def own(data: DataShape) -> Blueprint:
        return Blueprint(body, lambda: PointwiseHead(4, 8, data.heads))

    return "own"


def failures(body: Any) -> list[Finding]:
    found = [finding for finding in check_network(network(body), shape=SMALL) if finding.level == "FAIL"]
    assert all(finding.where.partition(":")[0] == __file__ for finding in found)
    return found


def test_a_network_of_ones_own() -> None:
    assert failures(bodies) == []


def test_a_shared_norm_is_found() -> None:
    def shared() -> tuple[nn.Module, nn.Module]:
        f, g = bodies()
        g[1] = f[1]  # type: ignore[index,operator]
        return f, g

    (failure, *_) = failures(shared)
    assert "f and g share 1.weight, 1.bias, 1.running_mean, 1.running_var and 1 more" in failure.sentence


class Counting(nn.Module):
    """Counts its calls as a Python number."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return x * (1 + 0.1 * self.calls)


class AcrossTheBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Restless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class Infinite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 0


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Counting, "two epochs at once and one, an interruption, one more must be the same, but"),
        (AcrossTheBatch, "an image gives other logits by itself than in a batch"),
        (Restless, "the same images give other logits in evaluation mode"),
        (Infinite, "f returns numbers that are not finite in training mode"),
    ],
)
def test_a_layer_that_breaks_the_contract_is_found(layer: type[nn.Module], words: str) -> None:
    def body() -> tuple[nn.Module, nn.Module]:
        f, g = bodies()
        return nn.Sequential(*f, layer()), g  # type: ignore[misc]

    assert any(words in failure.sentence for failure in failures(body))


def test_a_model_that_is_not_in_its_parameters_is_found() -> None:
    def body() -> tuple[nn.Module, nn.Module]:
        f, g = bodies()
        g.append(Counting())  # type: ignore[operator]
        return f, g

    assert any("the model that a sweep keeps gives other logits" in failure.sentence for failure in failures(body))


def test_shapes_and_unused_parameters() -> None:
    def wide() -> tuple[nn.Module, nn.Module]:
        f, g = bodies()
        g[3] = nn.Linear(100, 5)  # type: ignore[index,operator]
        return f, g

    assert "g must return (4, 2) in training mode, but returns (4, 5)" in failures(wide)[0].sentence

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x

    def idle() -> tuple[nn.Module, nn.Module]:
        f, g = bodies()
        return nn.Sequential(*f, Idle()), g  # type: ignore[misc]

    (warning,) = [finding for finding in check_network(network(idle), shape=SMALL) if finding.level == "warn"]
    assert "never get a gradient: f.3.unused.weight, f.3.unused.bias" in warning.sentence


def test_names_and_weights(tmp_path: Path) -> None:
    (finding,) = check_network("resnet81")
    assert finding.level == "FAIL" and "did you mean 'resnet18'" in finding.sentence
    donor = torchvision.models.resnet18(num_classes=2).state_dict()
    torch.save({"state_dict": {**donor, "decoder.weight": torch.zeros(3)}}, tmp_path / "more.pt")
    findings = check_network("resnet18", {"weights": str(tmp_path / "more.pt"), "image_size": 32}, SMALL)
    assert [finding.level for finding in findings].count("FAIL") == 0
    assert "the weights are those of 'state_dict' in" in findings[1].sentence
    (warning,) = [finding for finding in findings if finding.level == "warn"]
    assert "1 tensor of" in warning.sentence and "is not used (decoder.weight)" in warning.sentence
    torch.save({"layer1.0.conv1.weight": torch.zeros(3)}, tmp_path / "wrong.pt")
    (finding,) = check_network("resnet18", {"weights": str(tmp_path / "wrong.pt")})
    assert finding.level == "FAIL" and "do not fit" in finding.sentence
