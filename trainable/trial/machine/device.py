"""Device and precision of a trial."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor, nn

from trainable.errors import InputError, unknown_name

# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 2**25
_KEPT_BYTES = 2**29


def choose_device(device: str) -> torch.device:
    """Resolve ``auto`` to the first GPU, or to the CPU where there is none.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<number>``.

    Raises:
        InputError: An unknown device, or a GPU where there is none.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise unknown_name("device", device, ("auto", "cpu", "cuda"))
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"device '{device}' needs a GPU that torch can use, and there is none: choose cpu or auto")
    return torch.device(device)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep what a training step frees, where it is glibc.

    The numbers are the same.

    Activations are larger than malloc's threshold: each step would give their pages back and be handed new ones,
    which costs a small network on a CPU a sixth of its time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


class LowPrecision(nn.Module):
    """A network whose forward pass runs in bfloat16 and whose output is float32 again.

    Losses are never rounded.

    Args:
        inner: The network, which keeps its float32 parameters.
        device: Where it lives.
    """

    def __init__(self, inner: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.inner, self.device_type = inner, device.type

    def forward(self, *inputs: Any) -> Tensor:
        """Call the network under autocast."""
        with torch.autocast(self.device_type, dtype=torch.bfloat16):
            output: Tensor = self.inner(*inputs)
        return output.float()
