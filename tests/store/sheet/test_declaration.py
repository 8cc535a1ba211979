"""Hash of a declaration: only what means something else changes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from store.sheet.declaration import changed_parts, hash_of, parts_in, parts_of

CONFIG: dict[str, Any] = {
    "name": "s",
    "seed": 0,
    "dataset": {"name": "d", "bias": {"rho": [0.5, 1.0], "gamma": [0.0]}, "folds": [0, 1]},
    "methods": [
        {"name": "erm", "label": "erm", "space": {}, "fixed": {"lr": 0.001}, "bias": None, "resources": {"cpu": 1}},
        {"name": "lnl", "label": "lnl", "space": {"lambda_": {"log": [0.1, 10.0]}}, "fixed": {}},
    ],
    "search": {"trials": 8, "sampler": "qmc", "rule": "val_biased", "repeats": 1},
    "confirm": {"seeds": 5, "rules": ["val_biased", "val_unbiased"], "keep_models": True},
    "primary": {"compare": ["lnl", "erm"], "rule": "val_biased", "at": "strongest", "margin": 0.05},
}


def other(**paths: Any) -> dict[str, Any]:
    """The configuration with some dotted keys changed (``__`` for the dot)."""
    tree = copy.deepcopy(CONFIG)
    for path, value in paths.items():
        *way, last = path.split("__")
        node = tree
        for key in way:
            node = node[key]
        node[last] = value
    return tree


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "same",
    [
        reversed_keys(CONFIG),
        yaml.safe_load(yaml.safe_dump(CONFIG)),
        other(methods=CONFIG["methods"][::-1]),
        other(dataset__bias={"gamma": [0], "rho": [1, 0.5]}),
        other(dataset__folds=[1, 0]),
        other(confirm__rules=["val_unbiased", "val_biased"]),
        other(confirm__keep_models=False),
        other(limits={"max_hours": 3}, resources={"gpu": "1/2"}, name="renamed"),
        other(methods=[{**CONFIG["methods"][0], "resources": None}, CONFIG["methods"][1]]),
        other(search__new=None),
    ],
)
def test_what_means_the_same_has_the_same_hash(same: dict[str, Any]) -> None:
    assert hash_of(parts_of(same)) == hash_of(parts_of(CONFIG)) and changed_parts(CONFIG, same) == []


@pytest.mark.parametrize(
    ("new", "part"),
    [
        (other(primary__compare=["erm", "lnl"]), "primary"),
        (other(primary__at=1.0), "primary"),
        (other(primary__margin=0.1), "primary"),
        (other(primary=None), "primary"),
        (other(dataset__bias={"rho": [0.5, 0.9, 1.0], "gamma": [0.0]}), "bias"),
        (other(dataset__folds="all"), "bias"),
        (other(methods=CONFIG["methods"][:1]), "methods"),
        (other(methods=[CONFIG["methods"][0], {**CONFIG["methods"][1], "fixed": {"lr": 1}}]), "methods"),
        (other(confirm__rules=["val_biased"]), "rules"),
        (other(search__trials=9), "search"),
        (other(search__repeats=2), "seeds"),
        (other(confirm__seeds=8), "seeds"),
        (other(confirm__rules=["val_unbiased", {"rule": "val_biased", "seeds": 9}]), "seeds"),
    ],
)
def test_what_means_something_else_changes_its_part_and_the_hash(new: dict[str, Any], part: str) -> None:
    assert part in changed_parts(CONFIG, new) and hash_of(parts_of(new)) != hash_of(parts_of(CONFIG))
    if part != "rules":
        assert changed_parts(CONFIG, new) == [part]


def test_the_hash_is_the_same_in_every_version() -> None:
    """Another way of hashing makes the hashes of all sweeps that exist wrong."""
    assert hash_of(parts_of(CONFIG))[:12] == "cff18812e5ad"


def test_a_line_of_changes_tells_its_parts() -> None:
    line = {"primary.compare": {"old": None, "new": ["lnl", "erm"]}, "limits.max_hours": {"old": 1, "new": 2}}
    assert parts_in(line) == ["primary"] and parts_in({"name": {"old": "a", "new": "b"}}) == []
