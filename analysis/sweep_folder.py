"""The files beside the rows in a sweep's folder: configuration, status, changes, sample images."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from analysis.changes import read_changes, seeds_added
from analysis.loading import read_config, section
from analysis.points.points import Point
from analysis.primary.comparison import Primary, declared_comparison
from analysis.primary.standing import Standing, standing_of
from store.errors import DamagedFile
from store.open import SweepFiles
from store.parts import owner_of
from store.sealed import digest
from store.sheet.external import FOLDER, ExternalSet, external_of
from store.sheet.sheet import Sheet


@dataclass(frozen=True)
class Strip:
    """Sample images at one bias value."""

    value: float
    png: bytes
    caption: str


@dataclass(frozen=True)
class Sweep:
    """Content of the files beside the rows in a sweep's folder.

    Attributes:
        name: Its name, as in the rows' ``sweep`` column.
        address: Its folder.
        config: ``sweep.yaml``.
        status: ``status.json``.
        changes: Lines of ``changes.jsonl``.
        strips: Sample images, weak bias first.
        alt: Alternative text of the sample images.
        primary: The declared comparison, as far as it can be made; None where none is declared.
        externals: External test sets that its models have predicted, by name.
        standing: Its declaration, and the changes made once test results existed.
    """

    name: str
    address: str
    config: Mapping[str, Any]
    status: Mapping[str, Any]
    changes: tuple[Mapping[str, Any], ...]
    strips: tuple[Strip, ...]
    alt: str
    primary: Primary | None
    standing: Standing
    externals: tuple[ExternalSet, ...] = ()

    def spaces(self) -> dict[str, Mapping[str, Any]]:
        """Search space of each cell.

        Of a cell that does not state it, it is the ranges that its method has in the sweep file.
        """
        methods = self.config.get("methods")
        listed = methods if isinstance(methods, Sequence) and not isinstance(methods, str) else ()
        of_label = {str(m.get("label") or m.get("name")): m for m in listed if isinstance(m, Mapping)}
        return {
            str(cell.get("cell")): section(cell, "space") or section(of_label.get(str(cell.get("label")), {}), "space")
            for cell in self.cells
        }

    @functools.cached_property
    def sheet(self) -> Sheet:
        """``sweep.yaml`` as one typed object."""
        return Sheet(self.config)

    @property
    def rules(self) -> tuple[str, ...]:
        """Selection rules, the headline rule first."""
        return self.sheet.rules

    @property
    def info(self) -> Mapping[str, Any]:
        """The data set's description of itself."""
        return section(self.config, "dataset_info")

    @property
    def title(self) -> str:
        """Long name of the data set, or else the sweep's name."""
        return str(self.info.get("long_name") or self.name)

    @property
    def note(self) -> str:
        """Notes that a reader must know about data or network (synthetic, toy), "" where there are none."""
        notes = (self.info.get("note"), section(self.config, "network").get("note"))
        return "; ".join(dict.fromkeys(str(note).rstrip(".") for note in notes if note))

    @property
    def classes(self) -> list[str]:
        """Names of the classes, empty where they are not recorded."""
        names = self.info.get("classes")
        return [str(name) for name in names] if isinstance(names, Sequence) and not isinstance(names, str) else []

    @property
    def cells(self) -> list[Mapping[str, Any]]:
        """The cells of the sweep that have trials, empty where the configuration does not list them."""
        listed = (cell for cell in self.config.get("cells") or () if isinstance(cell, Mapping))
        return [cell for cell in listed if not cell.get("not_applicable")]

    def changed(self) -> list[tuple[str, int | None]]:
        """Describe every extension, with the number of test results that existed by then (None = not recorded)."""
        sentences = []
        for change in self.changes:
            what, seen = change.get("what"), change.get("test_results")
            if isinstance(what, Mapping):
                parts = [
                    f"{key} {v.get('old')} -> {v.get('new')}" if isinstance(v, Mapping) else f"{key} {v}"
                    for key, v in what.items()
                ]
                what = ", ".join(parts)
            if what:
                sentences.append((f"{change.get('when', 'no date')}: {what}", seen if isinstance(seen, int) else None))
        return sentences

    @property
    def seeds_added(self) -> int:
        """Confirm seeds added after test results existed."""
        return seeds_added(self.changes)

    def axis(self, name: str) -> Mapping[str, Any]:
        """The data set's description of one bias parameter."""
        axes = section(self.config, "dataset_info").get("axes") or ()
        return next((a for a in axes if isinstance(a, Mapping) and a.get("name") == name), {})


def read_sweep(folder: SweepFiles, name: str, points: Sequence[Point]) -> Sweep:
    """Read the files beside the rows, and make the declared comparison from the sweep's points.

    Args:
        folder: The sweep's folder.
        name: Its name, as in the points.
        points: Points of all sweeps.

    Returns:
        The sweep.

    Example:
        >>> from analysis.examples import example_folder
        >>> from store.open import open_folder
        >>> sweep = read_sweep(open_folder(example_folder()), "brain_phantom_study", [])
        >>> sweep.rules[0], sweep.classes
        ('val_counterfactual', ['meningioma', 'glioma', 'pituitary'])
    """
    config = read_config(folder)
    of_sweep = [point for point in points if point.line.sweep == name]
    status, changes = _status(folder), read_changes(folder)
    # Images of people's own data stay in their folder, also where files of an earlier setting are there.
    shared = Sheet(config).share_images
    index = _json(folder, "samples/index.json") if shared else {}
    return Sweep(
        name=name,
        address=folder.name,
        config=config,
        status=status,
        changes=changes,
        strips=_strips(folder, index, config),
        alt=str(index.get("alt", "sample images at each bias strength")),
        primary=declared_comparison(config, status, of_sweep),
        standing=standing_of(config, changes),
        externals=_externals(folder),
    )


def _externals(folder: SweepFiles) -> tuple[ExternalSet, ...]:
    names = sorted(name for name in folder.files(FOLDER) if name.endswith(".json") and not name.startswith((".", "_")))
    read = [external_of(_json(folder, f"{FOLDER}/{name}")) for name in names]
    return tuple(external for external in read if external is not None)


def _status(folder: SweepFiles) -> dict[str, Any]:
    status = _json(folder, "status.json")
    if status.get("sweep") not in (None, owner_of(folder).sweep):
        warnings.warn(f"left out {folder.name}/status.json: it is that of another sweep", stacklevel=2)
        return {}
    return status


def _json(folder: SweepFiles, path: str) -> dict[str, Any]:
    """Read a small JSON file.

    Returns:
        Its content; empty where it is missing, or damaged, of which is warned.
    """
    try:
        content = json.loads(folder.read(path))
    except OSError:
        return {}
    except (ValueError, RecursionError) as error:
        warnings.warn(f"left out {folder.name}/{path}: {error}", stacklevel=2)
        return {}
    return content if isinstance(content, dict) else {}


def _strips(folder: SweepFiles, index: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Strip, ...]:
    """Sample images that can be read, weak bias first."""
    strips = []
    for entry in index.get("strips") or ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("value"), (int, float)):
            continue
        # The last part of the path alone: an index must not name a file outside the folder.
        name = f"samples/{PurePosixPath(str(entry.get('file'))).name}"
        try:
            png = folder.read(name)
        except OSError:
            continue
        except DamagedFile as error:
            warnings.warn(f"left out {folder.name}/{name}: {error}", stacklevel=2)
            continue
        # Older versions wrote no digest.
        if "digest" in entry and entry["digest"] != digest(png):
            warnings.warn(
                f"left out {folder.name}/{name}: its bytes do not agree with the digest in samples/index.json",
                stacklevel=2,
            )
            continue
        strips.append(Strip(float(entry["value"]), png, str(entry.get("caption", f"{entry['value']:g}"))))
    smaller = Sheet(config).stronger(str(index.get("axis"))) == "smaller"
    return tuple(sorted(strips, key=lambda strip: -strip.value if smaller else strip.value))
