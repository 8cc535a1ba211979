"""Exceptions of bad input, under the names by which this package's users know them."""

from __future__ import annotations

import importlib

from store.errors import DamagedFile, InputError, unknown_name

__all__ = ["DamagedFile", "DataOutOfReach", "InputError", "import_registered", "unknown_name"]


class DataOutOfReach(InputError):
    """Prepared data that this node cannot get: no fault of the trial that asks for them."""


def import_registered(module: str) -> None:
    """Import a module that registers a data set, a method or a network.

    Raises:
        InputError: It cannot be imported. Every sweep needs the whole registry: one broken file would end all of them.
    """
    from trainable.texts import reason_of

    try:
        importlib.import_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{module.replace('.', '/')}.py cannot be imported ({reason_of(error)}): mend or remove it"
        ) from error
