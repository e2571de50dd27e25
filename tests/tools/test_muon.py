# SPDX-License-Identifier: LGPL-2.1-or-later
"""The optimiser of convolutions, against its definition by singular values."""
from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import muon  # noqa: E402

SHAPES = (16, 8, 3, 3), (8, 40, 1, 1), (48, 4, 3, 3), (3, 3), (1, 12)


def nearest(value: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrix, by singular values."""
    u, _, v = torch.linalg.svd(value.flatten(1), full_matrices=False)
    return (u @ v).reshape(value.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal(shape: tuple[int, ...]) -> None:
    """Singular values near 1, of the same directions, whatever the scale of the values."""
    torch.manual_seed(5)
    value = torch.randn(shape)
    for scale in (1.0, 1e-6, 1e4):
        found = muon.orthogonal(value * scale)
        assert found.shape == value.shape
        sizes = torch.linalg.svdvals(found.flatten(1))
        assert 0.6 < sizes.min() and sizes.max() < 1.3, sizes
        likeness = torch.nn.functional.cosine_similarity(found.flatten(), nearest(value).flatten(), dim=0)
        assert likeness > 0.97


def test_nothing_from_nothing() -> None:
    assert not muon.orthogonal(torch.zeros(4, 3, 3, 3)).any()


def test_channels_last() -> None:
    """The order in memory does not matter."""
    value = torch.randn(8, 6, 3, 3)
    assert torch.allclose(muon.orthogonal(value.contiguous(memory_format=torch.channels_last)), muon.orthogonal(value),
                          atol=1e-4)


@pytest.mark.parametrize("shape,size", [((8, 16, 3, 3), 1.0), ((36, 4), 3.0)])
def test_steps(shape: tuple[int, ...], size: float) -> None:
    """Nesterov's momentum; the size of a step is that of the rate, more where there are more outputs than inputs."""
    torch.manual_seed(6)
    param = torch.nn.Parameter(torch.zeros(shape))
    unused = torch.nn.Parameter(torch.ones(3, 3))
    optimiser, mean = muon.Muon([param, unused], lr=0.1, momentum=0.8), torch.zeros(shape)
    for _ in range(3):
        before = param.detach().clone()
        param.grad = torch.randn(shape)
        mean = 0.8 * mean + 0.2 * param.grad
        optimiser.step()
        wanted = -0.1 * size * nearest(0.2 * param.grad + 0.8 * mean)
        change = param.detach() - before
        assert torch.nn.functional.cosine_similarity(change.flatten(), wanted.flatten(), dim=0) > 0.97
        assert change.norm() == pytest.approx(wanted.norm().item(), rel=0.3)
    assert torch.equal(unused, torch.ones(3, 3))


def test_rate_may_be_a_tensor() -> None:
    torch.manual_seed(7)
    start, grad = torch.randn(4, 9), torch.randn(4, 9)
    results = []
    for rate in (0.05, torch.tensor(0.05)):
        param = torch.nn.Parameter(start.clone())
        param.grad = grad
        muon.Muon([param], lr=rate).step()
        results.append(param.detach())
    assert torch.allclose(*results)
