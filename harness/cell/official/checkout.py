"""What is asked of an official checkout: a few of its names, which are imported from the user's folder."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from torch import nn, optim

from harness.cell.variables import variables_kept
from harness.core.errors import UsageError
from harness.core.spec import Recipe

HYPERPARAMETERS = "data/hyps/hyp.scratch-high.yaml"
BOXES, AUXILIARY_BOXES = "main box head", "auxiliary box head"
HEADS = {AUXILIARY_BOXES: "cv2", "auxiliary class head": "cv3", BOXES: "cv4", "main class head": "cv5"}
"""The parts of a head of two groups."""
ASSIGNERS = {AUXILIARY_BOXES: "assigner", BOXES: "assigner2"}
"""What assigns true boxes to the cells of a group, in the loss, by the part of the head that learns boxes from that."""
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}


class Checkout:
    """A checkout in a folder, whose modules can be imported. `ModuleNotFoundError` where a package is missing that they
    need; `UsageError` where the folder is none, or has no such file of a model."""

    def __init__(self, folder: Path, entry: str) -> None:
        self.folder = folder
        self.cfg = folder / entry
        for file in ("models/yolo.py", "utils/loss_tal_dual.py", HYPERPARAMETERS, entry):
            if not (folder / file).is_file():
                raise UsageError(f"{folder} is no official checkout with {file}: look at path and entry in [models.*].")
        with variables_kept():
            self.yolo, self.losses, self.tools = (
                own_module(folder, name) for name in ("models.yolo", "utils.loss_tal_dual", "utils.torch_utils")
            )
        self.hyperparameters = {**yaml.safe_load((folder / HYPERPARAMETERS).read_text(encoding="utf-8"))}

    def model(self, classes: int) -> nn.Module:
        """A new model for so many classes."""
        with quiet():
            made: nn.Module = self.yolo.DetectionModel(str(self.cfg), ch=3, nc=classes)
        return made

    @staticmethod
    def head_of(network: Any) -> Any:
        """The last layer of a model."""
        return network.model[-1]

    def branches_of(self, network: Any) -> dict[str, list[str]]:
        """What the names of parameters begin with, by branch: the parts of the head; the layers that only one of its
        groups is fed from; and those that both are."""
        *layers, head = network.model
        fed = sources_of(head, len(layers))
        auxiliary, main = (upstream(layers, part) for part in (fed[: len(fed) // 2], fed[len(fed) // 2 :]))
        parts = {
            "shared layers": auxiliary & main,
            "auxiliary layers": auxiliary - main,
            "main layers": main - auxiliary,
        }
        of_layers = {branch: [f"model.{place}." for place in sorted(places)] for branch, places in parts.items()}
        return {**of_layers, **{branch: [f"model.{len(layers)}.{part}."] for branch, part in HEADS.items()}}

    @staticmethod
    def assigners_of(loss: Any) -> dict[str, nn.Module]:
        """What assigns true boxes to cells, by the branch that learns from these. A loss that has none by these names
        does not tell whether that branch was reached."""
        return {branch: getattr(loss, name) for branch, name in ASSIGNERS.items() if hasattr(loss, name)}

    def shim(self, classes: int) -> nn.Module:
        """What the loss looks at of a model: its head, and the hyperparameters."""
        return Shim(self.head_of(self.model(classes)), self.hyperparameters)

    def loss(self, shim: nn.Module) -> Any:
        """The loss for the head's device."""
        return self.losses.ComputeLoss(shim)

    def optimizer(self, network: nn.Module, recipe: Recipe, batch: int) -> optim.Optimizer:
        """The optimizer; its groups come in the order in which the schedule has their rates: decayed weights, norm
        weights, biases."""
        decay = recipe.weight_decay
        if recipe.nominal_batch:
            decay *= batch * max(1, round(recipe.nominal_batch / batch)) / recipe.nominal_batch
        with quiet():
            name = OPTIMIZERS[recipe.optimizer]
            made: optim.Optimizer = self.tools.smart_optimizer(
                network, name, recipe.learning_rate, recipe.momentum, decay
            )
        biases, weights, norms = made.param_groups
        made.param_groups = [weights, norms, biases]
        return made


def sources_of(layer: Any, place: int) -> list[int]:
    """The places of the layers whose outputs the layer at this place takes; -1 is the picture."""
    taken = [layer.f] if isinstance(layer.f, int) else layer.f
    return [place + one if one < 0 else one for one in taken]


def upstream(layers: Sequence[nn.Module], places: Sequence[int]) -> set[int]:
    """The layers at these places, and all that feed them."""
    found: set[int] = set()
    waiting = [*places]
    while waiting:
        place = waiting.pop()
        if place >= 0 and place not in found:
            found.add(place)
            waiting += sources_of(layers[place], place)
    return found


class Shim(nn.Module):
    """A model that is nothing but a head."""

    def __init__(self, head: nn.Module, hyperparameters: dict[str, Any]) -> None:
        super().__init__()
        self.model = nn.ModuleList([head])
        self.hyp = hyperparameters

    def _apply(self, *arguments: Any, **named: Any) -> Any:
        """The strides of a head are no buffer: the checkout's model moves them itself."""
        head: Any = self.model[0]
        head.stride = arguments[0](head.stride)
        return super()._apply(*arguments, **named)


def own_module(folder: Path, name: str) -> ModuleType:
    """A module of the checkout; `UsageError` where another one of that name is found."""
    module = importlib.import_module(name)
    if not Path(module.__file__ or "").resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"The module {name} is found in {module.__file__}, and not in the checkout {folder}.")
    return module


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the lines that a checkout logs of every model and optimizer."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
