from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator import cli
from store.errors import InputError
from tests.trainable.figshare_files import all_files, folds_file, label_of, write_folder
from trainable import train
from trainable.data import base
from trainable.data.base import load_dataset
from trainable.data.brain import paint
from trainable.data.brain.figshare.prepare import prepare
from trainable.data.brain.mri import BrainMRI
from trainable.data.brain.resize import area_resize
from trainable.data.brain.slice_store import FIELD_MM
from trainable.data.brain.tumour_slices import TumourSlices
from trainable.data.view import DataView
from trainable.spec import Training

N = 60


@pytest.fixture(scope="module", autouse=True)
def prepared(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Fifteen patients of four slices, five patients a class, one a class in each fold."""
    folder = tmp_path_factory.mktemp("mri")
    write_folder(folder / "source", all_files(N, small=tuple(range(3, N + 1))), folds_file(N))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LNL_SWEEP_CACHE", str(folder / "cache"))
        prepare(folder / "source")
        base._load.cache_clear()
        yield
    base._load.cache_clear()


@pytest.fixture
def mri() -> BrainMRI:
    return BrainMRI(image_size=64)


def test_it_refuses_without_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "empty"))
    base._load.cache_clear()
    with pytest.raises(
        InputError, match=r"brain_mri is not prepared .*lnl-sweep data prepare brain_mri --from"
    ) as caught:
        load_dataset("brain_mri")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(base, "list_datasets", lambda: ["brain_mri", "coloured_digits"])
    assert cli.main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "not prepared" in out
    assert "5000 images" in out
    base._load.cache_clear()


def test_labels_patients_and_folds_are_those_of_the_files(mri: BrainMRI) -> None:
    assert mri.labels().tolist() == [label_of(i) - 1 for i in range(1, N + 1)]
    groups = mri.groups()
    assert len(set(groups)) == 15
    assert all(len(set(groups[i : i + 4])) == 1 for i in range(0, N, 4))
    for fold in range(5):
        split = mri.split(0, fold)
        assert split.test.tolist() == list(range(12 * fold, 12 * fold + 12))
        assert not set(groups[split.train]) & set(groups[split.val])
    fixed = mri.split(0)
    assert [len(set(groups[part])) for part in (fixed.train, fixed.val, fixed.test)] == [9, 3, 3]


def test_images_of_both_sizes_are_shrunk_by_area(mri: BrainMRI) -> None:
    whole = BrainMRI()
    assert whole.image_size == 256
    clean = whole.variant_images("unbiased", {"rho": 1.0, "gamma": 0.0}, np.arange(5), "test").images
    assert clean.shape == (5, 3, 256, 256)
    small = mri.variant_images("unbiased", {"rho": 1.0, "gamma": 0.0}, np.arange(5), "test").images
    assert np.array_equal(small[:, 1].numpy(), area_resize(clean[:, 0].numpy(), 64))
    assert whole.image_keys() == mri.image_keys()
    assert whole.checksum != mri.checksum
    assert BrainMRI(image_size=64, lengths="seed").checksum != mri.checksum


def test_the_painted_length_is_in_centimetres() -> None:
    # The ellipse of the test files is 0.28 of the side wide: 0.28 x 250.88 mm = 7.02 cm, or 143.36 pixels of 512.
    outline = BrainMRI().store.outline(0)
    _, length = paint.diameter(outline)
    assert paint.length_text(length, FIELD_MM, "red", "physical") == "7.02cm"
    assert paint.length_text(length, FIELD_MM, "red", "seed") == "7.16cm"
    assert paint.length_text(length, FIELD_MM, "blue", "seed") == "14.33cm"


def test_it_shares_the_engine_of_the_phantom(mri: BrainMRI) -> None:
    assert isinstance(mri, TumourSlices)
    view = DataView(mri, {"rho": 1.0, "gamma": 0.0}, 0, None, "confirm")
    painted = view.train()
    assert torch.equal(painted.attribute == 1, painted.labels == 1)
    assert view.test("independent").attribute.unique().tolist() == [0, 1]


def test_bias_strength_on_the_real_class_shares(mri: BrainMRI, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    labels = np.repeat([0, 1, 2], [708, 1426, 930])
    monkeypatch.setattr(mri, "store", dataclasses.replace(mri.store, labels=labels))
    assert mri.bias_strength({"rho": 1.0, "gamma": 0.0}) == pytest.approx(0.65, abs=0.005)
    assert mri.bias_strength({"rho": 1.0, "gamma": 1.0}) == pytest.approx(1)
    assert mri.bias_strength({"rho": 0.0, "gamma": 0.0}) == 0


@pytest.mark.parametrize("fold", [None, 2])
def test_a_trial_runs_on_it(fold: int | None) -> None:
    run = train(
        "brain_mri",
        rho=0.5,
        method="lnl",
        network="small_cnn",
        dataset_options={"image_size": 32},
        training=Training(epochs=1, batch_size=8),
        fold=fold,
    )
    assert run.row["status"] == "completed"
    assert run.row["n_test"] == 12
    assert run.predictions is not None
    assert len(set(run.predictions["patient"])) == 3
    assert 0 <= run.row["flip_rate"] <= 1
