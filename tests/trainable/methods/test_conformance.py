"""Conformance: what every registered method must keep, whatever file it comes from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from store.errors import InputError
from trainable.methods.base import Method, get_method, list_methods, register_method
from trainable.methods.contract.stages import least_epochs
from trainable.methods.grayscale import luminance
from trainable.spec import TrialSpec
from trainable.testing.training import tensors_of, trained
from trainable.trial.provenance import method_checksum
from trainable.trial.trainer import Trainer

METHODS = list_methods()
ADVERSARIAL = [name for name in METHODS if get_method(name).adversarial]
ANCHORED = [name for name in METHODS if get_method(name).anchor]
MakeSpec = Callable[..., TrialSpec]


def body(trainer: Trainer) -> dict[str, Tensor]:
    return tensors_of(f=trainer.nets.f, g=trainer.nets.g)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def one_step(spec: TrialSpec) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of f and of h after the first step's backward pass."""
    trainer = Trainer(spec, "cpu")
    batch = next(iter(trainer.feed.batches(0)))
    torch.default_generator.manual_seed(0)
    trainer.method.step(trainer.nets, batch, trainer.hyper, 1.0)
    assert trainer.nets.h is not None
    return [
        [p.grad.clone() for p in part.parameters() if p.grad is not None] for part in (trainer.nets.f, trainer.nets.h)
    ]  # type: ignore[return-value]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_methods_of_the_reference_are_there() -> None:
    assert {"erm", "ceiling", "uncoloured", "grayscale", "grl", "lnl", "blind_eye", "permuted_bias"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_declaration(name: str) -> None:
    method: Method = get_method(name)
    assert set(method.space) <= set(method.defaults)
    assert set(method.anchor) <= set(method.defaults)
    assert all(value == 0 for value in method.anchor.values())
    assert {"lr", "weight_decay", "pretrain_epochs"} <= set(method.defaults)
    assert ("lr_bias" in method.space) == method.adversarial
    assert bool(method.anchor) or not method.adversarial
    assert method.long_name and method.reference
    assert method.space["lr"] == get_method("erm").space["lr"]


@pytest.mark.parametrize("name", METHODS)
def test_trains_and_changes_f_and_g(name: str, tiny: MakeSpec) -> None:
    method = get_method(name)
    spec = tiny(name, epochs=least_epochs(method.stages, method.defaults), phase="confirm")
    trainer = Trainer(spec, "cpu")
    before = body(trainer)
    row = trainer.train_epoch()
    after = body(trainer)
    assert all(not torch.equal(before[k], after[k]) for k in ("f.0.weight", "g.1.weight"))
    assert (row["bias_loss"] is not None) == get_method(name).adversarial


@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("name", ANCHORED)
def test_anchor_is_exactly_erm(name: str, spatial: bool, tiny: MakeSpec) -> None:
    options = {"dataset_options": {"spatial": spatial}, "epochs": 2}
    plain = trained(tiny("erm", **options))
    method = get_method(name)
    anchor = trained(tiny(name, hyperparameters=dict(method.anchor), **options))
    assert same(body(plain), body(anchor))
    full = trained(tiny(name, **options))
    assert not same(body(plain), body(full))
    columns = ("label_loss", "train_accuracy", "val_biased", "val_counterfactual", "val_unbiased")
    assert [[row[c] for c in columns] for row in plain.history] == [[row[c] for c in columns] for row in anchor.history]


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_h_moves_on_the_bias_loss_alone_and_f_on_every_term(name: str, tiny: MakeSpec) -> None:
    method = get_method(name)
    f_erm, h_alone = one_step(tiny(name, hyperparameters=dict(method.anchor)))
    assert any(float(g.abs().max()) > 0 for g in h_alone)
    for weight in method.anchor:
        f, h = one_step(tiny(name, hyperparameters={**method.anchor, weight: 2.0}))
        assert equal(h, h_alone), f"h moved on the term of {weight}"
        assert not equal(f, f_erm), f"f did not move on the term of {weight}"


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_pretraining_is_erm_and_leaves_h_alone(name: str, tiny: MakeSpec) -> None:
    trainer = Trainer(tiny(name, epochs=2, ramp=0.0, hyperparameters={"pretrain_epochs": 1}), "cpu")
    plain = Trainer(tiny("erm", epochs=2), "cpu")
    assert trainer.nets.h is not None
    before = {key: t.clone() for key, t in trainer.nets.h.state_dict().items()}
    row = trainer.train_epoch()
    plain.train_epoch()
    assert same(body(trainer), body(plain))
    assert same(before, dict(trainer.nets.h.state_dict()))
    assert row["bias_loss"] is None and row["mi_loss"] is None
    assert row["lambda_"] in (None, 0.0)
    trainer.train_epoch()
    plain.train_epoch()
    assert not same(body(trainer), body(plain))
    assert trainer.history[-1]["bias_loss"] is not None


def test_permuted_labels_differ_and_are_a_permutation(tiny: MakeSpec) -> None:
    own, shuffled = Trainer(tiny("lnl"), "cpu"), Trainer(tiny("permuted_bias"), "cpu")
    a, b = own.feed._b, shuffled.feed._b
    assert a is not None and b is not None and not torch.equal(a, b)
    assert torch.equal(a.flatten(1).long().sum(1).sort().values, b.flatten(1).long().sum(1).sort().values)
    for trainer in (own, shuffled):
        trainer.train_epoch()
    assert not same(body(own), body(shuffled))


def test_training_draws(tiny: MakeSpec) -> None:
    biased, ceiling, clean = (Trainer(tiny(name), "cpu").feed._pixels for name in ("erm", "ceiling", "uncoloured"))
    assert not torch.equal(biased, ceiling) and not torch.equal(biased, clean) and not torch.equal(ceiling, clean)


def test_grayscale_has_three_equal_channels_in_training_and_evaluation(tiny: MakeSpec) -> None:
    grey = luminance(torch.rand(2, 3, 4, 4))
    assert torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 0], grey[:, 2])
    assert torch.allclose(luminance(torch.ones(1, 3, 1, 1)), torch.ones(1, 3, 1, 1))
    trainer = Trainer(tiny("grayscale"), "cpu")
    x = next(iter(trainer.feed.batches(0))).x
    assert torch.equal(x[:, 0], x[:, 2])


def test_checksums_tell_methods_apart() -> None:
    assert len({method_checksum(get_method(name)) for name in METHODS}) == len(METHODS)


def test_bad_registrations() -> None:
    with pytest.raises(InputError, match="did you mean 'lnl'"):
        get_method("lnk")
    with pytest.raises(InputError, match="default of alpha"):
        register_method("x", long_name="X", reference="none", space={"alpha": get_method("lnl").space["mu"]})(
            get_method("erm").step
        )
    assert "x" not in list_methods()
