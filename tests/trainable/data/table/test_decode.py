"""Decoding into the cache: once, by content, in little memory, and again where the cache is damaged."""

from __future__ import annotations

import os
import shutil
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.table_files import COLUMNS, write_csv, write_pngs
from trainable.data.table import decode, passes
from trainable.data.table.decode import Decoded, content_digest, decoded
from trainable.data.table.images import read_pixels, square
from trainable.data.table.passes import Recipe
from trainable.data.table.reading.window import Window, WindowRule
from trainable.data.table.rows import TableRows, read_rows
from trainable.errors import InputError

N = 48


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path, cache: Path) -> Path:
    return write_pngs(tmp_path / "set", N)


def made(file: Path, recipe: Recipe | None = None, seen: Any = None) -> tuple[TableRows, Decoded]:
    rows = read_rows(str(file), COLUMNS)
    return rows, decoded(rows, np.arange(len(rows)) if seen is None else seen, recipe or Recipe())


def table_of(folder: Path, images: list[tuple[str, np.ndarray[Any, Any]]]) -> Path:
    """A table of arrays, one patient each, written by Pillow or as .npy."""
    rows = []
    for k, (name, array) in enumerate(images):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".npy"):
            np.save(folder / name, array)
        else:
            Image.fromarray(array).save(folder / name)
        rows.append([name, "none" if k % 2 else "pneumothorax", "drain" if k // 2 % 2 else "no_drain", f"P{k}"])
    return write_csv(folder / "labels.csv", list(COLUMNS.values()), rows)


def folder_in(cache: Path) -> Path:
    return next(path for path in cache.glob("table-*") if path.is_dir())


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "read_file", lambda address: pytest.fail(f"{address} was read again"))


def test_each_image_is_what_it_would_be_alone(file: Path) -> None:
    rows, images = made(file)
    assert images.images.shape == (N, 1, 64, 64) and isinstance(images.images, np.memmap)
    assert images.n_wide == N and images.window is not None
    for k in (0, 17, N - 1):
        pixels = read_pixels(Path(rows.paths[k]).read_bytes(), rows.paths[k])
        assert (images.images[k] == square(pixels, 64, "pad", images.window)).all()
    # Not dark, not burnt out: the values fill their range.
    assert images.images.min() == 0 and images.images.max() == 255
    assert 40 < np.median(images.images) < 160


def test_test_images_have_no_say(file: Path, tmp_path: Path) -> None:
    rows = read_rows(str(file), COLUMNS)
    before = decoded(rows, np.arange(8, N), Recipe()).window
    for path in rows.paths[:8]:
        Image.fromarray(np.full((300, 300), 65535, np.uint16) - np.uint16(int(Path(path).stem))).save(path)
    after = decoded(rows, np.arange(8, N), Recipe())
    assert after.window == before and after.images.shape == (N, 1, 64, 64)
    assert decoded(rows, np.arange(N), Recipe()).window != before


def test_decoded_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(file)[1]
    forbid_reading(monkeypatch)
    again = made(file)[1]
    assert (again.images == first.images).all() and again.window == first.window


def test_a_size_that_is_named_later_finds_what_was_decoded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(file)
    forbid_reading(monkeypatch)
    assert made(file, Recipe(size=64))[1].images.shape == (N, 1, 64, 64)


def test_a_copied_folder_has_the_same_digest_and_a_changed_image_another(file: Path, tmp_path: Path) -> None:
    digest = content_digest(made(file)[1], Recipe())
    shutil.copytree(file.parent, tmp_path / "copy")
    copied = tmp_path / "copy" / "labels.csv"
    assert content_digest(made(copied)[1], Recipe()) == digest
    for name in sorted((tmp_path / "copy" / "images").iterdir()):
        # Other bytes, the same picture.
        Image.open(name).save(name, compress_level=0)
    assert content_digest(made(copied)[1], Recipe()) == digest
    path = tmp_path / "copy" / "images" / "0005.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] += 1
    Image.fromarray(pixels).save(path)
    assert content_digest(made(copied)[1], Recipe()) != digest


def test_options_make_other_images(file: Path) -> None:
    digests = set()
    for recipe in (
        Recipe(),
        Recipe(size=32),
        Recipe(fit="crop"),
        Recipe(window=WindowRule.of({"low": 0, "high": 4095})),
    ):
        images = made(file, recipe)[1]
        assert images.images.shape[2] == (recipe.size or 64)
        digests.add(content_digest(images, recipe))
    assert len(digests) == 4


@pytest.mark.parametrize("damage", ["byte", "torn", "manifest", "gone"])
def test_a_damaged_cache_is_made_again(file: Path, cache: Path, damage: str) -> None:
    right = np.array(made(file)[1].images)
    folder = folder_in(cache)
    array = folder / "images.npy"
    if damage == "byte":
        with array.open("r+b") as opened:
            opened.seek(5000)
            opened.write(b"\x01\x02\x03")
    elif damage == "torn":
        os.truncate(array, 5000)
    elif damage == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        array.unlink()
    assert (made(file)[1].images == right).all()


def test_a_cache_that_was_copied_is_compared_once(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(file)
    folder = folder_in(cache)
    shutil.copytree(folder, cache / "other")
    shutil.rmtree(folder)
    (cache / "other").rename(folder)
    forbid_reading(monkeypatch)
    made(file)
    monkeypatch.setattr(decode, "checksum", lambda arrays: pytest.fail("compared again"))
    made(file)


def test_a_full_disk_is_one_sentence(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(file.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(
        InputError, match=r"cannot be written to .*cache: only 0.0 GB are free; free space there, or set"
    ):
        made(file)
    monkeypatch.undo()
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(file))
    with pytest.raises(
        InputError, match=r"cannot be written to .*labels\.csv: (Not a directory|File exists); free space"
    ):
        made(file)


def test_no_draft_is_left_of_what_was_refused(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "SAMPLE", 2)
    (file.parent / "images" / "0003.png").write_bytes(b"no picture")
    with pytest.raises(InputError):
        made(file)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_files_that_are_missing(file: Path) -> None:
    for k in range(3, 9):
        (file.parent / "images" / f"{k:04}.png").unlink()
    (file.parent / "images" / "0010.png").unlink()
    (file.parent / "images" / "0010.png").mkdir()
    with pytest.raises(InputError) as refused:
        made(file)
    assert "7 of 48 are not there: " in str(refused.value)
    assert "images/0003.png (line 5), " in str(refused.value) and "0006.png" not in str(refused.value)


def test_files_that_cannot_be_read_are_told_together(tmp_path: Path, cache: Path) -> None:
    images = [(f"{k}.npy", np.full((8, 8), k + 0.5)) for k in range(12)]
    images[4][1][0, 0], images[9][1][1, 1] = np.nan, np.inf
    file = table_of(tmp_path / "set", images)
    (tmp_path / "set" / "2.npy").write_bytes(b"")
    with pytest.raises(InputError) as refused:
        made(file)
    sentence = str(refused.value)
    assert sentence.startswith("3 of 12 images of labels.csv cannot be used: ")
    assert "2.npy is empty (line 4); " in sentence
    assert "4.npy holds 1 values that are not finite (NaN or infinite) (line 6); " in sentence


@pytest.mark.parametrize("sample", [2, 256])
def test_grey_and_colour_mixed(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, sample: int) -> None:
    monkeypatch.setattr(decode, "SAMPLE", sample)
    grey = np.tile(np.arange(16, dtype=np.uint8) * 16, (16, 1))
    coloured = np.dstack([grey, grey.T, np.full_like(grey, 7), np.full_like(grey, 255)])
    images = [(f"{k}.png", coloured - np.uint8([k, 0, 0, 0]) if k == 5 else grey + np.uint8(k)) for k in range(12)]
    _, result = made(table_of(tmp_path / "set", images), Recipe(size=16))
    assert result.images.shape == (12, 3, 16, 16) and result.window is None and result.n_wide == 0
    assert (result.images[5] == images[5][1][:, :, :3].transpose(2, 0, 1)).all()
    assert (result.images[3] == images[3][1]).all()


@pytest.mark.parametrize("sample", [2, 256])
def test_depths_mixed(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, sample: int) -> None:
    monkeypatch.setattr(decode, "SAMPLE", sample)
    grey = np.tile(np.arange(16, dtype=np.uint8) * 16, (16, 1))
    images = [
        (f"{k}.png", grey.astype(np.uint16) * 100 + 500 if k in (5, 7) else grey + np.uint8(k)) for k in range(12)
    ]
    _, result = made(table_of(tmp_path / "set", images), Recipe(size=16))
    # Only what has more than 8 bits is scaled, by what has more than 8 bits.
    assert result.window == Window(500, 24500) and result.n_wide == 2
    assert (result.images[3] == images[3][1]).all()
    assert np.abs(result.images[5].astype(int) - grey.astype(int) * 255 // 240).max() <= 1
    # A window that is given scales all of them.
    _, result = made(tmp_path / "set" / "labels.csv", Recipe(16, window=WindowRule.of({"low": 0, "high": 120})))
    assert result.images[3].max() == 255


def test_only_a_block_is_in_memory(tmp_path: Path, cache: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (96, 96, 3), np.uint8)
    file = table_of(tmp_path / "set", [(f"{k}.png", noise + np.uint8(k % 256)) for k in range(600)])
    tracemalloc.start()
    result = made(file, Recipe(size=224))[1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.images.nbytes > 90e6 and peak < 45e6


def test_one_of_several_decodes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, write = [], passes.Decoder.write
    monkeypatch.setattr(passes.Decoder, "write", lambda *given: (written.append(1), write(*given))[1])
    threads = [threading.Thread(target=made, args=(file,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1


def test_a_line_tells_how_far_it_is(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(file, Recipe(size=32))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(passes, "_SECONDS", 0.0)
    monkeypatch.setattr(passes, "_BLOCK", 16)
    made(file)
    assert "reading labels.csv: 16 of 48 images, about 0 s left" in capsys.readouterr().err
