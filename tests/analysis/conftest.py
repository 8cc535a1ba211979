"""A folder of SYNTHETIC results (made-up numbers) that the tests of ``analysis`` read."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _module(file: str) -> ModuleType:
    name = f"lnl_sweep_{file.removesuffix('.py')}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The writer of synthetic sweeps."""
    return _module("synthetic.py")


@pytest.fixture(scope="session")
def three() -> ModuleType:
    """Predictions on three classes with patients, and their confirm rows."""
    return _module("three_classes.py")


@pytest.fixture(scope="session")
def sweep_dir(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    """A finished synthetic sweep; tests must not write into it."""
    folder: Path = synthetic.write_sweep(tmp_path_factory.mktemp("results") / "synthetic")
    return folder


@pytest.fixture(scope="session")
def small_dir(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    """One with two bias values, three methods and few images; tests must not write into it."""
    knobs = {"values": (0.1, 0.02), "methods": ("ceiling", "erm", "lnl"), "n_search": 3, "n_images": 40}
    folder: Path = synthetic.write_sweep(tmp_path_factory.mktemp("small") / "synthetic", synthetic.Sweep(**knobs))
    return folder


@pytest.fixture(scope="session")
def many_lines() -> ModuleType:
    """The writer of synthetic sweeps of many methods."""
    return _module("many_methods.py")


@pytest.fixture(scope="session")
def many_dir(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType, many_lines: ModuleType) -> Path:
    """A finished synthetic sweep of 18 methods at 8 strengths with 5 seeds; tests must not write into it."""
    declared = {"compare": ["lnl", "erm"], "rule": "val_counterfactual", "at": "strongest"}
    folder: Path = many_lines.write_many(tmp_path_factory.mktemp("many") / "many", synthetic, primary=declared)
    return folder
