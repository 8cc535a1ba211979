"""Comparison of two trainers bit for bit, but for the times that they took."""

from __future__ import annotations

import io
from typing import Any

import torch

from trainable.trial.trainer import Trainer

TIMES = ("started_at", "finished_at", "train_seconds", "images_per_second", "peak_memory_mb", "seconds")


def identical(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        keys = [key for key in a if key not in TIMES]
        return keys == [key for key in b if key not in TIMES] and all(identical(a[k], b[k]) for k in keys)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(identical, a, b))
    return bool(a == b)


def unpacked(trainer: Trainer) -> Any:
    return torch.load(io.BytesIO(trainer.state()), weights_only=True)
