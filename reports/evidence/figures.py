"""Figures: one value, or the reason why there is none, of each metric in each run; small, so that many fit."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Union, get_args

from harness.core.cases import read_case
from harness.core.dataset import Summary
from harness.core.declaration import ByGrowths, ByTrend, Case, Combination, DeclaredMetric, applies, key_of
from harness.core.plan import Plan
from harness.core.record import Breakdown, Check, Environment, Fingerprint, Hashes, Metric, Others, Record, Sitting
from harness.core.spec import RunSpec
from reports.evidence.store import Run, RunStatus, Trouble, read_planned, read_runs
from reports.evidence.traces import AnomalousStep, Trace, anomalous_steps, kept, trace_of
from reports.evidence.units import MOST, Quantity, guess, quantity_of

BEGUN = "begun"
"""The series of the epochs, counted from 0, in which a process of the run began; the first is 0."""

WHOLE = ""
"""What the whole of a breakdown is called among its parts."""

Values = Sequence[Union[float, None]]
"""A series; None stands for a value that is not finite."""


@dataclass(frozen=True)
class Absent:
    """Why a run has no figure of a metric."""

    kind: Literal[
        "recorded",  # the record has a reason: `detail`, foreign text
        "unlearnt",  # it is 0 in every run: nothing was learnt that could be compared
        "unchanged",  # it is 0 in every run: nothing was learnt, or nothing was changed
        "lonely",  # one run has no spread
        "no samples",  # the record holds no samples
        "not finite",  # its samples are not all finite numbers
        "too large",  # a sample was recorded as `detail`, a number with its unit, which cannot be true
        "not positive",  # it was recorded as `detail`, which cannot be true
        "nothing said",  # the record has neither a figure nor a reason
    ]
    detail: str = ""


@dataclass(frozen=True)
class Figure:
    """What one run says about one metric: a value in the recorded unit, or why there is none."""

    value: float | None
    absent: Absent | None = None


NOTHING_SAID = Figure(None, Absent("nothing said"))
AT_ZERO = {"nothing learnt": Figure(None, Absent("unlearnt")), "nothing changed": Figure(None, Absent("unchanged"))}
"""What a 0 in every run is, by what the metric's declaration says of it."""


@dataclass(frozen=True)
class Observation:
    """What is kept of one run."""

    spec: RunSpec
    status: RunStatus
    trouble: Trouble | None
    """Why it is not ok; None when it is."""
    figures: dict[str, Figure]
    """By the metric's key."""
    parts: dict[str, tuple[float, ...]]
    """Of a metric whose samples are of parts of the run, these samples."""
    notes: dict[str, str]
    hashes: Hashes | None
    environment: Environment | None
    sittings: tuple[Sitting, ...] = ()
    """Those in which the run took turns, in order."""
    laps: dict[str, list[Sequence[float]]] = field(default_factory=dict)
    """What its turns measured: by the metric's key, in each of these sittings one value a lap; none of it in those of
    a record that does not tell laps apart."""
    breakdowns: dict[str, dict[str, list[Sequence[float]]]] = field(default_factory=dict)
    """By breakdown and part, and of the whole as `WHOLE`: in each of these sittings one value a row."""
    anomalies: tuple[AnomalousStep, ...] = ()
    """The first of each kind, and some more."""
    anomalous_steps: int = 0
    """How many there are in all, by kind and step."""
    trace: Trace | None = None
    branches: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    series: dict[str, Values] = field(default_factory=dict)
    """Those that a check or the trade-off of the case is judged by, whole, with `BEGUN`."""
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    ended: str = ""
    """When, in UTC; empty where there is no record."""
    others: Others | None = None
    """Who else used the machine meanwhile; None where nobody looked."""

    @property
    def hardware(self) -> str:
        """The GPU's name, or the processor's; empty where no environment was observed."""
        return (self.environment.gpu or self.environment.cpu) if self.environment else ""

    def figure(self, key: str) -> Figure:
        """What it says about a metric of its case, by the metric's key."""
        return self.figures.get(key, NOTHING_SAID)


@dataclass(frozen=True)
class Matrix:
    """A results folder in figures. `quantities` are the rows of each case, in the order of the table; `data_sets` what
    each data set holds, by the digest of the specs."""

    plan: Plan
    observations: list[Observation]
    quantities: dict[str, list[Quantity]]
    data_sets: dict[str, Summary] = field(default_factory=dict)

    @property
    def pins(self) -> list[str]:
        """Pin names in plan order: the first is the baseline."""
        return [pin.name for pin in self.plan.pins]

    @cached_property
    def hardware(self) -> list[str]:
        """The GPUs, or processors, that runs were observed on."""
        return list(dict.fromkeys(one.hardware for one in self.observations if one.hardware))

    @cached_property
    def days(self) -> list[date]:
        """The days on which runs ended, in order; what a record gives that is no date is left out."""
        found = set()
        for one in self.observations:
            with contextlib.suppress(ValueError):
                found.add(datetime.fromisoformat(one.ended).date())
        return sorted(found)

    @cached_property
    def done(self) -> list[Observation]:
        """The runs that ended well."""
        return [one for one in self.observations if one.status == "ok"]

    def named_data_sets(self) -> list[tuple[str, Summary]]:
        """The data sets by name, with what they hold, as far as records tell."""
        names = {one.spec.data.digest: one.spec.data.name for one in self.observations}
        return [(names[digest], summary) for digest, summary in self.data_sets.items()]

    @cached_property
    def by_case(self) -> dict[str, list[Observation]]:
        """All planned runs of each case, rounds in order."""
        found: dict[str, list[Observation]] = {case: [] for case in self.plan.cases}
        for one in sorted(self.observations, key=lambda one: one.spec.round):
            found[one.spec.case].append(one)
        return found

    @cached_property
    def by_cell(self) -> dict[tuple[str, str], list[Observation]]:
        """The same by case and pin."""
        found: dict[tuple[str, str], list[Observation]] = {}
        for case, runs in self.by_case.items():
            for one in runs:
                found.setdefault((case, one.spec.pin.name), []).append(one)
        return found

    def runs_of(self, case: str, pin: str) -> list[Observation]:
        """All planned runs of a cell, rounds in order."""
        return self.by_cell.get((case, pin), [])

    def count(self) -> Counter[RunStatus]:
        """How many runs have each status, in the order in which they are said."""
        found = Counter(observation.status for observation in self.observations)
        return Counter({status: found[status] for status in get_args(RunStatus) if found[status]})


def read_matrix_figures(results: Path) -> Matrix:
    """All figures of a results folder; `UsageError` where it or a record in it cannot be used."""
    plan = read_planned(results)
    return figures_of(plan, read_runs(results, plan))


def figures_of(plan: Plan, runs: Iterable[Run]) -> Matrix:
    """The figures of runs, in one pass over them. `UsageError` for a case that there is not."""
    found: dict[str, dict[str, Quantity]] = {case: {} for case in plan.cases}
    cases = {case: read_case(case) for case in plan.cases}
    observations: list[Observation] = []
    last: dict[tuple[str, str], Observation] = {}
    data_sets: dict[str, Summary] = {}
    for run in runs:
        case = cases[run.spec.case]
        if run.record and run.status == "ok":
            add_quantities(found[case.name], case, run.record)
            if run.record.data:
                data_sets.setdefault(run.spec.data.digest, run.record.data)
        observations.append(observe(run, case, found[case.name]))
        share(observations, last)
    rows = {name: rows_of(case, plan, found[name]) for name, case in cases.items()}
    observations = without_unlearnt(observations, rows)
    for name, case in cases.items():
        observations, spreads = with_spreads(case, observations, rows[name])
        rows[name] = in_order(case, [*rows[name], *spreads], settings_of(case, plan)) if spreads else rows[name]
    return Matrix(plan, observations, rows, data_sets)


def share(observations: list[Observation], before: dict[tuple[str, str], Observation]) -> None:
    """Let the last observation hold what is alike in the one before of its case and pin, which is in `before`: its own
    is then forgotten."""
    one = observations[-1]
    other = before.setdefault((one.spec.case, one.spec.pin.name), one)
    names = ("notes", "hashes", "environment", "branches", "fingerprints", "checks")
    alike = {name: getattr(other, name) for name in names if getattr(one, name) == getattr(other, name)}
    observations[-1] = before[one.spec.case, one.spec.pin.name] = replace(one, **alike)


# --- one run ------------------------------------------------------------------------------------------------------


def add_quantities(known: dict[str, Quantity], case: Case, record: Record) -> None:
    """Add what this record names. One with a figure, and so with a unit, takes the place of a guess."""
    for metric in record.metrics:
        key = metric.key
        if key not in known or not known[key].unit:
            known[key] = quantity_of(case, metric.name, metric.unit, metric.at)
    for key in record.not_measured:
        if key not in known:
            known[key] = guess(case, *name_and_combination(case, record.spec.settings, key))


def name_and_combination(case: Case, settings: dict[str, Any] | None, key: str) -> tuple[str, Combination]:
    """The metric and the combination of parameters that a key stands for; the key itself where it is none of those
    that the case declares."""
    for metric in case.metrics:
        for at in combinations_of(case, metric, settings) if metric.by and key.startswith(metric.name) else ():
            if key_of(metric.name, at) == key:
                return metric.name, at
    return key, {}


def combinations_of(case: Case, metric: DeclaredMetric, settings: Mapping[str, Any] | None) -> list[Combination]:
    """Every combination that a metric has a value for. Where the settings do not list the values: one, of nothing."""
    listed = {parameter.values for parameter in case.parameters if parameter.name in metric.by}
    if not listed or not listed <= set(settings or {}):
        return [{}]
    return list(case.combinations(settings or {}, metric.by))


def observe(run: Run, case: Case, quantities: Mapping[str, Quantity]) -> Observation:
    """What is kept of a run."""
    record = run.record
    if record is None:
        return Observation(run.spec, run.status, run.trouble, {}, {}, {}, None, None)
    steps = list(anomalous_steps(record.anomalies).values())
    seen = Observation(
        spec=run.spec,
        status=run.status,
        trouble=run.trouble,
        figures={},
        parts={},
        notes=record.notes,
        hashes=record.hashes,
        environment=record.environment,
        anomalies=kept(steps),
        anomalous_steps=len(steps),
        branches=record.branches,
        ended=record.ended,
        others=record.others,
    )
    if run.status != "ok":
        return seen
    records = [record, *run.beside]
    figures = {key: Figure(None, Absent("recorded", reason)) for key, reason in record.not_measured.items()}
    return replace(
        seen,
        figures=figures | {metric.key: figure_of(metric, quantities[metric.key]) for metric in record.metrics},
        parts={metric.key: tuple(metric.samples) for metric in record.metrics if by_part(quantities[metric.key])},
        sittings=tuple(sitting for each in records for sitting in each.sittings),
        laps={metric.key: laps_in(records, metric.key) for metric in record.metrics if case.turned(metric.name)},
        breakdowns=parted(case, records),
        trace=trace_of(record, case),
        checks=tuple(record.checks),
        series={
            name: values for name, values in record.series.items() if name.partition(":")[0] in judged_series(case)
        },
        fingerprints={one.name: one for one in record.fingerprints},
    )


def judged_series(case: Case) -> set[str]:
    """The series that a check of the case is judged by, with what tells of which processes they are, or the knee of its
    trade-off."""
    judged = {check.judged.series for check in case.checks if isinstance(check.judged, (ByTrend, ByGrowths))}
    return {*judged, *([BEGUN] if judged else []), *([case.tradeoff.draws] if case.tradeoff else [])}


def by_part(quantity: Quantity) -> bool:
    """Whether the samples of a metric are of parts of the run."""
    return quantity.declared is not None and quantity.declared.by_part


def laps_in(records: Iterable[Record], key: str) -> list[Sequence[float]]:
    """What the turns of a run measured of one metric, sitting by sitting: nothing where a record has not one value a
    lap, as it would not be known which laps belong together, or a value that cannot be true."""
    found: list[Sequence[float]] = []
    for record in records:
        metric = record.metric(key)
        samples = metric.samples if metric else []
        ends = [*itertools.accumulate(sitting.laps for sitting in record.sittings)]
        sound = ends[-1:] == [len(samples)] and all(0 < value <= MOST for value in samples)
        parted = zip([0, *ends], ends, strict=False)
        found += [array("d", samples[start:end] if sound else []) for start, end in parted]
    return found


def parted(case: Case, records: Sequence[Record]) -> dict[str, dict[str, list[Sequence[float]]]]:
    """The breakdowns of a run that its case declares, sitting by sitting. A part that the record of one table lacks is
    0 there. One that has not a row for each lap or sitting is left out: it would not be known which belong together."""
    found: dict[str, dict[str, list[Sequence[float]]]] = {}
    for declared in case.breakdowns:
        kept = [record.breakdown(declared.name) for record in records]
        names = dict.fromkeys(name for one in kept if one for name in (WHOLE, *one.parts))
        counts = [[1 if declared.by_part else sitting.laps for sitting in record.sittings] for record in records]
        if all(one and fits(one, sum(own)) for one, own in zip(kept, counts, strict=True)):
            found[declared.name] = {name: rows_in(kept, counts, name) for name in names}
    return found


def fits(one: Breakdown, rows: int) -> bool:
    """Whether a breakdown has so many rows, all of numbers that can be true."""
    columns = [one.whole, *one.parts.values()]
    return all(len(own) == rows and all(abs(value) <= MOST for value in own) for own in columns)


def rows_in(kept: Sequence[Breakdown | None], counts: Sequence[Sequence[int]], name: str) -> list[Sequence[float]]:
    """The values of one part, sitting by sitting."""
    found: list[Sequence[float]] = []
    for one, own in zip(kept, counts, strict=True):
        whole = one.whole if one else []
        values = whole if name == WHOLE else one.parts.get(name, [0.0] * len(whole)) if one else []
        ends = [*itertools.accumulate(own)]
        found += [array("d", values[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    return found


def figure_of(metric: Metric, quantity: Quantity) -> Figure:
    """The value of a run in the metric's unit, the median of its samples; or why there is none."""
    samples = metric.samples
    if not samples:
        return Figure(None, Absent("no samples"))
    if not all(map(math.isfinite, samples)):
        return Figure(None, Absent("not finite"))
    largest = max(samples, key=abs)
    if abs(largest) > MOST:
        return Figure(None, Absent("too large", f"{largest:g} {metric.unit}"))
    value = statistics.median(samples)
    if quantity.comparison == "ratio" and value <= 0:
        return Figure(None, Absent("not positive", f"{value:g} {metric.unit}"))
    return Figure(value)


# --- all runs -----------------------------------------------------------------------------------------------------


def there(case: str, plan: Plan, metric: DeclaredMetric) -> bool:
    """Whether a metric is there for any planned run of a case."""
    return any(applies(metric.applies, run.device, run.precision) for run in plan.runs if run.case == case)


def expected(case: Case, plan: Plan) -> list[Quantity]:
    """What a case is there to measure: the headlines that it declares for the plan's device and precision."""
    settings = settings_of(case, plan)
    return [
        guess(case, metric.name, at)
        for metric in case.metrics
        if metric.headline and there(case.name, plan, metric)
        for at in combinations_of(case, metric, settings)
    ]


def rows_of(case: Case, plan: Plan, found: Mapping[str, Quantity]) -> list[Quantity]:
    """The metrics of a case in order. Where no run says anything, what the case is there to measure, so that no cell
    vanishes; one of which nothing is known then has one row for all that it might have measured."""
    rows = [one for one in found.values() if one.declared is None or there(case.name, plan, one.declared)]
    if found:
        return in_order(case, rows, settings_of(case, plan))
    return expected(case, plan) or [guess(case, "all metrics")]


def in_order(case: Case, quantities: Iterable[Quantity], settings: Mapping[str, Any] | None = None) -> list[Quantity]:
    """Declared metrics in the order of the declaration, at each combination of parameters in that of the settings, then
    others by name."""
    metrics = {metric.name: place for place, metric in enumerate(case.metrics)}
    known = [key_of(metric.name, at) for metric in case.metrics for at in combinations_of(case, metric, settings)]
    keys = {key: place for place, key in enumerate(known)}
    return sorted(
        quantities,
        key=lambda one: (
            metrics.get(one.name, len(metrics)),
            keys.get(one.key, len(keys)),
            "" if one.declared else one.name,
        ),
    )


def settings_of(case: Case, plan: Plan) -> dict[str, Any] | None:
    """What the runs of a case are told."""
    return next((run.settings for run in plan.runs if run.case == case.name), None)


def without_unlearnt(observations: list[Observation], rows: Mapping[str, list[Quantity]]) -> list[Observation]:
    """Take out what is 0 in every run of a case though its declaration says that 0 is no value: where nothing was
    learnt, 0 is not equal to 0.

    A 0 beside a run that did learn stays: it is the worst that can happen to a pin.
    """
    learnt = {(one.spec.case, key) for one in observations for key, figure in one.figures.items() if figure.value}
    unlearnt = {
        (case, quantity.key): AT_ZERO[zero_of(quantity)]
        for case, quantities in rows.items()
        for quantity in quantities
        if zero_of(quantity) in AT_ZERO and (case, quantity.key) not in learnt
    }
    if not unlearnt:
        return observations
    return [
        replace(
            one,
            figures={
                key: unlearnt.get((one.spec.case, key), figure) if figure.value == 0 else figure
                for key, figure in one.figures.items()
            },
        )
        for one in observations
    ]


def zero_of(quantity: Quantity) -> str:
    """What it means that every run has 0. Of a fraction that no case declares too: that nothing was learnt."""
    if quantity.declared:
        return quantity.declared.zero
    return "nothing learnt" if quantity.comparison == "points" else "a value"


def with_spreads(
    case: Case, observations: list[Observation], rows: Sequence[Quantity]
) -> tuple[list[Observation], list[Quantity]]:
    """Add the spreads that a case declares: how far each run lies from the mean of its pin, which the spread of the pin
    follows from. Returns the quantities that are new."""
    spreads = []
    for metric in case.metrics:
        for source in [one for one in rows if metric.spread_of and one.name == metric.spread_of]:
            spread = quantity_of(case, metric.name, metric.unit, {one.name: value for one, value in source.at})
            spreads.append(spread)
            observations = with_spread(case.name, observations, source.key, spread.key)
    return observations, spreads


def with_spread(case: str, observations: list[Observation], source: str, spread: str) -> list[Observation]:
    """Add to the runs that have a figure under the key `source` one under `spread`."""
    values: dict[str, list[float]] = {}
    for one in observations:
        value = one.figure(source).value
        if one.spec.case == case and value is not None:
            values.setdefault(one.spec.pin.name, []).append(value)
    means = {pin: math.fsum(known) / len(known) for pin, known in values.items() if len(known) > 1}
    return [
        replace(one, figures={**one.figures, spread: apart(one.figures[source], means.get(one.spec.pin.name))})
        if one.spec.case == case and source in one.figures
        else one
        for one in observations
    ]


def apart(figure: Figure, mean: float | None) -> Figure:
    """How far a run lies from the mean of its pin; a pin has none whose run is the only one."""
    if figure.value is None:
        return figure
    return Figure(None, Absent("lonely")) if mean is None else Figure(figure.value - mean)
