"""Small files that are rewritten under one name: each carries a checksum, by which a reader tells torn bytes.

Whoever reads a key of an object store while it is being overwritten can get bytes of both versions. A local file is
replaced by renaming, so its readers need not look at the checksum.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

REWRITTEN = (".yaml", ".json", ".jsonl")
"""Endings of such files."""
KEY = "checksum"
_MARK = f"# {KEY}: "
_READINGS = 20
PAUSE_SECONDS = 0.2


def seal_json(entry: Mapping[str, Any]) -> bytes:
    """A mapping as one line of JSON with a checksum of the rest as its last key."""
    plain = {name: value for name, value in entry.items() if name != KEY}
    return json.dumps({**plain, KEY: _sum(json.dumps(plain))}).encode()


def seal_yaml(text: str) -> bytes:
    """YAML with a checksum of what stands above it as a last comment."""
    text = text if text.endswith("\n") else f"{text}\n"
    return f"{text}{_MARK}{_sum(text)}\n".encode()


def is_whole(name: str, data: bytes) -> bool:
    """Whether the checksum of a file is there and agrees."""
    try:
        text = data.decode()
        if name.endswith(".yaml"):
            above, mark, found = text.rpartition(_MARK)
            return bool(mark) and found == f"{_sum(above)}\n"
        return all(_agrees(line) for line in text.splitlines()) and (text.endswith("\n") or name.endswith(".json"))
    except (ValueError, AttributeError):
        return False


def read_whole(name: str, read: Callable[[], bytes]) -> bytes:
    """Read a file again until it is whole; one that stays the same is as whole as it gets (written by hand, say).

    Args:
        name: Its name, which says how the checksum is written.
        read: Reads it once.

    Returns:
        Its bytes.
    """
    before: bytes | None = None
    data = b""
    for reading in range(_READINGS):
        if reading:
            time.sleep(PAUSE_SECONDS)
        data = read()
        if is_whole(name, data) or (data == before and _is_readable(name, data)):
            break
        before = data
    return data


def _is_readable(name: str, data: bytes) -> bool:
    """Whether a file without a checksum may have been meant like this; a cut JSON file never was."""
    try:
        if name.endswith(".json"):
            json.loads(data)
        return True
    except ValueError:
        return False


def _agrees(line: str) -> bool:
    entry = json.loads(line)
    return bool(entry.pop(KEY, None) == _sum(json.dumps(entry)))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
