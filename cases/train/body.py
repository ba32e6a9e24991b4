"""The body of the case `train`."""

from __future__ import annotations

import math
from typing import Optional

from cases.train import STEP_TIME, Settings
from harness.cell.given import network_to_train
from harness.cell.kernels import keep_gpu_busy
from harness.cell.measured import Measured
from harness.cell.results import keep_detections, measured_of
from harness.cell.run import Run
from harness.cell.train import Loop, Training, make_loop, train_loop
from harness.cell.turns import ALONE, TakingTurns, Turns, told_where_there_is_no_room
from harness.cell.weights_file import About, write_weights
from harness.core.record import Sitting


def measure(run: Run) -> Optional[Measured]:
    """Train as the spec says, by turns; the last epoch's detections, and what they were scored against, lie beside the
    record. None where another process goes on with the training."""
    assert run.place  # a case that takes turns is given one
    settings = run.settings_as(Settings)
    hook = TakingTurns(run.place, Turns(run.progress), steps=settings.steps, epochs=settings.epochs)
    given, lacking = network_to_train(run) if run.spec.weights else (None, "")
    with told_where_there_is_no_room(run.progress, run.place):
        loop = make_loop(run.spec, run.data, run.progress, hook, given)
        result = train_loop(loop)
    if hook.left:
        return None
    measured = measured_of(run, result)
    keep_detections(measured, run, loop.learner.planted.truth(run.data.val), result.detections)
    if run.spec.round == 0:
        keep_weights(measured, run, loop)
    keep_turns(measured, result, math.ceil(run.spec.train.warmup_batches / settings.steps))
    if lacking:
        measured.notes["weights"] = lacking
    if run.place.seats == 1:
        measured.notes[STEP_TIME.name] = ALONE
    keep_gpu_busy(measured, loop)
    return measured


def keep_weights(measured: Measured, run: Run, loop: Loop) -> None:
    """Keep the averaged weights, which are what was evaluated, for other programs; of one round, as each takes the room
    of a model."""
    path = run.record.with_name(f"{run.record.stem}.weights.safetensors")
    write_weights(path, loop.learner.average.network.state_dict(), About(run.spec.model.name, tuple(run.data.classes)))
    measured.files["weights"] = path.name


def keep_turns(measured: Measured, result: Training, warmup: int) -> None:
    """Keep the step time of every lap, in seconds; so many laps at the start of every process are warm-up."""
    samples: list[float] = []
    starts: list[float] = []
    begun = 0
    for sitting in result.sittings:
        laps = result.turns[begun : begun + sitting["laps"]]
        begun += len(laps)
        apart = min(warmup, max(0, len(laps) - 1))
        starts += laps[:apart]
        samples += laps[apart:]
        measured.sittings.append(Sitting(sitting["name"], sitting["seat"], len(laps) - apart))
    measured.keep_metric(STEP_TIME.name, samples, starts)
