"""What a training step holds of the memory when it holds the most, by what has taken it.

Torch's profiler tells of every tensor's memory when it is taken and given back, but in 1.10 not which of them it is. So
what is given back is taken to be the latest of that size that is still held: within an operator that is so, and the
backward pass gives back in reverse order.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple

import torch
from torch import Tensor
from torch.profiler import record_function

from cases.attribution.tracing import Part, Tracing
from harness.cell import compat
from harness.cell.learner import Learner
from harness.cell.train import Loop

MARK = "attribution: "
OUTSIDE = "memory outside of tensors"


class Change(NamedTuple):
    """Bytes that a part has taken, or where they are negative given back."""

    part: Part
    size: int


def memory_of_step(loop: Loop, step: Callable[[], object]) -> dict[Part, float]:
    """The bytes of tensors that are held when a step holds the most, by what has taken them; what was there before the
    step is in it, as weights and the like."""
    marks = Marks()
    tracing = Tracing(loop, marks)
    with compat.profiled_memory(MARK) as events, tracing.traced() as pieces:
        step()
    on_gpu = loop.learner.device.type == "cuda"
    moments = {int(one.mark[len(MARK) :]): one.began for one in events if one.mark}
    ends = [moments[piece.ended] for piece in pieces]
    parts = [piece.part for piece in pieces]
    taken = sorted((one.began, one.size) for one in events if one.size and one.on_gpu == on_gpu)
    held = at_peak([Change(parts[min(bisect.bisect_left(ends, at), len(ends) - 1)], size) for at, size in taken])
    for part, size in held_before(loop.learner).items():
        held[part] = held.get(part, 0.0) + size
    return held


class Marks:
    """A clock whose moments are the numbers of marks that the profiler sees."""

    def __init__(self) -> None:
        self.number = -1

    def __call__(self) -> int:
        """The mark of now."""
        self.number += 1
        with record_function(f"{MARK}{self.number}"):
            return self.number


def at_peak(changes: Sequence[Change]) -> dict[Part, float]:
    """What is held by parts when the most is held. What was there before cannot be told and is left out."""
    changes = [*known(changes)]
    sums, total = [0], 0
    for change in changes:
        total += change.size
        sums.append(total)
    held: dict[Part, float] = {}
    for part, size in changes[: sums.index(max(sums))]:
        held[part] = held.get(part, 0.0) + size
    return {part: size for part, size in held.items() if size}


def known(changes: Iterable[Change]) -> Iterable[Change]:
    """The changes with what is given back as that of the part that took it; what nobody here has taken is left out."""
    takers: dict[int, list[Part]] = {}
    for part, size in changes:
        if size > 0:
            takers.setdefault(size, []).append(part)
            yield Change(part, size)
        elif takers.get(-size):
            yield Change(takers[-size].pop(), size)


def held_before(learner: Learner) -> dict[Part, float]:
    """Bytes of what a training holds all the time; what several of these share counts once."""
    states = learner.optimizer.state.values()
    held = {
        "weights": [*learner.network.parameters(), *learner.network.buffers()],
        "weight average": [*learner.average.network.parameters(), *learner.average.network.buffers()],
        "optimiser's state": [one for state in states for one in state.values() if isinstance(one, Tensor)],
        "statistics kept": learner.statistics.kept,
    }
    seen: set[int] = set()
    return {Part(name, name): float(sum(own_size(one, seen) for one in tensors)) for name, tensors in held.items()}


def own_size(tensor: torch.Tensor, seen: set[int]) -> int:
    """The bytes of a tensor; 0 of one that lies where another one does."""
    if tensor.data_ptr() in seen:
        return 0
    seen.add(tensor.data_ptr())
    return tensor.numel() * tensor.element_size()
