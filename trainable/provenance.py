"""Where a row comes from: versions, source, device. Rows are compared only where these agree."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import torch

from trainable.methods.base import Method


@functools.cache
def package_version() -> str:
    """Version of this package; "0" where it is not installed."""
    try:
        return importlib.metadata.version("lnl-sweep")
    except importlib.metadata.PackageNotFoundError:
        return "0"


@functools.cache
def git_commit() -> str | None:
    """Commit of the source, with ``+`` where files differ from it; None where the package is no checkout."""
    root = Path(__file__).resolve().parents[1]
    # An installed package may lie inside somebody else's checkout, whose commit says nothing about it.
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        # Without the optional lock, a worker that asks never disturbs a commit that is being made.
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "trainable", "orchestrator", "analysis")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


@functools.cache
def _source(module: str) -> bytes:
    return inspect.getsource(importlib.import_module(module)).encode()


def method_checksum(method: Method) -> str:
    """SHA-256 (16 hex digits) of the source that decides what a method does.

    Args:
        method: The method.

    Returns:
        Digest over the file of its step, the shared file of the adversary, and the file of its transform. A method
        typed into an interpreter, whose source cannot be read, is told apart by its name alone.
    """
    modules = {method.step.__module__, "trainable.methods.adversary"}
    # grl and permuted_bias borrow lnl's step from its own file.
    modules.update(
        value.__module__
        for value in vars(importlib.import_module(method.step.__module__)).values()
        if inspect.isfunction(value) and value.__module__.startswith("trainable.methods.")
    )
    if method.transform is not None:
        modules.add(method.transform.__module__)
    digest = hashlib.sha256(method.name.encode())
    for module in sorted(modules):
        try:
            digest.update(_source(module))
        except (OSError, TypeError):
            digest.update(module.encode())
    return digest.hexdigest()[:16]


@functools.cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    """Name of the processor or of the card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MiB: of torch on the card, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
