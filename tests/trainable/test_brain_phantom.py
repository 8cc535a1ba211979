from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from trainable.data import brain_phantom as module
from trainable.data.base import DataView
from trainable.data.brain_phantom import BrainPhantom
from trainable.data.cache import cache_folder
from trainable.errors import InputError

pytestmark = pytest.mark.usefixtures("own_cache")

MENINGIOMA, GLIOMA, PITUITARY = range(3)
BOTH = [{"rho": 1.0, "gamma": 0.0}, {"rho": 0.0, "gamma": 1.0}, {"rho": 1.0, "gamma": 1.0}, {"rho": 0.0, "gamma": 0.0}]


def view(phantom: BrainPhantom, rho: float, gamma: float = 0.0, seed: int = 0, phase: str = "confirm") -> DataView:
    return DataView(phantom, {"rho": rho, "gamma": gamma}, seed, None, phase)  # type: ignore[arg-type]


def test_it_says_that_it_is_synthetic(phantom: BrainPhantom) -> None:
    assert "synthetic" in phantom.long_name
    assert "synthetic" in phantom.note


def test_the_pixels_are_the_same_on_every_machine() -> None:
    small = BrainPhantom(image_size=32, patients=30, slices=2)
    assert small.checksum == "d7d2d59b933cda5809946f52386adc22b2563af5936c8068104c846628fb5f8b"
    assert small.checksum == BrainPhantom(image_size=32, patients=30, slices=2).checksum
    others = [{"image_size": 33}, {"overlap": 0.1}, {"slices": 3}, {"lengths": "seed"}]
    plain: dict[str, object] = {"image_size": 32, "patients": 30, "slices": 2}
    assert len({BrainPhantom(**{**plain, **other}).checksum for other in [{}, *others]}) == 5  # type: ignore[arg-type]


def test_it_is_drawn_once(phantom: BrainPhantom, monkeypatch: pytest.MonkeyPatch) -> None:
    first = phantom.checksum
    monkeypatch.setattr(module, "generate", lambda *_: pytest.fail("it was drawn again"))
    again = BrainPhantom(image_size=32, patients=60, slices=4)
    assert again.checksum == first
    assert isinstance(again.store.grey, np.memmap)


def test_a_torn_cache_is_drawn_again(phantom: BrainPhantom) -> None:
    first = BrainPhantom(image_size=32, patients=30, slices=1).checksum
    folders = sorted(cache_folder().glob("brain_phantom*"), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[-2:]:
        (folder / "red.npy" if (folder / "red.npy").exists() else folder / "grey.npy").write_bytes(b"torn")
    assert BrainPhantom(image_size=32, patients=30, slices=1).checksum == first
    assert not list(cache_folder().glob(".*.part"))


def test_without_a_cache_it_is_the_same(phantom: BrainPhantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "file"))
    assert BrainPhantom(image_size=32, patients=60, slices=4).checksum == phantom.checksum


def test_the_same_patients_at_every_size(phantom: BrainPhantom) -> None:
    large = BrainPhantom(image_size=64, patients=60, slices=4)
    assert large.image_keys() == phantom.image_keys()
    assert np.array_equal(large.store.outlines, phantom.store.outlines)
    halves = large.store.grey.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4))
    assert np.corrcoef(halves.ravel(), phantom.store.grey.ravel().astype(float))[0, 1] > 0.98
    assert np.array_equal(large.split(0).test, phantom.split(0).test)


def test_tumours_lie_where_their_outlines_say(phantom: BrainPhantom) -> None:
    store = phantom.store
    for i in range(0, len(store), 17):
        rows, columns = np.nonzero(store.mask(i))
        middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / 32
        assert store.outline(i).mean(axis=0) == pytest.approx(middle, abs=0.05)
    area = np.array([store.mask(i).mean() for i in range(len(store))])
    assert 0.003 < area.min() < area.max() < 0.2


def test_the_classes_differ_as_a_radiologist_would_say() -> None:
    apart = BrainPhantom(image_size=64, patients=60, slices=4, overlap=0.0)
    store = apart.store
    middle = np.array([store.outline(i).mean(axis=0) - 0.5 for i in range(len(store))])
    reach = np.linalg.norm(middle, axis=1)
    spread = np.array([store.grey[i][store.mask(i)].std() for i in range(len(store))])
    y = apart.labels()
    assert reach[y == PITUITARY].max() < reach[y == MENINGIOMA].min()
    assert np.median(spread[y == GLIOMA]) > 2 * np.median(spread[y == MENINGIOMA])
    assert np.abs(middle[y == PITUITARY, 0]).mean() < 0.05


def test_splits_are_by_patient(phantom: BrainPhantom) -> None:
    groups = phantom.groups()
    for fold in (None, *range(phantom.n_folds)):
        split = phantom.split(3, fold)
        parts = [set(groups[part]) for part in (split.train, split.val, split.test)]
        assert sum(len(part) for part in parts) == len(set.union(*parts)) == 60
    keys = phantom.patient_keys()
    assert keys is not None
    assert len(set(keys)) == 60
    assert len(set(zip(keys, groups.tolist(), strict=True))) == 60
    assert len(set(phantom.image_keys())) == 240


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 16}, r"image_size of brain_phantom must be a whole number in \[32, 256\], but got 16"),
        ({"patients": 31}, "multiple of 3"),
        ({"patients": 3}, r"patients of brain_phantom must be a whole number in \[30, 3000\]"),
        ({"slices": 0}, "slices of brain_phantom"),
        ({"overlap": 1.5}, r"overlap of brain_phantom must lie in \[0, 1\]"),
        ({"lengths": "sed"}, "did you mean 'seed'"),
    ],
)
def test_bad_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BrainPhantom(**options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_plain_training_takes_the_shortcut(tmp_path: Path) -> None:
    from trainable import train
    from trainable.spec import Training

    training = Training(epochs=6, batch_size=32, augmentation=("flip", "shift"))
    values = {}
    for rho in (0.0, 1.0):
        run = train(
            "brain_phantom",
            rho=rho,
            method="erm",
            seed=1,
            training=training,
            phase="search",
            hyperparameters={"lr": 3e-3},
        )
        values[rho] = run.row["val_unbiased"]
    assert values[0.0] > 0.8
    assert values[1.0] < values[0.0] - 0.2
    shutil.rmtree(tmp_path)
