"""The body of the case `attribution`."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Optional

import msgspec

from cases.attribution import MEMORY, PLAIN, TIMES, TRACED, Settings
from cases.attribution.memory import OUTSIDE, memory_of_step
from cases.attribution.tracing import Part, Tracing, clock_of, seconds_of, summed
from harness.cell.checkpoint import content_before, leave_content
from harness.cell.data.batches import Batch, Batches
from harness.cell.given import network_to_train
from harness.cell.kernels import keep_gpu_busy
from harness.cell.measured import Measured
from harness.cell.run import Run
from harness.cell.schedule import Schedule, apply_rates
from harness.cell.train import Hook, Loop, Position, gather, make_loop, training_batches, update
from harness.cell.turns import ALONE, Turns, told_where_there_is_no_room
from harness.core.record import Sitting
from harness.core.turns import READY

LOADING = Part("loading", "loading")
Row = dict[str, float]
"""The parts of one step by name."""


class Taken(msgspec.Struct):
    """What the processes of a run have measured so far."""

    sittings: list[Sitting] = []
    plain: list[float] = []
    """Seconds of every lap's plain step."""
    by_layer: list[Row] = []
    """Seconds of every lap's traced step."""
    by_module: list[Row] = []
    memory_by_layer: list[Row] = []
    """Bytes, once a process."""
    memory_by_module: list[Row] = []
    no_memory: str = ""
    """Why there are none."""
    measuring: float = 0.0


def measure(run: Run) -> Optional[Measured]:
    """Trace by turns. None where another process goes on."""
    assert run.place  # a case that takes turns is given one
    taken = taken_before(run)
    with told_where_there_is_no_room(run.progress, run.place):
        given, _ = network_to_train(run) if run.spec.weights else (None, "")
        loop = make_loop(run.spec, run.data, run.progress, Hook(), given)
        with training_batches(run.spec, run.data) as batches:
            return Tracer(run, loop, batches, taken).measure()


class Tracer:
    """One process of a run at work."""

    def __init__(self, run: Run, loop: Loop, batches: Batches, taken: Taken) -> None:
        assert run.place
        self.run, self.loop, self.batches, self.taken, self.place = run, loop, batches, taken, run.place
        self.settings = run.settings_as(Settings)
        train = run.spec.train
        self.schedule = Schedule(run.spec.recipe, train.epochs, len(batches), train.batch)
        self.stream = self.endless()
        self.number = 0
        """Batches that were fed."""
        self.tracing: Optional[Tracing] = None

    def endless(self) -> Iterator[Batch]:
        """The batches of the training, epoch after epoch, but those that cannot be read."""
        for epoch in itertools.count():
            for batch in self.batches.epoch(epoch):
                self.loop.result.stream.update(batch)
                if not batch.problem:
                    yield batch

    def measure(self) -> Optional[Measured]:
        """All that this process does."""
        began = time.perf_counter()
        self.warm_up()
        self.take_memory()
        self.traced_step()
        self.taken.measuring += time.perf_counter() - began
        self.run.progress.tell(phase=READY)
        turns = Turns(self.run.progress)
        for _ in range(self.settings.laps):
            self.wait(turns)
            self.take_lap()
        self.taken.sittings.append(Sitting(self.place.sitting, self.place.seat, self.settings.laps))
        if len(self.taken.sittings) < self.settings.sittings:
            content = msgspec.json.encode(self.taken)
            leave_content(self.run.spec, self.place.leave, len(self.taken.sittings), content)
            return None
        return self.measured()

    def warm_up(self) -> None:
        """The first steps of a process, in which the optimiser and the libraries make what they keep. The memory
        that the last of them takes is looked at, before a profiler takes any."""
        probe = self.loop.result.memory
        self.loop.learner.network.train()
        for _ in range(max(1, self.run.spec.train.warmup_batches)):
            self.step()
        probe.start_epoch()
        self.step()
        probe.end_epoch()

    def wait(self, turns: Turns) -> None:
        """Let the others do theirs. Its workers stand meanwhile."""
        self.batches.hold()
        turns.wait()
        self.batches.release()

    def take_lap(self) -> None:
        """A plain step and a traced one."""
        began = time.perf_counter()
        self.run.progress.tick(phase="tracing", lap=len(self.taken.plain))
        self.step()
        self.taken.plain.append(time.perf_counter() - began)
        seconds = self.traced_step()
        self.taken.by_layer.append(summed(seconds, lambda part: part.by_layer))
        self.taken.by_module.append(summed(seconds, lambda part: part.by_module))
        self.taken.measuring += time.perf_counter() - began

    def traced_step(self) -> dict[Part, float]:
        """Seconds of a step by part."""
        device = self.loop.learner.device
        self.tracing = Tracing(self.loop, clock_of(device))
        with self.tracing.traced() as pieces:
            self.step()
        self.loop.learner.wait()
        self.tracing = None
        return seconds_of(pieces, device)

    def take_memory(self) -> None:
        """What makes up the most memory that a plain step took."""
        probe = self.loop.result.memory
        self.taken.no_memory = probe.reasons.get(probe.names.peak, "")
        held = memory_of_step(self.loop, self.step)
        held[Part(OUTSIDE, OUTSIDE)] = probe.peak() - sum(held.values())
        self.taken.memory_by_layer.append(summed(held, lambda part: part.by_layer))
        self.taken.memory_by_module.append(summed(held, lambda part: part.by_module))

    def step(self) -> None:
        """One optimiser step of the training, until the device is done with it."""
        loop, began = self.loop, time.perf_counter()
        rates = self.schedule.at(min(self.number, self.schedule.total))
        apply_rates(loop.learner.optimizer, rates)
        for _ in range(rates.accumulate):
            gather(loop, [self.load()])
            self.number += 1
        update(loop, Position(0, self.number - 1))
        loop.learner.planted.linger(began, loop.learner.device)
        loop.learner.wait()

    def load(self) -> Batch:
        """The next batch."""
        if self.tracing is None:
            return next(self.stream)
        self.tracing.enter(LOADING)
        batch = next(self.stream)
        self.tracing.leave(None)
        return batch

    # --- what the last process does -----------------------------------------------------------------------------------

    def measured(self) -> Measured:
        """All that the run came to."""
        taken, result = self.taken, self.loop.result
        measured = self.run.measured(result.initial_weights, result.stream.hexdigest())
        measured.sittings, measured.measuring = taken.sittings, taken.measuring
        measured.keep_metric(PLAIN.name, taken.plain)
        measured.keep_metric(TRACED.name, [sum(row.values()) for row in taken.by_layer])
        for declared, rows in zip(TIMES, (taken.by_layer, taken.by_module)):
            measured.keep_breakdown(declared.name, rows)
        for declared, rows in zip(MEMORY, (taken.memory_by_layer, taken.memory_by_module)):
            if not taken.no_memory:
                measured.keep_breakdown(declared.name, rows)
        if taken.no_memory:
            measured.notes[MEMORY[0].name] = taken.no_memory
        if self.place.seats == 1:
            measured.notes[PLAIN.name] = ALONE
        keep_gpu_busy(measured, self.loop, statistics.median(taken.plain) / self.schedule.accumulate)
        return measured


def taken_before(run: Run) -> Taken:
    """What the processes before this one have left. `CheckpointError` where that cannot be used."""
    assert run.place
    content = content_before(run.spec, run.place.source)
    return msgspec.json.decode(content, type=Taken) if content else Taken()
