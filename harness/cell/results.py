"""What a training leaves, in the terms of a record: of what every training yields, all that its case declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional, Union

from harness.cell.data.index import Item
from harness.cell.measured import Measured
from harness.cell.probes import growth
from harness.cell.run import Run
from harness.cell.scoring import Detections, digest_of_detections, ground_truth, keep_document, results
from harness.cell.train import Training
from harness.core import training
from harness.core.spec import RunSpec

SERIES = [series.name for series in training.MEMORY_SERIES]
NEVER_FOUND = (
    "an annotation has the id 0, which COCO's tools take for no match: they and this run count its object as not found"
)
PEAKS = [metric.name for metric in training.MEMORY if metric.by_part]
"""The metrics that are the largest value that each process left in the series of their name."""


def measured_of(run: Run, result: Training, *, warmup_epochs: int = 1, on: Optional[RunSpec] = None) -> Measured:
    """What the case declares of all that a training yields. `warmup_epochs`: those at the start of every process that
    tell nothing of how its memory grows; `on`: the spec on the device that the case has found."""
    measured = run.measured(result.initial_weights, result.stream.hexdigest(), on=on)
    measured.anomalies = result.watch.anomalies
    measured.measuring = result.spent()
    keep_times(measured, result)
    keep_memory(measured, result, warmup_epochs)
    keep_health(measured, result)
    keep_quality(measured, result)
    keep_fingerprints(measured, result)
    return measured


def keep_declared(measured: Measured, values: Mapping[str, Sequence[float]]) -> None:
    """Those of these metrics that the case declares."""
    for name, samples in values.items():
        if measured.case.metric(name):
            measured.keep_metric(name, samples)


def keep_declared_series(measured: Measured, series: Mapping[str, Sequence[float]]) -> None:
    """Those of these series that the case declares."""
    for name, values in series.items():
        if measured.case.one_series(name):
            measured.keep_series(name, values)


def keep_times(measured: Measured, result: Training) -> None:
    """The times of epochs."""
    epochs = {"epoch_time": result.epoch_seconds, "epoch_cpu_time": result.epoch_cpu_seconds}
    for name, seconds in epochs.items():
        if measured.case.metric(name):
            settled = result.settled(seconds)
            starts = [value for epoch, value in enumerate(seconds) if epoch in result.begun]
            measured.keep_metric(name, settled, starts if len(settled) < len(seconds) else [])
    if measured.case.metric("epoch_time") and {*range(len(result.epoch_seconds))} <= {*result.begun}:
        measured.notes["epoch_time"] = "a process began in every epoch, so its start-up is in it"
    keep_declared_series(measured, {"waited_for_data": result.waited_seconds})


def keep_memory(measured: Measured, result: Training, warmup_epochs: int) -> None:
    """What the process costs by itself, the largest peak of all epochs' training parts, the peaks as series, and how
    memory grows."""
    memory = result.memory
    for name, fixed in memory.fixed_parts().items():
        if measured.case.metric(name):
            keep_or_say(measured, name, fixed)
    for name in filter(measured.case.metric, PEAKS):
        if name in memory.series:
            measured.keep_metric(name, [max(values) for values in result.by_process(memory.series[name])])
        else:
            measured.keep_reason(name, memory.reasons.get(name, "the probe did not read it"))
        if name in memory.series and name in memory.reasons:
            measured.notes[name] = memory.reasons[name]
    keep_declared_series(measured, memory.series)
    if measured.case.metric("memory_growth"):
        keep_growth(measured, "memory_growth", memory.used(), result, warmup_epochs)


def keep_or_say(measured: Measured, name: str, value: Union[float, str]) -> None:
    """Keep a metric's one sample, or the reason why there is none."""
    if isinstance(value, str):
        measured.keep_reason(name, value)
    else:
        measured.keep_metric(name, [value])


def keep_growth(measured: Measured, name: str, values: list[float], result: Training, warmup_epochs: int) -> None:
    """Keep the share that is added every epoch."""
    slope = growth(values, result.begun, warmup_epochs)
    if slope is None:
        measured.keep_reason(name, f"a slope needs three epochs of one process after {warmup_epochs} of warm-up")
    else:
        measured.keep_metric(name, [slope])


def keep_health(measured: Measured, result: Training) -> None:
    """Losses and gradient norms by step, and the counts of what went wrong."""
    terms = {f"loss:{name}": values for name, values in result.terms.items()}
    keep_declared_series(measured, {"loss": result.losses, **terms, "gradient_norm": result.norms})
    watch = result.watch
    counts = {
        "gradient_anomalies": watch.anomalous_steps,
        "scaler_skips": watch.scaler_skips,
        "non_finite_gradients": watch.nonfinite_gradients,
        "skipped_steps": result.skipped_steps,
    }
    keep_declared(measured, {name: [float(count)] for name, count in counts.items()})


def keep_quality(measured: Measured, result: Training) -> None:
    """The COCO figures of every epoch as series, and the last epoch's as metrics. Whether a 0 means that nothing was
    learnt anywhere, or that this pin alone failed to learn, shows only beside the other runs."""
    scores = {name: [getattr(score, name) for score in result.scores] for name in ("map50", "map50_95")}
    keep_declared_series(measured, scores)
    keep_declared(measured, {name: values[-1:] for name, values in scores.items()})


def keep_fingerprints(measured: Measured, result: Training) -> None:
    """What versions that round alike have in common bit for bit."""
    fingerprints: dict[str, Union[str, list[float]]] = {
        "first_losses": result.losses[: training.FIRST_STEPS],
        "first_gradient_norms": result.norms[: training.FIRST_STEPS],
        "final_weights": result.final_weights,
        "detections": digest_of_detections(result.detections),
    }
    for name, value in fingerprints.items():
        if measured.case.fingerprint(name):
            measured.keep_fingerprint(name, value)


def keep_detections(measured: Measured, run: Run, pictures: Sequence[Item], found: Detections) -> None:
    """Keep detections, and what they were scored against, as COCO files beside the record."""
    index = run.data
    truth = ground_truth(pictures, index.classes, index.categories)
    for name, document in {"detections": results(pictures, found, index.categories), "ground-truth": truth}.items():
        path = run.record.with_name(f"{run.record.stem}.{name}.json.gz")
        keep_document(path, document)
        measured.files[name] = path.name
    if any(one["id"] == 0 for one in truth["annotations"]):
        scores = [metric.name for metric in measured.case.metrics if metric.zero == "nothing learnt"]
        measured.notes.update(dict.fromkeys(scores, NEVER_FOUND))
