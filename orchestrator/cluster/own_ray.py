"""Protection of a local Ray, and of its files, from other users and other machines."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path

import ray

from orchestrator.cluster.ray_private import ensure_token
from store.errors import InputError
from store.object_store import CREDENTIALS

LOOPBACK = "127.0.0.1"
_TOKEN, _TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
"""Variables that give Ray a token, or a file with one, in place of ``~/.ray/auth_token``."""
_SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST_SOCKET = 107 if sys.platform != "darwin" else 103


def refuse_credentials_of_a_job() -> None:
    """Refuse credentials in the runtime environment of this process's workers, set by ``ray job submit`` for example.

    Raises:
        InputError: There are some, and Ray has written them into its logs.
    """
    variables = ray.get_runtime_context().runtime_env.get("env_vars") or {}
    names = [name for name in CREDENTIALS if name in variables]
    if names:
        raise InputError(
            f"credentials must not stand in a runtime environment, which Ray writes into its logs, but {names[0]} "
            "does: replace these credentials, and set the new ones where the driver starts (docs/s3.md)"
        )


def check_loopback() -> None:
    """Refuse a local Ray that other machines can reach.

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
    """Make the file ``~/.ray/auth_token`` of a local Ray, readable by its user alone.

    Where the home folder is read-only or missing, the token lies in the private folder of the local Ray's files. Where
    there is no such folder either, it lies in the environment of this process and its children.
    """
    before = os.umask(0o077)
    try:
        ensure_token(_make_token_elsewhere)
    finally:
        os.umask(before)


def _make_token_elsewhere() -> bool:
    if os.environ.get(_TOKEN_PATH) or os.environ.get(_TOKEN):
        return False
    closed = private_folder()
    if closed is None:
        os.environ[_TOKEN] = secrets.token_hex(32)
        return True
    path = Path(closed).parent / "auth_token"
    if not path.is_file():
        path.write_text(secrets.token_hex(32), encoding="ascii")
    os.environ[_TOKEN_PATH] = str(path)
    return True


def close_token() -> None:
    """Keep others from reading a token file that an earlier Ray has left open to them."""
    with contextlib.suppress(OSError, RuntimeError):
        path = Path.home() / ".ray" / "auth_token"
        status = path.stat()
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
            path.chmod(0o600)


def private_folder() -> str | None:
    """Make a folder for the files of a local Ray, within one that other users may not enter.

    Ray opens its folder and those of its sessions to everybody, again whenever a worker starts. Only a folder around
    them can therefore be closed.

    Returns:
        The folder; None where it cannot be made, or where the paths of Ray's sockets would be too long. Then the files
        lie where Ray puts them, open to all users of the machine.
    """
    system = os.environ.get("TMPDIR") if sys.platform.startswith("linux") else None
    base = os.environ.get("RAY_TMPDIR") or system or "/tmp"
    closed = Path(base, f"lnl-{os.geteuid()}").absolute()
    if len(os.fsencode(closed / "ray" / _SOCKET)) > _LONGEST_SOCKET:
        return None
    with contextlib.suppress(OSError):
        closed.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = closed.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
            closed.chmod(0o700)
            return str(closed / "ray")
    return None
