"""The body of the case `batch-change`.

Model, average, optimiser and watch run on, and an epoch has the same pictures at every size (less what does not fill
its last batch). Learning rates are those of a training that used the current batch size throughout.
"""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from msgspec.structs import replace

from cases.batch_change import Settings
from harness.cell import compat
from harness.cell.data.index import DataIndex
from harness.cell.devices import first_line
from harness.cell.errand import Answer, Errand, do
from harness.cell.measured import Measured
from harness.cell.results import PEAKS, measured_of
from harness.cell.run import Run
from harness.cell.train import Gathered, Hook, Loop, make_loop, train_epochs, training_batches
from harness.cell.weights import weights_digest
from harness.core.errors import UsageError

Fresh = dict[int, Union[Answer, str]]
"""By batch size what a process left that trained at it alone, or how it failed."""


@dataclass
class Phase:
    """The epochs at one batch size, and what was seen in them."""

    size: int
    epochs: range
    losses: list[float] = field(default_factory=list)
    """Of every step, per picture."""
    norms: list[float] = field(default_factory=list)
    anomalous_steps: int = 0
    memory: dict[str, list[float]] = field(default_factory=dict)
    """By epoch, as the memory probe names it."""
    evaluating: bool = False
    """Whether it was at an evaluation that it crashed, and not at a step."""
    failed: str = ""
    """Where it crashed and why."""


def measure(run: Run) -> Measured:
    """Train at every size in a process of its own, then at one after another in this one."""
    settings = run.settings_as(Settings)
    require_pictures(run.data, settings)
    with run.scratch() as scratch:  # first, while this process holds nothing of the device's memory
        fresh = {size: train_fresh(run, settings, size, scratch) for size in dict.fromkeys(settings.sizes)}
    loop = make_loop(run.spec, run.data, run.progress, Hook())
    return measured_by_phase(run, loop, train_phases(loop, settings), fresh)


def require_pictures(index: DataIndex, settings: Settings) -> None:
    """`UsageError` where the largest batch is more than there is: before anything is trained."""
    if len(index.train) < max(settings.sizes):
        raise UsageError(
            f"The training set has {len(index.train)} pictures, and the case batch-change wants a batch of "
            f"{max(settings.sizes)}: choose smaller sizes or more pictures."
        )


def train_fresh(run: Run, settings: Settings, size: int, scratch: Path) -> Union[Answer, str]:
    """A training at one size from the start, in a fresh process, for as many epochs as each size gets here."""
    phase = f"fresh at batch {size}"
    run.progress.tell(phase=phase)
    spec = replace(run.spec, train=replace(run.spec.train, batch=size, epochs=settings.epochs))
    return do(Errand(spec, run.index, answer=str(scratch / f"{size}.json")), run.progress, phase)


def train_phases(loop: Loop, settings: Settings) -> list[Phase]:
    """One training at one size after another. What crashes at one size goes on at the next."""
    spec, epochs = loop.spec, settings.epochs
    phases = [Phase(size, range(at * epochs, (at + 1) * epochs)) for at, size in enumerate(settings.sizes)]
    for phase in phases:
        loop.spec = replace(spec, train=replace(spec.train, batch=phase.size, epochs=phases[-1].epochs.stop))
        train_phase(loop, phase)
    loop.result.final_weights = weights_digest(loop.learner.network)
    return phases


def train_phase(loop: Loop, phase: Phase) -> None:
    """The epochs at one size, trained and evaluated as in any training. A crash ends them, and is kept."""
    result = loop.result
    steps, counted, anomalous = len(result.losses), result.stream.batches, result.watch.anomalous_steps
    trained, evaluated = len(result.epoch_seconds), len(result.evaluation_seconds)
    earlier = {name: len(values) for name, values in result.memory.series.items()}
    try:
        train_epochs(loop, phase.epochs)
    except UsageError:
        raise  # the data are gone, at whatever size
    except Exception as error:
        traceback.print_exc()
        phase.evaluating = len(result.epoch_seconds) - trained > len(result.evaluation_seconds) - evaluated
        epoch, batch = divmod(result.stream.batches - counted - 1, loop.batches)
        place = "its evaluation" if phase.evaluating else f"batch {batch + 1}"
        phase.failed = f"epoch {phase.epochs[epoch] + 1}, {place}: {type(error).__name__}: {first_line(error)}"
    if phase.failed:  # the error is gone by now, and with its traceback what that held of the memory
        if not phase.evaluating:
            recover(loop)
        count_rest(loop, phase, result.stream.batches - counted)
    phase.losses = [loss / phase.size for loss in result.losses[steps:]]
    phase.norms = result.norms[steps:]
    phase.anomalous_steps = result.watch.anomalous_steps - anomalous
    phase.memory = {name: values[earlier.get(name, 0) :] for name, values in result.memory.series.items()}


def recover(loop: Loop) -> None:
    """Undo what is half done of the step that crashed."""
    learner = loop.learner
    loop.gathered = Gathered()
    learner.optimizer.zero_grad(set_to_none=True)
    learner.statistics.restore()
    factor = learner.scaler.state_dict()
    learner.scaler = compat.grad_scaler(enabled=learner.amp)  # the old one may remember gradients as unscaled already
    learner.scaler.load_state_dict(factor)


def count_rest(loop: Loop, phase: Phase, done: int) -> None:
    """Count in the batches that a crash has left over: all pins were given the same, and only then are compared."""
    began, first = divmod(done, loop.batches)
    with training_batches(loop.spec, loop.index) as batches:
        for epoch in phase.epochs[began:]:
            for batch in batches.epoch(epoch, first):
                loop.result.stream.update(batch)
                loop.progress.tick(phase="counting batches", epoch=epoch, step=first)
            first = 0


def measured_by_phase(run: Run, loop: Loop, phases: Sequence[Phase], fresh: Fresh) -> Measured:
    """What the phases left, beside the fresh processes."""
    result = loop.result
    measured = measured_of(run, result)
    measured.measuring += sum(answer.seconds for answer in fresh.values() if not isinstance(answer, str))
    each = len(phases[0].epochs)
    measured.notes["batch sizes"] = f"{' → '.join(str(phase.size) for phase in phases)}, {each} epoch(s) each"
    keep_memory(measured, phases, fresh, result.memory.names.held)
    check_health(measured, phases)
    check_single(measured, phases)
    check_back(measured, phases, [score.map50 for score in result.scores])
    return measured


def keep_memory(measured: Measured, phases: Sequence[Phase], fresh: Fresh, held: str) -> None:
    """Memory by phase here and in the fresh process at its size, and what of it stays after a change."""
    names = dict.fromkeys(name for phase in phases for name in phase.memory)
    for name in names:
        measured.keep_series(f"{name}_by_phase", [of_phase(phase.memory, name) for phase in phases])
        measured.keep_series(f"{name}_fresh", [of_fresh(fresh[phase.size], name) for phase in phases])
    measured.notes["retained_memory"] = f"{held} at the end of each size's epochs, after the worst change"
    for phase in phases:
        answer = fresh[phase.size]
        reason = f"a fresh process fails at batch {phase.size}: {answer}" if isinstance(answer, str) else phase.failed
        if reason:
            measured.keep_reason("retained_memory", reason)
            return
    ratios = [of_phase(phase.memory, held) / of_fresh(fresh[phase.size], held) for phase in phases[1:]]
    measured.keep_metric("retained_memory", [max(ratios)])


def of_phase(memory: dict[str, list[float]], name: str) -> float:
    """Bytes at the end of a phase, of a peak the highest in it; not a number where it ended before."""
    values = memory.get(name, [])
    if not values:
        return math.nan
    return max(values) if name in PEAKS else values[-1]


def of_fresh(answer: Union[Answer, str], name: str) -> float:
    """Likewise of a fresh process, which may have failed."""
    return math.nan if isinstance(answer, str) else of_phase(answer.memory, name)


def check_health(measured: Measured, phases: Sequence[Phase]) -> None:
    """Every size was trained at, and the gradient watch saw nothing."""
    held = not any(phase.failed or phase.anomalous_steps for phase in phases)
    measured.check("goes_on", held, "; ".join(told(phase) for phase in phases))


def told(phase: Phase) -> str:
    """What was seen at one size, in figures."""
    if phase.failed:
        return f"batch {phase.size} crashed in {phase.failed}"
    anomalous = f", {phase.anomalous_steps} of them with an anomaly" if phase.anomalous_steps else ""
    loss, norm = statistics.fmean(phase.losses), statistics.median(phase.norms)
    steps = f"{len(phase.losses)} steps{anomalous}"
    return f"batch {phase.size}: {steps}, loss {loss:.3g} a picture, gradient norm {norm:.3g}"


def check_single(measured: Measured, phases: Sequence[Phase]) -> None:
    """Whether a batch of one, from which BatchNorm has the least to normalise by, was survived."""
    single = [phase for phase in phases if phase.size == 1]
    said = "; ".join(told(phase) for phase in single) or "there is no batch of a single picture among the sizes"
    measured.check("single_picture", not any(phase.failed for phase in single) if single else None, said)


def check_back(measured: Measured, phases: Sequence[Phase], map50: Sequence[float]) -> None:
    """Whether the last epochs, where they are at the first size again, have a lower loss than the first."""
    first, last = phases[0], phases[-1]
    if first.failed or last.failed:
        measured.check("learns_on", False, next(told(phase) for phase in (last, first) if phase.failed))
    elif first.size != last.size:
        measured.check("learns_on", None, f"the last size is {last.size}, the first {first.size}")
    else:
        before, after = statistics.fmean(first.losses), statistics.fmean(last.losses)
        said = f"loss {after:.3g} a picture, {before:.3g} in the first epochs; mAP50 {map50[-1]:.3f} after the last"
        measured.check("learns_on", after < before, said)
