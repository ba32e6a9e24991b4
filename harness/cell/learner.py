"""What a training changes: the weights, their average, the optimiser, the loss scaler; and what it is fed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

import torch
from torch import Tensor, nn

from harness.cell import compat
from harness.cell.average import Place, WeightAverage
from harness.cell.data.batches import Batch
from harness.cell.faults import Planted
from harness.cell.gradients import Gradients
from harness.cell.model import Losses, Model, load_model, make_network
from harness.cell.targets import pad_targets
from harness.cell.weights import nudge_weights, weights_digest
from harness.core.spec import RunSpec


class Group:
    """The processes that share a training. This is the group of one, which has nobody to agree with."""

    processes = 1
    leads = True
    """Whether this process is the one that evaluates."""

    def agreed(self, losses: Sequence[Losses]) -> Sequence[Losses]:
        """The losses of a step as all processes are to judge them."""
        return losses


@dataclass
class Learner:
    """All that a training changes."""

    model: Model
    network: nn.Module
    forward: Callable[[Tensor], Any]
    """What the forward pass goes through: the network, or what shares its gradients with other processes."""
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    scaler: Any
    statistics: RunningStatistics
    names: list[str]
    parameters: list[nn.Parameter]
    gradients: Gradients
    device: torch.device
    amp: bool
    planted: Planted
    initial_weights: str
    """Digest of the weights that it began with, whether or not they were nudged since."""
    group: Group = field(default_factory=Group)

    def wait(self) -> None:
        """Until the device has done all that it was told to."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class RunningStatistics:
    """The buffers of all batch normalisations, which a forward pass changes before anyone can see whether the step is
    to be left out.

    They are laid side by side in memory, one block for each type, so that keeping them costs a step one copy a block
    and not one a buffer.
    """

    def __init__(self, network: nn.Module) -> None:
        places: dict[torch.dtype, list[Place]] = {}
        for module in network.modules():
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                if isinstance(getattr(module, name, None), Tensor):
                    places.setdefault(getattr(module, name).dtype, []).append((module._buffers, name))
        self.places = [place for found in places.values() for place in found]
        self.blocks = [side_by_side(found) for found in places.values()]
        self.kept = [block.clone() for block in self.blocks]
        self.buffers: list[Tensor] = []

    def keep(self) -> None:
        """Remember them as they are now: before the first forward pass of a step."""
        self.buffers = [owner[name] for owner, name in self.places]
        for kept, block in zip(self.kept, self.blocks):
            kept.copy_(block)

    def restore(self) -> None:
        """Put them back as they were: the step is left out.

        torch 1.10 does not add to a module's count of batches but puts another tensor in its place: then the one before
        still has its value, and takes its place again.
        """
        for (owner, name), buffer in zip(self.places, self.buffers):
            owner[name] = buffer
        for kept, block in zip(self.kept, self.blocks):
            block.copy_(kept)


def side_by_side(places: list[Place]) -> Tensor:
    """One tensor that holds the values of these buffers, which from now on are views of it."""
    buffers = [owner[name] for owner, name in places]
    block = torch.cat([buffer.reshape(-1) for buffer in buffers])
    parts = block.split([buffer.numel() for buffer in buffers])
    for (owner, name), buffer, part in zip(places, buffers, parts):
        owner[name] = part.view(buffer.shape)
    return block


def make_learner(spec: RunSpec, classes: int, given: Optional[nn.Module] = None) -> Learner:
    """The spec's network on the spec's device, with the weights of its seed or as it is given, and what trains it."""
    model = load_model(spec.model)
    planted = Planted(spec.fault, classes, model)
    network = planted.build(given.to(spec.device) if given else make_network(spec, classes))
    initial_weights = weights_digest(network)
    if spec.nudged:
        nudge_weights(network, spec.seed)
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    amp = spec.precision == "amp"
    return Learner(
        model=model,
        network=network,
        forward=network,
        average=WeightAverage(network, planted.decay(spec.recipe.ema_decay), spec.recipe.ema_updates),
        optimizer=model.optimizer(network, spec.recipe, spec.train.batch),
        scaler=compat.grad_scaler(enabled=amp),
        statistics=RunningStatistics(network),
        names=list(trained),
        parameters=list(trained.values()),
        gradients=Gradients(list(trained.values())),
        device=torch.device(spec.device),
        amp=amp,
        planted=planted,
        initial_weights=initial_weights,
    )


def mixed_precision(learner: Learner) -> contextlib.AbstractContextManager[Any]:
    """float16 where it is safe on CUDA under `amp`; otherwise nothing, on all torch versions alike."""
    return torch.autocast(device_type="cuda") if learner.amp else contextlib.nullcontext()


def to_device(batch: Batch, learner: Learner) -> tuple[Tensor, Tensor]:
    """A batch's pictures (batch, 3, h, w) float32 in 0..1 and padded targets, on the device without making it wait."""
    height, width = batch.images.shape[2:]
    images = torch.from_numpy(batch.images)
    labels = learner.planted.labels(batch.targets)
    targets = torch.from_numpy(pad_targets(labels, len(batch.images), width, height))
    if learner.device.type == "cuda":  # only a copy from pinned memory is asynchronous
        images, targets = images.pin_memory(), targets.pin_memory()
    return images.to(learner.device, non_blocking=True).float() / 255, targets.to(learner.device, non_blocking=True)
