"""Files of an unfinished trial: its checkpoints and its predictions, each sealed under the trial's name."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from store.folder import Folder
from store.sealed import seal_bytes, unseal_bytes

OPEN = "trials_open"
CHECKPOINT = "checkpoint.pt"
PREDICTIONS = "predictions.arrow"
_WRITE_ONCE = re.compile(r"checkpoint-(\d+)-[0-9a-f]+\.pt")


def trial_folder(sweep: Folder, trial_id: str) -> Folder:
    """Directory of an unfinished trial: ``trials_open/<trial_id>``.

    Example:
        >>> from store.open import folder_at
        >>> trial_folder(folder_at("/data/sweep"), "cell-r0-007").uri
        '/data/sweep/trials_open/cell-r0-007'
    """
    return sweep.child(OPEN, trial_id)


def checkpoint_names(folder: Folder) -> list[str]:
    """Names of a trial's checkpoints, the newest first: more than one only in an object store.

    Example:
        >>> import tempfile
        >>> from store.open import folder_at
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_checkpoint(folder_at(folder), b"state", epoch=1)
        ...     checkpoint_names(folder_at(folder))
        ['checkpoint.pt']
    """
    names = folder.names()
    numbered = sorted(((int(m[1]), name) for name in names if (m := _WRITE_ONCE.fullmatch(name))), reverse=True)
    return [name for name in names if name == CHECKPOINT] + [name for _, name in numbered]


def sealed_about(folder: Folder, kind: str) -> str:
    """Name under which a file of an open trial is sealed: its kind, and the trial in whose folder it must lie.

    Example:
        >>> from store.open import folder_at
        >>> sealed_about(folder_at("/data/sweep/trials_open/cell-r0-007"), "checkpoint")
        'checkpoint of cell-r0-007'
    """
    return f"{kind} of {folder.name}"


def write_checkpoint(folder: Folder, data: bytes, epoch: int) -> None:
    """Write a checkpoint, sealed, and remove those it replaces.

    A local file is replaced by renaming. In an object store a reader of a key that is being overwritten gets bytes of
    both, so each checkpoint is a new key, ``checkpoint-<epoch>-<random>.pt``, and the old ones go after it is whole.

    Args:
        folder: The trial's directory.
        data: What ``Trainer.state`` returned.
        epoch: Epochs that are done.

    Example:
        >>> import tempfile
        >>> from store.open import folder_at
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_checkpoint(folder_at(folder), b"state", epoch=1)
        ...     folder_at(folder).names()
        ['checkpoint.pt']
    """
    data = seal_bytes(sealed_about(folder, "checkpoint"), data)
    if folder.local is not None:
        folder.write(CHECKPOINT, data)
        return
    old = checkpoint_names(folder)
    folder.write(f"checkpoint-{epoch:06d}-{secrets.token_hex(4)}.pt", data)
    for name in old:
        folder.remove(name)


def read_checkpoint(folder: Folder, name: str) -> memoryview:
    """A checkpoint as ``Trainer.state`` gave it.

    Args:
        folder: The trial's directory.
        name: One of ``checkpoint_names``.

    Raises:
        FileNotFoundError: There is none of that name.
        DamagedFile: Its checksum does not agree.

    Example:
        >>> import tempfile
        >>> from store.open import folder_at
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_checkpoint(folder_at(folder), b"state", epoch=1)
        ...     bytes(read_checkpoint(folder_at(folder), CHECKPOINT))
        b'state'
    """
    return unseal_bytes(sealed_about(folder, "checkpoint"), folder.read(name))


def write_predictions(folder: Folder, columns: Mapping[str, Any]) -> None:
    """Leave a trial's predictions in its folder, sealed, for the driver.

    Args:
        folder: The trial's directory.
        columns: Columns of ``predictions``, of one length.

    Example:
        >>> import tempfile
        >>> from store.open import folder_at
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_predictions(folder_at(folder), {"label": [0, 1], "predicted": [0, 0]})
        ...     folder_at(folder).names()
        ['predictions.arrow']
    """
    folder.write(PREDICTIONS, seal_bytes(sealed_about(folder, "predictions"), arrow_bytes(columns)))


def read_predictions(folder: Folder) -> memoryview:
    """The predictions in a trial's folder, as an Arrow IPC file.

    Raises:
        FileNotFoundError: There are none.
        DamagedFile: Their checksum does not agree.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa
        >>> from store.open import folder_at
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_predictions(folder_at(folder), {"label": [0, 1], "predicted": [0, 0]})
        ...     pa.ipc.open_file(read_predictions(folder_at(folder))).read_all().to_pydict()
        {'label': [0, 1], 'predicted': [0, 0]}
    """
    return unseal_bytes(sealed_about(folder, "predictions"), folder.read(PREDICTIONS))


def arrow_bytes(columns: Mapping[str, Any]) -> bytes:
    """Columns as an Arrow IPC file, which the driver turns into Parquet.

    Args:
        columns: Lists or NumPy arrays of one length.

    Returns:
        The file; read it with ``pyarrow.ipc.open_file``.

    Example:
        >>> import pyarrow as pa
        >>> pa.ipc.open_file(arrow_bytes({"label": [0, 1]})).read_all().to_pydict()
        {'label': [0, 1]}
    """
    import pyarrow as pa

    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
