"""The optimiser and how its rates move: warm-up, then decay, as a function of the batch number alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from harness.cell.weights import NORMS
from harness.core.spec import Recipe


class Rates(NamedTuple):
    """What holds at one batch. `accumulate`: batches whose gradients make one optimiser step."""

    weights: float
    biases: float
    momentum: float
    accumulate: int


class Schedule:
    """Rates of a recipe over a run of `epochs` × `batches` batches of `batch` pictures."""

    def __init__(self, recipe: Recipe, epochs: int, batches: int, batch: int) -> None:
        self.recipe = recipe
        self.total = epochs * batches
        self.warmup = max(round(recipe.warmup_epochs * batches), recipe.warmup_steps)
        self.accumulate = max(1, round(recipe.nominal_batch / batch))

    def at(self, number: int) -> Rates:
        """The rates at batch `number`, counted from 0 over the whole run."""
        recipe = self.recipe
        settled = recipe.learning_rate * self.decay(number)
        if number >= self.warmup:
            return Rates(settled, settled, recipe.momentum, self.accumulate)
        share = number / self.warmup
        return Rates(
            weights=settled * share,
            biases=recipe.warmup_bias_rate + (settled - recipe.warmup_bias_rate) * share,
            momentum=recipe.warmup_momentum + (recipe.momentum - recipe.warmup_momentum) * share,
            accumulate=max(1, round(1 + (self.accumulate - 1) * share)),
        )

    def decay(self, number: int) -> float:
        """The factor on the learning rate: from 1 to `final_fraction`, on a line or half a cosine."""
        progress = number / self.total
        remaining = 1 - progress if self.recipe.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.recipe.final_fraction + (1 - self.recipe.final_fraction) * remaining


def make_optimizer(network: nn.Module, recipe: Recipe, batch: int) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum or AdamW over three groups: decayed weights, norm weights, biases, in this order.

    Weight decay falls on the weights of layers that do not normalise, and is scaled with the pictures that make one
    step as in the reference recipe: decay · batch · accumulate / nominal batch.
    """
    weights: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    biases: list[nn.Parameter] = []
    of_norms = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, NORMS)
        for parameter in module.parameters(recurse=False)
    }
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_bias = name.rpartition(".")[2] == "bias"
            group = biases if is_bias else norms if id(parameter) in of_norms else weights
            group.append(parameter)
    decay = recipe.weight_decay
    if recipe.nominal_batch:
        decay *= batch * max(1, round(recipe.nominal_batch / batch)) / recipe.nominal_batch
    groups = [
        {"params": weights, "weight_decay": decay},
        {"params": norms, "weight_decay": 0.0},
        {"params": biases, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))


def apply_rates(optimizer: torch.optim.Optimizer, rates: Rates) -> None:
    """Set the optimiser's groups to the rates of this batch."""
    for position, group in enumerate(optimizer.param_groups):
        group["lr"] = rates.biases if position == 2 else rates.weights
        if "betas" in group:
            group["betas"] = (rates.momentum, group["betas"][1])
        else:
            group["momentum"] = rates.momentum
