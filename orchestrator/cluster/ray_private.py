"""Protection of secrets from Ray's files, and of a Ray of our own from others, mostly by private attributes of Ray.

Each function notices that a Ray keeps these things elsewhere: none of them then does nothing without a word.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import secrets
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray

from store.errors import InputError
from store.object_store import CREDENTIALS

LOOPBACK = "127.0.0.1"
_TOKEN, _TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
"""Variables by which Ray is given a token, or the file of one, in place of ``~/.ray/auth_token``."""
AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
"""Ports of a node's two agents, as ``start_raylet`` takes them and as the files are called that hold them."""
_SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST_SOCKET = 107 if sys.platform != "darwin" else 103


@contextlib.contextmanager
def no_variables_in_runtime_environments() -> Iterator[None]:
    """Within the block, Tune gives its workers none of this process's variables.

    By itself it puts ``AWS_SECRET_ACCESS_KEY`` and others into the workers' runtime environment, which Ray writes into
    a log that everybody on the node may read. Workers get what they need with the trainable's class.

    Raises:
        InputError: Credentials are set, and this Ray would write them down all the same.
    """
    try:
        from ray.tune.execution import class_cache
    except ImportError:
        class_cache = None
    before = getattr(class_cache, "ENV_VARS_TO_PROPAGATE", None)
    if before is not None:
        class_cache.ENV_VARS_TO_PROPAGATE = frozenset()
    try:
        told = _told_by_tune(class_cache)
        names = [name for name in CREDENTIALS if name in os.environ and (told is None or name in told)]
        if names:
            raise InputError(
                f"Ray {ray.__version__} writes {', '.join(names)} into its logs, which is known to be prevented for "
                "2.60: install ray==2.60.0, or unset the variables"
            )
        yield
    finally:
        if before is not None:
            class_cache.ENV_VARS_TO_PROPAGATE = before


def _told_by_tune(class_cache: Any) -> Mapping[str, str] | None:
    """The variables that Tune gives to a worker, by name; None where it does not say."""
    try:
        worker = class_cache._ActorClassCache().get(type("Worker", (), {}))
        return dict(worker._default_options["runtime_env"]["env_vars"])
    except (AttributeError, KeyError, TypeError):
        return None


def refuse_credentials_of_a_job() -> None:
    """Refuse credentials in the runtime environment that this process's workers are given, by ``ray job submit`` say.

    Raises:
        InputError: There are some; Ray has written them into its logs.
    """
    told = ray.get_runtime_context().runtime_env.get("env_vars") or {}
    names = [name for name in CREDENTIALS if name in told]
    if names:
        raise InputError(
            f"credentials must not stand in a runtime environment, which Ray writes into its logs, but {names[0]} "
            "does: replace these credentials, and set the new ones where the driver starts (docs/s3.md)"
        )


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Within the block, a Ray that is started takes the loopback for its node's address, and listens there alone.

    Ray does so on macOS and Windows. Elsewhere it replaces a loopback address that it is given.
    """
    from ray._private import ray_constants

    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    if before is None:
        # Seen by ``check_loopback``.
        yield
        return
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def slow_agents_awaited() -> Iterator[None]:
    """Within the block, a node starts however long its two agents, programs in Python, take to be there.

    Ray's raylet waits 15 s, a time that nothing can change, for the files in which they leave their ports, and then
    ends itself, while the driver goes on waiting for it: on a machine that is busy with other things no sweep would
    start. Here the ports are chosen and written down beforehand; the agents take them.
    """
    try:
        from ray._private import services
    except ImportError:
        yield
        return
    start = services.start_raylet
    signature = inspect.signature(start)
    known = {*AGENT_PORTS, "session_dir", "node_id"} <= signature.parameters.keys()

    def start_with_ports(*values: Any, **named: Any) -> Any:
        given = signature.bind_partial(*values, **named)
        with contextlib.ExitStack() as held:
            for name in AGENT_PORTS:
                port = given.arguments.get(name) or _free_port(held)
                file = Path(given.arguments["session_dir"], f"{name}_{given.arguments['node_id']}")
                file.write_text(str(port))
                given.arguments[name] = port
        return start(*given.args, **given.kwargs)

    services.start_raylet = start_with_ports if known else start
    try:
        yield
    finally:
        services.start_raylet = start


def _free_port(held: contextlib.ExitStack) -> int:
    # Held until all are chosen, so that no two are the same.
    found = held.enter_context(socket.socket())
    found.bind((LOOPBACK, 0))
    port: int = found.getsockname()[1]
    return port


def check_loopback() -> None:
    """Refuse a Ray of our own that other machines can reach.

    Raises:
        InputError: Its node has another address than the loopback.
    """
    address = ray.util.get_node_ip_address()
    if address != LOOPBACK:
        raise InputError(
            f"a local Ray must listen on {LOOPBACK} alone, but that of version {ray.__version__} listens on {address}: "
            "install ray==2.60.0, or start a cluster by yourself (ray start --head) and give --address"
        )


def make_token() -> None:
    """Make ``~/.ray/auth_token``, where a Ray of one's own would make it, for the eyes of its user alone.

    Where it cannot be made, with a home folder that is read-only or missing, the token lies in the closed folder of our
    own Ray's files, or where there is none in this process and its children.
    """
    try:
        from ray._private.authentication import authentication_token_setup as setup

        enable, ensure = setup.enable_token_auth_by_default, setup.ensure_token_if_auth_enabled
    except (ImportError, AttributeError):
        # A Ray that asks for no token, or makes it in another way: ``close_token`` comes after it.
        return
    before, logger = os.umask(0o077), logging.getLogger(setup.__name__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        enable()
        try:
            ensure()
        except Exception:
            if os.environ.get(_TOKEN_PATH) or os.environ.get(_TOKEN):
                raise
            _make_token_elsewhere()
            setup.AuthenticationTokenLoader.instance().reset_cache()
            ensure()
    finally:
        logger.setLevel(level)
        os.umask(before)


def _make_token_elsewhere() -> None:
    closed = private_folder()
    if closed is None:
        os.environ[_TOKEN] = secrets.token_hex(32)
        return
    path = Path(closed).parent / "auth_token"
    if not path.is_file():
        path.write_text(secrets.token_hex(32), encoding="ascii")
    os.environ[_TOKEN_PATH] = str(path)


def close_token() -> None:
    """Keep others from reading a token file that an earlier Ray has left open to them."""
    with contextlib.suppress(OSError, RuntimeError):
        path = Path.home() / ".ray" / "auth_token"
        found = path.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o600)


def private_folder() -> str | None:
    """Make the folder for the files of a Ray of our own, in one that others may not enter.

    Ray opens its folder and those of its sessions to everybody, again whenever a worker starts: what is to be closed is
    the folder around them.

    Returns:
        The folder; None where there can be none, or where the paths of Ray's sockets would be too long: then its files
        lie where Ray puts them, open to all users of the machine.
    """
    system = os.environ.get("TMPDIR") if sys.platform.startswith("linux") else None
    base = os.environ.get("RAY_TMPDIR") or system or "/tmp"
    closed = Path(base, f"lnl-{os.geteuid()}").absolute()
    if len(os.fsencode(closed / "ray" / _SOCKET)) > _LONGEST_SOCKET:
        return None
    with contextlib.suppress(OSError):
        closed.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = closed.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            closed.chmod(0o700)
            return str(closed / "ray")
    return None
