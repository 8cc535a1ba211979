"""Task of a check, as it is sent to the process that does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from store.errors import InputError
from store.local import expanded

Kind = Literal["sweep", "plug-in", "table"]
TABLES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Task:
    """File that is checked, and how.

    Attributes:
        kind: What the file is.
        file: Its absolute path, or the name of a sweep file that is shipped.
        overrides: ``key=value`` of each ``--set``.
        plugins: Absolute paths of further plug-ins, or names of installed modules.
        trust: Run plug-ins of a ``sweep.yaml`` from somebody else.
        seconds: Time that the trials may take.
        left_out: Folders that no worker on another machine would import from: the current one, and the file's.
        trace: File into which the process writes where it is when it ends or hangs.
    """

    kind: Kind
    file: str
    overrides: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    trust: bool = False
    seconds: float = 30.0
    left_out: tuple[str, ...] = ()
    trace: str = ""


def kind_of(file: str) -> Kind:
    """Tell by its name what a file is.

    Args:
        file: A path, ``s3://...`` or the name of a sweep file that is shipped.

    Raises:
        InputError: It is a folder that is no package.

    Example:
        >>> kind_of("sweep.yaml"), kind_of("debias.py"), kind_of("s3://lab/labels.csv")
        ('sweep', 'plug-in', 'table')
    """
    if file.lower().endswith(TABLES):
        return "table"
    if file.endswith(".py"):
        return "plug-in"
    path = expanded(file)
    if "://" not in file and path.is_dir():
        if (path / "__init__.py").is_file():
            return "plug-in"
        raise InputError(
            f"check takes a sweep file, a plug-in or a table, but '{file}' is a folder: name the file, or verify a "
            f"sweep's directory with lnl-sweep verify {file}"
        )
    return "sweep"


def task_of(file: str, overrides: list[str], plugins: list[str], trust: bool, seconds: float) -> Task:
    """Make a task of the words of a command, with absolute paths.

    Args:
        file: The file.
        overrides: ``key=value`` of each ``--set``.
        plugins: Further plug-ins; relative paths begin in the current folder.
        trust: Run plug-ins of a ``sweep.yaml`` from somebody else.
        seconds: Time that the trials may take.

    Raises:
        InputError: There is no such file.

    Example:
        >>> task_of("brain_phantom", [], [], False, 30.0).kind
        'sweep'
    """
    kind = kind_of(file)
    path = expanded(file).absolute() if "://" not in file else None
    there = path is not None and path.exists()
    if kind != "sweep" and path is not None and not there:
        raise InputError(f"there is no {kind} '{file}': correct the path")
    entries = [str(expanded(entry).absolute()) if expanded(entry).exists() else entry for entry in plugins]
    folders = {str(Path.cwd()), *(str(Path(one).parent) for one in [str(path), *entries] if one.startswith("/"))}
    name = str(path) if there else file
    return Task(kind, name, tuple(overrides), tuple(entries), trust, seconds, tuple(sorted(folders)))
