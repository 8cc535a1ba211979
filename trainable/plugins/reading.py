"""Reading of plug-ins from a file, from a folder that is a package, or by the name of an installed module."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from store.local import expanded, is_file, read_regular
from trainable.errors import InputError
from trainable.plugins.plugin import LARGEST_BYTES, Plugin
from trainable.texts import bounded, reason_of

OURS = ("store", "trainable", "orchestrator", "analysis", "sweeps", "lnl_sweep")
"""Names of our own packages and modules."""
_SITES = ("site-packages", "dist-packages")


def read_plugin(entry: str, base: Path) -> Plugin:
    """Read a plug-in, without running its code.

    Only the packages around an installed module are imported, to find it.

    Args:
        entry: Path of a ``.py`` file or of a folder that is a package, or the dotted name of an installed module.
        base: Folder that relative paths begin in.

    Returns:
        The plug-in.

    Raises:
        InputError: There is no such file, folder or module, it cannot be read, it is no Python source, or its name is
            that of another module.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "xray.py").write_text("SIDE = 224")
        ...     plugin = read_plugin("xray.py", Path(folder))
        >>> plugin.name, plugin.kind, plugin.content
        ('xray', 'file', b'SIDE = 224')
    """
    if not isinstance(entry, str) or not entry.strip():
        raise InputError(f"a plug-in is a .py file, a folder or a module's name, but got {bounded(repr(entry), 100)}")
    path = base / expanded(entry) if entry.startswith("~") else base / entry
    if entry.endswith(".py"):
        return _of_file(path)
    if path.is_dir() or "/" in entry:
        return _of_package(path)
    if is_file(path):
        raise InputError(f"a plug-in is Python source, a file NAME.py, but got {path}: rename it, or give another")
    return _of_module(entry, base)


def _of_file(path: Path) -> Plugin:
    path = path.absolute()
    if not is_file(path):
        raise InputError(f"there is no plug-in {path}: put the file there, or correct plugins (--plugin)")
    if path.name == "__init__.py":
        raise InputError(f"__init__.py is part of a package, but got {path} alone as plug-in: name {path.parent}")
    name = _checked_name(path.stem, path)
    return Plugin.of_sources(name, "file", {path.name: _source(path)}, str(path))


def _of_package(folder: Path) -> Plugin:
    # A name for "." too, and none that a link hides.
    folder = folder.resolve() if folder.name in ("", ".", "..") else folder.absolute()
    if not is_file(folder / "__init__.py"):
        what = "has no __init__.py" if folder.is_dir() else "is not there"
        raise InputError(f"a folder is a plug-in where it is a package, but {folder} {what}: add it, or name the files")
    name = _checked_name(folder.name, folder)
    return Plugin.of_sources(name, "package", sources_below(folder), str(folder))


def _of_module(name: str, base: Path) -> Plugin:
    if not all(part.isidentifier() for part in name.split(".")) or name.partition(".")[0] in OURS:
        raise InputError(
            f"a plug-in is a .py file, a folder or an installed module, but there is no {bounded(name, 100)} in {base}"
        )
    spec = module_spec(name)
    if spec is None or spec.origin is None or not spec.has_location:
        raise InputError(
            f"there is no file or folder {name} in {base}, and no module of that name is installed: correct plugins "
            f"(--plugin), or install it"
        )
    # Of the module alone: what it imports of its package is part of the checksums of methods, networks and data sets.
    return Plugin.of_sources(name, "module", {"source": _source(Path(spec.origin))}, spec.origin)


def module_spec(name: str) -> ModuleSpec | None:
    """Spec of an installed module, for which the packages around it are imported.

    Args:
        name: Its dotted name.

    Raises:
        InputError: A package around it cannot be imported.

    Example:
        >>> module_spec("no_such_module") is None
        True
    """
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    except Exception as error:
        raise InputError(f"module {name} cannot be imported ({reason_of(error)}): mend or reinstall it") from error


def sources_below(folder: Path) -> dict[str, bytes]:
    """Content of every ``.py`` file of a package, by its path in it.

    Hidden folders and ``__pycache__`` are left out.

    Args:
        folder: Folder of the package.

    Raises:
        InputError: A file cannot be read or is no Python source, or all are too large.
    """
    sources: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part == "__pycache__" for part in parts) or not path.is_file():
            continue
        sources["/".join(parts)] = _source(path)
        if sum(map(len, sources.values())) > LARGEST_BYTES:
            raise InputError(
                f"the .py files of a plug-in may have {LARGEST_BYTES // 2**20} MiB, but {folder} has more: name only "
                "the files that are needed"
            )
    return sources


def _source(path: Path) -> bytes:
    try:
        data = read_regular(path)
    except OSError as error:
        raise InputError(f"plug-in {path} cannot be read ({error.strerror or error})") from error
    if len(data) > LARGEST_BYTES:
        raise InputError(f"a plug-in may have {LARGEST_BYTES // 2**20} MiB, but {path} has {len(data) // 2**20}")
    return data


def _checked_name(name: str, path: Path) -> str:
    """Refuse a name under which the module could not be imported, or would hide another one."""
    if not name.isidentifier():
        raise InputError(
            f"a plug-in is imported by its name, so it needs letters, digits and _ alone, but got {path}: rename it"
        )
    spec = None if name in OURS or name in sys.stdlib_module_names else PathFinder.find_spec(name)
    installed = spec is not None and spec.origin is not None and any(site in spec.origin for site in _SITES)
    own = spec is not None and spec.origin is not None and Path(spec.origin) in (path, path / "__init__.py")
    if name in OURS or name in sys.stdlib_module_names or (installed and not own):
        raise InputError(f"plug-in {path} has the name of a module that is installed, {name}: rename it")
    return name
