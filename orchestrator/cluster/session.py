"""What one run of Tune knows: which of Ray's trials is which of ours, what each has told, what its loss costs.

Tune's searcher, scheduler and callbacks (``orchestrator.cluster.tuning``) only hand their questions on to it.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.tune.search import Searcher

from orchestrator.cluster.capacity import Capacity, Demand
from orchestrator.cluster.nodes import LOGGER, logs_here, lost_its_node, node_of
from orchestrator.cluster.same_code import check_loaded
from orchestrator.cluster.worker_deaths import death_of
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.directory.fitted_rows import fitted
from orchestrator.directory.writer import Writer
from orchestrator.progress import Progress
from orchestrator.reporting import ReportKeeper
from orchestrator.search.dispatch import Dispatcher
from orchestrator.search.failures import AlikeCheck
from store.errors import InputError, Unreachable
from store.rules import objective
from trainable.spec import TrialSpec
from trainable.texts import one_line
from trainable.trial.outcome import SPEC_COLUMNS, spec_row

FINISHED = str(Searcher.FINISHED)
RECOUNT_SECONDS = 10.0
"""How often the nodes of the cluster are counted."""
MAX_FAILURES = 2
"""Times a trial whose process died is started again before it counts as failed."""
FEWEST_ALIKE = 3
"""Trials after which a sweep stops whose first ones all fail alike; one for each slot where those are more."""

_log = logging.getLogger(LOGGER)

Row = dict[str, Any]


class Session:
    """What the searcher, the scheduler and the recorder share."""

    def __init__(
        self,
        config: SweepConfig,
        dispatcher: Dispatcher,
        writer: Writer,
        progress: Progress,
        demands: Mapping[str, Demand],
        nodes: Callable[[], Iterable[Mapping[str, float]]] = tuple,
        slots: int | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.writer = writer
        self.progress = progress
        self.demands = demands
        # A slot that falls free takes a waiting trial at once. An adaptive sampler's would be stale: asked for before
        # the trial that just ended had told its value.
        ahead = 1 if config.search.sampler in ("random", "qmc") else 0
        self.capacity = Capacity(nodes(), demands.values(), slots, ahead)
        self._nodes = nodes
        self._counted = time.monotonic()
        self.specs: dict[str, TrialSpec] = {}
        self.histories: dict[str, dict[int, Row]] = {}
        self.last_row: dict[str, Row] = {}
        self.unfit: dict[str, str] = {}
        self.error: BaseException | None = None
        self.checkpoint_seconds = config.limits.checkpoint_seconds
        hours = config.limits.max_hours
        minutes = config.limits.trial_minutes
        self.limit = None if minutes is None else 60 * minutes
        self.started: dict[str, tuple[float, Any]] = {}
        self.actors: dict[str, str] = {}
        self.overdue: set[str] = set()
        self.deaths: dict[str, int] = {}
        self.fatal: set[tuple[str, str]] = set()
        self.same_deaths: Counter[tuple[str, str]] = Counter()
        self.lost: dict[str, int] = {}
        self.deadline = None if hours is None else time.monotonic() + 3600 * hours
        self.max_cost = config.limits.max_cost
        self.alike = AlikeCheck(max(FEWEST_ALIKE, self.capacity.slots), dispatcher.rows())
        self.report = ReportKeeper(writer.directory.uri)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Tune pickles its searcher, scheduler and callbacks into its snapshots, which nothing here ever reads back.
        return type(None), ()

    def guarded(self, work: Callable[[], Any], otherwise: Any) -> Any:
        """Run our part of a call from Ray: an exception must end the sweep in order, not in Ray's event loop."""
        try:
            return work()
        except Exception as error:
            self.error = self.error or error
            return otherwise

    @property
    def stopping(self) -> bool:
        """No new trial is issued any more."""
        return self.error is not None or self.limit_reached is not None

    @property
    def limit_reached(self) -> str | None:
        """Which of the sweep's bounds keeps it from going on, in words."""
        if self.alike.error is not None:
            return (
                f"{self.alike.error}: mend what it names, then lnl-sweep resume {self.writer.directory.uri} --failed "
                "(with --set KEY=VALUE where the sweep file is wrong)"
            )
        if self.deadline is not None and time.monotonic() > self.deadline:
            return "limits.max_hours is over"
        if self.max_cost is None:
            return None
        cost = self.progress.cost
        if cost is None:
            # The bound is a promise.
            return "limits.max_cost counts as spent, since the table of prices lacks a GPU that was used"
        return f"limits.max_cost = {self.max_cost:g} is spent" if cost >= self.max_cost else None

    def suggest(self, ray_id: str) -> Row | str | None:
        """The next trial as a Tune configuration, None to be asked again, or FINISHED."""
        self.progress.update()
        # Tune asks again and again while its slots are taken: that answer must cost nothing.
        if not any(map(self.has_place, self.demands)):
            return None if self.specs or not self.stopping else FINISHED
        if self.stopping or self.dispatcher.finished:
            return FINISHED
        spec = self.dispatcher.next(self.has_place)
        if spec is None:
            return None if self.specs else FINISHED
        self.writer.issue(spec)
        self.specs[ray_id] = spec
        demand = self.demands[spec.label]
        self.capacity.issue(demand)
        return {
            "spec": spec.to_json(),
            "dir": self.writer.directory.uri,
            "sweep": self.writer.sweep,
            "cpu": demand.cpu,
            "gpu": demand.gpu,
            "checkpoint_seconds": self.checkpoint_seconds,
            "rungs": list(self.dispatcher.rung_epochs(spec)),
        }

    def look_for_nodes(self) -> None:
        """Use nodes that have joined since the sweep began."""
        now = time.monotonic()
        if now - self._counted < RECOUNT_SECONDS:
            return
        self._counted = now
        # Where the cluster cannot be asked just now, it is asked the next time.
        with contextlib.suppress(Exception):
            if self.capacity.grow(self._nodes()):
                self.progress.grow(self.capacity.slots)

    def has_place(self, label: str) -> bool:
        """One more trial of this method may be issued."""
        return label in self.demands and self.capacity.takes(self.demands[label])

    def _leave(self, ray_id: str) -> TrialSpec | None:
        spec = self.specs.pop(ray_id, None)
        self.actors.pop(ray_id, None)
        self.progress.trial_left(ray_id)
        if spec is not None:
            self.capacity.release(self.demands[spec.label])
        return spec

    def result(self, ray_id: str, result: Row) -> None:
        """Keep what an epoch reported."""
        if result.get("halt"):
            # Not a fault of the trial: it stays open, and the sweep ends in order.
            self._leave(ray_id)
            raise Unreachable(str(result["halt"])) if result["away"] else InputError(str(result["halt"]))
        history = self.histories.setdefault(ray_id, {})
        history.update({entry["epoch"]: entry for entry in self._epochs(ray_id, result)})
        self.last_row[ray_id] = result["row"]

    def _epochs(self, ray_id: str, result: Row) -> list[Row]:
        """The epochs of a result that can be written; one that cannot fails the trial."""
        epochs = []
        for reported in result["history"]:
            entry, problems = fitted("history", reported)
            if entry.get("epoch") is None:
                problems.append("an epoch has no number")
            if problems:
                self.unfit.setdefault(ray_id, problems[0])
            else:
                epochs.append(entry)
        return epochs

    def keep_going(self, ray_id: str, result: Row) -> bool:
        """Ask the cell's rungs; every epoch counts, also those of an earlier attempt.

        The values are those of the history, from which a resumed sweep rebuilds its rungs: the two must agree.
        """
        spec, going = self.specs[ray_id], True
        for entry in self._epochs(ray_id, result):
            going = self.dispatcher.report(spec, entry["epoch"], objective(spec.rule, entry))
        return going and ray_id not in self.unfit

    def start(self, trial: Any) -> None:
        """Start a trial's clock."""
        self.started[trial.trial_id] = (time.monotonic(), trial)
        with contextlib.suppress(AttributeError):
            self.actors[trial.trial_id] = trial.temporary_state.ray_actor._actor_id.hex()
        if trial.trial_id in self.specs:
            self.progress.trial_started(trial.trial_id)
            self.writer.start(self.specs[trial.trial_id].trial_id)

    def process_lost(self, trial: Any) -> None:
        """A trial's process is gone: the trial starts anew, unless that has happened too often or it took too long."""
        self.started.pop(trial.trial_id, None)
        spec = self.specs.get(trial.trial_id)
        if spec is None:
            return
        error, overdue = _last_error(trial), trial.trial_id in self.overdue
        try:
            check_loaded(error, node_of(self.actors.get(trial.trial_id)))
        except InputError:
            # Not a fault of the trial: it stays open.
            self._leave(trial.trial_id)
            raise
        if not overdue and lost_its_node(self.actors.get(trial.trial_id), error):
            # No error of the trial: it costs no retry.
            self.lost[spec.trial_id] = self.lost.get(spec.trial_id, 0) + 1
            self.writer.lose(spec.trial_id, self.lost[spec.trial_id])
        else:
            self.deaths[spec.trial_id] = self.deaths.get(spec.trial_id, 0) + 1
        died = self.deaths.get(spec.trial_id, 0)
        # Each start costs an import of torch: of a method whose trials die alike every time, one start is enough.
        fatal = (spec.label, "" if error is None else _kind(death_of(error, logs_here())))
        if died:
            self.same_deaths[fatal] += 1
        # One death may be of what ran beside it, so that a trial is started once more even where others died alike.
        if died > MAX_FAILURES or (died > 1 and self.same_deaths[fatal] > MAX_FAILURES + 1):
            self.fatal.add(fatal)
        if overdue or died > MAX_FAILURES or (died and fatal in self.fatal):
            self.ended(trial.trial_id, died, self.reason(trial.trial_id, died, error))
            return
        self.histories.pop(trial.trial_id, None)
        self.last_row.pop(trial.trial_id, None)
        self.unfit.pop(trial.trial_id, None)
        self._leave(trial.trial_id)
        self.dispatcher.again(spec)

    def end_overdue(self) -> None:
        """End trials that took longer than ``limits.trial_minutes``: a trial that hangs never ends by itself."""
        if self.limit is None:
            return
        now = time.monotonic()
        for begun, trial in list(self.started.values()):
            actor = trial.temporary_state.ray_actor
            if actor is None or now - begun < self.limit:
                continue
            del self.started[trial.trial_id]
            self.overdue.add(trial.trial_id)
            ray.kill(actor)

    def reason(self, ray_id: str, died: int, error: BaseException | None) -> str:
        """Why a trial's process is gone, in words."""
        if ray_id in self.overdue:
            assert self.limit is not None
            return f"took longer than limits.trial_minutes = {self.limit / 60:g}"
        cause = "unknown reason" if error is None else death_of(error, logs_here())
        return f"the worker process died {died} time{'s' if died > 1 else ''} ({cause})"

    def ended(self, ray_id: str, attempts: int | None = None, error: str | None = None) -> None:
        """Write the row of a trial that ended; by default it was started once more than its process died."""
        self.started.pop(ray_id, None)
        spec = self._leave(ray_id)
        if spec is None:
            return
        history = [entry for _, entry in sorted(self.histories.pop(ray_id, {}).items())]
        cell = self.dispatcher.cell(spec.cell)
        last = self.last_row.pop(ray_id, None)
        reported = {
            **(last or spec_row(spec, "failed", error)),
            # By these the trial is found again.
            **{name: getattr(spec, name) for name in SPEC_COLUMNS},
            "bias_axis": cell.bias_axis,
            "bias_value": cell.bias_value,
            "bias_strength": cell.bias_strength,
            "attempts": attempts or 1 + self.deaths.get(spec.trial_id, 0),
            "preemptions": self.writer.preemptions(spec.trial_id),
            "gpu_share": self.demands[spec.label].gpu,
            "ray_version": ray.__version__,
        }
        if last is not None and error is None:
            # A process of this method can train a trial to its end.
            self.fatal = {pair for pair in self.fatal if pair[0] != spec.label}
            self.same_deaths = Counter({pair: n for pair, n in self.same_deaths.items() if pair[0] != spec.label})
        row, problems = fitted("trials", reported)
        unfit = self.unfit.pop(ray_id, None) or next(iter(problems), None)
        if error is None and unfit is not None and row["status"] != "failed":
            error = f"what it reported cannot be written: {unfit}"
        if error is not None:
            row.update(status="failed", error=one_line(error))
        self.writer.finish(row, history, model=spec.keep_model)
        if row["status"] == "failed":
            _log.info("%s failed: %s", row["trial_id"], row["error"])
        done = self.dispatcher.record(row, history) or self.dispatcher.cell_is_done(spec.cell)
        if done:
            self.writer.compact(spec.cell)
        self.alike.ended(row)
        self.progress.trial_ended(row)
        self.report.ended(cell=done)


def _kind(death: str) -> str:
    return re.sub(r"\d+", "#", death)


def _last_error(trial: Any) -> BaseException | None:
    # Tune's own ``get_error`` gives the text of all errors so far, and nothing of what they were.
    with contextlib.suppress(Exception):
        error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
        return error if isinstance(error, BaseException) else None
    return None
