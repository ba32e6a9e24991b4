"""`python -m harness.cell.errand --progress-fd N < ERRAND`: a training in a process of its own, for a case that kills
it, resumes it, or compares it with another, of this pin or of another one's environment.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional, Union

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from harness.cell.checkpoint import CheckpointError, Checkpoints, resume, write_checkpoint
from harness.cell.children import Child, Event
from harness.cell.data.batches import Batch
from harness.cell.data.index import read_index
from harness.cell.environment import set_flags
from harness.cell.preflight import unsupported_here, wrong_label
from harness.cell.progress import Progress
from harness.cell.resident import fixed_cost
from harness.cell.shares import shares_of
from harness.cell.train import Loop, Position, Training, train
from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically
from harness.core.settings import Count, Positive, Strict
from harness.core.spec import RunSpec

STEP = "step"
"""The phase of the event that tells of an optimiser step; its `done` counts them."""


class Errand(Strict, frozen=True):
    """What such a training is asked. Steps are optimiser steps, counted over the run, by whatever process."""

    spec: RunSpec
    index: str
    """The prepared index file of the data set."""
    answer: str
    """The file for its `Answer`."""
    began: float = 0.0
    """When its process was started, by the monotonic clock, which all processes of a machine share."""
    checkpoint: str = ""
    """A file that is kept up to date, and from which it goes on where it is there."""
    every: Count = 0
    """So many steps lie between two checkpoints."""
    source: str = ""
    """A checkpoint, maybe of another pin, that it goes on from."""
    save: str = ""
    """A file for a checkpoint after the first step in the second half of all batches."""
    weights: str = ""
    """A file for the weights one step after `save`, or after the first step from `source` on."""
    states: str = ""
    """A folder for what the training is (a checkpoint) after as many steps as `states_at` has: it ends after the last
    of them."""
    states_at: list[Count] = []
    shares: Positive = 1
    """Every batch is fed in so many equal parts: one after another, or each to a process of its own."""


class Answer(Strict, frozen=True):
    """What came out of it."""

    initial_weights: str
    final_weights: str
    batch_stream: str
    losses: list[Optional[float]]
    """The total loss of every step, those of earlier processes included; None where it is not finite."""
    map50: list[float]
    """By epoch."""
    used: list[float]
    """Bytes in use at the end of every epoch: RSS or allocated."""
    memory: dict[str, list[float]]
    """Bytes by epoch, as the memory probe names them."""
    went_on: tuple[int, int]
    """The epoch and step at which this process began."""
    earlier_steps: int
    """The optimiser steps of the processes before it."""
    ready_seconds: float
    """From the start of the process until it was ready for the first batch."""
    seconds: float
    """From then on to the end."""
    norms: list[Optional[float]] = []
    """The joint gradient norm of every step, likewise."""


class Errands(Checkpoints):
    """Does what an errand asks beside training, and tells every step."""

    def __init__(self, errand: Errand) -> None:
        super().__init__(Path(errand.checkpoint), steps=errand.every)
        self.errand = errand
        self.went_on = Position(0, 0)
        self.earlier_steps = 0
        self.ready = 0.0
        self.saved = not errand.save
        self.following = bool(errand.source)
        """Whether the next step is the one after which weights are wanted."""

    def begin(self, loop: Loop) -> Position:
        """At the source, at the checkpoint, or at the beginning."""
        if self.errand.source:
            self.went_on = resume(loop, Path(self.errand.source), foreign=True)
        elif self.errand.checkpoint:
            self.went_on = super().begin(loop)
        self.earlier_steps = len(loop.result.losses)
        self.keep_state(loop, self.went_on)
        self.ready = time.monotonic()
        return self.went_on

    def feed(self, loop: Loop, batch: Batch, position: Position) -> Sequence[Batch]:  # noqa: ARG002
        """The shares of the batch, one after another."""
        return shares_of(batch, self.errand.shares)

    def after_update(self, loop: Loop, following: Position) -> bool:
        """Keep what is to be kept, then tell that the step is done."""
        if self.following:
            self.following = False
            write_weights(Path(self.errand.weights), loop)
        if not self.saved and loop.share_before(following) >= 0.5:
            self.saved = self.following = True
            write_checkpoint(Path(self.errand.save), loop, following)
        going_on = super().after_update(loop, following)
        done = len(loop.result.losses)
        loop.progress.send({"phase": STEP, "done": done, "epoch": following.epoch, "step": following.step})
        self.keep_state(loop, following)
        return going_on and not (self.errand.states_at and done >= max(self.errand.states_at))

    def keep_state(self, loop: Loop, following: Position) -> None:
        """Write what the training is now, if that is wanted after so many steps."""
        done = len(loop.result.losses)
        if done in self.errand.states_at:
            write_checkpoint(state_file(Path(self.errand.states), done), loop, following)


def state_file(folder: Path, steps: int) -> Path:
    """The checkpoint of what a training was after so many steps."""
    return folder / f"{steps}.state"


def write_weights(path: Path, loop: Loop) -> None:
    """The trained weights, one after another in the order of their names, float32."""
    parts = [parameter.detach().cpu().numpy().ravel() for parameter in loop.learner.parameters]
    write_atomically(path, np.concatenate(parts).astype("<f4").tobytes())


def read_weights(path: Path) -> NDArray[np.float32]:
    """What `write_weights` wrote."""
    return np.frombuffer(path.read_bytes(), dtype="<f4")


def answer_of(result: Training, hook: Errands) -> Answer:
    """What a training leaves, as far as another process asks for it."""
    ended = time.monotonic()
    return Answer(
        initial_weights=result.initial_weights,
        final_weights=result.final_weights,
        batch_stream=result.stream.hexdigest(),
        losses=[finite(loss) for loss in result.losses],
        norms=[finite(norm) for norm in result.norms],
        map50=[score.map50 for score in result.scores],
        used=result.memory.used(),
        memory=result.memory.series,
        went_on=(hook.went_on.epoch, hook.went_on.step),
        earlier_steps=hook.earlier_steps,
        ready_seconds=hook.ready - hook.errand.began,
        seconds=ended - hook.ready,
    )


def finite(value: float) -> Optional[float]:
    """The value as JSON knows it."""
    return value if math.isfinite(value) else None


def start(errand: Errand, interpreter: str = sys.executable) -> Child:
    """Start an errand here or in another pin's environment."""
    begun = replace(errand, began=time.monotonic())
    return Child([interpreter, "-m", "harness.cell.errand"], msgspec.json.encode(begun))


def follow(child: Child, progress: Progress, phase: str) -> Iterator[Event]:
    """Of every optimiser step of an errand its event; the conductor hears of all that it tells."""
    for event in child.events():
        progress.tick(**{**event, "phase": phase})
        if event["phase"] == STEP:
            yield event


def do(errand: Errand, progress: Progress, phase: str, interpreter: str = sys.executable) -> Union[Answer, str]:
    """Have an errand done: its answer, or how it failed, as the end of a sentence."""
    with start(errand, interpreter) as child:
        return answer_from(child, errand, progress, phase)


def answer_from(child: Child, errand: Errand, progress: Progress, phase: str) -> Union[Answer, str]:
    """Wait for an errand that has been started: its answer, or how it failed."""
    for _ in follow(child, progress, phase):
        pass
    failed = child.end()
    if failed:
        return f"{failed}, the run's log has why"
    return msgspec.json.decode(Path(errand.answer).read_bytes(), type=Answer)


def carry_out(hook: Errands, progress: Progress) -> Training:
    """Check the label and train as the errand says; `UsageError` or `CheckpointError` for what cannot be used."""
    spec = hook.errand.spec
    wrong = wrong_label(spec) or unsupported_here(spec.device)
    if wrong:
        raise UsageError(wrong)
    set_flags(spec)
    fixed_cost()
    return train(spec, read_index(Path(hook.errand.index)), progress, hook)


def main() -> int:
    """Exit code 0 when the answer was written, 2 with one sentence for what cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m harness.cell.errand")
    parser.add_argument("--progress-fd", type=int)
    descriptor = parser.parse_args().progress_fd
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    hook = Errands(errand)
    try:
        result = carry_out(hook, Progress(descriptor))
        write_atomically(Path(errand.answer), to_json(answer_of(result, hook)))
    except (UsageError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
