"""A small real sweep kept in the package, for the notebooks, the README and the tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.loading import load
from store.errors import InputError

_CELL = [("cell", "=", "brain_phantom-rho1-gamma0-small_cnn-erm"), ("phase", "=", "search")]


def example(superseded: bool = False) -> pd.DataFrame:
    """Load the trials of the example: a real run on synthetic brain images, kept in the package.

    Args:
        superseded: As in ``analysis.load``.

    Returns:
        What ``analysis.load`` returns of ``example_folder()``.

    Raises:
        InputError: The package was installed without the example.

    Example:
        >>> import analysis
        >>> trials = analysis.example()
        >>> sorted(trials["label"].unique())
        ['blind_eye', 'ceiling', 'erm', 'grl', 'lnl', 'permuted_bias', 'repaint']
        >>> trials["phase"].value_counts().to_dict()
        {'search': 900, 'confirm': 311}
    """
    return load(example_folder(), superseded)


def example_folder() -> Path:
    """Find the example: a folder for ``load_history``, ``load_predictions``, ``write_report`` and the others.

    ``README.txt`` in it says which run it is and what was rounded. Write nothing into it: reports go elsewhere
    (``write_report(example_folder(), out)``).

    Returns:
        The folder.

    Raises:
        InputError: The package was installed without the example.

    Example:
        >>> import analysis
        >>> folder = analysis.example_folder()
        >>> sorted(path.name for path in folder.iterdir() if path.is_dir())
        ['history', 'predictions', 'samples', 'splits', 'trials']
    """
    folder = Path(__file__).with_name("example")
    if not (folder / "sweep.yaml").is_file():
        raise InputError(f"the example should lie in {folder}, but it is not there: install lnl-sweep again")
    return folder


def write_small_example(folder: Path) -> Path:
    """Write a sweep on which every command takes about a second: the search of one cell of the example.

    Args:
        folder: The folder to make.

    Returns:
        The folder.

    Raises:
        InputError: The package was installed without the example.
        OSError: The folder exists, or cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place:
        ...     len(load(write_small_example(Path(place) / "small")))
        25
    """
    import pyarrow.parquet as pq

    from store.parts import part_bytes

    (part,) = (example_folder() / "trials").iterdir()
    (folder / "trials").mkdir(parents=True)
    (folder / "trials" / part.name).write_bytes(part_bytes(pq.read_table(part, filters=_CELL)))
    return folder
