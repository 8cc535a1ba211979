"""Run of a sweep: reads what the directory holds, and trains what is missing."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.cluster.address import check_cluster, check_form
from orchestrator.cluster.fits import check_fits
from orchestrator.config.loggers import check_folder
from orchestrator.config.own_code import check_files, files_that_may_move, plugins_of, settled
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import validate
from orchestrator.directory.begin_anew import begin_anew, changes_if_new
from orchestrator.directory.companions import write_samples, write_splits
from orchestrator.directory.damage import Survey, set_aside, survey
from orchestrator.directory.declaration import declaration_of, next_declaration, now
from orchestrator.directory.journal import write_journal
from orchestrator.directory.lease import LeaseLost, acquire
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.remaining import remaining
from orchestrator.directory.sheet import SWEEP_FILE, configuration_of, read_sheet, sweep_sheet
from orchestrator.directory.writer import Writer
from orchestrator.plan.applicable import places_in_words
from orchestrator.plan.cells import Cell, choose_cells
from orchestrator.plan.continuation import changed_numbers, check_config, check_provenance
from orchestrator.plan.identity import search_seed
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.prices import read_prices
from orchestrator.process.home import ensure_home
from orchestrator.process.log import LOG, LOG_FILE, LogFile, passed_over, sweep_log
from orchestrator.process.temporary import TemporaryFolder
from orchestrator.progress import Progress, StatusFile
from orchestrator.run import Options, Run
from orchestrator.search.dispatch import Dispatcher
from orchestrator.search.failures import Failures
from store.errors import InputError
from store.local import expanded
from store.parts import part_cell
from store.sealed import seal_sheet, seal_yaml
from trainable.data.base import DATASETS
from trainable.data.contract import check_images
from trainable.plugins.stored import store_plugins

__all__ = ["Options", "Result", "Run", "resume_config", "run_sweep"]

LAST_SECONDS = 20.0
"""Retry budget of an interrupted driver for what it still has to write."""
RAY_FOLDER = "ray"
"""Subfolder of a directory for the log of its drivers and Ray Tune's files."""
LOG_BYTES = 2**22
"""Largest size in bytes of the log in an object store, whose newest lines stay."""


@dataclass(frozen=True)
class Result:
    """Result of a sweep's run.

    Attributes:
        directory: Address of the sweep's directory.
        planned: Number of trials planned.
        finished: Number of trials whose row is readable.
        problems: Reasons why it is not complete, a line each.
        failures: Numbers of trials that diverged, which is no error, and that failed for another reason.
    """

    directory: str
    planned: int
    finished: int
    problems: list[str]
    failures: Failures

    @property
    def complete(self) -> bool:
        """True where every planned trial has its row and none of the confirm trials failed."""
        return self.planned == self.finished and not self.problems


def run_sweep(config: SweepConfig, out: str, options: Options | None = None) -> Result:
    """Run a sweep, or what is missing of it where the directory exists.

    Args:
        config: The configuration.
        out: Its directory: local, NFS or ``s3://...``.
        options: Options of the run.

    Returns:
        The result. Every row of a finished trial is readable in the directory.

    Raises:
        InputError: Bad input, or a directory that cannot be used. Nothing was changed there.
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP. The directory can be resumed.

    Example:
        A run starts Ray, so the example only defines it. Bad input is refused before that:

        >>> from orchestrator.config.sweep_file import parse_config
        >>> config = parse_config("{dataset: {name: brain_phantom, bias: {rho: [0, 1]}}, methods: [erm, lnl]}")
        >>> def study() -> bool:
        ...     return run_sweep(config, "results/demo", Options(slots=4)).complete
        >>> run_sweep(config, "results/demo", Options(address="head"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        store.errors.InputError: the address of a Ray cluster is auto or HOST:PORT, but got 'head': ...
    """
    options = options or Options()
    ensure_home()
    start = _check(config, out, options)
    with options.interruption.heard():
        _run_under_lease(start)
        options.interruption.check()
    return _result(start)


@dataclass(frozen=True)
class _Start:
    """Sweep that may begin: it is checked, and nothing is written yet.

    Attributes:
        directory: Its directory.
        options: Options of the run.
        plan: The resolved sweep.
        dispatcher: What is planned and done.
        identity: Identity of the sweep; None where an older version began it.
        old_sheet: Content of ``sweep.yaml`` before; None = the sweep is new.
        sheet: Content of ``sweep.yaml`` from now on.
        changes: Differences between the two: dotted key -> (old, new).
        anew: True where the present rows do not count, and are put away.
    """

    directory: SweepDirectory
    options: Options
    plan: Plan
    dispatcher: Dispatcher
    identity: str | None
    old_sheet: Mapping[str, Any] | None
    sheet: Mapping[str, Any]
    changes: Mapping[str, Any]
    anew: bool


def _check(config: SweepConfig, out: str, options: Options) -> _Start:
    """Refuse what cannot be run, before anything is written."""
    check_folder(config.logging, out)
    directory = SweepDirectory(out)
    directory.folder.check_usable()
    # Refused here, where nothing has been written yet.
    read_prices()
    address = options.address or os.environ.get("RAY_ADDRESS", "")
    check_form(address)
    old_sheet = read_sheet(directory) if directory.exists() else None
    if old_sheet is None and any(part_cell(name) is not None for name in directory.folder.child("trials").names()):
        # Under a new sheet its rows would be another sweep's.
        raise InputError(
            f"{directory.uri}/{SWEEP_FILE} is missing, which says what the rows beside it mean: restore it from a "
            "copy, or choose another --out"
        )
    identity = secrets.token_hex(8) if old_sheet is None else directory.identity()
    config = settled(config if old_sheet is None else _as_begun(config, old_sheet), expanded("."))
    check_files(config, None if old_sheet is None else directory.uri)
    plan = make_plan(config)
    cells = plan.cells if options.only is None else choose_cells(plan.cells, options.only)
    dispatcher = Dispatcher(plan.config, cells)
    sheet = sweep_sheet(plan)
    changes: Mapping[str, Any] = {}
    anew = False
    if old_sheet is not None:
        directory.check_readable()
        were, are = old_sheet.get("provenance", {}), sheet["provenance"]
        try:
            may_move = files_that_may_move(plan.config, were)
            changes = check_config(configuration_of(old_sheet), plan.config, directory.uri, may_move)
            for difference in check_provenance(were, are, options.mix_versions, directory.uri):
                options.print(f"since this sweep began: {difference}")
        except InputError as refusal:
            changes, anew = changes_if_new(directory, old_sheet, plan, refusal, options.failed), True
        changes = {**changes, **changed_numbers(were, are)}
    # What else only a confirm trial would ask for. Not in the plan: images may take seconds to be drawn.
    check_images(plan.dataset, plan.cells[0].bias, search_seed(plan.config.seed))
    # A sweep that is finished needs no Ray.
    if old_sheet is None or anew or _has_work(plan, cells, directory, options.failed):
        if address:
            from orchestrator.cluster.nodes import check_workers

            check_cluster(address)
            check_workers(address)
        else:
            check_fits(plan.config, {cell.label for cell in cells}, options.cpus)
    return _Start(directory, options, plan, dispatcher, identity, old_sheet, sheet, changes, anew)


def _run_under_lease(start: _Start) -> None:
    """Take the lease, and run what is missing.

    The directory can be resumed whatever ends the run.
    """
    directory, options = start.directory, start.options
    for line in places_in_words(start.dispatcher.not_applicable):
        options.print(line)
    with _log(directory) as log:
        lease = acquire(directory.folder, options.print)
        options.interruption.on_end_at_once(lease.release)
        writer = Writer(directory, lease, sweep=start.identity)
        try:
            if start.anew:
                begin_anew(directory, writer)
            surveyed = survey(directory)
            _set_aside(directory, surveyed, options)
            _restore(start.dispatcher, writer, surveyed, options)
            store_plugins(directory.folder, plugins_of(start.plan.config))
            _write_sheet(start, writer, surveyed)
            # From here on a directory that is removed under the sweep is not made again by a write.
            directory.folder = directory.folder.kept(SWEEP_FILE)
            lease.keep(directory.folder)
            write_splits(start.plan, directory, writer)
            write_samples(start.plan, directory)
            status = StatusFile(directory.folder, writer.queue, start.identity)
            progress = Progress(start.dispatcher, options.console, status)
            run = Run(start.dispatcher, writer, progress, options, _data_in_files(start))
            run.budget.count_earlier(surveyed.rows)
            _run_to_the_end(run, log)
        finally:
            with options.interruption.deferred():
                writer.queue.close()
                lease.release()
                _clear_remade(directory)
            options.interruption.on_end_at_once(None)


def _data_in_files(start: _Start) -> str | None:
    """Checksum of a data set that is made of declared files, which every node reads for itself."""
    checksum: str = start.sheet["provenance"]["data_checksum"]
    dataset = start.plan.config.dataset
    named = any(dataset.options.get(option) is not None for option in DATASETS.files(dataset.name))
    return checksum if named else None


def _run_to_the_end(run: Run, log: LogFile) -> None:
    dispatcher, writer, only = run.dispatcher, run.writer, run.options.only
    directory, interruption = writer.directory, run.options.interruption
    state = "interrupted"
    try:
        if not dispatcher.finished:
            _run(run)
        interruption.check()
        writer.flush()
        if dispatcher.finished and only is None:
            # Marks of trials that turned out not to be wanted any more.
            for trial_id in directory.to_run_again():
                writer.drop(trial_id)
        writer.flush()
        state = "finished" if dispatcher.finished else "stopped"
        state += f" (only {only})" if only is not None else ""
        # Only to be read faster: where it cannot be written nothing is lost.
        with passed_over("the fast copy of the rows"):
            writer.gather(LAST_SECONDS)
    finally:
        with interruption.deferred():
            if state == "interrupted":
                # Rows that do not arrive now are those of trials that go on from their last checkpoint.
                with passed_over("the writing of what still waited"):
                    writer.flush(LAST_SECONDS)
            run.progress.stop(state)
            with passed_over("the journal of the studies", OSError, InputError):
                write_journal(directory.folder.patiently(LAST_SECONDS), dispatcher.studies())
            _upload_log(writer, log.path)


@contextlib.contextmanager
def _log(directory: SweepDirectory) -> Iterator[LogFile]:
    """Open the sweep's log within the block.

    It lies in the directory, or in a temporary folder where the directory lies in an object store.
    """
    local = directory.folder.local
    if local is not None:
        with sweep_log(local / RAY_FOLDER / LOG_FILE) as log:
            yield log
        return
    with TemporaryFolder() as temporary, sweep_log(temporary / LOG_FILE) as log:
        yield log


def _upload_log(writer: Writer, path: Path) -> None:
    """Add the log of this driver to that in an object store.

    A local directory has it already.
    """
    if writer.directory.folder.local is not None or not path.exists():
        return
    folder = writer.directory.folder.patiently(0.0).child(RAY_FOLDER)
    with passed_over("the upload of the log", OSError, InputError, LeaseLost):
        writer.check()
        earlier = folder.read(LOG_FILE) if folder.exists(LOG_FILE) else b""
        folder.write(LOG_FILE, (earlier + path.read_bytes())[-LOG_BYTES:], durable=False)


def _result(start: _Start) -> Result:
    directory, dispatcher = start.directory, start.dispatcher
    planned, _, _ = dispatcher.totals()
    expected, surveyed = dispatcher.finished_ids(), survey(directory)
    finished = expected & {row["trial_id"] for row in surveyed.rows} - surveyed.lost.keys()
    # A file that is no part was put there by somebody: it takes nothing from the results.
    problems = [
        f"{part.table}/{part.name}: {part.reason}" for part in surveyed.left_out if part_cell(part.name) is not None
    ]
    problems += [f"{name}: {surveyed.lost.get(name, 'its row is gone')}" for name in sorted(expected - finished)]
    return Result(directory.uri, planned, len(finished), problems + dispatcher.problems(), dispatcher.failures())


def _clear_remade(directory: SweepDirectory) -> None:
    """Remove what Ray has written to a folder that was removed, or moved, under a sweep."""
    folder = directory.folder.local
    with contextlib.suppress(OSError):
        if folder is not None and [path.name for path in folder.iterdir()] == ["ray"]:
            shutil.rmtree(folder)


def _has_work(plan: Plan, cells: list[Cell], directory: SweepDirectory, failed: bool) -> bool:
    """Tell if a directory leaves anything to be done, without a change in it."""
    dispatcher, surveyed = Dispatcher(plan.config, cells), survey(directory)
    state = remaining(dispatcher, directory, surveyed)
    dispatcher.restore(state.rows, state.histories, state.waiting)
    return not dispatcher.finished or (failed and any(row["status"] == "failed" for row in surveyed.rows))


def _as_begun(config: SweepConfig, sheet: Mapping[str, Any]) -> SweepConfig:
    """Configuration with the decisions that the sweep has already made.

    More trials must not change the sampler.
    """
    decided = sheet.get("search", {})
    kept = {
        name: decided[name]
        for name in ("sampler", "early_stopping")
        if getattr(config.search, name) == "auto" and name in decided
    }
    tested: Mapping[str, Any] = {}
    if config.primary is not None and sheet.get("primary"):
        were = configuration_of(sheet)["primary"]
        tested = {name: were[name] for name in ("at", "margin") if name not in config.primary.model_fields_set}
    if not kept and not tested:
        return config
    tree = config.model_dump(mode="json", by_alias=True)
    tree["search"].update(kept)
    if tested:
        tree["primary"].update(tested)
    return validate(tree, SWEEP_FILE)


def resume_config(directory: SweepDirectory) -> dict[str, Any]:
    """Configuration of a directory's sweep, as a mapping that ``--set`` can change.

    Raises:
        InputError: There is no sweep, or its sheet is damaged.

    Example:
        >>> import analysis
        >>> resume_config(SweepDirectory(str(analysis.example_folder())))["dataset"]["name"]
        'brain_phantom'
    """
    if not directory.exists():
        raise InputError(f"{directory.uri} holds no sweep (no {SWEEP_FILE}): {_instead(directory)}")
    return configuration_of(read_sheet(directory))


def _instead(directory: SweepDirectory) -> str:
    folder, _, name = directory.uri.rpartition("/")
    if name == SWEEP_FILE:
        return f"give its folder, {folder}"
    local = directory.folder.local
    if local is not None and local.is_file():
        return f"it is a file; if it is a sweep file, start it with lnl-sweep run {directory.uri}"
    return "give the folder named by --out"


def _set_aside(directory: SweepDirectory, surveyed: Survey, options: Options) -> None:
    for part in surveyed.left_out:
        options.print(f"left out {directory.uri}/{part.table}/{part.name}: {part.reason}")
    set_aside(directory, surveyed.left_out)
    if any(part_cell(part.name) is not None for part in surveyed.left_out):
        options.print("what was in it is trained again; damaged parts are kept in damaged/")


def _restore(dispatcher: Dispatcher, writer: Writer, surveyed: Survey, options: Options) -> None:
    directory = writer.directory
    chosen = {cell.id for cell in dispatcher.cells}
    if options.failed:
        for row in surveyed.rows:
            if row["status"] == "failed" and row["cell"] in chosen:
                writer.run_again(row["trial_id"])
        writer.flush()
    state = remaining(dispatcher, directory, surveyed)
    for cell, trials in state.forgotten.items():
        writer.forget_histories(cell, trials)
    done = {row["trial_id"] for row in state.rows}
    for trial_id in directory.open_names():
        if trial_id in done:
            # The last driver wrote the row and was lost before it could clear away, or while it did.
            writer.drop(trial_id)
    for spec in state.waiting:
        writer.known(spec)
    stale = dispatcher.restore(state.rows, state.histories, state.waiting)
    for spec in stale:
        if spec.trial_id not in state.marked:
            writer.drop(spec.trial_id)
    for name in sorted(state.lost - {spec.trial_id for spec in stale}):
        options.print(f"{name} runs again: {surveyed.lost[name]}")


def _run(run: Run) -> None:
    """Train what is missing, on a running Ray or on a local one of our own."""
    import ray

    from orchestrator.cluster.capacity import Capacity
    from orchestrator.cluster.gpu_packing import pack_gpus
    from orchestrator.cluster.nodes import cluster_nodes, demands_of, make_log_folder, ray_log, start_ray
    from orchestrator.cluster.tuning import run_tuner

    options, dispatcher = run.options, run.dispatcher
    make_log_folder(run.writer.directory.folder.local)
    ours = not ray.is_initialized()
    try:
        start_ray(options.address, options.cpus)
    except SystemExit as end:
        # While it starts, Ray answers a SIGTERM in its own way.
        raise KeyboardInterrupt from end
    options.interruption.listen()
    with ray_log():
        try:
            nodes = cluster_nodes()
            labels = {cell.label for cell in dispatcher.cells if not dispatcher.cell_is_done(cell.id)}
            demands = {label: demand for label, demand in demands_of(run.config, nodes).items() if label in labels}
            misfits = Capacity(nodes, demands.values(), options.slots).misfits
            for label, demand in demands.items():
                if demand in misfits:
                    options.print(
                        f"no node has what a trial of {label} needs (cpu: {demand.cpu}, gpu: {demand.gpu:g}): it waits "
                        "until one joins; change resources to run it here"
                    )
            if any(node.get("GPU", 0.0) >= 1 for node in nodes):
                demands = pack_gpus(run.config, dispatcher.cells, demands, options.console)
            bound = run_tuner(run, demands)
            for line in dispatcher.failures().lines():
                LOG.info("%s", line)
            if bound is not None:
                LOG.info("no more trials are started: %s", bound)
                options.print(f"no more trials are started: {bound}")
        finally:
            if ours:
                with options.interruption.deferred():
                    ray.shutdown()


def _write_sheet(start: _Start, writer: Writer, surveyed: Survey) -> None:
    noted, when = 0, now()
    directory, old_sheet, sheet = start.directory, start.old_sheet, start.sheet
    declaration = declaration_of(sheet, when)
    if directory.exists():
        if not start.changes:
            return
        results = sum(row["phase"] == "confirm" for row in surveyed.rows)
        if old_sheet is not None:
            declaration = next_declaration(old_sheet, configuration_of(old_sheet), sheet, results, when)
        noted = writer.note_change(
            {
                "when": when,
                "what": {key: {"old": old, "new": new} for key, (old, new) in start.changes.items()},
                "rows": len(surveyed.rows),
                "test_results": results,
                "declaration": declaration["hash"],
            }
        )
    # By this number a reader notices that a line of changes.jsonl is gone.
    sheet = {**sheet, "declaration": declaration, "provenance": {**sheet["provenance"], "changes": noted}}
    text = yaml.safe_dump(dict(sheet), sort_keys=False, allow_unicode=True, width=110)
    identity = start.identity
    directory.folder.write(SWEEP_FILE, seal_yaml(text) if identity is None else seal_sheet(text, identity))
