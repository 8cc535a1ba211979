"""Check that workers run the driver's code.

Workers look for our packages first where the driver has them, and a worker with other code is refused.

Ray puts the current directory of the driver, or the working directory of a submitted job, before everything else on the
path of its workers, so that a package or file ``trainable`` there would be imported in place of ours.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cluster.ray_private import worker_scripts
from orchestrator.process.log import passed_over
from orchestrator.process.own_packages import NAMES, holder
from store.errors import InputError
from trainable.texts import one_line

_UNLOADABLE = "failed to import on the worker"
"""Ray's words for a worker that lacks a module, or a name in it, which was sent to it."""

NODE_SECONDS = 60.0
"""Longest time in which a node reports its code.

A slower node is compared when it is given its first trial.
"""

Code = tuple[str, str, str]
"""Folder of the package ``trainable``, digest of the source that trials run, and name of the host."""


@dataclass(frozen=True)
class _Tools:
    """Functions that can be sent to a worker that has none of our code."""

    read: Callable[[], Code]
    adopt: Callable[[str, str], None]
    adoption: Callable[[str, str], object]
    difference: Callable[[Code, Code], str | None]


def _tools() -> _Tools:
    hold, names = holder(), NAMES

    # A function within a function travels by value: on a worker with other code there may be no module to import.
    def digest_of(folders: Mapping[str, str]) -> str:
        import hashlib
        import pathlib

        digest = hashlib.sha256()
        for package, folder in folders.items():
            for path in sorted(pathlib.Path(folder).rglob("*.py")):
                digest.update(f"{package}/{path.relative_to(folder)}\n".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    def read() -> Code:
        import importlib.util
        import socket

        folders = {}
        for package in ("store", "trainable"):
            spec = importlib.util.find_spec(package)
            locations = list(spec.submodule_search_locations or ()) if spec is not None else []
            folders[package] = locations[0] if locations else str(spec and spec.origin)
        return folders["trainable"], digest_of(folders), socket.gethostname()

    def adopt(root: str, digest: str) -> None:
        import importlib.util

        specs = [importlib.util.find_spec(package) for package in ("store", "trainable", "orchestrator")]
        if all(spec is not None and spec.origin == f"{root}/{spec.name}/__init__.py" for spec in specs):
            return
        if digest_of({package: f"{root}/{package}" for package in ("store", "trainable")}) == digest:
            hold(root, names)

    def adoption(root: str, digest: str) -> object:
        class Adoption:
            # Tune unpickles a trainable in the driver too, before it sends it to workers: what comes out must let them
            # adopt our packages as what went in did.
            def __reduce__(self) -> tuple[Callable[[str, str], object], tuple[str, str]]:
                return adoption, (root, digest)

        adopt(root, digest)
        return Adoption()

    def difference(there: Code, here: Code) -> str | None:
        if there[1] == here[1]:
            return None
        if (there[0], there[2]) == (here[0], here[2]):
            return (
                f"the code in {there[0]} has changed since the sweep began, and a new worker would run the new "
                "one: resume the sweep, which compares what makes the numbers"
            )
        return (
            f"workers must run the driver's code, but {there[0]} on node {there[2]} is not that of {here[0]} on "
            f"{here[2]}: install the same version in both places, or start where no other folder of that name is "
            "found first"
        )

    return _Tools(read, adopt, adoption, difference)


_TOOLS = _tools()
read_code = _TOOLS.read
"""Function that returns the code which trials of the calling process run."""


def with_our_code(work: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that a worker, before it loads it, looks for our packages where this process has them.

    Args:
        work: The function to call on the worker.

    Returns:
        A function with the same parameters. Where the worker's node has other code in that folder, or none, it uses
        the code that the worker finds by itself.

    Example:
        >>> with_our_code(max)([2, 5, 3])
        5
    """
    adopt, ours, content = _TOOLS.adopt, read_code(), cloudpickle.dumps(work)
    root = os.path.dirname(ours[0])  # noqa: PTH120

    def call(*arguments: Any) -> Any:
        import pickle

        adopt(root, ours[1])
        return pickle.loads(content)(*arguments)

    return call


def compared(base: type, name: str, members: dict[str, Any]) -> type:
    """Make a trainable that runs a trial only where its worker has the code of this process.

    Args:
        base: The trainable. It is pickled by reference, so that a worker runs the one that it finds: that of this
            process, where its node has the same files in the same folder.
        name: Name of the new class.
        members: Attributes of the new class.

    Returns:
        The class. On a worker with other code, the first result holds ``halt``, the reason in words.
    """
    ours, tools = read_code(), _TOOLS
    read, difference = tools.read, tools.difference

    class Adopted:
        # A class is unpickled with what it holds, and the first of a class's bases before the others.
        adopted = tools.adoption(os.path.dirname(ours[0]), ours[1])  # noqa: PTH120

    class Compared(Adopted, base):  # type: ignore[misc]
        def setup(self, config: Any) -> None:
            # Once a process: code that was imported does not change any more.
            if not hasattr(self, "_other_code"):
                self._other_code = difference(read(), ours)
            if self._other_code is None:
                super().setup(config)

        def reset_config(self, new_config: Any) -> bool:
            return self._other_code is not None or bool(super().reset_config(new_config))

        def step(self) -> Any:
            if self._other_code is None:
                return super().step()
            nothing = {"epoch": 0, "value": float("nan"), "history": [], "row": None}
            return {**nothing, "halt": self._other_code, "away": False, "done": True}

    for key, value in {**members, "__name__": name, "__qualname__": name}.items():
        setattr(Compared, key, value)
    return Compared


def check_nodes() -> None:
    """Refuse a connected cluster with a node that would run other code, before anything is written.

    Nodes without processors never train and are not asked. Nodes that join later, or are slow to answer, are compared
    when they are given their first trial.

    Raises:
        InputError: One would. Both folders are named.
    """
    ours, read = read_code(), with_our_code(_TOOLS.read)
    asked = [
        ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))(
            read
        ).remote()
        for node in (node["NodeID"] for node in ray.nodes() if node["Alive"] and _trains(node["Resources"]))
    ]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=NODE_SECONDS) if asked else ([], [])
    for reference in ready:
        # A node that is lost meanwhile is none to refuse.
        with contextlib.suppress(ray.exceptions.RayError):
            other = _TOOLS.difference(ray.get(reference), ours)
            if other is not None:
                raise InputError(other)


def _trains(resources: Mapping[str, float]) -> bool:
    return resources.get("CPU", 0.0) > 0


def check_loaded(error: BaseException | None, node: str | None = None) -> None:
    """Refuse to go on where a worker could not load the trainable.

    Every trial would fail like the first one.

    Args:
        error: Exception by which Ray reports the end of a worker.
        node: Ray's identifier of its node; None = not known.

    Raises:
        InputError: It could not import our code, or something that it needs.
    """
    text = str(error)
    if _UNLOADABLE not in text:
        return
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    raise InputError(
        f"workers must run the driver's code, but one cannot load that of {read_code()[0]} on {socket.gethostname()} "
        f"({one_line(_seen(last, node), 300)}): install the same version on every node, or start where no other "
        "folder or file 'trainable' is found first"
    )


def _seen(last: str, node: str | None) -> str:
    """Last line of a worker's import error, and the folder that the worker finds in place of our package."""
    # By itself Ray would start where none runs.
    if not ray.is_initialized():
        return last
    with passed_over("the look for the code of a worker"):
        where = NodeAffinitySchedulingStrategy(node, soft=True) if node else None
        location, _, host = ray.get(ray.remote(num_cpus=0, scheduling_strategy=where)(_TOOLS.read).remote(), timeout=30)
        return f"{last}; it finds {location} on node {host}"
    return last


@contextlib.contextmanager
def code_first() -> Iterator[None]:
    """Make, within the block, the current directory one in which workers may look for modules first.

    Ray puts the driver's current directory before all else on the path of its workers. The block uses the folder of our
    packages, where this process has it on its path. An installed package is found without that: the block then uses
    the folder of Ray's own worker script, which is on a worker's path in any case.
    """
    root = os.path.realpath(Path(__file__).parents[2])
    path = {os.path.realpath(entry) for entry in sys.path if Path(entry).is_absolute()}
    # Before the standard library they would hide modules of it.
    installed = {os.path.realpath(entry) for entry in sysconfig.get_paths().values()}
    home = root if root in path - installed else str(worker_scripts())
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(home)
        yield
    finally:
        os.fchdir(before)
        os.close(before)
