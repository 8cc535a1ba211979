"""Images that each stage of a trial is trained on, and the facts about them that a method with state is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trainable.data.base import Dataset, ImageSet
from trainable.data.held_out import divide, taken
from trainable.methods.base import Facts, Method, Nets
from trainable.methods.contract.draws import group_counts
from trainable.methods.contract.stages import Span
from trainable.spec import TrialSpec
from trainable.trial.feed import Feed


def sets_of(
    train: ImageSet, method: Method, stages: Sequence[Span], dataset: Dataset, spec: TrialSpec
) -> dict[str, ImageSet]:
    """Divide the training images into those of the stages.

    Args:
        train: All of them.
        method: The method: one that may see the bias has held-out images of each group.
        stages: Its stages.
        dataset: Names the patients.
        spec: The trial: the seed of its split decides.

    Returns:
        ``train``, and ``held_out`` where a stage is trained on those.
    """
    if all(span.stage.on == "train" for span in stages):
        return {"train": train}
    patients = dataset.groups()[train.index.numpy()]
    seed = spec.seed if spec.split_seed is None else spec.split_seed
    rest, held = divide(train, patients, seed, "bias_labels" in method.needs)
    return {"train": taken(train, rest), "held_out": taken(train, held)}


def facts_of(
    feeds: Mapping[str, Feed],
    method: Method,
    spec: TrialSpec,
    n_attributes: int,
    stages: tuple[Span, ...],
    make_nets: Callable[[str], Nets],
) -> Facts:
    """Describe a trial to a method with state.

    Args:
        feeds: Its images.
        method: The method: what it needs.
        spec: The trial.
        n_attributes: Number of values of the bias attribute.
        stages: Its stages.
        make_nets: Builds further networks for a role.
    """

    def of(feed: Feed, held_out: Facts | None) -> Facts:
        counts = None
        if "group_counts" in method.needs and feed.attribute is not None:
            counts = group_counts(feed.y, feed.attribute, feed.n_classes, n_attributes)
        return Facts(
            n=feed.n,
            n_classes=feed.n_classes,
            n_attributes=n_attributes,
            epochs=spec.training.epochs,
            steps_per_epoch=len(feed.sizes),
            seed=spec.seed,
            device=feed.y.device,
            labels=feed.y,
            attribute=feed.attribute,
            group_counts=counts,
            spans=stages,
            held_out=held_out,
            make_nets=make_nets,
        )

    return of(feeds["train"], of(feeds["held_out"], None) if "held_out" in feeds else None)
