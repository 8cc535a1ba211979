"""Standard output and error that never end a command.

A disk may be full, a pipe closed, or an encoding without a character.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Lenient:
    """Text stream whose writes do not fail.

    Characters that the encoding lacks are written as escapes.

    Args:
        stream: The stream, which has all other attributes.

    Attributes:
        error: First error of a write. Nothing is written after it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or leave it out where it cannot be written."""
        if self.error is None:
            with self._noted():
                try:
                    self._stream.write(text)
                except UnicodeEncodeError:
                    encoding = self._stream.encoding or "ascii"
                    self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream."""
        if self.error is None:
            with self._noted():
                self._stream.flush()

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            # What the stream still holds would fail once more when the process ends.
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
                self._stream.flush()


@contextlib.contextmanager
def lenient() -> Iterator[Lenient]:
    """Keep both standard streams, within the block, from failing.

    They may be closed, full or of another encoding than UTF-8.

    Yields:
        The standard output.

    Example:
        >>> with lenient() as output:
        ...     print("ready")
        ...     output.error is None
        ready
        True
    """
    before = sys.stdout, sys.stderr
    # A closed one is opened first: the next file of the process would get its number.
    streams = [Lenient(_opened(stream)) for stream in before]
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in streams)
    try:
        yield streams[0]
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before


def _opened(stream: TextIO | None) -> TextIO:
    return stream if stream is not None else open(os.devnull, "w", encoding="utf-8")
