"""The images of a sweep, carried beside the rows of a frame: published numbers are of some and not of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from store.sheet.sheet import Sheet

IMAGES = "images"
"""Key of ``DataFrame.attrs``: name of a sweep -> source and number of its images, and whether they are of a folder.

Plain numbers and texts, since pandas copies ``attrs`` and writes them as JSON.
"""


def with_images(frame: pd.DataFrame, of_sweeps: Mapping[str, Sheet]) -> pd.DataFrame:
    """Note beside a frame's rows which images each sweep is of.

    Args:
        frame: Rows with ``sweep``.
        of_sweeps: ``sweep.yaml`` by sweep.

    Returns:
        The same frame.

    Example:
        >>> of_sweep = {"dataset": {"folder": "/mnist"}, "dataset_info": {"citation": "nobody 2020", "n_images": 5000}}
        >>> with_images(pd.DataFrame(), {"s": Sheet(of_sweep)}).attrs
        {'images': {'s': {'citation': 'nobody 2020', 'n_images': 5000, 'folder': True}}}
    """
    entries: dict[str, dict[str, Any]] = {}
    for sweep, sheet in of_sweeps.items():
        info = sheet.section("dataset_info")
        known = {name: info[name] for name in ("citation", "n_images") if isinstance(info.get(name), (str, int))}
        if known:
            entries[sweep] = {**known, "folder": sheet.section("dataset").get("folder") is not None}
    if entries:
        frame.attrs[IMAGES] = entries
    return frame
