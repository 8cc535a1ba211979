"""Cuts a network's graph in two after a named layer."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from trainable.errors import InputError, unknown_name
from trainable.texts import bounded, reason_of

_NAMED = 24
_FEW = 12
_LEVELS = 2


class _Tracer(fx.Tracer):
    """Tracer that looks only into the modules that hold the cut.

    All others stay whole, with their control flow and training mode.
    """

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self.opened = opened

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: dict[str, Any] | tuple[Any, ...] | None = None
    ) -> tuple[Any, list[Any]]:
        # The images alone: further arguments of a forward (a mask, say) keep their defaults, and cross no cut.
        return root_fn, [self.root, self.create_proxy("placeholder", "x", (), {})]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.opened


def cut(model: nn.Module, split_at: str) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Cut a model's graph after a module.

    ``g(f(x))`` computes what ``model(x)`` does, to the last bit.

    Args:
        model: Takes one tensor and returns one.
        split_at: Dotted name of a module that is called once.

    Returns:
        What comes before, that module included, and the rest. They share the model's modules and no parameter.

    Raises:
        InputError: No such module, more than its output crosses the cut, or the model cannot be followed there.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> f, g = cut(model, "1")
        >>> torch.equal(g(f(torch.ones(1, 2))), model(torch.ones(1, 2)))
        True
    """
    if split_at not in dict(model.named_modules()) or not split_at:
        raise unknown_name("layer in split_at", split_at, layers(model) or [name for name, _ in model.named_children()])
    parts = split_at.split(".")
    graph = _trace(model, {".".join(parts[:n]) for n in range(1, len(parts))})
    if isinstance(graph, Exception):
        raise InputError(
            f"split_at cannot be '{split_at}', since torch.fx cannot follow the model's forward to it "
            f"({bounded(reason_of(graph), 200)}): {_remedy(model)}"
        ) from graph
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == split_at]
    if len(calls) != 1 or not _divides(graph, calls[0]):
        raise InputError(
            f"split_at must be a layer whose output alone carries on, but '{split_at}' is none: {_remedy(model)}"
        )
    return _part(model, graph, None, calls[0]), _part(model, graph, calls[0], None)


def _remedy(model: nn.Module) -> str:
    known = layers(model)
    if known:
        return f"choose e.g. one of {', '.join(known)}"
    return "give the model two attributes f and g, modules for which model(x) is g(f(x)), and leave split_at out"


def layers(model: nn.Module) -> list[str]:
    """Layers after which the model can be cut, at most 24: its children and, where these are few, theirs.

    Args:
        model: The model, which takes one tensor.

    Returns:
        Their dotted names, in the order of the calls; none where torch.fx cannot follow the model's forward.

    Example:
        >>> layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
        ['0', '1']
    """
    names = _dividing(model, set())
    opened: set[str] = set()
    for _ in range(_LEVELS):
        within = {name for name in names if type(model.get_submodule(name)) is nn.Sequential} - opened
        if len(names) >= _FEW or not within:
            break
        opened |= within
        names += [name for name in _dividing(model, opened) if name not in names]
    return names[:_NAMED]


def _trace(model: nn.Module, opened: set[str]) -> fx.Graph | Exception:
    try:
        return _Tracer(opened).trace(model)
    except Exception as error:
        # The model's own code runs here, on values that are not there yet: it may raise anything.
        return error


def _dividing(model: nn.Module, opened: set[str]) -> list[str]:
    graph = _trace(model, opened)
    if isinstance(graph, Exception):
        return []
    calls = [node for node in graph.nodes if node.op == "call_module"]
    names = [str(node.target) for node in calls]
    return [str(n.target) for n in calls if names.count(str(n.target)) == 1 and _divides(graph, n)]


def _divides(graph: fx.Graph, last: fx.Node) -> bool:
    """Report whether the value of ``last`` alone reaches what comes after it, and something comes after it."""
    before: set[fx.Node] = set()
    for node in graph.nodes:
        if node is last:
            break
        before.add(node)
    passing = any(user is not last and user not in before for node in before for user in node.users)
    return not passing and last.next.op != "output"


def _part(model: nn.Module, whole: fx.Graph, first: fx.Node | None, last: fx.Node | None) -> fx.GraphModule:
    """The nodes after ``first`` (None = from the start) up to ``last`` (None = to the end) as a module."""
    nodes = list(whole.nodes)
    begin = 0 if first is None else nodes.index(first) + 1
    end = len(nodes) if last is None else nodes.index(last) + 1
    graph = fx.Graph()
    copies = {} if first is None else {first: graph.placeholder("features")}
    for node in nodes[begin:end]:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    if last is not None:
        graph.output(copies[last])
    return fx.GraphModule(model, graph)
