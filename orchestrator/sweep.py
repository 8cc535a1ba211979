"""A sweep from its configuration to its last row: read what the directory holds, run what is missing."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from rich.console import Console

from orchestrator.cluster.address import check_cluster, check_form
from orchestrator.cluster.fits import check_fits
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import validate
from orchestrator.directory.begin_anew import begin_anew, changes_if_new
from orchestrator.directory.companions import write_samples, write_splits
from orchestrator.directory.damage import Survey, set_aside, survey
from orchestrator.directory.declaration import declaration_of, next_declaration, now
from orchestrator.directory.lease import acquire
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.remaining import remaining
from orchestrator.directory.sheet import SWEEP_FILE, configuration_of, read_sheet, sweep_sheet
from orchestrator.directory.writer import Writer
from orchestrator.interruption import Interruption
from orchestrator.plan.cells import Cell, choose_cells
from orchestrator.plan.continuation import changed_numbers, check_config, check_provenance
from orchestrator.plan.identity import search_seed
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.prices import read_prices
from orchestrator.process.home import ensure_home
from orchestrator.progress import Progress
from orchestrator.search.dispatch import Dispatcher
from orchestrator.search.failures import Failures
from orchestrator.search.journal import write_journal
from store.errors import InputError
from store.parts import part_cell
from store.sealed import seal_sheet, seal_yaml
from trainable.data.contract import check_images

LAST_SECONDS = 20.0
"""For so long an interrupted driver tries to hand over what it still has."""


@dataclass(frozen=True)
class Options:
    """How a sweep is run, as opposed to what it is.

    Attributes:
        address: Ray cluster to connect to; None = ``RAY_ADDRESS`` or a Ray of our own.
        cpus: Processors of a Ray of our own; None = all that this process may use.
        slots: Trials at once; None = as many as the cluster holds at its largest, nodes that join later included.
        mix_versions: Go on although numerics, the source of a method or of the network, or its weights file differ from
            those of the rows.
        failed: Run failed trials again.
        only: Run only these cells, e.g. ``method=lnl,rho=0.9``; None = all.
        console: Where progress is shown.
        interruption: Hears the signals that end the sweep; None = one of the sweep's own.
    """

    address: str | None = None
    cpus: int | None = None
    slots: int | None = None
    mix_versions: bool = False
    failed: bool = False
    only: str | None = None
    console: Console = field(default_factory=lambda: Console(stderr=True))
    interruption: Interruption | None = None


@dataclass(frozen=True)
class Result:
    """How a sweep ended.

    Attributes:
        directory: Its address.
        planned: Trials planned.
        finished: Trials whose row is readable.
        problems: What keeps it from being complete, a line each.
        failures: Trials that diverged, which is no error, and those that failed for another reason.
    """

    directory: str
    planned: int
    finished: int
    problems: list[str]
    failures: Failures

    @property
    def complete(self) -> bool:
        """Every planned trial has its row and none of the confirm trials failed."""
        return self.planned == self.finished and not self.problems


def run_sweep(config: SweepConfig, out: str, options: Options | None = None) -> Result:
    """Run a sweep, or what is missing of it where the directory exists.

    Args:
        config: The configuration.
        out: Its directory: local, NFS or ``s3://...``.
        options: How it is run.

    Returns:
        How it ended; every row is readable in the directory.

    Raises:
        InputError: Bad input, or a directory that cannot be used; nothing was changed there.
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP; the directory can be resumed.
    """
    options = options or Options()
    ensure_home()
    directory = SweepDirectory(out)
    directory.folder.check_usable()
    # Refused here, where nothing has been written yet.
    read_prices()
    address = options.address or os.environ.get("RAY_ADDRESS", "")
    check_form(address)
    begun = read_sheet(directory) if directory.exists() else None
    if begun is None and any(part_cell(name) is not None for name in directory.folder.child("trials").names()):
        # Under a new sheet its rows would be another sweep's.
        raise InputError(
            f"{directory.uri}/{SWEEP_FILE} is missing, which says what the rows beside it mean: restore it from a "
            "copy, or choose another --out"
        )
    sweep = secrets.token_hex(8) if begun is None else directory.identity()
    plan = make_plan(config if begun is None else _as_begun(config, begun))
    cells = plan.cells if options.only is None else choose_cells(plan.cells, options.only)
    dispatcher = Dispatcher(plan.config, cells)
    sheet = sweep_sheet(plan)
    changes: Mapping[str, Any] = {}
    anew = False
    if begun is not None:
        directory.check_readable()
        were, are = begun.get("provenance", {}), sheet["provenance"]
        try:
            changes = check_config(configuration_of(begun), plan.config, directory.uri)
            for difference in check_provenance(were, are, options.mix_versions, directory.uri):
                options.console.print(f"since this sweep began: {difference}", highlight=False, soft_wrap=True)
        except InputError as refusal:
            changes, anew = changes_if_new(directory, begun, plan, refusal, options.failed), True
        changes = {**changes, **changed_numbers(were, are)}
    # What else only a confirm trial would ask for. Not in the plan: images may take seconds to be drawn.
    check_images(plan.dataset, plan.cells[0].bias, search_seed(plan.config.seed))
    try:
        if address:
            from orchestrator.cluster.nodes import check_workers

            check_cluster(address)
            check_workers(address)
        else:
            check_fits(plan.config, {cell.label for cell in cells}, options.cpus)
    except InputError:
        # A sweep that is finished needs no Ray.
        if begun is None or anew or _has_work(plan, cells, directory, options.failed):
            raise
    interruption = options.interruption or Interruption()
    with interruption.heard():
        lease = acquire(directory.folder, lambda text: options.console.print(text, highlight=False, soft_wrap=True))
        interruption.on_end_at_once(lease.release)
        writer = Writer(directory, lease, sweep=sweep)
        try:
            if anew:
                begin_anew(directory, writer)
            found = survey(directory)
            rows = found.rows
            _set_aside(directory, found, options.console)
            _restore(dispatcher, directory, writer, found, options)
            _write_sheet(directory, writer, sheet, changes, rows, sweep, begun)
            directory.folder = directory.folder.kept(SWEEP_FILE)
            lease.keep(directory.folder)
            write_splits(plan, directory, writer)
            write_samples(plan, directory)
            progress = Progress(plan.config.name, directory.folder, dispatcher, options.console, writer.post, sweep)
            progress.count_earlier(rows)
            state = "interrupted"
            try:
                if not dispatcher.finished:
                    driver = f"{lease.generation}_{lease.id}"
                    _run(plan.config, dispatcher, writer, progress, options, driver, interruption)
                interruption.check()
                writer.flush()
                if dispatcher.finished and options.only is None:
                    # Marks of trials that turned out not to be wanted any more.
                    for trial_id in directory.to_run_again():
                        writer.drop(trial_id)
                writer.flush()
                state = "finished" if dispatcher.finished else "stopped"
                state += f" (only {options.only})" if options.only is not None else ""
                # Only to be read faster: where it cannot be written nothing is lost.
                with contextlib.suppress(Exception):
                    writer.gather(LAST_SECONDS)
            finally:
                with interruption.deferred():
                    if state == "interrupted":
                        # Rows that do not arrive now are those of trials that go on from their last checkpoint.
                        with contextlib.suppress(Exception):
                            writer.flush(LAST_SECONDS)
                    progress.stop(state)
                    with contextlib.suppress(OSError, InputError):
                        write_journal(directory.folder.patiently(LAST_SECONDS), dispatcher.studies())
        finally:
            with interruption.deferred():
                writer.post.close()
                lease.release()
                _clear_remade(directory)
            interruption.on_end_at_once(None)
        interruption.check()
    planned, _, _ = dispatcher.totals()
    expected, found = dispatcher.finished_ids(), survey(directory)
    finished = expected & {row["trial_id"] for row in found.rows} - found.lost.keys()
    # A file that is no part was put there by somebody: it takes nothing from the results.
    problems = [
        f"{part.table}/{part.name}: {part.reason}" for part in found.left_out if part_cell(part.name) is not None
    ]
    problems += [f"{name}: {found.lost.get(name, 'its row is gone')}" for name in sorted(expected - finished)]
    return Result(directory.uri, planned, len(finished), problems + dispatcher.problems(), dispatcher.failures())


def _clear_remade(directory: SweepDirectory) -> None:
    """Remove what Ray has made anew of a folder that was removed, or moved, under a sweep."""
    place = directory.folder.local
    with contextlib.suppress(OSError):
        if place is not None and [path.name for path in place.iterdir()] == ["ray"]:
            shutil.rmtree(place)


def _has_work(plan: Plan, cells: list[Cell], directory: SweepDirectory, failed: bool) -> bool:
    """Tell if a directory leaves anything to be done, without a change in it."""
    dispatcher, found = Dispatcher(plan.config, cells), survey(directory)
    state = remaining(dispatcher, directory, found)
    dispatcher.restore(state.rows, state.histories, state.waiting)
    return not dispatcher.finished or (failed and any(row["status"] == "failed" for row in found.rows))


def _as_begun(config: SweepConfig, sheet: Mapping[str, Any]) -> SweepConfig:
    """What a sweep's file leaves to be decided is decided once: more trials must not change the sampler."""
    begun = sheet.get("search", {})
    kept = {
        name: begun[name]
        for name in ("sampler", "early_stopping")
        if getattr(config.search, name) == "auto" and name in begun
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
    """The configuration of a directory's sweep, as a mapping that ``--set`` can change."""
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


def _set_aside(directory: SweepDirectory, found: Survey, console: Console) -> None:
    for part in found.left_out:
        path = f"{directory.uri}/{part.table}/{part.name}"
        console.print(f"left out {path}: {part.reason}", highlight=False, soft_wrap=True)
    set_aside(directory, found.left_out)
    if any(part_cell(part.name) is not None for part in found.left_out):
        console.print("what was in it is trained again; damaged parts are kept in damaged/", highlight=False)


def _restore(
    dispatcher: Dispatcher, directory: SweepDirectory, writer: Writer, found: Survey, options: Options
) -> None:
    chosen = {cell.id for cell in dispatcher.cells}
    if options.failed:
        for row in found.rows:
            if row["status"] == "failed" and row["cell"] in chosen:
                writer.run_again(row["trial_id"])
        writer.flush()
    state = remaining(dispatcher, directory, found)
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
        options.console.print(f"{name} runs again: {found.lost[name]}", highlight=False, soft_wrap=True)


def _run(
    config: SweepConfig,
    dispatcher: Dispatcher,
    writer: Writer,
    progress: Progress,
    options: Options,
    driver: str,
    interruption: Interruption,
) -> None:
    import ray

    from orchestrator.cluster.capacity import Capacity
    from orchestrator.cluster.gpu_packing import pack_gpus
    from orchestrator.cluster.nodes import LOGGER, cluster_nodes, demands_of, log_folder, ray_log, start_ray
    from orchestrator.cluster.tuning import run_tuner

    log = log_folder(writer.directory.folder.local)
    ours = not ray.is_initialized()
    try:
        start_ray(options.address, options.cpus)
    except SystemExit as end:
        # While it starts, Ray answers a SIGTERM in its own way.
        raise KeyboardInterrupt from end
    interruption.listen()
    with ray_log(log):
        try:
            nodes = cluster_nodes()
            labels = {cell.label for cell in dispatcher.cells if not dispatcher.cell_is_done(cell.id)}
            demands = {label: demand for label, demand in demands_of(config, nodes).items() if label in labels}
            misfits = Capacity(nodes, demands.values(), options.slots).misfits
            for label, demand in demands.items():
                if demand in misfits:
                    options.console.print(
                        f"no node has what a trial of {label} needs (cpu: {demand.cpu}, gpu: {demand.gpu:g}): it waits "
                        "until one joins; change resources to run it here",
                        highlight=False,
                        soft_wrap=True,
                    )
            if any(node.get("GPU", 0.0) >= 1 for node in nodes):
                demands = pack_gpus(config, dispatcher.cells, demands, options.console)
            bound = run_tuner(config, dispatcher, writer, progress, driver, demands, options.slots, interruption)
            for line in dispatcher.failures().lines():
                logging.getLogger(LOGGER).info("%s", line)
            if bound is not None:
                logging.getLogger(LOGGER).info("no more trials are started: %s", bound)
                options.console.print(f"no more trials are started: {bound}", highlight=False, soft_wrap=True)
        finally:
            if ours:
                with interruption.deferred():
                    ray.shutdown()


def _write_sheet(
    directory: SweepDirectory,
    writer: Writer,
    sheet: Mapping[str, Any],
    changes: Mapping[str, Any],
    rows: list[dict[str, Any]],
    sweep: str | None,
    begun: Mapping[str, Any] | None,
) -> None:
    noted, when = 0, now()
    declaration = declaration_of(sheet, when)
    if directory.exists():
        if not changes:
            return
        results = sum(row["phase"] == "confirm" for row in rows)
        if begun is not None:
            declaration = next_declaration(begun, configuration_of(begun), sheet, results, when)
        noted = writer.note_change(
            {
                "when": when,
                "what": {key: {"old": old, "new": new} for key, (old, new) in changes.items()},
                "rows": len(rows),
                "test_results": results,
                "declaration": declaration["hash"],
            }
        )
    # By this number a reader notices that a line of changes.jsonl is gone.
    sheet = {**sheet, "declaration": declaration, "provenance": {**sheet["provenance"], "changes": noted}}
    text = yaml.safe_dump(dict(sheet), sort_keys=False, allow_unicode=True, width=110)
    directory.folder.write(SWEEP_FILE, seal_yaml(text) if sweep is None else seal_sheet(text, sweep))
