"""A trial as Ray Tune runs it.

This is the only file of the package that imports Ray.

The truth about a trial lies in the sweep's directory, not in Ray: a worker that is given a trial goes on from the
checkpoint it finds there, whoever wrote it. One mechanism serves the loss of a worker, of a node and of the driver.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import ray
from ray.tune import Trainable

from store import object_store
from store.errors import Unreachable
from store.folder import Folder
from store.local import exists
from store.open import folder_at
from store.sealed import sweep_of_sheet
from trainable.environment import use_environment
from trainable.errors import DataOutOfReach, InputError
from trainable.spec import TrialSpec
from trainable.texts import one_line, reason_of
from trainable.trial.open_trial import (
    checkpoint_names,
    read_checkpoint,
    trial_folder,
    write_checkpoint,
    write_predictions,
)

if TYPE_CHECKING:
    from trainable.trial.machine.process_state import State
    from trainable.trial.trainer import Trainer

_LOG = logging.getLogger("lnl_sweep")
"""Logger of a worker: its messages go to the worker's own log, since nothing else takes them there."""
SHEET = "sweep.yaml"
SEEN_SECONDS = 15.0


def resume(trainer: Trainer, folder: Folder) -> bool:
    """Go on from the newest checkpoint that can be read and belongs to this trial.

    Args:
        trainer: A fresh trainer.
        folder: The trial's directory.

    Returns:
        False where there is none: the trial starts from its first epoch.
    """
    for name in checkpoint_names(folder):
        try:
            trainer.load_state(read_checkpoint(folder, name))
            return True
        except Unreachable:
            raise
        except Exception:
            # A torn or outdated file costs epochs, never the trial.
            _LOG.warning("%s/%s is passed over", folder.uri, name, exc_info=True)
    return False


def _is_rays(error: BaseException) -> bool:
    """True where Ray itself ends the process: it raises a SystemExit of its own where the process gets a SIGTERM."""
    return hasattr(error, "ray_terminate_msg")


def _log_crashes() -> None:
    """Let Python write where it crashed into the worker's log itself.

    What goes through the standard error is copied by a thread of the same process where Ray bounds its logs, and is
    lost with it.
    """
    try:
        path = ray._private.worker.global_worker.get_err_file_path()
        if path:
            # Open as long as the process lives.
            faulthandler.enable(Path(path).open("ab"), all_threads=False)  # noqa: SIM115
    except Exception:
        _LOG.warning("a crash of this worker would leave no trace in its log", exc_info=True)


class DirectoryError(RuntimeError):
    """The directory or the data cannot be reached: the trial is not to blame, and goes on when the sweep is resumed."""


@contextlib.contextmanager
def _directory() -> Iterator[None]:
    try:
        yield
    except (OSError, InputError) as error:
        raise DirectoryError(str(error)) from error


def _sweep_folder(uri: str, sweep: str | None) -> Folder:
    """The sweep's directory, as it is seen from this node.

    Args:
        uri: Its address.
        sweep: Identity of the sweep; None = not known.

    Raises:
        InputError: It is not to be seen, or another sweep's: what a trial left there would be lost.
    """
    folder = folder_at(uri)
    if folder.local is None:
        return folder
    if not folder.seen(SHEET, SEEN_SECONDS):
        raise InputError(
            f"a worker must see the sweep's directory, but node {socket.gethostname()} has no {uri}/{SHEET}: "
            "give an --out that all nodes share, a network's disk or s3://..."
        )
    end = time.monotonic() + SEEN_SECONDS
    # A network's disk may show the sheet of a folder that was there before for some seconds.
    while sweep is not None and sweep_of_sheet(folder.read(SHEET)) != sweep:
        if time.monotonic() > end:
            raise InputError(
                f"a worker must see the sweep's directory, but on node {socket.gethostname()} {uri} is that of another "
                "sweep: give an --out that all nodes share, a network's disk or s3://..."
            )
        time.sleep(min(0.5, SEEN_SECONDS / 20))
    return folder.kept(SHEET)


def _check_files(spec: TrialSpec, weights: str | None, files: str | None, paths: Mapping[str, str]) -> None:
    """Refuse to train from other files than those of the driver, which lie under the same names here.

    Args:
        spec: The trial.
        weights: Checksum of the network's files; None = it has none.
        files: Checksum of the files that the data set's options name; None = they name none.
        paths: Those files and folders, by dotted key.
    """
    for key, path in paths.items():
        if not exists(Path(path)):
            raise _other_file(key, None, path)
    # Torch, which they import, is not needed for a trial without such files.
    if weights is not None:
        from trainable.trial.provenance import weights_checksum

        actual = weights_checksum(spec.network, spec.network_options)
        if actual != weights:
            raise _other_file("network.weights", actual, str(spec.network_options.get("weights")))
    if files is not None:
        from trainable.trial.provenance import files_checksum

        actual = files_checksum(spec.dataset, spec.dataset_options)
        if actual != files:
            raise _other_file(" and ".join(paths), actual, ", ".join(paths.values()))


def _other_file(key: str, actual: str | None, path: str) -> DirectoryError:
    what = "no file" if actual is None else "another file"
    return DirectoryError(
        f"all nodes must have the same {key}, but node {socket.gethostname()} has {what} under {path}: copy that of "
        "the driver there"
    )


def _check_data(trainer: Trainer, data: str | None) -> None:
    """Refuse to train from other images than those of the driver.

    Args:
        trainer: A fresh trainer.
        data: Checksum of the driver's data set; None = not compared.
    """
    if data is None:
        return
    actual = trainer.dataset.checksum
    if actual != data:
        raise DirectoryError(
            f"all nodes must have the same images of {trainer.dataset.name}, but those on node {socket.gethostname()} "
            f"have the checksum {actual[:12]} and the driver's {data[:12]}: copy the driver's there"
        )


def _load_plugins(plugins: Iterable[tuple[Any, ...]]) -> None:
    """Load the plug-ins of the sweep, without which no trial of it can be built on this node."""
    from trainable.plugins import Plugin, load_plugins

    try:
        load_plugins([Plugin(*fields) for fields in plugins])
    except InputError as error:
        raise DirectoryError(f"node {socket.gethostname()} cannot load the sweep's plug-ins: {error}") from error


def _trainer(spec: TrialSpec, device: str) -> Trainer:
    """Build a trial.

    The store of its data may be unavailable meanwhile, as that of the directory may.
    """
    from trainable.trial.trainer import Trainer

    end = time.monotonic() + object_store.RETRY_SECONDS
    while True:
        try:
            return Trainer(spec, device)
        except Unreachable as error:
            if time.monotonic() > end:
                raise DirectoryError(str(error)) from error
        except DataOutOfReach as error:
            # As a failed trial it would count in the selection, and this node would fail the next one too.
            raise DirectoryError(f"node {socket.gethostname()} cannot get the data: {error}") from error
        time.sleep(object_store.LONGEST_PAUSE)


class SweepTrainable(Trainable):
    """One trial, one epoch a step.

    ``config``: ``spec`` (JSON of a ``TrialSpec``), ``dir`` (URI of the sweep's directory, or None), ``sweep`` (its
    identity, which its sheet must name; None = not checked), and
    ``checkpoint_seconds`` (least time between two checkpoints), ``rungs`` (epochs at which one is forced), ``gpu``
    (share of a card; 0 = the trial computes on the CPU).

    Every result holds ``epoch``, ``value`` (the objective), ``history`` (epochs not yet reported by this process),
    ``row`` and ``done``. An exception never leaves this class, ``SystemExit`` and ``KeyboardInterrupt`` of a method
    included: it would cost the process, and with it the import of torch. It becomes a last result whose row has the
    status ``failed``; where the directory could not be written it holds ``halt`` instead, the reason in words, and
    ``away`` (True for a store that is unavailable and may answer later), and the trial stays open.

    Each trial finds the process as the first one found it (``trainable.trial.machine.process_state``).

    Attributes:
        environment: What the worker must know to reach the directory where it is in an object store. It travels with
            the class and not in ``config``, which Ray Tune writes to files: credentials may be in it.
        plugins: Plug-ins of the sweep, each as the fields of a ``Plugin``.
        weights: Checksum of the weights file that the driver sees; None = there is none.
        files: Checksum of the files that the data set's options name; None = they name none.
        paths: Those files and folders, by dotted key.
        data: Checksum of the data set; None = not compared.
    """

    environment: ClassVar[dict[str, str]] = {}
    plugins: ClassVar[tuple[tuple[Any, ...], ...]] = ()
    weights: ClassVar[str | None] = None
    files: ClassVar[str | None] = None
    paths: ClassVar[Mapping[str, str]] = {}
    data: ClassVar[str | None] = None

    def setup(self, config: Mapping[str, Any]) -> None:
        """Build the trial, or remember why it cannot be built: the first step reports it."""
        self._trainer: Trainer | None = None
        self._error: BaseException | None = None
        self._told = 0
        self._spec = TrialSpec.from_json(config["spec"])
        self._dir: Folder | None = None
        self._checkpoint_seconds = float(config.get("checkpoint_seconds", 60.0))
        self._rungs = {int(epoch) for epoch in config.get("rungs", ())}
        self._working = Path(os.sep)
        with contextlib.suppress(OSError):
            # Tune has changed to a directory of the trial's own.
            self._working = Path.cwd()
        try:
            self._start_clean()
            use_environment(self.environment)
            with _directory():
                self._dir = _sweep_folder(config["dir"], config.get("sweep")) if config.get("dir") else None
            _check_files(self._spec, self.weights, self.files, self.paths)
            # A trial without a share of a card must not take one that its node happens to have.
            self._trainer = _trainer(self._spec, "auto" if config.get("gpu", 1) else "cpu")
            _check_data(self._trainer, self.data)
            if self._dir is not None:
                with _directory():
                    resume(self._trainer, trial_folder(self._dir, self._spec.trial_id))
        except BaseException as error:
            if _is_rays(error):
                raise
            self._error = error
        finally:
            self._return()
        self._saved_at = time.monotonic()

    def _start_clean(self) -> None:
        """Set back what an earlier trial of this process has left behind."""
        # First of all what these import: they may change the state themselves.
        import trainable.trial.trainer  # noqa: F401

        # So do plug-ins: a trial of a process that has run others finds it as the first one did.
        _load_plugins(self.plugins)
        from trainable.trial.machine.process_state import put_back, take

        known: State | None = getattr(self, "_clean", None)
        if known is None:
            _log_crashes()
            self._clean: State = take(directory=False)
        else:
            put_back(known)

    def _return(self) -> None:
        # In a directory that is gone Tune could not give this process another trial.
        with contextlib.suppress(OSError):
            os.chdir(self._working)

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Take over another trial in the same process, so that torch is imported once a worker."""
        self._trainer = None
        import torch

        if torch.cuda.is_available():
            # Reused processes keep the memory of a card; on a CPU a collection would only cost time.
            gc.collect()
            torch.cuda.empty_cache()
        self.config = new_config
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch, or finish a trial that has trained all of them.

        Returns:
            The result described above.
        """
        try:
            if self._error is not None:
                raise self._error
            assert self._trainer is not None
            return self._advance(self._trainer)
        except DirectoryError as error:
            # A sweep whose store was unavailable goes on later. Anything else the user must mend.
            away = isinstance(error.__cause__, Unreachable)
            nothing = {"epoch": 0, "value": float("nan"), "history": [], "row": None}
            return {**nothing, "halt": one_line(str(error)), "away": away, "done": True}
        except BaseException as error:
            if _is_rays(error):
                raise
            return self._failed(error)
        finally:
            self._return()

    def _advance(self, trainer: Trainer) -> dict[str, Any]:
        if not trainer.finished:
            trainer.train_epoch()
            due = time.monotonic() - self._saved_at >= self._checkpoint_seconds
            forced = trainer.finished or trainer.epoch in self._rungs
            if self._dir is not None and (due or forced):
                self._checkpoint(trial_folder(self._dir, self._spec.trial_id), trainer, forced)
        if not trainer.finished:
            return self._result(trainer, trainer.row("pruned"), done=False)
        outcome = trainer.finish()
        if self._dir is not None:
            with _directory():
                if outcome.predictions is not None:
                    write_predictions(trial_folder(self._dir, self._spec.trial_id), outcome.predictions)
                if outcome.model is not None:
                    self._dir.child("models").write(f"{self._spec.trial_id}.safetensors", outcome.model)
                # The driver removes the trial's folder when it has its row: nothing may come after that.
                trial_folder(self._dir, self._spec.trial_id).settle()
        return self._result(trainer, outcome.row, done=True)

    def _checkpoint(self, folder: Folder, trainer: Trainer, forced: bool) -> None:
        """Write a checkpoint.

        One that is only due is not waited for while the store is unavailable.
        """
        with _directory():
            try:
                write_checkpoint(folder if forced else folder.patiently(0.0), trainer.state(), trainer.epoch)
            except Unreachable:
                if forced:
                    raise
                return
        self._saved_at = time.monotonic()

    def _result(self, trainer: Trainer, row: dict[str, Any], done: bool) -> dict[str, Any]:
        news = trainer.history[self._told :]
        self._told = len(trainer.history)
        row = {**row, "ray_version": ray.__version__}
        return {"epoch": trainer.epoch, "value": trainer.objective, "history": news, "row": row, "done": done}

    def _failed(self, error: BaseException) -> dict[str, Any]:
        reason = reason_of(error)
        if self._trainer is not None:
            # What made the trial fail may keep it from making its row too.
            try:
                return self._result(self._trainer, self._trainer.row("failed", reason), done=True)
            except Exception:
                _LOG.warning("the row of a failed trial holds its specification alone", exc_info=True)
        from trainable.trial.outcome import spec_row

        news = [] if self._trainer is None else self._trainer.history[self._told :]
        row = {**spec_row(self._spec, "failed", reason), "ray_version": ray.__version__}
        return {"epoch": 0, "value": float("nan"), "history": news, "row": row, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the checkpoint lies in the sweep's directory."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: ``setup`` has read the checkpoint in the sweep's directory."""

    def cleanup(self) -> None:
        """Free the model."""
        self._trainer = None
