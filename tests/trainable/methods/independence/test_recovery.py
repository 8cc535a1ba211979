"""Penalties in training: a table whose bias is one pixel, and bias labels of every kind of data set."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import numpy as np
import pytest
from torch import nn

from trainable import Run, train
from trainable.data import ImageTable
from trainable.data.base import DATASETS, register_dataset
from trainable.networks.base import NETWORKS, Blueprint, DataShape, register_network

WEIGHTS = {
    "hsic": {"lambda_": 1.0},
    "dcor": {"lambda_": 0.12},
    "mmd": {"lambda_": 0.3},
    "end": {"alpha": 2.0, "beta": 5.0},
}


def one_pixel(n: int = 4000) -> ImageTable:
    """Two classes told by the brighter of two noisy squares, and by one pixel where the bias says the class."""
    draws = np.random.default_rng(0)
    label, bias = np.arange(n) % 2, np.arange(n) // 2 % 2
    images = draws.integers(0, 120, (n, 8, 8))
    images[label == 0, :4, :4] += 18
    images[label == 1, 4:, :4] += 18
    images[:, 3, 6] = 255 * bias
    return ImageTable(
        images.astype(np.uint8),
        label,
        bias,
        classes=("up", "down"),
        attributes=("dark", "bright"),
        aligned={"up": "dark", "down": "bright"},
        checksum="01",
        name="one_pixel",
    )


def flat(data: DataShape) -> Blueprint:
    """Features that are one vector, and a linear label head."""

    def body() -> tuple[nn.Module, nn.Module]:
        f = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        return f, nn.Linear(16, 2)

    return Blueprint(body, nn.Identity)


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    for registry in (DATASETS, NETWORKS):
        registry.import_all()
    register_dataset("one_pixel")(one_pixel)
    register_network("flat")(flat)
    yield
    DATASETS.entries.pop("one_pixel")
    NETWORKS.entries.pop("flat")


@functools.cache
def trained(method: str, rho: float = 0.95, factor: float = 1.0) -> Run:
    weights = {name: factor * weight for name, weight in WEIGHTS.get(method, {}).items()}
    return train(
        "one_pixel", method=method, network="flat", epochs=15, rho=rho, hyperparameters={"lr": 3e-3, **weights}
    )


def accuracy(run: Run) -> float:
    return float(run.row["test_accuracy"])


@pytest.mark.parametrize(("method", "least"), [("hsic", 0.05), ("dcor", 0.02), ("mmd", 0.05), ("end", 0.05)])
def test_a_sensible_weight_wins_back_what_erm_loses_to_one_pixel(method: str, least: float) -> None:
    erm = accuracy(trained("erm"))
    assert erm < accuracy(trained("erm", rho=0.5)) - 0.1
    assert accuracy(trained(method)) > erm + least


@pytest.mark.parametrize("method", ["hsic", "dcor", "mmd", "end"])
def test_a_large_weight_erases_the_class_too(method: str) -> None:
    assert accuracy(trained(method, factor=30)) < accuracy(trained("erm"))


@pytest.mark.parametrize("method", ["hsic", "dcor", "mmd", "end"])
def test_alive_at_full_bias(method: str) -> None:
    erm, own = trained("erm", rho=1.0), trained(method, rho=1.0)
    assert own.row["status"] == "completed"
    assert erm.history[-1]["label_loss"] != own.history[-1]["label_loss"]
    terms = json.loads(own.history[0]["terms"])
    if method == "end":
        assert terms.pop("entangling") == 0
    assert all(term > 0 for term in terms.values())


@pytest.mark.parametrize("method", ["hsic", "dcor", "mmd", "end"])
def test_trains_on_the_colours_of_digits(method: str) -> None:
    run = train("coloured_digits", method=method, color_variance=0.02, epochs=1, phase="search")
    assert run.row["status"] == "completed"
    assert all(term is not None and term > 0 for term in json.loads(run.history[-1]["terms"]).values())


def test_low_precision_keeps_the_penalty_finite() -> None:
    from trainable.spec import Training

    training = Training(epochs=2, precision="bf16")
    run = train("one_pixel", method="dcor", network="flat", rho=0.95, training=training, phase="search")
    assert run.row["status"] == "completed" and json.loads(run.history[-1]["terms"])["dcor"] > 0
