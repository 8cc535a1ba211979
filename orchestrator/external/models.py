"""Models that a sweep has kept, as files that can be loaded."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from store.errors import InputError, unknown_name
from store.folder import Folder

MODELS = "models"
_PLUGINS = "plugins"
_ENDING = ".safetensors"


@dataclass(frozen=True)
class Wanted:
    """Trials whose models are asked for.

    Attributes:
        there: Identifiers of those whose model was kept, sorted.
        gone: Identifiers of the others.
    """

    there: tuple[str, ...]
    gone: tuple[str, ...]


def wanted_models(address: str, folder: Folder, rule: str | None) -> Wanted:
    """List the finished confirm trials that count, and whose models were kept.

    Args:
        address: The sweep's directory.
        folder: The same, open.
        rule: Only those that this selection rule chose; None = all.

    Returns:
        The trials.

    Raises:
        InputError: No trial has finished, a rule that chose nothing in this sweep, or no model.
    """
    # pandas is imported here.
    from analysis.loading import load

    trials = load(address)
    rows = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    if rule is not None:
        known = tuple(dict.fromkeys(name for rules in rows["rules"] for name in rules))
        if rule not in known:
            raise unknown_name("selection rule of this sweep", rule, known)
        rows = rows[[rule in rules for rules in rows["rules"]]]
    asked = sorted(set(rows["trial_id"]))
    kept = {name.removesuffix(_ENDING) for name in folder.child(MODELS).names() if name.endswith(_ENDING)}
    there = tuple(trial for trial in asked if trial in kept)
    if not there:
        if not asked:
            raise InputError(
                f"models of confirm trials predict, but none has finished in {folder.uri}: let the sweep run on "
                "(lnl-sweep status)"
            )
        raise InputError(
            f"no model of a finished confirm trial is kept in {folder.uri}/{MODELS}: sweeps keep them where "
            "confirm.keep_models is true"
        )
    return Wanted(there, tuple(trial for trial in asked if trial not in kept))


@contextlib.contextmanager
def model_file(folder: Folder, trial: str) -> Iterator[Path]:
    """Give a kept model as a local file, with the plug-ins beside it that its network may need.

    Args:
        folder: The sweep's directory.
        trial: The trial.

    Yields:
        The file; of an object store a copy that is removed afterwards.
    """
    name = f"{trial}{_ENDING}"
    if folder.local is not None:
        yield folder.local / MODELS / name
        return
    with tempfile.TemporaryDirectory(prefix="lnl-sweep-model-") as place:
        for child in (MODELS, _PLUGINS):
            Path(place, child).mkdir()
        for plugin in folder.child(_PLUGINS).names():
            Path(place, _PLUGINS, plugin).write_bytes(folder.child(_PLUGINS).read(plugin))
        file = Path(place, MODELS, name)
        file.write_bytes(folder.child(MODELS).read(name))
        yield file
