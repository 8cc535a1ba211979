"""What a data set is, and the registry. A new data set is one new file here that calls ``register_dataset``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.contract import check_members, check_options, files_found
from trainable.errors import InputError, unknown_name
from trainable.randomness import numpy_generator
from trainable.registry import import_all
from trainable.spec import VARIANTS, Phase, Rule

TrainingDraw = Literal["biased", "unbiased", "clean", "repainted"]
SplitName = Literal["train", "val", "test"]
IGNORED = -1
"""Bias label of a place that no loss counts (background, a masked head)."""


@dataclass(frozen=True)
class Axis:
    """One bias parameter: the x axis of the curve.

    Attributes:
        name: Column and YAML key, e.g. ``color_variance``.
        long_name: Axis title, with its unit or symbol.
        low: Smallest value allowed.
        high: Largest value allowed (``inf`` = no bound).
        stronger: Which direction is the stronger bias.
        unbiased_at: The value without any bias, or None where there is none on the axis.
        default: Value of a parameter that the sweep does not name, or None where it must be named.
    """

    name: str
    long_name: str
    low: float
    high: float
    stronger: Literal["smaller", "larger"]
    unbiased_at: float | None = None
    default: float | None = None


@dataclass(frozen=True)
class BiasHeads:
    """The bias labels: one head each, all with the same number of values.

    Attributes:
        names: Name of each head, e.g. ``("red", "green", "blue")``.
        n_values: Number of values of each bias label.
        spatial: True = a label for every pixel, False = one for the image.
    """

    names: tuple[str, ...]
    n_values: int
    spatial: bool


@dataclass(frozen=True)
class Split:
    """Positions (int64) of the images of each part. Groups (patients) never cross parts."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    def part(self, name: SplitName) -> NDArray[np.int64]:
        """Return the positions of one part by name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


@dataclass(frozen=True)
class ImageSet:
    """Images as a trial sees them, annotations painted.

    Attributes:
        images: uint8, ``[N, 3, H, W]``.
        labels: int64, ``[N]``, the class.
        bias: int64, ``[N, heads]`` or, where the heads are spatial, ``[N, heads, H, W]``; ``IGNORED`` = not counted.
        attribute: int64, ``[N]``, the bias attribute as one number (colour index, annotated or not): what the bias
            probe predicts, and with the class the group of worst-group accuracy.
        index: int64, ``[N]``, positions in the data set.
    """

    images: Tensor
    labels: Tensor
    bias: Tensor
    attribute: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def heads_with_labels(heads: BiasHeads, images: ImageSet) -> tuple[BiasHeads, ImageSet]:
    """Leave out the bias heads that no image has a label for: they would be run and learn nothing.

    Args:
        heads: The data set's heads.
        images: The training images.

    Returns:
        The heads with a label, and the images with their labels alone; the first head where none has one.
    """
    used = [i for i in range(len(heads.names)) if bool((images.bias[:, i] != IGNORED).any())] or [0]
    if len(used) == len(heads.names):
        return heads, images
    names = tuple(heads.names[i] for i in used)
    return replace(heads, names=names), replace(images, bias=images.bias[:, used].contiguous())


class Dataset(Protocol):
    """A data set with a bias that can be drawn at any strength.

    Test images, their order and their random draws are fixed; the seed decides the train / validation split and
    which training images carry the bias.

    Attributes:
        name: Registered name.
        long_name: Title in figures.
        note: One sentence the figures must carry (synthetic data, toy settings), or "".
        citation: Where the data come from.
        classes: Names of the classes, in label order.
        axes: The bias parameters.
        heads: The bias labels.
        attributes: Names of the values of ``ImageSet.attribute``.
        has_renderer: True where a counterfactual image can be painted; ``val_counterfactual`` exists then.
        rules: The selection rules whose column is not null.
        unbiased_is_independent: True where the variants ``unbiased`` and ``independent`` are the same images, so that
            ``val_unbiased`` and ``val_counterfactual`` are equal.
        n_folds: Number of folds for cross-validation, 0 = none.
        image_size: Side of the square images, pixels.
        worst_group_variants: Test variants whose images together make the groups of worst-group accuracy.
        worst_group_by: What makes a group with the class: the ``variant``, or the ``attribute`` painted on the image.
        flip_pair: Two test variants of the same images between which predictions are compared (``flip_rate``); one
            that is not in ``VARIANTS`` is predicted for this alone.
        variants_depend_on_bias: True where the ``unbiased`` law depends on the bias value (so ``ceiling`` does).
    """

    name: str
    long_name: str
    note: str
    citation: str
    classes: tuple[str, ...]
    axes: tuple[Axis, ...]
    heads: BiasHeads
    attributes: tuple[str, ...]
    has_renderer: bool
    rules: tuple[Rule, ...]
    unbiased_is_independent: bool
    n_folds: int
    image_size: int
    worst_group_variants: tuple[str, ...]
    worst_group_by: Literal["variant", "attribute"]
    flip_pair: tuple[str, str]
    variants_depend_on_bias: bool

    @property
    def checksum(self) -> str:
        """Hex digest over the images, labels and groups: changed data are never mixed with old rows."""
        ...

    def image_keys(self) -> list[str]:
        """Keyed hash of every image, ``[N]``: names an image in result files without identifying it."""
        ...

    def patient_keys(self) -> list[str] | None:
        """Keyed hash of the patient of every image, ``[N]``; None where there are no patients."""
        ...

    def groups(self) -> NDArray[np.int64]:
        """Group (patient) of every image, ``[N]``; the image's own position where there are no patients."""
        ...

    def labels(self) -> NDArray[np.int64]:
        """Class of every image, ``[N]``."""
        ...

    def split(self, seed: int, fold: int | None = None) -> Split:
        """Split for a seed; the test part is the same for every seed (of a fold)."""
        ...

    def annotation_draws(self, seed: int) -> NDArray[np.float64]:
        """The uniform draw u of every image, ``[N]``, that decides its annotation (``splits/*.parquet``)."""
        ...

    def train_images(
        self, bias: Mapping[str, float], seed: int, index: NDArray[np.int64], draw: TrainingDraw
    ) -> ImageSet:
        """Training-law images: ``biased``, drawn like the ``unbiased`` variant, or ``clean`` (never annotated)."""
        ...

    def variant_images(self, variant: str, bias: Mapping[str, float], index: NDArray[np.int64], role: str) -> ImageSet:
        """Evaluation images of one variant; draws fixed by (role, image position), whatever the bias value."""
        ...

    def bias_strength(self, bias: Mapping[str, float]) -> float:
        """I(b; y) / H(y) on the training law, in [0, 1]: how much of the label the bias alone tells."""
        ...


@dataclass(frozen=True)
class DataView:
    """What one trial may see of a data set. In the search phase the test images cannot be loaded.

    Attributes:
        dataset: The data set.
        bias: Value of every bias parameter.
        seed: The trial's seed.
        fold: Fold, or None.
        phase: ``search`` or ``confirm``.
        split_seed: Seed of the split where it is not the trial's.
    """

    dataset: Dataset
    bias: Mapping[str, float]
    seed: int
    fold: int | None
    phase: Phase
    split_seed: int | None = None

    @functools.cached_property
    def split(self) -> Split:
        """The split of this seed and fold."""
        return self.dataset.split(self.seed if self.split_seed is None else self.split_seed, self.fold)

    def train(self, draw: TrainingDraw = "biased", repaint_share: float = 1.0) -> ImageSet:
        """Training images.

        Args:
            draw: Their law; ``repainted`` is the biased one with a share of the images drawn like ``independent``.
            repaint_share: That share; which images it takes is nested in it and fixed by the seed.

        Raises:
            InputError: A data set that cannot paint, or a share outside [0, 1].
        """
        if draw != "repainted":
            return self.dataset.train_images(self.bias, self.seed, self.split.train, draw)
        if not self.dataset.has_renderer:
            raise InputError(f"{self.dataset.name} has no painter, so nothing can be repainted: choose another method")
        if not 0 <= repaint_share <= 1:
            raise InputError(f"repaint_share must lie in [0, 1], but got {repaint_share!r}")
        index = self.split.train
        chosen = numpy_generator(self.seed, "repaint").random(len(self.dataset.labels()))[index] < repaint_share
        own = self.dataset.train_images(self.bias, self.seed, index[~chosen], "biased")
        other = self.dataset.variant_images("independent", self.bias, index[chosen], f"repaint/{self.seed}")
        order = torch.from_numpy(np.argsort(np.concatenate([np.flatnonzero(~chosen), np.flatnonzero(chosen)])))
        parts = ("images", "labels", "bias", "attribute", "index")
        return ImageSet(*(torch.cat([getattr(own, name), getattr(other, name)])[order] for name in parts))

    def probe_train(self) -> ImageSet:
        """Training images annotated independently of the class, for the bias probe."""
        return self.dataset.variant_images("independent", self.bias, self.split.train, f"probe/{self.seed}")

    def validation(self, rule: Rule) -> ImageSet:
        """Validation images of one selection rule (``val_reweighted`` uses those of ``val_biased``)."""
        if rule in ("val_biased", "val_reweighted"):
            return self.dataset.train_images(self.bias, self.seed, self.split.val, "biased")
        variant = {"val_unbiased": "unbiased", "val_counterfactual": "independent"}[rule]
        return self.dataset.variant_images(variant, self.bias, self.split.val, f"val/{self.seed}")

    def test(self, variant: str) -> ImageSet:
        """Test images of one variant.

        Raises:
            InputError: In the search phase, which never sees test data, or for an unknown variant.
        """
        if self.phase != "confirm":
            raise InputError("test images cannot be loaded in the search phase: they never choose anything")
        known = dict.fromkeys((*VARIANTS, *self.dataset.flip_pair))
        if variant not in known:
            raise unknown_name("test variant", variant, known)
        return self.dataset.variant_images(variant, self.bias, self.split.test, "test")


DatasetFactory = Callable[..., Dataset]
_DATASETS: dict[str, DatasetFactory] = {}


def register_dataset(name: str) -> Callable[[DatasetFactory], DatasetFactory]:
    """Register a class or function that builds a data set from its options.

    Args:
        name: The name in ``dataset: {name: ...}``.

    Returns:
        The decorator; it returns what it decorates unchanged.

    Raises:
        InputError: The name is taken by another factory.
    """

    def decorate(factory: DatasetFactory) -> DatasetFactory:
        known = _DATASETS.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (
            factory.__module__,
            factory.__qualname__,
        ):
            raise InputError(f"data set '{name}' is registered twice: choose another name")
        _DATASETS[name] = factory
        return factory

    return decorate


def _import_all() -> None:
    import_all("trainable.data")


def list_datasets() -> list[str]:
    """Names of all registered data sets, sorted."""
    _import_all()
    return sorted(_DATASETS)


def dataset_factory(name: str) -> DatasetFactory:
    """The registered factory of a data set.

    Raises:
        InputError: No such data set; the nearest known name is given.
    """
    if name not in _DATASETS:
        _import_all()
    if name not in _DATASETS:
        raise unknown_name("data set", name, _DATASETS)
    return _DATASETS[name]


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a data set once per process; the same name and options return the same object.

    Args:
        name: Registered name.
        **options: Options of the data set, JSON values.

    Returns:
        The data set.

    Raises:
        InputError: Unknown name or option, or files that cannot be read.
    """
    return _load(name, json.dumps(options, sort_keys=True))


@functools.lru_cache(maxsize=4)
def _load(name: str, options: str) -> Dataset:
    factory, given = dataset_factory(name), json.loads(options)
    check_options(name, factory, given)
    with files_found(f"data set {name}"):
        dataset = factory(**given)
    check_members(name, dataset)
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


def as_tensor_index(index: NDArray[np.int64]) -> Tensor:
    """Positions as an int64 tensor."""
    return torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64))
