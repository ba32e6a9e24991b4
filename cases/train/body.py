"""The body of the case `train`."""

from __future__ import annotations

import math
from typing import Optional

from cases.train import STEP_TIME, Settings
from harness.cell.kernels import keep_gpu_busy
from harness.cell.measured import Measured
from harness.cell.results import measured_of
from harness.cell.run import Run
from harness.cell.scoring import ground_truth, keep_document, results
from harness.cell.train import Loop, Training, make_loop, train_loop
from harness.cell.turns import ALONE, TakingTurns, Turns, told_where_there_is_no_room
from harness.core.record import Sitting

NEVER_FOUND = (
    "an annotation has the id 0, which COCO's tools take for no match: they and this run count its object as not found"
)


def measure(run: Run) -> Optional[Measured]:
    """Train as the spec says, by turns; the last epoch's detections, and what they were scored against, lie beside the
    record. None where another process goes on with the training."""
    assert run.place  # a case that takes turns is given one
    settings = run.settings_as(Settings)
    hook = TakingTurns(run.place, Turns(run.progress), steps=settings.steps, epochs=settings.epochs)
    with told_where_there_is_no_room(run.progress, run.place):
        loop = make_loop(run.spec, run.data, run.progress, hook)
        result = train_loop(loop)
    if hook.left:
        return None
    measured = measured_of(run, result)
    keep_files(measured, run, loop)
    keep_turns(measured, result, math.ceil(run.spec.train.warmup_batches / settings.steps))
    if run.place.seats == 1:
        measured.notes[STEP_TIME.name] = ALONE
    keep_gpu_busy(measured, loop)
    return measured


def keep_files(measured: Measured, run: Run, loop: Loop) -> None:
    """Keep the last epoch's detections and what they were scored against as COCO files beside the record."""
    index, found = run.data, loop.result.detections
    pictures = loop.learner.planted.truth(index.val)
    truth = ground_truth(pictures, index.classes, index.categories)
    for name, document in {"detections": results(pictures, found, index.categories), "ground-truth": truth}.items():
        path = run.record.with_name(f"{run.record.stem}.{name}.json.gz")
        keep_document(path, document)
        measured.files[name] = path.name
    if any(one["id"] == 0 for one in truth["annotations"]):
        measured.notes.update(map50=NEVER_FOUND, map50_95=NEVER_FOUND)


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
