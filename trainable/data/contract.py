"""Checks of a data set against what every one must have, before a sweep begins and not in its first confirm trial."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from trainable.errors import InputError
from trainable.spec import RULES, VARIANTS
from trainable.texts import reason_of

if TYPE_CHECKING:
    from trainable.data.base import Dataset

_WHERE = "every data set has the members of Dataset in trainable/data/base.py"


def missing_options(factory: Callable[..., object], options: Mapping[str, Any]) -> list[str]:
    """Options without a default that are not given.

    Args:
        factory: What builds the data set.
        options: The options that are given.

    Returns:
        Their names, in the order of the factory's parameters.

    Example:
        >>> missing_options(lambda folder, image_size=64: None, {"image_size": 32})
        ['folder']
    """
    single = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(factory).parameters.values()
    needed = [one.name for one in parameters if one.kind in single and one.default is one.empty]
    return [name for name in needed if name not in options]


def check_options(name: str, factory: Callable[..., object], options: Mapping[str, Any]) -> None:
    """Refuse to build a data set without an option that it needs.

    Args:
        name: Registered name of the data set.
        factory: What builds it.
        options: The options that are given.

    Raises:
        InputError: One is missing.

    Example:
        >>> check_options("x_ray", lambda folder: None, {})
        Traceback (most recent call last):
            ...
        store.errors.InputError: data set x_ray needs the option folder: give dataset: {name: x_ray, folder: ...}
    """
    missing = missing_options(factory, options)
    if missing:
        entries = ", ".join(f"{option}: ..." for option in missing)
        raise InputError(
            f"data set {name} needs the option{'s' * (len(missing) > 1)} {', '.join(missing)}: give "
            f"dataset: {{name: {name}, {entries}}}"
        )


def check_base(kind: type[Dataset]) -> None:
    """Refuse a class of data sets that leaves out a member without a default.

    Args:
        kind: A class that derives from ``Dataset``.

    Raises:
        InputError: What is missing.
    """
    missing = [member for member in required_members() if member in kind.__abstractmethods__]
    if missing:
        raise InputError(f"data set {kind.name or kind.__name__} lacks {', '.join(missing)}: {_WHERE}")


def required_members() -> list[str]:
    """Members of a data set that have no default.

    Example:
        >>> required_members()[:4]
        ['classes', 'axes', 'attributes', 'image_size']
    """
    from trainable.data.base import Dataset

    attributes = [member for member in Dataset.__annotations__ if _static(Dataset, member) is _MISSING]
    return attributes + [member for member in vars(Dataset) if member in Dataset.__abstractmethods__]


def check_members(name: str, dataset: Dataset) -> None:
    """Refuse a data set that lacks a member, or has one of another kind.

    Args:
        name: Its registered name.
        dataset: The data set.

    Raises:
        InputError: What is missing or wrong.
    """
    from trainable.data.base import Dataset

    # A class that derives from the base has inherited functions that do nothing.
    missing = [
        member
        for member in required_members()
        if any(_static(dataset, member) is none for none in (_MISSING, None, _static(Dataset, member)))
    ]
    if missing:
        raise InputError(f"data set {name} lacks {', '.join(missing)}: {_WHERE}")
    for member, (fits, words) in _RULES.items():
        if _static(dataset, member) is _MISSING:
            continue
        value = getattr(dataset, member)
        if not fits(value):
            raise InputError(f"{member} of data set {name} must be {words}, but is {value!r}: {_WHERE}")
    known = {*VARIANTS, *(dataset.flip_pair or ())}
    for variant in dataset.worst_group_variants:
        if variant not in known:
            raise InputError(
                f"worst_group_variants of data set {name} must be of {', '.join(sorted(known))}, but has {variant!r}"
            )


_MISSING = object()


def _static(owner: object, member: str) -> object:
    # Without computing a property.
    return inspect.getattr_static(owner, member, _MISSING)


@contextlib.contextmanager
def files_found(what: str) -> Iterator[None]:
    """Turn, within the block, a file that is not there or may not be read into bad input.

    Args:
        what: What reads it, for the message.

    Raises:
        InputError: A file is not there, or may not be read.

    Example:
        >>> with files_found("data set x_ray"):
        ...     open("/no/such/file")
        Traceback (most recent call last):
            ...
        store.errors.InputError: data set x_ray must find its files, but got FileNotFoundError: [Errno 2] ...
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"{what} must find its files, but got {reason_of(error)}: put the file there, or correct the options "
            "under 'dataset'"
        ) from error


def check_images(dataset: Dataset, bias: Mapping[str, float], seed: int) -> None:
    """Draw two images of everything that a trial asks for, test variants included.

    Args:
        dataset: The data set.
        bias: Value of every bias parameter.
        seed: The seed of the split.

    Raises:
        InputError: A variant that it does not draw, images of another form, or a file that cannot be read.
    """
    import torch

    from trainable.data.parts import ImageSet

    n = len(dataset.labels())
    for member, values in (
        ("groups()", dataset.groups()),
        ("image_keys()", dataset.image_keys()),
        ("patient_keys()", dataset.patient_keys()),
        ("annotation_draws(seed)", dataset.annotation_draws(seed)),
    ):
        if not (values is None and member == "patient_keys()") and (values is None or len(values) != n):
            actual = "None" if values is None else f"{len(values)} values"
            raise InputError(f"{member} of data set {dataset.name} must have one value an image ({n}), but is {actual}")
    split = dataset.split(seed)
    # Of images that are chosen, two may give none.
    train, test = split.train if dataset.collected_attribute() is not None else split.train[:2], split.test[:2]
    side = dataset.image_size
    draws: dict[str, tuple[int, Callable[[], object]]] = {
        f"variant_images('{variant}', ...)": (len(test), partial(dataset.variant_images, variant, bias, test, "test"))
        for variant in dict.fromkeys((*VARIANTS, *(dataset.flip_pair or ())))
    }
    draws["train_images(...)"] = len(train), partial(dataset.train_images, bias, seed, train, "biased")
    for call, (n_drawn, draw) in draws.items():
        name = f"{call} of data set {dataset.name}"
        with files_found(name):
            drawn: Any = draw()
        if not isinstance(drawn, ImageSet):
            raise InputError(f"{name} must return an ImageSet, but returns a {type(drawn).__name__}: {_WHERE}")
        n_drawn = len(drawn) if len(drawn) < n_drawn else n_drawn
        shape, kind = (n_drawn, 3, side, side), drawn.images.dtype
        if tuple(drawn.images.shape) != shape or kind != torch.uint8:
            raise InputError(
                f"{name} must return uint8 images of shape {shape}, but returns {kind} of {tuple(drawn.images.shape)}"
            )


def _texts(value: object) -> bool:
    return _is_sequence(value) and all(isinstance(one, str) for one in value)  # type: ignore[attr-defined]


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _axes(value: Any) -> bool:
    from trainable.data.parts import Axis

    return _is_sequence(value) and len(value) > 0 and all(isinstance(one, Axis) for one in value)


def _heads(value: Any) -> bool:
    from trainable.data.parts import BiasHeads

    return isinstance(value, BiasHeads)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_TEXT = (lambda value: isinstance(value, str), "a text")
_FLAG = (lambda value: isinstance(value, bool), "True or False")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("name", "long_name", "note", "citation"), _TEXT),
    **dict.fromkeys(("has_renderer", "unbiased_is_independent", "variants_depend_on_bias", "share_images"), _FLAG),
    "classes": (lambda value: _texts(value) and len(value) > 1, "two or more texts"),
    "axes": (_axes, "one or more Axis"),
    "heads": (_heads, "BiasHeads"),
    "attributes": (_texts, "texts"),
    "rules": (lambda value: _texts(value) and set(value) <= set(RULES), f"of {', '.join(RULES)}"),
    "n_folds": (lambda value: _whole(value, 0), "a whole number, 0 = no folds"),
    "image_size": (lambda value: _whole(value, 1), "a whole number of pixels"),
    "worst_group_variants": (_texts, "texts"),
    "worst_group_by": (lambda value: value in ("variant", "attribute"), "'variant' or 'attribute'"),
    "flip_pair": (lambda value: value is None or (_texts(value) and len(value) == 2), "two texts or None"),
    "default_network": (lambda value: value is None or isinstance(value, str), "a text or None"),
}
