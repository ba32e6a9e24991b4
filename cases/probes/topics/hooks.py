"""Hooks and gradients.

When hooks are called, how often, with what, and what they may change.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cases.probes.probing import attempt, drawn, probe, warned


@probe(
    why="Hooks on a tensor see and replace its gradient: their order decides what comes out.",
    means="Do not rest on an order between hooks that you register in different places.",
)
def hook_order() -> Any:
    """Hooks on a tensor: order, and what each sees"""
    seen = []
    x = torch.ones(1, requires_grad=True)
    y = x * 3

    def first(gradient: Tensor) -> Tensor:
        seen.append(f"first {float(gradient)}")
        return gradient * 10

    def second(gradient: Tensor) -> Tensor:
        seen.append(f"second {float(gradient)}")
        return gradient + 1

    y.register_hook(first)
    y.register_hook(second)
    (y * 2).sum().backward()
    return {"seen": seen, "gradient": x.grad}


@probe(
    why="It is said that 1.12 calls hooks later than backward(), so that branches of a loss lose their gradients.",
    means="As long as it is the same, hooks are called before backward() returns and no branch loses its gradient.",
)
def hook_on_each_branch() -> Any:
    """Hooks on three branches of a loss: calls before backward returns, the thread, and the gradients"""
    own, seen = threading.get_ident(), []
    shared = drawn(4).requires_grad_()
    branches = [shared * (index + 1.0) for index in range(3)]
    for index, branch in enumerate(branches):
        branch.register_hook(lambda _, index=index: seen.append((index, threading.get_ident() == own)))
    sum((branch**2).sum() for branch in branches).backward()
    return {"calls": len(seen), "in this thread": [same for _, same in seen], "gradient": shared.grad}


@probe(
    why="A hook that scales a gradient in place may or may not reach the rest of the graph.",
    means="Return the new gradient from a hook instead of changing it in place.",
)
def hook_in_place() -> Any:
    """A hook that changes its gradient in place"""
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    other = x * 5

    def double(gradient: Tensor) -> None:
        gradient.mul_(2)

    y.register_hook(double)
    ((y + other) * torch.ones(2)).sum().backward()
    return x.grad


@probe(
    why="Gradients that are kept by retain_grad() may be those before or after the hooks.",
    means="Read what a hook has made of a gradient in a last hook, rather than by retain_grad().",
    see={"2.0": "https://github.com/pytorch/pytorch/pull/85849"},
)
def retained_gradient_and_hooks() -> Any:
    """retain_grad() beside hooks: whether it keeps the gradient before or after them"""
    found = {}
    for first in (True, False):
        x = torch.ones(1, requires_grad=True)
        y = x * 3
        if first:
            y.retain_grad()
        y.register_hook(lambda gradient: gradient * 10)
        if not first:
            y.retain_grad()
        y.sum().backward()
        found["retained before the hook was registered" if first else "after"] = y.grad
    return found


@probe(
    why="A tensor that is changed in place has two gradients: that of the old value and that of the new.",
    means="Register hooks, and ask for retained gradients, after the last in-place operation on a tensor.",
    see={"1.13": "https://github.com/pytorch/pytorch/pull/79996"},
)
def hook_then_in_place() -> Any:
    """Hook and retain_grad() on a tensor that is changed in place afterwards: which gradient they see"""
    seen = []
    x = torch.ones(1, requires_grad=True)
    y = x * 1
    y.register_hook(lambda gradient: seen.append(float(gradient)))
    y.retain_grad()
    y.mul_(7)
    (y * 2).sum().backward()
    return {"hook": seen, "retained": attempt(lambda: float(y.grad))}


@probe(
    why="A tensor that is used twice has one gradient, the sum; its hook should be called once.",
    means="Count what hooks do by step, not by use.",
)
def hook_on_what_is_used_twice() -> Any:
    """A hook on a tensor that is used twice: calls and what it sees"""
    seen = []
    x = torch.ones(1, requires_grad=True)
    x.register_hook(lambda gradient: seen.append(float(gradient)))
    (x * 2 + x * 3).sum().backward()
    return seen


@probe(
    why="Full backward hooks of modules are how tools look at gradients: order and arguments matter to them.",
    means="Check what a tool sees on the first layer, whose input needs no gradient.",
)
def module_backward_hooks() -> Any:
    """Full backward hooks of nested modules: order and what they are given"""
    seen = []

    def tell(name: str) -> Any:
        def hook(_: nn.Module, inputs: Any, outputs: Any) -> None:
            shapes = [[None if one is None else tuple(one.shape) for one in part] for part in (inputs, outputs)]
            seen.append(f"{name} {shapes}")

        return hook

    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    for name, module in network.named_modules():
        module.register_full_backward_hook(tell(name or "whole"))
    network(drawn(4, 3)).sum().backward()
    return seen


@probe(
    why="Frozen layers at the input need no gradient, and hooks on them may stay silent.",
    means="Do not wait for a backward hook of a module whose input needs no gradient.",
)
def module_backward_hook_without_input_gradient() -> Any:
    """Full backward hook where no input needs a gradient: whether it is called"""
    seen = []
    layer = nn.Linear(3, 2)
    layer.register_full_backward_hook(lambda *given: seen.append(f"{len(given[1])} {len(given[2])}"))
    layer(drawn(4, 3)).sum().backward()
    return {"calls": len(seen), "seen": seen}


@probe(
    why="Hooks of modules that are called with keywords do not see these in older versions.",
    means="Pass what hooks need by position as long as an older version has to run the code.",
    see={"2.0": "https://github.com/pytorch/pytorch/pull/89389"},
)
def module_hooks_with_keywords() -> Any:
    """Forward hooks that see keyword arguments"""

    class Scaled(nn.Module):
        def forward(self, x: Tensor, *, by: float = 1.0) -> Tensor:
            return x * by

    seen: list[str] = []
    module = Scaled()

    def registered() -> str:
        module.register_forward_pre_hook(lambda *given: seen.append(str(given[2])), with_kwargs=True)
        return "registered"

    state = attempt(registered)
    return {"with_kwargs": state, "output": module(torch.ones(1), by=2.0), "seen": len(seen)}


@probe(
    why="Activation checkpointing has two implementations, and the default is meant to change.",
    means="Pass use_reentrant= explicitly; with the old one a block whose inputs need no gradient gets none.",
)
def checkpoint_by_default() -> Any:
    """Activation checkpointing by default: gradients of a block whose input needs none, and warnings"""
    layer = nn.Linear(3, 1)

    def backward() -> None:
        checkpoint(layer, drawn(2, 3)).sum().backward()

    said = warned(backward)
    return {"said": said, "gradient": "none" if layer.weight.grad is None else "there"}


@probe(
    why="A decorator that switches gradients off for good, as soon as a function is defined, stops all training.",
    means="Use torch.no_grad() as a decorator, or set_grad_enabled as a context.",
    see={"2.2": "https://github.com/pytorch/pytorch/pull/113359"},
)
def set_grad_enabled_as_decorator() -> Any:
    """set_grad_enabled(False) as a decorator: whether gradients are off once a function is defined"""

    def decorated() -> list[str]:
        @torch.set_grad_enabled(False)
        def inner() -> bool:
            return torch.is_grad_enabled()

        return [f"after the definition {torch.is_grad_enabled()}", f"in the function {inner()}"]

    return attempt(decorated)


@probe(
    why="A gradient that a parameter brings along is counted twice where a copy keeps it.",
    means="Set gradients to None before you copy a network.",
)
def gradient_of_a_copy() -> Any:
    """copy.deepcopy of a parameter with a gradient: whether the copy has it"""
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([3.0, 4.0])
    tensor = torch.ones(2, requires_grad=True)
    tensor.grad = torch.tensor([3.0, 4.0])
    return {
        "parameter": "none" if copy.deepcopy(weight).grad is None else "there",
        "tensor": "none" if copy.deepcopy(tensor).grad is None else "there",
    }


@probe(
    why="A NaN that a mask covers in the forward pass can still come back in the backward pass.",
    means="Mask inputs, not only results, where a branch can be infinite.",
    see={"2.8": "https://github.com/pytorch/pytorch/pull/148049"},
)
def gradients_at_the_edges() -> Any:
    """Gradients where functions have no derivative: abs, max, clamp, norm, sqrt, where"""
    found = {}
    trials: dict[str, Callable[[Tensor], Tensor]] = {
        "abs at 0": lambda x: x.abs(),
        "relu at 0": lambda x: torch.relu(x),
        "clamp at its edge": lambda x: x.clamp(0.0, 1.0),
        "norm of 0": lambda x: x.norm(),
        "sqrt of 0": lambda x: x.sqrt(),
        "max of equal ones": lambda x: torch.cat([x, x]).max(),
        "maximum of equal ones": lambda x: torch.maximum(x, x.detach()),
        "where with an infinite branch": lambda x: torch.where(x > 0, 1 / x, x),
        "hardtanh at its edge": lambda x: torch.nn.functional.hardtanh(x, 0.0, 1.0),
        "hardswish at 3": lambda x: torch.nn.functional.hardswish(x + 3),
        "smooth_l1 at beta": lambda x: torch.nn.functional.smooth_l1_loss(x + 1, torch.zeros(1)),
    }
    for name, function in trials.items():
        x = torch.zeros(1, requires_grad=True)
        function(x).sum().backward()
        assert x.grad is not None
        found[name] = str(float(x.grad))
    return found


@probe(
    why="The old backward hook of modules gives wrong inputs for modules of several operations.",
    means="Use register_full_backward_hook.",
)
def old_backward_hook() -> Any:
    """Module.register_backward_hook: what it is given for a module of two operations, and warnings"""

    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 2).exp()

    seen: list[str] = []
    module = Two()
    module.register_backward_hook(lambda *given: seen.append(f"{[float(one) for one in given[1]]}"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module(torch.zeros(1, requires_grad=True)).sum().backward()
    return {"seen": seen, "warnings": len(caught)}
