"""A data set of the user's own that leaves something out is refused before a trial begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.cli import main
from store.errors import InputError
from store.rules import VARIANTS
from trainable.data import base
from trainable.data.base import Dataset, load_dataset
from trainable.data.contract import check_images, check_members, required_members

MEMBERS = [name for name in vars(Dataset) if not name.startswith("_")] + list(Dataset.__annotations__)
BIAS = {"color_variance": 0.02}


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    def register(name: str, factory: Any) -> None:
        monkeypatch.setitem(base.DATASETS.entries, name, factory)

    base._load.cache_clear()
    return register


class Copied:
    """A data set like the digits, with other members or without some; None = left out."""

    def __init__(self, **changes: Any) -> None:
        digits = load_dataset("coloured_digits")
        for name in MEMBERS:
            value = changes.get(name, getattr(digits, name))
            if value is not None:
                setattr(self, name, value)


def test_our_own_data_sets_keep_the_contract() -> None:
    for name in ("coloured_digits", "brain_phantom"):
        check_members(name, load_dataset(name))
    check_images(load_dataset("coloured_digits"), BIAS, 0)
    check_members("copied", Copied())  # type: ignore[arg-type]


@pytest.mark.parametrize("member", required_members())
def test_a_member_that_is_left_out_is_named(member: str, register: Callable[[str, Any], None]) -> None:
    register("own", lambda: Copied(**{member: None}))
    with pytest.raises(InputError, match=rf"data set own lacks {member}: .*Dataset in trainable/data/base.py"):
        load_dataset("own")


def test_members_that_are_only_inherited_are_left_out(register: Callable[[str, Any], None]) -> None:
    class Derived(Dataset):
        name = "derived"

    register("own", Derived)
    with pytest.raises(
        InputError, match=r"lacks checksum, labels, train_images, variant_images, bias_strength: every data set"
    ):
        load_dataset("own")


def test_all_other_members_have_a_default(register: Callable[[str, Any], None]) -> None:
    optional = sorted(set(MEMBERS) - set(required_members()))
    assert len(required_members()) == 9 and len(optional) > 18
    register("own", lambda: Copied(**dict.fromkeys(optional)))
    own, digits = load_dataset("own"), load_dataset("coloured_digits")
    assert isinstance(own, Dataset) and (own.name, own.long_name, own.note) == ("own", "own", "")
    assert own.checksum == digits.checksum and own.attribute_bits == () and own.reweighting_target is None
    n = len(own.labels())
    assert own.groups().tolist() == list(range(n)) and own.patient_keys() is None
    assert len(set(own.image_keys())) == n and own.image_keys() != digits.image_keys()
    first, second = own.split(1), own.split(2)
    assert first.test.tolist() == second.test.tolist() and first.val.tolist() != second.val.tolist()
    assert sorted(np.concatenate([first.train, first.val, first.test]).tolist()) == list(range(n))
    assert own.conflicting(own.train_images(BIAS, 0, first.train[:2], "biased")) is None
    check_images(own, BIAS, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": "abc"}, "classes of data set own must be two or more texts, but is 'abc'"),
        ({"worst_group_by": "class"}, "must be 'variant' or 'attribute', but is 'class'"),
        ({"worst_group_variants": ("unbiassed",)}, "has 'unbiassed'"),
        ({"flip_pair": ("unbiased",)}, "flip_pair of data set own must be two texts"),
        ({"rules": ("val_best",)}, "rules of data set own must be of val_counterfactual"),
        ({"image_size": 14.0}, "image_size of data set own must be a whole number"),
        ({"axes": ()}, "one or more Axis"),
        ({"has_renderer": 1}, "True or False"),
    ],
)
def test_a_member_of_another_kind(changes: dict[str, Any], words: str, register: Callable[[str, Any], None]) -> None:
    register("own", lambda: Copied(**changes))
    with pytest.raises(InputError, match=words):
        load_dataset("own")


def test_what_only_a_confirm_trial_would_draw() -> None:
    digits = load_dataset("coloured_digits")

    def some(variant: str, *rest: Any) -> Any:
        return digits.variant_images(variant, *rest) if variant != VARIANTS[-1] else None

    with pytest.raises(InputError, match=r"'conflicting', ...\) of data set coloured_digits must return an ImageSet"):
        check_images(Copied(variant_images=some), BIAS, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"must return uint8 images of shape \(2, 3, 28, 28\)"):
        check_images(Copied(image_size=28), BIAS, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"image_keys\(\) of data set coloured_digits must have one value an image"):
        check_images(Copied(image_keys=lambda: ["one"]), BIAS, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("member", ["variant_images", "train_images"])
def test_a_file_that_is_missing_is_no_error_of_a_trial(
    member: str, register: Callable[[str, Any], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*rest: Any) -> Any:
        return (tmp_path / "images.npy").read_bytes()

    words = (
        r" must find its files, but got FileNotFoundError: .*images\.npy'?: put the file there, or correct the options"
    )
    with pytest.raises(InputError, match=rf"{member}\(.*\) of data set coloured_digits{words}"):
        check_images(Copied(**{member: read}), BIAS, 0)  # type: ignore[arg-type]
    register("own", read)
    assert main(["train", "own", "--color_variance", "0.02"]) == 2
    assert "data set own must find its files" in capsys.readouterr().err


def test_one_data_set_that_cannot_be_loaded_hides_no_other(
    register: Callable[[str, Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise KeyError("no such column")

    register("a_table", lambda path, image_size=64: None)
    register("a_broken", broken)
    register("a_copy", lambda: Copied(classes=None))
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out
    assert "a_table: data set a_table needs the option path: give dataset: {name: a_table, path: ...}" in said
    assert "a_broken: cannot be loaded (KeyError: 'no such column')" in said
    assert "a_copy: data set a_copy lacks classes" in said
    assert "coloured_digits: " in said and "cache: " in said


def test_an_option_that_is_missing_is_named_by_every_command(
    register: Callable[[str, Any], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    register("a_table", lambda path: None)
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("dataset: {name: a_table, bias: {rho: 1}}\nmethods: [erm]\n")
    for words in (
        ["run", str(sweep), "--out", str(tmp_path / "out")],
        ["data", "preview", "a_table", "--rho", "1", "--out", str(tmp_path / "sheet.png")],
        ["train", "a_table", "--method", "erm", "--rho", "1"],
    ):
        assert main(words) == 2
        assert "needs the option path" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
