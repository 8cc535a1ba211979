"""Home folder for a process that has none.

Without ``HOME`` and without an entry in passwd, Ray cannot even be imported.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path


def ensure_home() -> None:
    """Give this process and its children a temporary home folder where they have none, and print its path."""
    try:
        Path.home()
    except RuntimeError:
        folder = _own_folder()
        os.environ["HOME"] = str(folder)
        # Who asks for the user's name would fail next.
        os.environ.setdefault("USER", str(os.geteuid()))
        print(
            f"there is no home folder (no HOME, no entry in passwd): {folder} takes what would lie there, the cache of "
            "data and Ray's token; set HOME to choose another",
            file=sys.stderr,
        )


def _own_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"lnl-sweep-home-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            return folder
    except OSError:
        pass
    # Somebody else's, by that name.
    return Path(tempfile.mkdtemp(prefix="lnl-sweep-home-"))
