"""Pictures of a data set at every bias value: the same images painted, or those that are chosen.

They show training images, never test images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from trainable.data.base import Dataset
from trainable.randomness import derive, numpy_generator

_IMAGES = 12
_CHOSEN = 4
"""Images of a class and bias value on a contact sheet, where the bias is which images are chosen."""
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
    """Draw training images in a row, once for every bias value: the same ones, or those that are chosen at it.

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
    rows = []
    for value in values:
        tiles = _tiles(_shown(dataset, value, _IMAGES), _STRIP)
        foot = _LABEL + _GAP if dataset.note else 0
        row = Image.new("RGB", (len(tiles) * (tiles[0].width + _GAP) - _GAP, tiles[0].height + foot), _PAPER)
        ImageDraw.Draw(row).text((_GAP, tiles[0].height), dataset.note, fill=_INK)
        for i, tile in enumerate(tiles):
            row.paste(tile, (i * (tile.width + _GAP), 0))
        rows.append((value, row))
    return rows


def contact_sheet(dataset: Dataset, values: Sequence[Mapping[str, float]]) -> Image.Image:
    """Draw an image of each class (rows) at every bias value (columns), like training images, with labels.

    Where the bias is not painted, several of those that are chosen stand side by side, with and without the class's own
    attribute in the proportion of that bias value.

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
    each = _CHOSEN if _is_chosen(dataset) else 1
    columns = [_tiles(_shown(dataset, value, each * len(dataset.classes)), _SHEET) for value in values]
    side = columns[0][0].width
    heads = ["\n".join(f"{name} {number:g}" for name, number in value.items()) for value in values]
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left = max(int(pen.textlength(name)) for name in dataset.classes) + 2 * _GAP
    widest = max(int(pen.textlength(line)) for head in heads for line in head.split("\n"))
    width = max(each * (side + _GAP) - _GAP, widest) + 2 * _GAP * each
    above = _LABEL + _GAP if dataset.note else 0
    top = above + _LABEL * max(head.count("\n") + 1 for head in heads) + 2 * _GAP
    whole = max(left + width * len(values), int(pen.textlength(dataset.note)) + 2 * _GAP)

    sheet = Image.new("RGB", (whole, top + (side + _GAP) * len(dataset.classes)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), dataset.note, fill=_INK)
    for row, name in enumerate(dataset.classes):
        pen.text((_GAP, top + row * (side + _GAP) + (side - _LABEL) // 2), name, fill=_INK)
    for column, (head, tiles) in enumerate(zip(heads, columns, strict=True)):
        x = left + column * width
        pen.text((x, above + _GAP), head, fill=_INK)
        for i, tile in enumerate(tiles):
            row, place = divmod(i, each)
            sheet.paste(tile, (x + place * (side + _GAP), top + row * (side + _GAP)))
    return sheet


def _is_chosen(dataset: Dataset) -> bool:
    return dataset.natural is not None


def _shown(dataset: Dataset, value: Mapping[str, float], most: int) -> Tensor:
    """Training images to show, uint8 ``[M, 3, S, S]``, by class, as many of each."""
    seed = derive("samples")
    if not _is_chosen(dataset):
        return dataset.train_images(value, seed, sample_index(dataset, most), "biased").pixels()
    train = dataset.train_images(value, seed, dataset.split(seed).train, "biased")
    labels, against = train.labels.numpy(), dataset.conflicting(train)
    kind = np.zeros(len(labels), dtype=np.bool_) if against is None else against
    order = numpy_generator(seed, "sample").permutation(len(labels))
    rows = []
    for k in range(len(dataset.classes)):
        # Of both kinds in their proportion, the own attribute first.
        own = [order[(labels[order] == k) & (kind[order] == other)] for other in (False, True)]
        each = max(1, most // len(dataset.classes))
        first = round(each * len(own[0]) / max(1, len(own[0]) + len(own[1])))
        rows.append(np.concatenate([own[0][:first], own[1][: each - first]]))
    return train.images[torch.from_numpy(np.concatenate(rows))]


def _tiles(images: Tensor, sides: tuple[int, int]) -> list[Image.Image]:
    least, most = sides
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
