"""Data that papers use, by commands alone: from the files as published to the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import load
from tests.integration.support import lnl_sweep_in
from tests.published_files import write_celeba, write_chexpert, write_waterbirds

pytestmark = pytest.mark.slow

TINY = (
    *("dataset.image_size=32", "network={name: small_cnn, width: 4}", "methods=[erm]", "search.trials=1"),
    *("confirm.seeds=2", "training.epochs=1"),
)


def test_each_is_planned_and_one_is_run(tmp_path: Path) -> None:
    write_waterbirds(tmp_path / "birds")
    write_celeba(tmp_path / "faces", form="csv")
    write_chexpert(tmp_path / "CheXpert-v1.0-small")
    variables = {"LNL_SWEEP_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    small = [word for change in TINY for word in ("--set", change)]

    def typed(*words: object) -> str:
        code, printed = lnl_sweep_in(variables, *words, cwd=tmp_path)
        assert code == 0, printed
        return printed

    for source, folder in (("waterbirds", "birds"), ("celeba", "faces"), ("chexpert", "CheXpert-v1.0-small")):
        typed("init", "--from", source, folder, "-o", f"{source}.yaml")
        assert "confirm trials" in typed("run", f"{source}.yaml", "--dry-run", *small)
    typed("run", "waterbirds.yaml", "--out", "out", *small)
    trials = load(str(tmp_path / "out"))
    assert len(trials[trials["phase"] == "confirm"]) == 8 and set(trials["status"]) == {"completed"}
    assert (tmp_path / "out" / "report.html").is_file()
