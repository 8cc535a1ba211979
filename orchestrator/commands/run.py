"""Commands ``lnl-sweep run``, ``resume`` and ``schema``, each a function of the command's name."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.commands.report import as_uri
from orchestrator.config.own_code import check_named_code, load_of_directory, settled
from orchestrator.config.shipped import read_sweep
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import apply_override, validate, with_plugins
from store.errors import InputError
from store.local import expanded

if TYPE_CHECKING:
    from orchestrator.plan.plan import Plan

SMOKE = (
    "training.epochs=1",
    "search.trials=1",
    "search.repeats=1",
    "search.seeds=1",
    "search.early_stopping=off",
    "confirm.seeds=1",
    "confirm.splits=1",
)
GPU_SHARE_OF_PEAK = 0.25
"""Share of a GPU's peak that small convolutional networks reach in fp32.

It is a rough guess, and is called a guess where it is used.
"""
READ_RETRY_SECONDS = 10.0


def run(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep run``: run a sweep, or what is missing of it."""
    from orchestrator.plan.names import check_out

    config = read_sweep(options.sweep, options.set, options.plugin, options.trust_plugins)
    if options.smoke:
        config = _smoke(config)
    name = config.name or config.dataset.name
    out = options.out or f"results/{name}{'-smoke' if options.smoke else ''}"
    check_out(out)
    if options.dry_run:
        return _dry_run(config, out)
    return _run(config, out, options)


def resume(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep resume``: finish, extend or repair a sweep."""
    from orchestrator.directory.reader import SweepDirectory
    from orchestrator.sweep import resume_config

    directory = SweepDirectory(options.dir)
    directory.folder = directory.folder.patiently(READ_RETRY_SECONDS)
    tree = resume_config(directory)
    begun = validate(tree, f"{directory.uri}/sweep.yaml")
    for override in options.set:
        apply_override(tree, override)
    config = validate(tree, f"{directory.uri}/sweep.yaml")
    config = load_of_directory(config, directory.folder, options.trust_plugins)
    if not options.trust_plugins:
        check_named_code(begun, directory.uri)
    return _run(settled(with_plugins(config, options.plugin), expanded(".")), options.dir, options)


def schema(options: argparse.Namespace) -> int:
    """Run ``lnl-sweep schema``: print the JSON schema of the sweep file."""
    print(json.dumps(SweepConfig.model_json_schema(), indent=2))
    return 0


def _smoke(config: SweepConfig) -> SweepConfig:
    tree = config.model_dump(mode="json", by_alias=True)
    for override in SMOKE:
        apply_override(tree, override)
    tree["confirm"]["rules"] = list(config.confirm.seeds_of())
    for method in tree["methods"]:
        # The one epoch must be one of those that are tried out.
        if method["space"].pop("pretrain_epochs", None) or "pretrain_epochs" in method["fixed"]:
            method["fixed"]["pretrain_epochs"] = 0
        _shorten_stages(method, tree["training"])
    return validate(tree)


def _shorten_stages(method: dict[str, Any], training: dict[str, Any]) -> None:
    """Give each stage of a method one epoch, and the trial as many as there are stages."""
    from trainable.methods.base import METHODS
    from trainable.methods.contract.stages import REST, least_epochs

    known = METHODS.find(method["name"])
    for stage in known.stages if known is not None else ():
        if isinstance(stage.epochs, str) and stage.epochs != REST:
            method["space"].pop(stage.epochs, None)
            method["fixed"][stage.epochs] = 1
    if known is not None:
        training["epochs"] = max(training["epochs"], least_epochs(known.stages))


def _run(config: SweepConfig, out: str, options: argparse.Namespace) -> int:
    from orchestrator.directory.lease import LeaseLost
    from orchestrator.interruption import INTERRUPTED, Interruption
    from orchestrator.progress import duration
    from orchestrator.run import Options
    from orchestrator.sweep import run_sweep
    from store.errors import Unreachable

    began = time.monotonic()
    interruption = Interruption(f"interrupted again: ended at once. Go on with: lnl-sweep resume {out}")
    running = Options(
        address=options.address,
        cpus=options.cpus,
        slots=options.slots,
        mix_versions=options.mix_versions,
        failed=getattr(options, "failed", False),
        only=options.only,
        interruption=interruption,
    )
    result = None
    try:
        with interruption.heard():
            result = run_sweep(config, out, running)
            print(f"planned = {result.planned}, finished = {result.finished}, in {duration(time.monotonic() - began)}")
            for line in result.failures.lines():
                print(line)
            for line in result.problems:
                print(f"problem: {line}", file=sys.stderr)
            if result.planned != result.finished:
                again = " --failed" if result.failures.failed else ""
                print(f"not finished; go on with: lnl-sweep resume {out}{again}", file=sys.stderr)
            return 0 if _finish(result.directory) and result.complete else 1
    except KeyboardInterrupt:
        if result is None:
            print(f"interrupted; nothing is lost. Go on with: lnl-sweep resume {out}", file=sys.stderr)
        else:
            print(f"interrupted; all rows are in {out}. Report: lnl-sweep report {out}", file=sys.stderr)
        return INTERRUPTED
    except LeaseLost as lost:
        print(f"lnl-sweep: {lost}", file=sys.stderr)
    except Unreachable as away:
        print(f"lnl-sweep: {away}; nothing finished is lost. Go on with: lnl-sweep resume {out}", file=sys.stderr)
    return 1


def _finish(directory: str) -> bool:
    """Write the report and print the table.

    False where that failed, which costs no row.
    """
    from analysis import load, load_predictions, summary_table, write_report
    from analysis.loading import load_config, section
    from analysis.numbers.published import NOTES
    from orchestrator.process.log import LOG, LOG_FILE, sweep_log
    from orchestrator.sweep import RAY_FOLDER

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # With the predictions: the same intervals as in the report.
            summary = summary_table(load(directory), load_predictions(directory))
            table = "no confirm trial has a result yet" if summary.empty else summary.to_string()
            report = write_report(directory)
            print(table)
            for source, difference in NOTES.items():
                if source in table:
                    print(f"{source}: {difference}")
            note = section(load_config(directory), "dataset_info").get("note")
            if note:
                print(f"note: {note}")
            print(f"report: {as_uri(report)}")
    except InputError as error:
        # A sweep stopped before its first confirm trial has no curve yet; its rows are safe all the same.
        print(f"no report yet: {error}", file=sys.stderr)
    except Exception as error:
        if "://" not in directory:
            with sweep_log(Path(directory, RAY_FOLDER, LOG_FILE)):
                LOG.error("the report failed", exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(
            f"the report failed ({reason}); all rows are in {directory}: lnl-sweep report {directory}", file=sys.stderr
        )
        return False
    return True


def _network_words(plan: Plan, given: str) -> str:
    network = plan.config.network
    options = ", ".join(f"{name}: {value}" for name, value in network.options.items())
    chosen = "" if given else f", the default for {plan.dataset.name} at {plan.dataset.image_size} pixels"
    return f"{network.name}{f' ({options})' if options else ''}{chosen}"


def _left_out(plan: Plan) -> str:
    without = len(plan.cells) - len(plan.applicable)
    return f" ({without} more are not applicable and have no trials)" if without else ""


def _dry_run(config: SweepConfig, out: str) -> int:
    from orchestrator.config.loggers import check_folder
    from orchestrator.directory.reader import SweepDirectory
    from orchestrator.plan.applicable import places_in_words
    from orchestrator.plan.estimate import estimate
    from orchestrator.plan.plan import make_plan
    from orchestrator.plan.prices import read_prices
    from orchestrator.plan.timing_process import time_apart
    from orchestrator.progress import duration

    check_folder(config.logging, out)
    plan, prices = make_plan(config), read_prices()
    directory = SweepDirectory(out)
    needed = estimate(plan, directory.rows("trials") if directory.exists() else (), time_apart)
    print(f"network: {_network_words(plan, config.network.name)}")
    if plan.rule_reason:
        print(f"rule: {plan.config.search.rule}, {plan.rule_reason}")
    for cell in plan.cells:
        if cell.not_applicable is not None:
            continue
        if cell.like is not None:
            print(f"{cell.id}: no search; trained with what the search in {cell.like.cell} chooses")
            continue
        anchor = ", the anchor among them" if cell.anchor is not None else ""
        each = f", each with {cell.search_seeds} seeds" if cell.search_seeds > 1 else ""
        print(f"{cell.id}: {cell.trials} search trials{anchor}{each}; searched: {', '.join(cell.space) or 'nothing'}")
    for line in places_in_words(plan.cells):
        print(line)
    print(
        f"{needed['cells']} cells{_left_out(plan)}, {needed['search']} search trials + at most {needed['confirm']} "
        f"confirm trials = at most {needed['trials']}"
    )
    for label, seconds in needed["seconds_per_trial"].items():
        print(f"  a trial of {label}: about {duration(seconds)}, from {needed['source'][label]}")
    print(f"at most {duration(needed['seconds'])} of computing; divide by the number of trials that run at once")
    gpu = f"{needed['gpu_hours']:.1f} GPU-hours, " if needed["gpu_hours"] else ""
    cost = "a cost the table of prices cannot tell" if needed["cost"] is None else prices.words(needed["cost"])
    print(f"at most {gpu}{cost}, start-up and idle time not counted")
    if needed["operations"]:
        guesses = []
        for name, peak in prices.tflops.items():
            hours = needed["operations"] / (peak * 1e12 * GPU_SHARE_OF_PEAK) / 3600
            guesses.append(f"{name} {duration(3600 * hours)} ({prices.currency}{hours * prices.gpus[name]:.2f})")
        print(
            f"on one GPU, a guess from {needed['operations']:.2g} operations at {GPU_SHARE_OF_PEAK:.0%} of its peak: "
            f"{', '.join(guesses)}; measure it there with --smoke"
        )
    return 0
