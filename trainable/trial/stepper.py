"""Steps of a trial: the method leaves gradients, the optimisers step, the hooks of a method with state are called."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainable.errors import InputError
from trainable.methods.base import Batch, Facts, Losses, Method, MethodState, Nets
from trainable.methods.contract.stages import Span
from trainable.methods.erm import erm
from trainable.networks.modes import evaluating, with_batch_statistics
from trainable.randomness import derive
from trainable.spec import TrialSpec
from trainable.trial.course import Course
from trainable.trial.feed import Feed
from trainable.trial.machine.device import LowPrecision
from trainable.trial.optimise import Optimiser


class Stepper:
    """Networks, method and optimisers of a trial, and the steps they take.

    Args:
        nets: f, g and h, on the device.
        method: The method.
        facts: The trial, as a method with state is told it.
        spec: The trial.
        course: Its stages.

    Attributes:
        nets: f, g and h.
        state: The method's state, or None.
        modules: The further networks of the method, by name, on the device.
        optimisers: That of f and g, that of h where there is one.
        further: Those of the modules, by name.
    """

    def __init__(self, nets: Nets, method: Method, facts: Facts, spec: TrialSpec, course: Course) -> None:
        self.nets, self.device, self._spec, self._course = nets, facts.device, spec, course
        training, hyper = spec.training, {**method.defaults, **spec.hyperparameters}
        self._hyper: Mapping[str, Any] = hyper
        self.modules: dict[str, nn.Module] = {}
        # In a fork, since a method must find the same random numbers and move none of the process.
        with torch.random.fork_rng(devices=[]):
            self._seed(derive(spec.seed, "method"))
            self._step, self.state = method.begin(facts, hyper)
            if self.state is not None:
                modules = self.state.modules()
                _check_modules(method.name, modules)
                self.modules = {name: module.to(self.device) for name, module in modules.items()}
                _check_kept(method.name, self.state)
        # Most methods look at no step, and none of them waits for an empty call.
        watched = self.state is not None and type(self.state).after_step is not MethodState.after_step
        self._after_step: Callable[[Nets, int], None] | None = self.state.after_step if watched and self.state else None

        body = [*nets.f.parameters(), *nets.g.parameters()]
        self.optimisers = [Optimiser(body, training, hyper["lr"], hyper["weight_decay"])]
        if nets.h is not None:
            self.optimisers.append(Optimiser(nets.h.parameters(), training, hyper["lr_bias"], 0.0))
        self.further = {
            name: Optimiser(module.parameters(), training, hyper["lr"], hyper["weight_decay"])
            for name, module in self.modules.items()
        }
        self._all = [*self.optimisers, *self.further.values()]
        self._seen = nets
        if training.precision == "bf16":
            low = {name: LowPrecision(part, self.device) for name, part in parts_of(nets).items()}
            self._seen = Nets(low["f"], low["g"], low.get("h"))

    @contextlib.contextmanager
    def training(self, span: Span) -> Iterator[None]:
        """Put the networks into the mode of a stage within the block."""
        parts = parts_of(self.nets)
        for module in (*parts.values(), *self.modules.values()):
            module.train()
        frozen: list[nn.Parameter] = []
        if span.stage.train == "g":
            for name in parts.keys() - {"g"}:
                parts[name].eval()
                frozen += [p for p in parts[name].parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def step(self, batch: Batch, step: int) -> Losses:
        """Take one step of the optimisers, within ``training``.

        Args:
            batch: Its images.
            step: Its number, counted from the trial's beginning: it fixes the step's draws, learning rate and ramp.

        Returns:
            Its losses.
        """
        warming = self._course.is_pretraining(step)
        # Seeded each step, so that h's draws never shift those of f and g, and nothing need be kept to resume.
        dropout = derive(self._spec.seed, "dropout")
        self._seed(dropout + step)
        for optimiser in self._all:
            optimiser.zero_grad()
        losses = (erm if warming else self._step)(self._seen, batch, self._hyper, self._course.ramp(step))
        factor = self._course.factor(step)
        for optimiser in self._all[:1] if warming else self._all:
            optimiser.step(factor)
        if self._after_step is not None:
            with torch.no_grad():
                self._after_step(self.nets, step)
        return losses

    def _seed(self, seed: int) -> None:
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def begin_epoch(self, epoch: int, feed: Feed) -> None:
        """Let the method look at the networks before an epoch."""
        if self.state is None:
            return
        known: list[Tensor] = []

        def predict() -> Tensor:
            if not known:
                known.append(logits_of(self.nets, feed))
            return known[0]

        self._seed(derive(self._spec.seed, "method", epoch))
        self.state.begin_epoch(epoch, self.nets, predict)

    def reset(self, span: Span, fresh: Callable[[str], Nets]) -> None:
        """Begin a stage: what its ``reset`` names gets fresh weights, and its optimisers begin anew.

        Args:
            span: The stage.
            fresh: Builds networks under the role of a stage, by its name.
        """
        if span.stage.reset == "nothing":
            return
        new, parts = parts_of(fresh(span.stage.name)), parts_of(self.nets)
        for name in parts if span.stage.reset == "all" else ("g",):
            parts[name].load_state_dict(new[name].state_dict())
        if span.stage.reset == "all":
            for optimiser in self.optimisers:
                optimiser.forget()
        else:
            self.optimisers[0].forget(self.nets.g.parameters())

    def judged(self) -> Nets:
        """The networks that are evaluated: those of the method's ``evaluated``, or f and g.

        Raises:
            InputError: They are not of the kind of f and g.
        """
        if self.state is None:
            return self.nets
        nets = self.state.evaluated(self.nets)
        if nets is self.nets:
            return nets
        if not isinstance(nets, Nets):
            raise InputError(
                f"evaluated of method {self._spec.method} must give networks, but it gave a {type(nets).__name__}: "
                "return nets or what facts.make_nets built"
            )
        for name, given, own in (("f", nets.f, self.nets.f), ("g", nets.g, self.nets.g)):
            shapes = [{k: t.shape for k, t in module.state_dict().items()} for module in (given, own)]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"evaluated of method {self._spec.method} must give networks with the parameters and buffers of f "
                    f"and g, but its {name} has others: build it with facts.make_nets"
                )
        return dataclasses.replace(nets, batch_statistics=self.nets.batch_statistics)

    def tensors(self) -> dict[str, Tensor]:
        """The method's tensors."""
        return {} if self.state is None else dict(self.state.tensors())


def parts_of(nets: Nets) -> dict[str, nn.Module]:
    """The networks there are, by the letters of the paper.

    Example:
        >>> list(parts_of(Nets(nn.Flatten(), nn.Linear(2, 2), None)))
        ['f', 'g']
    """
    parts = {"f": nets.f, "g": nets.g, "h": nets.h}
    return {name: part for name, part in parts.items() if part is not None}


@torch.no_grad()
def logits_of(nets: Nets, feed: Feed) -> Tensor:
    """Logits of all images of a feed, as an evaluation sees them.

    Args:
        nets: f and g.
        feed: n images.

    Returns:
        float32 ``[n, classes]`` in the order of positions, on the device.
    """
    mode = evaluating if nets.batch_statistics is None else with_batch_statistics
    size = 512 if nets.batch_statistics is None else nets.batch_statistics
    with mode(nets.f, nets.g):
        return torch.cat([nets.g(nets.f(x)).float() for x, _ in feed.sample(size=size)])


def _check_kept(method: str, state: MethodState) -> None:
    """Refuse a state that could not be read back: what ``tensors`` gives must be what the method holds."""
    first, second = state.tensors(), state.tensors()
    if not all(isinstance(one, Mapping) for one in (first, second)) or first.keys() != second.keys():
        raise InputError(
            f"tensors of method {method} must give a mapping with the same names at each call, but gave "
            f"{_named(first)} and then {_named(second)}"
        )
    for name, tensor in first.items():
        if not isinstance(tensor, Tensor):
            raise InputError(
                f"tensors of method {method} must give tensors, but '{name}' is of type {type(tensor).__name__}: keep "
                "it as torch.tensor(...)"
            )
        if tensor.numel() and tensor.data_ptr() != second[name].data_ptr():
            raise InputError(
                f"tensors of method {method} must give the tensors that it holds, since a checkpoint is read into "
                f"them, but '{name}' is a new one at each call: keep it as an attribute"
            )


def _check_modules(method: str, modules: Any) -> None:
    """Refuse what is no network, and a parameter that two optimisers would step."""
    if not isinstance(modules, Mapping) or not all(isinstance(one, nn.Module) for one in modules.values()):
        raise InputError(f"modules of method {method} must give networks by name, but gave {_named(modules)}")
    homes: dict[int, str] = {}
    for name, module in modules.items():
        for parameter in module.parameters():
            other = homes.setdefault(id(parameter), name)
            if other != name:
                raise InputError(
                    f"modules of method {method} must share no parameter, which would be trained twice a step, but "
                    f"'{other}' and '{name}' do: name one of them"
                )


def _named(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    return "{" + ", ".join(f"{name}: {type(one).__name__}" for name, one in value.items()) + "}"
