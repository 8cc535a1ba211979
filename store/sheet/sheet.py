"""``sweep.yaml`` as one typed object: the resolved configuration, and what a reader of the rows needs to know.

Reading is lenient: a key that is missing, or holds something else than it should, counts as not given.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from store.rules import RULES
from store.sheet.natural import NaturalBias, natural_of
from store.sheet.traits import Traits, traits_of

Stronger = Literal["larger", "smaller"]
_STRONGER_OF_VERSION_1: Mapping[str, Stronger] = {"color_variance": "smaller"}
"""Directions for sheets that do not say them."""
_SHOWN_OF_VERSION_1 = ("coloured_digits", "brain_mri", "brain_phantom")
"""Data sets of this package, drawn by a program or public, for sheets that do not say whether images may be shown."""


@dataclass(frozen=True)
class BiasAxis:
    """A bias parameter of the data set.

    Attributes:
        name: Its name.
        long_name: What it is, with its units.
        stronger: Direction in which the bias is stronger.
        low: Lowest value.
        high: Highest value; None = none.
        unbiased_at: Value without bias; None where there is none.
        default: Value of a sweep that does not name it; None where it must be named.
    """

    name: str
    long_name: str
    stronger: Stronger = "larger"
    low: float | None = None
    high: float | None = None
    unbiased_at: float | None = None
    default: float | None = None


@dataclass(frozen=True)
class Like:
    """Source of the hyperparameters of a cell without a search of its own (``like: LABEL``).

    Attributes:
        label: The method whose search chooses.
        cell: Identifier of its cell at the same place.
        takes: Hyperparameters that are taken over.
        rest: Value of every other one: those in ``fixed``, and defaults of what the source does not have.
    """

    label: str
    cell: str
    takes: tuple[str, ...]
    rest: Mapping[str, Any]

    def of(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """All hyperparameters of the cell, where its source has chosen these."""
        return {**self.rest, **{name: hyperparameters[name] for name in self.takes}}

    def content(self) -> dict[str, Any]:
        """The same as ``sweep.yaml`` holds it."""
        return {"label": self.label, "cell": self.cell, "takes": list(self.takes), "rest": dict(self.rest)}


@dataclass(frozen=True)
class SheetCell:
    """A cell as a reader of the rows knows it.

    Attributes:
        id: Its identifier.
        label: Label of its method.
        method: Registered name of its method.
        bias: Value of every bias parameter.
        bias_axis: The parameter on the x axis; "" where it is not known.
        bias_value: Place on the x axis; None where it is not known.
        bias_strength: I(b; y) / H(y); None where it is not known.
        trials: Candidates planned; None where it is not known.
        search_seeds: Search seeds of each candidate.
        space: What is searched.
        like: Source of its hyperparameters where it has no search of its own, or None.
        not_applicable: Why its method cannot work here, in which case it has no trials; None = it can.
    """

    id: str
    label: str
    method: str
    bias: Mapping[str, Any]
    bias_axis: str
    bias_value: float | None
    bias_strength: float | None
    trials: int | None
    search_seeds: int
    space: Mapping[str, Any]
    like: Like | None
    not_applicable: str | None = None


@dataclass(frozen=True)
class Sheet:
    """Content of ``sweep.yaml``.

    Attributes:
        content: All of it.
    """

    content: Mapping[str, Any]

    def section(self, name: str) -> Mapping[str, Any]:
        """A mapping in it, empty where it is missing or something else."""
        return mapping_in(self.content, name)

    @functools.cached_property
    def rules(self) -> tuple[str, ...]:
        """Selection rules, the headline rule first.

        All four are meant where none is named.
        """
        listed = list(self.seeds_of_rules)
        headline = self.section("primary").get("rule") or self.section("search").get("rule")
        if headline in listed:
            listed.remove(str(headline))
            listed.insert(0, str(headline))
        return tuple(listed) or RULES

    @functools.cached_property
    def seeds_of_rules(self) -> dict[str, float]:
        """Number of confirm seeds of each rule (in each split).

        An entry of ``confirm.rules`` is a name, or ``{rule, seeds}``. NaN where no number is known.
        """
        confirm = self.section("confirm")
        seeds = confirm.get("seeds")
        return seeds_of_rules(confirm.get("rules"), float(seeds) if isinstance(seeds, int) else math.nan)

    @property
    def splits(self) -> int:
        """Number of train / validation splits, in each of which every count of confirm seeds holds.

        1 = each seed has a split of its own.
        """
        splits = self.section("confirm").get("splits")
        return splits if isinstance(splits, int) else 1

    @property
    def repeats(self) -> int:
        """Repetitions of search and confirm."""
        repeats = self.section("search").get("repeats")
        return repeats if isinstance(repeats, int) else 1

    @property
    def one_split(self) -> bool:
        """True where all seeds train and validate on the same patients, those for validation being drawn for it."""
        return self.section("dataset").get("val_patients") is not None

    @functools.cached_property
    def axes(self) -> dict[str, BiasAxis]:
        """Bias parameters of the data set, by name."""
        listed = mappings_in(self.section("dataset_info").get("axes"))
        return {axis.name: axis for axis in map(_axis, listed) if axis.name}

    def stronger(self, parameter: str) -> Stronger:
        """Direction of a bias parameter in which the bias is stronger."""
        axis = self.axes.get(parameter)
        return axis.stronger if axis else _STRONGER_OF_VERSION_1.get(parameter, "larger")

    @functools.cached_property
    def natural(self) -> NaturalBias | None:
        """Bias of the data as they are, or None where the sheet does not say it."""
        return natural_of(self.section("dataset_info"))

    @property
    def painted(self) -> bool:
        """True where the bias is painted on the images, as in every sheet that does not say it."""
        return self.section("dataset_info").get("painter") is not False

    @property
    def share_images(self) -> bool:
        """True where images of the data set may be shown and handed on: in ``samples/``, the report and a pack.

        A sheet that does not say it is an older one: its images may be shown where the data set is one of this package.
        """
        said = self.section("dataset_info").get("share_images")
        return said if isinstance(said, bool) else self.section("dataset").get("name") in _SHOWN_OF_VERSION_1

    @functools.cached_property
    def methods(self) -> dict[str, Traits]:
        """Methods of the sweep, by label."""
        listed = self.content.get("methods")
        infos = self.section("methods_info")
        names = {cell.label: cell.method for cell in self.cells if cell.method}
        for entry in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
            declared = entry if isinstance(entry, Mapping) else {"name": entry}
            names.setdefault(str(declared.get("label") or declared.get("name")), str(declared.get("name")))
        names |= {str(label): str(label) for label in infos if str(label) not in names}
        return {label: traits_of(name, mapping_in(infos, label)) for label, name in names.items()}

    def traits(self, label: str, method: str) -> Traits:
        """Traits of a method, by its label and registered name, also where the sheet does not list it."""
        return self.methods.get(label) or traits_of(method, {})

    @property
    def pressures(self) -> dict[str, tuple[str, ...]]:
        """Hyperparameters that weight the debiasing terms of a method, by label, of the methods that are known."""
        infos = self.section("methods_info")
        return {
            label: traits.pressures
            for label, traits in self.methods.items()
            if traits.pressures or "pressures" in mapping_in(infos, label)
        }

    @functools.cached_property
    def cells(self) -> tuple[SheetCell, ...]:
        """Cells of the sweep, none where they are not listed."""
        return tuple(_cell(cell) for cell in mappings_in(self.content.get("cells")))

    @property
    def search_trials(self) -> dict[str, int]:
        """Planned candidates of each cell, by its identifier."""
        return {cell.id: cell.trials for cell in self.cells if cell.trials is not None}

    @property
    def search_seeds(self) -> dict[str, int]:
        """Planned search seeds of each candidate, by the identifier of the cell."""
        return {cell.id: cell.search_seeds for cell in self.cells}

    @functools.cached_property
    def not_applicable(self) -> tuple[SheetCell, ...]:
        """Cells in which their method cannot work: they have no trials and no rows."""
        return tuple(cell for cell in self.cells if cell.not_applicable is not None)

    @property
    def likes(self) -> dict[str, Like]:
        """Sources of the cells without a search of their own, by identifier."""
        return {cell.id: cell.like for cell in self.cells if cell.like is not None}


def mapping_in(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a mapping inside another, empty where it is missing or something else.

    Example:
        >>> mapping_in({"search": {"trials": 3}}, "search"), mapping_in({"search": None}, "search")
        ({'trials': 3}, {})
    """
    value = tree.get(name)
    return value if isinstance(value, Mapping) else {}


def mappings_in(value: object) -> list[Mapping[str, Any]]:
    """Return the mappings in a list, none where it is no list.

    Example:
        >>> mappings_in([{"name": "rho"}, "gamma"])
        [{'name': 'rho'}]
    """
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [entry for entry in listed if isinstance(entry, Mapping)]


def seeds_of_rules(rules: object, common: float = math.nan) -> dict[str, float]:
    """Number of seeds of each rule in ``confirm.rules``.

    An entry is a name, or ``{rule, seeds}``.

    Args:
        rules: The list.
        common: Seeds of a rule that does not name its own.

    Example:
        >>> seeds_of_rules(["val_biased", {"rule": "val_unbiased", "seeds": 3}], 5.0)
        {'val_biased': 5.0, 'val_unbiased': 3.0}
    """
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        return {}
    return {
        str(rule["rule"] if isinstance(rule, Mapping) else rule): float(rule.get("seeds", common))
        if isinstance(rule, Mapping)
        else common
        for rule in rules
        if not isinstance(rule, Mapping) or "rule" in rule
    }


def _axis(entry: Mapping[str, Any]) -> BiasAxis:
    numbers = {name: _number(entry.get(name)) for name in ("low", "high", "unbiased_at", "default")}
    name = str(entry.get("name") or "")
    stronger: Stronger = "smaller" if entry.get("stronger") == "smaller" else "larger"
    return BiasAxis(name, str(entry.get("long_name") or name), stronger, **numbers)


def _cell(entry: Mapping[str, Any]) -> SheetCell:
    trials, seeds = entry.get("trials"), entry.get("search_seeds")
    return SheetCell(
        id=str(entry.get("cell")),
        label=str(entry.get("label") or entry.get("method") or ""),
        method=str(entry.get("method") or ""),
        bias=mapping_in(entry, "bias"),
        bias_axis=str(entry.get("bias_axis") or ""),
        bias_value=_number(entry.get("bias_value")),
        bias_strength=_number(entry.get("bias_strength")),
        trials=trials if isinstance(trials, int) else None,
        search_seeds=seeds if isinstance(seeds, int) else 1,
        space=mapping_in(entry, "space"),
        like=_like(entry.get("like")),
        not_applicable=str(reason) if (reason := entry.get("not_applicable")) else None,
    )


def _like(entry: object) -> Like | None:
    if not isinstance(entry, Mapping):
        return None
    takes = entry.get("takes")
    names = tuple(str(name) for name in takes) if isinstance(takes, Sequence) else ()
    return Like(str(entry.get("label")), str(entry.get("cell")), names, mapping_in(entry, "rest"))


def _number(value: object) -> float | None:
    # True is an int in Python, and no number in a sheet.
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
