"""Findings of a check: what was looked at, whether it holds, and where in the user's code to look."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from trainable.texts import one_line, reason_of

Level = Literal["ok", "warn", "FAIL"]
_OURS = tuple(str(Path(__file__).parents[2] / name) for name in ("store", "trainable", "orchestrator", "analysis"))
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@dataclass(frozen=True)
class Finding:
    """One thing that a check has looked at.

    Attributes:
        level: ``ok``; ``warn``, worth a look; or ``FAIL``, which would end or falsify trials.
        what: What was looked at, e.g. ``method debias``.
        sentence: What was found and, unless it is ok, what to do.
        where: ``file:line`` in the user's code, or "".

    Example:
        >>> print(Finding("FAIL", "method debias", "L_MI moves h: detach the features first", "debias.py:12"))
        FAIL  method debias: L_MI moves h: detach the features first (debias.py:12)
    """

    level: Level
    what: str
    sentence: str
    where: str = ""

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.level:<4}  {self.what}: {one_line(self.sentence)}{where}"


def assert_passes(findings: Iterable[Finding]) -> None:
    """Fail a test where a check failed.

    Args:
        findings: What a check returned.

    Raises:
        AssertionError: There is a FAIL among them; the message has a line for each.

    Example:
        >>> assert_passes([Finding("ok", "method debias", "trains"), Finding("warn", "method debias", "has no anchor")])
        >>> assert_passes([Finding("FAIL", "method debias", "its loss is nan", "debias.py:12")])
        Traceback (most recent call last):
            ...
        AssertionError: FAIL  method debias: its loss is nan (debias.py:12)
    """
    failed = [str(finding) for finding in findings if finding.level == "FAIL"]
    if failed:
        raise AssertionError("\n".join(failed))


def failure(what: str, error: BaseException, doing: str = "") -> Finding:
    """Turn an exception of the user's code into a finding.

    Args:
        what: What was looked at.
        error: The exception.
        doing: What was being done, for the sentence.

    Example:
        >>> failure("method debias", ValueError("no such file"), "its first step").sentence
        'its first step: ValueError: no such file'
    """
    from trainable.errors import InputError

    reason = one_line(str(error)) if isinstance(error, InputError) else reason_of(error)
    if isinstance(error, SystemExit):
        reason = f"it ends the process (SystemExit: {error.code}): remove the call of exit"
    return Finding("FAIL", what, f"{doing}: {reason}" if doing else reason, where_raised(error))


def guarded(what: str, check: Callable[[], Iterable[Finding]], doing: str = "") -> Iterator[Finding]:
    """Yield the findings of a check, the last of which is what ended it.

    Args:
        what: What is looked at.
        check: The check.
        doing: What it does, for the sentence of an exception.

    Example:
        >>> def check():
        ...     yield Finding("ok", "it", "begins")
        ...     raise ValueError("broken")
        >>> [str(finding) for finding in guarded("it", check, "its end")]
        ['ok    it: begins', 'FAIL  it: its end: ValueError: broken']
    """
    try:
        yield from check()
    except (Exception, SystemExit) as error:
        yield failure(what, error, doing)


def is_theirs(file: str) -> bool:
    """Report whether a file of Python is neither of this package nor of an installed one.

    Example:
        >>> is_theirs(__file__), is_theirs("/home/user/debias.py")
        (False, True)
    """
    path = str(Path(file)) if file.startswith("<") else str(Path(file).absolute())
    if path.startswith("<") or "site-packages" in path or "dist-packages" in path:
        return False
    return not any(path.startswith(f"{folder}/") for folder in (*_OURS, *_INSTALLED))


def where_raised(error: BaseException) -> str:
    """Last line of the user's own code that an exception, or its cause, has passed: ``file:line``, or "".

    Example:
        >>> where_raised(SyntaxError("invalid syntax", ("debias.py", 3, 1, "def", 3, 4)))
        'debias.py:3'
    """
    seen: set[int] = set()
    current: BaseException | None = error
    places: list[str] = []
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, SyntaxError) and current.filename and is_theirs(current.filename):
            places.append(f"{current.filename}:{current.lineno}")
        frames = traceback.extract_tb(current.__traceback__)
        places += [f"{f.filename}:{f.lineno}" for f in reversed(frames) if is_theirs(f.filename)][:1]
        current = current.__cause__ or current.__context__
    # The first cause lies deepest.
    return places[-1] if places else ""


def where_defined(thing: object) -> str:
    """Place of a user's function or class, or of the class of an object: ``file:line``, or "" of another.

    Example:
        >>> where_defined(len), where_defined(Finding)
        ('', '')
    """
    target: Any = thing if isinstance(thing, (type, ModuleType)) or callable(thing) else type(thing)
    try:
        target = inspect.unwrap(target)
        file = inspect.getsourcefile(target) or inspect.getfile(target)
        line = target.__code__.co_firstlineno if hasattr(target, "__code__") else inspect.getsourcelines(target)[1]
    except (TypeError, OSError, ValueError):
        return ""
    return f"{file}:{line}" if is_theirs(file) else ""


def count(n: int, noun: str) -> str:
    """Write a number of things.

    Example:
        >>> count(1, "image"), count(2, "class")
        ('1 image', '2 classes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def some_of(names: Sequence[str], most: int = 4) -> str:
    """Name a few of many.

    Example:
        >>> some_of(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
