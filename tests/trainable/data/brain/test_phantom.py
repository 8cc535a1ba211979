from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from store.errors import InputError
from trainable.data.arrays.cache import cache_folder
from trainable.data.brain import phantom as module
from trainable.data.brain.phantom import BrainPhantom
from trainable.data.view import DataView

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


def test_without_patients_of_a_part_nothing_has_changed() -> None:
    nothing: dict[str, None] = dict.fromkeys(("test_patients", "test_slices", "val_patients"))
    plain = BrainPhantom(image_size=32, patients=30, slices=2, **nothing)
    assert plain.checksum == "d7d2d59b933cda5809946f52386adc22b2563af5936c8068104c846628fb5f8b"
    total = hashlib.sha256("".join([*plain.image_keys(), *(plain.patient_keys() or [])]).encode())
    for seed, fold in ((0, None), (7, None), (0, 2)):
        split = plain.split(seed, fold)
        for part in (split.train, split.val, split.test):
            total.update(part.tobytes())
    # Of the keys and splits before there were such options.
    assert total.hexdigest() == "77400c6c98aa14ce8f61e8d9cfb843a0c45889c8c156cba3a0481c36f94cae30"
    assert plain.bias_strength({"rho": 0.7, "gamma": 0.0}) == 0.3091639797060487


PARTS = {"test_patients": 10, "test_slices": 1, "val_patients": 7}


@pytest.mark.parametrize(
    "chosen", [("test_patients", "test_slices", "val_patients"), ("test_patients",), ("val_patients",)]
)
def test_patients_drawn_for_a_part_are_that_part(chosen: tuple[str, ...]) -> None:
    plain = BrainPhantom(image_size=32, patients=30, slices=2)
    more = BrainPhantom(image_size=32, patients=30, slices=2, **{name: PARTS[name] for name in chosen})
    own = len(plain.labels())
    # The patients that there were are the same, image by image, with the same draws; the others are new.
    for name in ("grey", "masks", "labels", "groups", "folds", "image_keys", "patient_keys"):
        assert np.array_equal(getattr(more.store, name)[:own], getattr(plain.store, name))
    assert np.array_equal(more.annotation_draws(3)[:own], plain.annotation_draws(3))
    assert more.checksum != plain.checksum
    assert len(np.unique(more.store.grey, axis=0)) == len(more.labels()) == len(set(more.image_keys()))
    assert more.bias_strength({"rho": 0.7, "gamma": 0.0}) == plain.bias_strength({"rho": 0.7, "gamma": 0.0})
    groups, keys = more.groups(), more.patient_keys()
    assert keys is not None
    assert len(set(keys)) == len(set(zip(keys, groups.tolist(), strict=True))) == len(set(groups.tolist()))

    parts = [more.split(seed) for seed in (1, 2)]
    for split in parts:
        assert np.array_equal(np.sort(np.concatenate([split.train, split.val, split.test])), np.arange(len(groups)))
        for name, positions in (("test", split.test), ("val", split.val)):
            drawn = f"{name}_patients" in chosen
            assert ((positions >= own) == drawn).all()
            if drawn:
                patients = PARTS[f"{name}_patients"]
                slices = 1 if name == "test" and "test_slices" in chosen else 2
                assert len(set(groups[positions])) == patients and len(positions) == patients * slices
                each = np.bincount(more.labels()[positions], minlength=3)
                assert each.max() - each.min() <= slices and each.min() > 0
        assert (split.train < own).all()
        # A share is taken from the other patients for the part alone that has none of its own.
        assert len(set(groups[split.train])) == {3: 30, 1: 24}[len(chosen)]
    assert np.array_equal(parts[0].test, parts[1].test)
    assert np.array_equal(parts[0].val, parts[1].val) == ("val_patients" in chosen)


def test_patients_of_one_part_do_not_depend_on_those_of_another() -> None:
    small: dict[str, int] = {"image_size": 32, "patients": 30, "slices": 1}
    alone = BrainPhantom(**small, test_patients=6, test_slices=2)
    both = BrainPhantom(**{**small, "patients": 33}, test_patients=6, test_slices=2, val_patients=6)
    first, second = alone.split(0).test, both.split(0).test
    for name in ("grey", "image_keys", "patient_keys"):
        assert np.array_equal(getattr(alone.store, name)[first], getattr(both.store, name)[second])
    assert set(both.store.patient_keys[both.split(0).val]).isdisjoint(both.store.patient_keys[second])


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
        ({"test_patients": 2}, r"test_patients .* whole number in \[3, 3000\] \(at least one of each class\), got 2"),
        ({"val_patients": True}, "val_patients of brain_phantom must be a whole number"),
        ({"test_patients": 6, "test_slices": 65}, r"test_slices of brain_phantom must be a whole number in \[1, 64\]"),
        ({"test_slices": 2, "val_patients": 6}, "give test_patients too, or leave test_slices out"),
        ({"test_patients": 6, "split_by": "slice"}, "split_by: slice .* drawn for a part by test_patients: leave one"),
        ({"val_patients": 6, "pituitary": "seed"}, "pituitary: seed .* drawn for a part by val_patients"),
    ],
)
def test_bad_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BrainPhantom(**options)  # type: ignore[arg-type]


def test_patients_drawn_for_a_part_leave_no_folds() -> None:
    more = BrainPhantom(image_size=32, patients=30, slices=1, test_patients=6, val_patients=6)
    with pytest.raises(InputError, match="drawn for a part by test_patients and val_patients: leave out one or the"):
        more.split(0, 1)


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
