"""The states that steps are taken from: they lie along one training of the baseline, in its own environment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from cases.fidelity import Settings
from harness.cell.checkpoint import read_checkpoint
from harness.cell.errand import Errand, do, state_file
from harness.cell.learner import Learner
from harness.cell.run import Run
from harness.cell.weights import set_entries, tensors_digest
from harness.core.errors import UsageError

State = dict[str, Any]
"""What a checkpoint has of network, average and optimiser."""


def states_of(run: Run, scratch: Path) -> list[State]:
    """Have the baseline train, and read what it was at every state; `UsageError` where its training is too short."""
    settings, baseline = run.settings_as(Settings), run.spec.peers[0]
    train = replace(run.spec.train, image_size=settings.trained_size, batch=settings.trained_batch, workers=0)
    plain = replace(run.spec, pin=baseline, peers=[], fault=None, nudged=False, instruments=True)
    spec = replace(plain, train=train, device="cpu", precision="fp32", threads=1)
    errand = Errand(spec, run.index, str(scratch / "answer.json"), states=str(scratch), states_at=settings.states)
    interpreter = run.interpreter_of(baseline)
    answer = do(errand, run.progress, "training the baseline", interpreter) if interpreter else "it was not built"
    if isinstance(answer, str):
        raise RuntimeError(f"The training of the baseline {baseline.name}, which all pins begin at, failed: {answer}.")
    if len(answer.losses) < max(settings.states):
        raise UsageError(
            f"The training has {len(answer.losses)} steps, and a state is asked for after {max(settings.states)}: "
            "give the case more pictures or epochs, or earlier states."
        )
    return [state_in(state_file(scratch, steps)) for steps in settings.states]


def state_in(path: Path) -> State:
    """The part of a checkpoint that a step begins at. What counts steps becomes a plain number: versions of torch that
    count by tensors would take it from others as it is, and lose digits by it."""
    state = read_checkpoint(path)[1]
    path.unlink()
    for values in state["optimizer"]["state"].values():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.dim() == 0:
                values[name] = value.item()
    return {name: state[name] for name in ("network", "average", "optimizer")}


def digest_of(states: Sequence[State]) -> str:
    """The sha256 of all that the states hold."""
    digest = hashlib.sha256()
    for state in states:
        digest.update(tensors_digest(dict(tensors_in(state))).encode())
    return digest.hexdigest()


def tensors_in(state: Mapping[Any, Any], where: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of nested dictionaries by its path."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield f"{where}{name}", value
        elif isinstance(value, Mapping):
            yield from tensors_in(value, f"{where}{name}/")


@torch.no_grad()
def begin_at(state: State, learner: Learner) -> None:
    """Put a learner, of whatever precision, where a state is. What its optimiser is told stays the pin's own."""
    set_entries(learner.network, state["network"])
    learner.average.load_state_dict(state["average"])
    # a copy: some versions of torch take tensors as they are, and would change those of the state
    moments = deepcopy(state["optimizer"]["state"])
    learner.optimizer.load_state_dict({**learner.optimizer.state_dict(), "state": moments})


@torch.no_grad()
def put_weights(state: State, learner: Learner) -> None:
    """Put only the trained weights where a state has them: all that the gradients depend on."""
    for name, parameter in zip(learner.names, learner.parameters):
        parameter.copy_(state["network"][name])
