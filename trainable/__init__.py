"""One trial: a data set with a bias of a chosen strength, a network and a method.

The package knows torch. Only ``tune_trainable`` imports Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainable.api import Classifier, Run, load_model, train
    from trainable.data.base import list_datasets, load_dataset, register_dataset
    from trainable.errors import InputError
    from trainable.methods.adversary import label_loss
    from trainable.methods.base import (
        Choices,
        Losses,
        MethodState,
        Nets,
        Range,
        Stage,
        balanced,
        list_methods,
        register_method,
    )
    from trainable.networks.base import list_networks, register_network
    from trainable.spec import Training

NUMERICS = 3
"""Version of the numbers that a trial produces.

Any commit that changes one of them raises it: rows of different numerics are not comparable.
"""

_HOMES = {
    "Classifier": "api",
    "Run": "api",
    "load_model": "api",
    "train": "api",
    "list_datasets": "data.base",
    "load_dataset": "data.base",
    "register_dataset": "data.base",
    "InputError": "errors",
    "label_loss": "methods.adversary",
    **dict.fromkeys(("Choices", "Losses", "MethodState", "Nets", "Range", "Stage", "balanced"), "methods.base"),
    "list_methods": "methods.base",
    "register_method": "methods.base",
    "list_networks": "networks",
    "register_network": "networks",
    "Training": "spec",
}

__all__ = [
    "NUMERICS",
    "Choices",
    "Classifier",
    "InputError",
    "Losses",
    "MethodState",
    "Nets",
    "Range",
    "Run",
    "Stage",
    "Training",
    "balanced",
    "label_loss",
    "list_datasets",
    "list_methods",
    "list_networks",
    "load_dataset",
    "load_model",
    "register_dataset",
    "register_method",
    "register_network",
    "train",
]


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import, and the command line and the driver need only the small modules of this package.
    if name not in _HOMES:
        raise AttributeError(f"module 'trainable' has no attribute '{name}'")
    return getattr(importlib.import_module(f"trainable.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
