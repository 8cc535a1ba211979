"""The state of a process that numbers or the run of a trial depend on, recorded and set back after user code.

A worker runs one trial after the other. A method that sets torch's default type, turns gradients off or changes the
directory must not fail or change the next one. What it replaces inside a module (``torch.relu = ...``) stays.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import locale
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as torch_modules

_UNKNOWN = object()


@dataclass(frozen=True)
class Setting:
    """One piece of the state.

    Attributes:
        name: Its name in an error.
        get: Reads it; what it returns can be compared.
        put: Sets it to what ``get`` returned.
    """

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]


State = tuple[tuple[Setting, Any], ...]


def take(directory: bool = True) -> State:
    """Record the state as it is.

    Settings that this version of torch does not have are left out.

    Args:
        directory: Record the working directory too.

    Example:
        >>> state = take()
        >>> next(value for setting, value in state if setting.name == "gradients")
        True
    """
    taken = ((setting, _read(setting)) for setting in _SETTINGS if directory or setting is not _DIRECTORY)
    return tuple((setting, value) for setting, value in taken if value is not _UNKNOWN)


def put_back(state: State) -> None:
    """Set everything back that differs from what was recorded.

    Args:
        state: What ``take`` returned.

    Raises:
        RuntimeError: Something cannot be set back; the rest is.

    Example:
        >>> state = take()
        >>> _ = torch.set_grad_enabled(False)
        >>> put_back(state)
        >>> torch.is_grad_enabled()
        True
    """
    stuck = []
    for setting, value in state:
        try:
            if _read(setting) != value:
                setting.put(value)
        except Exception as error:
            stuck.append(f"{setting.name} ({error})")
    if stuck:
        raise RuntimeError(f"what an earlier trial of this process changed cannot be set back: {', '.join(stuck)}")


def changed(state: State) -> list[str]:
    """Names of the settings that differ from what was recorded.

    Args:
        state: What ``take`` returned.

    Example:
        >>> state = take()
        >>> torch.set_default_dtype(torch.float64)
        >>> changed(state)
        ["torch's default type"]
        >>> put_back(state)
    """
    return [setting.name for setting, value in state if _read(setting) != value]


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Leave the process as it was before the block, whatever user code does in it.

    Example:
        >>> with kept():
        ...     torch.set_default_dtype(torch.float64)
        >>> torch.get_default_dtype()
        torch.float32
    """
    state = take()
    try:
        yield
    finally:
        put_back(state)


def _read(setting: Setting) -> Any:
    # Torch refuses to read a precision through its old names after it was set through the new ones, and vice versa.
    try:
        return setting.get()
    except Exception:
        return _UNKNOWN


def _attribute(module: str, name: str) -> Setting:
    """An attribute of a module or of an object in it."""
    return Setting(
        f"{module}.{name}",
        lambda: getattr(_object(module), name),
        lambda value: setattr(_object(module), name, value),
    )


def _object(path: str) -> Any:
    parts = path.split(".")
    value: Any = importlib.import_module(parts[0])
    for part in parts[1:]:
        value = getattr(value, part)
    return value


def _device() -> torch.device:
    # Once it was set to None, torch 2.6 fails to tell it.
    try:
        return torch.get_default_device()
    except AttributeError:
        return torch.device("cpu")


def _set_device(device: torch.device) -> None:
    # "cpu" as a default device costs a detour in every call: None is torch's own way to have none.
    torch.set_default_device(None if device.type == "cpu" else device)


def _flushes_denormals() -> bool:
    return bool((torch.tensor([1e-310], dtype=torch.float64, device="cpu") * 1.0 == 0.0).item())


def _autocast(device: str) -> tuple[Setting, Setting]:
    return (
        Setting(
            f"autocast on {device}",
            lambda: torch.is_autocast_enabled(device),
            lambda value: torch.set_autocast_enabled(device, value),
        ),
        Setting(
            f"the type of autocast on {device}",
            lambda: torch.get_autocast_dtype(device),
            lambda value: torch.set_autocast_dtype(device, value),
        ),
    )


def _attention(kind: str) -> Setting:
    return Setting(
        f"{kind} attention",
        lambda: getattr(torch.backends.cuda, f"{kind}_sdp_enabled")(),
        lambda value: getattr(torch.backends.cuda, f"enable_{kind}_sdp")(value),
    )


def _numpy_random() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return (name, bytes(np.asarray(keys, np.uint32)), *rest)


def _set_numpy_random(state: tuple[Any, ...]) -> None:
    np.random.set_state((state[0], np.frombuffer(state[1], np.uint32), *state[2:]))


def _set_torch_random(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _hooks() -> dict[str, dict[Any, Any]]:
    return {name: dict(table) for name, table in _hook_tables().items()}


def _hook_tables() -> dict[str, Any]:
    # Hooks on all modules there are; torch gives a handle to remove each, and no list of them.
    attributes = vars(torch_modules).items()
    return {name: table for name, table in attributes if name.startswith("_global_") and isinstance(table, dict)}


def _set_hooks(hooks: dict[str, dict[Any, Any]]) -> None:
    for name, table in _hook_tables().items():
        table.clear()
        table.update(hooks.get(name, {}))


def _set_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _set_filters(filters: list[Any]) -> None:
    # Resetting makes Python notice; the list may then be filled by hand.
    warnings.resetwarnings()
    warnings.filters.extend(filters)  # type: ignore[attr-defined]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# An inherited precision comes before those that follow it, torch's old names before its new ones.
_PRECISIONS = (
    *("torch.backends", "torch.backends.cudnn", "torch.backends.cudnn.conv", "torch.backends.cudnn.rnn"),
    *("torch.backends.cuda.matmul", "torch.backends.mkldnn", "torch.backends.mkldnn.matmul"),
    *("torch.backends.mkldnn.conv", "torch.backends.mkldnn.rnn"),
)
_FLAGS = (
    *(("torch.backends.cudnn", name) for name in ("enabled", "benchmark", "benchmark_limit", "deterministic")),
    *(("torch.backends.mkldnn", name) for name in ("enabled", "deterministic")),
    ("torch.backends.cuda.matmul", "allow_fp16_reduced_precision_reduction"),
    ("torch.backends.cuda.matmul", "allow_bf16_reduced_precision_reduction"),
    ("torch.backends.cuda.matmul", "allow_fp16_accumulation"),
    ("torch.backends.opt_einsum", "enabled"),
    ("torch.backends.opt_einsum", "strategy"),
    ("torch.backends.quantized", "engine"),
    ("torch.utils.deterministic", "fill_uninitialized_memory"),
)

_DIRECTORY = Setting("the directory", os.getcwd, os.chdir)
_SETTINGS: tuple[Setting, ...] = (
    Setting("torch's default type", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch's default device", _device, _set_device),
    Setting("gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    # torch.use_deterministic_algorithms sets the same, and imports the compiler, which takes seconds.
    Setting("deterministic algorithms", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    Setting("torch's threads", torch.get_num_threads, torch.set_num_threads),
    Setting("denormal numbers", _flushes_denormals, torch.set_flush_denormal),
    Setting(
        "autograd's search for anomalies",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.autograd.set_detect_anomaly(*value),
    ),
    *_autocast("cpu"),
    *_autocast("cuda"),
    Setting("the precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    _attribute("torch.backends.cudnn", "allow_tf32"),
    *(_attribute(module, "fp32_precision") for module in _PRECISIONS),
    *(_attribute(module, name) for module, name in _FLAGS),
    Setting("nnpack", lambda: torch._C._get_nnpack_enabled(), lambda v: torch._C._set_nnpack_enabled(v)),
    *(_attention(kind) for kind in ("flash", "math", "mem_efficient", "cudnn")),
    Setting("hooks on all modules", _hooks, _set_hooks),
    Setting("torch's random numbers", lambda: bytes(torch.get_rng_state().numpy()), _set_torch_random),
    Setting("NumPy's random numbers", _numpy_random, _set_numpy_random),
    Setting("Python's random numbers", random.getstate, random.setstate),
    Setting("NumPy's handling of errors", np.geterr, lambda value: np.seterr(**value)),
    Setting("filters of warnings", lambda: list(warnings.filters), _set_filters),
    _attribute("warnings", "showwarning"),
    _DIRECTORY,
    Setting("the environment", lambda: dict(os.environ), _set_environment),
    Setting("the mask of new files", _umask, os.umask),
    Setting("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
    Setting("garbage collection", gc.isenabled, lambda value: gc.enable() if value else gc.disable()),
    Setting("the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit),
    _attribute("sys", "stdout"),
    _attribute("sys", "stderr"),
)
