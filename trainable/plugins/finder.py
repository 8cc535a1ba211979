"""Import of plug-ins by the name of their module, from source text in memory."""

from __future__ import annotations

import importlib.util
import linecache
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from trainable.plugins.plugin import Plugin
from trainable.registry import Origin, coming_from


@dataclass(frozen=True)
class Source:
    """Source of one module.

    Attributes:
        data: Its text, as the file has it.
        filename: Path that tracebacks name: where the file lay when it was read.
        is_package: True for an ``__init__.py``.
        plugin: Place of the plug-in, which what it registers comes from.
    """

    data: bytes
    filename: str
    is_package: bool
    plugin: Origin


class _Loader(ExecutionLoader):
    def __init__(self, source: Source) -> None:
        self.source = source

    def get_filename(self, fullname: str) -> str:
        return self.source.filename

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.source.data)

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        # Of the bytes, which may declare another encoding.
        return compile(self.source.data, self.source.filename, "exec", dont_inherit=True)

    def is_package(self, fullname: str) -> bool:
        return self.source.is_package

    def exec_module(self, module: ModuleType) -> None:
        # Here and not around the import: a plug-in that another one imports registers what is its own.
        with coming_from(self.source.plugin):
            super().exec_module(module)


class PluginFinder(MetaPathFinder):
    """Finder that is asked before those that search the path: a copy of a file elsewhere is never taken for it."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Spec of a plug-in's module, or None of another."""
        source = self.sources.get(fullname)
        if source is None:
            return None
        spec = ModuleSpec(fullname, _Loader(source), origin=source.filename, is_package=source.is_package)
        spec.has_location = True
        return spec

    def add(self, plugin: Plugin) -> None:
        """Make the modules of a plug-in known, and their lines known to tracebacks."""
        place = Origin("package" if plugin.kind == "package" else "file", plugin.origin)
        for path, data in plugin.sources().items():
            parts = path.removesuffix(".py").split("/")
            is_package = parts[-1] == "__init__"
            if plugin.kind == "package":
                name = ".".join([plugin.name, *(parts[:-1] if is_package else parts)])
                filename = str(Path(plugin.origin, path))
            else:
                name, filename, is_package = plugin.name, plugin.origin, False
            self.sources[name] = Source(data, filename, is_package, place)
            lines = data.decode("utf-8", "replace").splitlines(keepends=True)
            # Without a time, so that it is not compared with a file that may have changed since.
            linecache.cache[filename] = (len(data), None, lines, filename)

    def remove(self, name: str) -> None:
        """Forget the modules of a plug-in."""
        for module in [known for known in self.sources if known == name or known.startswith(f"{name}.")]:
            del self.sources[module]
        for module in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
            del sys.modules[module]


FINDER = PluginFinder()


def source_of(module: str) -> bytes | None:
    """Source of a plug-in's module, or None of any other module.

    Args:
        module: Its full name.

    Example:
        >>> source_of("trainable.spec") is None
        True
    """
    source = FINDER.sources.get(module)
    return None if source is None else source.data
