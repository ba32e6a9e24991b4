"""The training loop, once, for every pin, case and model: read `train_loop`, then `update`, from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

import torch
from torch import nn

from harness.cell.data.batches import Batch, Batches, EvaluationBatch, EvaluationBatches, StreamDigest
from harness.cell.data.index import DataIndex
from harness.cell.evaluate import detect
from harness.cell.learner import Learner, make_learner, mixed_precision, to_device
from harness.cell.model import Criterion, Losses
from harness.cell.probes import GradientWatch, MemoryProbe
from harness.cell.progress import Progress
from harness.cell.schedule import Schedule, apply_rates
from harness.cell.scoring import Detections, Score, no_detections, score
from harness.cell.weights import weights_digest
from harness.core.errors import UsageError
from harness.core.record import Anomaly
from harness.core.spec import RunSpec


class EpochPart(NamedTuple):
    """Seconds spent on a part of an epoch."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    waited_seconds: float = 0.0


@dataclass
class Training:
    """What a training leaves: series by step or epoch, the probes with what they saw, digests, last detections."""

    watch: GradientWatch
    memory: MemoryProbe
    initial_weights: str
    final_weights: str = ""
    stream: StreamDigest = field(default_factory=StreamDigest)
    losses: list[float] = field(default_factory=list)
    """The total loss of every optimiser step, mean over its batches."""
    terms: dict[str, list[float]] = field(default_factory=dict)
    """Its terms likewise, as the model names them."""
    norms: list[float] = field(default_factory=list)
    """Joint gradient norm of every optimiser step, after unscaling and before clipping."""
    skipped_steps: int = 0
    """Optimiser steps left out because loss or gradients were not finite, or because their pictures could not be read;
    the scaler's skips are among them."""
    epoch_seconds: list[float] = field(default_factory=list)
    epoch_cpu_seconds: list[float] = field(default_factory=list)
    waited_seconds: list[float] = field(default_factory=list)
    """Seconds of every epoch in which the loop waited for its next batch."""
    evaluation_seconds: list[float] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    detections: Detections = field(default_factory=no_detections)
    """Those of the last epoch."""
    earlier: EpochPart = field(default_factory=EpochPart)
    """What an earlier process spent on the present epoch, where this one has resumed it."""
    part: EpochPart = field(default_factory=EpochPart)
    """What this process has spent on it so far."""
    begun: list[int] = field(default_factory=lambda: [0])
    """The epochs in which a process began: the first, and those in which the training was resumed."""
    turns: list[float] = field(default_factory=list)
    """Seconds of an optimiser step in every turn, loading included, of a training that takes turns."""
    sittings: list[dict[str, Any]] = field(default_factory=list)
    """The fields of `Sitting` for every set of processes that it took them in; `laps` counts all of its turns."""

    def keep_step(self, loss: float, terms: Mapping[str, float], norm: float) -> None:
        """Add an optimiser step to the series. Terms that are not there, as of a step left out, are not a number."""
        for name in terms:
            self.terms.setdefault(name, [math.nan] * len(self.losses))
        for name, values in self.terms.items():
            values.append(terms.get(name, math.nan))
        self.losses.append(loss)
        self.norms.append(norm)

    def settled(self, by_epoch: Sequence[float]) -> list[float]:
        """The values of those epochs in which no process began, or of all where one began in every epoch: the first
        epoch of a process holds the start-up of allocator and caches."""
        apart = [value for epoch, value in enumerate(by_epoch) if epoch not in self.begun]
        return apart or list(by_epoch)

    def by_process(self, by_epoch: Sequence[float]) -> list[list[float]]:
        """The values by epoch of each process that trained a whole epoch."""
        starts = sorted(set(self.begun))
        parts = [list(by_epoch[start:end]) for start, end in zip(starts, [*starts[1:], len(by_epoch)])]
        return [part for part in parts if part]

    def spent(self) -> float:
        """Seconds of training and evaluation, by all processes together."""
        return sum(self.epoch_seconds) + sum(self.evaluation_seconds)


class Position(NamedTuple):
    """The batch that comes next; `step` is the epoch's length where its evaluation does."""

    epoch: int
    step: int


class Hook:
    """What a case does at the moments of a training. This one does nothing at any of them.

    The faults of a calibration are apart from it (`harness/cell/faults.py`): they strike whatever a case does.
    """

    def begin(self, loop: Loop) -> Position:  # noqa: ARG002
        """Before the first batch, with everything made: the place to begin at."""
        return Position(0, 0)

    def before_update(self, loop: Loop) -> None:
        """Before the first batch of an optimiser step is waited for. What this takes is no part of the epoch's time."""

    def feed(self, loop: Loop, batch: Batch, position: Position) -> Sequence[Batch]:  # noqa: ARG002
        """What is fed in place of this batch: one batch, or several whose gradients are added."""
        return [batch]

    def after_update(self, loop: Loop, following: Position) -> bool:  # noqa: ARG002
        """An optimiser step has been done or left out, and no gradients are gathered; False ends the training, without
        the rest of its epoch and an evaluation."""
        return True

    def before_evaluation(self, loop: Loop) -> None:
        """The epoch's batches are done. What this takes is no part of the evaluation's time."""

    def after_epoch(self, loop: Loop, epoch: int) -> bool:  # noqa: ARG002
        """The epoch has been evaluated; False ends the training."""
        return True


@dataclass
class Gathered:
    """What is added up for the next optimiser step: one batch or, with a nominal batch, several."""

    losses: list[Losses] = field(default_factory=list)
    batches: int = 0
    targets: int = 0
    """True boxes in their pictures."""


@dataclass
class Loop:
    """A training at work: what was asked, what is changed, what is kept, and who looks on."""

    spec: RunSpec
    index: DataIndex
    learner: Learner
    result: Training
    criterion: Criterion
    progress: Progress
    hook: Hook
    gathered: Gathered = field(default_factory=Gathered)
    loading: Optional[Batches] = None
    """What makes its batches, while it trains."""

    @property
    def batches(self) -> int:
        """Those of an epoch: what does not fill the last one is left out."""
        return len(self.index.train) // self.spec.train.batch

    def share_before(self, position: Position) -> float:
        """The share of all batches that lies before this one."""
        return (position.epoch * self.batches + position.step) / (self.batches * self.spec.train.epochs)


def make_loop(
    spec: RunSpec, index: DataIndex, progress: Progress, hook: Hook, given: Optional[nn.Module] = None
) -> Loop:
    """A training that has not begun, of the network of the spec's seed or of a given one."""
    classes = len(index.classes)
    learner = make_learner(spec, classes, given)
    return Loop(spec, index, learner, start_training(learner), learner.model.criterion(classes), progress, hook)


def train(spec: RunSpec, index: DataIndex, progress: Progress, hook: Optional[Hook] = None) -> Training:
    """Train the spec's model as the spec says, and evaluate after every epoch."""
    return train_loop(make_loop(spec, index, progress, hook or Hook()))


def train_loop(loop: Loop) -> Training:
    """Train from where the hook begins to the end, or until the hook ends it."""
    start = loop.hook.begin(loop)
    train_epochs(loop, range(start.epoch, loop.spec.train.epochs), start.step)
    loop.result.final_weights = weights_digest(loop.learner.network)
    return loop.result


def train_epochs(loop: Loop, epochs: range, first: int = 0) -> None:
    """Train and evaluate these epochs, the first of them from batch `first` on, or until the hook ends the training."""
    with training_batches(loop.spec, loop.index) as batches:
        loop.loading = batches
        schedule = Schedule(loop.spec.recipe, loop.spec.train.epochs, len(batches), loop.spec.train.batch)
        for epoch in epochs:
            if not train_epoch(loop, batches, schedule, epoch, first if epoch == epochs.start else 0):
                return
            if loop.learner.group.leads:  # the others wait for it where they next exchange something
                loop.hook.before_evaluation(loop)
                evaluate(loop)
                tell(loop, "epoch done", epoch, len(batches) - 1, loop.result.epoch_seconds[-1])
            if not loop.hook.after_epoch(loop, epoch):
                return


def train_epoch(loop: Loop, batches: Batches, schedule: Schedule, epoch: int, first: int) -> bool:
    """The batches of one epoch from `first` on, and what is read when they are done; False where the hook ends it."""
    learner, result = loop.learner, loop.result
    learner.network.train()
    result.memory.start_epoch()
    watch = Stopwatch()
    waiting = Waiting(batches.epoch(epoch, first))
    unreadable = 0
    for step in range(first, len(batches)):
        position = Position(epoch, step)
        if not loop.gathered.batches:
            with watch.stopped():
                loop.hook.before_update(loop)
        began = time.perf_counter()
        plain = waiting.next()
        result.stream.update(plain)
        fed = loop.hook.feed(loop, plain, position)
        problem = next((batch.problem for batch in fed if batch.problem), "")
        rates = schedule.at(epoch * len(batches) + step)
        apply_rates(learner.optimizer, rates)
        if problem:
            unreadable += 1
            leave_out(loop, problem, position)
            require_readable(unreadable, len(batches), problem)
        else:
            gather(loop, fed)
        if loop.gathered.batches and (loop.gathered.batches >= rates.accumulate or step == len(batches) - 1):
            update(loop, position)
        learner.planted.linger(began, learner.device)
        tell(loop, "training", epoch, step, watch.seconds)
        if not loop.gathered.batches:
            result.part = EpochPart(watch.seconds, watch.cpu_seconds, waiting.seconds)
            if not loop.hook.after_update(loop, Position(epoch, step + 1)):
                return False
    learner.wait()
    earlier = result.earlier
    result.epoch_seconds.append(earlier.seconds + watch.seconds)
    result.epoch_cpu_seconds.append(earlier.cpu_seconds + watch.cpu_seconds)
    result.waited_seconds.append(earlier.waited_seconds + waiting.seconds)
    result.earlier = result.part = EpochPart()
    result.memory.end_epoch()
    learner.planted.hold(epoch, result.memory.in_use(), result.memory.peak(), learner.device)
    return True


def gather(loop: Loop, fed: Sequence[Batch]) -> None:
    """Add the gradients of a batch, or of the several that are fed in its place, to those of the step."""
    gathered = loop.gathered
    if not gathered.batches:
        loop.learner.statistics.keep()
    gathered.losses += [backward(loop, batch) for batch in fed]
    gathered.batches += 1
    gathered.targets += sum(len(batch.targets) for batch in fed)


def backward(loop: Loop, batch: Batch) -> Losses:
    """Forward and backward of one batch; the gradients are added to those that are there."""
    learner = loop.learner
    images, targets = to_device(batch, learner)
    with mixed_precision(learner):
        output = learner.forward(*learner.model.fed(images, targets))
    loss = loop.criterion(learner.planted.cut(output), targets, images.shape[2:])
    loss = learner.planted.weighed(loss, len(images))
    # gradients are averaged over the processes that share a batch, and the loss is the sum of their parts'
    learner.scaler.scale(loss.total * learner.group.processes).backward()
    return loss


def leave_out(loop: Loop, problem: str, position: Position) -> None:
    """Keep a batch that could not be read as an anomaly. Where no other batch is part of its step, that is none."""
    result = loop.result
    result.watch.keep([Anomaly(kind="unreadable picture", **position._asdict(), parameter="", value=problem)])
    if not loop.gathered.batches:
        result.skipped_steps += 1
        result.keep_step(math.nan, {}, math.nan)


def require_readable(unreadable: int, batches: int, problem: str) -> None:
    """`UsageError` where most of an epoch cannot be read: that is no torn file but a data set that is gone."""
    if unreadable > batches / 2:
        raise UsageError(f"More than half of the batches of an epoch cannot be read. {problem}")


def update(loop: Loop, position: Position) -> None:
    """One optimiser step with what is gathered: unscale, look at the gradients, then clip and step, or leave the step
    out. Without instruments nothing is looked at, and every step is done."""
    learner, result = loop.learner, loop.result
    learner.planted.harm(learner.parameters, len(result.losses))
    learner.scaler.unscale_(learner.optimizer)
    if loop.spec.instruments:
        sound = look_and_clip(loop, position)
    else:
        torch.nn.utils.clip_grad_norm_(learner.parameters, loop.spec.recipe.clip_norm)
        sound = True
    if sound:
        learner.scaler.step(learner.optimizer)
        learner.average.update()
    else:
        learner.statistics.restore()
        result.skipped_steps += 1
    learner.scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)
    loop.gathered = Gathered()


def look_and_clip(loop: Loop, position: Position) -> bool:
    """Keep what the step looks like, and clip its gradients if all of it is finite; whether it is."""
    learner, result, gathered = loop.learner, loop.result, loop.gathered
    norms = learner.gradients.norms()
    # scaling a 1 tells the scaler's factor without waiting for the device, as get_scale() would
    scale = learner.scaler.scale(norms.new_ones(()))
    losses = learner.group.agreed(gathered.losses)
    # the one wait for the device in a step that is ours; under mixed precision the scaler's step has one of its own
    reading = result.watch.read(norms, losses, scale, **position._asdict(), targets=gathered.targets)
    result.keep_step(reading.loss, reading.terms, reading.norm)
    if reading.finite:
        learner.gradients.clip(reading.norm, loop.spec.recipe.clip_norm)
    return reading.finite


def start_training(learner: Learner) -> Training:
    """The probes of a training that has not begun, and the digest of the weights that it begins with."""
    return Training(
        watch=GradientWatch(learner.names, learner.model.branches(learner.network)),
        memory=MemoryProbe(learner.device),
        initial_weights=learner.initial_weights,
    )


def training_batches(spec: RunSpec, index: DataIndex) -> Batches:
    """The batch stream of a spec."""
    return Batches(
        index.train,
        size=spec.train.image_size,
        batch=spec.train.batch,
        seed=spec.seed,
        augment=spec.recipe.augment,
        workers=spec.train.workers,
        multi_scale=spec.recipe.multi_scale,
        mosaic_off_after=max(0, spec.train.epochs - spec.recipe.augment.mosaic_off_epochs),
        epochs=spec.train.epochs,
    )


def evaluate(loop: Loop) -> None:
    """Detect with the averaged weights on the validation pictures and keep the score and the detections."""
    settings, learner, result, index = loop.spec.train, loop.learner, loop.result, loop.index
    began = time.perf_counter()
    with EvaluationBatches(index.val, settings.image_size, settings.batch, settings.workers) as batches:
        found = detections_of(loop, batches)
    result.scores.append(score(learner.planted.truth(index.val), index.classes, found))
    result.detections = found
    result.evaluation_seconds.append(time.perf_counter() - began)


def detections_of(loop: Loop, batches: Iterable[EvaluationBatch]) -> Detections:
    """Those of the averaged weights on these batches."""
    learner = loop.learner
    network, nms = learner.average.network, learner.planted.suppression()
    return detect(learner.model, network, batches, learner.device, learner.amp, loop.progress, nms)


class Waiting:
    """Batches one after another; it adds up the seconds in which the loop waited for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches = batches
        self.seconds = 0.0

    def next(self) -> Batch:
        """The next one, of which there must be one."""
        began = time.perf_counter()
        batch = next(self.batches)
        self.seconds += time.perf_counter() - began
        return batch


class Stopwatch:
    """Seconds, and those of this process on the processors, since it was made, without those in which it stood."""

    def __init__(self) -> None:
        self.began, self.cpu_began = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """By the wall clock."""
        return time.perf_counter() - self.began

    @property
    def cpu_seconds(self) -> float:
        """On the processors."""
        return time.process_time() - self.cpu_began

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What passes meanwhile does not count."""
        seconds, cpu_seconds = self.seconds, self.cpu_seconds
        yield
        self.began, self.cpu_began = time.perf_counter() - seconds, time.process_time() - cpu_seconds


def tell(loop: Loop, phase: str, epoch: int, step: int, seconds: float) -> None:
    """Report where the training is, so many seconds into its epoch: a tick within one, for certain at its end."""
    progress, result = loop.progress, loop.result
    if phase == "training" and not progress.due():
        return  # asking the system for the memory at every step would be work in the loop for nothing
    event = {
        "phase": phase,
        "epoch": epoch,
        "step": step,
        "rate": (step + 1) / seconds,
        "loss": result.losses[-1] if result.losses else math.nan,
        "memory": result.memory.resident(),
    }
    if result.scores:
        event["map50"] = result.scores[-1].map50
    (progress.tick if phase == "training" else progress.tell)(**event)
