"""Optimizers and schedules.

How weights are updated, and what an optimizer keeps.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler

from cases.probes.probing import attempt, copies, drawn, probe, warned


def after_steps(make: Callable[[Any], optim.Optimizer], steps: int = 4) -> tuple[list[Tensor], optim.Optimizer]:
    """The weights after some steps along gradients that are drawn, and the optimizer."""
    weights = [nn.Parameter(drawn(9)), nn.Parameter(drawn(3, 4, seed=1))]
    optimizer = make(weights)
    for step in range(steps):
        for index, weight in enumerate(weights):
            weight.grad = drawn(*weight.shape, seed=10 * step + index)
        optimizer.step()
    return copies(weights), optimizer


@probe(
    why="An optimizer's defaults are part of a recipe that nobody writes down.",
    means="Pass every argument that your recipe rests on.",
)
def optimizer_defaults() -> Any:
    """Defaults of SGD, Adam, AdamW and RMSprop that decide the numbers"""
    found = {}
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop):
        parameters = inspect.signature(kind.__init__).parameters
        for name in ("momentum", "dampening", "nesterov", "betas", "eps", "weight_decay", "amsgrad", "alpha"):
            if name in parameters:
                default = parameters[name].default
                found[f"{kind.__name__}, {name}"] = default if default is not inspect.Parameter.empty else "required"
    return found


@probe(
    why="The rate that SGD once required has a default now: a forgotten rate is no longer an error.",
    means="Pass lr= always.",
    see={"2.2": "https://github.com/pytorch/pytorch/pull/114467"},
)
def optimizer_without_rate() -> Any:
    """SGD without a learning rate"""
    return attempt(lambda: optim.SGD([nn.Parameter(torch.ones(1))]).param_groups[0]["lr"])


@probe(
    why="The steps of a training are the optimizer's: other kernels (foreach, fused) round otherwise.",
    means="Pass foreach=False where bits have to agree; expect last bits to differ else.",
)
def optimizer_steps() -> Any:
    """Weights after four steps: SGD with momentum and Nesterov, Adam, AdamW, RMSprop"""
    kinds: dict[str, Callable[[Any], optim.Optimizer]] = {
        "SGD": lambda weights: optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True),
        "Adam": lambda weights: optim.Adam(weights, lr=0.01, weight_decay=1e-2),
        "AdamW": lambda weights: optim.AdamW(weights, lr=0.01),
        "RMSprop": lambda weights: optim.RMSprop(weights, lr=0.01, momentum=0.5),
    }
    return {name: [part.flatten() for part in after_steps(make)[0]] for name, make in kinds.items()}


@probe(
    why="A checkpoint holds what an optimizer keeps: layout and types of it are what another version has to read.",
    means="Load a checkpoint of every version that you still have once, and look at the next step.",
    see={"1.12": "https://github.com/pytorch/pytorch/pull/71333"},
)
def optimizer_state_layout() -> Any:
    """What optimizers keep: names and types of their state, and the keys of their groups"""
    found: dict[str, Any] = {}
    for name, make in (
        ("SGD", lambda weights: optim.SGD(weights, lr=0.1, momentum=0.9)),
        ("AdamW", lambda weights: optim.AdamW(weights, lr=0.01)),
    ):
        state = after_steps(make, 1)[1].state_dict()
        found[f"{name}, state"] = ", ".join(f"{key}: {kind_of(value)}" for key, value in state["state"][0].items())
        found[f"{name}, group"] = ", ".join(sorted(state["param_groups"][0]))
    return found


def kind_of(value: Any) -> str:
    """The type of a value, and of a tensor its dtype."""
    return f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__


@probe(
    why="It is said that later versions cannot load the optimizer states that 1.10 has saved.",
    means="As long as it is the same, states of 1.10 load, and the next step is the one that was due.",
    see={"": "https://pytorch.org/docs/stable/generated/torch.optim.Optimizer.load_state_dict.html"},
)
def optimizer_state_of_1_10() -> Any:
    """A state dictionary as 1.10 wrote it: loaded, and the weights after the next step"""
    found: dict[str, Any] = {}
    old: dict[str, Any] = {
        "SGD": (
            lambda weights: optim.SGD(weights, lr=0.1, momentum=0.9),
            {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False},
            {"momentum_buffer": drawn(4, seed=3)},
        ),
        "AdamW": (
            lambda weights: optim.AdamW(weights, lr=0.01),
            {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False},
            {"step": 7, "exp_avg": drawn(4, seed=3), "exp_avg_sq": drawn(4, seed=4) ** 2},
        ),
    }
    for name, (make, group, state) in old.items():
        weight = nn.Parameter(drawn(4))
        optimizer = make([weight])
        saved = {"state": {0: copy.deepcopy(state)}, "param_groups": [{**group, "params": [0]}]}
        optimizer.load_state_dict(saved)
        weight.grad = drawn(4, seed=5)
        found[name] = attempt(optimizer.step)
        found[f"{name}, weights"] = weight
    return found


@probe(
    why="zero_grad() leaves zeros or nothing; a parameter that is not used then gets a step or none.",
    means="Pass set_to_none= explicitly, and do not read .grad after zero_grad().",
    see={"2.0": "https://github.com/pytorch/pytorch/pull/92731"},
)
def zero_grad_by_default() -> Any:
    """zero_grad() by default: what gradients are afterwards, and the next step of one that is not used"""
    weight, idle = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = optim.SGD([weight, idle], lr=0.1, momentum=0.9)
    (weight * 2 + idle * 3).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    left = "None" if idle.grad is None else str(idle.grad.tolist())
    (weight * 2).sum().backward()
    optimizer.step()
    layer = nn.Linear(1, 1, bias=False)
    layer(torch.ones(1)).sum().backward()
    layer.zero_grad()
    module = "None" if layer.weight.grad is None else str(layer.weight.grad.tolist())
    return {"optimizer": left, "module": module, "weight that is not used": idle}


@probe(
    why="Clipping makes one number of all gradients: its rounding, and what it does with NaN, reach every weight.",
    means="Pass error_if_nonfinite= explicitly.",
)
def clipping_of_gradients() -> Any:
    """clip_grad_norm_: the norm, the clipped gradients, and what it does with one that is not finite"""
    weights = [nn.Parameter(torch.zeros(65)), nn.Parameter(torch.zeros(3, 7))]
    for index, weight in enumerate(weights):
        weight.grad = drawn(*weight.shape, seed=index)
    norm = nn.utils.clip_grad_norm_(weights, 1.0)
    assert weights[1].grad is not None
    clipped = weights[1].grad.clone()
    weights[1].grad[0, 0] = float("inf")
    broken = attempt(lambda: str(float(nn.utils.clip_grad_norm_(weights, 1.0))))
    assert weights[0].grad is not None
    return {"norm": norm, "gradients": clipped, "of an infinity": broken, "then": str(float(weights[0].grad[0]))}


def rates(make: Callable[[optim.Optimizer], Any], steps: int = 8) -> list[float]:
    """The learning rates of a schedule, step by step."""
    optimizer = optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
    schedule, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@probe(
    why="A schedule that is off by one step gives another training.",
    means="Print the rates of an epoch under both versions and compare them.",
)
def schedules() -> Any:
    """Learning rates by step: cosine, step, one cycle, linear, exponential, polynomial, restarts, by a function"""
    return {
        "cosine": rates(lambda one: lr_scheduler.CosineAnnealingLR(one, 4)),
        "step": rates(lambda one: lr_scheduler.StepLR(one, 3)),
        "one cycle": rates(lambda one: lr_scheduler.OneCycleLR(one, 0.2, total_steps=10)),
        "linear": rates(lambda one: lr_scheduler.LinearLR(one, total_iters=4)),
        "exponential": rates(lambda one: lr_scheduler.ExponentialLR(one, 0.9)),
        "restarts": rates(lambda one: lr_scheduler.CosineAnnealingWarmRestarts(one, 3)),
        "by a function": rates(lambda one: lr_scheduler.LambdaLR(one, lambda epoch: 0.5**epoch)),
        "polynomial": attempt(lambda: rates(lambda one: lr_scheduler.PolynomialLR(one, 4))),
    }


@probe(
    why="Warm-up followed by a schedule is chained in two ways, which count steps differently.",
    means="Print the rates of an epoch under both versions and compare them.",
)
def schedules_in_a_row() -> Any:
    """Learning rates of chained schedules: SequentialLR and ChainedScheduler"""

    def sequential(one: optim.Optimizer) -> Any:
        parts = [lr_scheduler.LinearLR(one, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(one, 5)]
        return lr_scheduler.SequentialLR(one, parts, milestones=[3])

    def chained(one: optim.Optimizer) -> Any:
        parts = [lr_scheduler.LinearLR(one, 0.1, total_iters=3), lr_scheduler.ExponentialLR(one, 0.9)]
        return lr_scheduler.ChainedScheduler(parts)

    return {"sequential": rates(sequential), "chained": rates(chained)}


@probe(
    why="Scripts of 2021 pass verbose=, pass an epoch to step(), or step the schedule first.",
    means="Step the optimizer first, then the schedule, without arguments; print rates yourself.",
    see={"2.7": "https://github.com/pytorch/pytorch/pull/147301"},
)
def schedule_warnings() -> Any:
    """Schedules: warnings of verbose=, of step(epoch), of the wrong order, and ReduceLROnPlateau's last rate"""

    def schedule(**how: Any) -> Any:
        return lr_scheduler.StepLR(optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), 3, **how)

    def plateau() -> Any:
        return lr_scheduler.ReduceLROnPlateau(optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)).get_last_lr()

    return {
        "verbose=False": warned(lambda: schedule(verbose=False)),
        "step(epoch)": warned(lambda: schedule().step(2)),
        "schedule first": warned(lambda: schedule().step()),
        "plateau, last rate": attempt(plateau),
    }


@probe(
    why="An average of weights that leaves buffers out evaluates with the wrong statistics.",
    means="Pass use_buffers= or write the average yourself.",
    see={"2.0": "https://github.com/pytorch/pytorch/pull/84054"},
)
def averaged_model() -> Any:
    """AveragedModel: weights and buffers after two updates"""
    network = nn.BatchNorm1d(2)
    average = optim.swa_utils.AveragedModel(network)
    for step in range(2):
        network(drawn(8, 2, seed=step) + step)
        network.weight.data += 1.0
        average.update_parameters(network)
    return {"weight": average.module.weight, "running mean": average.module.running_mean}
