"""Secrets that are planted in a process's environment, looked for in every form in which a file may hold them."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

PLANTED: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDBYTHETESTS",
    "AWS_SECRET_ACCESS_KEY": "planted/Secret+OfTheTests0123456789abcd",
    "AWS_SESSION_TOKEN": "plantedTokenOfTheTests/0123456789abcdefghij==",
    "AWS_SECURITY_TOKEN": "plantedOldTokenOfTheTests0123456789abcdef",
    "GOOGLE_APPLICATION_CREDENTIALS": "/planted/google/of/the/tests.json",
    "WANDB_API_KEY": "plantedWandbKeyOfTheTests0123456789abcdef",
}
"""Variables and what stands in them; no server knows them."""


def holding(places: Iterable[Path], secrets: Iterable[str]) -> list[Path]:
    """Files in which a secret stands.

    Args:
        places: Files and folders.
        secrets: What is looked for: as it is, in two-byte characters, hexadecimal, in base64, and all of that
            compressed (gzip, zip, zlib, Parquet).

    Returns:
        The files, sorted.
    """
    wanted = {form for secret in secrets for form in forms(secret)}
    return [path for path in files(places) if any(form in data for data in contents(path) for form in wanted)]


def files(places: Iterable[Path]) -> list[Path]:
    """All regular files in these places, none twice."""
    found = {path for place in places for path in ([place] if place.is_file() else place.rglob("*"))}
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def forms(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    yield plain
    yield secret.encode("utf-16-le")
    yield plain.hex().encode()
    for before in range(3):
        # Three places at which it may begin; the characters at both ends depend on what stands beside it.
        coded = base64.b64encode(b"\0" * before + plain)
        yield coded[4 if before else 0 : len(coded) // 4 * 4 - 4]


def contents(path: Path) -> Iterator[bytes]:
    try:
        data = path.read_bytes()
    except OSError:
        return
    yield str(path).encode()
    yield data
    if data.startswith(b"PAR1"):
        yield repr(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
    elif data.startswith(b"PK\3\4"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda"):
        yield zlib.decompress(data)


def listening(processes: Iterable[int]) -> dict[tuple[str, str], list[int]]:
    """Addresses that processes listen on: (program, address as the kernel writes it) -> ports."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                sockets[f"socket:[{fields[9]}]"] = fields[1].rsplit(":", 1)
    found: dict[tuple[str, str], list[int]] = {}
    for process in processes:
        try:
            name = Path(f"/proc/{process}/comm").read_text().strip()
            links = [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()]
        except OSError:
            continue
        for link in set(links) & sockets.keys():
            address, port = sockets[link]
            found.setdefault((name, address), []).append(int(port, 16))
    return found
