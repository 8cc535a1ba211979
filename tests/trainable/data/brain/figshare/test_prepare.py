from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import cli
from store.errors import InputError
from store.open import folder_at
from tests.trainable.figshare_files import (
    N,
    folds_file,
    in_cells,
    label_of,
    patient_of,
    slice_file,
    write_folder,
    write_zips,
    zipped,
)
from trainable.data.arrays.folder import load_arrays
from trainable.data.arrays.shared import prepared_arrays, share
from trainable.data.brain.figshare import prepare as prepare_brain_mri
from trainable.data.brain.figshare.mat_file import read_slice
from trainable.data.brain.figshare.prepare import BLOCK, prepare
from trainable.data.brain.slice_store import FIELD_MM, SliceStore


def store(cache: Path) -> SliceStore:
    found = load_arrays(cache / "brain_mri")
    assert found is not None
    return SliceStore.of(*found, FIELD_MM)


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
    share("brain_mri", folder_at(tmp_path / "shared"))
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


def test_folds_in_a_cell(files: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    prepare(write_folder(tmp_path / "source", files, in_cells(folds_file(N), "cvind")))
    assert store(cache).folds.tolist() == [0] * N


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
