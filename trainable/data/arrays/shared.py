"""Prepared data sets: mapped from this node's cache, where one process copies them from the place that all nodes share.

The place is named by ``LNL_SWEEP_DATA``, a folder or ``s3://bucket/prefix``, with a folder of arrays for each data set.
Where it is set it decides which data a sweep runs on: whatever else lies in the cache is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import Unreachable
from store.folder import CHECK_SECONDS, Folder
from store.object_store import hide_credentials
from store.open import folder_at
from trainable.data.arrays.cache import cache_folder, locked
from trainable.data.arrays.folder import (
    MANIFEST,
    Arrays,
    Manifest,
    checksum,
    drafted,
    load_arrays,
    remove_drafts,
    sound_arrays,
)
from trainable.environment import DATA
from trainable.errors import DamagedFile, DataOutOfReach, InputError

COPY_PATIENCE_SECONDS = 60.0
"""Retry budget, in seconds, of a store that is unavailable in the middle of a copy."""


def prepared_arrays(name: str) -> tuple[Arrays, str] | None:
    """Map a prepared data set into memory, after copying it from the shared place if need be.

    Args:
        name: Name of its folder, in the cache and in the shared place.

    Returns:
        The arrays, read only, and their checksum; None where ``LNL_SWEEP_DATA`` is not set and the cache has none.

    Raises:
        InputError: The shared place cannot be used, lacks the data set or holds it torn, or the cache cannot be
            written.
        Unreachable: The shared place is in a store that does not answer, and the cache has no copy.
    """
    folder = cache_folder() / name
    address = os.environ.get(DATA)
    if not address:
        try:
            return sound_arrays(folder)
        except DamagedFile as error:
            raise DamagedFile(f"{error}: prepare it again with lnl-sweep data prepare {name} --from PATH") from error
    cached = _sound(folder)
    with _named(address):
        try:
            source = _source(address).child(name)
            manifest = _manifest(source, name)
        except Unreachable:
            if cached is not None:
                return cached
            raise
        if cached is not None and cached[1] == manifest.checksum:
            return cached
        with locked(folder) as alone:
            cached = _sound(folder)
            if cached is None or cached[1] != manifest.checksum:
                if alone:
                    remove_drafts(folder)
                _copy(source.patiently(COPY_PATIENCE_SECONDS), folder, manifest)
                cached = load_arrays(folder)
    return cached


def _sound(folder: Path) -> tuple[Arrays, str] | None:
    try:
        return sound_arrays(folder)
    except DamagedFile:
        # The shared place has it whole.
        return None


def share(name: str, shared: Folder) -> str:
    """Put a data set of this machine's cache where all nodes can reach it.

    The manifest is written last, and that of other data is removed first: there is never one beside arrays that it does
    not describe.

    Args:
        name: Name of its folder in the cache.
        shared: What ``LNL_SWEEP_DATA`` is going to name.

    Returns:
        Where it lies.

    Raises:
        InputError: The cache does not hold it, or holds it damaged, or the place cannot be written.
        Unreachable: The store did not answer for too long.
    """
    folder = cache_folder() / name
    loaded = load_arrays(folder)
    if loaded is None:
        raise InputError(
            f"{name} is not prepared (nothing in {folder}), so there is nothing to put in {shared.uri}: add --from PATH"
        )
    arrays, expected = loaded
    if checksum(arrays) != expected:
        raise InputError(f"{name} in {folder} differs from its checksum {expected[:12]}: prepare it again with --from")
    target, text = shared.child(name), (folder / MANIFEST).read_bytes()
    try:
        old = Manifest.read(b"".join(target.pieces(MANIFEST))).checksum
    except (FileNotFoundError, ValueError):
        old = None
    except Unreachable:
        raise
    except OSError as error:
        raise InputError(f"cannot read {target.uri}/{MANIFEST}: {error.strerror or error}") from error
    if old != expected:
        target.remove(MANIFEST)
    for array in arrays:
        target.upload(folder / f"{array}.npy", f"{array}.npy")
    target.write(MANIFEST, text)
    return target.uri


@contextmanager
def _named(address: str) -> Iterator[None]:
    address = hide_credentials(address)
    try:
        yield
    except InputError as error:
        raise DataOutOfReach(f"{DATA} is '{address}': {error}") from error
    except Unreachable as error:
        raise Unreachable(
            f"{DATA} is '{address}': {error}; check the address, AWS_ENDPOINT_URL and the network"
        ) from error


def _source(address: str) -> Folder:
    try:
        return folder_at(address)
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            # The store did not answer when it was asked for the bucket's region.
            raise Unreachable(str(error)) from error
        raise


def _manifest(source: Folder, name: str) -> Manifest:
    try:
        return Manifest.read(b"".join(source.patiently(CHECK_SECONDS).pieces(MANIFEST)))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise _torn(source, name, f"its {MANIFEST} cannot be read") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"there is no {name} in it (no {name}/{MANIFEST}): put it there with lnl-sweep data prepare {name} --to "
            "PLACE, or correct the variable"
        ) from error
    except Unreachable:
        raise
    except OSError as error:
        raise InputError(f"{source.uri}/{MANIFEST} cannot be read: {error.strerror or error}") from error


def _copy(source: Folder, folder: Path, manifest: Manifest) -> None:
    try:
        with drafted(folder, replace=True) as draft:
            for name in [f"{array}.npy" for array in manifest.arrays] + [MANIFEST]:
                with (draft / name).open("wb") as file:
                    for piece in source.pieces(name):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
            copied = load_arrays(draft)
            if copied is None or copied[1] != manifest.checksum or checksum(copied[0]) != manifest.checksum:
                raise _torn(
                    source,
                    folder.name,
                    f"its arrays differ from the checksum {manifest.checksum[:12]} of its {MANIFEST}",
                )
    except Unreachable:
        raise
    except FileNotFoundError as error:
        raise _torn(source, folder.name, "a file is missing") from error
    except OSError as error:
        raise InputError(
            f"{source.uri} cannot be copied to {folder}: {error.strerror or error}; free space there, or set "
            "LNL_SWEEP_CACHE to a folder that can be written"
        ) from error


def _torn(source: Folder, name: str, why: str) -> InputError:
    return InputError(
        f"{source.uri} is not whole ({why}): put it there again with lnl-sweep data prepare {name} --to PLACE"
    )
