"""Finished sweeps kept in the package, for the notebooks, the README, the pages and the tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.loading import load
from store.errors import InputError, unknown_name

PHANTOM = "phantom"
_CELL = [("cell", "=", "brain_phantom-rho1-gamma0-small_cnn-erm"), ("phase", "=", "search")]
_FOLDER = "example"


def example(name: str = PHANTOM, superseded: bool = False) -> pd.DataFrame:
    """Load the trials of a finished sweep kept in the package: a real run on images that are synthetic or ship with it.

    Args:
        name: Name of the sweep (``example_names``); default: the demo on synthetic brain images.
        superseded: As in ``analysis.load``.

    Returns:
        What ``analysis.load`` returns of ``example_folder(name)``.

    Raises:
        InputError: No such sweep, or the package was installed without it.

    Example:
        >>> import analysis
        >>> trials = analysis.example()
        >>> sorted(trials["label"].unique())
        ['blind_eye', 'ceiling', 'erm', 'grl', 'lnl', 'permuted_bias', 'repaint']
        >>> trials["phase"].value_counts().to_dict()
        {'search': 900, 'confirm': 311}
    """
    return load(example_folder(name), superseded)


def example_names() -> list[str]:
    """List the names of the sweeps kept in the package, the demo first.

    Returns:
        The names.

    Example:
        >>> example_names()[0]
        'phantom'
    """
    here = Path(__file__).parent
    others = sorted(path.parent.name.removeprefix(f"{_FOLDER}_") for path in here.glob(f"{_FOLDER}_*/sweep.yaml"))
    return [PHANTOM, *others]


def example_folder(name: str = PHANTOM) -> Path:
    """Find a sweep of the package: a folder for ``load_history``, ``load_predictions``, ``write_report`` and others.

    ``README.txt`` in it says which run it is and what was rounded. Write nothing into it: reports go elsewhere
    (``write_report(example_folder(), out)``).

    Args:
        name: Name of the sweep (``example_names``); default: the demo on synthetic brain images.

    Returns:
        The folder.

    Raises:
        InputError: No such sweep, or the package was installed without it.

    Example:
        >>> import analysis
        >>> folder = analysis.example_folder()
        >>> sorted(path.name for path in folder.iterdir() if path.is_dir())
        ['history', 'predictions', 'samples', 'splits', 'trials']
    """
    names = example_names()
    if name not in names:
        raise unknown_name("example", str(name), names)
    # The first one has no name of its own in the package, which scripts of users may have the path of.
    folder = Path(__file__).with_name(_FOLDER if name == PHANTOM else f"{_FOLDER}_{name}")
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
