"""Resources that a Ray of one's own will never have are refused before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import main
from orchestrator.cluster import fits
from orchestrator.cluster.fits import check_fits
from store.errors import InputError
from tests.orchestrator.support import TINY, sweep_config


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "processors", lambda: 2)
    monkeypatch.setattr(fits, "gpus", lambda: 1.0)
    monkeypatch.setattr("ray.is_initialized", lambda: False)


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"cpu": 3}, "Ray has 2 processors here, but one of erm needs resources.cpu = 3"),
        ({"gpu": 2}, "Ray finds 1 GPUs here, but one of erm needs resources.gpu = 2"),
    ],
)
def test_what_will_never_fit(resources: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_fits(sweep_config(methods=["erm"], resources=resources), ["erm"])


@pytest.mark.parametrize("resources", [{}, {"cpu": 2}, {"gpu": 1}, {"gpu": "1/4"}, {"gpu": "auto"}, {"gpu": 0}])
def test_what_fits(resources: dict[str, Any]) -> None:
    check_fits(sweep_config(methods=["erm"], resources=resources), ["erm"])


def test_the_method_alone_that_does_not_fit_is_named_where_it_is_to_run() -> None:
    config = sweep_config(methods=["erm", {"name": "lnl", "resources": {"gpu": 4}}])
    with pytest.raises(InputError, match="one of lnl needs"):
        check_fits(config, ["erm", "lnl"])
    check_fits(config, ["erm"])


def test_processors_that_were_given_are_those_that_count() -> None:
    config = sweep_config(methods=["erm"], resources={"cpu": 2})
    with pytest.raises(InputError, match=r"1 processor here \(--cpus\)"):
        check_fits(config, ["erm"], cpus=1)
    check_fits(config, ["erm"], cpus=2)


@pytest.mark.parametrize("share", ["1", "1/2"])
def test_a_sweep_that_asks_for_a_gpu_where_there_is_none_makes_nothing(
    share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fits, "gpus", lambda: 0.0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert main(["run", "tiny.yaml", "--out", "out", "--set", f"resources.gpu={share}"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "Ray finds 0 GPUs here" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
