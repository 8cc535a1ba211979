"""Every random number of a trial derives from (seed, role), never from the method or the bias value.

So two methods, or two bias values, that share a seed share their initialisation, their batch order, their
split and the draws that decide which image carries the bias: their difference is paired.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(*parts: object) -> int:
    """Hash any sequence of parts to a seed in [0, 2**31).

    Args:
        *parts: Anything whose ``str`` is stable: integers, names, floats.

    Returns:
        The same integer for the same parts on every machine and Python version (SHA-256).

    Example:
        >>> derive(0, "split"), derive(1, "split")
        (1586112281, 61555424)
    """
    # A separator that no part holds: ("a", "bc") and ("ab", "c") are different parts.
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def numpy_generator(seed: int, role: str) -> np.random.Generator:
    """Return NumPy's generator for one role of a seed ("split", "paint", "batches" ...).

    Args:
        seed: The trial's seed.
        role: Name of what is drawn; each has a stream of its own.

    Example:
        >>> numpy_generator(0, "split").integers(10, size=4)
        array([3, 2, 4, 5])
    """
    return np.random.Generator(np.random.PCG64(derive(seed, role)))


def torch_generator(seed: int, role: str) -> torch.Generator:
    """Return a CPU generator of torch for one role of a seed.

    Args:
        seed: The trial's seed.
        role: Name of what is drawn; each has a stream of its own.

    Example:
        >>> torch_generator(0, "init").initial_seed() == derive(0, "init")
        True
    """
    import torch

    return torch.Generator().manual_seed(derive(seed, role))
