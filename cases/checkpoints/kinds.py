"""The kinds of files: how each is saved, and how it is loaded."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor, nn

from cases.checkpoints.bench import OPTIMIZERS, Bench, Came, NotHereError, first_line, make_optimizer
from harness.cell import compat

GROWTH_INTERVAL = 3
"""Sound steps after which a scaler grows. One is saved a step before that, so that what it does next tells whether it
still knows how many there were."""

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
