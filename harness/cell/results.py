"""What a training leaves, in the terms of a record: metrics, series, hashes."""

from __future__ import annotations

from harness.cell.data.index import DataIndex
from harness.cell.measured import Measured
from harness.cell.probes import growth
from harness.cell.train import Training
from harness.core.record import Hashes
from harness.core.spec import RunSpec


def measured_of(result: Training, index: DataIndex, spec: RunSpec, warmup_epochs: int = 1) -> Measured:
    """What a case says of a training that it has done, but of how well it has learnt. `warmup_epochs`: those at the
    start of every process that tell nothing of how its memory grows."""
    measured = Measured(
        hashes=hashes_of(result, index),
        anomalies=result.watch.anomalies,
        measuring=sum(result.epoch_seconds) + sum(result.evaluation_seconds),
    )
    keep_times(measured, result, spec)
    keep_memory(measured, result, warmup_epochs)
    keep_health(measured, result)
    return measured


def hashes_of(result: Training, index: DataIndex) -> Hashes:
    """What the pins must have in common, and the weights that came out."""
    return Hashes(
        data=index.digest,
        initial_weights=result.initial_weights,
        batch_stream=result.stream.hexdigest(),
        final_weights=result.final_weights,
    )


def keep_times(measured: Measured, result: Training, spec: RunSpec) -> None:
    """Epoch and step times. The first epoch holds the start-up of allocator and caches, so it counts as warm-up
    where there are more."""
    seconds = result.epoch_seconds
    apart = 1 if len(seconds) > 1 else 0
    measured.keep_metric("epoch_time", "s", "lower", seconds[apart:], seconds[:apart])
    cpu = result.epoch_cpu_seconds
    measured.keep_metric("epoch_cpu_time", "s", "lower", cpu[apart:], cpu[:apart])
    if not apart:
        measured.notes["epoch_time"] = "one epoch only, so the start-up is in it"
    steps = result.clock.seconds
    first = min(spec.train.warmup_batches, max(0, len(steps) - 1))
    measured.keep_metric("step_time", "s", "lower", steps[first:], steps[:first])
    measured.notes["step_time"] = "CUDA events" if result.clock.on_gpu else "host clock"
    measured.keep_series("waited_for_data", result.waited_seconds)


def keep_memory(measured: Measured, result: Training, warmup_epochs: int) -> None:
    """The largest peak of all epochs' training parts, and the peaks as series."""
    memory = result.memory
    names = ["peak_allocated", "peak_reserved", "nvml_process"] if memory.device.type == "cuda" else ["peak_rss"]
    for name in names:
        peaks = memory.series.get(name)
        if peaks:
            measured.keep_metric(name, "bytes", "lower", [max(peaks)])
        else:
            measured.not_measured[name] = memory.reasons[name]
    for name, values in memory.series.items():
        measured.keep_series(name, values)
    keep_growth(measured, "memory_growth", memory.used(), result, warmup_epochs)
    measured.notes.update({name: reason for name, reason in memory.reasons.items() if name in memory.series})


def keep_growth(measured: Measured, name: str, values: list[float], result: Training, warmup_epochs: int) -> None:
    """Keep the share that is added every epoch."""
    slope = growth(values, result.begun, warmup_epochs)
    if slope is None:
        measured.not_measured[name] = f"a slope needs three epochs of one process after {warmup_epochs} of warm-up"
    else:
        measured.keep_metric(name, "1/epoch", "lower", [slope])


def keep_health(measured: Measured, result: Training) -> None:
    """Losses and gradient norms by step, and the counts of what went wrong."""
    for position, name in enumerate(("loss", "box_loss", "class_loss", "dfl_loss")):
        measured.keep_series(name, [losses[position] for losses in result.losses])
    measured.keep_series("gradient_norm", result.norms)
    watch = result.watch
    counts = {
        "gradient_anomalies": watch.anomalous_steps,
        "non_finite_gradients": watch.nonfinite_gradients,
        "scaler_skips": watch.scaler_skips,
        "skipped_steps": result.skipped_steps,
    }
    for name, count in counts.items():
        unit = "parameters" if name == "non_finite_gradients" else "steps"
        measured.keep_metric(name, unit, "lower", [float(count)])


def keep_scores(measured: Measured, result: Training) -> None:
    """The COCO figures of every epoch, as series."""
    for position, name in enumerate(("map50", "map50_95")):
        measured.keep_series(name, [score[position] for score in result.scores])


def keep_quality(measured: Measured, result: Training) -> None:
    """The COCO figures as series, and the last epoch's as metrics. Whether a 0 means that nothing was learnt anywhere,
    or that this pin alone failed to learn, shows only beside the other runs."""
    keep_scores(measured, result)
    last = result.scores[-1]
    measured.keep_metric("map50", "fraction", "higher", [last.map50])
    measured.keep_metric("map50_95", "fraction", "higher", [last.map50_95])
