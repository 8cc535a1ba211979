"""Plans of sweeps on one's own images: span, rules, draws of every split, and what sweep.yaml says of them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import validate
from orchestrator.directory.companions import write_samples
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.sheet import sweep_sheet
from orchestrator.plan.identity import search_seed, seeds_of
from orchestrator.plan.plan import make_plan
from store.errors import InputError
from store.sheet.natural import natural_of
from tests.trainable.data.table.test_image_table import NAMED, columns, ruler
from trainable.data import ImageTable
from trainable.data.base import DATASETS


@pytest.fixture(autouse=True)
def _x_ray() -> Iterator[None]:
    def x_ray(
        size: Any = "auto",
        paint: bool = False,
        plain: bool = False,
        share: float = 0.85,
        share_images: bool = False,
        uneven: bool = False,
    ) -> ImageTable:
        labels, attribute, patient = columns(600, share=share)
        if uneven:
            # Some patients of one image beside those of three.
            patient = np.where(patient % 2, patient * 1000 + np.arange(600), patient)
        images = np.random.default_rng(1).integers(0, 256, (600, 32, 32), dtype=np.uint8)
        options: dict[str, Any] = {"size": size, "share_images": share_images}
        if plain:
            return ImageTable(images, labels, None, patient, classes=NAMED["classes"], **options)
        return ImageTable(images, labels, attribute, patient, **NAMED, paint=ruler if paint else None, **options)

    DATASETS.entries["x_ray_of_plans"] = x_ray
    yield
    del DATASETS.entries["x_ray_of_plans"]


def config(
    rho: Any = (0.75, 0.9), methods: tuple[str, ...] = ("erm",), search: Any = None, **options: Any
) -> SweepConfig:
    values = {"rho": list(rho)}
    return validate(
        {
            "dataset": {"name": "x_ray_of_plans", "bias": values, **options},
            "methods": list(methods),
            "search": {"trials": 2, **(search or {})},
            "confirm": {"seeds": 2},
            "training": {"epochs": 1},
        }
    )


def test_the_span_follows_from_the_axis_and_the_ceiling() -> None:
    plan = make_plan(config())
    assert plan.config.dataset.options["span"] == [0.75, 0.9] and plan.dataset.span == (0.75, 0.9)  # type: ignore[attr-defined]
    assert make_plan(config(methods=("ceiling", "erm"))).config.dataset.options["span"] == [0.5, 0.9]
    # One that is given stays: a sweep that goes on keeps the size of its training sets.
    again = make_plan(config((0.75, 0.8, 0.9), span=[0.75, 0.9]))
    assert again.config.dataset.options["span"] == [0.75, 0.9]
    train = plan.dataset.split(1).train
    assert np.array_equal(plan.dataset.drawn({"rho": 0.9}, 1, train), again.dataset.drawn({"rho": 0.9}, 1, train))
    assert "span" not in make_plan(config(paint=True)).config.dataset.options
    # The data set itself, as others load it, has not changed.
    assert DATASETS.get("x_ray_of_plans")().span is None  # type: ignore[attr-defined]


def test_the_default_rule_is_the_first_that_every_cell_has() -> None:
    weak, strong, painted = (
        make_plan(config()),
        make_plan(config((0.75, 1.0))),
        make_plan(config((0.75, 1.0), paint=True)),
    )
    assert weak.config.search.rule == "val_reweighted"
    assert weak.rule_reason == "the first that every cell has (val_counterfactual needs a painter)"
    assert strong.config.search.rule == "val_biased"
    assert "val_reweighted needs validation images of every class" in strong.rule_reason
    assert painted.config.search.rule == "val_counterfactual" == painted.config.confirm.rules[0]  # type: ignore[index]
    assert make_plan(config((0.0,), plain=True)).config.search.rule == "val_biased"
    with pytest.raises(InputError, match=r"rule 'val_reweighted' cannot be computed on x_ray_of_plans in cell .*rho1"):
        make_plan(config((0.75, 1.0), search={"rule": "val_reweighted"}))
    with pytest.raises(InputError, match="rule 'val_counterfactual' cannot be computed"):
        make_plan(config(search={"rule": "val_counterfactual"}))


def test_every_split_must_give_its_training_images() -> None:
    make_plan(config(size=100))
    with pytest.raises(
        InputError,
        match=r"^x_ray_of_plans cannot give 300 training images at rho = 0.75 \(split \d+: .*; the largest possible "
        r"size there is \d+: set dataset.size to at most \d+, or take rho = 0.\d+, the nearest that works$",
    ):
        make_plan(config(size=300))
    # A size that the search's split gives may be too much for one of the others.
    plan = make_plan(config(uneven=True))
    sizes = {
        seed: int(plan.dataset.drawn({"rho": 0.75}, seed, plan.dataset.split(seed).train).size)
        for seed, _ in seeds_of(plan.config)
    }
    largest, smallest = max(sizes.values()), min(sizes.values())
    assert largest > smallest
    make_plan(config(size=smallest, uneven=True))
    with pytest.raises(InputError, match=f"cannot give {largest} training images"):
        make_plan(config(size=largest, uneven=True))
    # The size that is named is one that every split has.
    with pytest.raises(InputError) as refused:
        make_plan(config(size=300, uneven=True))
    named = int(re.findall(r"size to at most (\d+)", str(refused.value))[0])
    assert smallest <= named < 300
    make_plan(config(size=named, uneven=True))
    with pytest.raises(InputError, match=f"set dataset.size to at most {named},"):
        make_plan(config(size=named + 1, uneven=True))


def test_data_without_any_conflicting_image_are_refused_away_from_full_bias() -> None:
    with pytest.raises(InputError, match=r"occurs in every class among its .* test images"):
        make_plan(config(share=1.0))


def test_a_method_that_the_data_do_not_allow_is_named() -> None:
    with pytest.raises(InputError, match="has no bias labels for the bias head of lnl"):
        make_plan(config((0.0,), ("lnl",), plain=True))
    with pytest.raises(InputError, match="has no painter, so repaint can repaint nothing"):
        make_plan(config(methods=("repaint",)))


def test_what_sweep_yaml_says() -> None:
    plan = make_plan(config(methods=("ceiling", "erm")))
    info = sweep_sheet(plan)["dataset_info"]
    natural = natural_of(info)
    assert natural is not None and natural == plan.dataset.natural and not info["share_images"]
    split = plan.dataset.split(search_seed(0))
    drawn = plan.dataset.drawn(plan.cells[0].bias, search_seed(0), split.train)
    assert info["n_train"] == len(drawn) < len(split.train) and info["n_test"] == len(split.test)
    assert sum(entry["images"] for entry in info["sizes"]["train"].values()) == len(drawn)
    plan = make_plan(config(paint=True))
    painted = sweep_sheet(plan)["dataset_info"]
    assert "natural" not in painted and painted["n_train"] == len(plan.dataset.split(search_seed(0)).train)


def test_samples_are_written_only_where_images_may_be_shown(tmp_path: Path) -> None:
    from PIL import Image

    for shared in (False, True):
        directory = SweepDirectory(str(tmp_path / str(shared)))
        write_samples(make_plan(config(share_images=shared)), directory)
        names = directory.folder.child("samples").names()
        assert bool(names) == shared
        for name in names:
            if name.endswith(".png"):
                assert Image.open(io.BytesIO(directory.folder.child("samples").read(name))).width > 200
    # A permission that is taken back.
    write_samples(make_plan(config(share_images=False)), directory)
    assert directory.folder.child("samples").names() == []


def test_worst_group_is_a_metric() -> None:
    tree = config().model_dump(mode="json", by_alias=True) | {"metric": "worst_group"}
    assert make_plan(validate(tree)).config.metric == "worst_group"
