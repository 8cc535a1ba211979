"""The modules that register a data set, a method or a network, found by their files."""

from __future__ import annotations

import importlib

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
