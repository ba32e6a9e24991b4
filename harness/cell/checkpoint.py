"""Checkpoints: everything that a run needs to go on, written atomically and verified when read.

A file is one line of JSON, which says what it is, and bytes, whose sha256 the line has. Of a training they are those of
`torch.save`. What is saved are tensors, numbers, text, and lists and dictionaries of them, which every torch version
reads back.
"""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path
from typing import Any, Union

import msgspec
import numpy as np
import torch

from harness.cell.resident import give_back
from harness.cell.scoring import Score
from harness.cell.train import EpochPart, Hook, Loop, Position, Training
from harness.cell.weights import set_entries
from harness.core.checkpoints import FORMAT, Header
from harness.core.files import write_atomically
from harness.core.record import Anomaly
from harness.core.spec import RunSpec

PLAIN = (
    "initial_weights",
    "losses",
    "terms",
    "norms",
    "skipped_steps",
    "epoch_seconds",
    "epoch_cpu_seconds",
    "waited_seconds",
    "evaluation_seconds",
    "begun",
    "turns",
    "sittings",
)
"""The fields of `Training` that are saved as they are."""
COUNTS = ("anomalous_steps", "nonfinite_gradients", "scaler_skips")
"""Those of its watch."""


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message says which, why, and what to do."""


def write_checkpoint(path: Path, loop: Loop, following: Position) -> None:
    """Write what `loop` needs to go on at `following`. Whoever reads, or is killed at any moment, finds this
    checkpoint or the one before it, whole."""
    buffer = io.BytesIO()
    torch.save(state_of(loop), buffer)
    write_content(path, loop.spec, following, buffer.getbuffer())


def write_content(path: Path, spec: RunSpec, following: Position, content: Union[bytes, memoryview]) -> None:
    """Write these bytes as the checkpoint of a run that goes on at `following`."""
    header = Header(
        format=FORMAT,
        torch=str(torch.__version__),
        run=spec.identity(),
        epoch=following.epoch,
        step=following.step,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    write_atomically(path, msgspec.json.encode(header), b"\n", content)


def read_checkpoint(path: Path) -> tuple[Header, dict[str, Any]]:
    """The header and the state of a training's checkpoint, on the CPU; `CheckpointError` as of `read_content`."""
    header, content = read_content(path)
    return header, torch.load(io.BytesIO(content), map_location="cpu")


def read_content(path: Path) -> tuple[Header, bytes]:
    """The header and the bytes of a checkpoint; `CheckpointError` for one that is not whole, or of another format."""
    try:
        with path.open("rb") as file:  # read whole and split, the content would be in memory twice
            line, content = file.readline(), file.read()
        form = msgspec.json.decode(line, type=dict[str, Any]).get("format")
        if form != FORMAT:
            raise CheckpointError(
                f"{path} is a checkpoint of format {form}, this version reads format {FORMAT}: delete it."
            )
        header = msgspec.json.decode(line, type=Header)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CheckpointError(f"{path} is no checkpoint: delete it and begin anew.") from None
    if len(content) != header.size or hashlib.sha256(content).hexdigest() != header.sha256:
        raise CheckpointError(f"{path} is not what was written, a part of it is lost or changed: delete it.")
    return header, content


def leave_content(spec: RunSpec, leave: str, done: int, content: bytes) -> None:
    """Leave these bytes for the process that goes on with a run after so many of it."""
    write_content(Path(leave), spec, Position(done, 0), content)


def content_before(spec: RunSpec, source: str) -> bytes:
    """What the process before this one has left of a run that several do one after another; nothing for the first one.
    `CheckpointError` where it cannot be used, or another run has written it."""
    if not source:
        return b""
    header, content = read_content(Path(source))
    require_own(header, spec, Path(source))
    return content


def resume(loop: Loop, path: Path, *, foreign: bool = False) -> Position:
    """Put a checkpoint into a training that has not begun, and say where it goes on.

    `CheckpointError` for one that cannot be used, or that another run has written; with `foreign` it may be of
    another pin.
    """
    header, state = read_checkpoint(path)
    if not foreign:
        require_own(header, loop.spec, path)
    restore(loop, state)
    del state
    give_back()  # or what was read would count as what training adds
    loop.result.begun.append(header.epoch)
    return Position(header.epoch, header.step)


def require_own(header: Header, spec: RunSpec, path: Path) -> None:
    """`CheckpointError` for the checkpoint of another run."""
    if header.run != spec.identity():
        raise CheckpointError(f"{path} is of another run than this one: delete it and begin anew.")


def state_of(loop: Loop) -> dict[str, Any]:
    """All that a training changes, as tensors, numbers, text, lists and dictionaries."""
    learner = loop.learner
    return {
        "network": learner.network.state_dict(),
        "average": learner.average.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "random": random_states(learner.device),
        "training": training_state(loop.result),
    }


def restore(loop: Loop, state: dict[str, Any]) -> None:
    """The reverse of `state_of`."""
    learner = loop.learner
    set_entries(learner.network, state["network"])
    learner.average.load_state_dict(state["average"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.scaler.load_state_dict(state["scaler"])
    set_random_states(state["random"], learner.device)
    set_training_state(loop.result, state["training"])


def training_state(result: Training) -> dict[str, Any]:
    """What a training has left so far."""
    spent = [a + b for a, b in zip(result.earlier, result.part)]
    return {
        **{name: getattr(result, name) for name in PLAIN},
        "watch": {name: getattr(result.watch, name) for name in COUNTS},
        "anomalies": msgspec.json.encode(result.watch.anomalies).decode(),
        "memory": result.memory.series,
        "scores": [list(score) for score in result.scores],
        "detections": torch.from_numpy(result.detections),
        "stream": result.stream.state(),
        "spent": spent,
    }


def set_training_state(result: Training, state: dict[str, Any]) -> None:
    """The reverse of `training_state`."""
    for name in PLAIN:
        setattr(result, name, state[name])
    for name in COUNTS:
        setattr(result.watch, name, state["watch"][name])
    result.watch.anomalies = msgspec.json.decode(state["anomalies"], type=list[Anomaly])
    result.memory.series = state["memory"]
    result.scores = [Score(*score) for score in state["scores"]]
    result.detections = state["detections"].numpy()
    result.stream.go_on(state["stream"])
    result.earlier = EpochPart(*state["spent"])


def random_states(device: torch.device) -> dict[str, Any]:
    """The states of all random generators. Nothing in the training draws from them; a case might. Of a GPU only where
    it is trained on: to ask starts CUDA, which takes memory."""
    kind, keys, place, has_gauss, gauss = np.random.get_state()
    version, internal, following = random.getstate()
    return {
        "python": [version, list(internal), following],
        "numpy": [str(kind), [int(key) for key in keys], int(place), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_states(states: dict[str, Any], device: torch.device) -> None:
    """The reverse of `random_states`."""
    version, internal, following = states["python"]
    random.setstate((version, tuple(internal), following))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


class Checkpoints(Hook):
    """Resumes from a checkpoint where there is one, and keeps it up to date: after every so many optimiser steps of
    an epoch, or after every so many epochs."""

    def __init__(self, path: Path, *, steps: int = 0, epochs: int = 0) -> None:
        self.path = path
        self.steps = steps
        self.epochs = epochs
        self.updates = 0

    def begin(self, loop: Loop) -> Position:
        """Where the checkpoint says, or at the beginning."""
        return resume(loop, self.path) if self.path.exists() else Position(0, 0)

    def after_update(self, loop: Loop, following: Position) -> bool:
        """Every so many steps."""
        self.updates += 1
        if self.steps and self.updates % self.steps == 0:
            write_checkpoint(self.path, loop, following)
        return True

    def after_epoch(self, loop: Loop, epoch: int) -> bool:
        """Every so many epochs."""
        if self.epochs and (epoch + 1) % self.epochs == 0:
            write_checkpoint(self.path, loop, Position(epoch + 1, 0))
        return True
