"""Traces: what plots show of a run beyond its figures, thinned as the record is read, so that many runs fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.declaration import Case
from harness.core.record import Anomaly, Record

DRAWN_ROUNDS = 12
"""Rounds of each case that are drawn run by run: a thirteenth faint line says nothing more."""
MOST_SAMPLES = 64
"""Samples of one metric that are kept of a run, evenly spaced."""
MOST_STRETCHES = 100
"""Stretches that a series is parted into where it is longer than twice that."""
MOST_ANOMALIES = 20
"""Anomalous steps that are kept of a run, beside the first of each kind."""


@dataclass(frozen=True)
class Curve:
    """A series of `length` steps or epochs. A long one is parted into stretches of `stretch` values, each of which is
    kept as its smallest and its largest value, so that no spike is lost, and as its mean. None: not finite."""

    length: int
    stretch: int
    values: list[float | None]
    """One each, or where the stretch is above 1 the smallest and the largest of each stretch."""
    means: list[float | None]
    """One for each stretch."""


@dataclass(frozen=True)
class Trace:
    """The samples of each metric, by its key and warm-up apart, and the curve of each series."""

    samples: dict[str, list[float]]
    curves: dict[str, Curve]


@dataclass(frozen=True)
class AnomalousStep:
    """One kind of anomaly at one step: a spoilt picture makes hundreds of gradients non-finite at once. Counted from 0;
    `parameter` and `value` are those of the first."""

    kind: str
    epoch: int
    step: int
    count: int
    parameter: str
    value: str


def trace_of(record: Record, case: Case) -> Trace | None:
    """What is drawn of a run; None for a run of a later round than those that are drawn."""
    if record.spec.round >= DRAWN_ROUNDS:
        return None
    return Trace(
        {metric.key: evenly(metric.samples) for metric in record.metrics},
        {name: curve_of(values) for name, values in record.series.items() if values and drawn(case, name)},
    )


def drawn(case: Case, name: str) -> bool:
    """Whether a series is drawn: every one is of which the case does not say otherwise."""
    declared = case.one_series(name)
    return declared is None or declared.drawn


def evenly(values: Sequence[float]) -> list[float]:
    """At most `MOST_SAMPLES` finite values, evenly spaced."""
    finite = [value for value in values if math.isfinite(value)]
    return finite[:: math.ceil(len(finite) / MOST_SAMPLES)] if finite else []


def curve_of(series: Sequence[float | None]) -> Curve:
    """A series, thinned where it is long."""
    known = [value if value is not None and math.isfinite(value) else None for value in series]
    if len(known) <= 2 * MOST_STRETCHES:
        return Curve(len(known), 1, known, known)
    stretch = math.ceil(len(known) / MOST_STRETCHES)
    values: list[float | None] = []
    means: list[float | None] = []
    for start in range(0, len(known), stretch):
        finite = [value for value in known[start : start + stretch] if value is not None]
        values += [min(finite), max(finite)] if finite else [None, None]
        means.append(math.fsum(value / len(finite) for value in finite) if finite else None)  # their sum may overflow
    return Curve(len(known), stretch, values, means)


def anomalous_steps(anomalies: Sequence[Anomaly]) -> dict[tuple[str, int, int], AnomalousStep]:
    """The anomalies by kind, epoch and step, in the order in which they came."""
    grouped: dict[tuple[str, int, int], list[Anomaly]] = {}
    for one in anomalies:
        grouped.setdefault((one.kind, one.epoch, one.step), []).append(one)
    return {
        place: AnomalousStep(*place, count=len(ones), parameter=ones[0].parameter, value=ones[0].value)
        for place, ones in grouped.items()
    }


def kept(steps: Sequence[AnomalousStep]) -> tuple[AnomalousStep, ...]:
    """The first step of each kind, and the first of all up to `MOST_ANOMALIES`."""
    first = {one.kind: one for one in reversed(steps)}
    return tuple(one for place, one in enumerate(steps) if place < MOST_ANOMALIES or first[one.kind] is one)
