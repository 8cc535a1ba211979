"""Check of every file of a sweep against its checksum, and forecast of the work that a resume would find."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from orchestrator.config.yaml_text import load_yaml
from orchestrator.directory.damage import Survey, cells_of, survey, survey_tables
from orchestrator.directory.reader import SPEC, SweepDirectory, read_spec
from orchestrator.directory.sheet import SWEEP_FILE as SHEET
from orchestrator.directory.sheet import configuration_of, read_sheet, sweep_sheet
from orchestrator.process.log import passed_over
from store.columns import TABLES
from store.errors import DamagedFile, InputError
from store.folder import Folder
from store.gathered import GATHERED
from store.names import hyperparameter_text
from store.open import Readable, SweepFiles, open_folder
from store.packed import ZipFolder
from store.parts import Owner, check_part, is_part, owner_of
from store.sealed import check_tensors, digest, is_whole, unseal_bytes
from store.sheet.external import FOLDER as EXTERNAL
from store.sheet.external import external_of
from trainable.plugins import Plugin
from trainable.plugins.stored import FOLDER as PLUGINS
from trainable.plugins.stored import Reference
from trainable.spec import TrialSpec
from trainable.trial.open_trial import OPEN, PREDICTIONS, checkpoint_names, read_checkpoint, read_predictions

INDEX = "samples/index.json"
STATUS = "status.json"
KEYS = {"driver.json": "generation", STATUS: "cells", INDEX: "strips"}
"""Small files, each with a key that no other file has."""


@dataclass
class Verdict:
    """Result of a verification.

    Attributes:
        checked: Number of files that were read.
        damaged: Path of each damaged file in the directory, and the reason in words.
        lost: Finished trials whose row, epochs or predictions are missing, and the reason in words.
        resume: Work that a resume would do, a sentence a line, or why it would be refused.
        refused: True where a resume would be refused.
    """

    checked: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    resume: list[str] = field(default_factory=list)
    refused: bool = False

    @property
    def whole(self) -> bool:
        """True where nothing is damaged or lost."""
        return not self.damaged and not self.lost

    def check(self, path: str, work: Callable[[], object]) -> bool:
        """Read a file by a function that raises where the file is damaged.

        A file that is gone is not counted.

        Args:
            path: Path of the file in the directory.
            work: Reads the file.

        Returns:
            True where the file is there and not damaged.
        """
        try:
            work()
        except FileNotFoundError:
            return False
        except InputError as error:
            self.damaged[path] = str(error)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.damaged[path] = f"it cannot be read ({str(error) or type(error).__name__})"
        self.checked += 1
        return path not in self.damaged


def verify(address: str) -> Verdict:
    """Check a sweep's directory or packed zip file, without a change in it.

    Reports, pictures, the Optuna journal and Ray's logs are made from the rest, and are not checked.

    Args:
        address: A local folder, an ``s3://`` address or a zip file.

    Returns:
        The result.

    Raises:
        InputError: There is no sweep.
    """
    opened = open_folder(address)
    if isinstance(opened, ZipFolder):
        verdict = _files(opened, Verdict())
        if SHEET not in verdict.damaged:
            # Packed while it ran, it may hold epochs of a trial whose row came later.
            verdict.lost = survey_tables(opened).lost
        return verdict
    directory = SweepDirectory(address)
    verdict = _files(Readable(directory.folder), Verdict())
    _open_trials(directory, verdict)
    if SHEET not in verdict.damaged:
        surveyed = survey(directory)
        verdict.lost = surveyed.lost
        _rows(directory, surveyed, verdict)
        _models(directory, surveyed, verdict)
        _forecast(directory, surveyed, verdict)
    return verdict


def _files(folder: SweepFiles, verdict: Verdict) -> Verdict:
    owner = Owner(None, known=False)
    if verdict.check(SHEET, lambda: _small(folder, SHEET, owner)):
        owner = owner_of(folder)
    elif SHEET not in verdict.damaged:
        verdict.damaged[SHEET] = "it is missing: restore it from a copy"
    for name in ("driver.json", STATUS):
        verdict.check(name, partial(_small, folder, name, owner))
    for table in TABLES:
        for name in filter(is_part, folder.files(table)):
            verdict.check(f"{table}/{name}", partial(check_part, folder, table, name, owner))
    for name in folder.files(GATHERED):
        verdict.check(f"{GATHERED}/{name}", partial(_check_fast_copy, folder, name))
    for name in folder.files(EXTERNAL):
        verdict.check(f"{EXTERNAL}/{name}", partial(_external, folder, f"{EXTERNAL}/{name}"))
    _changes(folder, owner, verdict)
    _samples(folder, owner, verdict)
    if SHEET not in verdict.damaged:
        _plugins(folder, verdict)
    return verdict


def _external(folder: SweepFiles, path: str) -> None:
    data = folder.read(path)
    if external_of(json.loads(data)) is None or not is_whole(path, data):
        raise DamagedFile("its checksum is missing or does not agree: remove it, and predict again")


def _check_fast_copy(folder: SweepFiles, name: str) -> None:
    unseal_bytes(name, folder.read(f"{GATHERED}/{name}"))


def _small(folder: SweepFiles, path: str, owner: Owner) -> dict[str, Any]:
    """Read a small file, which the folder refuses where its checksum does not agree."""
    data = folder.read(path)
    if path == SHEET:
        return {}
    entry = json.loads(data)
    if KEYS[path] not in entry:
        raise DamagedFile("it is another file under this name")
    if owner.sweep is not None and not is_whole(path, data):
        raise DamagedFile("its checksum is missing")
    if owner.known and entry.get("sweep") not in (None, owner.sweep):
        raise DamagedFile("it is that of another sweep")
    return dict(entry)


def _changes(folder: SweepFiles, owner: Owner, verdict: Verdict) -> None:
    # pandas is imported here.
    from analysis.changes import CHANGES, missing_lines, read_change

    def work() -> None:
        for number, line in enumerate(folder.read(CHANGES).decode("utf-8", "replace").splitlines(), start=1):
            if owner.known and read_change(line, owner.sweep) is None:
                raise DamagedFile(f"its line {number} is damaged, or of another sweep")

    verdict.check(CHANGES, work)
    missing = missing_lines(folder) if owner.known else 0
    if missing:
        verdict.damaged[CHANGES] = f"{missing} of its lines are missing"


def _samples(folder: SweepFiles, owner: Owner, verdict: Verdict) -> None:
    index: dict[str, Any] = {}
    verdict.check(INDEX, lambda: index.update(_small(folder, INDEX, owner)))
    for entry in index.get("strips", ()):
        path = f"samples/{entry.get('file')}"
        if not verdict.check(path, partial(_sample, folder, path, entry.get("digest"))) and path not in verdict.damaged:
            verdict.damaged[path] = "it is missing"


def _sample(folder: SweepFiles, path: str, expected: str | None) -> None:
    if expected is not None and digest(folder.read(path)) != expected:
        raise DamagedFile(f"its bytes do not agree with the digest in {INDEX}")


def _plugins(folder: SweepFiles, verdict: Verdict) -> None:
    """Compare the plug-ins with their checksums.

    None is imported.
    """
    for reference in _references(folder):
        name = Plugin(reference.name, reference.kind, b"", reference.sha256, reference.origin).stored_name
        path = f"{PLUGINS}/{name}"
        if name is None:
            continue
        if not verdict.check(path, partial(_plugin, folder, path, reference)) and path not in verdict.damaged:
            verdict.damaged[path] = "it is missing"


def _references(folder: SweepFiles) -> list[Reference]:
    tree = load_yaml(folder.read(SHEET).decode())
    listed = tree.get("plugins") if isinstance(tree, dict) else None
    return [Reference(**entry) for entry in listed or () if isinstance(entry, dict)]


def _plugin(folder: SweepFiles, path: str, reference: Reference) -> None:
    Plugin(reference.name, reference.kind, folder.read(path), reference.sha256, reference.origin).check()


def _rows(directory: SweepDirectory, surveyed: Survey, verdict: Verdict) -> None:
    """Compare the rows with the last driver's counts, which alone reveal a cell of which nothing is left.

    A driver that was killed, or still runs, may have counted rows that it had not written yet.
    """
    there = Counter((row["cell"], row["repeat"]) for row in surveyed.rows)
    if surveyed.lost.keys() - {row["trial_id"] for row in surveyed.rows}:
        # They are reported one by one.
        return
    damaged = (OSError, ValueError, KeyError, TypeError, AttributeError)
    with passed_over("the comparison with what the driver counted", *damaged):
        status = _small(Readable(directory.folder), STATUS, Owner(directory.identity(), known=True))
        if status["state"] == "running":
            return
        gone = Counter[str]()
        for cell in status["cells"]:
            gone[cell["cell"]] += max(0, cell["finished"] - there[cell["cell"], cell["repeat"]])
        for name in gone.keys() - cells_of(surveyed.left_out, "trials"):
            if gone[name]:
                verdict.damaged[f"trials/{name}.*"] = f"a part is missing: {gone[name]} finished trials have no row"


def _models(directory: SweepDirectory, surveyed: Survey, verdict: Verdict) -> None:
    folder, rows = directory.folder.child("models"), {row["trial_id"]: row for row in surveyed.rows}
    for name in folder.names():
        trial, ending = name.rsplit(".", 1) if "." in name else (name, "")
        if ending == "safetensors":
            verdict.check(f"models/{name}", partial(_model, folder, name, rows.get(trial)))


def _model(folder: Folder, name: str, row: Mapping[str, Any] | None) -> None:
    spec = TrialSpec.from_json(check_tensors("it", folder.read(name))["spec"])
    trained = spec.seed, hyperparameter_text(spec.hyperparameters)
    if name != f"{spec.trial_id}.safetensors":
        raise DamagedFile(f"it is the model of another trial ({spec.trial_id})")
    if row is not None and trained != (row["seed"], row["hyperparameters"]):
        raise DamagedFile("it is the model of another sweep: its seed or hyperparameters are not those of the row")


def _open_trials(directory: SweepDirectory, verdict: Verdict) -> None:
    for trial in directory.open_names():
        folder = directory.folder.child(OPEN, trial)
        for name in folder.names():
            work = _reader(folder, name)
            if work is not None:
                verdict.check(f"{OPEN}/{trial}/{name}", work)


def _reader(folder: Folder, name: str) -> Callable[[], object] | None:
    if name == SPEC:
        return partial(read_spec, folder)
    if name == PREDICTIONS:
        return partial(read_predictions, folder)
    return partial(read_checkpoint, folder, name) if name in checkpoint_names(folder) else None


def _forecast(directory: SweepDirectory, surveyed: Survey, verdict: Verdict) -> None:
    """Describe what a resume would do, by doing it up to the first trial."""
    from orchestrator.config.sweep_file import validate
    from orchestrator.directory.remaining import remaining
    from orchestrator.plan.continuation import check_provenance
    from orchestrator.plan.plan import make_plan
    from orchestrator.search.dispatch import Dispatcher

    if read_sheet(directory).get("plugins"):
        verdict.resume.append("what a resume would do is not worked out, since that would run the sweep's plug-ins")
        return
    try:
        sheet = read_sheet(directory)
        plan = make_plan(validate(configuration_of(sheet), "sweep.yaml"))
        check_provenance(sheet.get("provenance", {}), sweep_sheet(plan)["provenance"], False, directory.uri)
    except InputError as error:
        verdict.refused = True
        verdict.resume.append(f"a resume would be refused here: {error}")
        return
    dispatcher = Dispatcher(plan.config, plan.cells)
    state = remaining(dispatcher, directory, surveyed)
    epochs = {spec.trial_id: len(directory.open_history(spec)) for spec in state.waiting}
    stale = {spec.trial_id for spec in dispatcher.restore(state.rows, state.histories, state.waiting)}
    planned, exact, finished = dispatcher.totals()
    verdict.resume.append(f"{finished} of {'' if exact else '<= '}{planned} trials count as finished")
    for name, epoch in sorted(epochs.items()):
        if name not in stale:
            why = f" ({surveyed.lost[name]})" if name in state.lost else ""
            start = f"goes on after epoch {epoch}" if epoch else "runs from its first epoch"
            verdict.resume.append(f"{name} {start}{why}")
    new = planned - finished - len(epochs.keys() - stale)
    if new:
        verdict.resume.append(f"{'' if exact else 'at most '}{new} trial{'s' * (new != 1)} begin{'s' * (new == 1)}")
