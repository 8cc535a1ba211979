"""``lnl-sweep plan``: of a finished sweep, of one that has not been run, and of what is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli import main

TABLE = "with K seeds and P test patients"
PHANTOM = "dataset: {name: brain_phantom, bias: {rho: [0.5, 1]}, patients: 60"


def test_a_finished_sweep_is_measured(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(example)]) == 0
    text = capsys.readouterr().out
    assert "as measured" in text and "BORROWED" not in text
    assert "sd patients" in text and "P = 99" in text
    assert f"d_min of lnl minus erm at rho = 1, gamma = 0 {TABLE}" in text


def test_a_sweep_file_borrows_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "dataset: {name: coloured_digits, bias: {color_variance: [0.02, 0.4]}}\n"
        "methods: [erm, lnl, grayscale]\nconfirm: {seeds: 4}\n"
    )
    assert main(["plan", str(file)]) == 0
    text = capsys.readouterr().out
    assert "BORROWED from the stored example" in text
    rows = [line.split() for line in text.splitlines() if line.strip().startswith(("lnl", "grayscale"))]
    assert len(rows) == 4 and all(row[6] == "4" for row in rows)
    # Digits have no patients.
    assert "P test images" in text and "patients" not in text
    # A method that the example has not run takes the components of lnl.
    assert all(" lnl at rho = " in line for line in text.splitlines() if line.strip().startswith(("lnl", "grayscale")))


def test_the_table_is_of_the_declared_pair_and_folds_are_one_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"{PHANTOM}, folds: all}}\nmethods: [erm, grl, lnl, {{name: permuted_bias, like: lnl}}]\n"
        "confirm: {seeds: 2, splits: 3}\nprimary: {compare: [lnl, permuted_bias]}\n"
    )
    assert main(["plan", str(file)]) == 0
    text = capsys.readouterr().out
    assert "d_min of lnl minus permuted_bias at rho = 1 with K splits and P test patients" in text
    rows = [line.split() for line in text.splitlines() if line.strip().startswith(("grl ", "lnl ", "permuted_bias "))]
    assert [row[:3] for row in rows] == [
        ["lnl", "permuted_bias", "0.500"],
        ["lnl", "permuted_bias", "1.000"],
        *([label, "erm", rho] for rho in ("0.500", "1.000") for label in ("grl", "lnl", "permuted_bias")),
    ]
    assert all(row[6] == "3" for row in rows)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dataset: {name: coloured_digits, bias: {color_variance: [0.02]}}\nmethods: [erm]\n", "another method"),
        (f"{PHANTOM}}}\nmethods: [grl, lnl]\n", "name two in primary"),
        ("dataset: {name: coloured_digit, bias: {color_variance: [0.02]}}\nmethods: [erm]\n", "coloured_digits"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, word: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    assert main(["plan", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and word in err


def test_a_folder_that_is_no_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path)]) == 2
    assert "holds no sweep" in capsys.readouterr().err


@pytest.fixture(scope="module")
def example() -> Path:
    from analysis.examples import example_folder

    return example_folder()
