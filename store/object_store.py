"""The only client of object stores: each request has a time limit, and is repeated with back-off.

The store's own client gives up two seconds after a refused connection, and waits long where a server hangs; its
``request_timeout`` has no effect on Linux. So every request runs in a thread that is left to itself when time is up.
"""

from __future__ import annotations

import functools
import os
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from store import folder
from store.errors import InputError, Refused, Unreachable
from store.folder import CHECK_SECONDS, Folder, explained

T = TypeVar("T")

RETRY_SECONDS = 900.0
"""Retry budget of a request, seconds.

Once it is spent, a sweep ends in order, to be resumed, and a reader reports that the store is unavailable.
"""
REQUEST_SECONDS = 30.0
BYTES_PER_SECOND = 500_000
"""Rate by which the time limit of a request grows with its bytes."""
READ_SECONDS = 300.0
LATE_SECONDS = 60.0
"""Longest time that a deletion waits for a write that was given up, seconds."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
"""Environment variables that hold the credentials of a store, and are never written to a file."""

# The one list of what is final, since only the user can mend it; anything else may pass by itself.
_REFUSED = (
    *("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "Bucket '"),
    *("INVALID_CLIENT_TOKEN_ID", "ExpiredToken", "REQUEST_TIME_TOO_SKEWED", "InvalidAccessKeyId", "NoSuchBucket"),
    *("HTTP status 301", "HTTP status 403", "PermanentRedirect", "AuthorizationHeaderMalformed"),
    # An answer to HEAD has no body that would name the cause; to one as ours 400 means the credentials or the region.
    "(HTTP status 400) during HeadObject",
)
_GONE = ("NO_SUCH_KEY", "NoSuchKey", "RESOURCE_NOT_FOUND", "HTTP status 404")

_late_writes: dict[str, list[threading.Thread]] = {}
_late = threading.Lock()
_jitter = random.Random()  # never the random numbers of a trial


def refuse_credentials(address: str) -> None:
    """Refuse an address that holds credentials, such as ``s3://KEY:SECRET@bucket``.

    Addresses stand in messages, in logs and in Ray Tune's files.

    Args:
        address: Address of a place in an object store.

    Raises:
        InputError: Credentials stand in the address, which the message does not repeat.

    Example:
        >>> refuse_credentials("s3://KEY:SECRET@bucket/sweep")
        Traceback (most recent call last):
            ...
        store.errors.InputError: an address must not hold credentials, but 's3://...@bucket/sweep' does: ...
    """
    if hide_credentials(address) != address:
        raise InputError(
            f"an address must not hold credentials, but '{hide_credentials(address)}' does: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, and leave them out of it"
        )


def hide_credentials(address: str) -> str:
    """Return an address without the part in which credentials stand.

    Example:
        >>> hide_credentials("s3://KEY:SECRET@bucket/sweep")
        's3://...@bucket/sweep'
    """
    # A secret key may hold slashes. Without a colon before it, an @ belongs to the name of a folder.
    return re.sub(r"^s3://([^/?#]*|[^/?#]*:[^?#]*)@", "s3://...@", address)


@dataclass(frozen=True)
class ObjectStore:
    """A pyarrow file system whose requests end, one way or the other.

    Attributes:
        filesystem: The file system.
        budget: Seconds for which a request is repeated; 0 = it is made once.
    """

    filesystem: Any
    budget: float = RETRY_SECONDS

    @classmethod
    def open(cls, uri: str) -> tuple[ObjectStore, str]:
        """Connect to the store of an address.

        Args:
            uri: ``s3://bucket/path``, an endpoint and a region as a query if need be.

        Returns:
            The store, and the path in it.

        Raises:
            InputError: The scheme is unknown, credentials stand in the address, or the store cannot be reached.
        """
        import pyarrow as pa

        refuse_credentials(uri)
        if uri.startswith("s3://") and ("AWS_ACCESS_KEY_ID" in os.environ or "AWS_ENDPOINT_URL" in os.environ):
            # Credentials and region need not be asked of a cloud's metadata server, which answers late or never.
            os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
        try:
            filesystem, path = _within(REQUEST_SECONDS, lambda: _opened(uri, _identity(uri)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            reason = _first_line(error)
            raise Refused(f"'{uri}' is not a directory that can be used: {reason}", reason) from error
        except OSError as error:
            reason = _first_line(error)
            raise Refused(
                f"cannot reach {uri}: {reason}; check the bucket, AWS_ENDPOINT_URL and the network", reason
            ) from error
        if not path:
            raise Refused(f"'{uri}' is not a directory that can be used: it names no bucket", "it names no bucket")
        return cls(filesystem), path

    def patiently(self, seconds: float) -> ObjectStore:
        """Return the same store with another retry budget, in seconds."""
        return replace(self, budget=seconds)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""

        def work() -> bytes:
            with self.filesystem.open_input_stream(path) as stream:
                return bytes(stream.read())

        return self._repeat(f"read {path}", READ_SECONDS, work)

    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of a file, at most ``size`` at a time: each piece is a request, repeated by itself."""
        offset, end = 0, 1
        while offset < end:
            data, end = self._piece(path, offset, size)
            yield data
            offset += len(data)

    def _piece(self, path: str, offset: int, size: int) -> tuple[bytes, int]:
        def work() -> tuple[bytes, int]:
            # Opened anew: what a request that was given up has in hand may still move.
            with self.filesystem.open_input_file(path) as stream:
                stream.seek(offset)
                data, end = bytes(stream.read(size)), int(stream.size())
            if len(data) != min(size, end - offset):
                raise OSError(f"{len(data)} bytes came from {offset} on, of {end} in all")
            return data, end

        return self._repeat(f"read {path}", REQUEST_SECONDS + size / BYTES_PER_SECOND, work)

    def upload(self, source: Path, path: str, size: int) -> None:
        """Copy a local file, at most ``size`` bytes at a time in memory."""

        def work() -> None:
            with source.open("rb") as file:
                stream = self.filesystem.open_output_stream(path)
                while data := file.read(size):
                    stream.write(data)
                    # Otherwise pyarrow keeps in memory what the network has not taken yet.
                    stream.flush()
                stream.close()

        seconds = REQUEST_SECONDS + source.stat().st_size / BYTES_PER_SECOND
        self._repeat(f"write to {path}", seconds, work, path)

    def write(self, path: str, data: bytes) -> None:
        """Write a file, which appears whole."""

        def work() -> None:
            stream = self.filesystem.open_output_stream(path)
            stream.write(data)
            stream.close()

        self._repeat(f"write to {path}", REQUEST_SECONDS + len(data) / BYTES_PER_SECOND, work, path)

    def exists(self, path: str) -> bool:
        """Report whether there is such a file or directory."""
        from pyarrow import fs

        info = self._repeat(f"look for {path}", REQUEST_SECONDS, lambda: self.filesystem.get_file_info(path))
        return bool(info.type != fs.FileType.NotFound)

    def modified(self, path: str) -> float:
        """Time at which a file was last written, by the store's clock, seconds since 1970."""
        info = self._repeat(f"look for {path}", REQUEST_SECONDS, lambda: self.filesystem.get_file_info(path))
        if info.mtime is None:
            raise FileNotFoundError(f"there is no {path}")
        return float(info.mtime.timestamp())

    def entries(self, path: str) -> list[tuple[str, int | None]]:
        """Entries directly in a directory, as (name, bytes).

        In place of its bytes a directory has None. A missing directory is empty.
        """
        from pyarrow import fs

        selector = fs.FileSelector(path, allow_not_found=True)
        infos = self._repeat(f"list {path}", READ_SECONDS, lambda: self.filesystem.get_file_info(selector))
        return [(e.base_name, None if e.type == fs.FileType.Directory else e.size) for e in infos]

    def states(self, path: str) -> dict[str, tuple[int, int]]:
        """Bytes of the files directly in a directory, and the times at which they were written, nanoseconds."""
        from pyarrow import fs

        selector = fs.FileSelector(path, allow_not_found=True)
        infos = self._repeat(f"list {path}", READ_SECONDS, lambda: self.filesystem.get_file_info(selector))
        return {e.base_name: (e.size, e.mtime_ns or 0) for e in infos if e.type == fs.FileType.File}

    def delete(self, path: str) -> None:
        """Delete a file, after waiting for writes to it that were given up.

        What is deleted must not come back.
        """
        self.settle(path)
        self._repeat(f"delete {path}", REQUEST_SECONDS, lambda: self.filesystem.delete_file(path))

    def delete_tree(self, path: str) -> None:
        """Delete a directory and everything in it, after waiting for writes there that were given up."""
        self.settle(path)
        self._repeat(f"delete {path}", READ_SECONDS, lambda: self.filesystem.delete_dir(path))

    def settle(self, path: str) -> None:
        """Wait for requests that were given up and may still write to a path, or below it."""
        _await_late_writes(path)

    def _repeat(self, action: str, seconds: float, work: Callable[[], T], written: str | None = None) -> T:
        begin, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                return _within(seconds, work, written)
            except FileNotFoundError:
                raise
            except OSError as error:
                text, reason = str(error), _first_line(error)
                # A bucket that is missing is "not found" too: it is asked for first.
                if any(mark in text for mark in _REFUSED):
                    raise Refused(
                        f"cannot {action}: {reason}; name a bucket that exists and is writable, "
                        "and check the credentials",
                        reason,
                    ) from error
                if any(mark in text for mark in _GONE):
                    raise FileNotFoundError(text) from error
                left = self.budget - (time.monotonic() - begin)
                if left <= 0:
                    raise Unreachable(f"cannot {action}: {reason}", reason) from error
            # At random, or all workers that lost the store at once would come back at once.
            time.sleep(min(pause, left) * _jitter.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)


@dataclass(frozen=True)
class ObjectFolder(Folder):
    """A directory of an object store.

    Attributes:
        store: The store.
        scheme: What stands before ``://`` in its address.
        path: Bucket and path, without a slash at its end.
        query: What stands behind in its address, with its question mark.
    """

    store: ObjectStore
    scheme: str
    path: str
    query: str = ""

    @classmethod
    def at(cls, uri: str) -> ObjectFolder:
        """The directory of an address.

        Args:
            uri: ``s3://bucket/path``. An endpoint and a region may follow as a query,
                ``s3://bucket/path?endpoint_override=http://host:port&region=us-east-1``.

        Raises:
            InputError: The scheme is unknown, credentials stand in the address, or the store cannot be reached.
        """
        refuse_credentials(uri)
        base, _, query = uri.partition("?")
        scheme, asked = base.partition("://")[0], query
        if scheme == "s3" and "allow_delayed_open" not in query:
            # One request for a small file instead of three.
            asked = f"{query}&allow_delayed_open=true".lstrip("&")
        store, path = ObjectStore.open(f"{base.rstrip('/')}?{asked}".rstrip("?"))
        return cls(store, scheme, path, f"?{query}" if query else "")

    @property
    def uri(self) -> str:
        """Address with its query."""
        return f"{self.scheme}://{self.path}{self.query}"

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def child(self, *parts: str) -> Self:
        """Return the directory below."""
        return replace(self, path="/".join([self.path, *parts]))

    def patiently(self, seconds: float) -> Self:
        """Return the same directory with another retry budget."""
        return replace(self, store=self.store.patiently(seconds))

    def check_usable(self) -> None:
        """Refuse a store that cannot be used, before anything depends on it."""
        probe, name = self.patiently(CHECK_SECONDS), f".probe-{secrets.token_hex(4)}"
        try:
            probe.write(name, b"probe")
            read = probe.read(name)
            probe.names()
            probe.remove(name)
        except Unreachable as error:
            raise InputError(f"{error}; check the address, AWS_ENDPOINT_URL and the network") from error
        except FileNotFoundError:
            read = b""
        if read != b"probe":
            raise InputError(f"{self.uri} does not give back what is written to it: choose another place")

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}" if name else self.path

    def _written(self, name: str) -> AbstractContextManager[None]:
        return explained("write to", self.uri if self.query else f"{self.uri}/{name}")

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        return self.store.read(self._at(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces of at most ``PIECE``."""
        return self.store.pieces(self._at(name), folder.PIECE)

    def upload(self, source: Path, name: str) -> None:
        """Copy a local file here, piece by piece."""
        with self._written(name):
            self.store.upload(source, self._at(name), folder.PIECE)

    def write(self, name: str, data: bytes, durable: bool = True) -> None:
        """Write a file whole or not at all."""
        with self._written(name):
            self.store.write(self._at(name), data)

    def exists(self, name: str = "") -> bool:
        """Report whether there is such a file or directory."""
        return self.store.exists(self._at(name))

    def modified(self, name: str) -> float:
        """Time at which a file was last written, by the store's clock, seconds since 1970."""
        return self.store.modified(self._at(name))

    def entries(self, prefix: str = "", sizes: bool = True) -> list[tuple[str, int | None]]:
        """Entries that begin with a prefix, hidden ones too."""
        return [entry for entry in self.store.entries(self.path) if entry[0].startswith(prefix)]

    def states(self) -> dict[str, tuple[int, int]]:
        """Bytes and time of writing of each file, by name."""
        return self.store.states(self.path)

    def settle(self) -> None:
        """Wait for writes to this directory that were given up and may still arrive."""
        self.store.settle(self.path)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with suppress(FileNotFoundError):
            self.store.delete(self._at(name))

    def remove_tree(self) -> None:
        """Remove the directory and everything in it."""
        with suppress(FileNotFoundError):
            self.store.delete_tree(self.path)


@functools.lru_cache(maxsize=8)
def _opened(uri: str, identity: tuple[object, ...]) -> tuple[Any, str]:
    # pyarrow opens none while any request of the process is under way, so one that hangs would close every address.
    from pyarrow import fs

    opened: tuple[Any, str] = fs.FileSystem.from_uri(uri)
    return opened


def _identity(uri: str) -> tuple[object, ...]:
    """Return the settings that decide with which credentials a store is opened.

    An address is opened anew once they have changed.
    """
    if not uri.startswith("s3://"):
        # Opened anew each time.
        return (object(),)
    variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("AWS_")]
    for variable, usual in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        with suppress(OSError, RuntimeError):
            file = Path(os.environ.get(variable) or f"~/.aws/{usual}").expanduser()
            variables.append(f"{file} {file.stat().st_mtime_ns}")
    return tuple(variables)


def _within(seconds: float, work: Callable[[], T], written: str | None = None) -> T:
    """Run something that may hang, for a limited time.

    Its result is ignored after that time. That it may still write to the path ``written`` is not.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        done.set()

    # A daemon, so that a request that hangs does not keep the process from ending.
    thread = threading.Thread(target=run, name="store", daemon=True)
    thread.start()
    if not done.wait(seconds):
        if written is not None:
            with _late:
                _late_writes[written] = [*filter(threading.Thread.is_alive, _late_writes.get(written, [])), thread]
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    if errors:
        raise errors[0]
    return results[0]


def _await_late_writes(path: str) -> None:
    with _late:
        at = [name for name in _late_writes if name == path or name.startswith(f"{path}/")]
        threads = [thread for name in at for thread in _late_writes[name]]
    end = time.monotonic() + LATE_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    with _late:
        for name in at:
            if not any(map(threading.Thread.is_alive, _late_writes.get(name, []))):
                _late_writes.pop(name, None)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
