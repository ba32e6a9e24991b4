"""What a training step spends where: hooks at the seams of the network and of its backward pass, and of the step.

A part ends where a hook begins, and the next one begins where the hook ends: what the hooks cost is in no part. A node
of the backward pass belongs to the layer in whose forward pass it was made.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple

import torch
from torch import Tensor, nn

from harness.cell.parts import parts_of
from harness.cell.train import Loop

FORWARD, BACKWARD = "forward", "backward"
BETWEEN = "between layers"
NETWORK = "the network itself"
ADDED_UP = "gradients added up"
REST = "rest of the step"
NODE = re.compile(r"(Backward)?\d*$")
"""What versions put after the name of an operator to name its node."""
ACCUMULATES = "AccumulateGrad"


class Part(NamedTuple):
    """What a piece of time or memory belongs to."""

    layer: str
    """The kind of layer, the operator between layers, or the part of the step outside of the network."""
    module: str
    """The module of the network, or again the part of the step."""
    phase: str = ""
    """`FORWARD` or `BACKWARD`; empty outside of both."""

    @property
    def by_layer(self) -> str:
        """Its name among the kinds of layers."""
        return f"{self.layer}, {self.phase}" if self.phase else self.layer

    @property
    def by_module(self) -> str:
        """Its name among the modules."""
        return self.module


class Piece(NamedTuple):
    """A part from one moment to another, as the clock gives them."""

    part: Part
    began: Any
    ended: Any


Clock = Callable[[], Any]
"""Tells a moment: seconds of the host, an event in the stream of a GPU, or a mark for the profiler."""


class Tracing:
    """The pieces of a step, from the beginning of `traced` to its end."""

    def __init__(self, loop: Loop, clock: Clock) -> None:
        self.loop = loop
        self.clock = clock
        self.pieces: list[Piece] = []
        self.within: list[Part] = [Part(REST, REST)]
        """The parts that have begun and not ended, the innermost last."""
        self.nodes: dict[Any, Part] = {}
        """Those of the backward pass that are known. As long as they are kept here torch gives the same objects."""
        self.since: Any = None

    @contextmanager
    def traced(self) -> Iterator[list[Piece]]:
        """Trace what is done meanwhile; the pieces are complete at the end."""
        with watching(self, self.loop):
            self.since = self.clock()
            yield self.pieces
            self.credit(self.within[-1])
        self.nodes.clear()

    def credit(self, part: Part) -> None:
        """What has passed belongs to this part."""
        self.pieces.append(Piece(part, self.since, self.clock()))

    def enter(self, part: Part) -> None:
        """A part begins."""
        self.credit(self.within[-1])
        self.within.append(part)
        self.since = self.clock()

    def leave(self, output: Any) -> None:
        """The innermost part ends, and has put this out."""
        part = self.within.pop()
        self.credit(part)
        self.claim(part, output)
        self.since = self.clock()

    def claim(self, part: Part, output: Any) -> None:
        """The nodes that lead to an output and that nobody has claimed were made by this part."""
        found = [tensor.grad_fn for tensor in tensors_in(output) if tensor.grad_fn is not None]
        while found:
            node = found.pop()
            if node not in self.nodes:
                self.nodes[node] = own = part_of_node(part, node)
                node.register_hook(functools.partial(self.after_node, own))
                found += [before for before, _ in node.next_functions if before is not None]

    def after_node(self, part: Part, *_: Any) -> None:
        """A node of the backward pass has been done; on a CPU they are done one after another."""
        self.credit(part)
        self.since = self.clock()


def part_of_node(part: Part, node: Any) -> Part:
    """The part of a node that was made by another part's forward pass."""
    name = NODE.sub("", type(node).__name__)
    if name == ACCUMULATES:
        return part._replace(layer=ADDED_UP, phase=BACKWARD)
    return part._replace(layer=name.lower() if part.layer == BETWEEN else part.layer, phase=BACKWARD)


def tensors_in(output: Any) -> Iterator[Tensor]:
    """The tensors in what a module puts out, however they are nested."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (list, tuple, dict)):
        for each in output.values() if isinstance(output, dict) else output:
            yield from tensors_in(each)


# --- what is watched ----------------------------------------------------------------------------------------------


@contextmanager
def watching(tracing: Tracing, loop: Loop) -> Iterator[None]:
    """Hooks on the network, and on the parts of a step."""
    handles = [handle for module, part in layers_of(loop.learner.network) for handle in hooks(tracing, module, part)]
    kept = []
    for name, owner, method in parts_of(loop):
        part = Part(BETWEEN, NETWORK, FORWARD) if name == FORWARD else Part(name, name, FORWARD * (name == "loss"))
        kept.append((owner, method, vars(owner).get(method)))
        setattr(owner, method, watched(tracing, part, getattr(owner, method)))
    try:
        yield
    finally:
        for owner, method, before in kept:
            if before is None:
                delattr(owner, method)
            else:
                setattr(owner, method, before)
        for handle in handles:
            handle.remove()


def hooks(tracing: Tracing, module: nn.Module, part: Part) -> list[Any]:
    """The hooks of one module."""
    return [
        module.register_forward_pre_hook(lambda _, __: tracing.enter(part)),
        module.register_forward_hook(lambda _, __, output: tracing.leave(output)),
    ]


def watched(tracing: Tracing, part: Part, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same, as a part."""

    @functools.wraps(work)
    def traced(*arguments: Any, **named: Any) -> Any:
        tracing.enter(part)
        output = None
        try:
            output = work(*arguments, **named)
        finally:
            tracing.leave(output)
        return output

    return traced


def layers_of(network: nn.Module) -> Iterator[tuple[nn.Module, Part]]:
    """The modules that are watched, with their parts: the blocks of a network, and within each its layers, which have
    no modules of their own."""
    for name, block in blocks_of(network):
        module = f"{name} {type(block).__name__}"
        if not is_layer(block):
            yield block, Part(BETWEEN, module, FORWARD)
        for layer in filter(is_layer, block.modules()):
            yield layer, Part(type(layer).__name__, module, FORWARD)


def is_layer(module: nn.Module) -> bool:
    """Whether a module has none of its own."""
    return next(module.children(), None) is None


def blocks_of(module: nn.Module, before: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The first modules within one that can be called: a list of modules cannot."""
    for name, child in module.named_children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from blocks_of(child, f"{before}{name}.")
        else:
            yield f"{before}{name}", child


# --- clocks -------------------------------------------------------------------------------------------------------


def clock_of(device: torch.device) -> Clock:
    """The clock of a device: on a GPU a part lasts until the GPU is done with it and goes on with the next one."""
    return event_in_stream if device.type == "cuda" else time.perf_counter


def event_in_stream() -> Any:
    """A moment that the GPU tells when it comes there."""
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_of(pieces: Sequence[Piece], device: torch.device) -> dict[Part, float]:
    """How long each part lasted in all, in seconds. A GPU has to be done with all of them."""
    total: dict[Part, float] = {}
    for part, began, ended in pieces:
        seconds = began.elapsed_time(ended) / 1e3 if device.type == "cuda" else ended - began
        total[part] = total.get(part, 0.0) + seconds
    return total


def summed(values: Mapping[Part, float], name: Callable[[Part], str]) -> dict[str, float]:
    """The parts of one name together."""
    total: dict[str, float] = {}
    for part, value in values.items():
        total[name(part)] = total.get(name(part), 0.0) + value
    return total
