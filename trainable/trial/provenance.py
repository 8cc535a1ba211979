"""Origin of a row: versions, source, device.

Rows are compared only where these agree.
"""

from __future__ import annotations

import ast
import dataclasses
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
from trainable.plugins import module_of, source_of
from trainable.registry import Registry
from trainable.spec import TrialSpec


@functools.cache
def package_version() -> str:
    """Version of this package, or "0" where it is not installed."""
    return _version("lnl-sweep")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
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


def dataset_checksum(name: str, options: Mapping[str, Any] | None = None) -> str:
    """SHA-256 (16 hex digits) of the source that decides what a data set draws and paints.

    Its own ``checksum`` says which images it has; how they are painted is in its code.

    Args:
        name: A registered name.
        options: Options of the data set, some of which may name code.

    Returns:
        Digest over the file of its factory, those of the code that its options name, and what they import of
        ``trainable.data`` or, where they are a user's own, of their package and folder and of other plug-ins.

    Example:
        >>> len(dataset_checksum("coloured_digits"))
        16
    """
    from trainable.data.base import DATASETS

    factory = DATASETS.find(name)
    modules = [] if factory is None else [factory.__module__]
    modules += _code_of(DATASETS, name, options or {})
    return _digest(name, modules, "trainable.data", _SHARED_DATA)


def _code_of(registry: Registry[Any], name: str, options: Mapping[str, Any]) -> list[str]:
    """Modules that hold the code which options name."""
    named = [options[option] for option in registry.code(name) if options.get(option) is not None]
    return [module_of(text) for text in named if isinstance(text, str)]


_SHARED_METHODS = ("trainable.methods.base", "trainable.methods.contract")
_SHARED_DATA = tuple(f"trainable.data.{name}" for name in ("base", "contract", "parts", "view", "arrays.cache"))
_SHARED_NETWORKS = tuple(f"trainable.networks.{name}" for name in ("base", "build", "modes"))
"""Modules that networks import and that are no part of any of them: their numbers are versioned by ``NUMERICS``."""


def network_checksum(network: str, options: Mapping[str, Any] | None = None) -> str:
    """SHA-256 (16 hex digits) of the source that decides what a network computes.

    Args:
        network: A registered name or that of a torchvision classifier.
        options: Options of the network, some of which may name code.

    Returns:
        Digest over the file of its builder, those of the code that its options name, and what they import of
        ``trainable.networks`` or, where they are a user's own, of their package and folder and of other plug-ins. A
        network typed into an interpreter, whose source cannot be read, is told apart by its name alone, and one of timm
        by its name and timm's version.

    Example:
        >>> network_checksum("small_cnn") == network_checksum("pixel_front")
        False
    """
    from trainable.networks.base import NETWORKS, TIMM, network_module

    modules = [network_module(network), *_code_of(NETWORKS, network, options or {})]
    name = network
    if network.startswith(TIMM):
        # The layers of a model are in timm's own source, which its version stands for.
        name = f"{network} {_version('timm')}"
    return _digest(name, modules, "trainable.networks", _SHARED_NETWORKS)


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
            or source_of(imported) is not None
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

    None of an installed one, whose neighbours have nothing to do with it, and of a plug-in, which has all that it
    needs in the sweep.
    """
    if source_of(module) is not None:
        return None
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
    plugin = source_of(module)
    if plugin is not None:
        # Its file may have changed since it was loaded, or lie on another machine.
        return plugin
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


def files_checksum(dataset: str, options: Mapping[str, Any]) -> str | None:
    """SHA-256 (16 hex digits) of the files that a data set's options name, where it has declared these options.

    The data set's own ``checksum`` may not say everything about them. Where the data set says what is left
    (``files_content``), it stands for their bytes.

    Args:
        dataset: A registered name.
        options: Options of the data set.

    Returns:
        Digest over the contents, wherever the files lie; None where the options name no file that is there. Folders,
        and what lies in an object store, are not read.

    Example:
        >>> print(files_checksum("coloured_digits", {"image_size": 14}))
        None
    """
    from trainable.data.base import DATASETS, load_dataset

    paths = [path for path in declared_paths(DATASETS, dataset, options).values() if is_file(path)]
    if not paths:
        return None
    content = load_dataset(dataset, **options).files_content()
    return _contents_digest(paths) if content is None else content[:16]


def bytes_checksum(dataset: str, options: Mapping[str, Any]) -> str | None:
    """Checksum of the declared files where every byte of them counts, by which a node compares its own.

    Args:
        dataset: A registered name.
        options: Options of the data set.

    Returns:
        ``files_checksum``, or None where the data set says itself what counts: its own checksum is compared then.

    Example:
        >>> print(bytes_checksum("coloured_digits", {}))
        None
    """
    from trainable.data.base import load_dataset

    return files_checksum(dataset, options) if load_dataset(dataset, **options).files_content() is None else None


def declared_paths(registry: Registry[Any], name: str, options: Mapping[str, Any]) -> dict[str, Path]:
    """Files and folders that declared options name, by the option.

    Args:
        registry: Registry of the data sets or of the networks.
        name: A registered name.
        options: Its options.

    Returns:
        Absolute paths, which need not exist; a relative one begins in the current folder. Addresses in an object store
        and torchvision's ``imagenet`` are left out.

    Example:
        >>> from trainable.networks.base import NETWORKS
        >>> declared_paths(NETWORKS, "resnet18", {"weights": "/data/xnet.pt", "split_at": "layer2"})
        {'weights': PosixPath('/data/xnet.pt')}
    """
    named = {option: options.get(option) for option in registry.files(name)}
    return {
        option: expanded(value)
        for option, value in sorted(named.items())
        if isinstance(value, str) and value and "://" not in value and value != "imagenet"
    }


def without_paths(spec: TrialSpec) -> TrialSpec:
    """Specification without the paths of declared files, whose contents have checksums of their own.

    Two that are equal name the same trial, wherever its files lie.

    Args:
        spec: The trial.

    Example:
        >>> from trainable.api import make_spec
        >>> spec = make_spec("coloured_digits", network_options={"weights": "/a/x.pt"}, color_variance=0.02)
        >>> without_paths(spec).network_options
        {'weights': ''}
    """
    return moved(spec, {}, {})


def moved(spec: TrialSpec, dataset_options: Mapping[str, Any], network_options: Mapping[str, Any]) -> TrialSpec:
    """Specification with the paths of declared files taken from other options.

    Args:
        spec: The trial.
        dataset_options: Options of the data set that name them.
        network_options: Options of the network that name them.

    Example:
        >>> from trainable.api import make_spec
        >>> spec = make_spec("coloured_digits", network_options={"weights": "/a/x.pt"}, color_variance=0.02)
        >>> moved(spec, {}, {"weights": "/b/x.pt"}).network_options
        {'weights': '/b/x.pt'}
    """
    from trainable.data.base import DATASETS
    from trainable.networks.base import NETWORKS

    dataset = declared_paths(DATASETS, spec.dataset, spec.dataset_options)
    network = declared_paths(NETWORKS, spec.network, spec.network_options)
    return dataclasses.replace(
        spec,
        dataset_options={**spec.dataset_options, **{name: dataset_options.get(name, "") for name in dataset}},
        network_options={**spec.network_options, **{name: network_options.get(name, "") for name in network}},
    )


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
    paths = _option_files(network, options)
    return _contents_digest(paths) if paths else None


def _contents_digest(paths: Iterable[Path]) -> str:
    digests = []
    for path in paths:
        info = path.stat()
        digests.append(_file_digest(str(path), info.st_size, info.st_mtime_ns))
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


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
