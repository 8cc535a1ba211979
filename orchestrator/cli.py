"""Command line of lnl-sweep.

It imports nothing heavy: each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from orchestrator.process.own_packages import hold_names

# Before the imports below: a package of the same name in the current directory would be found in place of ours.
hold_names()

from orchestrator.process.home import ensure_home
from orchestrator.process.output import lenient
from store.errors import nearest
from store.local import expanded

_BIAS_WORDS = "Bias parameters of the data set are options too, e.g. --rho 1."
DONE, INCOMPLETE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_PRINTING = ("status", "verify", "plan", "schema", "train", "check")
"""Commands whose only result is what they print."""


class _Parser(argparse.ArgumentParser):
    """Parser that refuses bad arguments in one sentence, with the nearest known name."""

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if choice:
            known = re.findall(r"[\w.-]+", choice[2])
            near = nearest(choice[1], known, cutoff=0.4)
            hint = f"did you mean '{near}'? " if near else ""
            message = f"unknown command or choice '{choice[1]}': {hint}known: {', '.join(known)}"
        self.exit(BAD_INPUT, f"{self.prog}: error: {_on_one_line(message)} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; those of the process by default.

    Returns:
        Exit code: 0 done, 1 incomplete, 2 bad input, 130 interrupted.

    Example:
        >>> main(["run", "no_such_sweep.yaml"]) == BAD_INPUT
        True
    """
    with lenient() as shown:
        code = _main(arguments)
        shown.flush()
        if shown.error is None or isinstance(shown.error, BrokenPipeError):
            # The reader of our output (head, less) may go when it likes.
            return code
        print(f"lnl-sweep: the output cannot be written ({shown.error.strerror})", file=sys.stderr)
        words = sys.argv[1:] if arguments is None else arguments
        return code or (INCOMPLETE if words[0] in _PRINTING else DONE)


def _main(arguments: list[str] | None) -> int:
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not _takes_bias(options):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    # Read by Ray when it is imported: on a busy machine its own half a minute for a start is too short.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    command: Callable[[argparse.Namespace], int] = _command(options.command)
    try:
        # Refused where the current folder is gone.
        expanded(".")
        ensure_home()
        return command(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            # Only a path that was given can be so.
            error = _no_path(error)
        if not _is_bad_input(error):
            raise
        print(f"lnl-sweep: error: {_on_one_line(str(error))}", file=sys.stderr)
        return BAD_INPUT


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands and their options.

    Example:
        >>> build_parser().parse_args(["status", "results/demo"]).dir
        'results/demo'
    """
    parser = _Parser(
        prog="lnl-sweep",
        description="Sweeps over bias strength: how a classifier's accuracy falls as its training data gets more "
        "biased, and how much of it a debiasing method wins back.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    run = commands.add_parser("run", help="run a sweep, or what is missing of it")
    run.add_argument("sweep", nargs="?", metavar="SWEEP.yaml", help="the sweep file; none = the embedded demo")
    _add_set(run)
    _add_plugin(run)
    run.add_argument("--out", metavar="DIR", help="directory of the sweep, local or s3://... (results/NAME)")
    run.add_argument("--dry-run", action="store_true", help="print cells, trials and estimated time; start nothing")
    run.add_argument("--smoke", action="store_true", help="1 epoch, 1 trial a cell, 1 seed: does it run at all")
    _add_running(run)

    check = commands.add_parser("check", help="what a sweep file, a plug-in or a table would fail on, in a minute")
    check.add_argument("file", metavar="FILE", help="SWEEP.yaml, PLUGIN.py or a folder that is a package, LABELS.csv")
    _add_set(check)
    _add_plugin(check)
    check.add_argument("--trust-plugins", action="store_true", help="run the plug-ins of somebody else's sweep.yaml")
    check.add_argument(
        "--seconds", type=float, default=30.0, metavar="N", help="time for the short trials (%(default)s)"
    )

    resume = commands.add_parser("resume", help="finish, extend or repair a sweep")
    resume.add_argument("dir", metavar="DIR")
    resume.add_argument("--failed", action="store_true", help="run failed trials again")
    _add_set(resume)
    _add_plugin(resume)
    _add_running(resume)

    status = commands.add_parser("status", help="progress of a sweep, running or not")
    status.add_argument("dir", metavar="DIR")

    verify = commands.add_parser("verify", help="every file of a sweep against its checksum; what a resume would do")
    verify.add_argument("dir", metavar="DIR", help="folder, s3://... address or packed zip of a sweep")

    plan = commands.add_parser("plan", help="variance components, and how many seeds or patients a difference needs")
    plan.add_argument("dir", metavar="DIR", help="folder, s3://... address or packed zip of a sweep, or a sweep file")

    report = commands.add_parser("report", help="rebuild report.html from the Parquet files of one or several sweeps")
    report.add_argument("dir", metavar="DIR", nargs="+", help="folder, s3://... address or packed zip of a sweep")
    report.add_argument("--out", type=_local, metavar="FILE", help="the report to write (report.html in the first DIR)")
    report.add_argument("--png", action="store_true", help="the figures as PNG too, in figures/ beside the report")
    report.add_argument(
        "--paper", type=_local, metavar="OUT", help="figures as PDF and SVG, table, methods paragraph, references"
    )
    report.add_argument(
        "--csv", type=_local, metavar="OUT", help="all tables but predictions and splits as CSV, with a codebook"
    )

    pack = commands.add_parser("pack", help="a sweep's rows, configuration, splits, samples and report in one zip")
    pack.add_argument("dir", metavar="DIR")
    pack.add_argument(
        "-o", "--out", type=_local, metavar="SWEEP.zip", default="sweep.zip", help="the file to write (%(default)s)"
    )

    predict = commands.add_parser("predict", help="an external test set through every model that a sweep has kept")
    predict.add_argument("dir", metavar="DIR")
    predict.add_argument("--data", required=True, metavar="TABLE", help="CSV, TSV or Parquet; local or s3://...")
    predict.add_argument(
        "--columns",
        default="",
        metavar="ROLE=COL,...",
        help="columns of path, label, attribute and group (those of the sweep's own table)",
    )
    predict.add_argument("--name", default="", help="name of the test set (that of the file)")
    predict.add_argument("--models", metavar="RULE", help="only models that this selection rule chose (all that count)")
    predict.add_argument("--window", metavar="LOW,HIGH", help="values that become black and white (the sweep's)")
    predict.add_argument("--device", default="auto", help="auto, cpu or cuda")
    predict.add_argument(
        "--trust-plugins", action="store_true", help="run the plug-ins of a directory that is somebody else's"
    )

    data = commands.add_parser("data", help="the data sets")
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    listing = actions.add_parser("list", help="names, images, classes and bias parameters, and where the cache lies")
    _add_plugin(listing)
    prepare = actions.add_parser("prepare", help="make a data set of files you have, or can fetch: brain_mri")
    prepare.add_argument("name", metavar="NAME")
    prepare.add_argument("--from", dest="source", metavar="PATH", help="1512427.zip, or the folder it unpacks to")
    prepare.add_argument("--download", metavar="FOLDER", help="fetch the files from figshare into this folder first")
    prepare.add_argument(
        "--to",
        metavar="URI",
        help="put what was prepared, or without --from what the cache holds, into this folder or s3://bucket/prefix, "
        "from where each node copies it (LNL_SWEEP_DATA)",
    )
    preview = actions.add_parser(
        "preview", help="a contact sheet: one row a class, one column a bias value", epilog=_BIAS_WORDS
    )
    preview.add_argument("name", metavar="NAME", help="a data set, or a sweep file (then its bias values too)")
    preview.add_argument("--trust-plugins", action="store_true", help="run the plug-ins of somebody else's sweep.yaml")
    preview.add_argument("--out", required=True, metavar="SHEET.png")
    preview.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="option of the data set")
    _add_plugin(preview)
    preview.add_argument("--bias", action="append", default=[], metavar="NAME=VALUE,...", help="bias values to show")

    train = commands.add_parser("train", help="one trial in this process, without Ray", epilog=_BIAS_WORDS)
    train.add_argument("dataset", metavar="DATASET")
    train.add_argument("--method", default="erm")
    _add_plugin(train)
    train.add_argument("--epochs", type=int, default=20)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--network")
    train.add_argument("--device", default="auto")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a hyperparameter (lr=1e-2), or training.KEY, network.KEY, dataset.KEY",
    )

    init = commands.add_parser("init", help="a sweep file for your own images, from the table that names them")
    init.add_argument("table", metavar="TABLE", help="CSV, TSV or Parquet: a row an image; local or s3://...")
    init.add_argument(
        "--from",
        dest="source",
        metavar="SOURCE",
        help="TABLE is the folder of a published data set: waterbirds, celeba or chexpert",
    )
    init.add_argument("-o", "--out", type=_local, metavar="SWEEP.yaml", default="sweep.yaml", help="file (%(default)s)")
    for role, meaning in (
        ("path", "the image's file"),
        ("label", "the class"),
        ("attribute", "the bias attribute"),
        ("group", "the patient"),
        ("split", "train, val or test"),
    ):
        init.add_argument(f"--{role}", metavar="COL", help=f"column of {meaning} (guessed)")
    init.add_argument("--force", action="store_true", help="replace the file if it is there")

    bench = commands.add_parser("bench", help="the benchmarks, as ratios to their peers (needs a checkout)")
    bench.add_argument("names", nargs="*", metavar="NAME", help="which ones: analysis, driver, ray, s3, search (all)")

    commands.add_parser("schema", help="JSON schema of the sweep file, for editors")
    return parser


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the sweep file (dotted)"
    )


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="own data sets, methods, networks: a .py file, a folder that is a package, or an installed module",
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="NAME=VALUE,...", help="run only these cells, e.g. method=lnl,rho=0.9")
    parser.add_argument("--address", help="Ray cluster to connect to (RAY_ADDRESS; else a Ray of its own)")
    parser.add_argument("--cpus", type=_at_least_one, metavar="N", help="processors of its own Ray (all it may use)")
    parser.add_argument(
        "--slots",
        type=_at_least_one,
        metavar="N",
        help="trials at once, where a cluster's largest size is not known from ray up (KubeRay)",
    )
    parser.add_argument(
        "--mix-versions", action="store_true", help="go on although the code that makes numbers changed"
    )
    parser.add_argument(
        "--trust-plugins", action="store_true", help="run the plug-ins of a directory that is somebody else's"
    )


def _local(text: str) -> str:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a path on this machine, got '{text}': write it here, then copy it")
    return text


def _no_path(error: OSError) -> Exception:
    from store.errors import InputError
    from trainable.texts import bounded

    return InputError(f"no file can lie at {bounded(str(error.filename), 200)} ({error.strerror}): give another path")


def _on_one_line(text: str) -> str:
    from trainable.texts import escaped

    # Names and values of the user's may hold anything.
    return escaped(text)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but got '{text}'")
    return int(text)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata

        print(f"lnl-sweep {importlib.metadata.version('lnl-sweep')}")
        parser.exit(DONE)


def _takes_bias(options: argparse.Namespace) -> bool:
    # A bias parameter is an option of its data set (--rho 1), which only the data set can check.
    return options.command == "train" or getattr(options, "action", None) == "preview"


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    homes = {"resume": "run", "schema": "run", "pack": "report", "status": "state", "verify": "state"}
    home = importlib.import_module(f"orchestrator.commands.{homes.get(name, name)}")
    command: Callable[[argparse.Namespace], int] = getattr(home, name)
    return command


def _is_bad_input(error: Exception) -> bool:
    from store.errors import InputError, Unreachable

    return isinstance(error, (InputError, Unreachable))


if __name__ == "__main__":
    sys.exit(main())
