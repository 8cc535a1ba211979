"""The ladder of docs/seed_protocol.md: its lines are run as they stand there, on fewer patients of the phantom."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from analysis import epoch_choice, load, load_splits
from orchestrator.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "seed_protocol.md").read_text()
PATIENTS = 30
EPOCHS = 2


def lines() -> list[list[str]]:
    """The commands of the page, without the name of the program."""
    (block,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    return [shlex.split(line)[1:] for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def ladder(short_tmp: Path, cluster: Any) -> Iterator[list[Path]]:
    """The folders of the four rungs that need a run of their own."""
    import ray

    (phantom,) = re.findall(r"add `(--set [^`]+)`", TEXT)
    smaller = [f"dataset.patients={PATIENTS}", f"training.epochs={EPOCHS}", "confirm.seeds=1"]
    words = shlex.split(phantom) + [word for override in smaller for word in ("--set", override)]
    folders = [short_tmp / "ladder" / str(number) for number in (1, 2, 3, 4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        try:
            for line, folder in zip(lines(), folders, strict=False):
                assert line[:2] == ["run", "sweeps/seed_protocol.yaml"] and line[-2] == "--out"
                assert line[-1].endswith(f"/{folder.name}")
                assert main([*line[:-1], str(folder), *words, "--address", cluster.address]) == 0
        finally:
            ray.shutdown()
    yield folders


def switches(folder: Path) -> tuple[str, str, str]:
    sheet = yaml.safe_load((folder / "sweep.yaml").read_text())
    return sheet["training"]["evaluation"], sheet["dataset"]["pituitary"], sheet["dataset"]["split_by"]


def parts_of_a_patient(folder: Path) -> pd.Series:
    return load_splits(folder).groupby(["seed", "patient"])["split"].nunique()


def test_each_rung_takes_one_choice_back(ladder: list[Path]) -> None:
    assert [switches(folder) for folder in ladder] == [
        ("train", "seed", "slice"),
        ("eval", "seed", "slice"),
        ("eval", "all", "slice"),
        ("eval", "all", "patient"),
    ]


def test_every_rung_is_trained_whole(ladder: list[Path]) -> None:
    for folder in ladder:
        trials = load(folder)
        assert (trials["status"] == "completed").all()
        points = trials.loc[trials["phase"] == "confirm", ["label", "rho", "gamma"]].drop_duplicates()
        assert len(points) == 2 * 4 and set(points["label"]) == {"erm", "grl"}


def test_the_statistics_of_the_batch_change_what_is_read_off(ladder: list[Path]) -> None:
    first, second = (
        load(folder).query("phase == 'confirm'").set_index("cell")["test_accuracy"].sort_index()
        for folder in ladder[:2]
    )
    assert first.index.equals(second.index) and (first != second).any()


def test_the_seed_studys_list_leaves_pituitary_tumours_out(ladder: list[Path]) -> None:
    used = [load_splits(folder).groupby(["label", "seed"])["image"].nunique() for folder in ladder]
    meningioma, glioma, pituitary = range(3)
    for seed_list in used[:2]:
        assert (seed_list[pituitary] < used[2][pituitary]).all()
        assert seed_list[[meningioma, glioma]].equals(used[2][[meningioma, glioma]])


def test_a_patient_is_on_both_sides_until_the_split_is_by_patient(ladder: list[Path]) -> None:
    assert all((parts_of_a_patient(folder) > 1).any() for folder in ladder[:3])
    assert (parts_of_a_patient(ladder[3]) == 1).all()


def test_the_last_two_rungs_are_read_off_a_run(ladder: list[Path]) -> None:
    table = epoch_choice(ladder[3])
    assert len(table) == 2 * 4
    assert (table["highest_on_test"] >= table[["chosen_on_validation", "last_epoch"]].max(axis=1)).all()


def test_the_four_stand_in_one_report(ladder: list[Path], tmp_path: Path) -> None:
    line = lines()[len(ladder)]
    assert line[0] == "report" and [Path(word).name for word in line[1:]] == [folder.name for folder in ladder]
    assert main(["report", *map(str, ladder), "--out", str(tmp_path / "ladder.html")]) == 0
    assert "seed_protocol" in (tmp_path / "ladder.html").read_text()
