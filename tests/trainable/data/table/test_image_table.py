"""Data sets of one's own images: what is drawn, painted, weighted and refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trainable.data import ImageTable
from trainable.data.contract import check_images, check_members
from trainable.data.stored import StoredImages
from trainable.data.table import image_table
from trainable.errors import InputError

NAMED: dict[str, Any] = {
    "classes": ("none", "pneumothorax"),
    "attributes": ("no_drain", "drain"),
    "aligned": {"none": "no_drain", "pneumothorax": "drain"},
}


def columns(n: int = 600, per: int = 3, share: float = 0.85, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Labels, attribute and patient of n images, ``per`` a patient."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n // per), per)
    labels = (rng.random(n // per) < 0.4).astype(int)[patient]
    attribute = np.where((rng.random(n // per) < share)[patient], labels, 1 - labels)
    return labels, attribute, patient


def made(n: int = 600, **options: Any) -> ImageTable:
    labels, attribute, patient = columns(n)
    images = np.random.default_rng(1).integers(0, 256, (n, 12, 12), dtype=np.uint8)
    return ImageTable(images, labels, attribute, patient, **{**NAMED, "name": "x_ray", **options})


def ruler(image: np.ndarray, attribute: str, generator: np.random.Generator) -> np.ndarray:
    image = image.copy()
    image[:2, :2] = 255 if attribute == "drain" else 0
    image[5, 5] = generator.integers(256)
    return image


def test_every_rho_has_the_same_size_and_balance_nested_and_no_image_twice() -> None:
    table = made(span=(0.5, 1.0))
    train = table.split(3).train
    before: set[int] = set()
    balances, sizes = set(), set()
    for rho in (0.5, 0.75, 0.9, 1.0):
        images = table.train_images({"rho": rho}, 3, train, "biased")
        index = images.index.numpy()
        assert set(index) <= set(train) and len(set(index)) == len(index)
        against = table.conflicting(images)
        assert against is not None
        for k in range(2):
            of_class = (images.labels == k).numpy()
            assert (~against[of_class]).mean() == pytest.approx(rho, abs=0.501 / of_class.sum())
        aligned = set(index[~against].tolist())
        assert before <= aligned
        before = aligned
        sizes.add(len(index))
        balances.add(tuple(np.bincount(images.labels)))
        assert np.array_equal(index, table.drawn({"rho": rho}, 3, train))
        assert images.attribute.tolist() == images.bias[:, 0].tolist() == table.collected_attribute()[index].tolist()
        assert images.images.dtype == torch.uint8 and tuple(images.images.shape) == (len(index), 3, 12, 12)
    assert len(sizes) == len(balances) == 1
    unbiased = table.train_images({"rho": 1.0}, 3, train, "unbiased")
    assert len(unbiased) in sizes and table.conflicting(unbiased).mean() == pytest.approx(0.5, abs=0.02)


def test_validation_images_are_as_many_as_each_rho_allows() -> None:
    table = made(span=(0.5, 1.0), size=60)
    val = table.split(0).val
    counts = [len(table.validation_images({"rho": rho}, 0, val)) for rho in (0.5, 0.9, 1.0)]
    assert counts[0] < counts[1] and counts[2] > counts[0] and max(counts) <= len(val)
    assert len(table.train_images({"rho": 1.0}, 0, table.split(0).train, "biased")) == 60


def test_variants_are_weights_and_subsets_of_the_test_part() -> None:
    table = made()
    test = table.split(0).test
    labels, attribute = table.labels()[test], table.collected_attribute()[test]
    for variant in ("unbiased", "independent"):
        images = table.variant_images(variant, {"rho": 1.0}, test, "test")
        assert images.index.tolist() == test.tolist() and images.weights is not None
        counts = np.zeros((2, 2))
        np.add.at(counts, (labels, attribute), 1)
        # The formula of the contract: p(b) p(y) / p(y, b).
        p = counts / counts.sum()
        formula = (p.sum(axis=0)[None] * p.sum(axis=1)[:, None] / p)[labels, attribute]
        assert images.weights.numpy() == pytest.approx(formula, rel=1e-6)
    aligned = table.variant_images("aligned", {"rho": 1.0}, test, "test")
    conflicting = table.variant_images("conflicting", {"rho": 1.0}, test, "test")
    assert aligned.weights is None and (aligned.attribute == aligned.labels).all()
    assert (conflicting.attribute != conflicting.labels).all()
    assert sorted([*aligned.index.tolist(), *conflicting.index.tolist()]) == test.tolist()
    assert table.variant_images("aligned", {}, test[labels != attribute], "test").images.shape[0] == 0


def test_images_of_which_nothing_can_be_said_count_nothing() -> None:
    table = made()
    labels, attribute = table.labels(), table.collected_attribute()
    aligned = np.flatnonzero(labels == attribute)
    assert not table.variant_images("unbiased", {"rho": 1.0}, aligned, "test").weights.any()


def test_the_test_part_is_fixed_and_patients_stay_together() -> None:
    table = made()
    one, other = table.split(1), table.split(2)
    assert one.test.tolist() == other.test.tolist() and one.val.tolist() != other.val.tolist()
    groups = table.groups()
    parts = [set(groups[part]) for part in (one.train, one.val, one.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    # Stratified by class and attribute: the rare kinds are in each part.
    labels, attribute = table.labels(), table.collected_attribute()
    for part in (one.train, one.val, one.test):
        assert len({(y, b) for y, b in zip(labels[part], attribute[part], strict=True)}) == 4


@pytest.mark.parametrize("given", [("train", "test"), ("train", "val", "test")])
def test_a_given_split_is_kept(given: tuple[str, ...]) -> None:
    _, _, patient = columns()
    parts = np.array(given)[patient % len(given)]
    table = made(split=parts.tolist())
    for seed in (1, 2):
        split = table.split(seed)
        assert split.test.tolist() == np.flatnonzero(parts == "test").tolist()
        if "val" in given:
            assert split.val.tolist() == np.flatnonzero(parts == "val").tolist()
        assert not set(split.val) & set(split.train)
    assert ("val" in given) == (table.split(1).val.tolist() == table.split(2).val.tolist())


def test_a_painter_paints_any_attribute_on_any_image() -> None:
    table = made(paint=ruler, attributes=("no_drain", "drain"))
    assert table.has_renderer and table.flip_pair == ("aligned", "conflicting") and table.natural is None
    assert table.collected_attribute() is None and table.options_for([{"rho": 0.5}, {"rho": 1.0}]) == {}
    split = table.split(0)
    before: set[int] = set()
    for rho in (0.0, 0.5, 0.9, 1.0):
        images = table.train_images({"rho": rho}, 0, split.train, "biased")
        assert len(images) == len(split.train)
        own = (images.attribute == images.labels).numpy()
        assert own.mean() == pytest.approx(rho, abs=0.06)
        assert before <= set(np.flatnonzero(own))
        before = set(np.flatnonzero(own))
        corner = images.pixels()[:, 0, 0, 0]
        assert (corner == torch.where(images.attribute == 1, 255, 0)).all()
    sets = {
        v: table.variant_images(v, {"rho": 1.0}, split.test, "test") for v in ("unbiased", "aligned", "conflicting")
    }
    assert (sets["aligned"].attribute == sets["aligned"].labels).all()
    assert (sets["conflicting"].attribute != sets["conflicting"].labels).all()
    assert 0.3 < (sets["unbiased"].attribute == sets["unbiased"].labels).double().mean() < 0.7
    # The painter's own draws are those of the image, whatever the attribute, and the same each time.
    assert (sets["aligned"].pixels()[:, 0, 5, 5] == sets["conflicting"].pixels()[:, 0, 5, 5]).all()
    few = table.variant_images("aligned", {"rho": 1.0}, split.test[3:5], "test")
    assert torch.equal(few.pixels(), sets["aligned"].pixels()[3:5])
    clean = table.train_images({"rho": 1.0}, 0, split.train, "clean")
    assert (clean.attribute == -1).all() and not torch.equal(clean.pixels(), images.pixels())
    assert table.bias_strength({"rho": 1.0}) == pytest.approx(1) and table.axes[0].unbiased_at == 0.5


def test_a_table_without_attribute() -> None:
    labels, _, patient = columns()
    images = np.random.default_rng(1).integers(0, 256, (600, 12, 12), dtype=np.uint8)
    table = ImageTable(images, labels, None, patient, classes=("a", "b"), name="plain")
    assert table.attributes == () and table.heads.names == () and table.rules == ("val_biased", "val_unbiased")
    assert table.bias_strength({"rho": 0.0}) == 0 and table.natural is None
    split = table.split(0)
    assert len(table.train_images({"rho": 0.0}, 0, split.train, "biased")) == len(split.train)
    assert table.variant_images("unbiased", {"rho": 0.0}, split.test, "test").weights is None
    check_members("plain", table)
    check_images(table, {"rho": 0.0}, 0)


def test_rho_of_one_class_leaves_the_others_at_the_unbiased_share() -> None:
    table = made(rho_of="pneumothorax", span=(0.5, 1.0))
    train = table.split(0).train
    for rho in (0.5, 0.9, 1.0):
        images = table.train_images({"rho": rho}, 0, train, "biased")
        own = (images.attribute == images.labels).numpy()
        of_class = (images.labels == 1).numpy()
        assert own[of_class].mean() == pytest.approx(rho, abs=0.02)
        assert own[~of_class].mean() == pytest.approx(0.5, abs=0.02)
    assert table.bias_strength({"rho": 0.5}) == pytest.approx(0)
    assert table.natural is not None and 0.7 < table.natural.bias["rho"] < 0.95


def test_the_bias_as_it_is() -> None:
    table = made()
    labels, attribute, _ = columns()
    natural = table.natural
    assert natural is not None and natural.unit == "patients"
    assert natural.bias["rho"] == pytest.approx((labels == attribute).mean())
    low, high = natural.interval["rho"]
    assert low < natural.bias["rho"] < high and natural.strength is not None and 0.2 < natural.strength < 0.6
    assert table.options_for([{"rho": 0.9}, {"rho": 0.5}]) == {"span": [0.5, 0.9]}


def test_large_sets_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    labels, attribute, patient = columns()
    pixels = np.random.default_rng(1).integers(0, 256, (600, 3, 12, 12), dtype=np.uint8)

    def images(index: np.ndarray) -> np.ndarray:
        read.extend(index.tolist())
        return pixels[index]

    kept = made()
    monkeypatch.setattr("trainable.data.stored.KEPT_BYTES", 0)
    table = ImageTable(images, labels, attribute, patient, image_size=12, checksum="known", **NAMED, name="x_ray")
    train = table.split(0).train
    drawn = table.train_images({"rho": 0.9}, 0, train, "biased")
    assert read == [] and isinstance(drawn.images, StoredImages)
    assert torch.equal(drawn.images[torch.tensor([4, 1])], torch.from_numpy(pixels[drawn.index[[4, 1]].numpy()]))
    assert sorted(read) == sorted(drawn.index[[4, 1]].tolist())
    assert drawn.index.tolist() == kept.train_images({"rho": 0.9}, 0, train, "biased").index.tolist()


def test_kinds_of_arrays() -> None:
    labels, attribute, patient = columns(60, 1)
    grey = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)

    def pixels(images: Any, **options: Any) -> torch.Tensor:
        table = ImageTable(images, labels, attribute, patient, **NAMED, **options)
        return table.variant_images("unbiased", {}, np.arange(60), "test").pixels()

    assert torch.equal(pixels(grey)[:, 1], torch.from_numpy(grey))
    assert torch.equal(pixels(grey[:, None]), pixels(grey))
    assert torch.equal(pixels(np.repeat(grey[:, None], 3, axis=1)), pixels(grey))
    deep = grey.astype(np.uint16) * 16
    # Scaled by percentiles, never clipped at 255.
    scaled = pixels(deep)
    assert abs(int(scaled.min())) == 0 and int(scaled.max()) == 255 and len(torch.unique(scaled)) > 200
    assert torch.equal(pixels(deep.astype(np.float64) / 4080), scaled)
    assert pixels(grey, image_size=4).shape == (60, 3, 4, 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": np.zeros((600, 12, 10), np.uint8)}, "must be square, but are 12 x 10: give image_size"),
        ({"images": np.zeros((600, 4, 12, 12), np.uint8)}, "with one channel or three, but have"),
        ({"images": np.zeros((599, 12, 12), np.uint8)}, "has 599 images, but 600 labels"),
        ({"images": np.zeros((600, 12, 12), np.int32)}, "must be uint8, uint16 or float, but are int32"),
        ({"images": np.full((600, 12, 12), np.nan)}, "image 0 of x_ray holds values that are no finite numbers"),
        ({"images": np.full((600, 12, 12), 7.0)}, "are all 7: nothing can be seen on them"),
        ({"images": "x_ray.npy"}, "must be a NumPy array or a function of positions, but is a str"),
        ({"labels": np.zeros(600, int)}, "has no image of class pneumothorax"),
        ({"labels": ["none"] * 599 + ["pneumotorax"]}, "unknown value in labels of x_ray 'pneumotorax'.*pneumothorax"),
        ({"labels": np.full(600, 2)}, "must be names or positions 0 to 1, but has 2"),
        ({"attribute": np.zeros(10, int)}, "has 600 labels, but 10 values of attribute"),
        ({"aligned": {"none": "no_drain"}}, "needs the attribute that is the own one of class pneumothorax"),
        ({"aligned": None}, "needs the attribute that is the own one of class none"),
        ({"aligned": {"none": "drain", "pneumothorax": "drain"}}, "gives every class the attribute drain"),
        ({"aligned": {"none": "no_drian", "pneumothorax": "drain"}}, "unknown attribute in aligned"),
        ({"size": 0}, "must be auto or a whole number"),
        ({"span": (0.9, 0.5)}, "span must be two values in"),
        ({"rho_of": "pneumotorax"}, "unknown class in rho_of 'pneumotorax'"),
        ({"split": ["train"] * 599 + ["tset"]}, "unknown part in split"),
        ({"split": ["train", "test"] * 300}, "no patient of x_ray may be in two parts"),
        ({"keys": ["a"]}, "600 labels, but 1 keys"),
    ],
)
def test_bad_input_is_one_sentence(changes: dict[str, Any], words: str) -> None:
    labels, attribute, patient = columns()
    given: dict[str, Any] = {
        "images": np.random.default_rng(1).integers(0, 256, (600, 12, 12), dtype=np.uint8),
        "labels": labels,
        "attribute": attribute,
        "groups": patient,
        "name": "x_ray",
        **NAMED,
    }
    with pytest.raises(InputError, match=words) as refused:
        ImageTable(**{**given, **changes})
    assert "\n" not in str(refused.value)


def test_a_painter_of_another_kind_is_named() -> None:
    table = made(paint=lambda image, attribute, generator: image[:4])
    with pytest.raises(InputError, match=r"paint of x_ray must return a uint8 image of shape \(12, 12, 3\), but"):
        table.train_images({"rho": 0.9}, 0, table.split(0).train, "biased")


def test_keys_and_checksum_are_of_the_content() -> None:
    table, other = made(), made(size=60)
    assert len(set(table.image_keys())) == 600 and table.checksum == other.checksum
    patients = table.patient_keys()
    assert patients is not None and len(set(patients)) == 200 and patients[0] == patients[2] != patients[3]
    labels, attribute, patient = columns()
    images = np.random.default_rng(1).integers(0, 256, (600, 12, 12), dtype=np.uint8)
    images[5] += 1
    changed = ImageTable(images, labels, attribute, patient, **NAMED, name="x_ray")
    assert changed.checksum != table.checksum
    differs = [
        i for i, pair in enumerate(zip(changed.image_keys(), table.image_keys(), strict=True)) if len(set(pair)) > 1
    ]
    assert differs == [5]
    assert made(aligned={"none": "drain", "pneumothorax": "no_drain"}).checksum != table.checksum
    images[6] = images[5]
    twice = ImageTable(images, labels, attribute, patient, **NAMED, name="x_ray").image_keys()
    assert len(set(twice)) == 600 and twice[6] == f"{twice[5]}-2"


def test_it_keeps_the_contract() -> None:
    for table in (made(), made(paint=ruler), made(size=40)):
        check_members("x_ray", table)
        check_images(table, {"rho": 0.9}, 0)
    assert image_table.ImageTable is ImageTable
