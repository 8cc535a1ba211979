"""Networks of a user's own: what can be cut how, and the sentence where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from store.errors import InputError
from trainable.api import load_model, make_spec, train
from trainable.data.base import load_dataset
from trainable.networks.base import DataShape
from trainable.networks.build import build_nets, network_remarks
from trainable.networks.front import Front
from trainable.networks.modes import evaluating
from trainable.plugins import load_plugins, read_plugin
from trainable.trial.outcome import model_bytes
from trainable.trial.trainer import Trainer

BY_IMAGE = DataShape.of(load_dataset("coloured_digits", bias_label="image"))
SOURCE = """
import torch
from torch import nn
from torch.nn import functional as F


class XNet(nn.Module):
    def __init__(self, num_classes, width=8, channels=3):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()) for _ in range(4)
        ))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Parts(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.f = nn.Conv2d(3, 4, 3)
        self.g = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


class Swapped(Parts):
    def forward(self, x):
        return self.g(self.f(x)) + 1


class Branching(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x):
        z = self.conv(x)
        if z.mean() > 0:
            z = z * 2
        return self.fc(z.mean((2, 3)))


class Named(Branching):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.features = nn.Conv2d(3, 4, 3)
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

    def forward(self, x):
        z = self.features(x)
        if z.mean() > 100:
            z = z * 2
        return self.classifier(z)


class Around(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.a, self.flat = nn.Conv2d(3, 3, 3, padding=1), num_classes

    def forward(self, x):
        return (x + self.a(x)).mean((2, 3)).repeat(1, 4)[:, : self.flat]


class Inner(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.inside, self.fc = nn.Sequential(Branching(6), nn.ReLU()), nn.Linear(6, num_classes)

    def forward(self, x):
        return self.fc(self.inside(x))


class Auxiliary(XNet):
    def forward(self, x):
        y = super().forward(x)
        return (y, y) if self.training else y


class Pair(XNet):
    def forward(self, x):
        return super().forward(x), x


class Dropping(XNet):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5, self.training)


class Fixed(XNet):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.head = nn.Linear(8 * 32 * 32, num_classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).flatten(1))


def sequential(num_classes, hidden=6):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 14 * 14, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))


class Lazy(XNet):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.head = nn.LazyLinear(num_classes)


def one_output(num_classes):
    return sequential(1)


def broken(num_classes):
    return 1 / 0


def nothing(num_classes):
    return None


NUMBER = 3
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "own_nets.py"
    file.write_text(SOURCE)
    load_plugins([read_plugin("own_nets.py", tmp_path)])
    yield tmp_path


def build(name: str, head: bool = False, **options: Any) -> Any:
    return build_nets("module", {"make": f"own_nets.py:{name}", **options}, BY_IMAGE, 0, head)


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("XNet", {"split_at": "blocks.1"}, (8, 14, 14)),
        ("XNet", {"split_at": "blocks", "args": {"width": 6}, "image_size": 20}, (6, 20, 20)),
        ("Parts", {}, (4, 12, 12)),
        ("Named", {}, (4, 12, 12)),
        ("sequential", {"split_at": "1"}, (6,)),
        ("Fixed", {"split_at": "blocks.0", "image_size": 32}, (8, 32, 32)),
    ],
)
def test_a_module_is_cut_in_two(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    nets = build(name, head=True, **options)
    x = torch.rand(3, 3, 14, 14)
    z = nets.f(x)
    assert tuple(z.shape[1:]) == shape and nets.g(z).shape == (3, 10)
    assert nets.h(z, None).shape == (3, 3, 8)
    again = build(name, **options)
    assert all(torch.equal(a, b) for a, b in zip(nets.g.parameters(), again.g.parameters(), strict=True))


def test_a_layer_that_learns_its_shape_is_trained_from_the_same_weights() -> None:
    nets, again = (build("Lazy", split_at="blocks.1") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(nets.g.parameters(), again.g.parameters(), strict=True))
    nets.g(nets.f(torch.rand(3, 3, 14, 14))).sum().backward()
    assert all(parameter.grad is not None for part in (nets.f, nets.g) for parameter in part.parameters())


def test_building_moves_no_random_number_of_the_process_and_no_average() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    nets = build("XNet", split_at="blocks.1", head=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    tracked = [b for name, b in nets.f.named_buffers() if name.endswith("num_batches_tracked")]
    assert tracked and all(int(b) == 0 for b in tracked)


def test_an_installed_module_serves_too() -> None:
    options = {"make": "torchvision.ops.misc:MLP", "args": {"hidden_channels": [4]}}
    with pytest.raises(InputError, match=r"needs split_at|cannot work with images"):
        build_nets("module", options, BY_IMAGE, 0, False)


def test_a_model_of_one_channel_sees_the_mean_of_the_colours() -> None:
    nets = build("XNet", split_at="stem", channels=1, normalise={"mean": [0.5], "std": [0.25]}, args={"channels": 1})
    front = nets.f[0]
    assert isinstance(front, Front)
    x = torch.rand(2, 3, 14, 14)
    assert torch.allclose(front(x), (x.mean(dim=1, keepdim=True) - 0.5) / 0.25)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("XNet", {}, "needs split_at, .* one of stem, blocks, "),
        ("XNet", {"split_at": "block.1"}, "did you mean 'blocks.1'"),
        ("XNet", {"split_at": "head"}, "output alone carries on"),
        ("Xnet", {"split_at": "stem"}, "did you mean 'XNet'"),
        ("XNet", {"split_at": "stem", "args": {"wdith": 3}}, r"unexpected keyword argument 'wdith'.*width=8"),
        ("XNet", {"split_at": "stem", "args": [3]}, "must be a mapping"),
        ("XNet", {"split_at": "stem", "channels": 1}, r"channels .*set network.image_size.*network.channels \(3\)"),
        ("XNet", {"split_at": "stem", "channels": 2}, "must be 3, or 1"),
        ("XNet", {"split_at": "stem", "normalise": "imagnet"}, "did you mean 'imagenet'"),
        ("XNet", {"split_at": "stem", "normalise": {"mean": [0.5], "std": [1]}}, "a list of 3 finite numbers"),
        ("XNet", {"split_at": "stem", "normalise": {"mean": [0, 0, 0], "std": [1, 1, 0]}}, "above 0"),
        ("Fixed", {"split_at": "stem"}, "cannot work with images of 14 pixels and 3 channels"),
        ("Branching", {"split_at": "conv"}, "torch.fx cannot follow .* two attributes f and g"),
        ("Branching", {}, "cannot be cut in two"),
        ("Around", {"split_at": "a"}, "'a' is none: give the model two attributes f and g"),
        ("Inner", {"split_at": "inside.0.conv"}, "torch.fx cannot follow .* choose e.g. one of inside"),
        ("Swapped", {}, "compute something else than the whole"),
        ("Auxiliary", {"split_at": "stem"}, "returns a tuple"),
        ("Pair", {"split_at": "stem"}, "returns a tuple"),
        ("Dropping", {"split_at": "stem"}, "nn.Dropout instead of functional.dropout"),
        ("one_output", {"split_at": "1"}, r"here \[2, 10\], but returns \[2, 1\]"),
        ("broken", {}, r"cannot make its module \(ZeroDivisionError.*own_nets.py:\d+"),
        ("nothing", {}, "must return a torch.nn.Module, but returned a NoneType"),
        ("NUMBER", {}, "must be a class or a function"),
    ],
)
def test_one_sentence_for_what_cannot_be_used(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        build(name, **options)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 900


def test_weights_that_were_left_over_are_told(nets: Path) -> None:
    model = build("XNet", split_at="stem")
    whole = {f"module.{n.partition('.')[2]}": t for n, t in model.f.state_dict().items() if n.startswith("1.")}
    whole |= {f"module.{name}": tensor for name, tensor in model.g.state_dict().items()}
    torch.save({"state_dict": {**whole, "module.aux.weight": torch.ones(2)}, "epoch": 4}, nets / "x.pt")
    options = {"make": "own_nets.py:XNet", "split_at": "blocks.1", "weights": str(nets / "x.pt")}
    begun = build_nets("module", options, BY_IMAGE, 7, False)
    assert torch.equal(begun.f[1].stem.weight, model.f[1].stem.weight)
    assert torch.equal(begun.f[0].mean, torch.zeros(1, 3, 1, 1))
    told = network_remarks("module", options, BY_IMAGE)
    assert len(told) == 2 and "'state_dict.module' in" in told[0] and told[1].endswith("not used (module.aux.weight)")


@pytest.mark.parametrize("frozen", [None, ["stem", "blocks.0"]])
def test_a_trial_of_it_is_trained_resumed_and_read_back(nets: Path, frozen: Any) -> None:
    options = {"make": "own_nets.py:XNet", "split_at": "blocks.1", "freeze": frozen, "normalise": "imagenet"}
    spec = make_spec(
        "coloured_digits", method="lnl", color_variance=0.1, network="module", network_options=options,
        dataset_options={"bias_label": "image"}, epochs=2, batch_size=512, keep_model=True,
    )  # fmt: skip
    whole, first, second = Trainer(spec), Trainer(spec), Trainer(spec)
    before = {name: value.clone() for name, value in whole.nets.f.state_dict().items()}
    for _ in range(2):
        whole.train_epoch()
    first.train_epoch()
    second.load_state(first.state())
    second.train_epoch()
    after = whole.nets.f.state_dict()
    assert all(torch.equal(after[name], value) for name, value in second.nets.f.state_dict().items())
    still = {
        name.split(".")[1]
        for name, value in after.items()
        if name.startswith("1.") and torch.equal(value, before[name])
    }
    assert ("stem" in still) == (frozen is not None)
    if frozen:
        assert all(torch.equal(after[name], before[name]) for name in after if ".blocks.0." in name)
    file = nets / "kept.safetensors"
    file.write_bytes(model_bytes(whole, whole.nets))
    model = load_model(file)
    x = torch.rand(2, 3, 14, 14)
    with evaluating(whole.nets.f, whole.nets.g), torch.inference_mode():
        assert torch.equal(model(x), whole.nets.g(whole.nets.f(x)))


def test_train_takes_it() -> None:
    run = train(
        "coloured_digits", color_variance=0.1, epochs=1, phase="search", network="module",
        network_options={"make": "own_nets.py:Parts"},
    )  # fmt: skip
    assert run.row["network"] == "module" and run.row["status"] == "completed"
