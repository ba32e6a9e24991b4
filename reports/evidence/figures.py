"""Figures: one value, or the reason why there is none, of each metric in each run; small, so that many fit."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import get_args

import pandas as pd

from harness.core.plan import Plan
from harness.core.record import Check, Environment, Hashes, Record
from harness.core.spec import RunSpec
from reports.evidence.units import (
    CHANGE_IN_POINTS,
    KNOWN,
    POSITIONS,
    SCALER_SKIPS,
    SPREAD,
    Quantity,
    expected,
    guess,
    in_order,
    quantity_of,
    value_of,
)
from reports.judge.trends import SOAK, Soak, soak_of
from reports.evidence.store import Run, RunStatus, read_planned, read_runs
from reports.evidence.traces import AnomalousStep, Trace, anomalous_steps, kept, trace_of

COLUMNS = [
    "machine",
    "metric",
    "unit",
    "better",
    "case",
    "pin",
    "round",
    "seed",
    "status",
    "value",
    "reason",
    "hardware",
]
"""Of the tidy table. Values are in `unit`, as recorded; rounds count from 0, as in the records' file names."""
NOT_MEASURED = "not measured"
"""The status of a figure that an ok run does not have."""


@dataclass(frozen=True)
class Figure:
    """What one run says about one metric: a value in the recorded unit, or why there is none."""

    value: float | None
    reason: str = ""


UNLEARNT = Figure(None, "it never left 0 in any run: nothing was learnt that could be compared")
LONELY = Figure(None, "one seed has no spread")
UNCHANGED = Figure(None, "it is exactly 0 in every run: nothing was learnt, or nothing was changed")


@dataclass(frozen=True)
class Observation:
    """What is kept of one run."""

    spec: RunSpec
    status: RunStatus
    reason: str
    figures: dict[str, Figure]
    notes: dict[str, str]
    hashes: Hashes | None
    environment: Environment | None
    sitting: str | None = None
    """What the runs that took turns with one another have in common."""
    anomalies: tuple[AnomalousStep, ...] = ()
    """The first of each kind, and some more."""
    anomalous_steps: int = 0
    """How many there are in all, by kind and step."""
    trace: Trace | None = None
    branches: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    soak: Soak | None = None
    """What the series of a run of `soak` say, which are not kept."""
    ended: str = ""
    """When, in UTC; empty where there is no record."""

    @property
    def hardware(self) -> str:
        """The GPU's name, or the processor's; empty where no environment was observed."""
        return (self.environment.gpu or self.environment.cpu) if self.environment else ""


@dataclass(frozen=True)
class Matrix:
    """A results folder in figures. `quantities` are the rows of each case, in the order of the table."""

    plan: Plan
    observations: list[Observation]
    quantities: dict[str, list[Quantity]]

    @property
    def pins(self) -> list[str]:
        """Pin names in plan order: the first is the baseline."""
        return [pin.name for pin in self.plan.pins]

    @property
    def hardware(self) -> list[str]:
        """The GPUs, or processors, that runs were observed on."""
        return list(dict.fromkeys(one.hardware for one in self.observations if one.hardware))

    @property
    def days(self) -> list[date]:
        """The days on which runs ended, in order; what a record gives that is no date is left out."""
        found = set()
        for one in self.observations:
            with contextlib.suppress(ValueError):
                found.add(datetime.fromisoformat(one.ended).date())
        return sorted(found)

    def count(self) -> Counter[RunStatus]:
        """How many runs have each status, in the order in which they are said."""
        found = Counter(observation.status for observation in self.observations)
        return Counter({status: found[status] for status in get_args(RunStatus) if found[status]})


def read_matrix_figures(results: Path) -> Matrix:
    """All figures of a results folder; `UsageError` where it or a record in it cannot be used."""
    plan = read_planned(results)
    return figures_of(plan, read_runs(results, plan))


def figures_of(plan: Plan, runs: Iterable[Run]) -> Matrix:
    """The figures of runs, in one pass over them."""
    found: dict[str, dict[str, Quantity]] = {case: {} for case in plan.cases}
    observations = []
    for run in runs:
        observations.append(observe(run))
        if run.record and run.status == "ok":
            add_quantities(found[run.spec.case], run.record)
    rows = {case: rows_of(case, plan, names) for case, names in found.items()}
    take_out_unlearnt(observations, rows)
    add_spread(observations, rows)
    return Matrix(plan, observations, rows)


def take_out_unlearnt(observations: list[Observation], rows: dict[str, list[Quantity]]) -> None:
    """Take out the fractions (mAP, or what it changed by) that are 0 in every run of a case: where nothing was learnt,
    0 is not equal to 0.

    A 0 beside a run that did learn stays: it is the worst that can happen to a pin.
    """
    learnt = {(one.spec.case, name) for one in observations for name, figure in one.figures.items() if figure.value}
    unlearnt = {
        (case, quantity.name): UNCHANGED if quantity.scale is CHANGE_IN_POINTS else UNLEARNT
        for case, quantities in rows.items()
        for quantity in quantities
        if quantity.scale.comparison == "points" and (case, quantity.name) not in learnt
    }
    for one in observations:
        for name, figure in one.figures.items():
            if figure.value == 0 and (one.spec.case, name) in unlearnt:
                one.figures[name] = unlearnt[one.spec.case, name]


def add_spread(observations: list[Observation], rows: dict[str, list[Quantity]]) -> None:
    """Add how far each seed of `converge` lies from the mean of its pin: what the spread of the pin follows from."""
    spread = KNOWN[POSITIONS[SPREAD]]
    if not any(quantity.name == "map50" for quantity in rows.get(spread.case, [])):
        return
    rows[spread.case] = in_order([*rows[spread.case], quantity_of(SPREAD, spread.unit, spread.better)])
    seeds: dict[str, list[Observation]] = {}
    for one in observations:
        if one.spec.case == spread.case and "map50" in one.figures:
            seeds.setdefault(one.spec.pin.name, []).append(one)
    for of_pin in seeds.values():
        values = [one.figures["map50"].value for one in of_pin]
        known = [value for value in values if value is not None]
        mean = math.fsum(known) / len(known) if len(known) > 1 else None
        for one, value in zip(of_pin, values, strict=True):
            if value is None:
                one.figures[SPREAD] = one.figures["map50"]
            else:
                one.figures[SPREAD] = LONELY if mean is None else Figure(value - mean)


def observe(run: Run) -> Observation:
    """What is kept of a run."""
    record = run.record
    figures = {}
    steps = list(anomalous_steps(record.anomalies).values()) if record else []
    if record and run.status == "ok":
        figures = {name: Figure(None, reason) for name, reason in record.not_measured.items()}
        figures |= {metric.name: Figure(*value_of(metric)) for metric in record.metrics}
    return Observation(
        spec=run.spec,
        status=run.status,
        reason=run.reason,
        figures=figures,
        notes=record.notes if record else {},
        hashes=record.hashes if record else None,
        environment=record.environment if record else None,
        sitting=record.sitting if record else None,
        anomalies=kept(steps),
        anomalous_steps=len(steps),
        trace=trace_of(record) if record and run.status == "ok" else None,
        branches=record.branches if record else {},
        checks=tuple(record.checks) if record and run.status == "ok" else (),
        soak=soak_of(record) if record and run.status == "ok" and run.spec.case == SOAK else None,
        ended=record.ended if record else "",
    )


def add_quantities(known: dict[str, Quantity], record: Record) -> None:
    """Add what this record names. One with a figure, and so with a unit, takes the place of a guess."""
    for metric in record.metrics:
        if not known.get(metric.name, guess("")).unit:
            known[metric.name] = quantity_of(metric.name, metric.unit, metric.better)
    for name in record.not_measured:
        known.setdefault(name, guess(name))


def rows_of(case: str, plan: Plan, found: dict[str, Quantity]) -> list[Quantity]:
    """The metrics of a case in order. Where no run says anything, what the case is there to measure, so that no cell
    vanishes; one of which nothing is known then has one row for all that it might have measured.
    """
    quantities = in_order(found.values())
    if not quantities:
        quantities = expected(plan.runs[0].device, case) or [guess("all metrics")]
    scaler = any(spec.case == case and spec.precision == "amp" and spec.device != "cpu" for spec in plan.runs)
    return [quantity for quantity in quantities if scaler or quantity.name != SCALER_SKIPS]


def tidy(matrix: Matrix, label: str) -> pd.DataFrame:
    """One row per metric, pin and round, in the order of the table. Nothing planned is left out. `label`: what the
    machine is called, also in rows of runs that have not observed their hardware."""
    rows = [row for observation in matrix.observations for row in rows_of_run(matrix, observation, label)]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "metric_order", "pin_order"])
    frame["value"] = frame["value"].astype(float)
    cases = {case: position for position, case in enumerate(matrix.plan.cases)}
    frame["case_order"] = frame["case"].map(cases)
    frame = frame.sort_values(["case_order", "metric_order", "pin_order", "round"], kind="stable", ignore_index=True)
    return frame[COLUMNS]


def rows_of_run(matrix: Matrix, observation: Observation, label: str) -> Iterator[tuple[object, ...]]:
    """A run's rows of the tidy table, with the places of metric and pin to sort by."""
    spec = observation.spec
    pin_order = matrix.pins.index(spec.pin.name)
    for metric_order, quantity in enumerate(matrix.quantities[spec.case]):
        figure = observation.figures.get(quantity.name, Figure(None, "the record has neither a figure nor a reason"))
        status: str = observation.status
        reason = observation.reason
        if status == "ok" and figure.value is None:
            status, reason = NOT_MEASURED, figure.reason
        what = (label, quantity.name, quantity.unit, quantity.better)
        yield (
            *what,
            spec.case,
            spec.pin.name,
            spec.round,
            spec.seed,
            status,
            figure.value,
            reason,
            observation.hardware,
            metric_order,
            pin_order,
        )
