"""Plug-ins and files of a sweep that goes on: what is taken from where, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import sweep
from orchestrator.cli import main
from orchestrator.config.own_code import load_of_directory, plugins_of, settled
from orchestrator.config.sweep_file import parse_config, read_config, validate
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.remaining import remaining
from orchestrator.directory.sheet import configuration_of, read_sheet, sweep_sheet
from orchestrator.plan.identity import at_place, trial_spec
from orchestrator.plan.plan import make_plan
from orchestrator.search.dispatch import Dispatcher
from store.errors import InputError
from store.folder import LocalFolder
from store.names import Place, search_id
from tests.bad_input.support import part
from tests.plugin_files import DATASET, METHOD, NETWORK, forgotten
from trainable.plugins.stored import store_plugins
from trainable.trial.outcome import spec_row
from trainable.trial.trainer import Trainer

OWN = METHOD + DATASET + NETWORK
SWEEP = """
plugins: [own.py]
dataset: {name: own_digits, file: side.txt, bias: {color_variance: 0.4}}
network: {name: own_net}
methods: [own_erm]
search: {trials: 2}
confirm: {seeds: 1}
training: {epochs: 2}
"""


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a sweep file with its plug-in and the file of its data set."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    (folder / "side.txt").write_text("14")
    (folder / "sweep.yaml").write_text(SWEEP)
    with forgotten():
        yield folder


def begun(study: Path, status: str = "completed") -> Path:
    """The directory of the sweep with one trial that ended and one that is open after an epoch."""
    plan = make_plan(read_config(study / "sweep.yaml"))
    out = study.parent / "DIR"
    (out / "trials").mkdir(parents=True)
    (out / "sweep.yaml").write_text(yaml.safe_dump(sweep_sheet(plan), sort_keys=False))
    store_plugins(LocalFolder(out), plugins_of(plan.config))
    cell = plan.cells[0]
    hyperparameters = {"lr": 0.01, "weight_decay": 1e-4, **cell.fixed}
    specs = [
        at_place(
            trial_spec(plan.config, cell, "search", search_id(cell.id, 0, k), hyperparameters, 0), Place(k, None, 0)
        )
        for k in range(2)
    ]
    row = {**spec_row(specs[0], status, None if status == "completed" else "KeyError: q"), "val_counterfactual": 0.5}
    (out / "trials" / f"{cell.id}.0001-abcd1234-000001.parquet").write_bytes(part(row))
    opened = LocalFolder(out).child("trials_open", specs[1].trial_id)
    opened.write("spec.json", specs[1].to_json().encode())
    return out


def resumed(out: Path, *overrides: str, **options: Any) -> Any:
    """Configuration with which a resume would begin."""
    from orchestrator.config.sweep_file import apply_override

    directory = SweepDirectory(str(out))
    tree = configuration_of(read_sheet(directory))
    for override in overrides:
        apply_override(tree, override)
    config = load_of_directory(validate(tree), directory.folder, trust=False)
    return sweep._check(settled(config, Path("/")), str(out), sweep.Options(**options))


def test_paths_begin_in_the_folder_of_the_sweep_file(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    config = read_config(study / "sweep.yaml")
    assert config.dataset.options == {"file": str(study / "side.txt")}
    assert settled(config, Path("/elsewhere")) is config
    (study.parent / "home" / "side.txt").write_text("14")
    home = read_config(study / "sweep.yaml", ["dataset.file=~/side.txt"])
    assert home.dataset.options == {"file": str(study.parent / "home" / "side.txt")}
    remote = read_config(study / "sweep.yaml", ["dataset.file=s3://bucket/side.txt", "network.weights=imagenet"])
    assert (remote.dataset.options["file"], remote.network.options["weights"]) == ("s3://bucket/side.txt", "imagenet")


def test_a_sweep_goes_on_without_its_file_and_is_not_changed_by_that(study: Path) -> None:
    out = begun(study)
    (study / "own.py").unlink()
    with forgotten():
        start = resumed(out)
        assert not start.changes and [plugin.name for plugin in plugins_of(start.plan.config)] == ["own"]


def test_a_changed_file_is_taken_with_mix_versions_and_stored_beside_the_old_one(study: Path) -> None:
    out = begun(study)
    (study / "own.py").write_text(OWN.replace("ReLU", "GELU"))
    with forgotten():
        with pytest.raises(InputError, match=rf"began, plug-in {study}/own.py .*the source of the network changed"):
            resumed(out)
        start = resumed(out, mix_versions=True)
        assert "network_checksum" in start.changes and "plugins.own" in start.changes
        store_plugins(LocalFolder(out), plugins_of(start.plan.config))
        assert len(list((out / "plugins").iterdir())) == 2
        # The sheet names the new one.
        assert start.sheet["plugins"][0]["sha256"] == plugins_of(start.plan.config)[0].sha256


def test_a_mended_file_is_taken_where_no_trial_has_succeeded(study: Path) -> None:
    out = begun(study, "failed")
    (study / "own.py").write_text(OWN + "# mended\n")
    with forgotten():
        with pytest.raises(InputError, match=r"have failed, so that lnl-sweep resume .* --failed"):
            resumed(out)
        assert resumed(out, failed=True).anew


def test_a_sweep_of_another_folder_is_repeated_by_its_sheet(study: Path) -> None:
    out = begun(study)
    (study / "own.py").unlink()
    with forgotten():
        config = read_config(out / "sweep.yaml")
        assert plugins_of(config)[0].content == OWN.encode()


def test_data_that_moved_are_found_by_the_command_that_the_message_names(study: Path) -> None:
    out = begun(study)
    spec = SweepDirectory(str(out)).open_trials()[0]
    trainer = Trainer(spec)
    trainer.train_epoch()
    state, moved = trainer.state(), study.parent / "moved.txt"
    (study / "side.txt").rename(moved)
    with forgotten():
        with pytest.raises(InputError, match=rf"lnl-sweep resume {out} --set dataset.file=NEW_PATH"):
            resumed(out)
        start = resumed(out, f"dataset.file={moved}")
        assert start.changes == {"dataset.file": (str(study / "side.txt"), str(moved))}
        # An open trial goes on from its checkpoint, by the new name.
        directory = SweepDirectory(str(out))
        dispatcher = Dispatcher(start.plan.config, start.plan.cells)
        (waiting,) = remaining(dispatcher, directory, sweep.survey(directory)).waiting
        assert waiting.dataset_options == {"file": str(moved)}
        again = Trainer(waiting)
        again.load_state(state)
        assert again.epoch == 1
        with pytest.raises(InputError, match=r"was run with network.weights = None"):
            resumed(out, f"dataset.file={moved}", f"network.weights={moved}")


def test_code_that_an_option_names_becomes_a_plugin(study: Path) -> None:
    text = NETWORK.replace('"own_net"', '"own_net", code=("make",)').replace(
        "width: int = 4", "make: str, width: int = 4"
    )
    (study / "own.py").write_text(METHOD + DATASET + text)
    (study / "lab").mkdir()
    (study / "lab" / "nets.py").write_text("class XNet: ...\n")
    config = read_config(study / "sweep.yaml", ["network.make=lab/nets.py:XNet"])
    assert config.network.options["make"] == "nets.py:XNet"
    assert [(one.name, one.kind) for one in config.plugins if not isinstance(one, str)] == [
        ("own", "file"),
        ("nets", "file"),
    ]
    with forgotten():
        # From elsewhere, as it stands in a sheet.
        store_plugins(LocalFolder(study.parent / "DIR"), [])
        plugins = plugins_of(read_config(study / "sweep.yaml", ["network.make=lab/nets.py:XNet"]))
        assert settled(config, Path("/")).network.options["make"] == "nets.py:XNet" and len(plugins) == 2


def test_train_takes_a_plugin_and_a_file_of_the_current_folder(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study)
    words = "train own_digits --plugin own.py --method own_erm --network own_net --epochs 1 --color_variance 0.4"
    assert main([*words.split(), "--set", "dataset.file=side.txt"]) == 0
    assert "test_accuracy" in capsys.readouterr().out


def test_data_list_and_preview_take_a_plugin(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study)
    assert main(["data", "list", "--plugin", "own.py"]) == 0
    assert "own_digits: data set own_digits needs the option file" in capsys.readouterr().out
    words = "data preview own_digits --plugin own.py --set file=side.txt --bias color_variance=0.4 --out sheet.png"
    assert main(words.split()) == 0 and (study / "sheet.png").exists()


def test_the_demo_and_a_sweep_without_plugins_hold_none() -> None:
    config = parse_config("{dataset: {name: coloured_digits, bias: {color_variance: 0.02}}, methods: [erm]}")
    assert settled(config, Path("/")) is config
    sheet = sweep_sheet(make_plan(config))
    assert sheet["plugins"] == [] and "plugins" not in sheet["provenance"]
