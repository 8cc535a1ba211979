"""Loading of plug-ins: their modules are imported, and what they register is found by its name."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainable.errors import InputError, unknown_name
from trainable.plugins.finder import FINDER
from trainable.plugins.plugin import Plugin
from trainable.plugins.reading import read_plugin
from trainable.registry import registries
from trainable.texts import bounded, reason_of

_LOADED: dict[str, Plugin] = {}
"""Plug-ins of this process by their names."""


def load_plugins(plugins: Sequence[Plugin]) -> None:
    """Import plug-ins, which register their data sets, methods and networks.

    One that is loaded already with the same content is left as it is; one with other content replaces it.

    Args:
        plugins: The plug-ins; they may import each other by name, in any order.

    Raises:
        InputError: One cannot be imported, or registers a name that is taken: file, line and reason.

    Example:
        >>> plugin = Plugin.of_sources("answers", "file", {"answers.py": b"ANSWER = 42"}, "/lab/answers.py")
        >>> load_plugins([plugin])
        >>> load_object("answers.py:ANSWER")
        42
    """
    new = [plugin for plugin in plugins if not is_loaded(plugin)]
    if not new:
        return
    _check_names(plugins)
    for plugin in new:
        plugin.check()
        _check_installed(plugin)
    # Names of ours must be taken first: else a plug-in that takes one would be right and ours wrong.
    for registry in registries():
        registry.import_all()
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
    for plugin in new:
        forget(plugin.name)
        _check_free(plugin)
        FINDER.add(plugin)
    for plugin in new:
        try:
            _import(plugin)
        except BaseException:
            # None of them is loaded by half: a mended one is read again.
            for other in new:
                forget(other.name)
            raise
        _LOADED[plugin.name] = plugin


def is_loaded(plugin: Plugin) -> bool:
    """Tell if a plug-in is loaded with this content.

    Args:
        plugin: The plug-in.

    Example:
        >>> is_loaded(Plugin.of_sources("unknown", "file", {"unknown.py": b""}, "/lab/unknown.py"))
        False
    """
    known = _LOADED.get(plugin.name)
    return known is not None and known.sha256 == plugin.sha256


def loaded_plugins() -> list[Plugin]:
    """Plug-ins that are loaded in this process, in the order of their loading.

    Example:
        >>> all(isinstance(plugin, Plugin) for plugin in loaded_plugins())
        True
    """
    return list(_LOADED.values())


def load_object(text: str) -> Any:
    """Find an object of a plug-in, or of an installed module.

    Args:
        text: ``FILE.py:NAME``, of a plug-in that is loaded, or ``PACKAGE.MODULE:NAME``.

    Returns:
        The object.

    Raises:
        InputError: The text is of neither form, or there is no such plug-in, module or name.

    Example:
        >>> load_object("trainable.spec:Training").__name__
        'Training'
    """
    place, separator, name = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not separator or not place or not name.isidentifier():
        raise InputError(f"an object of one's own is FILE.py:NAME or MODULE:NAME, but got {bounded(repr(text), 100)}")
    module = _module_at(place, text)
    if not hasattr(module, name):
        known = [one for one in vars(module) if not one.startswith("_")]
        raise unknown_name(f"name in {place}", name, known)
    return getattr(module, name)


def module_of(text: str) -> str:
    """Full name of the module that an object of one's own is named in.

    Args:
        text: ``FILE.py:NAME`` or ``PACKAGE.MODULE:NAME``.

    Raises:
        InputError: There is no such plug-in or module.

    Example:
        >>> module_of("trainable.spec:Training")
        'trainable.spec'
    """
    return str(_module_at(text.rpartition(":")[0], text).__name__)


def _module_at(place: str, text: str) -> Any:
    if place.endswith(".py"):
        file = place.replace("\\", "/").rpartition("/")[2]
        named = [plugin for plugin in _LOADED.values() if plugin.kind == "file" and plugin.file == file]
        if not named:
            known = [plugin.file for plugin in _LOADED.values() if plugin.kind == "file"]
            raise InputError(
                f"{bounded(text, 100)} names a plug-in, but {file} is none of the sweep "
                f"({', '.join(known) or 'it has none'}): add it to plugins"
            )
        return sys.modules[named[0].name]
    if place.partition(".")[0] in sys.stdlib_module_names:
        # A sweep's directory from somebody else must not call what it likes.
        raise InputError(f"{bounded(text, 100)} is part of Python itself: name an object of a plug-in or of a package")
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise InputError(
            f"there is no module {bounded(place, 100)} ({reason_of(error)}): install it, or give FILE.py:NAME"
        ) from error
    except Exception as error:
        raise InputError(f"module {place} cannot be imported ({reason_of(error)}): mend or reinstall it") from error


def _check_names(plugins: Sequence[Plugin]) -> None:
    origins: dict[str, Plugin] = {}
    for plugin in plugins:
        other = origins.setdefault(plugin.name, plugin)
        if other.sha256 != plugin.sha256:
            raise InputError(
                f"plug-ins have different names, but {other.origin} and {plugin.origin} are both {plugin.name}: rename "
                "one"
            )


def _check_free(plugin: Plugin) -> None:
    """Refuse a name under which another module is imported, and forget the same file imported as a module."""
    module = sys.modules.get(plugin.name)
    if plugin.kind == "module" or module is None:
        return
    file = getattr(module, "__file__", None)
    if file is None or Path(file) not in (Path(plugin.origin), Path(plugin.origin, "__init__.py")):
        raise InputError(
            f"plug-in {plugin.origin} has the name of a module that is imported, {plugin.name} ({file}): rename it"
        )
    FINDER.remove(plugin.name)


def _check_installed(plugin: Plugin) -> None:
    """Refuse an installed module that is not the one which the plug-in was made of."""
    if plugin.kind != "module":
        return
    here = read_plugin(plugin.name, Path())
    if here.sha256 != plugin.sha256:
        raise InputError(
            f"module {plugin.name} must be the same wherever a sweep trains, but {here.origin} is not that of "
            f"{plugin.origin}: install the same version"
        )


def forget(name: str) -> None:
    """Remove a plug-in from this process, and what it has registered.

    Args:
        name: Name of its module.

    Example:
        >>> load_plugins([Plugin.of_sources("short_lived", "file", {"short_lived.py": b""}, "/lab/short_lived.py")])
        >>> forget("short_lived")
        >>> "short_lived" in [plugin.name for plugin in loaded_plugins()]
        False
    """
    known = _LOADED.pop(name, None)
    if known is None and name not in FINDER.sources:
        return
    for registry in registries():
        registry.forget(name)
    FINDER.remove(name)


def _import(plugin: Plugin) -> None:
    try:
        importlib.import_module(plugin.name)
    except KeyboardInterrupt:
        raise
    except InputError as error:
        raise InputError(f"{_where(plugin, error)}: {error}") from error
    except BaseException as error:
        raise InputError(
            f"plug-in {_where(plugin, error)} cannot be imported ({reason_of(error)}): {_remedy(plugin, error)}"
        ) from error


def _where(plugin: Plugin, error: BaseException) -> str:
    """File and line of a plug-in at which an error arose."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    files = {source.filename for source in FINDER.sources.values()}
    lines = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in files or frame.filename.startswith(plugin.origin)
    ]
    return lines[-1] if lines else plugin.origin


def _remedy(plugin: Plugin, error: BaseException) -> str:
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    beside = Path(plugin.origin).parent / f"{name}.py" if name else None
    if beside is not None and beside.is_file():
        return f"add {beside.name}, which lies beside it, to plugins"
    return f"install {name.partition('.')[0]}" if name else "mend it"
