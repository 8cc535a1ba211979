"""Workers run the driver's code: they look for it first where the driver has it, and other code is refused.

Ray puts the current directory of the driver before everything else on the path of its workers, so that a folder or file
``trainable`` there would be imported in place of ours.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cluster.ray_private import worker_scripts
from orchestrator.process.log import passed_over
from store.errors import InputError
from trainable.texts import one_line

_UNLOADABLE = "failed to import on the worker"
"""In Ray's words: what was sent to the worker needs a module that it has not, or that lacks something."""

Code = tuple[str, str, str]
"""Folder of the package ``trainable``, digest of the source that trials run, and host."""


def _reader() -> Callable[[], Code]:
    # A function within a function travels by value: on a worker with other code there may be no module to import.
    def read() -> Code:
        import hashlib
        import importlib.util
        import pathlib
        import socket

        digest, folder = hashlib.sha256(), ""
        for package in ("store", "trainable"):
            spec = importlib.util.find_spec(package)
            locations = list(spec.submodule_search_locations or ()) if spec is not None else []
            folder = locations[0] if locations else str(spec and spec.origin)
            for path in sorted(pathlib.Path(folder).rglob("*.py")):
                digest.update(f"{package}/{path.relative_to(folder)}\n".encode())
                digest.update(path.read_bytes())
        return folder, digest.hexdigest()[:16], socket.gethostname()

    return read


read_code = _reader()
"""The code that trials of this process run."""


def compared(base: type, name: str, members: dict[str, Any]) -> type:
    """A trainable that runs a trial only where its worker has the code of this process.

    Args:
        base: The trainable; it travels by reference, so that a worker runs the one that it finds.
        name: Name of the new class.
        members: Attributes of the new class.

    Returns:
        The class. On a worker with other code its first result holds ``halt``, the reason in words.
    """
    ours, read = read_code(), _reader()

    class Compared(base):  # type: ignore[misc]
        def setup(self, config: Any) -> None:
            # Once a process: code that was imported does not change any more.
            if not hasattr(self, "_other_code"):
                location, digest, host = read()
                there = f"{location} on node {host}"
                here = f"{ours[0]} on {ours[2]}"
                if digest == ours[1]:
                    self._other_code = None
                elif there == here.replace(" on ", " on node ", 1):
                    self._other_code = (
                        f"the code in {location} has changed since the sweep began, and a new worker would run the new "
                        "one: resume the sweep, which compares what makes the numbers"
                    )
                else:
                    self._other_code = (
                        f"workers must run the driver's code, but {there} is not that of {here}: install the same "
                        "version in both places, or start where no other folder of that name is found first"
                    )
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


def check_loaded(error: BaseException | None, node: str | None = None) -> None:
    """Refuse to go on where a worker could not load the trainable: every trial would fail like the first.

    Args:
        error: What Ray says of the end of a worker.
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
    """Last line of what the worker's import said, and the place it finds in place of our package."""
    # By itself Ray would start where none runs.
    if not ray.is_initialized():
        return last
    with passed_over("the look for the code of a worker"):
        where = NodeAffinitySchedulingStrategy(node, soft=True) if node else None
        location, _, host = ray.get(ray.remote(num_cpus=0, scheduling_strategy=where)(_reader()).remote(), timeout=30)
        return f"{last}; it finds {location} on node {host}"
    return last


@contextlib.contextmanager
def code_first() -> Iterator[None]:
    """Within the block, the current directory is one in which workers may look for modules before all others.

    That is the folder of our packages where this process has it on its path. An installed package is found without it,
    and then it is the folder of Ray's own worker script, which is on a worker's path in any case.
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
