"""Random damage to a sweep's files: every reader gives the right numbers or names the file, and a resume mends it."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import random
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import analysis
from orchestrator import sweep as sweep_module
from orchestrator.cli import main
from orchestrator.directory import lease
from orchestrator.directory.verify import verify
from orchestrator.sweep import Options, run_sweep
from store.errors import InputError
from tests.integration import damage as damages
from tests.integration.damage import SWEEP, Stop, damage, run_here, sweep_config

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("LNL_SWEEP_FUZZ", "2000"))
PARTS = [pytest.param((0.0, 0.2), id="first"), pytest.param((0.2, 1.0), id="others", marks=pytest.mark.lab)]
"""Rounds that a test runs, as shares of all: the first here, the others in the laboratory."""
CHECKED, ASKED, RESUMED, REPORTED = 3, 5, 8, 200
"""Every so many rounds the sweep is verified, asked for its status, resumed, or its report is made too."""
TABLES = {
    "trials": (
        lambda folder: analysis.load(folder, superseded=True),
        ["trial_id"],
        ["val_counterfactual", "test_accuracy", "hyperparameters", "status", "seed", "epochs"],
    ),
    "history": (analysis.load_history, ["trial_id", "epoch"], ["val_counterfactual", "train_loss"]),
    "predictions": (analysis.load_predictions, ["trial_id", "variant", "image"], ["label", "predicted", "p_0"]),
    "splits": (analysis.load_splits, ["seed", "image"], ["split", "label"]),
}

Rows = frozenset[int]


def run(out: Path, stop_after: int | None = None, config: Any = None) -> tuple[Any, str]:
    """The real driver without Ray; how the sweep ended, and what was said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "_run", run_here(stop_after))
        # Two drivers, and a power failure, are tested elsewhere.
        patch.setattr(lease, "SETTLE_SECONDS", 0.0)
        patch.setattr(os, "fsync", lambda handle: None)
        result = run_sweep(config or sweep_config(), str(out), Options(console=Console(file=said, width=500)))
    return result, said.getvalue()


def rows_of(folder: Path | str, table: str) -> tuple[Rows, list[str]]:
    """Rows as hashes of their key and their values, and what was warned of."""
    read, key, columns = TABLES[table]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame: pd.DataFrame = read(folder)
    assert not frame.duplicated(key).any()
    names = [*key, *(name for name in columns if name in frame)]
    hashed = pd.util.hash_pandas_object(frame[names], index=False)
    return frozenset(hashed.tolist()), [str(warning.message) for warning in caught]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "sweep"
    run(out, config=sweep_module.validate({**SWEEP, "confirm": {**SWEEP["confirm"], "seeds": 1}}, "first"))
    result, _ = run(out)
    assert result.complete and verify(str(out)).whole and (out / "changes.jsonl").exists()
    return out


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("interrupted") / "sweep"
    with pytest.raises(Stop):
        run(out, stop_after=16)
    assert verify(str(out)).whole
    return out


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of the same cells with another seed: its files fit in everything but what they say."""
    out = tmp_path_factory.mktemp("foreign") / "sweep"
    run(out, config=sweep_module.validate({**SWEEP, "seed": 1}, "foreign"))
    return out


@pytest.fixture(scope="module")
def truth(whole: Path) -> dict[str, Rows]:
    return {table: rows_of(whole, table)[0] for table in TABLES}


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    faulthandler.dump_traceback_later(880)
    yield
    faulthandler.cancel_dump_traceback_later()


def check_readers(sweep: Path, truth: dict[str, Rows], counted: Counter[str], gone: bool = False) -> None:
    """Every table gives rows that are true; what is missing is named, but for the rows of a file that is gone."""
    for table, rows in truth.items():
        try:
            found, warned = rows_of(sweep, table)
        except InputError as error:
            assert str(sweep) in str(error), error
            counted[f"{table}: refused"] += 1
            continue
        assert found <= rows, (table, len(found - rows))
        counted[f"{table}: {'right' if len(found) == len(rows) else 'less, named' if warned else 'less'}"] += 1
        assert all(str(sweep) in line for line in warned)
        assert warned or gone or len(found) == len(rows), (table, len(found), len(rows))


def check_status(sweep: Path, most: int, counted: Counter[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(["status", str(sweep)])
    said = out.getvalue()
    counted[f"status: exit {code}"] += 1
    if code == 2:
        assert err.getvalue().startswith("lnl-sweep: error: ") and str(sweep) in err.getvalue()
        return
    numbers = [int(line.split(": ")[1].split(" of ")[0]) for line in said.splitlines() if " trials finished" in line]
    numbers += [int(line.rsplit(" ", 1)[1]) for line in said.splitlines() if line.startswith("finished in all")]
    assert code == 0 and len(numbers) == 1 and numbers[0] <= most, said


def check_verify(sweep: Path, changed: set[str], counted: Counter[str]) -> None:
    try:
        verdict = verify(str(sweep))
    except InputError as error:
        assert str(sweep) in str(error)
        counted["verify: refused"] += 1
        return
    counted[f"verify: {'whole' if verdict.whole else 'damage named'}"] += 1
    # A file whose bytes are not those that were written, and that is read by anybody, is named; an intact one of
    # another sweep may say who drives, of the pictures either the index or the picture is wrong, and of the marks of
    # an open trial only the names count.
    silent = {name for name in changed - verdict.damaged.keys() - {"driver.json"} if "/started-" not in name}
    if any(name.startswith("samples/") for name in verdict.damaged):
        silent = {name for name in silent if not name.startswith("samples/")}
    assert not silent, (changed, verdict.damaged)


def check_report(sweep: Path, counted: Counter[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            analysis.write_report(sweep)
        except InputError as error:
            assert str(sweep) in str(error)
            counted["report: refused"] += 1
            return
    assert "</html>" in (sweep / "report.html").read_text()
    counted["report: written"] += 1


def check_resume(sweep: Path, truth: dict[str, Rows], counted: Counter[str]) -> None:
    try:
        result, said = run(sweep)
    except InputError as error:
        assert str(sweep) in str(error), error
        counted["resume: refused"] += 1
        return
    assert result.finished == result.planned == len(truth["trials"]), (result, said)
    for table, rows in truth.items():
        found, _ = rows_of(sweep, table)
        assert found == rows, (table, said)
    counted["resume: all rows right"] += 1


def snapshot(sweep: Path) -> dict[str, bytes | None]:
    """Bytes of every file that somebody reads; None for what is no file."""
    found: dict[str, bytes | None] = {}
    for path in sweep.rglob("*"):
        inside = path.relative_to(sweep)
        if inside.parts[0] in ("ray", "optuna", "damaged") or inside.name == "report.html":
            continue
        if path.is_file() and not path.is_symlink():
            found[str(inside)] = path.read_bytes()
        elif not path.is_dir() or path.is_symlink():
            found[str(inside)] = None
    return found


def rounds(part: tuple[float, float], count: int) -> range:
    """Numbers of the rounds of a part."""
    return range(int(part[0] * count), int(part[1] * count))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["finished", "interrupted"])
def test_damage(
    kind: str, part: tuple[float, float], whole: Path, interrupted: Path, foreign: Path, truth: dict[str, Rows],
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    base = whole if kind == "finished" else interrupted
    before = snapshot(base)
    expected = {table: rows_of(base, table)[0] for table in TABLES}
    assert all(rows <= truth[table] for table, rows in expected.items())
    counted: Counter[str] = Counter()
    numbers = rounds(part, ROUNDS // 2)
    for number in numbers:
        draw = random.Random(f"{kind} {number}")
        sweep = tmp_path / f"{number}"
        shutil.copytree(base, sweep, symlinks=True)
        path, done = damage(sweep, foreign, draw)
        after = snapshot(sweep)
        changed = {name for name, data in after.items() if name in before and data != before[name]}
        try:
            counted[done.partition(":")[0]] += 1
            others = ("history", "predictions", "splits")
            tables = {name: expected[name] for name in ("trials", others[number % 3])}
            check_readers(sweep, tables, counted, gone=bool(before.keys() - after.keys()))
            if number % CHECKED == 0:
                check_verify(sweep, changed, counted)
            if number % ASKED == 0:
                check_status(sweep, len(expected["trials"]), counted)
            if number % REPORTED == 0:
                check_report(sweep, counted)
            if number % RESUMED == 0:
                check_resume(sweep, truth, counted)
        except Exception as error:
            raise AssertionError(f"round {number}: {path}: {done}") from error
        shutil.rmtree(sweep)
    with capsys.disabled():
        print(f"\n{len(numbers)} damages to the {kind} sweep: {dict(sorted(counted.items()))}")
    assert counted["resume: all rows right"] > 0.5 * len(numbers) / RESUMED


@pytest.mark.parametrize("part", PARTS)
def test_damage_to_a_packed_sweep(
    part: tuple[float, float], whole: Path, truth: dict[str, Rows], tmp_path: Path
) -> None:
    packed = analysis.pack(whole, tmp_path / "whole.zip")
    assert verify(str(packed)).whole
    content, counted = packed.read_bytes(), Counter[str]()
    place = tmp_path / "damaged.zip"
    for number in rounds(part, ROUNDS // 10):
        draw = random.Random(f"zip {number}")
        place.write_bytes(content)
        done = draw.choice((damages.flip, damages.cut, damages.overwrite))(place, [], draw)
        try:
            check_readers(place, truth, counted)
            with contextlib.suppress(InputError):
                verify(str(place))
        except Exception as error:
            raise AssertionError(f"round {number}: {done}") from error
    assert counted["trials: right"] and counted["trials: refused"]
