"""What every training yields, for cases to declare: `harness/cell/results.py` keeps it. The order is the table's."""

from __future__ import annotations

from dataclasses import replace

from harness.core.declaration import DeclaredFingerprint, DeclaredMetric, DeclaredSeries

MEMORY = (
    DeclaredMetric("training_memory", "Memory, added by training", "bytes", "ratio", applies="cpu", by_part=True),
    DeclaredMetric("fixed_memory", "Memory, fixed cost", "bytes", "difference"),
    DeclaredMetric(
        "fixed_files", "Memory, mapped files before training", "bytes", "ratio", applies="cpu", headline=False
    ),
    DeclaredMetric("peak_rss", "Peak memory, RSS", "bytes", "ratio", applies="cpu", by_part=True),
    DeclaredMetric("peak_allocated", "Peak GPU memory, allocated", "bytes", "ratio", applies="cuda", by_part=True),
    DeclaredMetric("peak_reserved", "Peak GPU memory, reserved", "bytes", "ratio", applies="cuda", by_part=True),
    DeclaredMetric("nvml_process", "GPU memory at epoch end, NVML", "bytes", "ratio", applies="cuda", by_part=True),
)

GROWTH = DeclaredMetric("memory_growth", "Memory growth per epoch", "1/epoch", "difference")
"""Of trainings that stay in one process for long enough to tell."""

TIMES = (
    DeclaredMetric("epoch_time", "Epoch time", "s", "ratio"),
    DeclaredMetric("epoch_cpu_time", "Epoch CPU time", "s", "ratio", headline=False),
)

GPU_BUSY = DeclaredMetric(
    "gpu_busy",
    "Share of a step in which kernels ran",
    "fraction",
    "points",
    better="higher",
    applies="cuda",
    headline=False,
)
"""Where it is far below 1 the GPU waits, and the times compare what the host does. No finding is made of it."""

HEALTH = (
    DeclaredMetric("gradient_anomalies", "Gradient anomalies", "steps", "count"),
    DeclaredMetric("scaler_skips", "Scaler skips", "steps", "count", applies="amp"),
    DeclaredMetric("non_finite_gradients", "Non-finite gradients", "parameters", "count", headline=False),
    DeclaredMetric("skipped_steps", "Skipped steps", "steps", "count", headline=False),
)

QUALITY = (
    DeclaredMetric("map50", "Final mAP50", "fraction", "points", better="higher", zero="nothing learnt", chaotic=True),
    DeclaredMetric(
        "map50_95", "Final mAP50-95", "fraction", "points", better="higher", zero="nothing learnt", chaotic=True
    ),
)

HEALTH_SERIES = (
    DeclaredSeries("loss", "Loss"),
    DeclaredSeries("gradient_norm", "Gradient norm before clipping", logarithmic=True),
)
"""`loss:TERM` is one term of the loss, as the model names it."""

MEMORY_SERIES = (
    DeclaredSeries("rss", "Memory at epoch end, RSS", "bytes", "epoch"),
    DeclaredSeries("training_memory", "Memory added by training, peak of an epoch", "bytes", "epoch"),
    DeclaredSeries("peak_rss", "Peak memory of an epoch, RSS", "bytes", "epoch"),
    DeclaredSeries("allocated", "GPU memory at epoch end, allocated", "bytes", "epoch"),
    DeclaredSeries("reserved", "GPU memory at epoch end, reserved", "bytes", "epoch"),
    DeclaredSeries("peak_allocated", "Peak GPU memory of an epoch, allocated", "bytes", "epoch"),
    DeclaredSeries("peak_reserved", "Peak GPU memory of an epoch, reserved", "bytes", "epoch"),
    DeclaredSeries("nvml_process", "GPU memory at epoch end, NVML", "bytes", "epoch"),
)

QUALITY_SERIES = (
    DeclaredSeries("map50", "mAP50", counted="epoch"),
    DeclaredSeries("map50_95", "mAP50-95", counted="epoch"),
)

TIME_SERIES = (DeclaredSeries("waited_for_data", "Time an epoch waited for data", "s", "epoch"),)

FINGERPRINTS = (
    DeclaredFingerprint("first_losses", "Losses of the first steps"),
    DeclaredFingerprint("first_gradient_norms", "Gradient norms of the first steps"),
    DeclaredFingerprint("final_weights", "Final weights"),
    DeclaredFingerprint("detections", "Detections after the last epoch"),
)
"""Of two versions that round alike they are equal bit for bit; of others early training soon makes them differ."""

FIRST_STEPS = 20
"""Steps whose losses and gradient norms are fingerprints."""


def by_epoch(series: tuple[DeclaredSeries, ...]) -> tuple[DeclaredSeries, ...]:
    """The same series of a case that keeps of every epoch the mean of its steps."""
    return tuple(replace(one, counted="epoch") for one in series)
