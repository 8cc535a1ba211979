"""What Ray Tune's searcher, scheduler and recorder share, driven by hand: no cluster, no training."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle, tune
from ray.exceptions import RayActorError
from ray.tune.search import Searcher
from rich.console import Console

from orchestrator.cluster import session as session_module
from orchestrator.cluster.nodes import demands_of
from orchestrator.cluster.same_code import compared
from orchestrator.cluster.session import Session
from orchestrator.cluster.tuning import Recorder, _resources
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.directory.lease import Lease, LeaseLost
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.writer import Writer
from orchestrator.interruption import Interruption
from orchestrator.progress import Progress
from orchestrator.run import Options, Run
from store.errors import InputError, Unreachable
from tests.orchestrator.support import dispatcher_for, fake_history, fake_row, histories_in, sweep_config
from trainable.spec import TrialSpec
from trainable.tune_trainable import SweepTrainable

EPOCHS = 6
ERRORS = tempfile.TemporaryDirectory(prefix="lnl-errors-")


def stopping_config(**changes: Any) -> SweepConfig:
    return sweep_config(
        **{
            "dataset": {"name": "fake", "bias": {"rho": [1.0]}},
            "methods": ["erm"],
            "search": {"trials": 3, "early_stopping": {"min_epochs": 2, "reduction_factor": 2}},
            "confirm": {"seeds": 1},
            "training": {"epochs": EPOCHS},
            **changes,
        }
    )


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    found = SweepDirectory(str(tmp_path / "sweep"))
    found.folder.write("sweep.yaml", b"name: fake\n")
    return found


def run_of(directory: SweepDirectory, config: SweepConfig, slots: int | None = None) -> Run:
    dispatcher = dispatcher_for(config)
    writer = Writer(directory, Lease(directory.folder, "abcd1234", 1))
    return Run(dispatcher, writer, Progress(dispatcher, Console(file=io.StringIO())), Options(slots=slots))


def make_session(directory: SweepDirectory, config: SweepConfig, slots: int = 2) -> Session:
    return Session(run_of(directory, config, slots), demands_of(config, []))


@pytest.fixture
def session(directory: SweepDirectory) -> Session:
    return make_session(directory, stopping_config())


def suggested(session: Session, ray_id: str) -> TrialSpec:
    found = session.suggest(ray_id)
    assert isinstance(found, dict)
    return TrialSpec.from_json(found["spec"])


def tell(session: Session, ray_id: str, values: list[float], told: int = 0) -> bool:
    """Report the epochs after the first ``told`` ones, as a worker does; is the trial to go on?"""
    spec = session.specs[ray_id]
    row = fake_row(spec, values[-1], "pruned")
    result = {"epoch": len(values), "value": values[-1], "history": fake_history(values)[told:], "row": row}
    going = session.keep_going(ray_id, result)
    session.result(ray_id, result)
    return going


def end(session: Session, ray_id: str, values: list[float]) -> None:
    spec = session.specs[ray_id]
    result = {"epoch": EPOCHS, "value": values[-1], "history": fake_history(values), "row": fake_row(spec, values[-1])}
    session.result(ray_id, result)
    session.ended(ray_id)


def test_a_suggestion_is_marked_as_issued_and_says_where_its_directory_is(
    session: Session, directory: SweepDirectory
) -> None:
    found = session.suggest("a")
    assert isinstance(found, dict)
    spec = TrialSpec.from_json(found["spec"])
    assert directory.open_trials() == [spec]
    assert (found["dir"], found["rungs"], found["checkpoint_seconds"]) == (directory.uri, [2, 4], 60.0)


@pytest.mark.parametrize(("sampler", "most"), [("tpe", 2), ("qmc", 3), ("random", 3)])
def test_open_trials_are_limited_to_the_slots_and_one_that_waits_where_the_sampler_does_not_learn(
    directory: SweepDirectory, sampler: str, most: int
) -> None:
    session = make_session(directory, stopping_config(search={"trials": 6, "sampler": sampler}), slots=2)
    names = ["a", "b", "c"][:most]
    for name in names:
        suggested(session, name)
    assert session.suggest("d") is None
    end(session, "a", [0.5] * EPOCHS)
    suggested(session, "d")
    assert session.suggest("e") is None and len(session.specs) == most


def test_nodes_that_join_take_trials_and_a_cluster_that_does_not_answer_ends_nothing(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, nodes = stopping_config(), [{"CPU": 1.0}]
    answers = iter([nodes, OSError("no answer"), [{"CPU": 1.0}, {"CPU": 1.0}], nodes])

    def ask() -> list[dict[str, float]]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    session = Session(run_of(directory, config), demands_of(config, nodes), ask)
    monkeypatch.setattr(session_module, "RECOUNT_SECONDS", 0.0)
    recorder = Recorder(session)
    # One runs, one waits.
    assert session.suggest("a") and session.suggest("b") and not session.has_capacity("erm")
    for slots in (1, 2, 2):
        recorder.on_step_begin(0, [])
        assert session.error is None and session.capacity.slots == slots
        assert session.has_capacity("erm") == (slots == 2)
    assert session.progress.snapshot()["slots"] == 2


def test_it_is_said_when_no_node_that_is_left_can_run_a_trial(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, nodes = stopping_config(), [{"CPU": 1.0}]
    living = iter([[{"CPU": 0.0}, {"CPU": 1.0}], [{"CPU": 0.0}], [], nodes])
    session = Session(run_of(directory, config), demands_of(config, nodes), lambda: nodes, lambda: next(living))
    monkeypatch.setattr(session_module, "RECOUNT_SECONDS", 0.0)
    for waits in (False, True, True, False):
        session.look_for_nodes()
        assert session.progress.snapshot()["awaits_node"] is waits


def test_a_method_that_fits_on_no_node_keeps_no_other_from_its_end(directory: SweepDirectory) -> None:
    config = stopping_config(methods=["erm", {"name": "lnl", "resources": {"gpu": 1}}], training={"epochs": EPOCHS})
    nodes = [{"CPU": 1.0}]
    session = Session(run_of(directory, config), demands_of(config, nodes), lambda: nodes)
    labels = []
    for name in "abcdefgh":
        if session.suggest(name) is None:
            break
        labels.append(session.specs[name].label)
        if labels[-1] == "erm":
            end(session, name, [0.5] * EPOCHS)
    assert sorted(labels) == ["erm"] * 4 + ["lnl"]
    # The one that is left waits for a node to come.
    assert session.suggest("z") is None and len(session.specs) == 1


def test_while_a_cell_waits_for_its_search_the_searcher_waits(session: Session) -> None:
    for name in ("a", "b"):
        suggested(session, name)
    end(session, "a", [0.5] * EPOCHS)
    suggested(session, "c")
    end(session, "b", [0.5] * EPOCHS)
    assert session.suggest("d") is None
    end(session, "c", [0.5] * EPOCHS)
    assert suggested(session, "d").phase == "confirm"
    end(session, "d", [0.5] * EPOCHS)
    assert session.suggest("e") == Searcher.FINISHED


def test_a_finished_trial_has_its_row_and_its_cell(session: Session, directory: SweepDirectory) -> None:
    spec = suggested(session, "a")
    end(session, "a", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    (row,) = directory.rows("trials")
    assert (row["trial_id"], row["status"], row["bias_axis"], row["bias_value"]) == (
        spec.trial_id, "completed", "rho", 1.0,
    )  # fmt: skip
    assert (row["attempts"], row["preemptions"]) == (1, 0)
    assert [entry["val_biased"] for entry in histories_in(directory)[spec.trial_id]] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert directory.open_trials() == []


def test_a_trial_that_the_rungs_stop_is_pruned(session: Session, directory: SweepDirectory) -> None:
    suggested(session, "a")
    suggested(session, "b")
    assert tell(session, "a", [0.1]) and tell(session, "a", [0.1, 0.9], told=1)
    assert tell(session, "b", [0.1])
    assert not tell(session, "b", [0.1, 0.2], told=1)
    session.ended("b")
    (row,) = directory.rows("trials")
    assert (row["status"], row["val_biased"]) == ("pruned", 0.2)


def test_the_epochs_of_an_earlier_attempt_stand_in_the_rungs(session: Session) -> None:
    suggested(session, "a")
    suggested(session, "b")
    # A resumed worker starts at its checkpoint and reports the epochs before it at once.
    assert tell(session, "a", [0.5, 0.9, 0.9])
    assert not tell(session, "b", [0.5, 0.2])


def test_an_epoch_that_is_reported_twice_is_kept_once(session: Session, directory: SweepDirectory) -> None:
    spec = suggested(session, "a")
    tell(session, "a", [0.1, 0.2, 0.3])
    tell(session, "a", [0.1, 0.2, 0.3, 0.4])
    end(session, "a", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert [entry["epoch"] for entry in histories_in(directory)[spec.trial_id]] == [1, 2, 3, 4, 5, 6]


@dataclass
class RayTrial:
    """As much of a Tune trial as the recorder asks for."""

    trial_id: str
    error: Exception | None = None

    @property
    def pickled_error_file(self) -> str | None:
        if self.error is None:
            return None
        place = Path(ERRORS.name, self.trial_id)
        place.write_bytes(pickle.dumps(self.error))
        return str(place)


def node_lost() -> Exception:
    return RayActorError(error_msg="The actor is dead because its node has died. Node Id: 0")


def process_dies(session: Session, name: str, error: Exception | None = None) -> None:
    Recorder(session).on_trial_error(0, [], RayTrial(name, error or RayActorError()))


def test_a_trial_whose_process_died_starts_anew_at_once_and_counts_both_attempts(
    session: Session, directory: SweepDirectory
) -> None:
    spec = suggested(session, "a")
    tell(session, "a", [0.5])
    process_dies(session, "a")
    assert directory.rows("trials") == [] and directory.open_trials() == [spec]
    assert suggested(session, "b") == spec
    end(session, "b", [0.5] * EPOCHS)
    (row,) = directory.rows("trials")
    assert (row["status"], row["attempts"], row["preemptions"]) == ("completed", 2, 0)


def test_a_death_that_is_reported_twice_counts_once(session: Session, directory: SweepDirectory) -> None:
    spec = suggested(session, "a")
    process_dies(session, "a")
    process_dies(session, "a")
    assert suggested(session, "b") == spec
    assert suggested(session, "c") != spec
    end(session, "b", [0.5] * EPOCHS)
    (row,) = directory.rows("trials")
    assert row["attempts"] == 2


def test_a_trial_whose_process_died_too_often_is_a_failed_row_with_the_reason(
    session: Session, directory: SweepDirectory
) -> None:
    for name in ("a", "b", "c"):
        spec = suggested(session, name)
        process_dies(session, name, MemoryError())
    (row,) = directory.rows("trials")
    assert (row["trial_id"], row["status"], row["attempts"]) == (spec.trial_id, "failed", 3)
    assert row["error"] == "the worker process died 3 times (MemoryError)"
    assert suggested(session, "d") != spec


def deaths_of(session: Session, name: str, error: Exception) -> int:
    """Let the process of a trial die until the trial is given up; returns how often it was started."""
    spec, starts = suggested(session, f"{name}0"), 1
    process_dies(session, f"{name}0", error)
    while any(waiting == spec for waiting in session.dispatcher._waiting):
        assert suggested(session, f"{name}{starts}") == spec
        process_dies(session, f"{name}{starts}", error)
        starts += 1
    return starts


def test_a_method_whose_processes_die_alike_each_time_is_started_once_a_trial(directory: SweepDirectory) -> None:
    session = make_session(directory, stopping_config(search={"trials": 9}), slots=9)
    assert [deaths_of(session, name, MemoryError(f"{i} bytes")) for i, name in enumerate("abc")] == [3, 1, 1]
    assert {row["attempts"] for row in directory.rows("trials")} == {1, 3}
    # Three failed alike, but as many as there are slots must.
    assert session.limit_reached is None
    # Another death is no reason to give up; nor is the same one, once a process has trained a trial to its end.
    assert deaths_of(session, "d", OSError("gone")) == 3
    suggested(session, "e")
    end(session, "e", [0.5] * EPOCHS)
    assert deaths_of(session, "f", MemoryError("5 bytes")) == 3


def test_trials_that_die_alike_side_by_side_are_started_once_more(directory: SweepDirectory) -> None:
    session = make_session(directory, stopping_config(search={"trials": 9}), slots=9)
    for turn in "12":
        for name in "abc":
            suggested(session, f"{name}{turn}")
        for name in "abc":
            process_dies(session, f"{name}{turn}", MemoryError())
    assert [row["attempts"] for row in directory.rows("trials")] == [2, 2, 2]
    assert deaths_of(session, "d", MemoryError()) == 1


def test_what_one_method_dies_of_is_no_reason_to_give_up_another(directory: SweepDirectory) -> None:
    session = make_session(directory, stopping_config(methods=["erm", "lnl"]), slots=9)
    starts: dict[str, list[str]] = {}
    for name in "abcdefgh":
        spec = suggested(session, name)
        starts.setdefault(spec.trial_id, []).append(spec.label)
        process_dies(session, name, MemoryError())
    assert list(starts.values()) == [["erm"] * 3, ["lnl"] * 3, ["erm"], ["lnl"]]


def test_lost_nodes_cost_no_retry_and_are_counted_as_preemptions(session: Session, directory: SweepDirectory) -> None:
    for name in ("a", "b", "c", "d"):
        spec = suggested(session, name)
        process_dies(session, name, node_lost())
    assert suggested(session, "e") == spec
    end(session, "e", [0.5] * EPOCHS)
    (row,) = directory.rows("trials")
    assert (row["status"], row["attempts"], row["preemptions"]) == ("completed", 1, 4)


def test_a_worker_that_cannot_load_our_code_ends_the_sweep_and_blames_no_trial(
    session: Session, directory: SweepDirectory
) -> None:
    spec = suggested(session, "a")
    said = "The actor with name Sweep_1 failed to import on the worker.\nModuleNotFoundError: No module named 'x'"
    process_dies(session, "a", RayActorError(error_msg=said))
    assert isinstance(session.error, InputError) and "No module named 'x'" in str(session.error)
    assert session.suggest("b") == Searcher.FINISHED
    assert directory.rows("trials") == [] and directory.open_trials() == [spec]


def test_a_trial_that_is_not_ours_any_more_is_left_alone(session: Session, directory: SweepDirectory) -> None:
    session.ended("unknown")
    assert directory.rows("trials") == []


def test_a_cell_is_compacted_when_its_search_has_ended_and_when_it_is_done(
    session: Session, directory: SweepDirectory
) -> None:
    counts = []
    for name in ("a", "b", "c", "d"):
        suggested(session, name)
        end(session, name, [0.5] * EPOCHS)
        counts.append(len(directory.folder.child("trials").names()))
    assert counts == [1, 2, 1, 1]


def test_an_exception_ends_the_sweep_in_order(session: Session) -> None:
    def lost() -> None:
        raise LeaseLost("taken over")

    suggested(session, "a")
    assert session.guarded(lost, "otherwise") == "otherwise"
    assert isinstance(session.error, LeaseLost)
    assert session.suggest("b") == Searcher.FINISHED


def test_after_its_time_no_trial_is_issued(directory: SweepDirectory) -> None:
    session = make_session(directory, stopping_config(limits={"max_hours": 1e-13}))
    assert session.suggest("a") == Searcher.FINISHED
    assert str(session.limit_reached) == "limits.max_hours is over"


def test_once_it_has_cost_its_bound_no_trial_is_issued(directory: SweepDirectory) -> None:
    session = make_session(directory, stopping_config(limits={"max_cost": 0.15}, search={"trials": 9}), slots=1)
    costs = []
    for name in ("a", "b"):
        spec = suggested(session, name)
        # Two hours on one CPU thread.
        row = {**fake_row(spec, 0.5), "train_seconds": 7200.0}
        session.result(name, {"epoch": EPOCHS, "value": 0.5, "history": fake_history([0.5] * EPOCHS), "row": row})
        session.ended(name)
        costs.append(session.budget.cost)
    assert costs == pytest.approx([0.096, 0.192])
    assert session.suggest("c") == Searcher.FINISHED and len(directory.rows("trials")) == 2
    assert str(session.limit_reached) == "limits.max_cost = 0.15 is spent"


def test_a_cost_that_nobody_knows_counts_as_too_much(directory: SweepDirectory) -> None:
    session = make_session(directory, stopping_config(limits={"max_cost": 1e6}), slots=1)
    session.budget.trial_ended({"train_seconds": 1.0, "gpu_share": 1.0, "device_name": "a card without a price"})
    assert "the table of prices lacks a GPU" in str(session.limit_reached)
    assert session.suggest("a") == Searcher.FINISHED


def test_a_signal_that_was_lost_ends_the_next_step(session: Session) -> None:
    interruption = Interruption()
    recorder = Recorder(session, interruption)
    with interruption.heard(), contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        recorder.on_step_begin(1, [])


def test_a_driver_that_was_superseded_ends_at_the_next_step(session: Session) -> None:
    recorder = Recorder(session)
    session.error = InputError("the disk is full")
    # What runs may end: its rows are wanted.
    recorder.on_step_begin(1, [])
    session.error = LeaseLost("taken over")
    with pytest.raises(LeaseLost):
        recorder.on_step_begin(2, [])


@pytest.mark.parametrize(("away", "kind"), [(True, Unreachable), (False, InputError)])
def test_a_trial_that_cannot_reach_the_directory_ends_the_sweep_with_the_right_word(
    away: bool, kind: type[Exception], session: Session, directory: SweepDirectory
) -> None:
    suggested(session, "a")
    result = {"epoch": 0, "history": [], "row": None, "halt": "no answer", "away": away, "done": True}
    session.guarded(lambda: session.result("a", result), None)
    assert type(session.error) is kind and str(session.error) == "no answer"
    assert directory.rows("trials") == [] and len(directory.open_trials()) == 1


def test_ray_pickles_nothing_of_it(session: Session) -> None:
    assert pickle.loads(pickle.dumps(session)) is None


def test_a_suggestion_is_plain_data(session: Session) -> None:
    json.dumps(session.suggest("a"))


def test_what_a_worker_is_sent_imports_none_of_the_drivers_modules(tmp_path: Path) -> None:
    sent = tune.with_resources(compared(SweepTrainable, "Sweep_1", {}), _resources())
    (tmp_path / "sent").write_bytes(cloudpickle.dumps(sent))
    script = (
        "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'));"
        "print(sorted({'optuna', 'orchestrator', 'torch'} & sys.modules.keys()), 'trainable' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "sent")],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=240,
    )  # fmt: skip
    assert done.stdout == "[] True\n", done.stderr


@pytest.mark.parametrize(("gpu", "bundle"), [(0, {"CPU": 2.0}), (0.25, {"CPU": 2.0, "GPU": 0.25})])
def test_a_trial_takes_its_share_of_a_card(gpu: float, bundle: dict[str, float]) -> None:
    assert _resources()({"cpu": 2, "gpu": gpu}).bundles == [bundle]
