"""Weights of a file, found inside it, freed of a prefix and fitted to a model, for every network alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from store.local import expanded, is_file
from trainable.errors import InputError
from trainable.texts import bounded, reason_of

_KNOWN = (
    *("state_dict", "model_state_dict", "model", "_orig_mod", "module", "net", "network", "backbone", "encoder"),
    *("params", "weights", "teacher", "ema", "model_ema", "ema_model", "state_dict_ema", "student"),
)
"""Entries and prefixes that training loops add, the one that is preferred where several fit first."""
_DEPTH = 3
"""Mappings within each other that are looked into."""
_FEW = 3
_LONGEST = 80


@dataclass(frozen=True)
class Wanted:
    """Weights that a network begins with, for a model of it.

    Attributes:
        file: The file, for messages.
        network: Name of the network, for messages.
        content: What ``read_weights`` read.
        last: Dotted name of the model's last layer, whose outputs may be other classes.
        grey: Name of a convolution's weight that is summed over the colours where the model sees grey images, or None.
        renamed: Present name of a tensor that the file may have under an earlier one.
    """

    file: str
    network: str
    content: Mapping[str, Any]
    last: str
    grey: str | None = None
    renamed: Callable[[str], str] = str


@dataclass(frozen=True)
class Fit:
    """Tensors of a file under the names of a model.

    Attributes:
        tensors: What the model takes.
        entry: Where in the file they stand, e.g. ``state_dict``; "" = they are the file itself.
        prefix: What was cut off the file's names, e.g. ``module.``.
        added: What was put before them, e.g. ``backbone.``.
        needed: Names of the model's that the file must have.
        missing: Those that it does not have.
        misfits: Those that it has in another shape, with both.
        unused: The file's names that the model does not have.
    """

    tensors: Mapping[str, Tensor]
    entry: str
    prefix: str
    added: str
    needed: int
    missing: tuple[str, ...]
    misfits: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """True where nothing but the last layer is missing."""
        return not self.missing and not self.misfits

    @property
    def score(self) -> int:
        """Number of the needed tensors that fit."""
        return self.needed - len(self.missing) - len(self.misfits)


def read_weights(network: str, weights: str | Path) -> Mapping[str, Any]:
    """Read a file of weights without running any code in it.

    Args:
        network: Name of the network, for messages.
        weights: Path of a ``.safetensors`` file or of what ``torch.save`` wrote.

    Returns:
        Tensors, and mappings of them, by name.

    Raises:
        InputError: There is no such file, it cannot be read or holds no mapping.

    Example:
        >>> read_weights("resnet18", "no/such/file.pt")
        Traceback (most recent call last):
            ...
        store.errors.InputError: network.weights must be the path of a state dict, but got 'no/such/file.pt', ...
    """
    path = expanded(weights)
    if not is_file(path):
        raise InputError(
            f"network.weights must be the path of a state dict, but got '{bounded(str(weights), 200)}', which is no "
            "file: give one, or leave weights out"
        )
    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            content: Any = safetensors.torch.load_file(path)
        else:
            # weights_only: a file from somebody else must not run code.
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise InputError(
                f"{path} cannot be read without running code that it brings ({_short_reason(error)}): where you trust "
                "it, load it once and save its state_dict() alone with torch.save or safetensors"
            ) from error
        raise InputError(
            f"{path} must be a state dict of {network}, but cannot be read ({_short_reason(error)}): save one with "
            "torch.save"
        ) from error
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise InputError(f"{path} must hold a state dict, but holds a {kind}: save model.state_dict()")
    return content


def _short_reason(error: Exception) -> str:
    # torch's messages are pages of advice; the global that was refused stands in them.
    named = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
    return f"it holds a {named[1]}" if named else bounded(reason_of(error).partition(". ")[0], 200)


def fit(model: nn.Module, wanted: Wanted) -> Fit:
    """Find the tensors of a file that are a model's, in whatever entry and under whatever prefix they stand.

    Args:
        model: The model, which is left as it is.
        wanted: The weights.

    Returns:
        What fits: everything except the last layer.

    Raises:
        InputError: Something else is missing, has another shape or is not finite; or weights of several networks fit.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
        >>> saved = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
        >>> found = fit(model, Wanted("net.pt", "net", {"state_dict": saved, "epoch": 3}, last="1"))
        >>> found.entry, found.prefix, found.unused
        ('state_dict', 'module.', ())
    """
    every = [one for entry, tensors in _states(wanted.content) for one in _fits_of(model, wanted, entry, tensors)]
    if not every:
        raise InputError(f"{wanted.file} must hold a state dict of {wanted.network}, but holds no tensor: give another")
    whole = sorted((one for one in every if one.fits), key=_rank)
    if not whole:
        raise InputError(_unfitting(max(every, key=lambda one: (one.score, -len(one.prefix))), wanted))
    best = whole[0]
    if len(whole) > 1 and _rank(whole[1]) == _rank(best):
        places = " and ".join(f"'{bounded(_place(one), _LONGEST)}'" for one in whole[:2])
        raise InputError(
            f"{wanted.file} holds weights of {wanted.network} several times, under {places}: save those alone that are "
            "meant"
        )
    for name, value in best.tensors.items():
        if not value.isfinite().all():
            raise InputError(f"the weights of network {wanted.network} must be finite, but {name} is not: give others")
    return best


def load_weights(model: nn.Module, wanted: Wanted) -> Fit:
    """Put the weights of a file into a model.

    Its last layer keeps its own where it has other outputs.

    Args:
        model: The model.
        wanted: The weights.

    Returns:
        What was found where.

    Raises:
        InputError: They do not fit.

    Example:
        >>> model, other = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> _ = load_weights(model, Wanted("net.pt", "net", other.state_dict(), last=""))
        >>> torch.equal(model.weight, other.weight)
        True
    """
    found = fit(model, wanted)
    model.load_state_dict(dict(found.tensors), strict=False)
    return found


def remarks(found: Fit, file: str) -> list[str]:
    """Sentences on what of a file was used and what was not, for ``lnl-sweep check``.

    Args:
        found: What was found.
        file: The file.

    Example:
        >>> remarks(Fit({}, "model", "", "", 0, (), (), ("decoder.weight",)), "net.pt")
        ["the weights are those of 'model' in net.pt", '1 tensor of net.pt is not used (decoder.weight)']
    """
    said = [f"the weights are those of '{bounded(_place(found), _LONGEST)}' in {file}"] if _place(found) else []
    if found.unused:
        count = "1 tensor of" if len(found.unused) == 1 else f"{len(found.unused)} tensors of"
        said.append(f"{count} {file} {'is' if len(found.unused) == 1 else 'are'} not used ({_some(found.unused)})")
    return said


def _states(content: Mapping[Any, Any], entry: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping of a file that holds tensors, with its dotted place.

    Other entries than tensors (an epoch, say) are nobody's weights.
    """
    named = {name: value for name, value in content.items() if isinstance(name, str)}
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield entry, tensors
    for name, value in named.items():
        if isinstance(value, Mapping) and depth < _DEPTH:
            yield from _states(value, f"{entry}.{name}" if entry else name, depth + 1)


def _fits_of(model: nn.Module, wanted: Wanted, entry: str, tensors: Mapping[str, Tensor]) -> Iterator[Fit]:
    """The tensors under each prefix that their names have or lack."""
    expected = model.state_dict()
    needed = [
        name
        for name in expected
        if not (wanted.last and name.startswith(f"{wanted.last}.")) and not name.endswith("num_batches_tracked")
    ]
    renamed = {wanted.renamed(name): value for name, value in tensors.items()}
    for prefix in ("", *_prefixes(renamed)):
        cut = {name.removeprefix(prefix): value for name, value in renamed.items() if name.startswith(prefix)}
        for added in ("", *_shared_prefixes(needed)):
            named = {f"{added}{name}": value for name, value in cut.items()}
            taken = {name: _adapted(named[name], name, expected, wanted) for name in expected if name in named}
            fitting = {name: value for name, value in taken.items() if _has_form(value, expected[name])}
            yield Fit(
                fitting,
                entry,
                prefix,
                added,
                len(needed),
                tuple(name for name in needed if name not in taken),
                tuple(_forms(name, taken[name], expected[name]) for name in needed if name in taken.keys() - fitting),
                tuple(name for name in renamed if not _is_used(name, prefix, added, expected)),
            )


def _is_used(name: str, prefix: str, added: str, expected: Mapping[str, Tensor]) -> bool:
    return name.startswith(prefix) and f"{added}{name.removeprefix(prefix)}" in expected


def _prefixes(names: Mapping[str, Tensor]) -> list[str]:
    return list(dict.fromkeys(name[: match.end()] for name in names for match in re.finditer(r"\.", name)))


def _shared_prefixes(needed: Sequence[str]) -> list[str]:
    """Prefixes that all names have: only these can be lacking in a file that has everything."""
    if not needed:
        return []
    first = needed[0]
    every = [first[: match.end()] for match in re.finditer(r"\.", first)]
    return [prefix for prefix in every if all(name.startswith(prefix) for name in needed)]


def _adapted(value: Tensor, name: str, expected: Mapping[str, Tensor], wanted: Wanted) -> Tensor:
    form = expected[name].shape
    if name == wanted.grey and value.dim() == 4 and value.shape[1] == 3 and form[1] == 1:
        # On three equal channels the sum computes what the three did.
        return value.sum(dim=1, keepdim=True)
    return value


def _has_form(value: Tensor, expected: Tensor) -> bool:
    # A complex tensor would lose its imaginary part without a word, and a sparse one cannot be copied.
    return value.shape == expected.shape and value.layout == expected.layout and not value.is_complex()


def _forms(name: str, value: Tensor, expected: Tensor) -> str:
    kind = f" {value.dtype}" if value.is_complex() else "" if value.layout == expected.layout else " sparse"
    return f"{name} {list(value.shape)}{kind} instead of {list(expected.shape)}"


def _place(found: Fit) -> str:
    return ".".join(part.strip(".") for part in (found.entry, found.prefix) if part)


def _rank(found: Fit) -> tuple[int, ...]:
    """Order of preference: what a file has at its top first, then the usual names."""
    parts = [part for part in _place(found).split(".") if part]
    known = [_KNOWN.index(part) if part in _KNOWN else len(_KNOWN) for part in parts]
    return (max(known, default=-1), len(parts), *known, len(found.added))


def _unfitting(best: Fit, wanted: Wanted) -> str:
    facts = []
    if best.missing:
        facts.append(f"{len(best.missing)} are missing ({_some(best.missing)})")
    if best.misfits:
        facts.append(f"{len(best.misfits)} have another shape ({_some(best.misfits)})")
    if best.unused:
        facts.append(f"{len(best.unused)} of the file are left over ({_some(best.unused)})")
    place = _place(best)
    after = f", after the prefix '{bounded(place, _LONGEST)}'" if place and best.score else ""
    return (
        f"the weights in {wanted.file} do not fit network {wanted.network} ({best.score} of {best.needed} tensors "
        f"fit{after}): {', '.join(facts)}; give weights of this very network, in which the last layer alone may differ"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(bounded(name, _LONGEST) for name in names[:_FEW])
    return f"{shown} and {len(names) - _FEW} more" if len(names) > _FEW else shown
