"""Pictures of a data set: the same images at every bias value.

They show training images, never test images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainable.data.base import Dataset
from trainable.randomness import derive, numpy_generator

_IMAGES = 12
_STRIP = (56, 128)
_SHEET = (112, 256)
"""Images with a smaller side than the first number are enlarged to about it, larger ones than the second shrunk."""
_GAP = 4
_LABEL = 12
_PAPER = (255, 255, 255)
_INK = (60, 60, 60)


def sample_index(dataset: Dataset, most: int = _IMAGES) -> NDArray[np.int64]:
    """Choose the images to show: about 12, as many of each class, from the training part of a fixed split.

    Args:
        dataset: The data set.
        most: Images in all; at least one of each class is taken.

    Returns:
        int64 ``[about most]``, by class.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> len(sample_index(load_dataset("coloured_digits"), most=20))
        20
    """
    seed = derive("samples")
    train = numpy_generator(seed, "sample").permutation(dataset.split(seed).train)
    labels = dataset.labels()[train]
    each = max(1, most // len(dataset.classes))
    return np.concatenate([train[labels == k][:each] for k in range(len(dataset.classes))])


def strips(dataset: Dataset, values: Sequence[Mapping[str, float]]) -> list[tuple[Mapping[str, float], Image.Image]]:
    """Draw the same images in a row, once for every bias value, like training images.

    Args:
        dataset: The data set.
        values: Bias values, each a value of every bias parameter.

    Returns:
        (bias value, RGB image), in the order of ``values``. Small images are enlarged to about 56 pixels by whole
        factors; images above 128 pixels are shrunk to that. The data set's note stands below.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> [(value, row)] = strips(load_dataset("coloured_digits"), [{"color_variance": 0.02}])
        >>> row.size
        (596, 56)
    """
    index = sample_index(dataset)
    rows = []
    for value in values:
        tiles = _tiles(dataset, value, index, _STRIP)
        foot = _LABEL + _GAP if dataset.note else 0
        row = Image.new("RGB", (len(tiles) * (tiles[0].width + _GAP) - _GAP, tiles[0].height + foot), _PAPER)
        ImageDraw.Draw(row).text((_GAP, tiles[0].height), dataset.note, fill=_INK)
        for i, tile in enumerate(tiles):
            row.paste(tile, (i * (tile.width + _GAP), 0))
        rows.append((value, row))
    return rows


def contact_sheet(dataset: Dataset, values: Sequence[Mapping[str, float]]) -> Image.Image:
    """Draw one image of each class (rows) at every bias value (columns), like training images, with labels.

    The data set's note (e.g. that it is synthetic) stands at the top.

    Small images are enlarged to about 112 pixels by whole factors; images above 256 pixels are shrunk to that.

    Args:
        dataset: The data set.
        values: Bias values, each a value of every bias parameter.

    Returns:
        RGB image.

    Example:
        >>> from trainable.data.base import load_dataset
        >>> contact_sheet(load_dataset("coloured_digits"), [{"color_variance": 0.02}]).mode
        'RGB'
    """
    index = sample_index(dataset, len(dataset.classes))
    columns = [_tiles(dataset, value, index, _SHEET) for value in values]
    side = columns[0][0].width
    heads = ["\n".join(f"{name} {number:g}" for name, number in value.items()) for value in values]
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left = max(int(pen.textlength(name)) for name in dataset.classes) + 2 * _GAP
    widest = max(int(pen.textlength(line)) for head in heads for line in head.split("\n"))
    width = max(side, widest) + 2 * _GAP
    above = _LABEL + _GAP if dataset.note else 0
    top = above + _LABEL * max(head.count("\n") + 1 for head in heads) + 2 * _GAP
    whole = max(left + width * len(values), int(pen.textlength(dataset.note)) + 2 * _GAP)

    sheet = Image.new("RGB", (whole, top + (side + _GAP) * len(index)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), dataset.note, fill=_INK)
    for row, k in enumerate(dataset.labels()[index]):
        pen.text((_GAP, top + row * (side + _GAP) + (side - _LABEL) // 2), dataset.classes[k], fill=_INK)
    for column, (head, tiles) in enumerate(zip(heads, columns, strict=True)):
        x = left + column * width
        pen.text((x, above + _GAP), head, fill=_INK)
        for row, tile in enumerate(tiles):
            sheet.paste(tile, (x, top + row * (side + _GAP)))
    return sheet


def _tiles(
    dataset: Dataset, value: Mapping[str, float], index: NDArray[np.int64], sides: tuple[int, int]
) -> list[Image.Image]:
    least, most = sides
    images = dataset.train_images(value, derive("samples"), index, "biased").pixels()
    tiles = []
    for pixels in images.permute(0, 2, 3, 1).contiguous().numpy():
        tile = Image.fromarray(pixels)
        if tile.width > most:
            tile = tile.resize((most, most), Image.Resampling.BOX)
        elif tile.width < least:
            factor = max(1, round(least / tile.width))
            tile = tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)
        tiles.append(tile)
    return tiles
