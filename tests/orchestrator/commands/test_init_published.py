"""``lnl-sweep init --from``: the table and the sweep file of published data, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from orchestrator import cli
from orchestrator.commands import init
from orchestrator.config.sweep_file import read_config
from orchestrator.plan.plan import make_plan
from tests.published_files import write_celeba, write_chexpert, write_waterbirds

FOLDERS = {"waterbirds": "birds", "celeba": "faces", "chexpert": "CheXpert-v1.0-small"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    write_waterbirds(folder / "birds")
    write_celeba(folder / "faces")
    write_chexpert(folder / "CheXpert-v1.0-small")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(data / "cache"))
    # Timing takes a process of its own, and is tested where it is made.
    monkeypatch.setattr(init, "_estimate", lambda plan: {"seconds": 600.0, "trials": 12 * len(plan.cells)})


@pytest.mark.parametrize(
    ("source", "columns", "options", "values"),
    [
        (
            "waterbirds",
            {"path": "path", "label": "bird", "attribute": "place", "split": "split"},
            {"aligned": {"landbird": "land", "waterbird": "water"}, "image_size": 224, "fit": "crop"},
            [0.5, 0.75, 0.9, 0.95],
        ),
        (
            "celeba",
            {"path": "path", "label": "hair", "attribute": "sex", "split": "split"},
            {"aligned": {"not_blond": "male", "blond": "female"}, "image_size": 128, "fit": "crop"},
            [0.5, 0.75, 0.9, 0.98],
        ),
        (
            "chexpert",
            {"path": "path", "label": "effusion", "attribute": "sex", "group": "patient"},
            {"aligned": {"no_effusion": "female", "effusion": "male"}, "image_size": 128},
            [0.5, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.98],
        ),
    ],
)
def test_a_table_and_a_sweep(
    source: str,
    columns: dict[str, str],
    options: dict[str, object],
    values: list[float],
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["init", "--from", source, str(data / FOLDERS[source])]) == 0
    tree = yaml.safe_load(Path("sweep.yaml").read_text(encoding="utf-8"))
    wanted = {"name": "table", "file": f"{source}.csv", "columns": columns, **options, "bias": {"rho": values}}
    assert tree["dataset"] == wanted and tree["name"] == source
    said = capsys.readouterr().out
    assert "arXiv" in said and "by class and attribute" in said and "next: lnl-sweep check sweep.yaml" in said
    plan = make_plan(read_config("sweep.yaml"))
    assert len(plan.cells) == 1 + 2 * len(values)
    with Path(f"{source}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(Path(row["path"]).is_file() for row in rows)
    split = plan.dataset.split(0)
    if "split" in columns:
        for part in ("train", "val", "test"):
            assert [k for k, row in enumerate(rows) if row["split"] == part] == split.part(part).tolist()  # type: ignore[arg-type]
    else:
        parts = [{rows[k]["patient"] for k in split.part(part)} for part in ("train", "val", "test")]  # type: ignore[arg-type]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_images_below_the_table_have_short_paths(data: Path) -> None:
    out = data / "own.yaml"
    assert cli.main(["init", "--from", "waterbirds", str(data / "birds"), "-o", str(out)]) == 0
    assert (data / "waterbirds.csv").read_text().splitlines()[1].startswith("birds/000.Species_0/Species_0000.jpg,")
    # The same again: the table is the same, the sweep file would be replaced.
    assert cli.main(["init", "--from", "waterbirds", str(data / "birds"), "-o", str(data / "other.yaml")]) == 0
    make_plan(read_config(str(out)))


def test_images_that_limit_an_axis_that_ends_before_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_chexpert(tmp_path / "chest", 120)
    with (folder / "train.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    # Of the patients without effusion, who have even numbers, one in four is female; conflicting images abound.
    for row in rows:
        patient = int(row[0].split("patient")[1].split("/")[0])
        row[1] = "Female" if patient % 8 == 0 or patient % 4 == 1 else "Male"
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    assert cli.main(["init", "--from", "chexpert", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "of class no_effusion are female, and rho = 0.98 takes 98% of them there" in said
    # The strong end limits it: no later beginning would help.
    assert "begins later" not in said


def test_what_radiologists_labelled_can_be_the_test_part_of_chexpert(data: Path) -> None:
    assert cli.main(["init", "--from", "chexpert", str(data)]) == 0
    text = Path("sweep.yaml").read_text(encoding="utf-8")
    assert "the 8 images of valid.csv together" in text and "31 not frontal" in text
    Path("sweep.yaml").write_text(text.replace("group: patient}", "group: patient, split: split}"), encoding="utf-8")
    plan = make_plan(read_config("sweep.yaml", ["dataset.bias.rho=[0.5, 0.9]"]))
    test = plan.dataset.split(0).test
    assert len(test) == 8 and test.min() == len(plan.dataset.labels()) - 8


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--from", "waterbird", "birds"], "unknown source 'waterbird': did you mean 'waterbirds'?"),
        (["--from", "waterbirds", "faces"], "must hold metadata.csv, but does not"),
        (
            ["--from", "celeba", "s3://bucket/faces"],
            "--from celeba reads a folder on this machine, but got s3://bucket",
        ),
        (
            ["--from", "celeba", "faces", "--label", "hair"],
            "--label names a column of a table, but --from celeba knows",
        ),
        (["--from", "celeba", "nowhere"], "there is no folder "),
    ],
)
def test_refusals(
    words: list[str], sentence: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [str(data / word) if word in ("birds", "faces", "nowhere") else word for word in words]
    assert cli.main(["init", *places]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_table_of_ones_own_is_not_replaced(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["init", "--from", "celeba", str(data / "faces")]
    Path("celeba.csv").write_text("mine")
    assert cli.main(words) == 2
    assert "celeba.csv is there already and holds something else" in capsys.readouterr().err
    assert Path("celeba.csv").read_text() == "mine" and not Path("sweep.yaml").exists()
    assert cli.main([*words, "--force"]) == 0
    assert Path("celeba.csv").read_text().startswith("path,hair,sex,split")


def test_nothing_stays_where_the_images_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_celeba(tmp_path / "few", 40)
    (folder / "img_align_celeba" / "000007.jpg").write_bytes(b"no image")
    assert cli.main(["init", "--from", "celeba", "few"]) == 2
    assert "000007.jpg" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few"]
