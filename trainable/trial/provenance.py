"""Origin of a row: versions, source, device.

Rows are compared only where these agree.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from store.local import expanded, is_file
from trainable.methods.base import Method


@functools.cache
def package_version() -> str:
    """Version of this package, or "0" where it is not installed."""
    try:
        return importlib.metadata.version("lnl-sweep")
    except importlib.metadata.PackageNotFoundError:
        return "0"


@functools.cache
def git_commit() -> str | None:
    """Commit of the source, with ``+`` where files differ from it.

    None where the package is no checkout.
    """
    root = Path(__file__).resolve().parents[2]
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
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", "store", "trainable", "orchestrator", "analysis"
        )
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def method_checksum(method: Method) -> str:
    """SHA-256 (16 hex digits) of the source that decides what a method does.

    Args:
        method: The method.

    Returns:
        Digest over the file of its step, the shared file of the adversary, the file of its transform, and what they
        import of the methods or, where they are a user's own, of their package and folder. A method typed into an
        interpreter, whose source cannot be read, is told apart by its name alone.

    Example:
        >>> from trainable.methods.base import get_method
        >>> len(method_checksum(get_method("lnl")))
        16
    """
    first = [method.step.__module__, "trainable.methods.adversary"]
    if method.transform is not None:
        first.append(method.transform.__module__)
    return _digest(method.name, first, "trainable.methods", _SHARED_METHODS)


def dataset_checksum(name: str) -> str:
    """SHA-256 (16 hex digits) of the source that decides what a data set draws and paints.

    Its own ``checksum`` says which images it has; how they are painted is in its code.

    Args:
        name: A registered name.

    Returns:
        Digest over the file of its factory and what that imports of ``trainable.data`` or, where it is a user's own,
        of its package and folder.

    Example:
        >>> len(dataset_checksum("coloured_digits"))
        16
    """
    from trainable.data.base import dataset_factory

    return _digest(name, [dataset_factory(name).__module__], "trainable.data", _SHARED_DATA)


_SHARED_METHODS = ("trainable.methods.base", "trainable.methods.contract")
_SHARED_DATA = tuple(f"trainable.data.{name}" for name in ("base", "contract", "parts", "view", "arrays.cache"))
_SHARED_NETWORKS = tuple(f"trainable.networks.{name}" for name in ("base", "build", "modes"))
"""Modules that networks import and that are no part of any of them: their numbers are versioned by ``NUMERICS``."""


def network_checksum(network: str) -> str:
    """SHA-256 (16 hex digits) of the source that decides what a network computes.

    Args:
        network: A registered name or that of a torchvision classifier.

    Returns:
        Digest over the file of its builder and the files that it imports of ``trainable.networks`` or, where it is a
        user's own, of its package and folder. A network typed into an interpreter, whose source cannot be read, is told
        apart by its name alone.

    Example:
        >>> network_checksum("small_cnn") == network_checksum("pixel_front")
        False
    """
    from trainable.networks.base import network_module

    return _digest(network, [network_module(network)], "trainable.networks", _SHARED_NETWORKS)


def _digest(name: str, first: Iterable[str], within: str, shared: tuple[str, ...]) -> str:
    """Digest over some modules and all that they import of ``within`` or, where another's, of their package and folder.

    Args:
        name: Goes into the digest, for modules that cannot be read.
        first: Names of the modules.
        within: Package of ours whose modules are followed.
        shared: Modules of it, with all below them, that are not.

    Returns:
        16 hex digits.
    """
    waiting, sources = list(first), dict[str, bytes]()
    others = [module for module in waiting if module.partition(".")[0] != "trainable"]
    packages, folders = {module.partition(".")[0] for module in others}, {_folder(module) for module in others} - {None}
    while waiting:
        module = waiting.pop()
        source = _module_source(module)
        if source is None or module in sources:
            continue
        sources[module] = source
        waiting += [
            imported
            for imported in _imports(module, source)
            if imported.partition(".")[0] in packages
            or (imported.startswith(f"{within}.") and not _is_shared(imported, shared))
            or (folders and not imported.startswith("trainable") and _folder(imported) in folders)
        ]
    digest = hashlib.sha256(name.encode())
    for module in sorted(sources):
        digest.update(sources[module])
    return digest.hexdigest()[:16]


def _is_shared(module: str, shared: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in shared)


def _folder(module: str) -> Path | None:
    """Folder of a user's own module.

    None of an installed one, whose neighbours have nothing to do with it.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    folder = Path(spec.origin).resolve().parent
    return None if folder.name in ("site-packages", "dist-packages") or spec.origin.endswith(".so") else folder


def _module_source(module: str) -> bytes | None:
    """Content of a module's file.

    None where the name is that of no module, or of one without a file to read.
    """
    try:
        # Without importing it: what a function imports late counts whether it has been called or not.
        spec = importlib.util.find_spec(module)
        return None if spec is None or spec.origin is None else Path(spec.origin).read_bytes()
    except (ImportError, ValueError, OSError):
        return None


@functools.lru_cache(maxsize=64)
def _imports(module: str, source: bytes) -> tuple[str, ...]:
    """Names that a module may import as modules, imports within its functions included."""
    spec = importlib.util.find_spec(module)
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = node.module or ""
            if node.level and spec is not None and spec.parent:
                parent = importlib.util.resolve_name("." * node.level + parent, spec.parent)
            # What is taken out of it may be a module too.
            names += [parent, *(f"{parent}.{alias.name}" for alias in node.names)]
    return tuple(names)


def weights_checksum(network: str, options: Mapping[str, Any]) -> str | None:
    """SHA-256 (16 hex digits) of the files that a network's options name: the weights it begins with.

    Args:
        network: A registered name or that of a torchvision classifier.
        options: Options of the network.

    Returns:
        Digest over the contents, wherever the files lie; None where the options name no file that is there.

    Example:
        >>> print(weights_checksum("small_cnn", {"width": 12}))
        None
    """
    digests = []
    for path in _option_files(network, options):
        info = path.stat()
        digests.append(_file_digest(str(path), info.st_size, info.st_mtime_ns))
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16] if digests else None


def _option_files(network: str, options: Mapping[str, Any]) -> list[Path]:
    from trainable.networks.base import list_networks

    files = named_files(options)
    for name, value in options.items():
        if value == "imagenet" and network not in list_networks():
            from trainable.networks.torchvision import imagenet_file

            files[name] = imagenet_file(network)[0]
    return [files[name] for name in sorted(files) if files[name].is_file()]


def named_files(options: Mapping[str, Any]) -> dict[str, Path]:
    """Files that options name, by the option.

    Except for ``weights``, a value without a dot or a slash is no path.

    Args:
        options: Options of a data set or of a network.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        ...     list(named_files({"weights": file.name, "width": 12, "norm": "batch"}))
        ['weights']
    """
    texts = {name: value for name, value in options.items() if isinstance(value, str) and value != "imagenet"}
    paths = {
        name: expanded(value) for name, value in texts.items() if name == "weights" or "/" in value or "." in value
    }
    return {name: path for name, path in paths.items() if is_file(path)}


@functools.lru_cache(maxsize=8)
def _file_digest(path: str, size: int, changed: int) -> bytes:
    # Size and time only tell the cache that the file is another one.
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@functools.cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    # platform.processor() is empty on most Linux systems.
    return platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    """Name of the processor or of the card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MiB: of torch on the card, or of the whole process on a CPU.

    Example:
        >>> peak_memory_mb(torch.device("cpu")) > 0
        True
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # In bytes on macOS, in KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
