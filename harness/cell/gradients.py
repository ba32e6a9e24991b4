"""What is done with all gradients of a step: their norms are looked at, and they are clipped.

On a GPU that has little else to do, every operation costs the host's time for its launch, whatever its size; there are
about nine hundred parameters. On a CPU it is memory that costs. Each kind of device is treated as suits it, and every
version of torch alike: `torch._foreach_norm` is not in 1.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor, nn

WIDTH = 1024
"""Numbers in a row of `Rows`. Half a row is lost for each parameter on average."""


class Gradients:
    """The gradients of some parameters on one device. What has no gradient stays without."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.rows: Optional[Rows] = Rows(self.parameters) if self.parameters[0].is_cuda else None

    def norms(self) -> Tensor:
        """The 2-norm of every parameter's gradient, (parameters,), on the device; a parameter without a gradient
        has 0."""
        gradients = [parameter.grad for parameter in self.parameters]
        return norms_one_by_one(gradients) if self.rows is None else self.rows.norms(gradients)

    @torch.no_grad()
    def clip(self, norm: float, limit: float) -> None:
        """Scale all gradients, whose joint 2-norm is `norm`, so that it is at most `limit`."""
        factor = limit / (norm + 1e-6)
        if factor < 1:
            torch._foreach_mul_([one.grad for one in self.parameters if one.grad is not None], factor)


def norms_one_by_one(gradients: Sequence[Optional[Tensor]]) -> Tensor:
    """The norms of gradients, each read where it lies: on a CPU faster than to lay them side by side first.

    By a scalar product: the 2-norm of torch 1.10 takes a CPU four times as long, and is off by up to 8e-5 where later
    ones are off by 3e-6. How fast and how exact we look at gradients should not be a difference between versions.
    """
    return torch.stack([torch.zeros(()) if one is None else square_of(one) for one in gradients]).sqrt()


def square_of(gradient: Tensor) -> Tensor:
    """The sum of its squares, 0-d."""
    flat = gradient.detach().reshape(-1)
    return torch.dot(flat, flat)


class Rows:
    """Room for the gradients of all parameters side by side, each from the start of a row on, so that their norms take
    some twenty launches.

    A norm is that of the norms of its rows. Every sum is over at most `WIDTH` numbers or over the rows of a parameter
    and always in the same order: no running total from which small gradients would have to be told by a difference,
    and no atomic additions, which round otherwise every time.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        counts = [-(-one.numel() // WIDTH) for one in parameters]
        self.block = parameters[0].detach().new_zeros((sum(counts) + 1, WIDTH))
        """The last row stays 0."""
        device = self.block.device
        self.places = torch.full((len(counts), max(counts)), sum(counts), dtype=torch.int64, device=device)
        """By parameter the rows that are its own, filled up with the last row: (parameters, most rows)."""
        self.views: list[Tensor] = []
        start = 0
        for number, (parameter, count) in enumerate(zip(parameters, counts)):
            self.places[number, :count] = torch.arange(start, start + count, device=device)
            part = self.block[start : start + count].view(-1)
            self.views.append(part[: parameter.numel()].view(parameter.shape))
            start += count

    @torch.no_grad()
    def norms(self, gradients: Sequence[Optional[Tensor]]) -> Tensor:
        """The 2-norm of every gradient, (parameters,); of one that is not there 0."""
        there = [(view, one) for view, one in zip(self.views, gradients) if one is not None]
        self.block.zero_()
        torch._foreach_add_([view for view, _ in there], [one for _, one in there])
        return torch.norm(torch.norm(self.block, dim=1)[self.places], dim=1)
