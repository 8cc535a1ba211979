"""Key of the hashes that stand for patients: random, made once, in a file of its own beside the prepared arrays.

It lies outside their folder, so that nothing which copies the arrays (to other nodes, into an object store) takes it
along; whoever has the arrays needs no key, since the hashes stand in them.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import stat
from pathlib import Path

from store.folder import replacing
from trainable.errors import InputError

BYTES = 32


def key_file(folder: Path) -> Path:
    """Path of the file that holds the key of a folder of arrays.

    Example:
        >>> key_file(Path("brain_mri")).name
        'brain_mri.key'
    """
    return folder.with_name(f"{folder.name}.key")


def key_beside(folder: Path) -> bytes | None:
    """Read the key of a folder of arrays.

    Permissions that let other users read its file are taken away.

    Args:
        folder: The folder; it need not exist.

    Returns:
        The key; None where there is none yet.

    Raises:
        InputError: What lies there is no key, or cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as cache:
        ...     print(key_beside(Path(cache, "brain_mri")))
        None
    """
    path = key_file(folder)
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            with contextlib.suppress(OSError):
                path.chmod(0o600)
        text = path.read_bytes().decode("ascii", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(
            f"the key of {folder.name} cannot be read from {path} ({error.strerror}): make it readable for you"
        ) from error
    if not re.fullmatch(rf"[0-9a-f]{{{2 * BYTES}}}", text):
        raise InputError(
            f"{path} must hold the key of {folder.name}, {2 * BYTES} hexadecimal digits, but it holds {len(text)} "
            f"characters of something else: restore it, or move it and {folder} away to prepare anew with another key"
        )
    return bytes.fromhex(text)


def make_key(folder: Path) -> bytes:
    """Make the key of a folder of arrays.

    The caller holds the folder's lock.

    Args:
        folder: The folder; it need not exist.

    Returns:
        ``BYTES`` random bytes.

    Raises:
        InputError: It cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as cache:
        ...     make_key(Path(cache, "brain_mri")) == key_beside(Path(cache, "brain_mri"))
        True
    """
    path, key = key_file(folder), secrets.token_bytes(BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, mode=0o600) as file:
            file.write(f"{key.hex()}\n".encode("ascii"))
    except OSError as error:
        raise InputError(f"cannot write to the cache {path}: {error.strerror}; set LNL_SWEEP_CACHE") from error
    return key
