"""What a sweep costs: the table of prices, the sum over trials, and the bound on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.plan.prices import VARIABLE, read_prices
from orchestrator.sweep import run_sweep
from store.errors import InputError
from tests.orchestrator.support import sweep_config

TABLE = """
date: 2020-01
currency: EUR
cpu_thread: 0.1
gpus:
  A10G: {hour: 2.0, tflops: 31}
  T4: {hour: 1.0}
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def write(text: str) -> Any:
        (tmp_path / "prices.yaml").write_text(text)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "prices.yaml"))
        read_prices.cache_clear()
        return read_prices

    yield write
    read_prices.cache_clear()


def row(**values: Any) -> dict[str, Any]:
    return {"train_seconds": 1800.0, "threads": 2, "gpu_share": 0.0, "device_name": "AMD EPYC", **values}


def test_the_table_that_ships_is_dated_and_knows_the_gpu_of_cluster_yaml() -> None:
    read_prices.cache_clear()
    prices = read_prices()
    assert prices.date.startswith("20")
    assert prices.gpus["A10G"] > 0
    assert set(prices.tflops) <= set(prices.gpus)


def test_a_trial_costs_its_share_of_a_gpu_or_its_threads(table: Any) -> None:
    prices = table(TABLE)()
    assert prices.of_trial(row()) == pytest.approx(0.5 * 2 * 0.1)
    assert prices.of_trial(row(gpu_share=0.25, device_name="NVIDIA A10G")) == pytest.approx(0.5 * 0.25 * 2.0)
    assert prices.of_trial(row(gpu_share=1.0, device_name="Tesla T4")) == pytest.approx(0.5)
    assert prices.of_trial(row(gpu_share=1.0, device_name="NVIDIA H100")) is None
    assert prices.of_trial(row(train_seconds=None)) == 0.0
    assert prices.words(1.239) == "EUR1.24 at list prices of 2020-01"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date: 2020-01\n", "must have date, cpu_thread and gpus"),
        (TABLE.replace("0.1", "cheap"), "must have date"),
        (TABLE.replace("{hour: 2.0, tflops: 31}", "2.0"), "must have date"),
        (TABLE.replace("0.1", "-0.1"), "negative price"),
        ("[", "must have date"),
    ],
)
def test_a_damaged_table_is_refused_with_its_name(table: Any, text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"prices.yaml.*{said}"):
        table(text)()


def test_a_missing_table_is_refused(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/prices.yaml")
    read_prices.cache_clear()
    with pytest.raises(InputError, match=r"cannot read the table of prices '/nowhere/prices.yaml'"):
        read_prices()


def test_it_is_refused_before_anything_is_written(table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/prices.yaml")
    read_prices.cache_clear()
    config = sweep_config(dataset={"name": "coloured_digits", "bias": {"color_variance": [1]}})
    with pytest.raises(InputError, match="table of prices"):
        run_sweep(config, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
