"""Reason why a worker's process ended, from Ray's error and from the end of its log."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from trainable.texts import one_line

LONGEST = 400
"""Largest number of characters of a reason."""
_LAST_BYTES = 2**16
_RAYS_LINE = re.compile(r"\[\d{4}-\d\d-\d\d [^]\n]*\] logging\.cc:[^\n]*\n")
_GUESSES = " Some common causes include"
"""Start of Ray's list of possible causes, which is the same for every death."""


def death_of(error: BaseException, logs: Path | None = None) -> str:
    """Describe in one bounded line how a process ended.

    Args:
        error: Exception that Ray raised for it.
        logs: Folder with the logs of the workers of this machine; None = not known.

    Returns:
        The exception's name, Ray's detail (an exit code, say) and, where Python wrote it into the log, the signal and
        the place in the source.

    Example:
        >>> death_of(RuntimeError("The actor is dead because its owner has died"))
        'RuntimeError: its owner has died'
    """
    text = str(error)
    parts = [f"{type(error).__name__}: {_detail(text)}".rstrip(": ")]
    match = re.search(r"^\s*pid: (\d+)$", text, re.MULTILINE)
    if match and logs is not None:
        with contextlib.suppress(OSError):
            parts += _last_words(logs, match[1])
    return one_line("; ".join(parts), LONGEST)


def _detail(text: str) -> str:
    if "Worker exit detail: " in text:
        return text.split("Worker exit detail: ", 1)[1].split(_GUESSES, 1)[0].strip().rstrip(".")
    if "creation task" in text:
        # A traceback: its last line names the exception.
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return text.split("The actor is dead because ", 1)[-1].strip()


def _last_words(logs: Path, pid: str) -> list[str]:
    """Signal that ended a process and its place in the source, from the text that ``faulthandler`` wrote.

    Ray turns ``faulthandler`` on in its workers.
    """
    for path in logs.glob(f"worker-*-{pid}.err*"):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LAST_BYTES))
            # Ray's own lines on the same signal may stand in the middle of Python's.
            text = _RAYS_LINE.sub("", file.read().decode(errors="replace"))
        fatal = re.search(r"^Fatal Python error: (.+)$", text, re.MULTILINE)
        if fatal:
            frames = re.findall(r'^  File "(.+)", line (\d+) in (.+)$', text[fatal.end() :], re.MULTILINE)
            where = [f"in {name} ({Path(file).name}, line {line})" for file, line, name in frames[:2]]
            return [" ".join([fatal[1], *where])]
    return []
