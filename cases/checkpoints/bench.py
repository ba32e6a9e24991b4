"""The bench on which files are made and tried: a network, the batches that all pins are fed, and what comes of a file
where it is saved and where it is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor, nn

from harness.cell.model import Model
from harness.core.spec import RunSpec

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=0.9, nesterov=True),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1e-3),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-3),
}
DECAY = 5e-4
"""Weight decay of the group of weights; that of biases and norms has none."""


class NotHereError(Exception):
    """This version or device has no such thing; the message is a part of a sentence."""


class Feed(NamedTuple):
    """What one step is fed: pictures (batch, 3, h, w) float32 in 0..1, targets as a criterion takes them."""

    images: np.ndarray
    targets: np.ndarray


@dataclass
class Bench:
    """What files are made of, and what they are loaded into: the spec's network on the CPU until it is asked for, and
    the batches that all pins are fed."""

    spec: RunSpec
    model: Model
    network: nn.Module
    classes: int
    feeds: Sequence[Feed]
    seconds: float = 0.0
    """What loading took, where that is measured."""
    remark: str = ""
    """What else there is to say of a file, as a part of a sentence."""

    def on_device(self) -> nn.Module:
        """The network on the spec's device."""
        return self.network.to(self.spec.device)

    def trained(self, optimizer: str) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The network and its optimizer after all steps but the last. Its running statistics are those of the latest
        batch: with so few steps they would be next to nothing else, and the outputs next to nothing but rounding."""
        network = self.on_device()
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
        made = make_optimizer(optimizer, network)
        for feed in self.feeds[:-1]:
            self.step(network, made, feed)
        return network, made

    def step(self, network: nn.Module, optimizer: torch.optim.Optimizer, feed: Feed) -> None:
        """One step of training on a batch."""
        network.train()
        optimizer.zero_grad(set_to_none=True)
        images, targets = self.tensor(feed.images), self.tensor(feed.targets)
        output = network(*self.model.fed(images, targets))
        losses = self.model.criterion(self.classes)(output, targets, feed.images.shape[2:])
        losses.total.backward()
        optimizer.step()

    def tensor(self, values: np.ndarray) -> Tensor:
        """An array on the spec's device."""
        return torch.from_numpy(values).to(self.spec.device)

    @torch.no_grad()
    def outputs(self, network: nn.Module, images: Optional[Tensor] = None) -> list[np.ndarray]:
        """What a network in eval mode makes of the last batch's pictures, or of an input of its own."""
        fed = self.tensor(self.feeds[-1].images) if images is None else images
        return [one.cpu().numpy() for one in floats_in(network.eval()(fed))]

    def next_step(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> Came:
        """What the network puts out now, and what the step on the last batch makes of its weights."""
        came = Came(self.outputs(network), before=weights_of(network))
        self.step(network, optimizer, self.feeds[-1])
        came.after = weights_of(network)
        return came


@dataclass
class Came:
    """What came of a file: the outputs of what is in it, picture by picture, and its weights before and after the next
    step where it has one."""

    outputs: list[np.ndarray]
    before: list[np.ndarray] = field(default_factory=list)
    after: list[np.ndarray] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Keep outputs and next weights for whoever loads the file."""
        with path.open("wb") as file:
            np.savez(file, **named("outputs", self.outputs), **named("after", self.after))

    def apart(self, there: Path) -> dict[str, Optional[float]]:
        """How far outputs and the next step are from those where the file was saved, as `share` says."""
        with np.load(there) as kept:
            outputs, after = arrays_of(kept, "outputs"), arrays_of(kept, "after")
        # what all pictures have in common, such as the biases of the last layers, would hide what tells them apart
        common = [one.mean(0, keepdims=True) for one in outputs]
        found = {"outputs": share(self.outputs, outputs, common)}
        return {**found, "the next step": share(self.after, after, self.before)} if after else found


def named(part: str, arrays: Sequence[np.ndarray]) -> dict[str, Any]:
    """Arrays by names that keep their order."""
    return {f"{part}-{place:05d}": one for place, one in enumerate(arrays)}


def arrays_of(kept: Mapping[str, np.ndarray], part: str) -> list[np.ndarray]:
    """What `named` gave the names of a part, in order."""
    return [kept[name] for name in sorted(name for name in kept if name.startswith(f"{part}-"))]


def write_feeds(path: Path, feeds: Sequence[Feed]) -> None:
    """Keep batches in order, for every process that is to be fed them."""
    images, targets = zip(*feeds)
    with path.open("wb") as file:
        np.savez(file, **named("images", images), **named("targets", targets))


def read_feeds(path: Path) -> list[Feed]:
    """What `write_feeds` wrote."""
    with np.load(path) as kept:
        return [*map(Feed, arrays_of(kept, "images"), arrays_of(kept, "targets"))]


def share(here: Sequence[np.ndarray], there: Sequence[np.ndarray], start: Sequence[np.ndarray]) -> Optional[float]:
    """The 2-norm of `here` less `there` as a share of that of `there` less `start`: 0 where all bits are equal, None
    where shapes differ, numbers are not finite, or nothing has moved."""
    if [one.shape for one in here] != [one.shape for one in there] or len(start) != len(there):
        return None
    apart, whole = norm(here, there), norm(there, start)
    if not (math.isfinite(apart) and math.isfinite(whole)) or whole == 0:
        return None
    alike = all(one.tobytes() == other.tobytes() for one, other in zip(here, there))
    return 0.0 if alike else apart / whole


def norm(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """The 2-norm of the difference of all of them, in float64."""
    return math.hypot(*(float(np.linalg.norm(one.astype(np.float64) - other)) for one, other in zip(ones, others)))


def floats_in(output: Any) -> list[Tensor]:
    """Every floating tensor of nested lists, tuples and dictionaries, in order."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, (list, tuple, dict)):
        return [*chain.from_iterable(map(floats_in, output.values() if isinstance(output, dict) else output))]
    return []


def weights_of(network: nn.Module) -> list[np.ndarray]:
    """A copy of the trained weights."""
    return [one.detach().cpu().numpy().copy() for one in network.parameters() if one.requires_grad]


def make_optimizer(name: str, network: nn.Module) -> torch.optim.Optimizer:
    """A new optimizer of the network in two groups, as trainings have: what decays, and the rest."""
    trained = [one for one in network.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in trained if one.dim() > 1], "weight_decay": DECAY},
        {"params": [one for one in trained if one.dim() <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[name](groups)


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0].strip()}" if said else type(error).__name__
