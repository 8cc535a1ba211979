"""Reader of the sweep file that a command names: a user's, or one that is installed with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sweeps
from orchestrator.config.own_code import settled
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import parse_config, read_config, with_plugins
from store.errors import InputError
from store.local import expanded

DEMO = "brain_phantom"
SHIPPED = Path(sweeps.__path__[0])


def read_sweep(
    name: str | None, overrides: list[str], plugins: Sequence[str] = (), trust: bool = False, command: str = "run"
) -> SweepConfig:
    """Read the sweep file that a command names, and load its plug-ins.

    Args:
        name: Its path, or the name of one that is shipped; None = the demo's.
        overrides: ``key=value`` of each ``--set``.
        plugins: Further plug-ins; relative paths begin in the current folder.
        trust: Run plug-ins of a ``sweep.yaml`` from somebody else.
        command: The command, for messages.

    Raises:
        InputError: There is none, it breaks a rule, or a plug-in cannot be imported.

    Example:
        >>> read_sweep("coloured_digits", ["seed=7"]).seed
        7
    """
    if name is None:
        return _shipped(f"{DEMO}.yaml", overrides, plugins)
    if not Path(name).is_file():
        known = {entry.name for entry in SHIPPED.iterdir() if entry.name.endswith(".yaml")}
        shipped = Path(name).name if name.endswith(".yaml") else f"{Path(name).name}.yaml"
        if shipped in known and str(Path(name).parent) in (".", "sweeps"):
            return _shipped(shipped, overrides, plugins)
    if Path(name).is_dir() or "://" in name:
        where = name.rstrip("/")
        again = (
            "" if "://" in name else f"; to run it again in another folder: lnl-sweep run {where}/sweep.yaml --out NEW"
        )
        raise InputError(
            f"{command} takes a sweep file, but '{name}' is a folder: to go on with the sweep in it: lnl-sweep resume "
            f"{where}{again}"
        )
    return read_config(name, overrides, plugins, trust)


def _shipped(name: str, overrides: list[str], plugins: Sequence[str]) -> SweepConfig:
    config = parse_config((SHIPPED / name).read_text(encoding="utf-8"), overrides, name=name)
    return settled(with_plugins(config, plugins), expanded("."))
