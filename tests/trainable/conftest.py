"""A data set and a network small enough to train in milliseconds, registered for one test at a time."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainable.data import base
from trainable.data.base import IGNORED, Axis, BiasHeads, Dataset, ImageSet, Split
from trainable.data.brain.phantom import BrainPhantom
from trainable.networks import base as networks
from trainable.networks.heads import PointwiseHead
from trainable.randomness import numpy_generator
from trainable.spec import Training, TrialSpec

# Makes ``tests.trainable.figshare_files`` importable, however pytest was started.
sys.path.insert(0, str(Path(__file__).parents[2]))

N, SIDE, CLASSES = 132, 8, 4


class Tiny(Dataset):
    """Four classes told by a bright quadrant; with probability rho by the colour too."""

    name = "tiny"
    long_name = "Tiny"
    classes = ("a", "b", "c", "d")
    axes = (Axis("rho", "rho", 0.0, 1.0, "larger", 0.0),)
    attributes = ("none", "red", "green", "blue")
    rules = ("val_counterfactual", "val_biased", "val_unbiased", "val_reweighted")
    image_size = SIDE
    checksum = "tiny"

    def __init__(self, spatial: bool = True) -> None:
        self.heads = BiasHeads(("x", "y"), 3, spatial)
        self._y = np.arange(N) % CLASSES

    def image_keys(self) -> list[str]:
        return [f"i{i}" for i in range(N)]

    def labels(self) -> Any:
        return self._y

    def split(self, seed: int, fold: int | None = None) -> Split:
        order = numpy_generator(seed, "split").permutation(80)
        return Split(np.sort(order[:67]), np.sort(order[67:]), np.arange(80, N))

    def annotation_draws(self, seed: int) -> Any:
        return numpy_generator(seed, "u").random(N)

    def _paint(self, index: Any, colour: Any, role: str) -> ImageSet:
        noise = numpy_generator(0, role).integers(0, 60, (N, 3, SIDE, SIDE))[index]
        images, y = noise.astype(np.uint8), self._y[index]
        half = SIDE // 2
        for k, (label, c) in enumerate(zip(y, colour, strict=True)):
            top, left = half * (label // 2), half * (label % 2)
            images[k, :, top : top + half, left : left + half] += 60
            if c:
                images[k, c - 1] += 120
        bias = torch.from_numpy(np.stack([colour % 3, (colour + 1) // 2 % 3], axis=1))
        if self.heads.spatial:
            bias = bias[:, :, None, None].repeat(1, 1, SIDE, SIDE)
            bias[torch.from_numpy(images).float().mean(1, keepdim=True).expand(-1, 2, -1, -1) < 60] = IGNORED
        else:
            bias[::5, 1] = IGNORED
        return ImageSet(
            torch.from_numpy(images), torch.from_numpy(y), bias, torch.from_numpy(colour), torch.from_numpy(index)
        )

    def train_images(self, bias: Any, seed: int, index: Any, draw: str) -> ImageSet:
        u = self.annotation_draws(seed)[index]
        own = self._y[index]
        colour = {
            "biased": np.where(u < bias["rho"], own, 0),
            "unbiased": (4 * u).astype(np.int64),
            "clean": np.zeros_like(own),
        }[draw]
        return self._paint(index, colour, f"train/{seed}")

    def variant_images(self, variant: str, bias: Any, index: Any, role: str) -> ImageSet:
        u, own = numpy_generator(0, f"v/{role}").random(N)[index], self._y[index]
        colour = {
            "unbiased": np.zeros_like(own),
            "aligned": own,
            "independent": (4 * u).astype(np.int64),
            "conflicting": (own + 1 + (3 * u).astype(np.int64)) % 4,
        }[variant]
        return self._paint(index, colour, role)

    def conflicting(self, images: ImageSet) -> Any:
        return images.attribute.numpy() != images.labels.numpy()

    def bias_strength(self, bias: Any) -> float:
        return float(bias["rho"])


class _Head(nn.Module):
    def __init__(self, heads: BiasHeads) -> None:
        super().__init__()
        self.noise = nn.Dropout(0.2)
        self.inner = PointwiseHead(6, 8, heads)

    def forward(self, z: Tensor, places: Tensor | None) -> Tensor:
        return self.inner(self.noise(z), places)


def tiny_network(dataset: Any) -> networks.Blueprint:
    """Everything that could draw or keep a state: BatchNorm and dropout in f, g and h, and a smaller grid."""

    def body() -> tuple[nn.Module, nn.Module]:
        f = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1))
        g = nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Flatten())
        return f, nn.Sequential(g, nn.Linear(8 * 4, len(dataset.classes)))

    return networks.Blueprint(body, lambda: _Head(dataset.heads))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrialSpec]:
    """Register both, and return a function that makes specifications: ``tiny(method="lnl", epochs=2, ...)``."""
    monkeypatch.setitem(base.DATASETS.entries, "tiny", Tiny)
    monkeypatch.setitem(networks.NETWORKS.entries, "tiny_net", networks._Registered(tiny_network, "", ""))

    def make(method: str = "erm", epochs: int = 2, hyperparameters: Any = None, **options: Any) -> TrialSpec:
        training = {f.name for f in dataclasses.fields(Training)}
        chosen = {name: options.pop(name) for name in list(options) if name in training}
        defaults: dict[str, Any] = {
            "dataset": "tiny",
            "bias": {"rho": 0.9},
            "network": "tiny_net",
            "seed": 5,
            "phase": "search",
            "trial_id": "t-1",
            "training": Training(epochs=epochs, **{"batch_size": 22, **chosen}),
        }
        return TrialSpec(method=method, hyperparameters={"lr": 1e-2, **(hyperparameters or {})}, **defaults | options)

    return make


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder that only this module's tests write to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LNL_SWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def phantom(own_cache: None) -> BrainPhantom:
    """A small phantom."""
    return BrainPhantom(image_size=32, patients=60, slices=4)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Slices of a small figshare archive by file name."""
    from tests.trainable.figshare_files import N, all_files

    return all_files(N, small=tuple(range(4, N + 1)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of data of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(folder))
    return folder
