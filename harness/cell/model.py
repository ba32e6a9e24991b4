"""What a model is to the rest of the cell: a package that has a `MODEL`, which does what `Model` lists.

The models are named in `cases/matrix.toml`. Nothing outside of its package knows more of a model than this.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor, nn

from harness.cell.schedule import make_optimizer
from harness.cell.source import source_of
from harness.cell.suppress import Suppress
from harness.cell.weights import draw_weights, take_entries
from harness.core import spec as asked
from harness.core.errors import UsageError
from harness.core.spec import Recipe


class Losses(NamedTuple):
    """The loss of one batch; 0-d tensors. Terms and branches are the same ones, in the same order, for every batch."""

    total: Tensor
    """What gradients are computed of: its size is that of the batch, so it is a sum over the pictures."""
    terms: dict[str, Tensor]
    """The parts that are worth a curve, by name; they may carry their gradients."""
    reached: dict[str, Tensor]
    """Of every branch that may rightly have no gradient although there are true boxes, whether something reached it."""

    def values(self) -> list[Tensor]:
        """All its numbers in order."""
        return [self.total, *self.terms.values(), *self.reached.values()]

    def replaced(self, values: Sequence[Any]) -> Losses:
        """The same with these numbers in their places."""
        terms, reached = values[1 : 1 + len(self.terms)], values[1 + len(self.terms) :]
        return Losses(values[0], dict(zip(self.terms, terms)), dict(zip(self.reached, reached)))


def table_of(losses: Sequence[Losses]) -> Tensor:
    """The numbers of some batches' losses, (batches, numbers) float32, without their gradients."""
    return torch.stack([torch.stack([value.detach().float() for value in loss.values()]) for loss in losses])


Criterion = Callable[[Any, Tensor, tuple[int, int]], Losses]
"""(output of the network, targets (batch, most, 5), size (height, width) in pixels) to the losses. A target is class,
x1, y1, x2, y2 in pixels; class -1 stands for none."""


class Model(ABC):
    """A detector that can be trained. A network takes pictures (batch, 3, height, width) in 0..1 whose sides are
    multiples of 32; what it puts out is the model's own business.

    What cannot be done raises `UsageError`, whose message the user reads.
    """

    @abstractmethod
    def build(self, classes: int) -> nn.Module:
        """A new network for so many classes, on the CPU."""

    def fed(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """What a network takes in training mode: the pictures alone, or the true boxes too, where its loss is computed
        inside."""
        return (images,)

    @abstractmethod
    def criterion(self, classes: int) -> Criterion:
        """The loss of its output in training mode, in float32 at least, and in float64 of a float64 output and targets.
        It must not make the host wait for the device."""

    @abstractmethod
    def detections(self, output: Any, nms: Suppress) -> list[Tensor]:
        """The detections of each picture from the output of the deployed network: (n, 6) float32 tensors of x1, y1,
        x2, y2 in pixels, score, class."""

    def chosen(self, entry: str, folder: Optional[Path]) -> Model:  # noqa: ARG002
        """The model that the entry names, by the user's folder where there is one. `UsageError` for an entry that it
        does not have."""
        if entry:
            raise UsageError(f"The model has no entry {entry!r}: leave `entry` out, as its package has one model.")
        return self

    def draw(self, network: nn.Module, seed: int) -> None:
        """Set the initial weights, in place: they depend on the seed alone, in every version of torch."""
        draw_weights(network, seed)

    def optimizer(self, network: nn.Module, recipe: Recipe, batch: int) -> torch.optim.Optimizer:
        """What updates its weights: three groups, of decayed weights, norm weights and biases, in this order."""
        return make_optimizer(network, recipe, batch)

    def branches(self, network: nn.Module) -> dict[str, list[str]]:
        """The names of the trained parameters by the branch of the network that they are in (`by_branch`). A branch
        whose gradients are all 0 is dead: a part that may rightly have none is no branch of its own, unless the losses
        tell whether something reached it."""
        return by_branch(network, {"network": [""]})

    def deployed(self, network: nn.Module) -> nn.Module:
        """A new network for inference, in eval mode; the given one is left as it is."""
        return deepcopy(network).eval()

    def network_of(self, entries: Mapping[str, Tensor]) -> nn.Module:
        """A new network with these entries, for as many classes as they have: float32, on the CPU."""
        classes = self._classes_in(entries)
        network = self.build(classes)
        take_entries(network.state_dict(), entries, f"the model (classes: {classes})")
        return network

    def classes_of(self, network: nn.Module) -> int:
        """For how many classes a network is."""
        return self._classes_in(network.state_dict())

    def trainable(self, network: nn.Module) -> bool:  # noqa: ARG002
        """Whether a network of `network_of` can be trained, and is not one that only detects."""
        return True

    def _classes_in(self, entries: Mapping[str, Tensor]) -> int:
        """From the first size that grows with the classes, as networks for one and for two of them show; 1 where
        nothing can be told of it."""
        one, two = (self.build(classes).state_dict() for classes in (1, 2))
        for name, entry in entries.items():
            if name in one and entry.dim() == one[name].dim():
                for size, least, next_ in zip(entry.shape, one[name].shape, two[name].shape):
                    if next_ > least and size >= least:
                        return 1 + (size - least) // (next_ - least)
        return 1

    def exportable(self, network: nn.Module, size: Optional[tuple[int, int]] = None) -> nn.Module:  # noqa: ARG002
        """What is exported of a deployed network, in eval mode: from pictures to plain tensors, the boxes (batch,
        boxes, 4) x1, y1, x2, y2 in pixels and their scores (batch, boxes, classes). It may be for pictures of that
        size (height, width) alone; None: for any."""
        raise UsageError("The model has no form that can be exported: `Model.exportable` says what that is.")

    def sever(self, output: Any) -> Any:  # noqa: ARG002
        """The output in training mode with one branch cut off from the network: what the fault dead-branch does."""
        raise UsageError("The model has no branch that can be cut off, so the fault dead-branch cannot be planted.")


def by_branch(network: nn.Module, starts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The names of the trained parameters by branch, for `Model.branches`. `starts`: what names begin with, by branch.
    A branch without any parameter is left out."""
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    found = {branch: [name for name in trained if name.startswith(tuple(start))] for branch, start in starts.items()}
    return {branch: names for branch, names in found.items() if names}


def load_model(model: asked.Model) -> Model:
    """The model that a spec names; `UsageError` where its package cannot be used."""
    if not model.package:
        raise UsageError(
            f"The model {model.name!r} is a folder without a package: all that can be done is run a script."
        )
    folder = source_of(model)
    try:
        found = importlib.import_module(model.package).MODEL
        if not isinstance(found, Model):
            raise UsageError(f"The model {model.name!r} cannot be used: MODEL of {model.package} is no Model.")
        return found.chosen(model.entry, folder)
    except UsageError:
        raise
    except Exception as error:  # whatever its author has done wrong
        raise UsageError(
            f"The model {model.name!r} cannot be used: {model.package} fails ({type(error).__name__}: {error})."
            f"{missing_package(error, model)}"
        ) from error


def missing_package(error: Exception, model: asked.Model) -> str:
    """What to do where a module is not installed; empty where it is something else."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return (
        f" If a package is missing, name it in the requirements of [models.{model.name}] in cases/matrix.toml, and "
        f"make the locks anew: `nox -s lock -- --model {model.name}`."
    )


def make_network(spec: asked.RunSpec, classes: int) -> nn.Module:
    """The spec's model with its initial weights, on the spec's device: all that a forward pass needs."""
    model = load_model(spec.model)
    network = model.build(classes)
    model.draw(network, spec.seed)
    return network.to(spec.device)
