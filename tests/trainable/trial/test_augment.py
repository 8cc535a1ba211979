"""Augmentations move pixels and change none; CPU and layout have no part in what is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from store.errors import InputError
from trainable.trial.augment import SHIFT, flip, resolve, shift


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def images(height: int = 16, width: int = 32) -> Tensor:
    return torch.rand(5, 3, height, width, generator=generator())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_shift_moves_every_image_by_whole_pixels_and_repeats_the_border(layout: torch.memory_format) -> None:
    x = images().contiguous(memory_format=layout)
    found = shift(x, generator())
    # Pixel by pixel, with the same draws: rows first, then columns.
    draws = generator()
    most = [max(1, round(SHIFT * side)) for side in (16, 32)]
    assert most == [1, 2]
    down, right = (torch.randint(-m, m + 1, (5, 1), generator=draws).view(-1).tolist() for m in most)
    assert len(set(down)) > 1 and len(set(right)) > 1
    for n in range(5):
        for i in range(16):
            for j in range(32):
                row, column = min(max(i + down[n], 0), 15), min(max(j + right[n], 0), 31)
                assert torch.equal(found[n, :, i, j], x[n, :, row, column])


def test_flip_mirrors_some_images_whole() -> None:
    x = torch.cat([images()] * 4)
    found = flip(x, generator())
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(found, x, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(found, x, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True)) and 0 < sum(mirrored) < 20


def test_batches_that_are_channels_last_stay_so() -> None:
    x = images().contiguous(memory_format=torch.channels_last)
    for change in (flip, shift):
        assert change(x, generator()).is_contiguous(memory_format=torch.channels_last)


def test_names() -> None:
    assert resolve(["shift", "flip"]) == [shift, flip]
    with pytest.raises(InputError, match="did you mean 'shift'"):
        resolve(["shfit"])
