"""One pass over the images of a table: sample, window and size, then every image in order, by several threads."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import Refused, Unreachable
from trainable.data.table.images import Fit, read_pixels, square
from trainable.data.table.reading.sources import read_file, shown, slice_of
from trainable.data.table.reading.window import USUAL_RULE, Window, WindowRule, measured, sample_of
from trainable.data.table.rows import TableRows
from trainable.errors import DataOutOfReach, InputError

LARGEST_SIDE = 224
"""Side of the images where the sweep names none and they are larger."""
SAMPLE = 256
"""Images that decide the window and the size."""
_STEP = 32
_BLOCK = 64
_SHOWN = 3
_SECONDS = 5.0


@dataclass(frozen=True)
class Recipe:
    """Rule by which images are made of the files.

    Attributes:
        size: Side of the squares, pixels; None = the median of the longer sides, rounded to 32, at most 224.
        fit: How an image becomes square.
        window: How values of more than 8 bits are scaled.
    """

    size: int | None = None
    fit: Fit = "pad"
    window: WindowRule = USUAL_RULE


def threads() -> int:
    """Number of threads that decode: the processors of this process, at most 16.

    Example:
        >>> 1 <= threads() <= 16
        True
    """
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass(frozen=True)
class Measure:
    """Form of the images, decided by a sample of them.

    Attributes:
        size: Side of the squares, pixels.
        channels: 1 where all are grey, else 3.
        window: What becomes black and white; None where all have 8 bits and stay as they are.
    """

    size: int
    channels: int
    window: Window | None


class Surprise(Exception):
    """An image in colour among grey ones, or of more than 8 bits where the sample has none."""

    def __init__(self, channels: int, wide: Sequence[int]) -> None:
        super().__init__()
        self.channels, self.wide = channels, wide


class Decoder:
    """Decoder of one table.

    Args:
        rows: The table.
        recipe: How images are made of the files.
    """

    def __init__(self, rows: TableRows, recipe: Recipe) -> None:
        self.rows, self.recipe = rows, recipe

    def pixels(self, row: int) -> NDArray[Any]:
        """Pixels of the image of a row, as ``read_pixels`` gives them.

        Raises:
            InputError: It cannot be read.
        """
        path = self.rows.paths[row]
        try:
            return read_pixels(read_file(slice_of(path)[0]), shown(path))
        except FileNotFoundError as error:
            raise DataOutOfReach(f"{shown(path)} is not there any more") from error
        except (Refused, Unreachable) as error:
            raise DataOutOfReach(f"{shown(path)} cannot be read ({error.reason})") from error
        except OSError as error:
            raise DataOutOfReach(f"{shown(path)} cannot be read ({error.strerror or error})") from error

    def measured(self, pool: ThreadPoolExecutor, sample: NDArray[np.int64]) -> Measure:
        """Decide the form of the images.

        Args:
            pool: Threads that read.
            sample: Positions of the images that decide it.

        Raises:
            InputError: Some cannot be read, or all values are the same.
        """
        sides, values, coloured = [], [], False
        for pixels in self._each(pool, sample, self.pixels):
            sides.append(max(pixels.shape[:2]))
            coloured |= pixels.ndim == 3
            if pixels.dtype != np.uint8 or self.recipe.window.everywhere:
                values.append(sample_of(pixels))
        side = min(LARGEST_SIDE, max(_STEP, _STEP * round(float(np.median(sides)) / _STEP)))
        scaled = self.recipe.window.fixed
        if scaled is None and values:
            scaled = measured(self.recipe.window, values, self.rows.name)
        return Measure(self.recipe.size or side, 3 if coloured else 1, scaled)

    def after(self, pool: ThreadPoolExecutor, old: Measure, surprise: Surprise, order: NDArray[np.int64]) -> Measure:
        """Decide the form again, with what the sample did not hold.

        Args:
            pool: Threads that read.
            old: The form that the sample has given.
            surprise: What is different.
            order: Positions of the images that may decide the window, in the order in which they are asked.
        """
        scaled = old.window
        if surprise.wide and scaled is None:
            # Test images have no say, unless no other has so many bits.
            allowed = order[np.isin(order, surprise.wide)]
            chosen = allowed[:SAMPLE] if len(allowed) else np.array(surprise.wide[:SAMPLE])
            values = [sample_of(pixels) for pixels in self._each(pool, chosen, self.pixels)]
            scaled = measured(self.recipe.window, values, self.rows.name)
        return Measure(old.size, max(old.channels, surprise.channels), scaled)

    def bytes_of(self, measure: Measure) -> int:
        """Size of all images in this form."""
        return len(self.rows) * measure.channels * measure.size**2

    def write(self, pool: ThreadPoolExecutor, path: Path, measure: Measure) -> tuple[NDArray[np.uint8], int]:
        """Write all images into an ``.npy`` file, uint8 ``[N, C, S, S]``, in the order of the rows.

        Args:
            pool: Threads that read and scale.
            path: The file.
            measure: The form of the images.

        Returns:
            Hash of the pixels of each image, uint8 ``[N, 32]``, and the number of files of more than 8 bits.

        Raises:
            InputError: Some cannot be read.
            OSError: The file cannot be written.
            Surprise: An image does not have this form.
        """
        content = np.zeros((len(self.rows), 32), np.uint8)
        channels, wide = measure.channels, []

        def make(row: int) -> NDArray[np.uint8] | None:
            nonlocal channels
            pixels = self.pixels(row)
            content[row] = np.frombuffer(_digest(pixels), np.uint8)
            if pixels.ndim == 3:
                channels = 3
            if pixels.dtype != np.uint8:
                wide.append(row)
                if measure.window is None:
                    return None
            everywhere = self.recipe.window.everywhere
            used = measure.window if everywhere or pixels.dtype != np.uint8 else None
            made = square(pixels, measure.size, self.recipe.fit, used)
            return np.broadcast_to(made, (max(measure.channels, len(made)), measure.size, measure.size))

        shape = (len(self.rows), measure.channels, measure.size, measure.size)
        # Written in order and not through a map: a full disk is an error then, not the end of the process.
        with path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for made in self._each(pool, np.arange(len(self.rows)), make):
                if made is not None and channels == measure.channels:
                    file.write(np.ascontiguousarray(made).data)
        if channels != measure.channels or (wide and measure.window is None):
            raise Surprise(channels, sorted(wide))
        return content, len(wide)

    def _each(
        self, pool: ThreadPoolExecutor, positions: NDArray[np.int64], work: Callable[[int], Any]
    ) -> Iterator[Any]:
        """Results in order, a few blocks in memory at a time.

        All refusals in one sentence.
        """
        refused: list[tuple[int, InputError]] = []

        def one(row: int) -> Any:
            try:
                return work(row)
            except InputError as error:
                refused.append((row, error))
                return None

        progress = _Progress(self.rows.name, len(positions))
        for start in range(0, len(positions), _BLOCK):
            made = list(pool.map(one, positions[start : start + _BLOCK].tolist()))
            progress.at(start + len(made))
            # Read on, to tell how many there are.
            if not refused:
                yield from made
        if refused:
            refused.sort(key=lambda pair: pair[0])
            some = "; ".join(f"{error} ({self.rows.at(row)})" for row, error in refused[:_SHOWN])
            more = "; ..." if len(refused) > _SHOWN else ""
            raise InputError(
                f"{len(refused)} of {len(positions)} images of {self.rows.name} cannot be used: {some}{more}: mend the "
                "files, or leave their rows out"
            )


class _Progress:
    """A line on the standard error now and then, where it takes longer than a few seconds."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, total
        self._began = self._told = time.monotonic()

    def at(self, done: int) -> None:
        now = time.monotonic()
        if done == self._total or now - self._told < _SECONDS:
            return
        left = (now - self._began) * (self._total - done) / done
        print(
            f"reading {self._name}: {done:,} of {self._total:,} images, about {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
        self._told = now


def _digest(pixels: NDArray[Any]) -> bytes:
    total = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape}".encode())
    total.update(np.ascontiguousarray(pixels).data)
    return total.digest()
