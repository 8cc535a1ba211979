"""A sweep's directory as the readers of ``analysis`` see one, and its small files that are rewritten under one name."""

from __future__ import annotations

from store.errors import InputError
from store.sealed import CHECKED, REWRITTEN, check_whole, read_whole
from trainable.files import Folder


def read_small(folder: Folder, name: str) -> bytes:
    """Read a sealed file; in an object store again while it is torn.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFile: Its checksum does not agree.
    """
    data = folder.read(name) if folder.local is not None else read_whole(name, lambda: folder.read(name))
    return check_whole(name, data, f"{folder.uri}/{name}") if name.endswith(CHECKED) else data


class Readable:
    """A directory for ``analysis.parts``, read with the driver's patience: an outage costs time, never a row.

    Args:
        folder: The sweep's directory.
    """

    def __init__(self, folder: Folder) -> None:
        self.name = folder.uri
        self._folder = folder

    def files(self, folder: str, prefix: str = "") -> list[str]:
        """Names of the files directly in a subfolder that begin so."""
        return (self._folder.child(folder) if folder else self._folder).names(prefix)

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file directly in a subfolder."""
        return self._folder.child(folder).sizes()

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: There is none of that name.
            InputError: The store was away for too long; that its rows are lost must not be concluded from it.
        """
        place, _, name = path.rpartition("/")
        folder = self._folder.child(place) if place else self._folder
        try:
            return read_small(folder, name) if path.endswith(REWRITTEN) else folder.read(name)
        except FileNotFoundError:
            raise
        except OSError as error:
            if folder.local is not None:
                raise
            raise InputError(str(error)) from error
