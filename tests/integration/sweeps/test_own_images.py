"""Images of one's own by commands alone: 600 16-bit PNGs of 200 patients, from the CSV to the report and beyond."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from analysis import accuracy_vs_bias, external_curve, load, load_predictions, load_splits
from tests.integration.planted import files, holding
from tests.integration.support import Row, lnl_sweep_in, rows
from tests.table_files import row_of, write_pngs, xray
from trainable import load_model

pytestmark = pytest.mark.slow

N, PATIENTS = 600, 200
SMALL = (
    *("dataset.bias.rho=[0.5, 0.9, 1]", "methods=[ceiling, erm]", "search.trials=2", "confirm.seeds=2"),
    "training.epochs=6",
)
PLANNED = (1 + 3) * (2 + 2)
HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")
WITHIN = re.compile(rb"data:image/(?!svg)[a-z]+;base64,[A-Za-z0-9+/]{40}")


def settings(*words: str) -> Iterator[str]:
    for word in words:
        yield from ("--set", word)


def write_set(folder: Path, n: int, share: float = 0.8, first: int = 0) -> Path:
    """A folder of images and its table, in which patients have names that stand nowhere else by chance."""
    table = write_pngs(folder, n, share, first)
    table.write_text(re.sub(r",P(\d{3}),", r",MRN-4711-\1,", table.read_text()))
    return table


@dataclass
class User:
    """Somebody who types commands in a folder that was empty, and who has a home of their own."""

    folder: Path
    variables: dict[str, str]

    def typed(self, *words: object, code: int = 0) -> str:
        """Type ``lnl-sweep WORDS``; what it printed."""
        found, printed = lnl_sweep_in(self.variables, *words, cwd=self.folder)
        assert found == code, printed
        return printed


@pytest.fixture(scope="module")
def user(short_tmp: Path) -> User:
    """A user, with the images in another folder than the one in which the commands are typed."""
    folders = [short_tmp / f"own-{name}" for name in ("study", "home", "ray")]
    for folder in folders:
        folder.mkdir()
    write_set(short_tmp / "own-images", N)
    return User(folders[0], {"HOME": str(folders[1]), "RAY_TMPDIR": str(folders[2]), "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def said(user: User) -> dict[str, str]:
    """Output of the commands from the table to the report."""
    table = user.folder.parent / "own-images" / "labels.csv"
    init = user.typed("init", table, "-o", "sweep.yaml")
    check = user.typed("check", "sweep.yaml")
    changes = [*settings(*SMALL)]
    dry = user.typed("run", "sweep.yaml", "--dry-run", *changes)
    run = user.typed("run", "sweep.yaml", "--out", "out", "--cpus", 2, *changes)
    return {"init": init, "check": check, "dry": dry, "run": run}


@pytest.fixture(scope="module")
def out(user: User, said: dict[str, str]) -> Path:
    return user.folder / "out"


def images_in(places: Iterable[Path]) -> list[Path]:
    """Files, members of archives included, that hold a picture."""
    found = []
    for path in files(places):
        contents = [path.read_bytes()]
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                contents = [archive.read(name) for name in archive.namelist()]
        if any(content.startswith(HEADS) or WITHIN.search(content) for content in contents):
            found.append(path)
    return found


def test_what_the_commands_say_is_what_is_there(said: dict[str, str], user: User) -> None:
    assert f"{N} images of {PATIENTS} patients" in said["init"]
    assert re.search(
        r"at rho = 1 \(strength 1\.00\) training images .*: none/no_drain \d+, pneumothorax/drain \d+\n", said["check"]
    )
    assert "0 FAIL" in said["check"] and f"{PATIENTS} patients" in said["check"]
    assert "4 cells, 8 search trials + at most 8 confirm trials" in said["dry"]
    assert "rule: val_biased, the first that every cell has" in said["dry"]
    assert f"planned = {PLANNED}, finished = {PLANNED}" in said["run"] and "/out/report.html" in said["run"]
    assert {path.name for path in user.folder.iterdir()} == {"sweep.yaml", "out"}
    # Decoded once, whoever asked for the images first.
    cache = Path(user.variables["HOME"]) / ".cache" / "lnl-sweep"
    assert len([path for path in cache.glob("table-*") if path.is_dir()]) == 1


def test_the_curve_falls_where_every_image_carries_the_attribute(out: Path) -> None:
    curve = accuracy_vs_bias(load(out), load_predictions(out)).set_index(["method", "bias_value"])["mean"]
    # At rho = 1 the bright line and the class are the same, and the line is easier to see.
    assert curve["erm", 1.0] < curve["erm", 0.5] - 0.2
    assert curve["ceiling", 0.5] > curve["erm", 1.0]


def test_the_images_that_were_drawn_are_counted(out: Path) -> None:
    trials, splits, predictions = load(out), load_splits(out), load_predictions(out)
    assert len(trials) == PLANNED and set(trials["status"]) == {"completed"}
    # The same number of training images at every bias value, and as many of them as the axis allows.
    assert trials.groupby("seed")["n_train"].nunique().max() == 1 and trials["n_train"].min() > 100
    by_rho = trials[trials["method"] == "erm"].groupby("rho")["n_conflicting"]
    assert by_rho.max()[1.0] == 0 and by_rho.min()[0.5] >= 0.4 * trials["n_train"].max()
    confirmed = trials[trials["phase"] == "confirm"]
    for row in confirmed.itertuples():
        own = splits[splits["seed"] == row.seed]
        parts = own["split"].value_counts()
        assert row.n_test == parts["test"] and row.n_val <= parts["val"] and row.n_train <= parts["train"]
        assert parts.sum() == N and own["patient"].nunique() == PATIENTS
    assert (splits.groupby(["seed", "patient"])["split"].nunique() == 1).all()
    assert (predictions.groupby(["trial_id", "variant"])["weight"].mean().sub(1).abs() < 1e-5).all()
    info = yaml.safe_load((out / "sweep.yaml").read_text())["dataset_info"]
    assert info["natural"]["bias"]["rho"] == pytest.approx(0.8, abs=0.03) and info["natural"]["unit"] == "patients"
    report = (out / "report.html").read_text()
    assert f"{int(confirmed['n_train'].max())}" in report and "as they are" in report


def test_neither_images_nor_names_of_patients_leave_the_folder(user: User, out: Path) -> None:
    user.typed("pack", "out", "-o", "shared.zip")
    places = [out, user.folder / "shared.zip"]
    assert images_in(places) == [] and not (out / "samples").exists()
    names = [f"MRN-4711-{patient:03}" for patient in range(0, PATIENTS, 7)]
    assert holding(places, [*names, "images/0017.png", "images/0400.png"]) == []


def test_images_are_shown_where_that_is_asked_for(user: User, out: Path) -> None:
    """The search of the test above finds what it looks for, where it is there."""
    shutil.copytree(out, user.folder / "open")
    user.typed("resume", "open", *settings("dataset.share_images=true"))
    user.typed("pack", "open", "-o", "open.zip")
    shown = [user.folder / "open" / "report.html", user.folder / "open.zip"]
    assert images_in(shown) == sorted(shown) and len(images_in([user.folder / "open" / "samples"])) == 3
    assert holding([user.folder / "open"], ["MRN-4711-017", "images/0017.png"]) == []
    user.typed("resume", "open", *settings("dataset.share_images=false"))
    user.typed("pack", "open", "-o", "open.zip")
    assert images_in(shown) == []


@pytest.fixture
def away(user: User, out: Path) -> Iterator[Path]:
    """A place to which the images have moved; in the end they are back."""
    images, elsewhere = user.folder.parent / "own-images", user.folder.parent / "moved" / "set"
    elsewhere.parent.mkdir()
    images.rename(elsewhere)
    yield elsewhere
    elsewhere.rename(images)
    elsewhere.parent.rmdir()


def test_results_are_read_without_the_images(user: User, out: Path, away: Path) -> None:
    (out / "report.html").unlink()
    assert "/out/report.html" in user.typed("report", "out") and (out / "report.html").exists()
    user.typed("status", "out")
    user.typed("verify", "out")
    user.typed("pack", "out", "-o", "again.zip")
    for path in sorted((out / "models").iterdir()):
        assert load_model(path)(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
    printed = user.typed("resume", "out", code=2)
    assert printed.count("\n") == 1, printed
    assert "there is no dataset.file" in printed and "lnl-sweep resume" in printed and "dataset.file=" in printed

    # Images of another hospital need nothing of one's own.
    write_set(user.folder.parent / "own-other", 60, 0.5, first=N)
    printed = user.typed("predict", "out", "--data", user.folder.parent / "own-other" / "labels.csv")
    assert "60 images" in printed and "8 models have predicted it now" in printed
    curve = external_curve(load(out), load_predictions(out, "external"))
    assert set(curve["n_patients"]) == {20} and set(curve["label"]) == {"ceiling", "erm"}
    assert images_in([out]) == [] and holding([out], ["MRN-4711-207", "images/0617.png"]) == []


def test_a_sweep_goes_on_with_a_folder_that_moved(user: User, out: Path, away: Path) -> None:
    before = rows(out)
    table = away.parent / "set" / "table.csv"
    (away / "labels.csv").rename(table)
    try:
        moved = ("resume", "out", *settings(f"dataset.file={table}"))
        assert f"finished = {PLANNED}" in user.typed(*moved)
        # The sheet knows the new place from now on.
        more = PLANNED + 4
        printed = user.typed("resume", "out", "--cpus", 2, *settings("confirm.seeds=3"))
        assert f"planned = {more}, finished = {more}" in printed
        found = rows(out)
        assert len(found) == more and {key: found[key] for key in before} == before
        assert one(found, "data_checksum") == one(before, "data_checksum")

        image = away / "images" / "0000.png"
        kept = away / "kept"
        shutil.copy2(image, kept)
        Image.fromarray(xray(N, *row_of(0)[:2])).save(image)
        changed = user.typed("resume", "out", *settings("confirm.seeds=4"), code=2)
        assert changed.count("\n") == 1 and "the data have changed since" in changed and rows(out) == found, changed
        kept.replace(image)
    finally:
        table.rename(away / "labels.csv")


def one(found: dict[tuple[object, ...], Row], column: str) -> object:
    (value,) = {row[column] for row in found.values()}
    return value
