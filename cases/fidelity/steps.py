"""One step from a state, by the loop's own code, in the precision of a run or in float64."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cases.fidelity.states import State, begin_at, put_weights
from harness.cell.data.batches import Batch, EvaluationBatch
from harness.cell.gradients import Gradients
from harness.cell.learner import RunningStatistics
from harness.cell.model import Criterion, Losses, Model
from harness.cell.scoring import Detections, Score, no_detections, score
from harness.cell.suppress import Suppress
from harness.cell.train import Gathered, Loop, Position, detections_of, gather, update

Tensors = dict[str, Tensor]
HERE = Position(0, 0)
WHOLE = "the whole network"
TRIES = 20
"""Steps in which the loss scaler may find its level."""
ROUNDING, FINEST = 2.0**-24, 2.0**-52
"""Half a unit in the last place of a float32, and a whole one of a float64, as shares of a number."""
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
KINDS = ("loss", "gradient", "update", "statistics", "average", "output")
"""What a step comes to, as tensors."""


@dataclass
class Outcome:
    """What one step comes to: by kind its tensors, and the detections of the averaged weights after it."""

    tensors: dict[str, Tensors]
    detections: Detections
    score: Score


class Watched(Model):
    """A model whose deployed outputs are kept; `wide`: its networks are float64 and so is what they are fed."""

    def __init__(self, model: Model, *, wide: bool) -> None:
        self.model = model
        self.wide = wide
        self.outputs: list[Tensor] = []

    def build(self, classes: int) -> nn.Module:
        """As the model does."""
        return self.model.build(classes)

    def fed(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """As the model's."""
        return self.model.fed(images, targets)

    def criterion(self, classes: int) -> Criterion:
        """As the model's."""
        return self.model.criterion(classes)

    def deployed(self, network: nn.Module) -> nn.Module:
        """As the model's, fed float64 where it is such."""
        made = self.model.deployed(network)
        return Widened(made) if self.wide else made

    def detections(self, output: Any, nms: Suppress) -> list[Tensor]:
        """As the model's; the output is kept."""
        self.outputs += floats_in(output)
        return self.model.detections(output, nms)


class Widened(nn.Module):
    """A network that is fed float64."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *fed: Tensor) -> Any:
        """The output for the same in float64."""
        return self.network(*(one.double() for one in fed))


def floats_in(output: Any) -> Iterator[Tensor]:
    """Every floating tensor of nested lists, tuples and dictionaries, in order."""
    if isinstance(output, Tensor) and output.is_floating_point():
        yield output
    elif isinstance(output, (list, tuple, dict)):
        yield from chain.from_iterable(map(floats_in, output.values() if isinstance(output, dict) else output))


class Stepper:
    """Takes single steps, each from a state, as a training loop would; `wide`: in float64."""

    def __init__(self, loop: Loop, *, wide: bool) -> None:
        self.loop = loop
        self.watched = loop.learner.model = Watched(loop.learner.model, wide=wide)
        if wide:
            widen(loop)

    def gradients(self, state: State, batch: Batch, nudge: int = 0, share: float = ROUNDING) -> Tensors:
        """The gradients from a state; with `nudge`, a seed, from weights that are nudged by a share of their size. They
        stay in the loop."""
        learner = self.loop.learner
        learner.network.train()
        for _ in range(TRIES):
            self.loop.gathered = Gathered()
            learner.optimizer.zero_grad(set_to_none=True)
            put_weights(state, learner)
            if nudge:
                nudge_exactly(learner.parameters, nudge, share)
            gather(self.loop, [batch])
            scale = float(learner.scaler.scale(torch.ones((), device=learner.device)))
            found = {name: gradient_of(one) / scale for name, one in zip(learner.names, learner.parameters)}
            if scale <= 1 or all(bool(one.isfinite().all()) for one in found.values()):
                break
            update(self.loop, HERE)  # the scaler leaves the step out, and comes down
        return found

    def step(self, state: State, batch: Batch, pictures: Sequence[EvaluationBatch]) -> Outcome:
        """All that a step comes to, and what is detected after it on some pictures, or on none."""
        learner = self.loop.learner
        begin_at(state, learner)
        gradients = self.gradients(state, batch)
        losses = self.loop.gathered.losses[0]
        before, statistics = weights_of(self.loop), floats_of(dict(learner.network.named_buffers()))
        update(self.loop, HERE)
        self.watched.outputs.clear()
        found = detections_of(self.loop, pictures) if pictures else no_detections()
        tensors = {
            "loss": {name: one.detach().double() for name, one in {"loss": losses.total, **losses.terms}.items()},
            "gradient": gradients,
            "update": moved(weights_of(self.loop), before),
            "statistics": moved(statistics, state["network"]),
            "average": moved(floats_of(learner.average.network.state_dict()), state["average"]["network"]),
        }
        if pictures:
            tensors["output"] = {str(number): one.double() for number, one in enumerate(self.watched.outputs)}
        return Outcome(tensors, found, self.score(found, sum(len(one.placements) for one in pictures)))

    def score(self, found: Detections, pictures: int) -> Score:
        """The COCO figures of what was detected on so many pictures."""
        index = self.loop.index
        return score(self.loop.learner.planted.truth(index.val[:pictures]), index.classes, found)


def gradient_of(parameter: nn.Parameter) -> Tensor:
    """In float64; none is 0."""
    return torch.zeros_like(parameter).double() if parameter.grad is None else parameter.grad.double()


@torch.no_grad()
def nudge_exactly(parameters: Sequence[nn.Parameter], seed: int, share: float) -> None:
    """Move every weight, in float64, by a share of its size: up, down or not at all, as numpy draws it from the
    seed."""
    chance = np.random.RandomState(seed)
    for parameter in parameters:
        way = torch.from_numpy(chance.randint(-1, 2, tuple(parameter.shape)))
        parameter.mul_(1 + way.to(parameter) * share)


def widen(loop: Loop) -> None:
    """Make a training that has not begun one in float64."""
    learner, criterion = loop.learner, loop.criterion
    learner.network.double()
    learner.average.network.double()
    learner.statistics = RunningStatistics(learner.network)
    learner.gradients = Gradients(learner.parameters)
    learner.forward = Widened(learner.network)
    loop.criterion = lambda output, targets, size: criterion(output, targets.double(), size)


def weights_of(loop: Loop) -> Tensors:
    """A copy of the trained weights."""
    learner = loop.learner
    return {name: one.detach().clone() for name, one in zip(learner.names, learner.parameters)}


def floats_of(tensors: Mapping[str, Tensor]) -> Tensors:
    """A copy of those that are no counts."""
    return {name: one.detach().clone() for name, one in tensors.items() if one.is_floating_point()}


def moved(after: Tensors, before: Tensors) -> Tensors:
    """By how much each has changed, in float64."""
    return {name: one.double() - before[name].to(one.device).double() for name, one in after.items()}


# --- how far two steps are apart ------------------------------------------------------------------------------------


def relative_error(one: Tensors, exact: Tensors) -> float:
    """The 2-norm of the difference over everything, as a share of that of `exact`."""
    apart, whole = math.hypot(*distances(one, exact).values()), math.hypot(*norms(exact).values())
    return apart / whole if whole else (math.inf if apart else 0.0)


def distances(one: Tensors, exact: Tensors) -> dict[str, float]:
    """The 2-norm of the difference of every tensor."""
    return {name: float((one[name] - value).norm()) for name, value in exact.items()}


def norms(tensors: Tensors) -> dict[str, float]:
    """The 2-norm of every tensor."""
    return {name: float(value.norm()) for name, value in tensors.items()}


# --- what differs first -----------------------------------------------------------------------------------------------


class Trace:
    """The modules of a network in the order in which they end, each with a digest of what it puts out; then what
    follows from it."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.forward: list[tuple[str, str]] = []
        self.backward: list[tuple[str, str]] = []
        self.statistics: list[tuple[str, str]] = []
        self.handles: list[Any] = []

    def __enter__(self) -> Trace:
        for name, module in self.network.named_modules():
            self.handles.append(module.register_forward_hook(self.keeper(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def keeper(self, name: str) -> Any:
        """The hook of one module."""

        def keep(_: nn.Module, __: Any, output: Any) -> None:
            self.forward.append((name or WHOLE, digest_of_bits(floats_in(output))))

        return keep

    def keep_rest(self, losses: Losses, gradients: Tensors) -> None:
        """Keep what follows the network: the loss, which ends the forward pass; the gradients in the order in which
        they arise, the reverse of that of their modules; and the running statistics, in the network's order."""
        own = {
            name or WHOLE: [f"{name}.{one}".lstrip(".") for one, _ in module.named_parameters(recurse=False)]
            for name, module in self.network.named_modules()
        }
        names = dict.fromkeys(one for module, _ in reversed(self.forward) for one in reversed(own[module]))
        self.backward = [(name, digest_of_bits([gradients[name]])) for name in names if name in gradients]
        terms = {**losses.terms, "": losses.total}
        self.forward += [(f"the loss {name}".strip(), digest_of_bits(floats_in(one))) for name, one in terms.items()]
        buffers = floats_of(dict(self.network.named_buffers()))
        self.statistics = [(name, digest_of_bits([one])) for name, one in buffers.items()]


def digest_of_bits(tensors: Iterable[Tensor]) -> str:
    """A digest of the bits of floating tensors: sums of them as integers, each weighed by its place, modulo 2^64. A
    sha256 would have to carry every activation to the host."""
    total = 0
    for tensor in tensors:
        whole = BITS[tensor.element_size()]
        bits = tensor.detach().contiguous().view(-1).view(whole).long()
        places = torch.arange(1, bits.numel() + 1, device=bits.device) * 2 + 1
        total = total * 31 + int((bits * places).sum()) + bits.numel()
    return f"{total % 2**64:016x}"
