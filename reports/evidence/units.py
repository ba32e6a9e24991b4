"""Metrics: what they are called in the table, in which unit and digits they are shown, how they are compared.

A metric that is not in `KNOWN` is shown all the same, under its own name, by the rules of its unit.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from harness.core.laps import quiet
from harness.core.record import Direction, Metric
from harness.core.spec import PACE

Comparison = Literal["ratio", "points", "difference", "count", "spread"]
"""Candidate to baseline: as a ratio (shown in percent), in points of a fraction (1 pt = 0.01), subtracted, as the
numbers of events that they are, or by the ratio of the spreads of all their runs (shown in percent too)."""


@dataclass(frozen=True)
class Scale:
    """How values recorded in one unit are shown (`value * factor` in `unit`) and compared."""

    unit: str
    factor: float
    comparison: Comparison
    decimals: int | None = None
    """Digits after the point, where not as many as make four in all."""


SCALES = {
    "bytes": Scale("MiB", 1 / 2**20, "ratio"),
    "s": Scale("s", 1.0, "ratio"),
    "fraction": Scale("", 1.0, "points"),
    "1/epoch": Scale("%", 100.0, "difference", decimals=2),
    "steps": Scale("steps", 1.0, "count"),
    "parameters": Scale("parameters", 1.0, "count"),
    "ratio": Scale("×", 1.0, "ratio"),
}
MINUS = "\N{MINUS SIGN}"
MOST = 1e100
"""Above which no number is true of a run: sums, squares and differences of such numbers overflow."""
MOST_RATIO = 100.0
"""Above which it is only said that a ratio is above: the interval of two noisy pairs may end at any number."""
MILLISECONDS = Scale("ms", 1e3, "ratio")
SPREAD_IN_POINTS = Scale("pt", 100.0, "spread", decimals=1)
CHANGE_IN_POINTS = Scale("pt", 100.0, "points", decimals=1)
"""Of a metric that is a difference by itself, and may be negative."""

SPREAD = "map50_spread"
"""How far the seeds of a pin lie apart: a run's value is its distance from the mean of its pin."""

SCALER_SKIPS = "scaler_skips"
"""Recorded by every run, but a figure only where there is a gradient scaler: mixed precision on a GPU."""


@dataclass(frozen=True)
class Known:
    """A metric that is expected: its title and recorded unit. `device` is the only kind of device that has it."""

    name: str
    title: str
    unit: str
    better: Direction = "lower"
    device: Literal["cpu", "cuda", "both"] = "both"
    scale: Scale | None = None
    """In place of its unit's scale."""
    headline: bool = True
    """Whether a run without any figure, of the case that it is of, still has this row."""
    case: str = "train"
    """The case that is there to measure it; others may as well."""

    def of(self, device: str, case: str) -> bool:
        """Whether a run of the case on the device is there to measure it."""
        kind = "cpu" if device == "cpu" else "cuda"
        return self.headline and self.case == case and self.device in (kind, "both")


KNOWN = (
    Known("peak_rss", "Peak memory, RSS", "bytes", device="cpu"),
    Known("peak_allocated", "Peak GPU memory, allocated", "bytes", device="cuda"),
    Known("peak_reserved", "Peak GPU memory, reserved", "bytes", device="cuda"),
    Known("nvml_process", "GPU memory at epoch end, NVML", "bytes", device="cuda"),
    Known("memory_growth", "Memory growth per epoch", "1/epoch"),
    Known("throughput_drift", "Throughput drift per epoch", "1/epoch", case="soak"),
    Known("resumed_memory", "Memory after resuming", "ratio", case="resume"),
    Known("retained_memory", "Largest memory after a batch change, against a fresh run", "ratio", case="batch-change"),
    Known(PACE, "Pace, step time in turns", "s", scale=MILLISECONDS, case=PACE),
    Known("epoch_time", "Epoch time", "s"),
    Known("step_time", "Step time", "s", scale=MILLISECONDS),
    Known("resume_time", "Time to resume", "s", case="resume"),
    Known("death_report_time", "Time until a killed worker is reported", "s", case="two-process"),
    Known("device_time", "Time until steps are done on a device", "s", case="device"),
    Known("gradient_anomalies", "Gradient anomalies", "steps"),
    Known(SCALER_SKIPS, "Scaler skips", "steps", device="cuda"),
    Known("map50", "Final mAP50", "fraction", better="higher"),
    Known("map50_95", "Final mAP50-95", "fraction", better="higher"),
    Known(SPREAD, "Spread of final mAP50", "fraction", case="converge", headline=False, scale=SPREAD_IN_POINTS),
    Known(
        "map50_after_faults",
        "Lowest mAP50 after broken pictures, against the clean run",
        "fraction",
        better="higher",
        case="broken-images",
        scale=CHANGE_IN_POINTS,
    ),
    Known("epoch_cpu_time", "Epoch CPU time", "s", headline=False),
    Known("non_finite_gradients", "Non-finite gradients", "parameters", headline=False),
    Known("skipped_steps", "Skipped steps", "steps", headline=False),
)
"""The order of the rows."""
POSITIONS = {known.name: position for position, known in enumerate(KNOWN)}


@dataclass(frozen=True)
class Quantity:
    """A metric as the reports treat it; `unit` and `better` as recorded."""

    name: str
    title: str
    unit: str
    better: Direction
    scale: Scale

    def heading(self) -> str:
        """The title with the unit in which the values are shown, unless it ends in it."""
        unit = self.scale.unit
        return f"{self.title} ({unit})" if unit and not self.title.endswith(unit) else self.title

    def shown(self, value: float) -> str:
        """A recorded value, in the unit of the heading."""
        scaled = value * self.scale.factor
        if self.scale.decimals is not None:
            return signed(f"{scaled:.{self.scale.decimals}f}")
        if self.scale.comparison == "points":
            return f"{scaled:.3f}"
        return four_digits(scaled) if self.scale.comparison == "ratio" else count(scaled)

    @property
    def relative(self) -> bool:
        """Whether pins are compared by a ratio."""
        return self.scale.comparison in ("ratio", "spread")

    def shown_difference(self, difference: float) -> str:
        """A ratio or a difference of recorded values, signed: `+4.1 %`, `+0.8 pt`, `+2`."""
        if self.relative:
            if difference > MOST_RATIO:
                return f"> +{MOST_RATIO * 100:,.0f} %"
            return signed(f"{(difference - 1) * 100:+,.1f}") + " %"
        if self.scale.comparison == "points":
            return signed(f"{difference * 100:+.1f}") + " pt"
        if self.scale.decimals is not None:
            return signed(f"{difference * self.scale.factor:+.{self.scale.decimals}f}") + f" {self.scale.unit}"
        return signed(("+" if difference > 0 else "") + count(difference * self.scale.factor))


@lru_cache(maxsize=1000)
def quantity_of(name: str, unit: str, better: Direction) -> Quantity:
    """The quantity of a recorded metric."""
    known = KNOWN[POSITIONS[name]] if name in POSITIONS else None
    title = known.title if known else name.replace("_", " ")
    default = SCALES.get(unit, Scale(unit, 1.0, "difference"))
    # a known metric that comes in another unit than it should is shown by the rules of the unit it has
    scale = known.scale if known and known.scale and known.unit == unit else default
    return Quantity(name, title, unit, better, scale)


def expected(device: str, case: str) -> list[Quantity]:
    """What a run of the case on this device is there to measure: the rows of a table without any figure."""
    return [quantity_of(known.name, known.unit, known.better) for known in KNOWN if known.of(device, case)]


def guess(name: str) -> Quantity:
    """The quantity of a metric of which there is only the reason why it was not measured."""
    if name in POSITIONS:
        known = KNOWN[POSITIONS[name]]
        return quantity_of(name, known.unit, known.better)
    return quantity_of(name, "", "lower")


def in_order(quantities: Iterable[Quantity]) -> list[Quantity]:
    """Known metrics in the order of `KNOWN`, then the others by name."""
    return sorted(quantities, key=lambda quantity: (POSITIONS.get(quantity.name, len(KNOWN)), quantity.name))


def value_of(metric: Metric) -> tuple[float | None, str]:
    """The value of a run: the median of its samples, of pace what a sitting's laps are reduced to, in the metric's
    unit; or None and why it is not measured."""
    if not metric.samples:
        return None, "the record holds no samples"
    if not all(math.isfinite(sample) for sample in metric.samples):
        return None, "its samples are not all finite numbers"
    largest = max(metric.samples, key=abs)
    if abs(largest) > MOST:
        return None, f"a sample of it was recorded as {largest:g} {metric.unit}, which cannot be true"
    value = (quiet(metric.samples) or 0.0) if metric.name == PACE else statistics.median(metric.samples)
    if quantity_of(metric.name, metric.unit, metric.better).scale.comparison == "ratio" and value <= 0:
        return None, f"it was recorded as {value:g} {metric.unit}, which cannot be true"
    return value, ""


def four_digits(value: float) -> str:
    """Four significant digits, or all of the integer part where that has more: 40,960 · 412.3 · 30.00 · 0.8123."""
    if value == 0:
        return "0"
    decimals = min(9, max(0, 3 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{decimals}f}"


def count(value: float) -> str:
    """A whole number as one, others in four digits: 7 · 1,024 · 2.500."""
    return f"{value:,.0f}" if value == int(value) else four_digits(value)


def signed(number: str) -> str:
    """With a real minus sign, and without a sign where all digits are zero."""
    return number.lstrip("+-") if not number.strip("+-0.,") else number.replace("-", MINUS)
