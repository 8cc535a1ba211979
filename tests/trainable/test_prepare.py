from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import cli
from tests.trainable.figshare_files import (
    all_files,
    folds_file,
    in_cells,
    label_of,
    patient_of,
    slice_file,
    write_folder,
    write_zips,
    zipped,
)
from trainable.data import prepare_brain_mri
from trainable.data.array_folder import load_arrays
from trainable.data.figshare_file import read_slice, to_grey
from trainable.data.prepare_brain_mri import BLOCK, prepare
from trainable.data.prepared import prepared_arrays, share
from trainable.data.resize import area_resize
from trainable.data.slice_store import FIELD_MM, SliceStore
from trainable.errors import InputError
from trainable.files import Folder

N = 12


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return all_files(N, small=tuple(range(4, N + 1)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(folder))
    return folder


def store(cache: Path) -> SliceStore:
    found = load_arrays(cache / "brain_mri")
    assert found is not None
    return SliceStore.of(*found, FIELD_MM)


def test_a_file_is_read_as_it_was_drawn() -> None:
    for side in (512, 256):
        one = read_slice(slice_file(3, side))
        assert (one.label, one.patient, one.image.shape) == (label_of(3) - 1, patient_of(3), (side, side))
        rows, columns = np.nonzero(one.mask)
        assert (columns.mean() + 0.5) / side == pytest.approx(0.6, abs=0.002)
        assert (rows.mean() + 0.5) / side == pytest.approx(0.35, abs=0.002)
        assert one.image[one.mask].mean() > one.image[~one.mask].mean() + 500
        assert one.outline.mean(axis=0) == pytest.approx([0.6, 0.35], abs=0.002)


@pytest.mark.parametrize("field", ["label", "PID", "tumorBorder", "image", "tumorMask"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_cell_of_one_thing_is_that_thing(field: str, depth: int) -> None:
    plain = read_slice(slice_file(3, 256))
    data = slice_file(3, 256)
    for _ in range(depth):
        data = in_cells(data, field)
    one = read_slice(data)
    assert (one.label, one.patient) == (plain.label, plain.patient)
    assert np.array_equal(one.image, plain.image) and np.array_equal(one.outline, plain.outline)


def test_whole_numbers_are_read_as_they_are_whatever_their_type() -> None:
    plain = read_slice(slice_file(3, 256))
    assert plain.image.dtype == np.int16  # of these bytes the published images' hashes are made
    for kind in (np.uint8, np.uint16, np.int64, np.float32, np.float64):
        image = (plain.image // 40 if kind is np.uint8 else plain.image).astype(kind)
        one = read_slice(slice_file(3, 256, image=image.T))
        assert one.image.dtype == np.int16 and np.array_equal(one.image, image.astype(np.int16))
    # Beyond 32,767 nothing wraps.
    bright = (plain.image.astype(np.int64) * 40).astype(np.uint16)
    assert bright.max() > 40_000
    one = read_slice(slice_file(3, 256, image=bright.T))
    assert np.array_equal(one.image, bright)
    assert np.abs(to_grey(one.image).astype(int) - to_grey(plain.image)).max() <= 1


def test_a_patient_may_be_named_by_a_text() -> None:
    assert read_slice(slice_file(3, 256, PID="MR017260A")).patient == "MR017260A"


def test_an_outline_that_names_rows_first_is_turned() -> None:
    one = read_slice(slice_file(3))
    border = one.outline * 512 + 0.5
    turned = read_slice(slice_file(3, tumorBorder=border[:, ::-1].reshape(1, -1)))
    assert turned.outline == pytest.approx(one.outline)


def test_intensities_are_stretched_between_the_percentiles() -> None:
    image = np.arange(512 * 512, dtype=np.int64).reshape(512, 512) // 20
    image[0, 0], image[-1, -1] = -30000, 30000
    grey = to_grey(image.astype(np.int16))
    assert (grey.min(), grey.max()) == (0, 255)
    assert 120 < grey[256, 0] < 135
    assert (grey == 0).mean() == pytest.approx(0.006, abs=0.003)
    assert np.array_equal(to_grey((image // 2).astype(np.int16))[::97, ::89] // 8, grey[::97, ::89] // 8)


def test_area_resize_is_the_mean_and_exact() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 256, 256), dtype=np.uint8)
    halves = images.reshape(3, 128, 2, 128, 2).astype(np.int64).sum(axis=(2, 4))
    assert np.array_equal(area_resize(images, 128), (halves + 2) // 4)
    assert area_resize(images, 256) is not None
    odd = area_resize(np.full((1, 256, 256), 77, dtype=np.uint8), 100)
    assert (odd == 77).all()
    assert area_resize(images, 100).mean() == pytest.approx(images.mean(), abs=0.6)


@pytest.mark.parametrize("form", ["folder of .mat", "four zips", "one zip", "folder around"])
def test_every_form_of_the_archive_gives_the_same_arrays(
    form: str, files: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    if form == "folder of .mat":
        write_folder(source, files, folds_file(N))
    else:
        inner = write_zips(source, files, folds_file(N))
        if form == "one zip":
            source = tmp_path / "1512427.zip"
            source.write_bytes(zipped(inner))
        if form == "folder around":
            (source / "deeper").mkdir()
            for path in source.glob("*.zip"):
                path.rename(source / "deeper" / path.name)
    seen: list[tuple[int, int]] = []
    made = prepare(source, lambda done, total: seen.append((done, total)))
    assert (made.slices, made.patients, made.small) == ((4, 4, 4), 3, 9)
    assert seen[-1] == (N, N)
    assert made.checksum == prepare(write_folder(tmp_path / "plain", files, folds_file(N))).checksum
    found = store(cache)
    assert found.grey.shape == (N, 256, 256)
    assert isinstance(found.grey, np.memmap)
    assert found.labels.tolist() == [label_of(i) - 1 for i in range(1, N + 1)]
    assert found.folds.tolist() == [0] * N
    assert [len(set(found.groups[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert len(set(found.image_keys)) == N
    for i in range(N):
        rows, columns = np.nonzero(found.mask(i))
        assert [(columns.mean() + 0.5) / 256, (rows.mean() + 0.5) / 256] == pytest.approx([0.6, 0.35], abs=0.01)
        assert found.outline(i).mean(axis=0) == pytest.approx([0.6, 0.35], abs=0.002)
    assert sorted(path.name for path in cache.iterdir()) == [".brain_mri.lock", "brain_mri", "brain_mri.key"]


def test_patient_identifiers_leave_only_as_keyed_hashes(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    prepare(write_folder(tmp_path / "a", files, folds_file(N)))
    # A preparation that failed leaves its blocks, and they must not tell either.
    broken = {**files, "12.mat": b"torn"}
    with pytest.raises(InputError):
        prepare(write_folder(tmp_path / "b", broken, folds_file(N)))
    written = [path for path in cache.rglob("*") if path.is_file()]
    assert len(written) > 5
    content = b"".join(path.read_bytes() for path in written) + "".join(map(str, written)).encode()
    for number in range(1, N + 1):
        for codec in ("utf-8", "utf-16-le", "utf-32-le"):
            assert patient_of(number).encode(codec) not in content
    keys = store(cache).patient_keys
    assert len(set(keys)) == 3
    plain = {hashlib.blake2b(patient_of(i).encode(), digest_size=8).hexdigest() for i in range(1, N + 1)}
    assert not plain & set(keys.tolist())


def test_hashes_have_a_random_key_that_stays_beside_the_arrays(
    files: dict[str, bytes], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files, folds_file(N))
    first, one = prepare(source), store(cache)
    key = cache / "brain_mri.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    secret = key.read_text().strip()
    assert len(bytes.fromhex(secret)) == 32
    share("brain_mri", Folder(tmp_path / "shared"))
    elsewhere = [path for path in tmp_path.rglob("*") if path.is_file() and path != key]
    assert len(elsewhere) > 20
    for path in elsewhere:
        content = path.read_bytes() + str(path).encode()
        assert secret.encode() not in content and bytes.fromhex(secret) not in content
    # What everybody who has the images can compute gives nothing away.
    public = hashlib.sha256(read_slice(files["1.mat"]).image.tobytes()).digest()
    for guess in (public, b"", b"lnl-sweep"):
        tried = {hashlib.blake2b(patient_of(i).encode(), digest_size=8, key=guess).hexdigest() for i in range(1, N + 1)}
        assert not tried & set(one.patient_keys.tolist())

    # The same key, the same data, to the last bit; made readable for others it is closed again.
    key.chmod(0o644)
    again = prepare(source)
    assert again.checksum == first.checksum and key.read_text().strip() == secret
    assert stat.S_IMODE(key.stat().st_mode) == 0o600

    # On another machine only the hashes differ: splits and trials must not depend on the key.
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "other"))
    other, two = prepare(source), store(tmp_path / "other")
    assert other.checksum != first.checksum
    assert not set(one.patient_keys.tolist()) & set(two.patient_keys.tolist())
    assert not set(one.image_keys.tolist()) & set(two.image_keys.tolist())
    for field in dataclasses.fields(SliceStore):
        if field.name not in ("patient_keys", "image_keys", "checksum"):
            assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), field.name
    # With the first machine's key it is the first machine's data.
    shutil.copy(key, tmp_path / "other" / "brain_mri.key")
    assert prepare(source).checksum == first.checksum


def test_patients_are_numbered_in_the_order_of_their_files() -> None:
    names = np.array(["7f", "7f", "03", "aa", "03", "7f"])
    assert prepare_brain_mri._numbered(names).tolist() == [0, 0, 1, 2, 1, 0]


def test_data_without_a_key_go_on_working_and_are_not_replaced_unasked(
    files: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    source = write_folder(tmp_path / "source", files, folds_file(N))
    made = prepare(source)
    # As an earlier version left them.
    (cache / "brain_mri.key").unlink()
    found = prepared_arrays("brain_mri")
    assert found is not None and found[1] == made.checksum
    with pytest.raises(InputError, match=r"prepared without a key of its own .* move it away to prepare anew"):
        prepare(source)
    found = prepared_arrays("brain_mri")
    assert found is not None and found[1] == made.checksum and not (cache / "brain_mri.key").exists()
    (cache / "brain_mri").rename(tmp_path / "away")
    assert prepare(source).checksum != made.checksum


@pytest.mark.parametrize("content", ["", "00" * 31, "zz" * 32], ids=["empty", "short", "other"])
def test_a_damaged_key_is_refused(content: str, files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    (cache / "brain_mri.key").write_text(content)
    with pytest.raises(InputError, match=r"brain_mri.key must hold .* 64 hexadecimal digits") as caught:
        prepare(write_folder(tmp_path / "source", files, folds_file(N)))
    assert "\n" not in str(caught.value) and (not content or content not in str(caught.value))
    assert (cache / "brain_mri.key").read_text() == content


def change(files: dict[str, bytes], **named: Any) -> dict[str, bytes]:
    """Replace files by number: bytes, None = leave it out."""
    changed = {**files, **{f"{name.lstrip('n')}.mat": data for name, data in named.items() if data is not None}}
    for name in [name for name, data in named.items() if data is None]:
        del changed[f"{name.lstrip('n')}.mat"]
    return changed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n3": b"not hdf5", "n5": b""}, "2 files are not.*2 corrupt.*3.mat, 5.mat"),
        ({"n3": slice_file(3, image=None)}, "1 corrupt.*3.mat"),
        ({"n7": None}, "1 missing: 7.mat"),
        ({"n13": slice_file(13, 256)}, "1 extra .*cvind.mat knows 12 slices.*13.mat"),
        ({"nnew": slice_file(13, 256)}, r"1 extra \(no number\): ew.mat"),
        ({"n2": slice_file(2, 256, label=np.array([[4.0]]))}, "1 with a label outside 1..3: 2.mat"),
        ({"n2": slice_file(2, 256, label=np.array([[np.nan]]))}, "1 with a label outside 1..3: 2.mat"),
        ({"n2": slice_file(2, 256, tumorBorder=np.zeros((1, 0)))}, "1 with an empty outline .*2.mat"),
        ({"n2": slice_file(2, 256, tumorBorder=np.full((1, 80), 900.0))}, "1 with an outline outside the image: 2.mat"),
        ({"n2": slice_file(2, 256, tumorBorder=np.full((1, 81), 9.0))}, "no list of x, y pairs: 2.mat"),
        ({"n2": slice_file(2, 256, tumorMask=np.zeros((256, 256), np.uint8))}, "1 with an empty mask: 2.mat"),
        ({"n2": slice_file(2, 256, tumorMask=np.zeros((512, 512), np.uint8))}, "a mask of another size.*2.mat"),
        ({"n2": slice_file(2, 256, image=np.zeros((128, 128), np.int16))}, "not 512 x 512 or 256 x 256: 2.mat"),
        ({"n2": slice_file(2, 256, image=np.zeros((256, 256), np.int16))}, "an image that is constant.*2.mat"),
        ({"n2": slice_file(2, 256, PID=np.zeros((0, 1), np.uint16))}, "without a patient identifier: 2.mat"),
        ({"n2": slice_file(2, 256, label=np.bytes_(b"two"))}, "1 with label that is no array of numbers: 2.mat"),
        ({"n2": in_cells(slice_file(2, 256), "tumorBorder", 2)}, "tumorBorder that is a cell of 2 values.*: 2.mat"),
        ({"n2": in_cells(slice_file(2, 256), "PID", 0)}, "PID that is a cell of 0 values.*: 2.mat"),
        ({"n2": slice_file(2, 256, image=np.arange(65536.0).reshape(256, 256) / 2)}, "not in whole numbers: 2.mat"),
        ({"n2": slice_file(2, 256, image=np.full((256, 256), np.nan))}, "not in whole numbers: 2.mat"),
        ({"n2": slice_file(2, 256, image=2.0**40 * np.eye(256))}, "more than 32 bits: 2.mat"),
        ({"n1": b"torn", "n9": None}, "2 files are not.*1 missing: 9.mat; 1 corrupt.*1.mat"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_count(
    changes: dict[str, Any], words: str, files: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        prepare(write_folder(tmp_path / "source", change(files, **changes), folds_file(N)))
    assert "\n" not in str(caught.value)
    assert load_arrays(cache / "brain_mri") is None


def test_many_bad_files_are_counted_and_five_named(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    broken = dict.fromkeys(files, b"torn")
    with pytest.raises(InputError, match=r"12 corrupt .*: 1.mat, 2.mat, 3.mat, 4.mat, 5.mat and 7 more"):
        prepare(write_folder(tmp_path / "source", broken, folds_file(N)))


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (b"torn", "cvind.mat must hold a fold from 1 to 5"),
        (folds_file(N, np.arange(N)), "cvind.mat must hold a fold from 1 to 5"),
        (folds_file(N, np.arange(N) % 2 + 1), "must not divide a patient, but 3 patients lie in two or more"),
    ],
)
def test_bad_folds(folds: bytes, words: str, files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        prepare(write_folder(tmp_path / "source", files, folds))


def test_bad_archives(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        prepare(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"holds no files 1.mat"):
        prepare(empty)
    folder = write_folder(tmp_path / "source", files, folds_file(N))
    (folder / "cvind.mat").unlink()
    with pytest.raises(InputError, match=r"one cvind.mat, but there are 0"):
        prepare(folder)
    write_zips(tmp_path / "zips", files, folds_file(N))
    damaged = tmp_path / "zips" / "_767-1532.zip"
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"1 corrupt .a zip that cannot be read.: _767-1532.zip; 3 missing"):
        prepare(tmp_path / "zips")
    (tmp_path / "zips" / "copy").mkdir()
    (tmp_path / "zips" / "copy" / "1.mat").write_bytes(files["2.mat"])
    with pytest.raises(InputError, match=r"1 extra .the same number twice, with different content.: 1.mat"):
        prepare(tmp_path / "zips")


def test_a_truncated_download_is_named(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "1512427.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name, data in write_zips(tmp_path / "zips", files, folds_file(N)).items():
            archive.writestr(name, data)
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"1512427.zip cannot be read as a zip: download it again"):
        prepare(source)


def test_a_zip_beside_its_own_unpacked_content(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", files, folds_file(N))
    before = prepare(source).checksum
    inner = write_zips(source, files, folds_file(N))
    (source / "1512427.zip").write_bytes(zipped(inner))
    assert prepare(source).checksum == before
    # Where they are not the same, nobody can say which is the right one.
    (source / "cvind.mat").write_bytes(folds_file(N, np.full(N, 2)))
    with pytest.raises(InputError, match=r"there are 2 with different content: leave the right one there"):
        prepare(source)


def test_folds_in_a_cell(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    prepare(write_folder(tmp_path / "source", files, in_cells(folds_file(N), "cvind")))
    assert store(cache).folds.tolist() == [0] * N


@pytest.mark.parametrize("filling", [0x00, 0xFF])
@pytest.mark.parametrize("offset", range(100, 2001, 380))
def test_a_damaged_zip_member_is_corrupt(
    offset: int, filling: int, files: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    inner = write_zips(tmp_path / "zips", files, folds_file(N))
    data = bytearray(inner["_767-1532.zip"])
    at = data.index(b"4.mat") + offset
    data[at : at + 64] = bytes([filling]) * 64
    (tmp_path / "zips" / "_767-1532.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"1 corrupt .cannot be unpacked.: 4.mat"):
        prepare(tmp_path / "zips")


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of ours may catch it and tidy up."""


def test_a_preparation_that_was_killed_goes_on(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 2 * BLOCK + 12
    one = slice_file(1, 256)
    source = write_folder(tmp_path / "source", {f"{i}.mat": one for i in range(1, n + 1)}, folds_file(n, np.ones(n)))
    read: list[int] = []
    real = prepare_brain_mri.read_slice

    def counted(data: bytes) -> Any:
        read.append(1)
        return real(data)

    monkeypatch.setattr(prepare_brain_mri, "read_slice", counted)

    def kill(done: int, total: int) -> None:
        if done >= 2 * BLOCK:
            raise Killed

    with pytest.raises(Killed):
        prepare(source, kill)
    assert load_arrays(cache / "brain_mri") is None
    first = len(read)
    read.clear()
    made = prepare(source)
    assert sum(made.slices) == n
    assert first >= 2 * BLOCK
    assert len(read) == n - 2 * BLOCK, "the finished blocks are not read again"
    # Files that changed meanwhile are other data: nothing of the old blocks is used.
    with pytest.raises(Killed):
        prepare(source, kill)
    (source / "3.mat").write_bytes(slice_file(2, 256))
    read.clear()
    prepare(source)
    assert len(read) == n
    # Nor of blocks whose hashes have another key.
    with pytest.raises(Killed):
        prepare(source, kill)
    shutil.rmtree(cache / "brain_mri")
    (cache / "brain_mri.key").unlink()
    read.clear()
    prepare(source)
    assert len(read) == n


def leftovers(cache: Path) -> list[Path]:
    work, draft = cache / "brain_mri-preparing-0123-4567", cache / ".brain_mri.abc.part"
    for folder in (work / "block-00000", draft):
        folder.mkdir(parents=True)
        (folder / "grey.npy").write_bytes(b"half")
    return [work, draft]


def test_a_success_removes_what_failed_and_killed_ones_left(
    files: dict[str, bytes], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leftovers(cache)
    other = cache / "brain_mri-256-0123"
    other.mkdir()
    with pytest.raises(InputError):
        prepare(write_folder(tmp_path / "torn", {**files, "12.mat": b"torn"}, folds_file(N)))
    assert all(path.exists() for path in left), "only a success tidies up: a failed one may be gone on with"
    good = write_folder(tmp_path / "good", files, folds_file(N))

    @contextlib.contextmanager
    def no_lock(path: Path) -> Iterator[bool]:
        yield False

    with monkeypatch.context() as patch:
        patch.setattr(prepare_brain_mri, "locked", no_lock)
        prepare(good)
    assert all(path.exists() for path in left), "where there are no locks, it may be a living process's"
    prepare(good)
    assert {path.name for path in cache.iterdir()} == {
        *(".brain_mri.lock", "brain_mri", "brain_mri.key"),
        other.name,
    }


def test_one_preparation_at_a_time(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    taken: list[bool] = []

    def other_process(done: int, total: int) -> None:
        with (cache / ".brain_mri.lock").open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken.append(False)
            else:
                taken.append(True)

    prepare(write_folder(tmp_path / "source", files, folds_file(N)), other_process)
    assert taken and not any(taken), "another one's success would remove the work of this one"


def test_preparing_again_replaces_what_was_there(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    first = prepare(write_folder(tmp_path / "a", files, folds_file(N)))
    second = prepare(write_folder(tmp_path / "b", files, folds_file(N, np.full(N, 3))))
    assert first.checksum != second.checksum
    assert store(cache).folds.tolist() == [2] * N
    shutil.rmtree(cache)
    cache.write_text("a file")
    with pytest.raises(InputError, match="cannot write to the cache"):
        prepare(tmp_path / "a")


def test_command(files: dict[str, bytes], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(write_folder(tmp_path / "source", files, folds_file(N)))
    assert cli.main(["data", "prepare", "brain_mri", "--from", source]) == 0
    out = capsys.readouterr().out
    for words in ("licence: CC BY 4.0", "figshare.1512427", "12 slices of 3 patients", "4 glioma", "checksum: "):
        assert words in out
    for words in (["brain_mri"], ["brain_mri", "--from", source, "--download", source]):
        assert cli.main(["data", "prepare", *words]) == 2
        assert "give either --from PATH" in capsys.readouterr().err
    assert cli.main(["data", "prepare", "coloured_digits", "--from", source]) == 2
    assert "needs no preparation" in capsys.readouterr().err


def test_command_for_other_machines(
    files: dict[str, bytes],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, place = str(write_folder(tmp_path / "source", files, folds_file(N))), tmp_path / "shared"
    assert cli.main(["data", "prepare", "brain_mri", "--from", source, "--to", str(place)]) == 0
    assert f"start sweeps with LNL_SWEEP_DATA='{place}'" in capsys.readouterr().out
    assert load_arrays(place / "brain_mri") is not None
    shutil.rmtree(place)
    assert cli.main(["data", "prepare", "brain_mri", "--to", str(place)]) == 0
    found, put = load_arrays(cache / "brain_mri"), load_arrays(place / "brain_mri")
    assert found is not None and put is not None and found[1] == put[1]
    # What is prepared here alone is not what sweeps run on.
    monkeypatch.setenv("LNL_SWEEP_DATA", str(place))
    capsys.readouterr()
    assert cli.main(["data", "prepare", "brain_mri", "--from", source]) == 0
    assert f"add --to '{place}'" in capsys.readouterr().out
