"""Fetching an article's files from figshare: resumable, size and MD5 checked against figshare's metadata."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainable.errors import InputError

API = "https://api.figshare.com/v2/articles/1512427"
PAGE = "https://figshare.com/articles/dataset/brain_tumor_dataset/1512427"
_TIMEOUT = 30
_CHUNK = 1 << 20
_UNREACHABLE = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)

Progress = Callable[[int, int], None]
"""Function that is called with (bytes there, bytes in all)."""


def download(folder: Path, progress: Progress = lambda done, total: None, api: str | None = None) -> Path:
    """Fetch every file of the article into a folder.

    Files that are there and right are not fetched again.

    Args:
        folder: Where to put them; a part of a file (``.part``) that lies there is continued.
        progress: Called as bytes arrive.
        api: Address of the article's metadata; default: ``API``.

    Returns:
        The folder.

    Raises:
        InputError: figshare cannot be reached, a file differs from its size or MD5, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(api or API, timeout=_TIMEOUT) as answer:
            files = _files(json.load(answer))
        total, before = sum(size for _, size, _, _ in files), 0
        for name, size, md5, address in files:
            _fetch(folder / name, size, md5, address, _shifted(progress, before, total))
            before += size
    except (*_UNREACHABLE, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"figshare cannot be reached from here ({_reason(error)}): download the archive from {PAGE} in a browser "
            "and run lnl-sweep data prepare brain_mri --from 1512427.zip"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write the download to '{folder}': {error.strerror}; name another folder") from error
    return folder


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", None) or error
    return " ".join(str(cause).split()) or type(error).__name__


def _shifted(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)


def _files(article: Any) -> list[tuple[str, int, str, str]]:
    """Name (without any path), size, MD5 and address of each file."""
    return [
        (Path(file["name"]).name, int(file["size"]), file["computed_md5"] or file["supplied_md5"], file["download_url"])
        for file in article["files"]
    ]


def _fetch(target: Path, size: int, md5: str, address: str, progress: Callable[[int], None]) -> None:
    if target.is_file() and target.stat().st_size == size and _md5(target) == md5:
        progress(size)
        return
    part = target.with_name(f"{target.name}.part")
    done = part.stat().st_size if part.is_file() else 0
    if done > size:
        part.unlink()
        done = 0
    if done < size:
        request = urllib.request.Request(address, headers={"Range": f"bytes={done}-"} if done else {})
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            # A server that ignores the range (200 instead of 206) sends the file from its beginning.
            if done and answer.status != http.client.PARTIAL_CONTENT:
                done = 0
            with part.open("r+b" if done else "wb") as file:
                file.seek(done)
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    progress(done)
    received = part.stat().st_size
    if received < size:
        raise ConnectionError(
            f"the connection ended at {received} of {size} bytes of {target.name}; start again to go on"
        )
    if received != size or _md5(part) != md5:
        part.unlink()
        raise InputError(f"{target.name} must have {size} bytes and MD5 {md5}, but what came differs: start again")
    part.replace(target)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
