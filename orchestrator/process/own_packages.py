"""Import of our packages from the folder that they lie in, since ``analysis`` or ``store`` are everyday names.

A package or a file of such a name in the current directory (``python -m``) or on ``PYTHONPATH`` (a job's working
directory) would be found before an installed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

NAMES = ("store", "trainable", "orchestrator", "analysis", "sweeps")
ROOT = Path(__file__).parents[2]
"""Folder of the packages: a checkout, or the environment's ``site-packages``."""


def holder() -> Callable[[str, tuple[str, ...]], None]:
    """Make a function that ties names of packages to a folder.

    The function can be sent to a process that has none of our code.

    Example:
        >>> hold = holder()
        >>> hold(str(ROOT), NAMES)
        >>> import store
        >>> Path(store.__file__).parent == ROOT / "store"
        True
    """

    # A function within a function travels by value.
    def hold(root: str, names: tuple[str, ...]) -> None:
        import sys
        from importlib.machinery import PathFinder

        class OwnPackages:
            """Finder that is asked before those that search the path."""

            folder = root

            def find_spec(
                self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
            ) -> ModuleSpec | None:
                return PathFinder.find_spec(name, [root]) if name in names else None

        if not any(getattr(finder, "folder", None) == root for finder in sys.meta_path):
            sys.meta_path.insert(0, OwnPackages())

    return hold


def hold_names() -> None:
    """Make our packages importable from ``ROOT`` alone, in this process.

    It must be called before the first import of another of them. A command does so, and not a program that imports us,
    where ``analysis`` may be the name of something else too.
    """
    holder()(str(ROOT), NAMES)
