"""``lnl-sweep init``: what it writes, what it says, and that the result is a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestrator import cli
from orchestrator.commands import init
from orchestrator.config.sweep_file import read_config
from orchestrator.plan.plan import make_plan
from tests.table_files import write_csv, write_pngs


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pngs(tmp_path_factory.mktemp("written"), 240)


@pytest.fixture(autouse=True)
def elsewhere(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written.parent)
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(written.parents[1] / "cache"))
    # Timing takes a process of its own, and is tested where it is made.
    monkeypatch.setattr(init, "_estimate", lambda plan: {"seconds": 600.0, "trials": 12 * len(plan.cells)})


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_a_sweep_with_its_reasons(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = written.parent / "own.yaml"
    assert cli.main(["init", "labels.csv", "-o", "own.yaml"]) == 0
    text = out.read_text(encoding="utf-8")
    tree = yaml.safe_load(text)
    assert tree["name"] == "labels"
    assert tree["dataset"] == {
        "name": "table",
        "file": "labels.csv",
        "columns": {"path": "path", "label": "label", "attribute": "bias", "group": "patient"},
        "aligned": {"none": "no_drain", "pneumothorax": "drain"},
        "image_size": 64,
        "bias": {"rho": [0.5, 0.75, 0.9, 1]},
    }
    assert tree["network"] == {"name": "small_cnn"} and tree["methods"] == ["ceiling", "erm", "lnl"]
    for part in (
        "240 images of 80 patients",
        "path: path (50 of its first 50 values are files)",
        "As the images are, rho",
    ):
        assert part in text
    # Every count adds up.
    table = [line.split() for line in lines_of(out) if line.startswith(("#   none", "#   pneumothorax"))]
    assert sum(int(row[-2]) for row in table) == 240
    said = capsys.readouterr().out
    assert "240 images of 80 patients" in said and "next: lnl-sweep check own.yaml, lnl-sweep run own.yaml" in said
    assert "The reason: only " in said and "and rho = 0.5 takes 50% of them there" in said
    assert "Rule: val_biased, the first that every cell has" in said and "at rho = 1 class none has none with " in said
    assert "shorter:" not in said
    plan = make_plan(read_config(str(out)))
    assert len(plan.cells) == 9
    out.unlink()


def test_nothing_is_replaced_unasked(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = written.parent / "own.yaml"
    out.write_text("mine")
    assert cli.main(["init", "labels.csv", "-o", "own.yaml"]) == 2
    assert "is there already: choose another name with -o, or replace it with --force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert cli.main(["init", "labels.csv", "-o", "own.yaml", "--force"]) == 0
    assert "table" in out.read_text()
    out.unlink()


def test_columns_that_are_given(written: Path) -> None:
    out = written.parent / "own.yaml"
    assert cli.main(["init", "labels.csv", "-o", "own.yaml", "--attribute", "age"]) == 0
    tree = yaml.safe_load(out.read_text())
    (low, high), median = tree["dataset"]["aligned"].values(), tree["dataset"]["columns"]["attribute"]["bins"][0]
    assert {low, high} == {f"age < {median:g}", f"age >= {median:g}"}
    make_plan(read_config(str(out)))
    out.unlink()


def test_the_table_in_another_folder(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", str(written), "-o", "own.yaml"]) == 0
    assert yaml.safe_load(Path("own.yaml").read_text())["dataset"]["file"] == str(written)


def test_odd_names_become_yaml(written: Path, tmp_path: Path) -> None:
    """Names that YAML reads as numbers, truth values or keys."""
    rows = [line.split(",") for line in lines_of(written)[1:]]
    for row in rows:
        row[1], row[2] = "yes" if row[1] == "none" else "010", "no: x" if row[2] == "drain" else "1e3"
    write_csv(written.parent / "odd name.csv", ["path", "y", "on: #1", "patient", "age"], rows)
    out = written.parent / "own.yaml"
    words = ["init", "odd name.csv", "-o", "own.yaml", "--attribute", "on: #1"]
    assert cli.main(words) == 0
    tree = yaml.safe_load(out.read_text())
    assert tree["dataset"]["columns"]["label"] == "y" and tree["dataset"]["columns"]["attribute"] == "on: #1"
    assert tree["dataset"]["aligned"] == {"010": "no: x", "yes": "1e3"} and tree["name"] == "odd_name"
    make_plan(read_config(str(out)))
    out.unlink()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["init", "nothing.csv"], "there is no table "),
        (["init", "labels.csv", "--label", "lable"], "did you mean 'label'?"),
        (["init", "labels.csv", "-o", "no/such/own.yaml"], "in a folder that exists"),
        (["init", "labels.csv", "-o", "images"], "is a folder: add a name"),
        (["init", "labels.csv", "-o", "s3://bucket/own.yaml"], "must be a path on this machine"),
        (["init"], "TABLE"),
    ],
)
def test_refusals(words: list[str], sentence: str, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in written.parent.iterdir())
    try:
        code: object = cli.main(words)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and sentence in capsys.readouterr().err
    assert sorted(path.name for path in written.parent.iterdir()) == before


def test_a_header_with_line_breaks_and_a_name_with_spaces(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spreadsheets have such headers; what is printed can be run as it stands."""
    text = (written.parent / "labels.csv").read_text(encoding="utf-8")
    (written.parent / "broken.csv").write_text(text.replace("label,bias", '"la\nbel","bi\r\nas: #x"', 1))
    out = written.parent / "my sweep.yaml"
    words = ["--label", "la\nbel", "--attribute", "bi\r\nas: #x"]
    assert cli.main(["init", "broken.csv", "-o", out.name, *words]) == 0
    assert "lnl-sweep run 'my sweep.yaml' --dry-run" in capsys.readouterr().out
    columns = yaml.safe_load(out.read_text(encoding="utf-8"))["dataset"]["columns"]
    assert (columns["label"], columns["attribute"]) == ("la\nbel", "bi\r\nas: #x")
    assert len(make_plan(read_config(str(out))).cells) == 9
    out.unlink()
