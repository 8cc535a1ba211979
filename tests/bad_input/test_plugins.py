"""Plug-ins and declared files that a command refuses, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.cli import main
from orchestrator.config.own_code import plugins_of
from orchestrator.config.sweep_file import read_config
from orchestrator.directory.sheet import sweep_sheet
from orchestrator.plan.identity import at_place, trial_spec
from orchestrator.plan.plan import make_plan
from store.folder import LocalFolder
from store.names import Place, search_id
from tests.bad_input.support import Refuse, part
from tests.plugin_files import DATASET, METHOD, NETWORK, forgotten
from trainable.plugins.stored import store_plugins
from trainable.trial.outcome import spec_row

SWEEP = """
plugins: [own.py]
dataset: {name: own_digits, file: side.txt, bias: {color_variance: 0.4}}
network: {name: own_net}
methods: [own_erm]
search: {trials: 1}
confirm: {seeds: 1}
training: {epochs: 1}
"""
OWN = METHOD + DATASET + NETWORK


@pytest.fixture(autouse=True)
def nothing_is_loaded(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
    with forgotten():
        yield


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a sweep file with its plug-in and the file of its data set."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    (folder / "side.txt").write_text("14")
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


@pytest.fixture
def started(study: Path, tmp_path: Path) -> Path:
    """The directory of such a sweep with one finished trial, in a process that has loaded no plug-in."""
    plan = make_plan(read_config(study / "sweep.yaml"))
    folder = tmp_path / "DIR"
    (folder / "trials").mkdir(parents=True)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep_sheet(plan), sort_keys=False))
    store_plugins(LocalFolder(folder), plugins_of(plan.config))
    cell = plan.cells[0]
    spec = trial_spec(plan.config, cell, "search", search_id(cell.id, 0, 0), dict(cell.fixed), 0)
    row = {**spec_row(at_place(spec, Place(0, None, 0)), "completed"), "val_counterfactual": 0.5}
    (folder / "trials" / f"{cell.id}.0001-abcd1234-000001.parquet").write_bytes(part(row))
    with forgotten():
        return folder


def run(study: Path, *words: object) -> tuple[object, ...]:
    return ("run", study / "sweep.yaml", "--out", study.parent / "DIR", *words)


def test_a_plugin_that_is_not_there_is_looked_for_beside_the_sweep_file(refuse: Refuse, study: Path) -> None:
    (study / "own.py").unlink()
    assert f"there is no plug-in {study / 'own.py'}" in refuse(*run(study))


@pytest.mark.parametrize(
    "words", [("data", "list"), ("data", "preview", "x", "--out", "x.png"), ("train", "x"), ("run",)]
)
def test_one_that_is_given_begins_in_the_current_folder(refuse: Refuse, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert f"there is no plug-in {tmp_path / 'own.py'}" in refuse(*words, "--plugin", "own.py")
    (tmp_path / "own.py").write_text("x = (\n")
    assert f"plug-in {tmp_path / 'own.py'}:1 cannot be imported" in refuse(*words, "--plugin", "own.py")


def test_one_that_cannot_be_imported(refuse: Refuse, study: Path) -> None:
    (study / "own.py").write_text(OWN + "\nraise RuntimeError('not so')\n")
    line = len(OWN.splitlines()) + 2
    assert f"{study / 'own.py'}:{line} cannot be imported (RuntimeError: not so)" in refuse(*run(study))


def test_a_name_that_is_taken(refuse: Refuse, study: Path) -> None:
    (study / "own.py").write_text(OWN.replace("own_erm", "erm"))
    assert "own.py:9: method 'erm' is registered twice: choose another name" in refuse(*run(study))


def test_a_class_without_a_step(refuse: Refuse, study: Path) -> None:
    head = "from trainable import MethodState, register_method"
    method = '@register_method("own_state", long_name="Own", reference="none")\nclass Own(MethodState):\n    pass'
    (study / "own.py").write_text(f"{OWN}\n\n{head}\n\n\n{method}\n")
    assert "the class of method 'own_state' lacks step, which every method must have" in refuse(*run(study))


def test_what_is_no_plugin(refuse: Refuse, study: Path) -> None:
    assert "a file NAME.py" in refuse(*run(study, "--set", "plugins=[side.txt]"))
    assert "plugins" in refuse(*run(study, "--set", "plugins=own.py"))
    assert "plugins.0: input should be a valid string, but got 3" in refuse(*run(study, "--set", "plugins=[3]"))


def test_code_that_an_option_names(refuse: Refuse, study: Path) -> None:
    text = OWN.replace('"own_net"', '"own_net", code=("make",)').replace("width: int = 4", "make: str")
    (study / "own.py").write_text(text)
    found = refuse(*run(study, "--set", "network.make=nets.py:XNet"))
    assert f"there is no plug-in {study / 'nets.py'}" in found


def test_a_declared_file_that_is_not_there(refuse: Refuse, study: Path) -> None:
    (study / "side.txt").unlink()
    assert f"there is no dataset.file {study / 'side.txt'}: put it there" in refuse(*run(study))
    found = refuse(*run(study, "--set", "network.weights=w.pt", "--set", "dataset.file=own.py"))
    assert f"there is no network.weights {study / 'w.pt'}" in found
    # All that is missing at once: a remedy for each alone would send the user in a circle.
    both = refuse(*run(study, "--set", "network.weights=w.pt"))
    assert f"there is no dataset.file {study / 'side.txt'} and no network.weights {study / 'w.pt'}: put them" in both


def test_a_declared_file_of_train_begins_in_the_current_folder(refuse: Refuse, study: Path, tmp_path: Path) -> None:
    words = ("train", "own_digits", "--plugin", "study/own.py", "--color_variance", 0.4, "--set", "dataset.file=s.txt")
    assert f"there is no dataset.file {tmp_path / 's.txt'}" in refuse(*words)


def test_code_of_somebody_elses_directory_does_not_run(refuse: Refuse, started: Path, study: Path) -> None:
    (Path.home() / ".config").rename(Path.home() / "noted")
    (study / "own.py").unlink()
    stored = next((started / "plugins").iterdir())
    for words in (("resume", started), ("run", started / "sweep.yaml", "--out", started.parent / "NEW")):
        found = refuse(*words)
        assert str(stored) in found and "--trust-plugins" in found


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("section", ["plugins", "network"])
def test_code_that_a_directory_names_by_a_path_does_not_run(
    refuse: Refuse, started: Path, absolute: bool, section: str
) -> None:
    """Its checksums are no secret: whoever makes a directory can seal a sheet that names a file beside it."""
    entry = str(started / "evil.py") if absolute else "DIR/evil.py"
    (started / "evil.py").write_text(f"open({str(started.parent / 'ran')!r}, 'w')")
    (started / "plugins").rename(started.parent / "put_away")
    sheet = yaml.safe_load((started / "sweep.yaml").read_text())
    sheet["plugins"] = [entry] if section == "plugins" else []
    sheet["dataset"].update(name="coloured_digits")
    sheet["dataset"].pop("file")
    sheet["methods"][0].update(name="erm")
    sheet["network"] = (
        {"name": "module", "make": f"{entry}:Net", "split_at": "a"} if section == "network" else {"name": "pixel_front"}
    )
    (started / "sweep.yaml").write_text(yaml.safe_dump(sheet, sort_keys=False))
    assert f"must name its code by checksum, but names {entry}: restore it" in refuse("resume", started)
    assert not (started.parent / "ran").exists()


def test_a_changed_plugin(refuse: Refuse, started: Path, study: Path) -> None:
    (study / "own.py").write_text(OWN + "# a word\n")
    for words in (("resume", started), run(study)):
        found = refuse(*words)
        assert f"plug-in {study / 'own.py'}" in found and "--mix-versions" in found and "method own_erm" in found


def test_a_changed_network(refuse: Refuse, started: Path, study: Path) -> None:
    (study / "own.py").write_text(OWN.replace("ReLU", "GELU"))
    assert "the source of the network" in refuse("resume", started)


def test_a_plugin_that_is_missing_or_damaged_in_the_directory(refuse: Refuse, started: Path) -> None:
    (stored,) = (started / "plugins").iterdir()
    content = stored.read_bytes()
    stored.write_bytes(content + b"# more\n")
    assert "plug-in own is damaged" in refuse("resume", started)
    stored.unlink()
    assert f"{stored} is missing" in refuse("resume", started)


def test_data_that_moved_are_named_at_a_resume(refuse: Refuse, started: Path, study: Path) -> None:
    """The message names the command, which then finds them; other data under the new name are refused."""
    (study / "side.txt").rename(study / "moved.txt")
    command = f"lnl-sweep resume {started} --set dataset.file=NEW_PATH"
    assert command in refuse("resume", started)
    for text, words in (("14 ", "the files of the data set changed"), ("28", "the data have changed")):
        other = study / f"other{len(text)}.txt"
        other.write_text(text)
        assert words in refuse(*command.removeprefix("lnl-sweep ").replace("NEW_PATH", str(other)).split())


@pytest.mark.parametrize("command", ["status", "verify", "report", "pack"])
def test_commands_that_only_read_run_no_plugin(
    started: Path, study: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainable.plugins import loaded_plugins

    monkeypatch.chdir(started.parent)
    (study / "own.py").unlink()
    main([command, str(started)])
    shown = capsys.readouterr()
    assert loaded_plugins() == [] and "unknown" not in shown.err and "trust" not in shown.err


def test_verify_compares_plugins_with_their_checksums(
    started: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (stored,) = (started / "plugins").iterdir()
    main(["verify", str(started)])
    assert "damaged: plugins/" not in capsys.readouterr().out
    stored.write_bytes(b"other")
    assert main(["verify", str(started)]) == 1
    assert f"damaged: plugins/{stored.name}: plug-in own is damaged" in capsys.readouterr().out
    stored.unlink()
    main(["verify", str(started)])
    assert f"damaged: plugins/{stored.name}: it is missing" in capsys.readouterr().out
