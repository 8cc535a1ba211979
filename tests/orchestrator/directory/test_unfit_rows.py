"""A trial whose row, epochs or predictions cannot be written fails alone; the sweep goes on, and a resume too."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from orchestrator import sweep
from orchestrator.cluster.nodes import demands_of
from orchestrator.cluster.session import Session
from orchestrator.directory import writer as writer_module
from orchestrator.directory.damage import survey
from orchestrator.directory.lease import Lease
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.write_queue import ImmediateWrites, ThreadedQueue
from orchestrator.directory.writer import Writer
from orchestrator.progress import Progress
from orchestrator.run import Options, Run
from store.sealed import seal_bytes
from tests.orchestrator.support import dispatcher_for, fake_history, fake_row, histories_in, sweep_config
from trainable.spec import TrialSpec
from trainable.trial.open_trial import PREDICTIONS, arrow_bytes, sealed_about, trial_folder, write_checkpoint

CONFIG = sweep_config(
    dataset={"name": "fake", "bias": {"rho": [1.0]}},
    methods=["erm"],
    search={"trials": 2, "early_stopping": {"min_epochs": 2, "reduction_factor": 2}},
    confirm={"seeds": 1},
    training={"epochs": 3},
)
POSTS = pytest.mark.parametrize("post", [ImmediateWrites, ThreadedQueue])


def begun(place: Path, post: Callable[[], Any] = ImmediateWrites, generation: int = 1) -> Session:
    """A session on a directory, as a driver that starts or resumes has it."""
    directory = SweepDirectory(str(place / "sweep"))
    directory.folder.write("sweep.yaml", b"name: fake\n")
    dispatcher = dispatcher_for(CONFIG)
    writer = Writer(directory, Lease(directory.folder, "abcd1234", generation), post())
    sweep._restore(dispatcher, writer, survey(directory), Options())
    run = Run(dispatcher, writer, Progress(dispatcher, Console(file=io.StringIO())), Options(slots=2))
    return Session(run, demands_of(CONFIG, []))


def suggested(session: Session, ray_id: str) -> TrialSpec:
    found = session.suggest(ray_id)
    assert isinstance(found, dict), found
    return TrialSpec.from_json(found["spec"])


def end(session: Session, ray_id: str, row: dict[str, Any] | None = None, history: Any = None) -> None:
    """Report the whole trial at once, and end it as Tune does."""
    entries = fake_history([0.5] * 3) if history is None else history
    result = {
        "epoch": 3,
        "value": 0.5,
        "history": entries,
        "row": {**fake_row(session.specs[ray_id], 0.5), **(row or {})},
    }
    session.guarded(lambda: session.keep_going(ray_id, result), True)
    session.guarded(lambda: session.result(ray_id, result), None)
    session.guarded(lambda: session.ended(ray_id), None)


def row_of(session: Session, spec: TrialSpec) -> dict[str, Any]:
    assert session.error is None
    assert session.writer.flush(30)
    (row,) = [row for row in session.writer.directory.rows("trials") if row["trial_id"] == spec.trial_id]
    return row


def to_the_end(session: Session, names: str) -> None:
    """Run whatever is left with trials that are in order."""
    for name in names:
        if not isinstance(session.suggest(name), dict):
            break
        end(session, name)
    assert session.writer.flush(30) and session.error is None
    assert session.dispatcher.finished
    session.writer.queue.close()


@POSTS
@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"status": "failed", "error": "RuntimeError: \ud800 no text"}, "RuntimeError: \\ud800 no text"),
        ({"status": "failed", "error": "a\x00b\nc"}, "a\\x00b\\nc"),
        (
            {"epochs": float("nan")},
            "what it reported cannot be written: epochs must be a whole number, but is nan (float)",
        ),
        ({"test_best": 1.0}, "what it reported cannot be written: test_best is no column of trials"),
    ],
)
def test_a_row_that_cannot_be_written_fails_its_trial_alone(
    row: dict[str, Any], error: str, post: Any, tmp_path: Path
) -> None:
    session = begun(tmp_path, post)
    spec = suggested(session, "a")
    end(session, "a", row)
    found = row_of(session, spec)
    assert (found["status"], found["error"]) == ("failed", error)
    assert len(histories_in(session.writer.directory)[spec.trial_id]) == 3
    to_the_end(session, "bcde")
    assert begun(tmp_path, generation=2).dispatcher.finished


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"val_counterfactual": "0.5"}, "val_counterfactual must be a number, but is '0.5' (str)"),
        ({"train_loss": torch.ones(2)}, "train_loss must be a number, but is tensor([1., 1.]) (Tensor)"),
        ({"epoch": float("nan")}, "epoch must be a whole number, but is nan (float)"),
        ({"epoch": None}, "an epoch has no number"),
        ({"loss": 1.0}, "loss is no column of history"),
    ],
)
def test_an_epoch_that_cannot_be_written_stops_its_trial_and_fails_it(
    entry: dict[str, Any], error: str, tmp_path: Path
) -> None:
    session = begun(tmp_path)
    spec = suggested(session, "a")
    history = fake_history([0.5] * 3)
    history[1].update(entry)
    result = {"epoch": 2, "value": 0.5, "history": history[:2], "row": fake_row(spec, 0.5, "pruned")}
    assert session.keep_going("a", result) is False
    session.result("a", result)
    session.ended("a")
    found = row_of(session, spec)
    assert (found["status"], found["error"]) == ("failed", f"what it reported cannot be written: {error}")
    assert [epoch["epoch"] for epoch in histories_in(session.writer.directory)[spec.trial_id]] == [1]
    to_the_end(session, "bcde")


def predictions(**changes: Any) -> bytes:
    columns = {
        "variant": ["unbiased", "aligned"],
        "image": ["i1", "i1"],
        "patient": [None, None],
        "label": [0, 1],
        "attribute": [0, 1],
        "predicted": [0, 1],
        "p_dog": [0.1, 0.8],
    }
    return arrow_bytes({name: value for name, value in {**columns, **changes}.items() if value is not None})


def leave(session: Session, spec: TrialSpec, content: bytes) -> None:
    """Whole, and sealed as a worker seals them: it is what they say that does not fit."""
    folder = trial_folder(session.writer.directory.folder, spec.trial_id)
    folder.write(PREDICTIONS, seal_bytes(sealed_about(folder, "predictions"), content))


def no_text() -> bytes:
    """A file whose image keys are bytes that are no UTF-8."""
    data = predictions(image=["abcdefgh", "ijklmnop"])
    assert data.count(b"abcdefgh") == 1
    return data.replace(b"abcdefgh", b"\xff" * 8)


UNREADABLE = {
    "no Arrow file": b"not an Arrow file",
    "cut": predictions()[:200],
    "nothing": b"",
    "a foreign column": predictions(secret=[1, 2]),
    "a foreign trial": predictions(trial_id=["other", "other"]),
    "a wrong type": predictions(label=["a", "b"]),
    "fractions of classes": predictions(label=[0.5, 1.0]),
    "one image twice": predictions(variant=["aligned", "aligned"]),
    "an image without a name": predictions(image=["i1", None]),
    "no images": predictions(image=None),
    "bytes that are no text": no_text(),
}


@POSTS
@pytest.mark.parametrize("kind", UNREADABLE)
def test_predictions_that_cannot_be_written_fail_their_trial_alone(kind: str, post: Any, tmp_path: Path) -> None:
    session = begun(tmp_path, post)
    for name in "ab":
        suggested(session, name)
        end(session, name)
    spec = suggested(session, "c")
    assert spec.phase == "confirm"
    assert session.writer.flush(30)
    leave(session, spec, UNREADABLE[kind])
    end(session, "c", {"test_accuracy": 0.5, "recall_dog": 0.5, "n_test": 2})
    found = row_of(session, spec)
    assert (found["status"], found["test_accuracy"], found["recall_dog"]) == ("failed", None, None)
    assert found["error"].startswith("its predictions cannot be written (") and len(found["error"]) < 400
    assert session.writer.directory.rows("predictions") == []
    # Whoever counts in this driver counts a failed trial too, as a resumed one will.
    for counting in (session, begun(tmp_path, generation=2)):
        assert [problem.split(": ", 1)[0] for problem in counting.dispatcher.problems()] == [spec.trial_id]
        assert counting.dispatcher.finished
    session.writer.queue.close()


@POSTS
@pytest.mark.parametrize("left", ["nothing", "predictions alone", "both"])
def test_a_confirm_trial_without_its_predictions_or_its_model_has_failed(
    left: str, post: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker wrote to a directory of the same name that the driver does not see."""
    monkeypatch.setattr(writer_module, "SEEN_SECONDS", 0.1)
    session = begun(tmp_path, post)
    for name in "ab":
        suggested(session, name)
        end(session, name)
    spec = suggested(session, "c")
    assert spec.keep_model and session.writer.flush(30)
    if left != "nothing":
        leave(session, spec, predictions())
    if left == "both":
        session.writer.directory.folder.child("models").write(f"{spec.trial_id}.safetensors", b"weights")
    end(session, "c", {"test_accuracy": 0.5, "n_test": 2})
    found = row_of(session, spec)
    if left == "both":
        assert (found["status"], found["test_accuracy"]) == ("completed", 0.5)
    else:
        what = "predictions" if left == "nothing" else "model"
        assert (found["status"], found["test_accuracy"]) == ("failed", None)
        assert f"its {what} did not reach {session.writer.directory.uri}/" in found["error"]
        assert [problem.split(": ", 1)[0] for problem in session.dispatcher.problems()] == [spec.trial_id]
        assert session.writer.directory.rows("predictions") == []
    session.writer.queue.close()


def test_predictions_that_are_in_order_are_written(tmp_path: Path) -> None:
    session = begun(tmp_path)
    for name in "ab":
        suggested(session, name)
        end(session, name)
    spec = suggested(session, "c")
    leave(session, spec, predictions())
    end(session, "c")
    assert row_of(session, spec)["status"] == "completed"
    assert [row["variant"] for row in session.writer.directory.rows("predictions")] == ["unbiased", "aligned"]


def test_a_resume_takes_over_a_trial_whose_checkpoint_holds_such_epochs(tmp_path: Path) -> None:
    """The driver was killed before the trial could fail: whoever resumes reads the same epochs."""
    session = begun(tmp_path)
    spec = suggested(session, "a")
    bad = [{**fake_history([0.5])[0], "val_counterfactual": "\ud800"}, {"epoch": [2]}, {"loss": 1.0}]
    file = io.BytesIO()
    torch.save({"history": bad}, file)
    write_checkpoint(trial_folder(session.writer.directory.folder, spec.trial_id), file.getvalue(), 1)
    resumed = begun(tmp_path, generation=2)
    assert suggested(resumed, "a") == spec
    end(resumed, "a", history=bad)
    assert row_of(resumed, spec)["error"].startswith("what it reported cannot be written: val_counterfactual")
    to_the_end(resumed, "bcde")


@pytest.mark.parametrize(
    "change",
    [
        {"trial_id": "\ud800"},
        {"cell": "\ud800"},
        {"cell": ["x"]},
        {"label": "\ud800"},
        {"label": 3},
        {"trial_id": None},
    ],
)
def test_a_specification_that_is_damaged_counts_as_never_issued(change: dict[str, Any], tmp_path: Path) -> None:
    session = begun(tmp_path)
    spec = suggested(session, "a")
    text = TrialSpec(**{**vars(spec), **change}).to_json()
    trial_folder(session.writer.directory.folder, spec.trial_id).write("spec.json", text.encode())
    assert session.writer.directory.open_trials() == []
    resumed = begun(tmp_path, generation=2)
    assert suggested(resumed, "a") == spec
    end(resumed, "a")
    to_the_end(resumed, "bcde")
