"""Single trials, data to be prepared, and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.support import Refuse
from tests.idx_files import write_idx
from trainable.data.base import _load
from trainable.errors import InputError
from trainable.registry import import_registered


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["colored_digits", "--color_variance", "0.1"], "did you mean 'coloured_digits'?"),
        (["coloured_digits", "--method", "lln", "--color_variance", "0.1"], "did you mean 'lnl'?"),
        (["coloured_digits"], "color_variance"),
        (["coloured_digits", "--colour_variance", "0.1"], "did you mean 'color_variance'?"),
        (["coloured_digits", "--color_variance", "lots"], "'lots'"),
        (["coloured_digits", "--color_variance"], "--color_variance takes a number"),
        (["coloured_digits", "--color_variance", "-1"], "got -1"),
        (["coloured_digits", "--color_variance", "nan"], "got nan"),
        (["coloured_digits", "0.1"], "'0.1'"),
        (["coloured_digits", "--color_variance", "0.1", "--epochs", "0"], "but got 0"),
        (["coloured_digits", "--color_variance", "0.1", "--network", "pixel_frnt"], "did you mean 'pixel_front'?"),
        (["coloured_digits", "--color_variance", "0.1", "--device", "tpu"], "'tpu'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lambda=1"], "'lambda'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lr=fast"], "'fast'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lr"], "'lr'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "lr=["], "'['"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "train.ramp=1"], "did you mean 'training'?"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.ramps=1"], "did you mean 'ramp'?"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.ramp=steep"], "'steep'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.epochs=3"], "as --epochs"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "network.name=kim2019"], "as --network"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.optimizer=adm"], "'adm'"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "training.batch_size=1"], "but got 1"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "dataset.image_size=3"], "but got 3"),
        (["coloured_digits", "--color_variance", "0.1", "--set", "dataset.size=3"], "'size'"),
    ],
)
def test_a_trial_that_cannot_be(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse("train", *words)


@pytest.mark.parametrize("name", ["biased_digits", "coloured_digits"])
def test_digits_of_a_folder_that_cannot_be_read(refuse: Refuse, tmp_path: Path, name: str) -> None:
    bias = {"biased_digits": ("--rho", "0.5"), "coloured_digits": ("--color_variance", "0.1")}[name]
    words = ("train", name, *bias, "--set", "dataset.folder=digits")
    assert "there is no dataset.folder" in refuse(*words)
    images = write_idx(tmp_path / "digits", zipped=False) / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    for content, named in (
        (whole[:5000], "must hold 188,176 bytes for what its header states, but holds 5,000"),
        (b"\0\0\x0d" + whole[3:], "must begin with the magic number 00000803"),
        (whole[:7] + b"\x01" + whole[8 : 16 + 784], "must hold as many images as labels, but hold 1 and 240"),
    ):
        images.write_bytes(content)
        assert named in refuse(*words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["brain_mri"], "give either --from PATH"),
        (["brain_mri", "--from", "a", "--download", "b"], "one of the two"),
        (["brain_mri", "--from", "nowhere.zip", "--to", "shared"], "nowhere.zip"),
        (["brain_mri", "--to", "shared"], "is not prepared"),
        (["brain_mri", "--to", __file__], "must name a folder that can be written"),
        (["brain_mri", "--to", ""], "give either --from PATH"),
        (["brain_mri", "--to", "ftp://host/data"], "'ftp://host/data' is not a directory"),
        (["brain_mri", "--to"], "--to"),
        (["brain_mir", "--to", "shared"], "did you mean 'brain_mri'?"),
        (["coloured_digits", "--to", "shared"], "needs no preparation"),
    ],
)
def test_data_that_cannot_be_prepared(refuse: Refuse, empty_cache: Path, words: list[str], named: str) -> None:
    assert named in refuse("data", "prepare", *words)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LNL_SWEEP_DATA", raising=False)
    _load.cache_clear()
    yield tmp_path / "cache"
    _load.cache_clear()


MRI = """
dataset: {name: brain_mri, bias: {rho: [0, 1]}}
network: {name: small_cnn}
methods: [erm]
"""


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (None, "set LNL_SWEEP_DATA to the folder or s3:// address"),
        ("/no/such/folder", "LNL_SWEEP_DATA is '/no/such/folder': there is no brain_mri in it"),
        ("mri.yaml", "LNL_SWEEP_DATA is 'mri.yaml': there is no brain_mri in it"),
        ("torn", "its manifest.json cannot be read"),
        ("ftp://host/data", "LNL_SWEEP_DATA is 'ftp://host/data'"),
        ("s3://", "LNL_SWEEP_DATA is 's3://'"),
    ],
)
def test_data_that_the_nodes_cannot_get(
    refuse: Refuse, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None, named: str
) -> None:
    if place is not None:
        monkeypatch.setenv("LNL_SWEEP_DATA", place)
    (tmp_path / "mri.yaml").write_text(MRI)
    (tmp_path / "torn" / "brain_mri").mkdir(parents=True)
    (tmp_path / "torn" / "brain_mri" / "manifest.json").write_text("{")
    for words in (["run", "mri.yaml", "--out", "out"], ["train", "brain_mri", "--rho", "1"]):
        assert named in refuse(*words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["colored_digits", "--out", "x.png"], "did you mean 'coloured_digits'?"),
        (["coloured_digits", "--out", "x.png"], "--bias color_variance="),
        (["coloured_digits", "--out", "x.png", "--bias", "color_variance=a"], "'color_variance=a'"),
        (["coloured_digits", "--out", "x.png", "--bias", "rho=1"], "'rho'"),
        (["coloured_digits", "--out", "x.png", "--bias", "color_variance=-1"], "got -1"),
        (["coloured_digits", "--out", "x.png", "--color_variance", "99"], "got 99"),
        (["coloured_digits", "--out", "x.png", "--set", "image_sise=28", "--color_variance", "1"], "'image_sise'"),
        (["coloured_digits", "--out", "missing/x.png", "--color_variance", "1"], "'missing/x.png'"),
        (["coloured_digits", "--out", "x.docx", "--color_variance", "1"], "'x.docx'"),
        (["coloured_digits", "--out", "/proc/x.png", "--color_variance", "1"], "'/proc/x.png'"),
        (["coloured_digits", "--color_variance", "1"], "--out"),
    ],
)
def test_a_picture_that_cannot_be(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse("data", "preview", *words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set", "training.epochs=1"], "--epochs N"),
        (["--set", "dataset.name=x"], "its first argument"),
        (["--set", "dataset.bias=3"], "--rho 1"),
        (["--color_variance", "0.2"], "stands twice"),
    ],
)
def test_what_train_would_pass_over(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse("train", "coloured_digits", "--color_variance", "0.1", *words)


def test_a_sweep_file_in_place_of_a_data_set(refuse: Refuse) -> None:
    assert "lnl-sweep run mine.yaml --smoke" in refuse("train", "mine.yaml", "--rho", "1")
    assert "mine.yaml" in refuse("data", "preview", "mine.yaml", "--out", "x.png")


def test_bias_values_in_two_options(refuse: Refuse) -> None:
    words = ["--bias", "rho=0", "--bias", "rho=1"]
    assert "--bias rho=0,1" in refuse("data", "preview", "brain_phantom", *words, "--out", "x.png")


def test_a_file_of_a_method_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_method.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"torn_method\.py cannot be imported \(ModuleNotFoundError: .*mend or remove"):
        import_registered("torn_method")


def test_a_trial_without_enough_epochs_for_its_stages_is_told_of_the_value_it_has(refuse: Refuse) -> None:
    told = refuse("train", "coloured_digits", "--color_variance", "0.1", "--method", "jtt", "--epochs", "2")
    assert "identify takes 2" in told and "search" not in told


def test_images_too_small_for_a_network(refuse: Refuse) -> None:
    told = refuse("train", "coloured_digits", "--color_variance", "0.1", "--network", "small_cnn")
    assert "small_cnn cannot take images of 14 pixels, as those of coloured_digits are, but takes 16" in told
