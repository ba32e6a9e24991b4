"""Loss scaling.

Probes of the scaler of mixed precision. Without a GPU its device code does not run; its policy and bookkeeping do.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch

from cases.probes.probing import drawn, probe, warned


@probe(
    why="A scaler that is static in one version and dynamic in another would skip other steps.",
    means="Set init_scale, growth_factor, backoff_factor and growth_interval yourself if a training depends on them.",
    see={"": "https://pytorch.org/docs/stable/amp.html"},
)
def scaler_policy() -> Any:
    """Loss scaler: how it grows and backs off by default."""
    parameters = inspect.signature(torch.cuda.amp.GradScaler.__init__).parameters
    names = ("init_scale", "growth_factor", "backoff_factor", "growth_interval", "enabled")
    return {name: parameters[name].default for name in names}


@probe(
    why="After a gradient that is not finite, the scale has to fall and the step to be left out, at any batch size.",
    means="Count skipped steps and compare them between versions before you blame the model.",
)
def scaler_with_planted_infinities() -> Any:
    """Loss scaler on a GPU: scale and skipped steps, with planted infinities and batches of several sizes"""
    weight = torch.nn.Parameter(torch.ones(4, device="cuda"))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.cuda.amp.GradScaler(growth_interval=2)
    found = []
    for step, size in enumerate((8, 3, 16, 1, 8, 2, 8, 4)):
        optimizer.zero_grad()
        batch = drawn(size, 4, seed=step).cuda()
        scaler.scale((batch * weight).sum() * (math.inf if step in (1, 4) else 1.0)).backward()
        before = weight.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        found += [scaler.get_scale(), bool((weight == before).all())]
    return found


@probe(
    why="Some say that the scaler sets gradients to zero where it meets an infinity.",
    means="A step that the scaler leaves out leaves weights and gradients as they are: look for zeros elsewhere.",
)
def scaler_leaves_out_a_step() -> Any:
    """Loss scaler: what becomes of weights and gradients in a step with an infinity"""
    scaler = torch.cuda.amp.GradScaler(enabled=False)
    found = {}
    for name, infinite in (("finite", 0.0), ("infinite", 1.0)):
        weight = torch.nn.Parameter(torch.ones(2))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        weight.grad = torch.tensor([1.0, 2.0])
        state = {"found_inf_per_device": {torch.device("cpu"): torch.tensor(infinite)}}
        scaler._maybe_opt_step(optimizer, state)
        found[name] = [weight, weight.grad]
    return found


@probe(
    why="Scripts make a scaler whatever the device; without a GPU it must do nothing.",
    means="Pass enabled= explicitly where a script also runs on machines without a GPU.",
)
def scaler_without_gpu() -> Any:
    """Loss scaler that is switched off: what it scales and which state it keeps"""
    scaler = torch.cuda.amp.GradScaler(enabled=False)
    return [scaler.scale(torch.tensor(3.0)), scaler.get_scale(), str(scaler.state_dict())]


@probe(
    why="A training script of 2021 writes torch.cuda.amp.GradScaler() and torch.cuda.amp.autocast().",
    means="Write torch.amp.GradScaler('cuda') and torch.autocast('cuda') once all your versions have them.",
    see={
        "1.13": "https://github.com/pytorch/pytorch/pull/79203",
        "2.4": "https://github.com/WenjieDu/PyPOTS/issues/520",
    },
)
def scaler_by_its_old_name() -> Any:
    """Mixed precision by its old names: warnings"""
    return {
        "GradScaler": warned(lambda: torch.cuda.amp.GradScaler(enabled=False)),
        "autocast": warned(lambda: torch.cuda.amp.autocast(enabled=False)),
    }
