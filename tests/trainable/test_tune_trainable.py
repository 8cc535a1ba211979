"""The trial as a Ray worker runs it: what it reports, where it goes on, and that nothing ends its process."""

from __future__ import annotations

import dataclasses
import math
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from store import columns, object_store
from store.errors import Unreachable
from store.folder import Folder, LocalFolder
from store.open import folder_at
from store.sealed import seal_sheet
from trainable import tune_trainable
from trainable.errors import DataOutOfReach
from trainable.spec import TrialSpec
from trainable.trial.open_trial import CHECKPOINT, checkpoint_names, read_predictions, trial_folder, write_checkpoint
from trainable.trial.provenance import weights_checksum
from trainable.trial.trainer import Trainer
from trainable.tune_trainable import SHEET, SweepTrainable, resume

MakeSpec = Callable[..., TrialSpec]
TIMES = ("started_at", "finished_at", "train_seconds", "images_per_second", "peak_memory_mb", "seconds")


def config(spec: TrialSpec, folder: Path | None, **options: Any) -> dict[str, Any]:
    if folder is not None and folder.is_dir():
        (folder / SHEET).touch()
    return {"spec": spec.to_json(), "dir": str(folder) if folder else None, "checkpoint_seconds": 3600.0, **options}


def worker(settings: dict[str, Any]) -> SweepTrainable:
    """A worker without Ray's own bookkeeping."""
    trainable = object.__new__(SweepTrainable)
    trainable.setup(settings)
    return trainable


def to_the_end(trainable: SweepTrainable) -> list[dict[str, Any]]:
    results = [trainable.step()]
    while not results[-1]["done"]:
        results.append(trainable.step())
    return results


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMES}


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty folder"])
def test_a_worker_that_does_not_see_the_sweep_is_refused_before_it_trains(
    there: bool, tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_trainable, "SEEN_SECONDS", 0.1)
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: pytest.fail("it trained"))
    private = tmp_path / "private"
    if there:
        private.mkdir()
    result = worker({"spec": tiny().to_json(), "dir": str(private)}).step()
    assert result["done"] and result["row"] is None and not result["away"]
    assert f"has no {private}/{SHEET}: give an --out that all nodes share" in result["halt"]
    assert list(tmp_path.rglob("*")) == ([private] if there else [])


def test_a_worker_that_sees_another_sweep_there_is_refused_before_it_trains(
    tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_trainable, "SEEN_SECONDS", 0.1)
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: pytest.fail("it trained"))
    (tmp_path / SHEET).write_bytes(seal_sheet("name: other\n", 16 * "a"))
    result = worker({"spec": tiny().to_json(), "dir": str(tmp_path), "sweep": 16 * "b"}).step()
    assert result["done"] and result["row"] is None and not result["away"]
    assert f"{tmp_path} is that of another sweep: give an --out that all nodes share" in result["halt"]
    assert list(tmp_path.iterdir()) == [tmp_path / SHEET]


def test_a_worker_with_other_weights_is_refused_before_it_trains(
    tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: pytest.fail("it trained"))
    path = tmp_path / "weights.pt"
    path.write_bytes(b"those of the driver")
    spec = dataclasses.replace(tiny(), network="resnet18", network_options={"weights": str(path)})
    monkeypatch.setattr(SweepTrainable, "weights", weights_checksum(spec.network, spec.network_options))
    for there, what in ((b"others", "another file"), (None, "no file")):
        path.unlink() if there is None else path.write_bytes(there)
        result = worker({"spec": spec.to_json(), "dir": None}).step()
        assert result["done"] and result["row"] is None and f"has {what} under {path}: copy" in result["halt"]


def test_results(tiny: MakeSpec, tmp_path: Path) -> None:
    spec = tiny("lnl", epochs=3, phase="confirm", keep_model=True)
    results = to_the_end(worker(config(spec, tmp_path)))
    assert [r["epoch"] for r in results] == [1, 2, 3] and [r["done"] for r in results] == [False, False, True]
    assert [[row["epoch"] for row in r["history"]] for r in results] == [[1], [2], [3]]
    assert [r["row"]["status"] for r in results] == ["pruned", "pruned", "completed"]
    assert all(r["value"] == r["row"]["val_counterfactual"] for r in results)
    assert all(r["row"]["ray_version"] for r in results)
    columns.to_table("trials", [r["row"] for r in results])
    folder = trial_folder(folder_at(str(tmp_path)), spec.trial_id)
    assert folder.names() == [CHECKPOINT, "predictions.arrow"]
    table = pa.ipc.open_file(pa.BufferReader(read_predictions(folder))).read_all()
    columns.arrow_schema("predictions", table.column_names)
    assert table.num_rows == 4 * results[-1]["row"]["n_test"]
    assert folder_at(str(tmp_path)).child("models").names() == ["t-1.safetensors"]


def test_checkpoints_at_rungs_and_after_the_last_epoch_only(tiny: MakeSpec, tmp_path: Path) -> None:
    trainable = worker(config(tiny(epochs=4), tmp_path, rungs=[2]))
    folder, epochs = trial_folder(folder_at(str(tmp_path)), "t-1"), []
    for _ in range(4):
        trainable.step()
        if folder.exists(CHECKPOINT):
            trainer = Trainer(tiny(epochs=4), "cpu")
            resume(trainer, folder)
            epochs.append(trainer.epoch)
    assert epochs == [2, 2, 4]
    often = worker(config(tiny(epochs=4, trial_id="t-2"), tmp_path, checkpoint_seconds=0))
    often.step()
    assert trial_folder(folder_at(str(tmp_path)), "t-2").exists(CHECKPOINT)


@pytest.mark.parametrize("lost_after", [2, 3])
def test_another_worker_goes_on_and_tells_everything(lost_after: int, tiny: MakeSpec, tmp_path: Path) -> None:
    spec = tiny("lnl", epochs=3, phase="confirm")
    undisturbed = to_the_end(worker(config(spec, None)))
    first = worker(config(spec, tmp_path, rungs=[2]))
    for _ in range(lost_after):
        first.step()
    results = to_the_end(worker(config(spec, tmp_path)))
    assert len(results) == 1
    assert [row["epoch"] for row in results[0]["history"]] == [1, 2, 3]
    assert untimed(results[-1]["row"]) == untimed(undisturbed[-1]["row"])
    told = [untimed(row) for result in undisturbed for row in result["history"]]
    assert [untimed(row) for row in results[0]["history"]] == told


def test_torn_or_foreign_checkpoints_cost_epochs_not_the_trial(tiny: MakeSpec, tmp_path: Path) -> None:
    folder = trial_folder(folder_at(str(tmp_path)), "t-1")
    folder.write(CHECKPOINT, b"torn")
    assert len(to_the_end(worker(config(tiny(epochs=2), tmp_path)))) == 2
    other = dataclasses.replace(tiny(epochs=2), seed=9)
    assert len(to_the_end(worker(config(other, tmp_path)))) == 2


def test_in_an_object_store_every_checkpoint_is_a_new_key(
    tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFolder, "local", property(lambda self: None))
    folder, spec = folder_at(str(tmp_path)), tiny(epochs=3)
    trainer = Trainer(spec, "cpu")
    trainer.train_epoch()
    write_checkpoint(folder, trainer.state(), 1)
    (first,) = checkpoint_names(folder)
    trainer.train_epoch()
    write_checkpoint(folder, trainer.state(), 2)
    (second,) = checkpoint_names(folder)
    assert first != second
    folder.write("checkpoint-000003-00000000.pt", b"torn")
    fresh = Trainer(spec, "cpu")
    assert resume(fresh, folder) and fresh.epoch == 2


@pytest.mark.parametrize("forced", [False, True])
def test_a_store_that_is_away_never_fails_a_trial(
    forced: bool, tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = 2
    trainable = worker(config(tiny(epochs=epochs), tmp_path, checkpoint_seconds=0, rungs=[1] if forced else []))

    def away(*_: Any) -> None:
        raise Unreachable("the store is away")

    monkeypatch.setattr("trainable.tune_trainable.write_checkpoint", away)
    result = trainable.step()
    if forced:
        assert result["halt"] == "the store is away" and result["away"] and result["row"] is None
        return
    # A checkpoint that was only due is left out; that after the last epoch is waited for.
    assert "halt" not in result and result["epoch"] == 1
    monkeypatch.undo()
    assert trainable.step()["row"]["status"] == "completed"
    assert checkpoint_names(trial_folder(folder_at(str(tmp_path)), "t-1"))


def test_a_checkpoint_that_cannot_be_fetched_now_is_not_given_up(
    tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker(config(tiny(epochs=2), tmp_path, checkpoint_seconds=0)).step()

    def away(self: Folder, name: str) -> bytes:
        raise Unreachable("the store is away")

    monkeypatch.setattr(LocalFolder, "read", away)
    assert worker(config(tiny(epochs=2), tmp_path)).step()["halt"] == "the store is away"


def test_a_node_that_cannot_get_the_data_fails_no_trial(
    tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise DataOutOfReach("no space for the copy")

    monkeypatch.setattr("trainable.trial.trainer.Trainer", refused)
    result = worker(config(tiny(epochs=2), tmp_path)).step()
    assert result["halt"] == f"node {socket.gethostname()} cannot get the data: no space for the copy"
    assert not result["away"] and result["row"] is None


def test_a_node_with_other_images_trains_none(tiny: MakeSpec, tmp_path: Path) -> None:
    class Elsewhere(SweepTrainable):
        data = "0123456789abcdef"

    def first_step(spec: TrialSpec) -> dict[str, Any]:
        trainable = object.__new__(Elsewhere)
        trainable.setup(config(spec, tmp_path))
        return trainable.step()

    spec = tiny(epochs=2)
    said = first_step(spec)["halt"]
    assert f"those on node {socket.gethostname()} have the checksum" in said and "the driver's 0123456789ab: " in said
    Elsewhere.data = Trainer(spec).dataset.checksum
    assert first_step(spec)["epoch"] == 1


@pytest.mark.parametrize("comes_back", [True, False])
def test_data_that_cannot_be_reached_now_are_waited_for(
    comes_back: bool, tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(object_store, "RETRY_SECONDS", 30.0 if comes_back else 0.1)
    asked: list[int] = []
    real = Trainer.__init__

    def build(self: Trainer, spec: TrialSpec, device: str) -> None:
        asked.append(1)
        if len(asked) < 3 or not comes_back:
            raise Unreachable("the data are away")
        real(self, spec, device)

    monkeypatch.setattr(Trainer, "__init__", build)
    result = worker(config(tiny(epochs=1), tmp_path)).step()
    assert len(asked) >= 3
    assert (result["row"]["status"] == "completed") if comes_back else (result["halt"] == "the data are away")


def test_a_checkpoint_that_was_given_up_does_not_come_after_the_last_result(
    tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[str] = []
    monkeypatch.setattr(LocalFolder, "settle", lambda self: settled.append(self.uri))
    trainable = worker(config(tiny(epochs=2), tmp_path))
    trainable.step()
    assert settled == []
    assert trainable.step()["done"] and settled == [str(tmp_path / "trials_open" / "t-1")]


def test_failures_are_results(tiny: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = worker(config(tiny(bias={"rho": 7.0}), tmp_path))
    result = bad.step()
    assert result["done"] and result["row"]["status"] == "failed" and math.isnan(result["value"])
    assert result["row"]["error"] == "InputError: rho must lie in [0, 1], but got 7.0"
    columns.to_table("trials", [result["row"]])

    assert bad.reset_config(
        config(tiny(trial_id="t-3", optimizer="sgd", clip_norm=None, hyperparameters={"lr": 1e35}), tmp_path)
    )
    result = to_the_end(bad)[-1]
    assert result["row"]["status"] == "failed" and result["row"]["error"].startswith("TrialFailed: epoch ")

    def broken(self: Trainer) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr(Trainer, "finish", broken)
    assert bad.reset_config(config(tiny(trial_id="t-4", epochs=1), tmp_path))
    result = bad.step()
    assert result["done"] and result["row"]["error"] == "ValueError: two lines"
    assert [row["epoch"] for row in result["history"]] == [1]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit(), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit("over"), "GeneratorExit: over"),
        (type("Custom", (BaseException,), {})("mine"), "Custom: mine"),
        (RuntimeError("\ud800 \x00 two\nlines"), "RuntimeError: \\ud800 \\x00 two lines"),
        (Unprintable(), "Unprintable: (its message cannot be made: RuntimeError)"),
    ],
)
@pytest.mark.parametrize("where", ["train_epoch", "__init__"])
def test_whatever_is_raised_becomes_the_reason_of_a_failed_row(
    error: BaseException, reason: str, where: str, tiny: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Trainer, where, broken)
    result = worker(config(tiny(), None)).step()
    assert result["done"] and (result["row"]["status"], result["row"]["error"]) == ("failed", reason)
    columns.to_table("trials", [result["row"]])


def test_a_long_reason_is_bounded_before_it_travels(tiny: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("x" * 10**7)

    monkeypatch.setattr(Trainer, "train_epoch", broken)
    assert len(worker(config(tiny(), None)).step()["row"]["error"]) < 1300


def test_a_process_that_ray_ends_is_not_kept_from_its_end(tiny: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._raylet import raise_sys_exit_with_custom_error_message

    def terminated(*_: Any) -> None:
        # As Ray's handler of SIGTERM does, wherever the process is.
        raise_sys_exit_with_custom_error_message("The process receives a SIGTERM.", exit_code=1)

    trainable = worker(config(tiny(), None))
    for where in ("train_epoch", "__init__"):
        monkeypatch.setattr(Trainer, where, terminated)
    with pytest.raises(SystemExit):
        trainable.step()
    with pytest.raises(SystemExit):
        worker(config(tiny(), None))


def test_a_trial_whose_row_cannot_be_made_has_that_of_its_specification(
    tiny: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = worker(config(tiny(epochs=3), None))
    trainable.step()
    monkeypatch.setattr(Trainer, "row", lambda *_: {}["no such attribute"])
    result = trainable.step()
    assert result["done"] and result["row"]["error"] == "KeyError: 'no such attribute'"
    assert result["row"]["hyperparameters"] and [entry["epoch"] for entry in result["history"]] == [2]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_with_a_real_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray import tune

    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    with tempfile.TemporaryDirectory(prefix="ls", dir="/tmp") as short:
        sweep = Path(short) / "sweep"
        sweep.mkdir()
        (sweep / SHEET).touch()
        specs = [
            TrialSpec(
                dataset="coloured_digits",
                dataset_options={"subset": "development"},
                bias={"color_variance": variance},
                method="erm",
                hyperparameters={"lr": 1e-2},
                network="pixel_front",
                seed=1,
                phase="search",
                trial_id=f"t-{i}",
                training=dataclasses.replace(TrialSpec.from_json(_PLAIN).training, epochs=2, batch_size=64),
            )
            for i, variance in enumerate((0.02, 0.05, -1.0))
        ]
        ray.init(num_cpus=1, include_dashboard=False, _temp_dir=f"{short}/ray", log_to_driver=False)
        try:
            tuner = tune.Tuner(
                SweepTrainable,
                param_space={"spec": tune.grid_search([s.to_json() for s in specs]), "dir": str(sweep)},
                tune_config=tune.TuneConfig(reuse_actors=True),
                run_config=tune.RunConfig(
                    storage_path=f"{short}/out",
                    verbose=0,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            )
            results = sorted((r.metrics for r in tuner.fit()), key=lambda m: str(m["row"]["trial_id"]))
        finally:
            ray.shutdown()
        assert [m["row"]["status"] for m in results] == ["completed", "completed", "failed"]
        assert [m["epoch"] for m in results] == [2, 2, 0]
        assert (sweep / "trials_open" / "t-0" / CHECKPOINT).is_file()
        assert len({m["pid"] for m in results}) == 1


_PLAIN = TrialSpec("d", {}, "erm", {}, "n", 0, "search", "t").to_json()
