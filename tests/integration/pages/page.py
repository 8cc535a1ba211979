"""Pages of the documentation as a reader follows them: files to write, commands to type, Python to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
SHELLS = ("sh", "bash", "console")
OF_A_READER = (*SHELLS, "python", "yaml", "csv")
"""Languages of blocks that are typed, run or kept as a file."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)(?: +(?P<file>[\w./-]+))?\n(?P<text>.*?)^ *```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: Its language.
        file: Name of the file that it is the content of; "" = none.
        text: Its lines.
        line: Number of its first line in the page.
    """

    language: str
    file: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The blocks of a page that a reader types, runs or keeps."""
    found = []
    for match in _FENCE.finditer(page):
        if match["language"] in OF_A_READER:
            indent = match["indent"]
            text = "".join(line.removeprefix(indent) for line in match["text"].splitlines(keepends=True))
            line = page[: match.start("text")].count("\n") + 1
            found.append(Block(match["language"], match["file"] or "", text, line))
    return found


def commands(block: str) -> Iterator[str]:
    """The commands of a shell block, without comments; lines that end in a backslash are joined."""
    for line in re.sub(r"\\\n\s*", " ", block).splitlines():
        words = shlex.shlex(line, posix=False, punctuation_chars=False)
        words.whitespace_split = True
        words.commenters = "#"
        command = " ".join(words)
        if command:
            yield command
