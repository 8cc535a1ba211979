"""Refuses what makes a step wait for the device: a number read from a tensor, or a shape that depends on values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal.default", "is_nonzero")


class _NoWaits(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        waits = any(f"aten.{word}" in name or f"aten._{word}" in name for word in WAITING)
        by_mask = name.startswith("aten.index.") and any(i is not None and i.dtype == torch.bool for i in args[1])
        assert not waits and not by_mask, f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waits() -> Iterator[None]:
    """Within the block no operation may wait for the device."""
    with _NoWaits():
        yield
