"""The updates are those of torch's own optimisers, bit for bit, without the import of its compiler."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from trainable.spec import Training
from trainable.trial.optimise import Optimiser


@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_steps_equal_those_of_torch(name: str, weight_decay: float) -> None:
    def train(ours: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        mine = Optimiser(net.parameters(), Training(optimizer=name, clip_norm=None), 0.1, weight_decay)  # type: ignore[arg-type]
        theirs: torch.optim.Optimizer = (
            torch.optim.Adam(net.parameters(), 0.1, weight_decay=weight_decay, fused=True)
            if name == "adam"
            else torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=weight_decay, fused=True)
        )
        for step in range(5):
            mine.zero_grad()
            net(torch.randn(8, 5)).square().mean().backward()
            factor = 1 - step / 10
            if ours:
                mine.step(factor)
            else:
                theirs.param_groups[0]["lr"] = 0.1 * factor
                theirs.step()
        return [p.detach().clone() for p in net.parameters()]

    for a, b in zip(train(ours=True), train(ours=False), strict=True):
        assert torch.equal(a, b)


def test_clipping_equals_that_of_torch() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimiser = Optimiser([weight], Training(optimizer="sgd", clip_norm=0.5), 1.0, 0.0)
    weight.grad = torch.tensor([3.0, 4.0, 0.0])
    optimiser.step(1.0)
    other = nn.Parameter(torch.ones(3))
    other.grad = torch.tensor([3.0, 4.0, 0.0])
    nn.utils.clip_grad_norm_([other], 0.5)
    assert torch.allclose(weight.detach(), 1 - other.grad, rtol=0, atol=1e-7)


def test_parameter_without_gradient_stays() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimiser = Optimiser([used, unused], Training(), 0.1, 0.1)
    used.grad = torch.ones(2)
    optimiser.step(1.0)
    assert torch.equal(unused.detach(), torch.ones(2))
    assert not torch.equal(used.detach(), torch.ones(2))


def test_training_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch; from trainable.trial.optimise import Optimiser; from trainable.spec import Training\n"
        "w = torch.nn.Parameter(torch.ones(2)); o = Optimiser([w], Training(), .1, 0.); w.grad = torch.ones(2)\n"
        "o.step(1.0); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
