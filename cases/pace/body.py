"""Case `pace`: how long a training step takes, all pins in turns.

Shows what an upgrade would change for the speed of training, far more sharply than epoch times can: the processes of
all pins are alive at once and take short turns of training steps, lap by lap in shuffled order. A lap holds every pin
within seconds of each other, so that what slows the machine for longer slows them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from harness.cell.data.batches import Batch
from harness.cell.data.index import read_index
from harness.cell.learner import Learner, make_learner
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.schedule import Schedule, apply_rates
from harness.cell.train import Training, backward, start_training, training_batches, update
from harness.cell.turns import turns
from harness.cell.yolov9.initial import weights_digest
from harness.cell.yolov9.loss import DetectionLoss, LossParts
from harness.core.errors import UsageError
from harness.core.record import Hashes
from harness.core.settings import PaceSettings
from harness.core.spec import RunSpec
from harness.core.turns import NO_ROOM

BATCHES = 8
"""Batches that are made beforehand and trained on again and again: loading has no part in the pace."""

NO_MEMORY = ("out of memory", "ALLOC_FAILED")
"""What the messages of torch's allocator, and of cuDNN and cuBLAS, say when a GPU's memory is full."""


def run(spec: RunSpec, progress: Progress, _: Path) -> Measured:
    """Warm up, then train `steps` steps whenever it is this process's turn. A sample is a turn's mean time of a step,
    in seconds."""
    pace = spec.settings_as(PaceSettings)
    index = read_index(Path(spec.data.index))
    with training_batches(spec, index) as stream:
        batches = [batch for batch, _ in zip(stream.epoch(0), range(BATCHES))]
    problem = next((batch.problem for batch in batches if batch.problem), "")
    if problem:
        raise UsageError(problem)
    schedule = Schedule(spec.recipe, spec.train.epochs, len(stream), spec.train.batch)
    try:
        learner = make_learner(spec, len(index.classes))
        learner.model.train()
        result = start_training(learner)
        walker = Walker(spec, learner, result, batches, schedule, DetectionLoss(len(index.classes)))
        warmup = walker.walk(pace.warmup_steps)
    except RuntimeError as error:
        if any(words in str(error) for words in NO_MEMORY):  # the other pins' processes have it: each must sit alone
            progress.tell(phase=NO_ROOM)
        raise
    for batch in batches:
        result.stream.update(batch)
    progress.tell(phase="ready")
    samples: list[float] = []
    for _turn in turns():
        seconds = walker.walk(pace.steps)
        samples.append(sum(seconds) / len(seconds))
        progress.send({"phase": "turn", "lap": len(samples), "seconds": samples[-1]})
    measured = Measured(
        hashes=Hashes(
            data=index.digest,
            initial_weights=result.initial_weights,
            batch_stream=result.stream.hexdigest(),
            final_weights=weights_digest(learner.model),
        ),
        anomalies=result.watch.anomalies,
        measuring=sum(samples) * pace.steps,
    )
    measured.keep_metric("pace", "s", "lower", samples, warmup)
    measured.notes["pace"] = "CUDA events" if result.clock.on_gpu else "host clock"
    return measured


class Walker:
    """Trains some steps at a time, in circles over a few batches, at the rate that the recipe warms up to."""

    def __init__(
        self,
        spec: RunSpec,
        learner: Learner,
        result: Training,
        batches: Sequence[Batch],
        schedule: Schedule,
        criterion: DetectionLoss,
    ) -> None:
        self.spec = spec
        self.learner = learner
        self.result = result
        self.batches = batches
        self.schedule = schedule
        self.criterion = criterion
        self.done = 0

    def walk(self, steps: int) -> list[float]:
        """Train so many steps and return their seconds. The memory probe looks at both ends, as it does in an epoch,
        and within the time that is taken, so that its cost can be measured."""
        clock, memory = self.result.clock, self.result.memory
        clock.seconds.clear()
        for place in range(steps):
            clock.start()
            if self.spec.instruments and place == 0:
                memory.start_epoch()
            batch = self.batches[self.done % len(self.batches)]
            apply_rates(self.learner.optimizer, self.schedule.at(min(self.done, self.schedule.warmup)))
            self.learner.statistics.keep()
            self.update(backward(self.learner, self.criterion, batch), len(batch.targets))
            if self.spec.instruments and place == steps - 1:
                memory.end_epoch()
            self.learner.planted.linger(clock.began, self.learner.device)
            clock.stop()
            self.done += 1
        clock.end_epoch()
        return list(clock.seconds)

    def update(self, loss: LossParts, targets: int) -> None:
        """The optimiser step: the training loop's own, or, for the comparison, the plain one that looks at nothing."""
        if self.spec.instruments:
            update(self.learner, self.result, [loss], self.spec, epoch=0, step=self.done, targets=targets)
            return
        learner = self.learner
        learner.scaler.unscale_(learner.optimizer)
        torch.nn.utils.clip_grad_norm_(learner.parameters, self.spec.recipe.clip_norm)
        learner.scaler.step(learner.optimizer)
        learner.average.update(learner.model)
        learner.scaler.update()
        learner.optimizer.zero_grad(set_to_none=True)
