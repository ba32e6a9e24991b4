"""Exponential moving average of a network's weights, for evaluation."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of parameters and floating buffers, in float32 unless its network is made another; integer buffers are
    copied.

    Update number n uses decay * (1 - exp(-n / tau)), so that the first updates soon forget the initial weights.
    """

    def __init__(self, network: nn.Module, decay: float = 0.9999, tau: float = 2000.0):
        self.network = deepcopy(network).float().eval().requires_grad_(False)
        """The averaged network, in eval mode."""
        self.decay = decay
        self.tau = tau
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the present weights of `network`."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.tau))
        averaged, current = [], []
        for mine, theirs in zip(_tensors(self.network), _tensors(network)):
            if mine.is_floating_point():
                averaged.append(mine)
                current.append(theirs.to(mine.dtype))
            else:
                mine.copy_(theirs)
        # one launch for many tensors on CUDA; both calls are the same from 1.10 on
        torch._foreach_mul_(averaged, decay)
        torch._foreach_add_(averaged, current, alpha=1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on: weights and number of updates."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*(parameter.detach() for parameter in network.parameters()), *network.buffers()]
