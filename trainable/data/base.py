"""Base class of data sets, and their registry.

A data set of one's own is a file that calls ``register_dataset``, named under ``plugins`` in the sweep file. Where
it has images with a class and an attribute each, ``ImageTable`` is all of it; ``Dataset`` shows the nine members of
any other.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from trainable.data.contract import check_base, check_members, check_options, files_found
from trainable.data.parts import (
    IGNORED,
    NO_BIAS_LABELS,
    Axis,
    BiasHeads,
    ImageSet,
    NaturalBias,
    Split,
    SplitName,
    TrainingDraw,
    as_tensor_index,
    heads_with_labels,
)
from trainable.data.patients import split_patients
from trainable.errors import InputError, unknown_name
from trainable.randomness import numpy_generator
from trainable.registry import Registry
from trainable.spec import Rule

__all__ = [
    "IGNORED",
    "NO_BIAS_LABELS",
    "Axis",
    "BiasHeads",
    "Dataset",
    "DatasetFactory",
    "ImageSet",
    "NaturalBias",
    "Split",
    "SplitName",
    "TrainingDraw",
    "as_tensor_index",
    "dataset_factory",
    "heads_with_labels",
    "list_datasets",
    "load_dataset",
    "register_dataset",
    "resolve_bias",
]


DECIDED = ("span",)
"""Options of any data set that a sweep decides from its bias values (``Dataset.options_for``), given to ``decide``."""


class Dataset(ABC):
    """A data set with a bias that can be drawn at any strength.

    Test images, their order and their random draws are fixed; the seed decides the train / validation split and
    which training images carry the bias. ``classes``, ``axes``, ``attributes``, ``image_size`` and the abstract members
    must be given; all others have a default.

    A data set need not paint: ``train_images`` may return fewer images than it is asked for (``drawn`` then says which,
    ``validation_images`` may be drawn otherwise), and its images may have weights (``ImageSet.weights``). Every count
    of a sweep is of the images that are drawn. Without bias labels (``heads``) the methods that need them are refused
    by name.

    Attributes:
        classes: Names of the classes, in label order.
        axes: The bias parameters.
        attributes: Names of the values of ``ImageSet.attribute``.
        image_size: Side of the square images, pixels.
        name: Registered name; by default the one under which it is loaded.
        long_name: Title in figures; by default the name.
        note: One sentence the figures must carry (synthetic data, toy settings), or "".
        citation: Where the data come from.
        heads: The bias labels.
        has_renderer: True where a counterfactual image can be painted; ``val_counterfactual`` exists then.
        rules: The selection rules whose column is not null.
        unbiased_is_independent: True where the variants ``unbiased`` and ``independent`` are the same images, so that
            ``val_unbiased`` and ``val_counterfactual`` are equal.
        n_folds: Number of folds for cross-validation, 0 = none.
        worst_group_variants: Test variants whose images together make the groups of worst-group accuracy.
        worst_group_by: What makes a group with the class: the ``variant``, or the ``attribute`` painted on the image.
        flip_pair: Two test variants of the same images between which predictions are compared (``flip_rate``); one
            that is not in ``VARIANTS`` is predicted for this alone. None = no image exists with another bias, and
            there is no flip rate.
        share_images: True where its training images may be shown in ``samples/``, the report and a pack: synthetic or
            public ones.
        default_network: Network of a sweep that names none; None = the one for this size of images.
        natural: Bias of the images as they were collected; None where it is painted and there is no such thing.
        images_info: How images were made of files, by which those of an external test set are made alike: ``fit``,
            ``window`` (two values, or None where 8 bits stay as they are), ``everywhere``; None = nothing is known.
        variants_depend_on_bias: True where the ``unbiased`` law depends on the bias value (so ``ceiling`` does).
        attribute_bits: Where the attribute is made of several annotations, the bits of each: the bias probe asks for
            each annotation by itself. Empty = it is one.
        reweighting_target: Law of the attribute that ``val_reweighted`` estimates for, ``[attributes]``, sums to 1;
            None = its own law in the validation images.

    Example:
        A whole data set, squares and crosses, with a white edge as the bias of the squares:

        >>> import torch
        >>> @register_dataset("shapes_of_the_example")
        ... class Shapes(Dataset):
        ...     classes, attributes, image_size = ("cross", "square"), ("plain", "edged"), 16
        ...     axes = (Axis("rho", "Squares with an edge ρ", 0.0, 1.0, "larger", unbiased_at=0.0),)
        ...     checksum = "shapes-1"
        ...
        ...     def labels(self):
        ...         return np.arange(400) % 2
        ...
        ...     def drawn_images(self, index, edged):
        ...         images = numpy_generator(0, "shapes").integers(60, size=(400, 3, 16, 16), dtype=np.uint8)[index]
        ...         labels = index % 2
        ...         images[labels == 0, :, 4:12, 7:9] += 120
        ...         images[:, :, 7:9, 4:12] += 120
        ...         images[labels == 1, :, 4:12, 4:12] = 180
        ...         images[edged, :, 0] = 255
        ...         attribute = torch.from_numpy(edged.astype(np.int64))
        ...         bias = torch.zeros(len(index), 0, dtype=torch.int64)
        ...         return ImageSet(
        ...             torch.from_numpy(images), torch.from_numpy(labels), bias, attribute, as_tensor_index(index)
        ...         )
        ...
        ...     def train_images(self, bias, seed, index, draw):
        ...         rho = bias["rho"] if draw == "biased" else 0.0
        ...         return self.drawn_images(index, (index % 2 == 1) & (self.annotation_draws(seed)[index] < rho))
        ...
        ...     def variant_images(self, variant, bias, index, role):
        ...         u = numpy_generator(0, f"shapes/{role}").random(400)[index]
        ...         square = index % 2 == 1
        ...         edged = {"unbiased": u < 0, "aligned": square, "conflicting": ~square, "independent": u < 0.5}
        ...         return self.drawn_images(index, edged[variant])
        ...
        ...     def bias_strength(self, bias):
        ...         p = np.array([[0.5, 0.0], [0.5 * (1 - bias["rho"]), 0.5 * bias["rho"]]])
        ...         h = lambda law: -(law[law > 0] * np.log2(law[law > 0])).sum()
        ...         return float(h(p.sum(axis=1)) + h(p.sum(axis=0)) - h(p.ravel()))
        >>> shapes = load_dataset("shapes_of_the_example")
        >>> split = shapes.split(seed=0)
        >>> images = shapes.train_images({"rho": 0.9}, 0, split.train, "biased")
        >>> len(images), round(float(images.attribute.double().mean()), 2), round(shapes.bias_strength({"rho": 0.9}), 2)
        (288, 0.47, 0.76)
    """

    classes: tuple[str, ...]
    axes: tuple[Axis, ...]
    attributes: tuple[str, ...]
    image_size: int

    name: str = ""
    long_name: str = ""
    note: str = ""
    citation: str = ""
    heads: BiasHeads = NO_BIAS_LABELS
    has_renderer: bool = True
    rules: tuple[Rule, ...] = ("val_counterfactual", "val_biased", "val_unbiased")
    unbiased_is_independent: bool = False
    n_folds: int = 0
    worst_group_variants: tuple[str, ...] = ("aligned", "conflicting")
    worst_group_by: Literal["variant", "attribute"] = "variant"
    flip_pair: tuple[str, str] | None = ("aligned", "conflicting")
    share_images: bool = False
    default_network: str | None = None
    natural: NaturalBias | None = None
    images_info: Mapping[str, Any] | None = None
    variants_depend_on_bias: bool = False
    attribute_bits: tuple[int, ...] = ()
    reweighting_target: NDArray[np.float64] | None = None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a class that leaves out what has no default, in a sentence instead of Python's TypeError."""
        check_base(cls)
        return super().__new__(cls)

    @property
    @abstractmethod
    def checksum(self) -> str:
        """Hex digest over the images, labels and groups: changed data are never mixed with old rows."""

    @abstractmethod
    def labels(self) -> NDArray[np.int64]:
        """Class of every image, int64 ``[N]``."""

    @abstractmethod
    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Training-law images: ``biased``, drawn like the ``unbiased`` variant, or ``clean`` (never annotated).

        They may be fewer than asked for, where the bias is not painted and images of one kind are few.
        """

    @abstractmethod
    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Evaluation images of one variant.

        Draws are fixed by (role, image position), whatever the bias value.
        """

    @abstractmethod
    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """Strength of the bias on the training law, in [0, 1].

        It is I(b; y) / H(y): how much of the label the bias alone tells.
        """

    def image_keys(self) -> list[str]:
        """Keyed hash of every image, ``[N]``: names an image in result files without identifying it.

        By default that of the data set's name and the image's position.
        """
        texts = (f"{self.name}/{position}".encode() for position in range(len(self.labels())))
        return [hashlib.blake2b(text, digest_size=8, key=b"lnl-sweep").hexdigest() for text in texts]

    def patient_keys(self) -> list[str] | None:
        """Keyed hash of the patient of every image, ``[N]``, or None where there are no patients."""
        return None

    def groups(self) -> NDArray[np.int64]:
        """Group (patient) of every image, int64 ``[N]``.

        It is the image's own position where there are no patients.
        """
        return np.arange(len(self.labels()), dtype=np.int64)

    def split(self, seed: int, fold: int | None = None) -> Split:
        """Split for a seed.

        The test part is the same for every seed (of a fold).

        By default by group, stratified by class, without folds; see ``patients.split_patients``.
        """
        return split_patients(self.name, self.labels(), self.groups(), self.classes, seed, fold=fold)

    def annotation_draws(self, seed: int) -> NDArray[np.float64]:
        """The uniform draw u of every image, ``[N]``, that decides its annotation (``splits/*.parquet``)."""
        return numpy_generator(seed, "paint").random(len(self.labels()))

    def conflicting(self, images: ImageSet) -> NDArray[np.bool_] | None:
        """Images whose bias is that of another class, bool ``[M]``.

        None (the default) where the data set does not say which.
        """
        return None

    def collected_attribute(self) -> NDArray[np.int64] | None:
        """Attribute that each image was collected with, int64 ``[N]``.

        None (the default) where the attribute is painted: any image can have any.
        """
        return None

    def drawn(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw = "biased"
    ) -> NDArray[np.int64]:
        """Positions of the images that ``train_images`` returns, by default all that are asked for."""
        return index

    def drawn_for_validation(self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the images that ``validation_images`` returns, by default as for training."""
        return self.drawn(bias, seed, index)

    def validation_images(self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64]) -> ImageSet:
        """Validation images drawn like the training ones, by default by ``train_images``."""
        return self.train_images(bias, seed, index, "biased")

    def check_draw(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw = "biased"
    ) -> None:
        """Refuse a bias value at which the training images cannot be drawn, before a sweep begins.

        By default none is refused.

        Raises:
            InputError: What cannot be drawn, and what can.
        """
        return

    def decide(self, options: Mapping[str, Any]) -> None:
        """Take those of the options ``DECIDED`` that the sweep's axis decides, by default none.

        Args:
            options: What ``options_for`` returned.
        """
        return

    def files_content(self) -> str | None:
        """Digest of all that the declared files say beyond ``checksum``.

        None = every byte of them counts.
        """
        return None

    def options_for(self, points: Sequence[Mapping[str, float]]) -> Mapping[str, Any]:
        """Options of the data set that the bias values of a sweep decide, e.g. the span of its axis.

        Args:
            points: Value of every bias parameter at each point of the sweep.
        """
        return {}


DatasetFactory = Callable[..., Dataset]
DATASETS: Registry[DatasetFactory] = Registry("data set", "trainable.data")


def register_dataset(
    name: str, files: Iterable[str] = (), code: Iterable[str] = ()
) -> Callable[[DatasetFactory], DatasetFactory]:
    """Register a class or function that builds a data set from its options.

    Args:
        name: The name in ``dataset: {name: ...}``.
        files: Options that are paths. They are given relative to the sweep file's folder, are absolute in every worker,
            must exist before a sweep starts, and may change at a resume while what they name is the same.
        code: Options of the form ``file.py:name``, whose file becomes a plug-in of the sweep by itself.

    Returns:
        The decorator; it returns what it decorates unchanged.

    Raises:
        InputError: The name is taken by another factory, or it has no such option.

    Example:
        >>> from trainable.data.digits.coloured_digits import ColouredDigits
        >>> @register_dataset("large_digits")
        ... def large_digits(subset: str = "all") -> Dataset:
        ...     return ColouredDigits(28, subset)
        >>> load_dataset("large_digits").image_size
        28
    """
    return DATASETS.register(name, lambda factory: factory, files, code)


def list_datasets() -> list[str]:
    """Names of all registered data sets, sorted.

    Example:
        >>> {"brain_mri", "brain_phantom", "coloured_digits"} <= set(list_datasets())
        True
    """
    return DATASETS.names()


def dataset_factory(name: str) -> DatasetFactory:
    """The registered factory of a data set.

    Args:
        name: Registered name.

    Raises:
        InputError: No such data set; the nearest known name is given.

    Example:
        >>> dataset_factory("coloured_digits").__name__
        'ColouredDigits'
    """
    return DATASETS.get(name)


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a data set once per process.

    The same name and options return the same object.

    Args:
        name: Registered name.
        **options: Options of the data set, JSON values.

    Returns:
        The data set.

    Raises:
        InputError: Unknown name or option, or files that cannot be read.

    Example:
        >>> digits = load_dataset("coloured_digits", image_size=28)
        >>> digits.classes[:3], len(digits.labels())
        (('0', '1', '2'), 5000)
    """
    # As text, since a mapping cannot be a key of the cache.
    dataset = _load(name, json.dumps({key: options[key] for key in options if key not in DECIDED}, sort_keys=True))
    decided = {key: options[key] for key in options if key in DECIDED}
    return _decided(dataset, json.dumps(decided)) if any(decided.values()) else dataset


@functools.lru_cache(maxsize=4)
def _decided(dataset: Dataset, options: str) -> Dataset:
    # A copy that shares the images: the same data are used by sweeps with other axes.
    dataset = copy.copy(dataset)
    dataset.decide(json.loads(options))
    return dataset


@functools.lru_cache(maxsize=4)
def _load(name: str, options: str) -> Dataset:
    factory, given = dataset_factory(name), json.loads(options)
    check_options(name, factory, given)
    with files_found(f"data set {name}"):
        dataset = factory(**given)
    return _named(name, dataset)


# The code of one may have changed.
DATASETS.when_forgotten.append(_load.cache_clear)


def _named(name: str, made: Any) -> Dataset:
    if not isinstance(made, Dataset):
        # Written before there was a base class: it has the base's defaults for what it lacks.
        kind = type(made)
        # The base's property would hide a checksum that stands in the object.
        members = {"__module__": kind.__module__, "checksum": inspect.getattr_static(kind, "checksum", None)}
        with contextlib.suppress(TypeError):
            made.__class__ = type(kind.__name__, (kind, Dataset), members)
    dataset: Dataset = made
    check_members(name, dataset)
    if not dataset.name:
        dataset.name = name
    if not dataset.long_name:
        dataset.long_name = dataset.name
    return dataset


def resolve_bias(dataset: Dataset, bias: Mapping[str, float]) -> dict[str, float]:
    """Check bias values against the axes and fill in defaults.

    Args:
        dataset: The data set.
        bias: Value of each named bias parameter.

    Returns:
        Every bias parameter of the data set, in the order of its axes.

    Raises:
        InputError: An unknown parameter, a missing one, or a value outside its range (NaN included).

    Example:
        >>> resolve_bias(load_dataset("brain_phantom"), {"rho": 1})
        {'rho': 1.0, 'gamma': 0.0}
    """
    axes = {axis.name: axis for axis in dataset.axes}
    for name in bias:
        if name not in axes:
            raise unknown_name(f"bias parameter of {dataset.name}", name, axes)
    resolved: dict[str, float] = {}
    for axis in dataset.axes:
        value = bias.get(axis.name, axis.default)
        if value is None:
            raise InputError(f"{dataset.name} needs a value of {axis.name}: give e.g. bias: {{{axis.name}: ...}}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not axis.low <= value <= axis.high:
            raise InputError(f"{axis.name} must lie in [{axis.low:g}, {axis.high:g}], but got {value!r}")
        resolved[axis.name] = float(value)
    return resolved
