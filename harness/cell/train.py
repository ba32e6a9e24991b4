"""The training loop, once, for every pin and every case: read `train`, then `update`, from top to bottom."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.cell import compat
from harness.cell.data.batches import Batch, Batches, EvaluationBatches, StreamDigest
from harness.cell.data.index import DataIndex
from harness.cell.evaluate import Detections, Score, detect, no_detections, score
from harness.cell.faults import Planted
from harness.cell.probes import GradientWatch, MemoryProbe, StepClock, clip, gradient_norms
from harness.cell.progress import Progress
from harness.cell.schedule import Schedule, apply_rates, make_optimizer
from harness.cell.yolov9.assign import pad_targets
from harness.cell.yolov9.ema import WeightAverage
from harness.cell.yolov9.initial import draw_initial_weights, weights_digest
from harness.cell.yolov9.loss import DetectionLoss, LossParts
from harness.cell.yolov9.model import YOLOv9S, branches
from harness.core.spec import RunSpec


@dataclass
class Learner:
    """All that a training changes: the weights, their average, the optimiser, the loss scaler."""

    model: YOLOv9S
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    scaler: Any
    names: list[str]
    parameters: list[nn.Parameter]
    device: torch.device
    amp: bool
    planted: Planted


@dataclass
class Training:
    """What a training leaves: series by step or epoch, the probes with what they saw, digests, last detections."""

    watch: GradientWatch
    memory: MemoryProbe
    clock: StepClock
    initial_weights: str
    final_weights: str = ""
    stream: StreamDigest = field(default_factory=StreamDigest)
    losses: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Total, box, class and DFL loss of every optimiser step, mean over its batches."""
    norms: list[float] = field(default_factory=list)
    """Joint gradient norm of every optimiser step, after unscaling and before clipping."""
    skipped_steps: int = 0
    """Optimiser steps left out because loss or gradients were not finite; the scaler's skips are among them."""
    epoch_seconds: list[float] = field(default_factory=list)
    epoch_cpu_seconds: list[float] = field(default_factory=list)
    waited_seconds: list[float] = field(default_factory=list)
    """Seconds of every epoch in which the loop waited for its next batch."""
    evaluation_seconds: list[float] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    detections: Detections = field(default_factory=no_detections)
    """Those of the last epoch."""


def train(spec: RunSpec, index: DataIndex, progress: Progress) -> Training:
    """Train YOLOv9-S as the spec says and evaluate after every epoch. A step with an anomaly is left out and kept."""
    settings = spec.train
    learner = make_learner(spec, len(index.classes))
    result = start_training(learner)
    criterion = DetectionLoss(len(index.classes))
    batches = training_batches(spec, index)
    schedule = Schedule(spec.recipe, settings.epochs, len(batches), settings.batch)
    with batches:
        for epoch in range(settings.epochs):
            learner.model.train()
            result.memory.start_epoch()
            began, cpu_began = time.perf_counter(), time.process_time()
            waiting = Waiting(batches.epoch(epoch))
            gathered: list[LossParts] = []
            targets_seen = 0
            for step, batch in enumerate(waiting):
                result.clock.start()
                result.stream.update(batch)
                rates = schedule.at(epoch * len(batches) + step)
                apply_rates(learner.optimizer, rates)
                gathered.append(backward(learner, criterion, batch))
                targets_seen += len(batch.targets)
                if len(gathered) >= rates.accumulate or step == len(batches) - 1:
                    update(learner, result, gathered, spec, epoch=epoch, step=step, targets=targets_seen)
                    gathered, targets_seen = [], 0
                learner.planted.linger(result.clock.began, learner.device)
                result.clock.stop()
                tell(progress, result, "training", epoch, step, began)
            result.clock.end_epoch()
            result.epoch_seconds.append(time.perf_counter() - began)
            result.epoch_cpu_seconds.append(time.process_time() - cpu_began)
            result.waited_seconds.append(waiting.seconds)
            result.memory.end_epoch()
            learner.planted.hold(epoch, result.memory.in_use(), result.memory.peak(), learner.device)
            evaluate(spec, index, learner, result, progress)
            tell(progress, result, "epoch done", epoch, step, time.perf_counter() - result.epoch_seconds[-1])
    result.final_weights = weights_digest(learner.model)
    return result


def backward(learner: Learner, criterion: DetectionLoss, batch: Batch) -> LossParts:
    """Forward and backward of one batch; the gradients are added to those that are there."""
    images, targets = to_device(batch, learner)
    with mixed_precision(learner):
        maps = learner.model(images)
    loss = criterion(learner.planted.cut(maps), targets, images.shape[2:])
    learner.scaler.scale(loss.total).backward()
    return loss


def update(
    learner: Learner, result: Training, losses: list[LossParts], spec: RunSpec, *, epoch: int, step: int, targets: int
) -> None:
    """One optimiser step: unscale, look at the gradients, then clip and step, or leave the step out."""
    learner.planted.harm(learner.parameters, len(result.losses))
    learner.scaler.unscale_(learner.optimizer)
    norms = gradient_norms(learner.parameters)
    # scaling a 1 tells the scaler's factor without waiting for the device, as get_scale() would
    scale = learner.scaler.scale(norms.new_ones(()))
    # the one wait for the device in a step that is ours; under mixed precision the scaler's step has one of its own
    reading = result.watch.read(norms, losses, scale, epoch=epoch, step=step, targets=targets)
    result.losses.append(reading.loss)
    result.norms.append(reading.norm)
    if reading.finite:
        clip(learner.parameters, norms, spec.recipe.clip_norm)
        learner.scaler.step(learner.optimizer)
        learner.average.update(learner.model)
    else:
        result.skipped_steps += 1
    learner.scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)


def make_learner(spec: RunSpec, classes: int) -> Learner:
    """The model with its initial weights on the spec's device, and what trains it."""
    device = torch.device(spec.device)
    model = YOLOv9S(classes)
    draw_initial_weights(model, spec.seed)
    model.to(device)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    amp = spec.precision == "amp"
    return Learner(
        model=model,
        average=WeightAverage(model, spec.recipe.ema_decay, spec.recipe.ema_updates),
        optimizer=make_optimizer(model, spec.recipe, spec.train.batch),
        scaler=compat.grad_scaler(enabled=amp),
        names=list(trained),
        parameters=list(trained.values()),
        device=device,
        amp=amp,
        planted=Planted(spec.fault, classes),
    )


def start_training(learner: Learner) -> Training:
    """The probes of a training that has not begun, and the digest of its initial weights."""
    return Training(
        watch=GradientWatch(learner.names, branches(learner.model)),
        memory=MemoryProbe(learner.device),
        clock=StepClock(learner.device),
        initial_weights=weights_digest(learner.model),
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


def mixed_precision(learner: Learner) -> contextlib.AbstractContextManager[Any]:
    """float16 where it is safe on CUDA under `amp`; otherwise nothing, on all torch versions alike."""
    return torch.autocast(device_type="cuda") if learner.amp else contextlib.nullcontext()


def to_device(batch: Batch, learner: Learner) -> tuple[Tensor, Tensor]:
    """A batch's pictures (batch, 3, h, w) float32 in 0..1 and padded targets, on the device without making it wait."""
    height, width = batch.images.shape[2:]
    images = torch.from_numpy(batch.images)
    labels = learner.planted.labels(batch.targets)
    targets = torch.from_numpy(pad_targets(labels, len(batch.images), width, height))
    if learner.device.type == "cuda":  # only a copy from pinned memory is asynchronous
        images, targets = images.pin_memory(), targets.pin_memory()
    return images.to(learner.device, non_blocking=True).float() / 255, targets.to(learner.device, non_blocking=True)


def evaluate(spec: RunSpec, index: DataIndex, learner: Learner, result: Training, progress: Progress) -> None:
    """Detect with the averaged weights on the validation pictures and keep the score and the detections."""
    began = time.perf_counter()
    with EvaluationBatches(index.val, spec.train.image_size, spec.train.batch, spec.train.workers) as batches:
        found = detect(learner.average.model, batches, learner.device, learner.amp, progress)
    result.scores.append(score(learner.planted.truth(index.val), index.classes, found))
    result.detections = found
    result.evaluation_seconds.append(time.perf_counter() - began)


class Waiting:
    """Iterates over batches and adds up the seconds in which the loop waited for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches = batches
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            began = time.perf_counter()
            batch = next(self.batches, None)
            self.seconds += time.perf_counter() - began
            if batch is None:
                return
            yield batch


def tell(progress: Progress, result: Training, phase: str, epoch: int, step: int, began: float) -> None:
    """Report where the training is; a tick within an epoch, for certain at its end."""
    if phase == "training" and not progress.due():
        return  # asking the system for the memory at every step would be work in the loop for nothing
    event = {
        "phase": phase,
        "epoch": epoch,
        "step": step,
        "rate": (step + 1) / (time.perf_counter() - began),
        "loss": result.losses[-1][0] if result.losses else float(np.nan),
        "memory": result.memory.resident(),
    }
    if result.scores:
        event["map50"] = result.scores[-1].map50
    (progress.tick if phase == "training" else progress.tell)(**event)
