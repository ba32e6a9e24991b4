"""The body of the case `pace`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cases.pace import Settings
from harness.cell.data.batches import Batch
from harness.cell.devices import is_out_of_memory
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.results import clock_of
from harness.cell.run import Run
from harness.cell.schedule import Schedule, apply_rates
from harness.cell.train import Hook, Loop, Position, gather, make_loop, training_batches, update
from harness.cell.turns import turns
from harness.core.errors import UsageError
from harness.core.turns import NO_ROOM

BATCHES = 8
"""Batches that are made beforehand and trained on again and again: loading has no part in the pace."""


def measure(run: Run) -> Measured:
    """Warm up, then train `steps` steps whenever it is this process's turn. A sample is a turn's mean time of a step,
    in seconds."""
    settings = run.settings_as(Settings)
    batches = first_batches(run)
    with told_where_there_is_no_room(run.progress):
        walker = Walker(make_loop(run.spec, run.data, run.progress, Hook()), batches)
        warmup = walker.walk(settings.warmup_steps)
    result = walker.loop.result
    for batch in batches:
        result.stream.update(batch)
    run.progress.tell(phase="ready")
    samples: list[float] = []
    for _turn in turns():
        seconds = walker.walk(settings.steps)
        samples.append(sum(seconds) / len(seconds))
        run.progress.send({"phase": "turn", "lap": len(samples), "seconds": samples[-1]})
    measured = run.measured(result.initial_weights, result.stream.hexdigest())
    measured.anomalies = result.watch.anomalies
    measured.measuring = sum(samples) * settings.steps
    measured.keep_metric("pace", samples, warmup)
    measured.notes["pace"] = clock_of(result)
    return measured


def first_batches(run: Run) -> list[Batch]:
    """The batches that are trained on; `UsageError` where a picture cannot be read."""
    with training_batches(run.spec, run.data) as stream:
        batches = [batch for batch, _ in zip(stream.epoch(0), range(BATCHES))]
    problem = next((batch.problem for batch in batches if batch.problem), "")
    if problem:
        raise UsageError(problem)
    return batches


@contextmanager
def told_where_there_is_no_room(progress: Progress) -> Iterator[None]:
    """Tell the conductor where memory runs out: the other pins' processes have it, and each must sit alone."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            progress.tell(phase=NO_ROOM)
        raise


class Walker:
    """Trains some steps at a time, in circles over a few batches, at the rate that the recipe warms up to. Every batch
    is a step, whatever the nominal batch."""

    def __init__(self, loop: Loop, batches: Sequence[Batch]) -> None:
        train = loop.spec.train
        self.loop = loop
        self.batches = batches
        self.schedule = Schedule(loop.spec.recipe, train.epochs, loop.batches, train.batch)
        self.done = 0
        loop.learner.network.train()

    def walk(self, steps: int) -> list[float]:
        """Train so many steps and return their seconds. The memory probe looks at both ends, as it does in an epoch,
        and within the time that is taken, so that its cost can be measured."""
        loop, learner = self.loop, self.loop.learner
        clock, memory = loop.result.clock, loop.result.memory
        clock.seconds.clear()
        for place in range(steps):
            clock.start()
            if loop.spec.instruments and place == 0:
                memory.start_epoch()
            apply_rates(learner.optimizer, self.schedule.at(min(self.done, self.schedule.warmup)))
            gather(loop, [self.batches[self.done % len(self.batches)]])
            update(loop, Position(0, self.done))
            if loop.spec.instruments and place == steps - 1:
                memory.end_epoch()
            learner.planted.linger(clock.began, learner.device)
            clock.stop()
            self.done += 1
        clock.end_epoch()
        return list(clock.seconds)
