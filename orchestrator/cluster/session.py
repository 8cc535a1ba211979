"""State of one run of Tune: maps Ray's trials to ours and keeps what each has reported.

Tune's searcher, scheduler and callbacks (``orchestrator.cluster.tuning``) only pass their calls on to it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
from ray.tune.search import Searcher

from orchestrator.budget import Exhausted, Retries
from orchestrator.cluster.capacity import Capacity, Demand
from orchestrator.cluster.nodes import lost_its_node
from orchestrator.cluster.ray_private import actor_id_of, actor_of, last_error_of, logs_here, node_of
from orchestrator.cluster.same_code import check_loaded
from orchestrator.cluster.worker_deaths import death_of
from orchestrator.directory.fitted_rows import fitted
from orchestrator.process.log import LOG, passed_over
from orchestrator.reporting import ReportKeeper
from orchestrator.run import Run
from orchestrator.search.failures import AlikeCheck
from store.errors import InputError, Unreachable
from store.rules import objective
from trainable.spec import TrialSpec
from trainable.texts import one_line
from trainable.trial.outcome import SPEC_COLUMNS, spec_row

FINISHED = str(Searcher.FINISHED)
RECOUNT_SECONDS = 10.0
"""Seconds between two counts of the cluster's nodes."""
FEWEST_ALIKE = 3
"""Smallest number of first trials that must fail in the same way before a sweep stops.

It is one for each slot where the slots are more.
"""

Row = dict[str, Any]


class Session:
    """State that the searcher, the scheduler and the recorder share.

    Args:
        run: The run.
        demands: Resources of a trial of each method that has any left, by label.
        nodes: Gives the resources of each node, those that may still join included.
        living: Gives the resources of each node that is there; None = that is not looked at.
    """

    def __init__(
        self,
        run: Run,
        demands: Mapping[str, Demand],
        nodes: Callable[[], Iterable[Mapping[str, float]]] = tuple,
        living: Callable[[], Iterable[Mapping[str, float]]] | None = None,
    ) -> None:
        config = run.config
        self.dispatcher = run.dispatcher
        self.writer = run.writer
        self.progress = run.progress
        self.budget = run.budget
        self.demands = demands
        # A free slot takes a waiting trial at once. An adaptive sampler's would be stale: asked for before
        # the value of the trial that just ended was known.
        ahead = 1 if config.search.sampler in ("random", "qmc") else 0
        self.capacity = Capacity(nodes(), demands.values(), run.options.slots, ahead)
        self._nodes, self._living = nodes, living
        self._counted = time.monotonic()
        self.budget.start_hours(self._counted)
        self.specs: dict[str, TrialSpec] = {}
        self.histories: dict[str, dict[int, Row]] = {}
        self.last_row: dict[str, Row] = {}
        self.unfit: dict[str, str] = {}
        self.error: BaseException | None = None
        self.checkpoint_seconds = config.limits.checkpoint_seconds
        self._trial_minutes = config.limits.trial_minutes
        self.started: dict[str, tuple[float, Any]] = {}
        self.actors: dict[str, str] = {}
        self.overdue: set[str] = set()
        self.retries = Retries()
        self.lost: dict[str, int] = {}
        self.alike = AlikeCheck(max(FEWEST_ALIKE, self.capacity.slots), self.dispatcher.rows())
        self.report = ReportKeeper(self.writer.directory.uri)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Tune pickles its searcher, scheduler and callbacks into its snapshots, which nothing here ever reads back.
        return type(None), ()

    def guarded(self, work: Callable[[], Any], otherwise: Any) -> Any:
        """Run our part of a call from Ray, and keep an exception so that the sweep ends in order.

        An exception in Ray's event loop would end the whole run at once.
        """
        try:
            return work()
        except Exception as error:
            LOG.error("no more trials are started", exc_info=True)
            self.error = self.error or error
            return otherwise

    @property
    def stopping(self) -> bool:
        """True where no new trial is issued any more."""
        return self.error is not None or self.limit_reached is not None

    @property
    def limit_reached(self) -> Exhausted | None:
        """Bound that keeps the sweep from going on, or None where it goes on."""
        if self.alike.failure is not None:
            return Exhausted(
                f"{self.alike.failure}: mend what it names, then lnl-sweep resume {self.writer.directory.uri} --failed "
                "(with --set KEY=VALUE where the sweep file is wrong)"
            )
        return self.budget.exhausted(time.monotonic())

    def suggest(self, ray_id: str) -> Row | str | None:
        """Next trial as a Tune configuration, or None to be asked again, or FINISHED."""
        self.progress.update()
        # Tune asks again and again while its slots are taken: that answer must cost nothing.
        if not any(map(self.has_capacity, self.demands)):
            return None if self.specs or not self.stopping else FINISHED
        if self.stopping or self.dispatcher.finished:
            return FINISHED
        spec = self.dispatcher.next(self.has_capacity)
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
        """Use nodes that have joined since the sweep began, and notice where none that holds a trial is left."""
        now = time.monotonic()
        if now - self._counted < RECOUNT_SECONDS:
            return
        self._counted = now
        # Where the cluster cannot be asked just now, it is asked the next time.
        with passed_over("the count of the cluster's nodes"):
            if self.capacity.grow(self._nodes()):
                self.budget.use_slots(self.capacity.slots, time.monotonic())
            if self._living is not None:
                pairs = itertools.product(self.demands.values(), self._living())
                self.progress.awaits_node = not any(demand.on(node) for demand, node in pairs)

    def has_capacity(self, label: str) -> bool:
        """Tell if one more trial of this method may be issued."""
        return label in self.demands and self.capacity.takes(self.demands[label])

    def _release(self, ray_id: str) -> TrialSpec | None:
        spec = self.specs.pop(ray_id, None)
        self.actors.pop(ray_id, None)
        self.budget.trial_left(ray_id)
        if spec is not None:
            self.capacity.release(self.demands[spec.label])
        return spec

    def result(self, ray_id: str, result: Row) -> None:
        """Keep what an epoch reported.

        Raises:
            InputError: The trial reports that its worker cannot run it at all.
            Unreachable: The trial reports that the object store is unavailable.
        """
        if result.get("halt"):
            # Not a fault of the trial: it stays open, and the sweep ends in order.
            self._release(ray_id)
            raise Unreachable(str(result["halt"])) if result["away"] else InputError(str(result["halt"]))
        history = self.histories.setdefault(ray_id, {})
        history.update({entry["epoch"]: entry for entry in self._epochs(ray_id, result)})
        self.last_row[ray_id] = result["row"]

    def _epochs(self, ray_id: str, result: Row) -> list[Row]:
        """Epochs of a result that can be written.

        An epoch that cannot be written fails the trial.
        """
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
        """Report a trial's epochs to its cell's rungs, and tell if the trial goes on.

        Every epoch counts, also those of an earlier attempt. The values are those of the history, from which a resumed
        sweep rebuilds its rungs: the two must agree.
        """
        spec, going = self.specs[ray_id], True
        for entry in self._epochs(ray_id, result):
            going = self.dispatcher.report(spec, entry["epoch"], objective(spec.rule, entry))
        return going and ray_id not in self.unfit

    def start(self, trial: Any) -> None:
        """Start a trial's clock."""
        now = time.monotonic()
        self.started[trial.trial_id] = (now, trial)
        actor = actor_id_of(trial)
        if actor is not None:
            self.actors[trial.trial_id] = actor
        if trial.trial_id in self.specs:
            self.budget.trial_started(trial.trial_id, now)
            self.writer.start(self.specs[trial.trial_id].trial_id)

    def process_lost(self, trial: Any) -> None:
        """Start a trial anew whose process is gone, unless that has happened too often or the trial took too long."""
        self.started.pop(trial.trial_id, None)
        spec = self.specs.get(trial.trial_id)
        if spec is None:
            return
        error, overdue = last_error_of(trial), trial.trial_id in self.overdue
        try:
            check_loaded(error, node_of(self.actors.get(trial.trial_id)))
        except InputError:
            # Not a fault of the trial: it stays open.
            self._release(trial.trial_id)
            raise
        if not overdue and lost_its_node(self.actors.get(trial.trial_id), error):
            # No error of the trial: it costs no retry.
            self.lost[spec.trial_id] = self.lost.get(spec.trial_id, 0) + 1
            self.writer.lose(spec.trial_id, self.lost[spec.trial_id])
        else:
            death = "" if error is None else death_of(error, logs_here())
            given_up = self.retries.died(spec.trial_id, spec.label, death)
            if overdue or given_up:
                died = self.retries.deaths(spec.trial_id)
                self.ended(trial.trial_id, died, self.reason(trial.trial_id, died, death))
                return
        self.histories.pop(trial.trial_id, None)
        self.last_row.pop(trial.trial_id, None)
        self.unfit.pop(trial.trial_id, None)
        self._release(trial.trial_id)
        self.dispatcher.requeue(spec)

    def end_overdue(self) -> None:
        """End trials that took longer than ``limits.trial_minutes``.

        A trial that hangs never ends by itself.
        """
        if self._trial_minutes is None:
            return
        now = time.monotonic()
        for started, trial in list(self.started.values()):
            actor = actor_of(trial) if self.budget.is_overdue(started, now) else None
            if actor is None:
                continue
            del self.started[trial.trial_id]
            self.overdue.add(trial.trial_id)
            ray.kill(actor)

    def reason(self, ray_id: str, died: int, death: str) -> str:
        """Reason in words why a trial's process is gone."""
        if ray_id in self.overdue:
            return f"took longer than limits.trial_minutes = {self._trial_minutes:g}"
        return f"the worker process died {died} time{'s' if died > 1 else ''} ({death or 'unknown reason'})"

    def ended(self, ray_id: str, attempts: int | None = None, error: str | None = None) -> None:
        """Write the row of a trial that ended.

        Args:
            ray_id: Ray's identifier of the trial.
            attempts: Times the trial was started; by default one more than its process died.
            error: Reason why it failed; None = what the trial itself reported.
        """
        self.started.pop(ray_id, None)
        spec = self._release(ray_id)
        if spec is None:
            return
        history = [entry for _, entry in sorted(self.histories.pop(ray_id, {}).items())]
        cell = self.dispatcher.cell(spec.cell)
        last = self.last_row.pop(ray_id, None)
        reported = {
            **(last or spec_row(spec, "failed", error)),
            # Of the specification, not of the trial's report: by these columns the trial is found again.
            **{name: getattr(spec, name) for name in SPEC_COLUMNS},
            "bias_axis": cell.bias_axis,
            "bias_value": cell.bias_value,
            "bias_strength": cell.bias_strength,
            "attempts": attempts or 1 + self.retries.deaths(spec.trial_id),
            "preemptions": self.writer.preemptions(spec.trial_id),
            "gpu_share": self.demands[spec.label].gpu,
            "ray_version": ray.__version__,
        }
        if last is not None and error is None:
            self.retries.trained(spec.label)
        row, problems = fitted("trials", reported)
        unfit = self.unfit.pop(ray_id, None) or next(iter(problems), None)
        if error is None and unfit is not None and row["status"] != "failed":
            error = f"what it reported cannot be written: {unfit}"
        if error is not None:
            row.update(status="failed", error=one_line(error))
        self.writer.finish(row, history, model=spec.keep_model)
        if row["status"] == "failed":
            LOG.info("%s failed: %s", row["trial_id"], row["error"])
        done = self.dispatcher.record(row, history) or self.dispatcher.cell_is_done(spec.cell)
        if done:
            self.writer.compact(spec.cell)
        self.alike.ended(row)
        self.budget.trial_ended(row)
        self.progress.update()
        self.report.ended(cell=done)
