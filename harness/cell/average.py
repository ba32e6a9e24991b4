"""Exponential moving average of a network's weights, for evaluation."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from harness.cell.weights import set_entries

Place = tuple[dict[str, Any], str]
"""The buffers of a module, and the name of one of them: read at every step, it is to cost nothing."""


class WeightAverage:
    """Average of a network's parameters and floating buffers, in float32 unless its own network is made another;
    integer buffers are copied.

    Update number n uses decay * (1 - exp(-n / tau)), so that the first updates soon forget the initial weights.

    Which tensors there are is found out once. To walk through the 1442 modules of each network in every step takes the
    host longer than the average itself, 22 to 38 ms.
    """

    def __init__(self, network: nn.Module, decay: float = 0.9999, tau: float = 2000.0):
        self.network = deepcopy(network).float().eval().requires_grad_(False)
        """The averaged network, in eval mode."""
        self.decay = decay
        self.tau = tau
        self.updates = 0
        self.theirs, self.mine = Tensors(network), Tensors(self.network)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present weights of the network that was given."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.tau))
        averaged, current = self.mine.floating(), self.theirs.floating()
        # one launch for many tensors on CUDA; all of these calls are the same from 1.10 on
        torch._foreach_mul_(averaged, decay)
        torch._foreach_add_(averaged, [its.to(mine.dtype) for mine, its in zip(averaged, current)], alpha=1 - decay)
        copied = self.mine.whole()
        if copied:
            torch._foreach_zero_(copied)
            torch._foreach_add_(copied, self.theirs.whole())

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on: weights and number of updates."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        set_entries(self.network, state["network"])
        self.updates = state["updates"]


class Tensors:
    """The parameters and buffers of a network, as they are whenever they are asked for: a parameter stays the same
    tensor, but another one may take a buffer's place, as in torch 1.10 a module's count of batches after every step."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        self.places: list[list[Place]] = [[], []]
        """Of the integer buffers, then of the floating ones."""
        for module in network.modules():
            for name, buffer in module.named_buffers(recurse=False):
                self.places[buffer.is_floating_point()].append((module._buffers, name))

    def whole(self) -> list[Tensor]:
        """The integer buffers."""
        return [owner[name] for owner, name in self.places[False]]

    def floating(self) -> list[Tensor]:
        """The parameters and the floating buffers."""
        return [*self.parameters, *(owner[name] for owner, name in self.places[True])]
