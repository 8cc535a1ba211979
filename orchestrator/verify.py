"""Every file of a sweep against its checksum, and the work that a resume would find."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.gathered import GATHERED
from analysis.parts import Owner, check_part, is_part, owner_of
from analysis.schema import TABLES
from analysis.source import Folder as ReadFolder
from analysis.source import open_folder
from orchestrator.damage import survey
from orchestrator.results import OPEN, SPEC, SweepDirectory, read_spec
from orchestrator.sheet import configuration_of, read_sheet, sweep_sheet
from orchestrator.small_files import Readable
from store.errors import DamagedFile, InputError
from store.sealed import CHECKED, check_tensors, digest, is_whole, unseal_bytes

SMALL = ("sweep.yaml", "driver.json", "status.json")


@dataclass
class Verdict:
    """Result of a verification.

    Attributes:
        checked: Files that were read.
        damaged: Their paths in the directory, and what is wrong, in words.
        lost: Finished trials without all their epochs or predictions, and what is missing.
        resume: What a resume would do, a sentence a line.
    """

    checked: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    resume: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Nothing is damaged or lost."""
        return not self.damaged and not self.lost

    def check(self, path: str, work: Callable[[], object]) -> bool:
        """Read a file in a way that raises where it is damaged; one that is gone does not count."""
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
    """Check a sweep's directory or packed zip file; nothing is changed there.

    Reports, pictures, the Optuna journal and Ray's logs are made from the rest, and are not looked at.

    Args:
        address: A local folder, an ``s3://`` address or a zip file.

    Returns:
        What was found.

    Raises:
        InputError: There is no sweep.
    """
    packed = open_folder(address)
    if packed.name.endswith(".zip") and "://" not in packed.name:
        return _files(packed, Verdict())
    directory = SweepDirectory(address)
    verdict = _files(Readable(directory.folder), Verdict())
    _models(directory, verdict)
    _open_trials(directory, verdict)
    if not {"sweep.yaml"} & verdict.damaged.keys():
        _forecast(directory, verdict)
    return verdict


def _files(folder: ReadFolder, verdict: Verdict) -> Verdict:
    for name in SMALL:
        there = verdict.check(name, lambda name=name: json_or_text(folder, name))  # type: ignore[misc]
        if name == SMALL[0] and not there and name not in verdict.damaged:
            verdict.damaged[name] = "it is missing"
    owner = Owner(None, known=False) if SMALL[0] in verdict.damaged else owner_of(folder)
    for table in TABLES:
        for name in filter(is_part, folder.files(table)):
            reason = check_part(folder, table, name, owner)
            verdict.checked += 1
            if reason is not None:
                verdict.damaged[f"{table}/{name}"] = reason
    for name in folder.files(GATHERED):
        path = f"{GATHERED}/{name}"
        verdict.check(path, lambda path=path: unseal_bytes("it", folder.read(path)))  # type: ignore[misc]
    _changes(folder, verdict)
    _samples(folder, verdict)
    return verdict


def json_or_text(folder: ReadFolder, name: str) -> object:
    """A small file; its checksum is verified by whoever reads it."""
    data = folder.read(name)
    return json.loads(data) if name.endswith(CHECKED[1]) else data.decode()


def _changes(folder: ReadFolder, verdict: Verdict) -> None:
    from analysis.changes import CHANGES, missing_lines

    def work() -> None:
        lines = folder.read(CHANGES)
        if not is_whole(CHANGES, lines):
            raise DamagedFile("a line of it is damaged or cut short")

    verdict.check(CHANGES, work)
    if SMALL[0] not in verdict.damaged and missing_lines(folder):
        verdict.damaged[CHANGES] = f"{missing_lines(folder)} of its lines are missing"


def _samples(folder: ReadFolder, verdict: Verdict) -> None:
    index: dict[str, Any] = {}
    verdict.check("samples/index.json", lambda: index.update(json.loads(folder.read("samples/index.json"))))
    for entry in index.get("strips", ()):
        path = f"samples/{entry.get('file')}"

        def work(entry: Mapping[str, Any] = entry, path: str = path) -> None:
            if "digest" in entry and digest(folder.read(path)) != entry["digest"]:
                raise DamagedFile("its bytes do not agree with the digest in samples/index.json")

        if not verdict.check(path, work) and path not in verdict.damaged:
            verdict.damaged[path] = "it is missing"


def _models(directory: SweepDirectory, verdict: Verdict) -> None:
    place = directory.folder.child("models")
    for name in place.names():
        if name.endswith(".safetensors"):
            verdict.check(f"models/{name}", lambda name=name: check_tensors("it", place.read(name)))  # type: ignore[misc]


def _open_trials(directory: SweepDirectory, verdict: Verdict) -> None:
    for trial in directory.open_names():
        place = directory.folder.child(OPEN, trial)
        names = place.names()
        for name, work in _contents(place, names):
            verdict.check(f"{OPEN}/{trial}/{name}", work)


def _contents(place: Any, names: list[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    for name in names:
        if name == SPEC:
            yield name, lambda: read_spec(place)
        elif name.endswith((".pt", ".arrow")):
            yield name, lambda name=name: unseal_bytes("it", place.read(name))  # type: ignore[misc]


def _forecast(directory: SweepDirectory, verdict: Verdict) -> None:
    """Say what a resume would do, by doing it up to the first trial."""
    from orchestrator.continuation import check_provenance
    from orchestrator.dispatch import Dispatcher
    from orchestrator.plan import make_plan
    from orchestrator.remaining import remaining
    from orchestrator.sweep_file import validate

    found = survey(directory)
    verdict.lost = found.lost
    try:
        sheet = read_sheet(directory)
        plan = make_plan(validate(configuration_of(sheet), "sweep.yaml"))
        check_provenance(sheet.get("provenance", {}), sweep_sheet(plan)["provenance"], False, directory.uri)
    except InputError as error:
        verdict.resume.append(f"a resume would be refused here: {error}")
        return
    dispatcher = Dispatcher(plan.config, plan.cells)
    state = remaining(dispatcher, directory, found)
    epochs = {spec.trial_id: _epochs(directory, spec) for spec in state.waiting}
    stale = {spec.trial_id for spec in dispatcher.restore(state.rows, state.histories, state.waiting)}
    planned, exact, finished = dispatcher.totals()
    verdict.resume.append(f"{finished} of {'' if exact else '<= '}{planned} trials count as finished")
    for name, epoch in sorted(epochs.items()):
        if name not in stale:
            why = f" ({found.lost[name]})" if name in state.lost else ""
            start = f"goes on after epoch {epoch}" if epoch else "runs from its first epoch"
            verdict.resume.append(f"{name} {start}{why}")
    new = planned - finished - len(epochs.keys() - stale)
    if new:
        verdict.resume.append(f"{'' if exact else 'at most '}{new} trials begin")


def _epochs(directory: SweepDirectory, spec: Any) -> int:
    return len(directory.open_history(spec))
