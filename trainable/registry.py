"""The modules that register a data set, a method or a network, found by their files."""

from __future__ import annotations

import importlib
import pkgutil

from trainable.errors import InputError
from trainable.texts import reason_of


def import_registered(module: str) -> None:
    """Import a module that registers a data set, a method or a network.

    Raises:
        InputError: It cannot be imported. Every sweep needs the whole registry: one broken file would end all of them.
    """
    try:
        importlib.import_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{module.replace('.', '/')}.py cannot be imported ({reason_of(error)}): mend or remove it"
        ) from error


def import_all(package: str) -> None:
    """Import every module of a package and of the packages in it: those that register something do so.

    Args:
        package: Its full name.

    Raises:
        InputError: One cannot be imported.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        import_registered(module.name)
        if module.ispkg:
            import_all(module.name)
