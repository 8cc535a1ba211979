"""Registries of methods, data sets and networks: entries by name, which the modules of a package leave there."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Literal, TypeVar

from trainable.errors import InputError, unknown_name
from trainable.texts import reason_of

E = TypeVar("E")
S = TypeVar("S", bound=Callable[..., Any])


@dataclass(frozen=True)
class Origin:
    """Place that an entry of a registry came from.

    Attributes:
        kind: ``module``: imported by its name. The others are a user's own: a ``file``, a folder that is a ``package``,
            or an ``entry point`` of an installed one.
        name: Name of the module or of the entry point, or path of the file or folder.
    """

    kind: Literal["file", "package", "module", "entry point"]
    name: str


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


@contextlib.contextmanager
def coming_from(origin: Origin) -> Iterator[None]:
    """Record another place than a module for what is registered within the block.

    Args:
        origin: The place.

    Example:
        >>> codecs: Registry[str] = Registry("codec", "json")
        >>> with coming_from(Origin("file", "codecs.py")):
        ...     _ = codecs.register("length", lambda function: function.__name__)(len)
        >>> codecs.origin("length")
        Origin(kind='file', name='codecs.py')
    """
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


class Registry(Generic[E]):
    """Entries of one kind by name.

    The package whose modules register them is imported when it is first needed.

    Args:
        kind: What an entry is, as a noun ("method", "data set"), for messages.
        package: Full name of the package.
        late: Modules of the package that register nothing and take long to import.
        files: Options that name a file in every entry.

    Attributes:
        entries: What is registered by now, by name.
        when_forgotten: Called after an entry was removed, to clear what was made of it.

    Example:
        >>> codecs: Registry[str] = Registry("codec", "json")
        >>> _ = codecs.register("length", lambda function: function.__name__)(len)
        >>> codecs.get("length")
        'len'
    """

    def __init__(self, kind: str, package: str, late: tuple[str, ...] = (), files: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.entries: dict[str, E] = {}
        self._package, self._late, self._common_files = package, late, files
        self.when_forgotten: list[Callable[[], object]] = []
        self._files: dict[str, tuple[str, ...]] = {}
        self._code: dict[str, tuple[str, ...]] = {}
        self._sources: dict[str, tuple[str, str]] = {}
        self._origins: dict[str, Origin] = {}

    def register(
        self, name: str, entry_of: Callable[[S], E], files: Iterable[str] = (), code: Iterable[str] = ()
    ) -> Callable[[S], S]:
        """Make a decorator that registers a class or function.

        Args:
            name: Its name.
            entry_of: Makes the entry of what is decorated.
            files: Options that are paths.
            code: Options of the form ``file.py:name``.

        Returns:
            The decorator; it returns what it decorates unchanged.

        Raises:
            InputError: The name is no text; or, by the decorator, it is taken by another class or function, or there is
                no such option.
        """
        declared = tuple(files), tuple(code)
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise InputError(f"a {self.kind} is registered by its name, a text of one line, but got {name!r}: name it")

        def decorate(source: S) -> S:
            # An object that is called has no name of its own.
            identity = (source.__module__, getattr(source, "__qualname__", type(source).__qualname__))
            known = self._sources.get(name) if name in self.entries else None
            # In an interpreter a cell that is changed and run again replaces what it registered, and so does a module
            # that is imported anew. What a plug-in registered is forgotten before that: there it is another function.
            replaced = known == identity and self._origins.get(name) != _origin.get()
            if known is not None and not replaced and {known[0], identity[0]} != {"__main__"}:
                raise InputError(f"{self.kind} '{name}' is registered twice: choose another name")
            _check_declared(f"{self.kind} '{name}'", source, [*declared[0], *declared[1]])
            self.entries[name] = entry_of(source)
            self._files[name], self._code[name] = declared
            self._sources[name] = identity
            self._origins[name] = _origin.get() or Origin("module", source.__module__)
            return source

        return decorate

    def import_all(self) -> None:
        """Import every module of the package, and the plug-ins of installed packages: what they register is known then.

        Raises:
            InputError: One cannot be imported.
        """
        import_all(self._package, self._late)
        import_entry_points()

    def names(self) -> list[str]:
        """Names of all entries, sorted."""
        self.import_all()
        return sorted(self.entries)

    def find(self, name: str) -> E | None:
        """Look an entry up by name, or return None where there is none."""
        if name not in self.entries:
            self.import_all()
        return self.entries.get(name)

    def get(self, name: str) -> E:
        """Look an entry up by name.

        Raises:
            InputError: There is none; the nearest known name is given.
        """
        entry = self.find(name)
        if entry is None:
            raise unknown_name(self.kind, name, self.entries)
        return entry

    def files(self, name: str) -> tuple[str, ...]:
        """Options of an entry that are paths.

        Those that every entry may have are among them, also where there is no entry of that name.
        """
        self.find(name)
        return tuple(dict.fromkeys((*self._common_files, *self._files.get(name, ()))))

    def code(self, name: str) -> tuple[str, ...]:
        """Options of an entry that name an object in a file of the user's, ``file.py:name``."""
        self.find(name)
        return self._code.get(name, ())

    def module(self, name: str) -> str:
        """Full name of the module that registered an entry, or "" where that is not known.

        Raises:
            InputError: There is no such entry; the nearest known name is given.
        """
        self.get(name)
        return self._sources.get(name, ("", ""))[0]

    def forget(self, module: str) -> None:
        """Remove what a module, or one below it, has registered.

        Args:
            module: Its full name.
        """
        for name, (home, _) in list(self._sources.items()):
            if home == module or home.startswith(f"{module}."):
                for known in (self.entries, self._sources, self._origins, self._files, self._code):
                    known.pop(name, None)
                for call in self.when_forgotten:
                    call()

    def origin(self, name: str) -> Origin:
        """Place that an entry came from.

        Raises:
            InputError: There is no such entry; the nearest known name is given.
        """
        self.get(name)
        return self._origins.get(name, Origin("module", ""))


_HOMES = {"DATASETS": "trainable.data.base", "METHODS": "trainable.methods.base", "NETWORKS": "trainable.networks.base"}


def registries() -> list[Registry[Any]]:
    """The registries of data sets, methods and networks.

    Example:
        >>> [registry.kind for registry in registries()]
        ['data set', 'method', 'network']
    """
    # By name, since these modules import this one.
    return [getattr(importlib.import_module(home), name) for name, home in _HOMES.items()]


def _check_declared(what: str, source: Callable[..., Any], options: list[str]) -> None:
    if not options:
        return
    parameters = inspect.signature(source).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for option in options:
        if option not in parameters:
            raise unknown_name(f"option that {what} declares", option, parameters)


def import_registered(module: str) -> None:
    """Import a module that registers a data set, a method or a network.

    Args:
        module: Its full name.

    Raises:
        InputError: It cannot be imported. Every sweep needs the whole registry: one broken file would end all of them.

    Example:
        >>> import_registered("no.such.module")
        Traceback (most recent call last):
            ...
        store.errors.InputError: no/such/module.py cannot be imported (ModuleNotFoundError: No module named ...
    """
    try:
        importlib.import_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{module.replace('.', '/')}.py cannot be imported ({reason_of(error)}): mend or remove it"
        ) from error


GROUP = "lnl_sweep.plugins"
"""Entry points by which an installed package names modules that register something."""
_IMPORTED: set[tuple[str, str]] = set()
"""Names and values of the entry points that are imported."""


def import_entry_points() -> None:
    """Import the modules that installed packages name under ``lnl_sweep.plugins``.

    Each is imported once. What is installed later is found too.

    Raises:
        InputError: One cannot be imported.

    Example:
        >>> import_entry_points()
    """
    for point in _entry_points(tuple(sys.path)):
        key = (point.name, point.value)
        if key in _IMPORTED:
            continue
        # Now, since the module itself may ask for a name.
        _IMPORTED.add(key)
        try:
            with coming_from(Origin("entry point", point.name)):
                importlib.import_module(point.module)
        except Exception as error:
            _IMPORTED.discard(key)
            package = point.dist.name if point.dist is not None else point.module
            raise InputError(
                f"plug-in {point.name} of the installed package {package} cannot be imported ({reason_of(error)}): "
                "mend or uninstall it"
            ) from error


@functools.lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    # Reading the metadata of all that is installed takes some 10 ms.
    return tuple(entry_points(group=GROUP))


def import_all(package: str, late: tuple[str, ...] = ()) -> None:
    """Import every module of a package and of the packages in it: those that register something do so.

    Args:
        package: Its full name.
        late: Modules that are left out.

    Raises:
        InputError: One cannot be imported.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if module.name in late:
            continue
        import_registered(module.name)
        if module.ispkg:
            import_all(module.name, late)
