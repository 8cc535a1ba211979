"""``lnl-sweep check``: ours pass, and what user code does to the process is one line with the user's own line."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
import yaml

import sweeps
from orchestrator.checking import apart
from orchestrator.checking.apart import findings_apart
from orchestrator.checking.task import kind_of, task_of
from orchestrator.cli import main
from store.errors import InputError
from tests.table_files import options, write_pngs
from tests.trainable.figshare_files import all_files, folds_file, write_folder
from trainable.data.brain.figshare.prepare import prepare
from trainable.testing.findings import Finding

SWEEPS = sorted(path.stem for path in Path(sweeps.__path__[0]).glob("*.yaml"))
NEEDING_FILES = {"brain_mri", "brain_mri_gamma", "seed_protocol"}
METHOD = """
from trainable.methods.base import Losses, register_method
from trainable.methods.erm import erm


@register_method("own", long_name="Own", reference="none")
def own(nets, batch, hyperparameters, ramp):
    {step}
    return erm(nets, batch, hyperparameters, ramp)
"""
LINE = METHOD.splitlines().index("    {step}") + 1
SWEEP = """
name: own
plugins: [{plugin}]
dataset: {{name: coloured_digits, bias: {{color_variance: [0.02, 0.4]}}}}
methods: [erm, {method}]
"""


def write(folder: Path, text: str, name: str = "debias.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def check(file: Path | str, *overrides: str) -> list[Finding]:
    return list(findings_apart(task_of(str(file), list(overrides), [], False, 20.0), 60.0))


def the_failure(findings: list[Finding]) -> Finding:
    (failure,) = [finding for finding in findings if finding.level == "FAIL"]
    return failure


@pytest.mark.parametrize("name", sorted(set(SWEEPS) - NEEDING_FILES))
def test_our_own_sweeps_pass(name: str) -> None:
    findings = check(name)
    assert [str(finding) for finding in findings if finding.level == "FAIL"] == []
    assert findings[-1].what == "report" and findings[-1].level == "ok"
    assert any(finding.what == "trial of erm" for finding in findings)


def test_a_plug_in_that_is_right(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, METHOD.format(step="print('from the step')"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert main(["check", str(file)]) == 0
    assert list(temporary.iterdir()) == []
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "ok    plug-in debias.py: imports alone, in another folder and process, and registers own"
    assert all(re.match(r"(ok  |warn|FAIL)  \S", line) for line in lines[:-1])
    assert re.fullmatch(r"\d+ ok, 0 warn, 0 FAIL in \d+ s", lines[-1])


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("def broken(:\n    pass\n", "cannot be imported (SyntaxError: invalid syntax", 1),
        ("import sys\n\nsys.exit(3)\n", "cannot be imported (SystemExit: 3)", 3),
        ("import beside\n", "No module named 'beside'): add beside.py, which lies beside it, to plugins", 1),
        ("import os\n\nos._exit(0)\n", "its import ended the process (with exit code 0)", 3),
        ("import os\n\nos.abort()\n", "its import ended the process (by SIGABRT)", 3),
    ],
)
def test_a_plug_in_that_cannot_be_imported(
    text: str, words: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "", "beside.py")
    file = write(tmp_path, text)
    # What the current folder has, a worker on another machine has not.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    failure = the_failure(check(file))
    assert failure.what == "plug-in debias.py" and words in failure.sentence
    assert failure.where == f"{file}:{line}"


def test_a_step_that_ends_the_process(tmp_path: Path) -> None:
    file = write(tmp_path, METHOD.format(step="import os; os._exit(7)"))
    failure = the_failure(check(file))
    assert failure.what == "method own" and "ended the process (with exit code 7)" in failure.sentence
    assert failure.where == f"{file}:{LINE}"


@pytest.mark.slow
def test_a_step_that_hangs(tmp_path: Path) -> None:
    file = write(tmp_path, METHOD.format(step="import time; time.sleep(600)"))
    findings = findings_apart(task_of(str(file), [], [], False, 1.0), 25.0)
    failure = the_failure(list(findings))
    assert "has not ended after 25 s" in failure.sentence and failure.where == f"{file}:{LINE}"


def test_a_sweep_with_a_method_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, METHOD.format(step="batch.colour"))
    file = write(tmp_path, SWEEP.format(plugin="debias.py", method="own"), "sweep.yaml")
    assert main(["check", str(file), "--seconds", "10"]) == 2
    lines = capsys.readouterr().out.splitlines()
    failures = [line for line in lines if line.startswith("FAIL")]
    assert f"({tmp_path / 'debias.py'}:{LINE})" in failures[0] and "has no attribute 'colour'" in failures[0]
    assert failures[0].startswith("FAIL  method own: ")
    assert failures[1].startswith("FAIL  trial of own: at color_variance = 0.02: ")
    assert any(line.startswith("ok    trial of erm") for line in lines)
    assert any(line.startswith("ok    report: ") for line in lines)


def test_names_and_keys(tmp_path: Path) -> None:
    file = write(tmp_path, METHOD.format(step="pass"))
    sweep = write(tmp_path, SWEEP.format(plugin=file.name, method="onw"), "sweep.yaml")
    assert "unknown method 'onw': did you mean 'own'" in the_failure(check(sweep)).sentence
    assert "did you mean 'seed'" in the_failure(check("coloured_digits", "sed=1")).sentence
    assert (
        "color_variance must lie in" in the_failure(check("coloured_digits", "dataset.bias.color_variance=-1")).sentence
    )


def test_what_is_no_file_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "no.py")]) == 2
    assert "there is no plug-in" in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert main(["check", "brain_phantom", "--seconds", "0"]) == 2
    with pytest.raises(InputError, match="there is no table"):
        task_of(str(tmp_path / "labels.csv"), [], [], False, 1.0)
    (tmp_path / "__init__.py").touch()
    assert kind_of(str(tmp_path)) == "plug-in"


def test_frames_of_ours_are_no_place() -> None:
    text = f'File "{apart.__file__}", line 3 in f\nFile "/home/me/debias.py", line 12 in step\n'
    assert apart.place_in(text) == "/home/me/debias.py:12" and apart.place_in("") == ""


NETWORK = """
from torch import nn


class XNet(nn.Module):
    def __init__(self, num_classes, width=8):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x))
"""


def test_a_table_with_a_network_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    table = write_pngs(tmp_path / "data", 300)
    write(tmp_path, NETWORK, "nets.py")
    tree = {
        "dataset": {**options(table, image_size=32), "name": "table", "bias": {"rho": [0.5, 0.75]}},
        "network": {"name": "module", "make": "nets.py:XNet", "args": {"width": 4}},
        "methods": ["erm", "lnl"],
        "search": {"rule": "val_reweighted"},
        "plugins": ["nets.py"],
    }
    findings = check(write(tmp_path, yaml.safe_dump(tree), "sweep.yaml"))
    assert [str(finding) for finding in findings if finding.level == "FAIL"] == []
    sentences = [finding.sentence for finding in findings]
    assert any("none/drain" in sentence for sentence in sentences)
    assert any("two epochs" in s or "trains on after an interruption" in s for s in sentences), "it is the user's own"
    assert any("another process loads the same checksum" in sentence for sentence in sentences)
    assert {finding.what for finding in findings} >= {"trial of lnl", "network module", "report"}


def test_few_images_of_a_table_are_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("orchestrator.checking.trials.MOST", 16)
    table = write_pngs(tmp_path / "data", 900)
    tree = {
        # Of the eight images of a group that a slow network leaves, none conflicts at .96.
        "dataset": {**options(table, image_size=32), "name": "table", "bias": {"rho": [0.5, 0.96]}},
        "methods": ["ceiling", {"name": "erm", "draw": "balanced"}],
        "search": {"rule": "val_reweighted"},
    }
    findings = check(write(tmp_path, yaml.safe_dump(tree), "sweep.yaml"))
    assert [str(finding) for finding in findings if finding.level == "FAIL"] == []
    assert any("trial of erm_balanced" in finding.what and "at rho = 0.96" in finding.sentence for finding in findings)


def test_a_table_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    table = write_pngs(tmp_path / "data", 300)
    first, *rest = check(table, "dataset.bias={rho: [0.5, 0.75]}")
    assert "Proposed by lnl-sweep init for labels.csv: 300 images" in first.sentence
    assert [str(finding) for finding in rest if finding.level == "FAIL"] == []
    assert rest[-1].what == "report"


@pytest.mark.slow
def test_sweeps_that_need_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    n = 60
    prepare(write_folder(tmp_path / "source", all_files(n, small=tuple(range(3, n + 1))), folds_file(n)))
    for name in sorted(NEEDING_FILES):
        failures = [f.sentence for f in check(name, "dataset.image_size=64") if f.level == "FAIL"]
        # The seed study's slices of one patient lie on both sides, which is what its protocol repeats.
        wanted = 3 if name == "seed_protocol" else 0
        assert len(failures) == wanted and all("patient" in sentence for sentence in failures), name
