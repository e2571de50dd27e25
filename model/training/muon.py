# SPDX-License-Identifier: LGPL-2.1-or-later
"""Muon (Jordan et al., 2024): momentum whose step is made orthogonal, for the weights of convolutions.

The momentum of a weight, as a matrix of outputs by inputs times taps, is replaced by the nearest matrix whose singular
values are all about 1, so that directions the gradient hardly shows are learnt as fast as those it shows most. The
iteration is the quintic Newton-Schulz of the authors; it needs only products. https://kellerjordan.github.io/posts/muon

PyTorch has a Muon of its own since 2.9, for matrices only: it refuses weights of convolutions.
"""
from __future__ import annotations

from typing import Any, Callable, Iterable, Optional

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # the authors': singular values come within 0.7 to 1.2 in five steps
STEPS = 5
TINY = 1e-12


def orthogonal(value: Tensor) -> Tensor:
    """A tensor of the same shape and kind, outputs first, with singular values near 1."""
    a, b, c = COEFFICIENTS
    matrix = value.flatten(1)
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + TINY)
    for _ in range(STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).reshape(value.shape)


class Muon(torch.optim.Optimizer):
    """With Nesterov's momentum. `lr` is the size of a step in the spectral norm; it may be a tensor, so that a recorded
    step reads it anew."""

    def __init__(self, params: Iterable[Any], lr: Any = 0.01, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], Any]] = None) -> None:
        if closure is not None:
            raise ValueError("Muon: a closure is of no use")
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(param)
                mean = state["momentum"]
                mean.lerp_(param.grad, 1 - group["momentum"])
                change = orthogonal(torch.lerp(param.grad, mean, group["momentum"]))
                outputs, inputs = param.shape[0], param[0].numel()
                param.sub_(change * (group["lr"] * max(1.0, outputs / inputs) ** 0.5))
