"""Waiting for one's turn: blocked on standard input, which costs the machine nothing; and a training that does so."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.cell.checkpoint import resume, write_checkpoint
from harness.cell.devices import is_out_of_memory
from harness.cell.progress import Progress
from harness.cell.train import Hook, Loop, Position
from harness.core.spec import Place
from harness.core.turns import NO_ROOM, READY, TURN, TURN_DONE

ALONE = (
    "not taken in turns: it had the device to itself, as memory does not hold two of the runs at once or no other of "
    "them went on"
)


class Turns:
    """The turns of this process, which the conductor gives by a line each. The first one is waited for."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.has_one = False

    def wait(self) -> None:
        """Hand on the turn, and wait for the next one. A conductor that is gone ends the run: nobody would keep its
        record."""
        if self.has_one:
            self.progress.send({"phase": TURN_DONE})
        self.has_one = True
        if sys.stdin.buffer.readline() != TURN:
            raise SystemExit("The conductor is gone; the run ends.")


@contextmanager
def told_where_there_is_no_room(progress: Progress, place: Place) -> Iterator[None]:
    """Tell the conductor where memory runs out beside other pins' processes: fewer of them can sit together."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if place.seats > 1 and is_out_of_memory(error):
            progress.tell(phase=NO_ROOM)
        raise


class TakingTurns(Hook):
    """Trains by turns of so many optimiser steps. An evaluation is a turn, and what follows it is part of it.

    So many epochs, or such a part of one, are done in one process; then it leaves a checkpoint, and a fresh one goes
    on: what a process happens to have (where its memory lies, its place among the others) is then drawn anew. While it
    waits its workers stand too, so that they make no batches in the others' time.
    """

    def __init__(self, place: Place, turns: Turns, *, steps: int, epochs: float) -> None:
        self.place = place
        self.turns = turns
        self.steps = steps
        self.epochs = epochs
        self.last = 0
        """The batch of the training, counted from its beginning, with which this process ends."""
        self.began = 0.0
        self.done = 0
        """Optimiser steps of the present turn; 0 where none has begun."""
        self.left = False
        """Whether it has left a checkpoint for another process."""

    def begin(self, loop: Loop) -> Position:
        """Where the process before it has stopped, or at the beginning."""
        start = resume(loop, Path(self.place.source)) if self.place.source else Position(0, 0)
        self.last = end_of_part(self.epochs * loop.batches, start.epoch * loop.batches + start.step)
        loop.result.sittings.append({"name": self.place.sitting, "seat": self.place.seat, "laps": 0})
        loop.progress.tell(phase=READY)
        return start

    def before_update(self, loop: Loop) -> None:
        """Wait, unless this turn has steps left."""
        if not self.done:
            self.wait(loop)
            self.began = time.perf_counter()

    def after_update(self, loop: Loop, following: Position) -> bool:
        """Take the time of the turn if this was its last step. The device is waited for: it would go on in the next
        one's time."""
        self.done += 1
        if self.done < self.steps and following.step < loop.batches:
            return True
        loop.learner.wait()
        loop.result.turns.append((time.perf_counter() - self.began) / self.done)
        loop.result.sittings[-1]["laps"] += 1
        self.done = 0
        return following.step == loop.batches or self.goes_on(loop, following)  # an epoch that is done is evaluated

    def before_evaluation(self, loop: Loop) -> None:
        """Wait."""
        self.wait(loop)

    def after_epoch(self, loop: Loop, epoch: int) -> bool:
        """The last epoch ends the training, with a record."""
        return epoch + 1 == loop.spec.train.epochs or self.goes_on(loop, Position(epoch + 1, 0))

    def goes_on(self, loop: Loop, following: Position) -> bool:
        """Leave a checkpoint where this process has done its part; whether it has not."""
        self.left = following.epoch * loop.batches + following.step >= self.last
        if self.left:
            write_checkpoint(Path(self.place.leave), loop, following)
        return not self.left

    def wait(self, loop: Loop) -> None:
        """Let the others do theirs."""
        if loop.loading:
            loop.loading.hold()
        self.turns.wait()
        if loop.loading:
            loop.loading.release()


def end_of_part(batches: float, done: int) -> int:
    """Where the part of a training ends that begins with `done` batches done: at the next multiple of `batches`,
    rounded, so that parts of half an epoch end at its middle and at its end."""
    part = math.floor(done / batches)
    while round(part * batches) <= done:
        part += 1
    return round(part * batches)
