"""Writer and reader of ``sweep.yaml``: the resolved configuration, and facts that a reader of the rows needs."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from orchestrator.config.own_code import references_in
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.config.sweep_file import configuration_in, validate
from orchestrator.config.yaml_text import load_yaml
from orchestrator.directory.reader import SweepDirectory
from orchestrator.plan.identity import search_seed
from orchestrator.plan.plan import Plan
from store.errors import InputError
from store.open import read_small
from store.sheet.traits import Traits
from trainable.data.base import Dataset, Split
from trainable.methods.base import Choices, Method, Range
from trainable.spec import Draw

SWEEP_FILE = "sweep.yaml"


def read_sheet(directory: SweepDirectory) -> dict[str, Any]:
    """Whole content of ``sweep.yaml``.

    Raises:
        InputError: Its checksum does not agree, or it cannot be parsed.

    Example:
        >>> import analysis
        >>> read_sheet(SweepDirectory(str(analysis.example_folder())))["name"]
        'brain_phantom_study'
    """
    content = read_small(directory.folder, SWEEP_FILE)
    try:
        sheet = load_yaml(content.decode())
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{directory.uri}/{SWEEP_FILE} is damaged: restore it from a copy") from error
    if not isinstance(sheet, dict) or "dataset" not in sheet:
        raise InputError(f"{directory.uri}/{SWEEP_FILE} is not a sweep's file: restore it from a copy")
    return sheet


def configuration_of(sheet: Mapping[str, Any]) -> dict[str, Any]:
    """Part of ``sweep.yaml`` that is the configuration, normalised by this version's models.

    Example:
        >>> sheet = {"dataset": {"name": "brain_phantom", "bias": {"rho": 1}}, "methods": ["erm"], "cells": []}
        >>> configuration_of(sheet)["dataset"]["bias"]
        {'rho': [1.0]}
    """
    return validate(configuration_in(sheet), SWEEP_FILE).model_dump(mode="json", by_alias=True)


def sweep_sheet(plan: Plan) -> dict[str, Any]:
    """Content of ``sweep.yaml``: the resolved configuration, and facts that a reader of the rows needs.

    Example:
        >>> from orchestrator.config.sweep_file import validate
        >>> from orchestrator.plan.plan import make_plan
        >>> dataset = {"name": "coloured_digits", "bias": {"color_variance": [0.02, 0.1]}}
        >>> plan = make_plan(validate({"dataset": dataset, "methods": ["erm", "lnl"]}))
        >>> sheet = sweep_sheet(plan)
        >>> sheet["name"], len(sheet["cells"])
        ('coloured_digits', 4)
    """
    from trainable import NUMERICS
    from trainable.methods.base import get_method
    from trainable.networks.base import network_remark
    from trainable.trial import provenance

    config, dataset = plan.config, plan.dataset
    methods = {entry.label: get_method(entry.name) for entry in config.methods}
    draws: dict[str, Draw] = {entry.label: entry.draw or "natural" for entry in config.methods}
    return {
        **config.model_dump(mode="json", by_alias=True),
        "provenance": {
            "lnl_sweep_version": provenance.package_version(),
            "git_commit": provenance.git_commit(),
            "numerics": NUMERICS,
            "data_checksum": dataset.checksum,
            "dataset_checksum": provenance.dataset_checksum(config.dataset.name, config.dataset.options),
            "files_checksum": provenance.files_checksum(config.dataset.name, config.dataset.options),
            "method_checksums": {label: provenance.method_checksum(method) for label, method in methods.items()},
            "network_checksum": provenance.network_checksum(config.network.name, config.network.options),
            "weights_checksum": provenance.weights_checksum(config.network.name, config.network.options),
            **_plugins(config),
            "torch_version": importlib.metadata.version("torch"),
            "torchvision_version": importlib.metadata.version("torchvision"),
            "ray_version": importlib.metadata.version("ray"),
            "python_version": sys.version.split()[0],
        },
        "dataset_info": {
            "long_name": dataset.long_name,
            "note": plan.note,
            "remark": network_remark(config.network.name),
            "citation": dataset.citation,
            "classes": list(dataset.classes),
            "axes": [
                {
                    "name": axis.name,
                    "long_name": axis.long_name,
                    "low": axis.low,
                    "high": axis.high,
                    "stronger": axis.stronger,
                    "unbiased_at": axis.unbiased_at,
                    "default": axis.default,
                }
                for axis in dataset.axes
            ],
            "n_images": len(dataset.labels()),
            **_part_sizes(plan),
            "rules": list(dataset.rules),
            "attributes": list(dataset.attributes),
            "painter": dataset.has_renderer,
            "share_images": dataset.share_images,
            **({"natural": dataset.natural.content()} if dataset.natural is not None else {}),
            **_images(dataset),
        },
        "methods_info": {label: traits_of_method(method, draws[label]).content() for label, method in methods.items()},
        "cells": [
            {
                "cell": cell.id,
                "label": cell.label,
                "method": cell.method,
                "bias": dict(cell.bias),
                "bias_axis": cell.bias_axis,
                "bias_value": cell.bias_value,
                "bias_strength": round(cell.bias_strength, 6),
                "trials": cell.trials,
                "anchor": cell.anchor is not None,
                "space": {name: _space_entry(entry) for name, entry in cell.space.items()},
                **({"like": cell.like.content()} if cell.like else {}),
                **({"search_seeds": cell.search_seeds} if cell.search_seeds > 1 else {}),
                **({} if cell.not_applicable is None else {"not_applicable": cell.not_applicable}),
            }
            for cell in plan.cells
        ],
    }


def _images(dataset: Dataset) -> dict[str, Any]:
    """Entry with the making of images from files, empty where the data set does not give it."""
    # A data set that does not derive from Dataset may lack the attribute.
    info = getattr(dataset, "images_info", None)
    return {} if info is None else {"images": dict(info)}


def _plugins(config: SweepConfig) -> dict[str, Any]:
    """Plug-ins of a sweep by name, nothing where it has none."""
    named = {one.name: {"sha256": one.sha256, "origin": one.origin} for one in references_in(config)}
    return {"plugins": named} if named else {}


def traits_of_method(method: Method, draw: Draw = "natural") -> Traits:
    """Facts about a method that a reader of the rows needs.

    Args:
        method: The method.
        draw: How its training images are drawn: its name in figures says so.

    Example:
        >>> from trainable.methods.base import get_method
        >>> traits = traits_of_method(get_method("lnl"))
        >>> traits.debiasing, traits.ceiling
        (True, False)
    """
    return Traits(
        method.name,
        method.long_name + (", balanced groups" if draw == "balanced" else ""),
        method.reference,
        ceiling=method.training_draw == "unbiased",
        control=method.bias_labels == "permuted",
        debiasing="bias_labels" in method.needs and method.bias_labels == "own",
        pressures=tuple(method.anchor),
    )


def _part_sizes(plan: Plan) -> dict[str, Any]:
    """Sizes of the parts as the search seed divides them, for the sweep or for each of its folds.

    They are of the images that are drawn at the first bias value.
    """
    dataset, seed = plan.dataset, search_seed(plan.config.seed)
    folds = sorted({cell.fold for cell in plan.cells if cell.fold is not None})
    bias = plan.cells[0].bias if plan.cells else {}

    def drawn(fold: int | None) -> Split:
        whole = dataset.split(seed, fold)
        return Split(
            dataset.drawn(bias, seed, whole.train), dataset.drawn_for_validation(bias, seed, whole.val), whole.test
        )

    if folds:
        return {"sizes_by_fold": {str(fold): _sizes(dataset, drawn(fold)) for fold in folds}}
    split = drawn(None)
    return {
        "n_train": len(split.train),
        "n_val": len(split.val),
        "n_test": len(split.test),
        "sizes": _sizes(dataset, split),
    }


def _sizes(dataset: Dataset, split: Split) -> dict[str, dict[str, dict[str, int]]]:
    """Numbers of images and patients of each class in each part.

    The test images are the same for every seed. Patients may differ in their number of slices. Another seed takes as
    many, but other, patients for validation, and may therefore have other numbers of training and validation images.
    """
    labels, groups = dataset.labels(), dataset.groups()
    counted: dict[str, dict[str, dict[str, int]]] = {}
    for part in ("train", "val", "test"):
        index = split.part(part)
        counts = counted.setdefault(part, {})
        for k, name in enumerate(dataset.classes):
            members = index[labels[index] == k]
            counts[name] = {"images": len(members)}
            if dataset.patient_keys() is not None:
                counts[name]["patients"] = len(np.unique(groups[members]))
    return counted


def _space_entry(entry: Range | Choices) -> dict[str, Any]:
    if isinstance(entry, Choices):
        return {"choice": list(entry.values)}
    form = "log" if entry.log else "int" if entry.integer else "uniform"
    return {form: [entry.low, entry.high]}
