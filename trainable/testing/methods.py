"""Check of a method, on a toy: what every registered method must keep, whatever file it comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from store.columns import to_table
from trainable.methods.base import METHODS, Choices, Method, Range, get_method
from trainable.testing import adversaries
from trainable.testing.findings import Finding, count, failure, guarded, some_of, where_defined
from trainable.testing.toy import toys
from trainable.testing.training import (
    Difference,
    continued_difference,
    disturb,
    first_difference,
    first_step,
    state_of,
    tensors_of,
    toy_spec,
    trained,
)
from trainable.trial.machine.process_state import changed, kept, take
from trainable.trial.refusals import check_hyperparameters, check_range
from trainable.trial.trainer import Trainer

EPOCHS = 6
HARMLESS = (
    "filters of warnings",
    "warnings.showwarning",
    "the environment",
    "garbage collection",
    "hooks on all modules",
)
"""Settings of the process that decide no number of a trial.

A library may change them when it is first used.
"""
_Check = Callable[[Method, Mapping[str, Any]], Iterator[Finding]]


def check_method(method: str | Method, hyperparameters: Mapping[str, Any] | None = None) -> list[Finding]:
    """Check a method on a toy data set of 132 images and a toy network.

    It takes seconds.

    It must leave finite gradients in f and g and, where it has a bias head, move h on L_B alone; equal ``erm`` bit for
    bit under its anchor; train the same whatever the global random numbers are, and after an interruption; leave the
    process as it was; and finish with a row that the schema knows. What may be meant is a warning.

    Args:
        method: Registered name, or a method, which need not be registered.
        hyperparameters: Values besides its defaults.

    Returns:
        The findings; ``assert_passes`` makes a test of them.

    Raises:
        InputError: No such method; the nearest known name is given.

    Example:
        >>> from trainable.testing import assert_passes
        >>> findings = check_method("erm")
        >>> assert_passes(findings)
        >>> print(findings[0])
        ok    method erm: declares 0 hyperparameters of its own and a default of each
    """
    return list(method_findings(get_method(method) if isinstance(method, str) else method, hyperparameters))


def method_findings(method: Method, hyperparameters: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """Yield the findings of ``check_method`` as they are made.

    Args:
        method: The method.
        hyperparameters: Values besides its defaults.
    """
    values = dict(hyperparameters or {})
    with toys(), _registered(method):
        usable = True
        for check, doing in _FIRST:
            for finding in _run(check, method, values, doing):
                usable = usable and finding.level != "FAIL"
                yield finding
        if not usable:
            # Whatever else is tried would fail for the same reason.
            return
        for check, doing in _CHECKS:
            yield from _run(check, method, values, doing)


def _run(check: _Check, method: Method, values: Mapping[str, Any], doing: str) -> Iterator[Finding]:
    where = where_defined(method.step)
    # What one check has left behind must not hide it from the next.
    with kept():
        findings = list(guarded(f"method {method.name}", lambda: check(method, values), doing))
    for finding in findings:
        yield finding if finding.where or finding.level == "ok" else _at(finding, where)


def _at(finding: Finding, where: str) -> Finding:
    return Finding(finding.level, finding.what, finding.sentence, where)


@contextlib.contextmanager
def _registered(method: Method) -> Iterator[None]:
    METHODS.import_all()
    before = METHODS.entries.get(method.name)
    METHODS.entries[method.name] = method
    try:
        yield
    finally:
        if before is None:
            METHODS.entries.pop(method.name)
        else:
            METHODS.entries[method.name] = before


def _declared(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    what, epochs = f"method {method.name}", 100
    check_hyperparameters(method, {**method.defaults, **values}, epochs)
    for name, searched in method.space.items():
        if isinstance(searched, Range):
            check_range(method, name, searched, epochs)
        elif isinstance(searched, Choices):
            for value in searched.values:
                check_hyperparameters(method, {name: value}, epochs)
    for name, choices in method.options.items():
        for value in choices.values:
            check_hyperparameters(method, {name: value}, epochs)
    missing = [name for name in (*method.space, *method.anchor) if name not in method.defaults]
    missing += ["lr_bias"] if method.bias_head and "lr_bias" not in method.defaults else []
    if missing:
        yield Finding("FAIL", what, f"it needs a default of {some_of(missing)}: add it to defaults")
        return
    check_hyperparameters(method, method.anchor, epochs)
    if method.bias_head and not method.anchor:
        yield Finding(
            "warn", what, "it has no anchor, so that no trial of its search is plain training: give anchor={NAME: 0.0}"
        )
    common = get_method("erm").defaults
    own = [name for name in method.defaults if name not in common]
    yield Finding("ok", what, f"declares {count(len(own), 'hyperparameter')} of its own and a default of each")


def _trains(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """An epoch changes f and g, its losses are finite, and parameters without any gradient are named."""
    what = f"method {method.name}"
    trainer = Trainer(toy_spec(method, {"weight_decay": 0.0, **values}), "cpu")
    before = tensors_of(**trainer.parts())
    trainer.train_epoch()
    after = tensors_of(**trainer.parts())
    learned = {
        f"{name}.{key}"
        for name, part in trainer.parts().items()
        for key, p in part.named_parameters()
        if p.requires_grad
    }
    still = sorted(name for name in learned if torch.equal(before[name], after[name]))
    unmoved = [part for part in ("f", "g") if all(name in still for name in learned if name.startswith(f"{part}."))]
    if unmoved:
        yield Finding(
            "FAIL" if len(unmoved) == 2 else "warn",
            what,
            f"no parameter of {' and '.join(unmoved)} has moved in an epoch: the step must leave gradients of the "
            "label loss in both (loss.backward())",
        )
    elif still:
        yield Finding(
            "warn", what, f"parameters that never get a gradient: {some_of(still)}: a loss may be cut off from them"
        )
    yield Finding("ok", what, "trains; losses, gradients and parameters are finite")


def _changes(method: Method, values: Mapping[str, Any]) -> set[str]:
    """Settings of the process that our own trainer changes."""
    state = take()
    trained(toy_spec(method, values), epochs=1)
    return set(changed(state))


def _left(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """An epoch leaves the process as one of ``erm`` does."""
    what, own = f"method {method.name}", _changes(get_method("erm"), {})
    names = sorted(_changes(method, values) - own)
    harmful = [name for name in names if name not in HARMLESS]
    if harmful:
        sentence = f"it changes {some_of(harmful)} of the process, on which numbers depend: set it back"
        yield Finding("FAIL", what, sentence)
    elif names:
        sentence = f"it changes {some_of(names)} of the process: set it back where it is not a library's"
        yield Finding("warn", what, sentence)
    else:
        yield Finding("ok", what, "leaves the process as it was")


def _anchored(method: Method, values: Mapping[str, Any], spatial: bool = False) -> Iterator[Finding]:
    """Under the anchor it is ``erm``: parameters, buffers and epochs."""
    if not method.anchor or method.training_draw != "biased" or method.transform is not None:
        return
    what, words = f"method {method.name}", " on bias labels of pixels" if spatial else ""
    columns = ("label_loss", "train_accuracy", "val_biased", "val_counterfactual", "val_unbiased")
    runs = [
        trained(toy_spec(get_method("erm"), {}, spatial=spatial)),
        trained(toy_spec(method, {**values, **method.anchor}, spatial=spatial)),
        trained(toy_spec(method, values, spatial=spatial)),
    ]
    plain, anchored, full = (tensors_of(f=one.nets.f, g=one.nets.g) for one in runs)
    rows = [[{name: row[name] for name in columns} for row in one.history] for one in runs]
    difference = first_difference(plain, anchored) or first_difference(rows[0], rows[1])
    anchor = ", ".join(f"{name} = {value}" for name, value in method.anchor.items())
    if difference is not None:
        yield Finding(
            "FAIL",
            what,
            f"with {anchor} it must equal erm bit for bit{words}, but after two epochs {difference.place} is "
            f"{difference.second} in place of {difference.first}: leave out a term of weight 0 instead of multiplying "
            "it, run f once, and draw nothing before it",
        )
    elif first_difference(plain, full) is None:
        yield Finding("warn", what, "with its own weights it trains as with those of the anchor: do its terms reach f?")
    else:
        sentence = f"equals erm bit for bit with {anchor}{words}, parameters and buffers after two epochs"
        yield Finding("ok", what, sentence)


def _repeats(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Two runs with one seed are equal, whatever the global random numbers are."""
    what = f"method {method.name}"
    runs = []
    for _ in range(2):
        disturb()
        runs.append(state_of(trained(toy_spec(method, values))))
    difference = first_difference(runs[0], runs[1])
    if difference is not None:
        yield Finding(
            "FAIL",
            what,
            f"two trials with the same seed differ ({_words(difference)}): draw from "
            "trainable.randomness.torch_generator(seed, ROLE), and keep nothing in global variables",
        )
        return
    yield Finding("ok", what, "trains the same twice, whatever the global random numbers are")
    if not torch.equal(_random_state(get_method("erm"), {}), _random_state(method, values)):
        yield Finding(
            "warn",
            what,
            "its step draws from torch's global random numbers, which shifts the dropout of f and g: its trials are "
            "not paired with those of erm; draw from trainable.randomness.torch_generator(seed, ROLE)",
        )


def _random_state(method: Method, values: Mapping[str, Any]) -> torch.Tensor:
    first_step(toy_spec(method, values, dropout=0.0))
    return torch.get_rng_state()


def _continues(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Six epochs at once equal three, an interruption, and three more."""
    what = f"method {method.name}"
    # Stages of its own leave no epochs to pretrain.
    for more in ({},) if method.stages else ({}, {"pretrain_epochs": 2}):
        difference = continued_difference(toy_spec(method, {**values, **more}, epochs=EPOCHS))
        if difference is not None:
            yield Finding(
                "FAIL",
                what,
                "six epochs at once and three, an interruption, three more must be the same, but "
                f"{_words(difference)}: it keeps something from step to step outside its state; give it as a tensor in "
                "tensors() of a MethodState, which stands in the checkpoint",
            )
            return
    yield Finding("ok", what, "six epochs at once equal three, an interruption, three more")


def _finishes(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """A confirm trial ends with a row, epochs and predictions that the schema knows."""
    trainer = trained(toy_spec(method, values, phase="confirm"), epochs=None)
    outcome = trainer.finish()
    to_table("trials", [outcome.row])
    to_table("history", outcome.history)
    predictions = outcome.predictions or {}
    columns = {name: list(column) for name, column in predictions.items()}
    rows = [dict(zip(columns, entry, strict=True)) for entry in zip(*columns.values(), strict=True)]
    to_table("predictions", rows)
    yield Finding("ok", f"method {method.name}", "finishes a confirm trial with a row that the schema knows")


def _takes_pixels(method: Method, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Bias labels of pixels, as coloured digits have."""
    if "bias_labels" not in method.needs:
        return
    what = f"method {method.name}"
    try:
        trained(toy_spec(method, values, spatial=True), epochs=1)
    except Exception as error:
        reason = failure(what, error)
        sentence = f"it cannot train on bias labels of pixels ({reason.sentence}), as coloured_digits has by default"
        yield Finding("warn", what, sentence, reason.where)
        return
    yield from _anchored(method, values, spatial=True)


def _words(difference: Difference) -> str:
    return f"{difference.place} is {difference.first} and {difference.second}"


_FIRST: tuple[tuple[_Check, str], ...] = ((_declared, "its declaration"), (_trains, "an epoch of training"))
_CHECKS: tuple[tuple[_Check, str], ...] = (
    (_left, "an epoch of training"),
    (adversaries.h_moves_on_the_bias_loss, "the gradients of f and h"),
    (adversaries.mutual_information, "L_MI of a head that is uniform or saturated"),
    (_anchored, "its anchor"),
    (_repeats, "two trials with one seed"),
    (_continues, "an interrupted trial"),
    (_finishes, "the end of a confirm trial"),
    (_takes_pixels, "bias labels of pixels"),
)
