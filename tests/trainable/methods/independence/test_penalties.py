"""Penalties on the features: values by hand, and gradients against double loops written as the papers define them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.trainable.methods.waits import no_waits
from trainable.data.base import IGNORED
from trainable.methods.base import Batch, Nets, get_method
from trainable.methods.independence.dcor import dcor_of
from trainable.methods.independence.end import cosines, disentangling, entangling
from trainable.methods.independence.hsic import hsic_of
from trainable.methods.independence.matrices import centred, distances, typical_distance
from trainable.methods.independence.mmd import SCALES, mmd_of
from trainable.methods.independence.penalty import pooled
from trainable.testing import assert_passes, check_method

NAMES = ("hsic", "dcor", "mmd", "end")
Of = Callable[[Tensor, Tensor], Tensor]
OF: dict[str, Of] = {"hsic": hsic_of, "dcor": dcor_of, "mmd": mmd_of, "disentangling": disentangling}
ALL = (*OF, "entangling")
PAIR = torch.tensor([0, 0, 1, 1])


def sample(n: int = 9, channels: int = 4, values: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Features, labels and biases, one of which is missing, and one of which only one image has."""
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(n, channels, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 2, (n,), generator=generator)
    b = torch.randint(0, values, (n,), generator=generator)
    b[2], b[4] = IGNORED, values
    return z.requires_grad_(), y, b


def value(name: str, z: Tensor, y: Tensor, b: Tensor) -> Tensor:
    return entangling(z, y, b) if name == "entangling" else OF[name](z, b)


def distance(z: Tensor, i: int, j: int) -> Tensor:
    return (z[i] - z[j]).square().sum().sqrt() if i != j else z.new_zeros(())


def median(z: Tensor, known: list[int]) -> float:
    found = sorted(float(distance(z.detach(), i, j)) for i in known for j in known if i < j)
    return found[(len(found) - 1) // 2]


def naive_hsic(z: Tensor, y: Tensor, b: Tensor) -> Tensor:
    known = [i for i in range(len(b)) if b[i] != IGNORED]
    n, s = len(known), median(z, known)
    K = torch.stack([torch.stack([torch.exp(-(distance(z, i, j) ** 2) / (2 * s**2)) for j in known]) for i in known])
    L = torch.tensor([[float(b[i] == b[j]) for j in known] for i in known], dtype=z.dtype)
    H = torch.eye(n, dtype=z.dtype) - 1 / n
    return torch.trace(K @ H @ L @ H) / (n - 1) ** 2


def naive_dcor(z: Tensor, y: Tensor, b: Tensor) -> Tensor:
    known = [i for i in range(len(b)) if b[i] != IGNORED]
    n = len(known)
    a = [[distance(z, i, j) for j in known] for i in known]
    one_hot = torch.eye(int(b.max()) + 1, dtype=z.dtype)
    c = [[(one_hot[b[i]] - one_hot[b[j]]).norm() for j in known] for i in known]

    def double_centred(d: list[list[Tensor]]) -> list[list[Tensor]]:
        row = [torch.stack(d[i]).mean() for i in range(n)]
        column = [torch.stack([d[i][j] for i in range(n)]).mean() for j in range(n)]
        whole = torch.stack(row).mean()
        return [[d[i][j] - row[i] - column[j] + whole for j in range(n)] for i in range(n)]

    def mean(one: list[list[Tensor]], other: list[list[Tensor]]) -> Tensor:
        return torch.stack([one[i][j] * other[i][j] for i in range(n) for j in range(n)]).mean()

    A, B = double_centred(a), double_centred(c)
    return (mean(A, B) / (mean(A, A) * mean(B, B)).sqrt()).sqrt()


def naive_mmd(z: Tensor, y: Tensor, b: Tensor) -> Tensor:
    known = [i for i in range(len(b)) if b[i] != IGNORED]
    s = median(z, known)

    def k(i: int, j: int) -> Tensor:
        return torch.stack([torch.exp(-(distance(z, i, j) ** 2) / (2 * (c * s) ** 2)) for c in SCALES]).mean()

    def mean(left: list[int], right: list[int]) -> Tensor:
        return torch.stack([k(i, j) for i in left for j in right]).mean()

    groups = [[i for i in known if b[i] == v] for v in sorted({int(b[i]) for i in known})]
    total = z.new_zeros(())
    for u in range(len(groups)):
        for v in range(u + 1, len(groups)):
            one, other = groups[u], groups[v]
            total = total + mean(one, one) + mean(other, other) - 2 * mean(one, other)
    return total


def cosine(z: Tensor, i: int, j: int) -> Tensor:
    return torch.dot(z[i], z[j]) / (z[i].square().sum() * z[j].square().sum()).sqrt()


def naive_disentangling(z: Tensor, y: Tensor, b: Tensor) -> Tensor:
    total, M = z.new_zeros(()), 0
    for v in {int(one) for one in b if one != IGNORED}:
        pairs = [(i, j) for i in range(len(b)) for j in range(i) if b[i] == v and b[j] == v]
        M += len(pairs)
        total = total + torch.stack([z.new_zeros(()), *(cosine(z, i, j) for i, j in pairs)]).sum().abs()
    return total / M


def naive_entangling(z: Tensor, y: Tensor, b: Tensor) -> Tensor:
    n = range(len(b))
    pairs = [
        (i, j) for i in n for j in range(i) if y[i] == y[j] and b[i] != b[j] and b[i] != IGNORED and b[j] != IGNORED
    ]
    return 1 - torch.stack([(1 + cosine(z, i, j)) / 2 for i, j in pairs]).mean()


NAIVE = {
    "hsic": naive_hsic,
    "dcor": naive_dcor,
    "mmd": naive_mmd,
    "disentangling": naive_disentangling,
    "entangling": naive_entangling,
}


@pytest.mark.parametrize("name", ALL)
def test_values_and_gradients_are_those_of_the_definition(name: str) -> None:
    z, y, b = sample()
    own, naive = value(name, z, y, b), NAIVE[name](z, y, b)
    assert float(own.detach()) == pytest.approx(float(naive.detach()), rel=1e-12) and float(own.detach()) > 0.01
    gradients = [torch.autograd.grad(term, z)[0] for term in (own, naive)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-14)
    assert not gradients[0][2].any(), "an image without a bias label gets a gradient"


@pytest.mark.parametrize("name", ["dcor", "disentangling", "entangling"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    z, y, b = sample()
    assert torch.autograd.gradcheck(lambda x: value(name, x, y, b), (z,), eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("name", ["hsic", "mmd"])
def test_gradients_are_those_of_finite_differences_but_for_the_bandwidth(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, y, b = sample()
    s = typical_distance(distances(z), (b != IGNORED).double())
    monkeypatch.setattr(f"trainable.methods.independence.{name}.typical_distance", lambda D, mask: s)
    assert torch.autograd.gradcheck(lambda x: value(name, x, y, b), (z,), eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_an_image_without_a_bias_label_is_as_if_it_were_not_there(name: str) -> None:
    z, y, b = sample()
    known = b != IGNORED
    assert float(value(name, z, y, b)) == pytest.approx(float(value(name, z[known], y[known], b[known])), rel=1e-12)


def test_values_by_hand() -> None:
    apart = torch.tensor([[0.0], [0.0], [1.0], [1.0]], dtype=torch.float64)
    # K = L but for e = exp(-1/2) in place of 0: H K H = +-(1 - e) / 2, and tr(KHLH) = 8 (1 - e) / 2.
    assert float(hsic_of(apart, PAIR)) == pytest.approx(4 * (1 - math.exp(-0.5)) / 9)
    assert float(dcor_of(apart, PAIR)) == pytest.approx(1.0)
    assert float(dcor_of(1e-5 * apart, PAIR)) == pytest.approx(1.0), "dCor has no scale"
    between = sum(math.exp(-1 / (2 * c**2)) for c in SCALES) / len(SCALES)
    assert float(mmd_of(apart, PAIR)) == pytest.approx(2 - 2 * between)
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, -3.0], [1.0, 0.0]])
    b = torch.tensor([0, 0, 1, 1, 0])
    # Three pairs with cosine 1, one with -1: (|3| + |-1|) / 4.
    assert float(disentangling(z, b)) == pytest.approx(1.0)
    # Of class 0: (0, 2) with cosine 0; of class 1: (1, 3) and (4, 3), both with 0.
    assert float(entangling(z, torch.tensor([0, 1, 0, 1, 1]), b)) == pytest.approx(0.5)


def test_dcor_is_that_of_scipy_s_distances() -> None:
    from scipy.spatial.distance import cdist

    z, _, b = sample()
    b[2] = 0
    one_hot = torch.eye(4, dtype=torch.float64)[b]
    centring = torch.eye(len(b), dtype=torch.float64) - 1 / len(b)
    found = [torch.from_numpy(cdist(x.detach().numpy(), x.detach().numpy())) for x in (z, one_hot)]
    A, B = (centring @ D @ centring for D in found)
    squared = (A * B).mean() / ((A * A).mean() * (B * B).mean()) ** 0.5
    assert float(dcor_of(z, b)) == pytest.approx(float(squared**0.5))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("case", "z", "b"),
    [
        ("all features equal", torch.ones(4, 3), PAIR),
        ("all features 0", torch.zeros(4, 3), PAIR),
        ("two places", torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]), PAIR),
        (
            "most features equal",
            torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 2], [1, 0]]),
            torch.tensor([0, 0, 1, 1, 1]),
        ),
        ("one bias value", torch.tensor([[1.0, 0], [1, 2], [0, 3]]), torch.zeros(3, dtype=torch.int64)),
        ("two images", torch.tensor([[1.0, 0], [1, 2]]), torch.tensor([0, 1])),
        ("two images of one bias", torch.tensor([[1.0, 0], [1, 2]]), torch.tensor([1, 1])),
        ("one image", torch.tensor([[1.0, 0]]), torch.tensor([0])),
        ("no bias label", torch.tensor([[1.0, 0], [1, 2], [3, 4]]), torch.full((3,), IGNORED)),
        ("one bias label", torch.tensor([[1.0, 0], [1, 2], [3, 4]]), torch.tensor([IGNORED, 5, IGNORED])),
        ("tiny features", 1e-30 * torch.tensor([[1.0, 0], [1, 2], [3, 4], [1, 1]]), PAIR),
        ("huge features", 1e15 * torch.tensor([[1.0, 0], [1, 2], [3, 4], [1, 1]]), PAIR),
    ],
)
def test_saturation_is_finite(name: str, dtype: torch.dtype, case: str, z: Tensor, b: Tensor) -> None:
    z = z.to(dtype).requires_grad_()
    term = value(name, z, torch.arange(len(b)) % 2, b)
    (gradient,) = torch.autograd.grad(term, z)
    assert bool(term.isfinite()) and bool(gradient.isfinite().all()), case
    nothing = {"all features 0", "one image", "no bias label", "one bias label"}
    if name in ("hsic", "dcor", "mmd"):
        nothing |= {"all features equal", "one bias value", "two images of one bias"}
    if name == "disentangling":
        nothing |= {"two images"}
    if case in nothing and not (name == "entangling" and case == "all features 0"):
        assert float(term) == pytest.approx(0.0, abs=1e-6), case


@pytest.mark.parametrize("name", ["hsic", "dcor", "mmd"])
def test_independent_features_cost_nothing_and_dependent_ones_do(name: str) -> None:
    # Each bias value has the same features.
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).repeat(2, 1)
    b = torch.arange(12) // 6
    assert float(OF[name](z, b)) == pytest.approx(0.0, abs=1e-7)
    assert float(OF[name](z + b[:, None], b)) > 0.01


def test_matrices() -> None:
    z = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z[1] = z[0]
    D = distances(z)
    assert float(D[0, 1]) == 0 and torch.equal(D, D.T)
    mask = torch.tensor([1.0, 1, 1, 0, 1, 1], dtype=torch.float64)
    C = centred(D, mask)
    assert float(C.sum(dim=0).abs().max()) < 1e-12 and not C[3].any() and not C[:, 3].any()
    assert float(typical_distance(torch.zeros(3, 3), torch.ones(3))) == 1
    # The median of 0, 0, 0, 0, 0, 6 is 0: their mean.
    mostly = torch.zeros(4, 4)
    mostly[0, 3] = mostly[3, 0] = 6
    assert float(typical_distance(mostly, torch.ones(4))) == 1
    assert float(cosines(z)[0, 1]) == pytest.approx(1.0)


def test_features_are_pooled_over_positions_in_full_precision() -> None:
    feat = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(pooled(feat), feat.mean(dim=(2, 3)))
    assert pooled(feat[:, :, 0, 0]) is not None and torch.equal(pooled(feat[:, :, 0, 0]), feat[:, :, 0, 0])
    assert pooled(feat.bfloat16()).dtype == torch.float32


def nets() -> Nets:
    torch.manual_seed(1)
    return Nets(nn.Conv2d(3, 5, 3).double(), nn.Sequential(nn.Flatten(), nn.Linear(5 * 36, 2)).double(), None)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_leaves_the_gradient_of_the_weighted_sum(name: str) -> None:
    method = get_method(name)
    _, y, b = sample()
    x = torch.rand(9, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    second = torch.where(b == IGNORED, 0, b // 2)
    batch = Batch(x, y, torch.stack([b, second], dim=1))
    weights = {key: 1.5 + i for i, key in enumerate(method.anchor)}
    net, twin = nets(), nets()
    assert not isinstance(method.step, type)
    losses = method.step(net, batch, {**method.defaults, **weights}, 0.5)
    feat = twin.f(x)
    z = feat.mean(dim=(2, 3))
    of = {"lambda_": NAIVE.get(name, naive_hsic), "alpha": naive_disentangling, "beta": naive_entangling}
    total = nn.functional.cross_entropy(twin.g(feat), y) + sum(
        0.25 * w * of[key](z, y, c) for key, w in weights.items() for c in (b, second)
    )
    torch.autograd.backward(total)
    for own, other in ((net.f, twin.f), (net.g, twin.g)):
        for p, q in zip(own.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-12)
    assert losses.total is not None and float(losses.total) == pytest.approx(float(total))
    assert set(losses.terms) == ({"disentangling", "entangling"} if name == "end" else {name})


@pytest.mark.parametrize("name", NAMES)
def test_no_step_waits_for_the_device(name: str) -> None:
    method, net = get_method(name), nets()
    _, y, b = sample()
    batch = Batch(torch.rand(9, 3, 8, 8, dtype=torch.float64), y, b[:, None])
    assert not isinstance(method.step, type)
    with no_waits():
        method.step(net, batch, method.defaults, 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_declaration_and_check(name: str) -> None:
    method = get_method(name)
    assert method.needs == {"bias_labels"} and not method.bias_head and set(method.anchor) <= set(method.space)
    findings = check_method(name)
    assert_passes(findings)
    assert [finding.level for finding in findings] == ["ok"] * len(findings)
