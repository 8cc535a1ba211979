"""Plug-ins in a sweep's directory, and the decision whether their code may run here.

A directory from somebody else must not run its code by being resumed. A stored plug-in runs only where its origin has
the same content and is the user's own, where this user has run it before, or where this is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from store.folder import Folder, replacing
from trainable.errors import InputError
from trainable.plugins.loading import is_loaded, load_plugins
from trainable.plugins.plugin import Kind, Plugin
from trainable.plugins.reading import read_plugin
from trainable.texts import bounded

FOLDER = "plugins"
"""Subfolder of a sweep's directory."""
_KNOWN = Path(".config", "lnl-sweep", "plugins")
"""Folder below the home folder with a file for each plug-in that this user has run, named by its checksum."""
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_SUM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """Plug-in as a sweep's sheet and the metadata of a model name it.

    Attributes:
        name: Name of its module.
        kind: What it is.
        sha256: Digest of its source.
        origin: Path that it was read from.
    """

    name: str
    kind: Kind
    sha256: str
    origin: str

    def __post_init__(self) -> None:
        """Refuse what no plug-in can be called: the name becomes part of a path."""
        texts = all(isinstance(value, str) for value in (self.name, self.kind, self.sha256, self.origin))
        if (
            not texts
            or self.kind not in get_args(Kind)
            or not _NAME.fullmatch(self.name)
            or not _SUM.fullmatch(self.sha256)
        ):
            raise InputError(
                f"a plug-in of a sweep has a name, a kind, a sha256 and an origin, but got {bounded(repr(self), 200)}"
            )

    @classmethod
    def of(cls, plugin: Plugin) -> Reference:
        """Reference to a plug-in."""
        return cls(plugin.name, plugin.kind, plugin.sha256, plugin.origin)


def store_plugins(folder: Folder, plugins: Iterable[Plugin]) -> None:
    """Write plug-ins into a sweep's directory, each once.

    Args:
        folder: The directory.
        plugins: The plug-ins; installed modules are left out.

    Raises:
        InputError: The directory cannot be written.

    Example:
        >>> import tempfile
        >>> from store.open import folder_at
        >>> plugin = Plugin.of_sources("xray", "file", {"xray.py": b"SIDE = 224"}, "/home/me/xray.py")
        >>> with tempfile.TemporaryDirectory() as path:
        ...     store_plugins(folder_at(path), [plugin])
        ...     folder_at(path).child("plugins").names()
        ['xray-c14e9b86.py']
    """
    below = folder.child(FOLDER)
    there = set(below.names())
    for plugin in plugins:
        name = plugin.stored_name
        if name is not None and not (name in there and below.read(name) == plugin.content):
            below.write(name, plugin.content)


def read_stored(folder: Folder, reference: Reference) -> Plugin:
    """Read a plug-in from a sweep's directory.

    An installed module is read where it is installed.

    Args:
        folder: The directory.
        reference: The plug-in.

    Raises:
        InputError: It is missing, or the module is not installed.
        DamagedFile: Its content does not agree with its checksum.
    """
    if reference.kind == "module":
        return read_plugin(reference.name, Path())
    plugin = Plugin(reference.name, reference.kind, b"", reference.sha256, reference.origin)
    name = plugin.stored_name
    assert name is not None
    try:
        content = folder.child(FOLDER).read(name)
    except FileNotFoundError:
        raise InputError(
            f"plug-in {folder.uri}/{FOLDER}/{name} is missing, without which nothing can be trained: restore it from a "
            "copy"
        ) from None
    plugin = Plugin(reference.name, reference.kind, content, reference.sha256, reference.origin)
    plugin.check()
    return plugin


def load_stored(folder: Folder, references: Sequence[Reference], trust: bool, own: bool = False) -> list[Plugin]:
    """Load the plug-ins of a sweep's directory, where their code may run here.

    Args:
        folder: The directory.
        references: The plug-ins.
        trust: True = run them whoever wrote them.
        own: True = a file that has changed at its origin since goes before the stored one.

    Returns:
        The plug-ins.

    Raises:
        InputError: One is missing or damaged, cannot be imported, or may not run here: the files to look at are named.
    """
    if not trust:
        check_not_here([reference.name for reference in references if reference.kind == "module"])
    stored = [read_stored(folder, reference) for reference in references]
    here = {plugin.name: _at_origin(plugin) for plugin in stored}
    strange = [
        plugin
        for plugin in stored
        if plugin.kind != "module" and not trust and not _is_known(plugin) and not _is_own(here[plugin.name], plugin)
    ]
    if strange:
        files = ", ".join(f"{folder.uri}/{FOLDER}/{plugin.stored_name}" for plugin in strange)
        raise InputError(
            f"code from a sweep's folder runs here only where you have run it before or its origin has the same "
            f"content and is yours, which holds for none of {files}: look at what it does, then allow it with "
            "--trust-plugins (trust_plugins=True)"
        )
    chosen = [(here[plugin.name] or plugin) if own else plugin for plugin in stored]
    load_plugins(chosen)
    note_run(chosen)
    return chosen


def check_not_here(modules: Iterable[str]) -> None:
    """Refuse modules that a directory or a model names, and that lie in the current folder.

    Python looks there before it looks for what is installed, in an interpreter and in a notebook, and whoever made the
    directory may have put them beside it. None is imported.

    Args:
        modules: Full names.

    Raises:
        InputError: One lies there.

    Example:
        >>> check_not_here(["torchvision.models"])
    """
    for module in modules:
        name = module.partition(".")[0]
        # What is imported has run already.
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
        for place in places:
            if place is not None and _is_here(place):
                raise InputError(
                    f"a module that a sweep names must be installed to run here, but {module} is {place} in the "
                    "current folder: look at what it does, then allow it with --trust-plugins (trust_plugins=True)"
                )


def _is_here(place: str) -> bool:
    try:
        path, here = Path(place).resolve(), Path.cwd().resolve()
    except OSError:
        return False
    return path.is_relative_to(here) and not {"site-packages", "dist-packages"} & set(path.parts)


def note_run(plugins: Iterable[Plugin]) -> None:
    """Remember that this user runs plug-ins, so that a directory which holds them may be resumed.

    Where the home folder cannot be written they are not remembered.

    Args:
        plugins: The plug-ins.
    """
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path.home() / _KNOWN
        for plugin in plugins:
            if plugin.kind == "module" or (folder / plugin.sha256).exists():
                continue
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with replacing(folder / plugin.sha256, durable=False, mode=0o600) as file:
                file.write(f"{plugin.origin}\n".encode("utf-8", "replace"))


def _is_known(plugin: Plugin) -> bool:
    try:
        return is_loaded(plugin) or (Path.home() / _KNOWN / plugin.sha256).is_file()
    except (OSError, RuntimeError):
        return False


def _at_origin(plugin: Plugin) -> Plugin | None:
    """Plug-in that lies at the origin of another now, or None where there is none."""
    if plugin.kind == "module":
        return plugin
    if not Path(plugin.origin).is_absolute():
        # As a sheet of ours never has it: it must not name a module.
        return None
    try:
        return read_plugin(plugin.origin, Path())
    except InputError:
        return None


def _is_own(here: Plugin | None, plugin: Plugin) -> bool:
    """True where a file of this user, or of the system, has the same content.

    Whoever writes a directory also writes where its plug-ins come from: on a shared disk that may be their own file.
    """
    if here is None or here.sha256 != plugin.sha256:
        return False
    try:
        return Path(plugin.origin).stat().st_uid in (os.getuid(), 0)
    except OSError:
        return False
