"""The body of the case `fidelity`."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple, Optional

import numpy as np
import torch
from msgspec.structs import replace

from cases.fidelity import Settings
from cases.fidelity.states import State, digest_of, states_of
from cases.fidelity.steps import (
    FINEST,
    KINDS,
    ROUNDING,
    Outcome,
    Stepper,
    Tensors,
    Trace,
    distances,
    norms,
    relative_error,
)
from harness.cell import compat
from harness.cell.data.batches import Batch, EvaluationBatch, EvaluationBatches, StreamDigest
from harness.cell.learner import Learner
from harness.cell.measured import Measured
from harness.cell.run import Run
from harness.cell.train import Hook, make_loop, training_batches
from harness.core.declaration import Combination, key_of, part_name
from harness.core.spec import RunSpec

NUDGES = (1, 2)
"""The draws of nudged weights that tell how far rounding may move a gradient, at the last state."""
BOXES = 1000
EXPLAINED = {"cpu": 12.0, "cuda": 100.0}
"""A tensor may be so many times as far from float64 as rounding moves it. At 64 px on a CPU none was further than 4.8
times, and with one coarse convolution the furthest were 62 and 83. At 640 px on an H200, by nudged weights alone, one
was 26 times as far, since its kernels have ways of their own to add and to transform. An input that is rounded as TF32
rounds it brings 279."""


class Suspect(NamedTuple):
    """How far a tensor is from float64, in units of what rounding explains, and which one, where."""

    times: float
    said: str


class Held(NamedTuple):
    """How far one step is from the same in float64: by kind the relative error, and the difference in mAP50."""

    errors: dict[str, float]
    map50: Optional[float]
    """None where float64 has found nothing right."""


def measure(run: Run) -> Measured:
    """Take all steps; `UsageError` where the states that they begin at cannot be had."""
    began = time.monotonic()
    with run.scratch() as scratch:
        states = states_of(run, scratch)
    comparison = Comparison(run, states)
    for at in run.combinations("size", "batch"):
        comparison.take(at)
    measured = comparison.measured()
    measured.measuring = time.monotonic() - began
    return measured


class Comparison:
    """The steps of one run, each beside the same in float64, and what they came to."""

    def __init__(self, run: Run, states: Sequence[State]) -> None:
        self.run = run
        self.settings = run.settings_as(Settings)
        self.states = states
        self.stream = StreamDigest()
        self.held: dict[str, list[Held]] = {}
        self.suspects: list[Suspect] = []
        self.steps: list[tuple[str, float]] = []
        self.detections: list[tuple[str, float]] = []
        self.trace: Optional[Trace] = None
        self.kept = 0.0

    def take(self, at: Combination) -> None:
        """From every state a step at this size and batch, in float64 and in every precision that there is here."""
        spec = sized(self.run.spec, at)
        pictures = pictures_of(self.run, spec, self.settings.pictures)
        exactly = self.stepper(spec, wide=True)
        self.kept = kept_of_drawn(exactly.loop.learner)
        plainly = {precision: self.stepper(replace(spec, precision=precision)) for precision in self.precisions()}
        for number, (state, batch) in enumerate(zip(self.states, self.batches(spec))):
            where = f"{at['size']} px, batch {at['batch']}, state {self.settings.states[number]}"
            self.run.progress.tick(phase="taking steps", state=where)
            self.stream.update(batch)
            last = number == len(self.states) - 1
            exact = exactly.step(state, batch, pictures if last else [])
            self.steps += [(f"{where}: {name}", value) for name, value in sums_of(exact)]
            self.detections += [(f"{where}: {name}", value) for name, value in figures_of(exact)] if last else []
            for precision, stepper in plainly.items():
                self.trace = self.trace or traced(stepper, state, batch)
                own = stepper.step(state, batch, pictures if last else [])
                self.held.setdefault(key_of("", {"precision": precision, **at}), []).append(hold(own, exact))
                if last and precision == "fp32":
                    moves = [exactly.gradients(state, batch, nudge) for nudge in NUDGES]
                    finest = exactly.gradients(state, batch, NUDGES[0], FINEST)
                    found = suspect(own.tensors["gradient"], exact.tensors["gradient"], moves, finest, where)
                    self.suspects.append(found)

    def stepper(self, spec: RunSpec, *, wide: bool = False) -> Stepper:
        """What takes steps as the spec says, or in float64."""
        return Stepper(make_loop(spec, self.run.data, self.run.progress, Hook()), wide=wide)

    def precisions(self) -> list[Literal["fp32", "amp"]]:
        """Those that there are on the run's device."""
        return [one for one in self.settings.precisions if one == "fp32" or self.run.spec.device != "cpu"]

    def batches(self, spec: RunSpec) -> list[Batch]:
        """A batch for every state: the first ones of the training."""
        with training_batches(spec, self.run.data) as batches:
            endless = (batch for epoch in itertools.count() for batch in batches.epoch(epoch))
            return [*itertools.islice(endless, len(self.states))]

    def measured(self) -> Measured:
        """All that the steps came to."""
        measured = self.run.measured(digest_of(self.states), self.stream.hexdigest())
        for at in self.run.combinations():
            self.keep(measured, at, self.held.get(key_of("", at), []))
        if self.suspects:
            worst = max(self.suspects)
            most = EXPLAINED[torch.device(self.run.spec.device).type]
            measured.check("no_tensor", worst.times <= most, f"{worst.said}; {most:g} are allowed")
        measured.keep_places("exact_steps", self.steps)
        measured.keep_places("exact_detections", [("drawn boxes that are kept", self.kept), *self.detections])
        if self.trace:
            measured.keep_places("forward", self.trace.forward)
            measured.keep_places("backward", self.trace.backward)
            measured.keep_places("statistics", self.trace.statistics)
        return measured

    def keep(self, measured: Measured, at: Combination, held: Sequence[Held]) -> None:
        """The metrics of one combination."""
        for kind in KINDS:
            name = f"{kind}_error"
            errors = [one.errors[kind] for one in held if kind in one.errors]
            if not held:
                measured.keep_reason(name, "mixed precision is for a GPU", at)
            elif not errors:
                measured.keep_reason(name, "the model puts out another number of boxes in float64", at)
            elif min(errors) <= 0:
                measured.keep_reason(name, "some step is no further from float64 than 0", at)
            else:
                measured.keep_metric(name, errors, at=at)
        if held:
            self.keep_map50(measured, at, held[-1].map50)
            measured.keep_series(part_name("gradient_error", at), [one.errors["gradient"] for one in held])

    @staticmethod
    def keep_map50(measured: Measured, at: Combination, apart: Optional[float]) -> None:
        """The difference in mAP50, where there is any mAP50."""
        if apart is None:
            measured.keep_reason("map50_error", "too early in the training: nothing is found right in float64", at)
        else:
            measured.keep_metric("map50_error", [apart], at=at)


def sized(spec: RunSpec, at: Combination) -> RunSpec:
    """The spec with pictures of that size and batches of that many, made in this process."""
    return replace(spec, train=replace(spec.train, image_size=at["size"], batch=at["batch"], workers=0))


def pictures_of(run: Run, spec: RunSpec, most: int) -> list[EvaluationBatch]:
    """So many pictures of the validation set."""
    with EvaluationBatches(run.data.val[:most], spec.train.image_size, spec.train.batch) as batches:
        return [*batches]


def traced(stepper: Stepper, state: State, batch: Batch) -> Trace:
    """What every module and every gradient of a step comes to, bit for bit."""
    with Trace(stepper.loop.learner.network) as trace:
        gradients = stepper.gradients(state, batch)
    trace.keep_rest(stepper.loop.gathered.losses[0], gradients)
    return trace


def hold(own: Outcome, exact: Outcome) -> Held:
    """A step beside the same in float64."""
    errors = {
        kind: relative_error(own.tensors[kind], tensors)
        for kind, tensors in exact.tensors.items()
        if shapes_of(own.tensors[kind]) == shapes_of(tensors)  # a model that suppresses boxes itself puts out some
    }
    return Held(errors, abs(own.score.map50 - exact.score.map50) if exact.score.map50 else None)


def shapes_of(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """The shape of each."""
    return {name: tuple(one.shape) for name, one in tensors.items()}


def kept_of_drawn(learner: Learner) -> float:
    """What the suppression does, in one number: the sum of the places of those boxes that it keeps of some that are
    drawn close together. Those that a detector finds which has learnt little hardly overlap, and show nothing of it."""
    random = np.random.RandomState(0)
    corners = random.randint(0, 4, (BOXES, 2)) * 64 + random.uniform(0, 8, (BOXES, 2))
    boxes = torch.from_numpy(np.concatenate((corners, corners + random.uniform(32, 64, (BOXES, 2))), 1))
    scores = torch.arange(BOXES, 0, -1, dtype=torch.float64)
    nms = learner.planted.suppression() or compat.suppression()
    return float(nms(boxes.to(learner.device), scores.to(learner.device), 0.7).sum())


def sums_of(exact: Outcome) -> list[tuple[str, float]]:
    """What a step comes to, in a few numbers: the losses, and of each other kind the sum of its tensors' 2-norms."""
    losses = [(name, float(value)) for name, value in exact.tensors["loss"].items()]
    return losses + [(kind, math.fsum(norms(one).values())) for kind, one in exact.tensors.items() if kind != "loss"]


def figures_of(exact: Outcome) -> list[tuple[str, float]]:
    """What is detected, in a few numbers."""
    found = exact.detections
    return [
        ("detections", float(len(found))),
        ("sum of scores", float(found[:, 5].sum())),
        ("sum of corners and sides", float(found[:, 1:5].sum())),
        ("mAP50", exact.score.map50),
        ("mAP50-95", exact.score.map50_95),
    ]


def suspect(own: Tensors, exact: Tensors, moves: Sequence[Tensors], finest: Tensors, where: str) -> Suspect:
    """The tensor that is furthest from float64 beside what rounding explains.

    That is how far it moves in float64 when all weights are nudged (root mean square over the draws), but at least by
    the share of its size that half of all tensors exceed: one of few numbers may by chance hardly move. A sum whose
    terms cancel each other moves less with the weights than its own rounding: a bias, say, that the next batch
    normalisation takes out again has a gradient of 0 but for rounding. That rounding shows in float64 too, under a
    nudge as small as float64 rounds (`finest`), and in float32 it is so many times as coarse.
    """
    apart, sizes, moved = distances(own, exact), norms(exact), [distances(one, exact) for one in moves]
    explained = {name: math.sqrt(statistics.fmean([one[name] ** 2 for one in moved])) for name in exact}
    share = statistics.median([explained[name] / size for name, size in sizes.items() if size])
    rounded = {name: one * ROUNDING / FINEST for name, one in distances(finest, exact).items()}
    times = {
        name: ratio(apart[name], max(explained[name], rounded[name], share * size)) for name, size in sizes.items()
    }
    worst = max(times, key=lambda name: times[name])
    error = ratio(apart[worst], sizes[worst])
    return Suspect(times[worst], f"at most {times[worst]:.1f} times as far: {worst} by {error:.1e} ({where})")


def ratio(one: float, other: float) -> float:
    """A ratio; of 0 to 0 it is 0, and infinite of what is no number."""
    return math.inf if math.isnan(one) else one / other if other else math.inf if one else 0.0
