"""Fixtures: the data set and the network that methods are checked on, registered for one test at a time."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainable.data import base
from trainable.data.brain.phantom import BrainPhantom
from trainable.networks import base as networks
from trainable.spec import Training, TrialSpec
from trainable.testing.toy import ToyImages, toy_network

# Makes ``tests.trainable.figshare_files`` importable, however pytest was started.
sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrialSpec]:
    """Register both, and return a function that makes specifications: ``tiny(method="lnl", epochs=2, ...)``."""
    monkeypatch.setitem(base.DATASETS.entries, "tiny", ToyImages)
    monkeypatch.setitem(networks.NETWORKS.entries, "tiny_net", networks._Registered(toy_network, "", ""))

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
