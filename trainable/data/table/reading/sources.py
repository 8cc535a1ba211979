"""Files by their address: a path on this machine, or ``s3://bucket/key``, which a table may mix."""

from __future__ import annotations

import functools
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from store.errors import Refused, Unreachable
from store.local import expanded, read_regular
from store.object_store import ObjectFolder, hide_credentials, refuse_credentials
from trainable.errors import DataOutOfReach, InputError

READ_SECONDS = 60.0
"""Retry budget of an object store for one file, seconds."""
_SLICE = re.compile(r"(?i)(.*\.nii(?:\.gz)?)#z=(\d+)")

State = tuple[int, int]
"""Bytes of a file, and the time of its last change in nanoseconds."""


def is_remote(address: str) -> bool:
    """True for an address in an object store.

    Example:
        >>> is_remote("s3://bucket/a.csv"), is_remote("/data/a.csv"), is_remote("file:///data/a.csv")
        (True, False, False)
    """
    return "://" in address and not address.startswith("file://")


def slice_of(address: str) -> tuple[str, int | None]:
    """Part an address of a slice of a volume, ``scan.nii.gz#z=12``, into file and slice.

    Example:
        >>> slice_of("/data/scan.nii.gz#z=12"), slice_of("/data/a#z=1.png")
        (('/data/scan.nii.gz', 12), ('/data/a#z=1.png', None))
    """
    matched = _SLICE.fullmatch(address)
    return (matched[1], int(matched[2])) if matched else (address, None)


def absolute(address: str, base: str | None = None) -> str:
    """Absolute address of a file that a table names.

    Args:
        address: A path, absolute or not, in which ``~`` is the home folder; ``file://`` and a path; or ``s3://...``.
        base: Address of the table, beside which a path that is not absolute lies; None = the current folder.

    Raises:
        InputError: There is no home folder, or credentials stand in the address.

    Example:
        >>> absolute("images/a.png", "/data/labels.csv"), absolute("a.png", "s3://bucket/set/labels.csv?region=eu")
        ('/data/images/a.png', 's3://bucket/set/a.png?region=eu')
    """
    if is_remote(address):
        refuse_credentials(address)
        if not re.match(r"[^:]+://[^/?]+/[^?]", address):
            raise InputError(f"a file in an object store is s3://BUCKET/KEY, but got {shown(address)}: name its key")
        return address
    text = address.removeprefix("file://")
    if base is None or text.startswith(("~", "/")):
        return str(expanded(text))
    if is_remote(base):
        folder, _, query = base.partition("?")
        return f"{folder.rsplit('/', 1)[0]}/{PurePosixPath(text)}" + (f"?{query}" if query else "")
    return str(Path(base).parent / text)


def shown(address: str) -> str:
    """Address as a message may show it.

    Example:
        >>> shown("s3://KEY:SECRET@bucket/a.csv")
        's3://...@bucket/a.csv'
    """
    return hide_credentials(address)


def read_file(address: str) -> bytes:
    """Read a file.

    Args:
        address: Absolute path, or address in an object store.

    Raises:
        FileNotFoundError: There is none of that name.
        InputError: It is no file, or may not be read.
        Unreachable: It lies in a store that does not answer.
    """
    if not is_remote(address):
        return read_regular(Path(address))
    folder, name = _parted(address)
    return _folder(folder).read(name)


def states(addresses: Iterable[str]) -> Mapping[str, State | None]:
    """Size and time of files, without reading them.

    In an object store the folders are listed, a request for a thousand files.

    Args:
        addresses: Absolute paths and addresses in object stores.

    Returns:
        The state of each, by address; None where there is no such file.

    Raises:
        InputError: A store refuses, or does not answer.
    """
    found: dict[str, State | None] = {}
    listed: dict[str, Mapping[str, State]] = {}
    for address in addresses:
        if not is_remote(address):
            found[address] = _state(address)
            continue
        folder, name = _parted(address)
        if folder not in listed:
            try:
                listed[folder] = _folder(folder).states()
            except (Refused, Unreachable) as error:
                raise DataOutOfReach(
                    f"{shown(folder)} cannot be listed ({error.reason}): check the address and the credentials"
                ) from error
        found[address] = listed[folder].get(name)
    return found


def _state(path: str) -> State | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _parted(address: str) -> tuple[str, str]:
    path, _, query = address.partition("?")
    folder, _, name = path.rpartition("/")
    return folder + (f"?{query}" if query else ""), name


@functools.lru_cache(maxsize=64)
def _folder(address: str) -> ObjectFolder:
    return ObjectFolder.at(address).patiently(READ_SECONDS)
