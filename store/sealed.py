"""Checksums inside files: text that is rewritten under one name, and bytes that are written once.

Disks, copies and editors change bytes without a word, and whoever reads a key of an object store while it is being
overwritten can get bytes of both versions. A sealed file tells in either case.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

from store.errors import DamagedFile

REWRITTEN = (".yaml", ".json", ".jsonl")
"""Endings of files that are rewritten under one name, as text."""
CHECKED = (".yaml", ".json")
"""Endings of files that have one checksum for the whole text.

In a file of lines (``.jsonl``) each line has a checksum of its own.
"""
KEY = "checksum"
PAUSE_SECONDS = 0.2

_MARK = f"# {KEY}: "
_SHEET = re.compile(rb"# lnl-sweep sheet of sweep ([0-9a-f]{16}):[^\n]*\n")
_READINGS = 20
_STEADY = 5
"""Number of equal readings after which a file counts as one that is not being written."""
_TRAILER = b"\nlnl-sweep sha256 "
_TRAILER_BYTES = len(_TRAILER) + 64


def digest(data: bytes | memoryview) -> str:
    """First 16 hexadecimal characters of the SHA-256, as ``sha256sum FILE`` begins.

    Example:
        >>> digest(b"")
        'e3b0c44298fc1c14'
    """
    return hashlib.sha256(data).hexdigest()[:16]


def seal_json(entry: Mapping[str, Any]) -> bytes:
    """Write a mapping as one line of JSON with a checksum of the rest as its last key.

    Example:
        >>> seal_json({"status": "completed"})
        b'{"status": "completed", "checksum": "9e644bfbd7b95295"}'
    """
    # An entry that was read from a file still holds its old checksum.
    plain = {name: value for name, value in entry.items() if name != KEY}
    return json.dumps({**plain, KEY: _sum(json.dumps(plain))}).encode()


def seal_yaml(text: str) -> bytes:
    """Append to YAML, as a last comment, a checksum of the text above it.

    Example:
        >>> print(seal_yaml("seed: 1").decode(), end="")
        seed: 1
        # checksum: adf0396d435b4047
    """
    text = text if text.endswith("\n") else f"{text}\n"
    return f"{text}{_MARK}{_sum(text)}\n".encode()


def seal_sheet(text: str, sweep: str) -> bytes:
    """Seal a sweep's sheet, YAML that begins with the identity of the sweep.

    Unlike other YAML it counts as damaged where it has lost its checksum.

    Args:
        text: The YAML.
        sweep: Identity of the sweep, 16 hexadecimal characters, which also stands in each of its parts.

    Example:
        >>> seal_sheet("seed: 1", "0123456789abcdef")[:43]
        b'# lnl-sweep sheet of sweep 0123456789abcdef'
    """
    head = f"# lnl-sweep sheet of sweep {sweep}: changed by lnl-sweep resume DIR --set key=value, never by hand"
    return seal_yaml(f"{head}\n{text}")


def sweep_of_sheet(data: bytes) -> str | None:
    """Identity of the sweep whose sheet this is, or None.

    A sheet of an older version, or one written by hand, names no sweep.

    Example:
        >>> sweep_of_sheet(seal_sheet("seed: 1", "0123456789abcdef"))
        '0123456789abcdef'
    """
    match = _SHEET.match(data)
    return match[1].decode() if match else None


def seal_bytes(about: str, data: bytes) -> bytes:
    r"""Append a SHA-256 to some bytes.

    ``unseal_bytes`` gives the bytes back.

    Args:
        about: Name of what they are, which goes into the checksum: under another name they are not believed.
        data: The bytes.

    Example:
        >>> seal_bytes("a note", b"content")[:25]
        b'content\nlnl-sweep sha256 '
    """
    return b"".join([data, _TRAILER, _bytes_sum(about, memoryview(data))])


def unseal_bytes(about: str, data: bytes) -> memoryview:
    """Return the bytes as they were before ``seal_bytes``, not copied.

    Args:
        about: Name of what they must be.
        data: The sealed bytes.

    Raises:
        DamagedFile: The checksum is missing or does not agree.

    Example:
        >>> bytes(unseal_bytes("a note", seal_bytes("a note", b"content")))
        b'content'
        >>> unseal_bytes("another note", seal_bytes("a note", b"content"))
        Traceback (most recent call last):
            ...
        store.errors.DamagedFile: another note is damaged (its checksum does not agree)
    """
    content, trailer = memoryview(data)[:-_TRAILER_BYTES], data[-_TRAILER_BYTES:]
    if not trailer.startswith(_TRAILER):
        raise DamagedFile(f"{about} is cut short or damaged (its checksum is missing)")
    if _bytes_sum(about, content) != trailer[len(_TRAILER) :]:
        raise DamagedFile(f"{about} is damaged (its checksum does not agree)")
    return content


def _bytes_sum(about: str, data: memoryview) -> bytes:
    total = hashlib.sha256(f"{about}\n".encode())
    total.update(data)
    return total.hexdigest().encode()


def seal_tensors(data: bytes) -> bytes:
    """Put the SHA-256 of a safetensors file into its metadata.

    The result is still a file that every tool can read.

    Args:
        data: The file, with metadata.

    Example:
        >>> import numpy as np
        >>> from safetensors.numpy import load, save
        >>> load(seal_tensors(save({"bias": np.zeros(2)}, {"epoch": "3"})))
        {'bias': array([0., 0.])}
    """
    header, tensors = _tensor_parts(data)
    header["__metadata__"] = {**header.get("__metadata__", {}), "sha256": _tensor_sum(header, tensors)}
    text = json.dumps(header).encode()
    # As the library pads it: the tensors begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + tensors


def check_tensors(name: str, data: bytes) -> dict[str, str]:
    """Check a safetensors file against the checksum in its metadata.

    A file of an older version has no checksum, and passes.

    Args:
        name: Its name, for the message.
        data: The file.

    Returns:
        The metadata.

    Raises:
        DamagedFile: It is not such a file, or its checksum does not agree.

    Example:
        >>> import numpy as np
        >>> from safetensors.numpy import save
        >>> check_tensors("model", seal_tensors(save({"bias": np.zeros(2)}, {"epoch": "3"})))["epoch"]
        '3'
    """
    try:
        header, tensors = _tensor_parts(data)
        meta = dict(header.get("__metadata__", {}))
        agrees = "sha256" not in meta or meta["sha256"] == _tensor_sum(header, tensors)
    except (ValueError, AttributeError, TypeError, struct.error, RecursionError) as error:
        raise DamagedFile(f"{name} is not a readable safetensors file: it is cut short or damaged") from error
    if not agrees:
        raise DamagedFile(f"{name} is damaged (its checksum does not agree)")
    return meta


def _tensor_parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise ValueError("the header is longer than the file")
    return dict(json.loads(data[8 : 8 + length])), data[8 + length :]


def _tensor_sum(header: Mapping[str, Any], tensors: bytes) -> str:
    meta = {key: value for key, value in header.get("__metadata__", {}).items() if key != "sha256"}
    total = hashlib.sha256(json.dumps({**header, "__metadata__": meta}, sort_keys=True).encode())
    total.update(tensors)
    return total.hexdigest()


def is_whole(name: str, data: bytes) -> bool:
    """True where the checksum of a text file is there and agrees.

    Args:
        name: Its name, which says how the checksum is written.
        data: Its bytes.

    Example:
        >>> is_whole("a.json", seal_json({"seed": 1})), is_whole("a.json", b'{"seed": 1, "checksum": "0"}')
        (True, False)
    """
    try:
        text = data.decode()
        if name.endswith(".yaml"):
            above, mark, checksum = text.rpartition(_MARK)
            return bool(mark) and checksum == f"{_sum(above)}\n"
        # Lines are appended: one without its end was being written, or was cut off.
        return all(_agrees(line) for line in text.splitlines()) and (text.endswith("\n") or name.endswith(".json"))
    except (ValueError, AttributeError, RecursionError):
        return False


def check_whole(name: str, data: bytes, address: str) -> bytes:
    """Return the bytes of a text file whose checksum agrees, or that never had one.

    A file of an older version, or one written by hand, has none.

    Args:
        name: Its name, which says how the checksum is written.
        data: Its bytes.
        address: Its address, for the message.

    Raises:
        DamagedFile: Its checksum does not agree, or it is cut short.

    Example:
        >>> check_whole("a.json", b'{"seed": 1, "checksum": "0"}', "sweep/a.json")
        Traceback (most recent call last):
            ...
        store.errors.DamagedFile: sweep/a.json has changed since it was written (its checksum does not ...
    """
    if not is_whole(name, data) and not _never_sealed(name, data):
        raise DamagedFile(f"{address} has changed since it was written (its checksum does not agree): {_mend(name)}")
    return data


def read_whole(name: str, read: Callable[[], bytes]) -> bytes:
    """Read a file again and again until it is whole, or stays the same.

    Args:
        name: Its name, which says how the checksum is written.
        read: Reads it once.

    Returns:
        Its bytes; ``check_whole`` says whether they are to be believed.

    Example:
        >>> read_whole("a.json", lambda: seal_json({"seed": 1}))
        b'{"seed": 1, "checksum": "a4bbadc1c78966d2"}'
    """
    before: bytes | None = None
    data, same = b"", 0
    for reading in range(_READINGS):
        if reading:
            time.sleep(PAUSE_SECONDS)
        data = read()
        same = same + 1 if data == before else 0
        if is_whole(name, data) or (same and _never_sealed(name, data)) or same >= _STEADY:
            break
        before = data
    return data


def _never_sealed(name: str, data: bytes) -> bool:
    """True where a file that is not whole may have been meant like this."""
    if name.endswith(".yaml"):
        # One character of the mark may be what is damaged; a sheet of this version always has one.
        return _MARK.encode() not in data and b"# lnl-sweep sheet" not in data[:200]
    try:
        lines = data.decode().splitlines()
        entries = [json.loads(line) for line in lines] if name.endswith(".jsonl") else [json.loads(data)]
    except (ValueError, RecursionError):
        return False
    return all(isinstance(entry, dict) and KEY not in entry for entry in entries)


def _mend(name: str) -> str:
    if name.endswith("sweep.yaml"):
        return (
            "undo what was edited or restore it from a copy; a sweep is changed with lnl-sweep resume DIR --set "
            "key=value"
        )
    return "restore it from a copy, or remove it"


def _agrees(line: str) -> bool:
    entry = json.loads(line)
    return isinstance(entry, dict) and entry.pop(KEY, None) == _sum(json.dumps(entry))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
