"""Memory layout.

Strides of results: what is a view, what is copied, and whether channels stay last.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cases.probes.probing import Trial, attempt, probe


def layout_of(x: Tensor) -> str:
    """Which order of memory a tensor of four dimensions has."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return "both" if last and x.is_contiguous() else "channels last" if last else str(tuple(x.stride()))


@probe(
    why="One operation that loses channels-last costs a copy in every step, or another kernel with other rounding.",
    means="Look at the layout after every block of your network.",
    see={
        "1.12": "https://github.com/pytorch/pytorch/pull/55584",
        "2.0": "https://github.com/pytorch/pytorch/pull/58348",
    },
)
def channels_last() -> Any:
    """Channels last: which operations keep it"""
    x = torch.ones(2, 4, 6, 6).to(memory_format=torch.channels_last)
    trials: dict[str, Trial] = {
        "conv2d": lambda: F.conv2d(x, torch.ones(4, 4, 3, 3)),
        "1 × 1 conv2d": lambda: F.conv2d(x, torch.ones(4, 4, 1, 1)),
        "grouped conv2d": lambda: F.conv2d(x, torch.ones(4, 1, 3, 3), groups=4),
        "conv_transpose2d": lambda: F.conv_transpose2d(x, torch.ones(4, 4, 2, 2)),
        "batch norm": lambda: nn.BatchNorm2d(4)(x),
        "silu": lambda: F.silu(x),
        "x + plain": lambda: x + torch.ones(2, 4, 6, 6),
        "plain + x": lambda: torch.ones(2, 4, 6, 6) + x,
        "cat": lambda: torch.cat((x, x), 1),
        "cat with plain": lambda: torch.cat((x, torch.ones(2, 4, 6, 6)), 1),
        "nearest": lambda: F.interpolate(x, scale_factor=2.0),
        "bilinear": lambda: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
        "max pool": lambda: F.max_pool2d(x, 2),
        "avg pool": lambda: F.avg_pool2d(x, 2),
        "adaptive avg pool": lambda: F.adaptive_avg_pool2d(x, 2),
        "pad": lambda: F.pad(x, (1, 1, 1, 1)),
        "chunk": lambda: x.chunk(2, 1)[0],
        "clone": lambda: x.clone(),
        "empty_like": lambda: torch.zeros_like(x),
        "double": lambda: x.double(),
        "where": lambda: torch.where(x > 0, x, torch.zeros(())),
        "softmax": lambda: x.softmax(1),
        "group norm": lambda: F.group_norm(x, 2),
        "pixel_shuffle": lambda: F.pixel_shuffle(x, 2),
        "flip": lambda: x.flip(3),
        "roll": lambda: x.roll(1, 3),
    }
    return {name: attempt(lambda trial: layout_of(trial()), trial) for name, trial in trials.items()}


@probe(
    why="view() fails on some strides, and in-place operations reach what is a view.",
    means="Use reshape(), and clone() what you change in place.",
)
def views_and_copies() -> Any:
    """Views and copies: which operations share memory, and strides of odd shapes"""
    x = torch.arange(12.0).reshape(3, 4)
    trials: dict[str, Trial] = {
        "reshape of transposed": lambda: x.T.reshape(12),
        "flatten": lambda: x.flatten(),
        "ravel": lambda: x.ravel(),
        "contiguous": lambda: x.contiguous(),
        "to": lambda: x.to(torch.float32),
        "narrow": lambda: x.narrow(1, 1, 2),
        "chunk": lambda: x.chunk(2, 1)[1],
        "expand": lambda: x[:1].expand(5, 4),
        "movedim": lambda: x.movedim(0, 1),
        "squeeze": lambda: x[None].squeeze(),
        "index by a list": lambda: x[[0, 1]],
        "index by a slice": lambda: x[::2],
        "detach": lambda: x.detach(),
        "positive": lambda: +x,
        "dropout, evaluating": lambda: F.dropout(x, training=False),
        "identity": lambda: nn.Identity()(x),
        "sort": lambda: x.sort(0)[0],
        "topk": lambda: x.topk(2, 0)[0],
        "max of columns": lambda: x.T.max(1)[0],
        "sum that keeps": lambda: x.T.sum(1, keepdim=True),
        "empty": lambda: torch.empty(0, 3),
        "ones of one": lambda: torch.ones(2, 1, 3).transpose(0, 1).contiguous(),
        "eye": lambda: torch.linalg.inv(torch.eye(3)),
    }
    found = {}
    start, end = x.data_ptr(), x.data_ptr() + x.numel() * x.element_size()
    for name, trial in trials.items():
        made = trial()
        shares = made.numel() and start <= made.data_ptr() < end
        found[name] = f"{'view' if shares else 'copy'} {tuple(made.stride())}"
    return found


@probe(
    why="Moving a network to channels last changes the strides of its weights, and so kernels and rounding.",
    means="Call .contiguous() where strides matter.",
)
def layout_of_gradients() -> Any:
    """Gradients and optimizer states of channels-last weights: their strides"""
    layer = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 4, 5, 5)).sum().backward()
    optimizer.step()
    assert layer.weight.grad is not None
    return {
        "weight": layout_of(layer.weight),
        "gradient": layout_of(layer.weight.grad),
        "momentum": layout_of(optimizer.state[layer.weight]["momentum_buffer"]),
        "state": layout_of(layer.state_dict()["weight"]),
    }
