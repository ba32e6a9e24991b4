"""The kinds of files: how each is saved, how it is loaded, and what comes of it in either place."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor, nn

from harness.cell import compat
from harness.cell.model import Model
from harness.core.spec import RunSpec

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=0.9, nesterov=True),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1e-3),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-3),
}
DECAY = 5e-4
"""Weight decay of the group of weights; that of biases and norms has none."""
GROWTH_INTERVAL = 3
"""Sound steps after which a scaler grows. One is saved a step before that, so that what it does next tells whether it
still knows how many there were."""


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
            outputs, after = ([kept[name] for name in in_order(kept.files, part)] for part in ("outputs", "after"))
        # what all pictures have in common, such as the biases of the last layers, would hide what tells them apart
        common = [one.mean(0, keepdims=True) for one in outputs]
        found = {"outputs": share(self.outputs, outputs, common)}
        return {**found, "the next step": share(self.after, after, self.before)} if after else found


def named(part: str, arrays: Sequence[np.ndarray]) -> dict[str, Any]:
    """Arrays by names that keep their order."""
    return {f"{part}-{place:05d}": one for place, one in enumerate(arrays)}


def in_order(names: Iterable[str], part: str) -> list[str]:
    """The names of a part, in order."""
    return sorted(name for name in names if name.startswith(f"{part}-"))


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


# --- weights ----------------------------------------------------------------------------------------------------------


def save_state_dict(bench: Bench, path: Path, *, zipped: bool = True) -> Came:
    """The entries of a network that was trained for some steps."""
    network, _ = bench.trained("sgd")
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=zipped)
    return Came(bench.outputs(network))


def load_state_dict(bench: Bench, path: Path) -> Came:
    """As everybody loads it."""
    network = bench.on_device()
    began = time.perf_counter()
    network.load_state_dict(compat.load_file(path, bench.spec.device))
    bench.seconds = time.perf_counter() - began
    return Came(bench.outputs(network))


def load_state_dict_safely(bench: Bench, path: Path) -> Came:
    """With `weights_only=True`."""
    if not compat.has_weights_only():
        raise NotHereError("torch.load has no weights_only here")
    network = bench.on_device()
    network.load_state_dict(compat.load_file(path, bench.spec.device, weights_only=True))
    return Came(bench.outputs(network))


def save_checkpoint(bench: Bench, path: Path) -> Came:
    """A dictionary as scripts write it: a mean of numpy's is a number of numpy's."""
    network, _ = bench.trained("sgd")
    best = np.array([0.25, 0.5]).mean()
    torch.save({"epoch": len(bench.feeds), "best": best, "network": network.state_dict()}, path)
    return Came(bench.outputs(network))


def load_checkpoint(bench: Bench, path: Path) -> Came:
    """By default; the number must be what it was."""
    network = bench.on_device()
    state = compat.load_file(path, bench.spec.device)
    if (state["epoch"], state["best"]) != (len(bench.feeds), 0.375):
        raise ValueError(f"epoch and best came back as {state['epoch']} and {state['best']}")
    network.load_state_dict(state["network"])
    return Came(bench.outputs(network))


# --- whole modules ----------------------------------------------------------------------------------------------------


def save_module(bench: Bench, path: Path, *, zipped: bool = True) -> Came:
    """The network itself, with all that pickle takes along."""
    network, _ = bench.trained("sgd")
    torch.save(network, path, _use_new_zipfile_serialization=zipped)
    return bench.next_step(network, make_optimizer("sgd", network))


def load_module(bench: Bench, path: Path, weights_only: Optional[bool] = None) -> Came:
    """The network, and a step with a new optimizer."""
    network = compat.load_file(path, bench.spec.device, weights_only)
    return bench.next_step(network, make_optimizer("sgd", network))


# --- what goes on with a training -------------------------------------------------------------------------------------


def save_optimizer(bench: Bench, path: Path, name: str) -> Came:
    """Weights and optimizer after some steps."""
    network, optimizer = bench.trained(name)
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, path)
    return bench.next_step(network, optimizer)


def load_optimizer(bench: Bench, path: Path, name: str) -> Came:
    """Going on with them."""
    network = bench.on_device()
    state = compat.load_file(path, bench.spec.device)
    network.load_state_dict(state["network"])
    optimizer = make_optimizer(name, network)
    optimizer.load_state_dict(state["optimizer"])
    return bench.next_step(network, optimizer)


class Scaling:
    """A weight that is trained with a loss scaler."""

    def __init__(self, device: str) -> None:
        self.weight = nn.Parameter(torch.ones(2, device=device))
        self.optimizer = torch.optim.SGD([self.weight], lr=1e-3)
        self.scaler = compat.grad_scaler(enabled=True, device=torch.device(device).type)
        if not self.scaler.is_enabled():
            raise NotHereError("its loss scaler works on a GPU only")

    def step(self, factor: float = 1.0) -> None:
        """One step; where the factor is not finite the scaler leaves it out and comes down."""
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale((self.weight * factor).sum()).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def came(self) -> Came:
        """What it does next: its scale and the sound steps since it last changed, now and after each further step."""
        seen = []
        for _ in range(GROWTH_INTERVAL):
            self.step()
            state = self.scaler.state_dict()
            seen.append(np.array([state["scale"], state["_growth_tracker"]]))
        return Came(seen)


def save_scaler(bench: Bench, path: Path) -> Came:
    """One that has come down once, a step before it grows."""
    scaling = Scaling(bench.spec.device)
    scaling.scaler.set_growth_interval(GROWTH_INTERVAL)
    for factor in (float("inf"), *[1.0] * (GROWTH_INTERVAL - 1)):
        scaling.step(factor)
    torch.save(scaling.scaler.state_dict(), path)
    return scaling.came()


def load_scaler(bench: Bench, path: Path) -> Came:
    """Another that goes on as it."""
    scaling = Scaling(bench.spec.device)
    scaling.scaler.load_state_dict(compat.load_file(path, bench.spec.device))
    return scaling.came()


# --- TorchScript ------------------------------------------------------------------------------------------------------


def save_traced(bench: Bench, path: Path) -> Came:
    """The deployed network as it is executed on one batch."""
    network = bench.model.deployed(bench.trained("sgd")[0])
    with torch.no_grad():
        traced = torch.jit.trace(network, bench.tensor(bench.feeds[-1].images), check_trace=False)
    torch.jit.save(traced, str(path))
    return Came(bench.outputs(traced))


def load_traced(bench: Bench, path: Path) -> Came:
    """No code of the network's is needed."""
    return Came(bench.outputs(torch.jit.load(str(path), map_location=bench.spec.device)))


def save_scripted(bench: Bench, path: Path) -> Came:
    """The largest part of the deployed network whose source can be compiled; beside it what that part is fed."""
    network = bench.model.deployed(bench.trained("sgd")[0])
    fed = fed_one_tensor(network, bench.tensor(bench.feeds[-1].images))
    name, scripted, why_not_all = largest_scriptable(network, fed)
    torch.jit.save(scripted, str(path))
    np.save(input_of(path), fed[name].cpu().numpy())
    if name:
        bench.remark = f"the largest part that can be compiled is {name}: the whole network ends in {why_not_all}"
    return Came(bench.outputs(scripted, fed[name]))


def load_scripted(bench: Bench, path: Path) -> Came:
    """The same part with the same input."""
    fed = bench.tensor(np.load(input_of(path)))
    return Came(bench.outputs(torch.jit.load(str(path), map_location=bench.spec.device), fed))


def input_of(path: Path) -> Path:
    """Where the input of a part lies, beside its file."""
    return path.with_suffix(".input.npy")


def largest_scriptable(network: nn.Module, names: Collection[str]) -> tuple[str, Any, str]:
    """Of these parts the largest that can be compiled: its name, empty for the whole, what it is compiled to, and why
    the whole cannot be. `NotHereError` where no part can be."""
    parts = [(name, part) for name, part in network.named_modules() if name in names]
    parts.sort(key=lambda part: -sum(one.numel() for one in part[1].parameters()))
    why = ""
    for name, part in parts:
        try:
            return name, torch.jit.script(part), why
        except Exception as error:  # whatever the compiler finds
            why = why or first_line(error)
    raise NotHereError(f"no part of the network can be compiled ({why})")


def fed_one_tensor(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """By name, what each part of a network is fed, of those that are fed one tensor."""
    found: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def keep(_: nn.Module, fed: tuple[Any, ...]) -> None:
            if len(fed) == 1 and isinstance(fed[0], Tensor):
                found[name] = fed[0]

        return keep

    handles = [module.register_forward_pre_hook(keeper(name)) for name, module in network.named_modules()]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return found


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0].strip()}" if said else type(error).__name__


# --- all of them ------------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """How a file is saved and loaded. `save` is None where the file is that of another kind, which `of` names."""

    load: Callable[[Bench, Path], Came]
    save: Optional[Callable[[Bench, Path], Came]] = None
    of: str = ""


KINDS: dict[str, Kind] = {
    "state": Kind(load_state_dict, save_state_dict),
    "state_legacy": Kind(load_state_dict, partial(save_state_dict, zipped=False)),
    "state_weights_only": Kind(load_state_dict_safely, of="state"),
    "checkpoint": Kind(load_checkpoint, save_checkpoint),
    "module": Kind(load_module, save_module),
    "module_legacy": Kind(load_module, partial(save_module, zipped=False)),
    "module_trusted": Kind(partial(load_module, weights_only=False), of="module"),
    **{name: Kind(partial(load_optimizer, name=name), partial(save_optimizer, name=name)) for name in OPTIMIZERS},
    "scaler": Kind(load_scaler, save_scaler),
    "traced": Kind(load_traced, save_traced),
    "scripted": Kind(load_scripted, save_scripted),
}
"""By the names of the checks."""
