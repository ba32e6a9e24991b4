"""Checks: what should hold on every pin, and in how many of its runs it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from harness.core.cases import read_case
from harness.core.declaration import BetweenPins, ByGrowths, BySpread, ByTrend, Case, DeclaredCheck, key_of
from harness.core.policy import Policy
from harness.core.record import Check, CheckOutcome
from reports.evidence.figures import BEGUN, Matrix, Observation
from reports.evidence.units import Quantity
from reports.judge.spread import spread_interval, spread_of
from reports.judge.statements import (
    CheckCell,
    CheckRow,
    Checks,
    DidNotGrow,
    Grew,
    Growth,
    NoSpread,
    NotMade,
    Said,
    Seen,
    Sight,
    Spread,
    Untold,
)
from reports.judge.statistics import share
from reports.judge.trends import rule_of, trend_of

MOST_SIGHTS = 3
"""Different things that are told of one cell."""
SEVERITY: tuple[CheckOutcome, ...] = ("failed", "open", "held")


@dataclass(frozen=True)
class Made:
    """One check of one run, or of all runs of a pin together: its outcome, and what was seen."""

    outcome: CheckOutcome
    sight: Sight


def checks_of(matrix: Matrix, policy: Policy) -> Checks:
    """The checks of every case that has some: those that its runs made, in their order, then what follows from what
    they left."""
    found = {}
    for name, runs in matrix.by_case.items():
        case = read_case(name)
        ended = [one for one in runs if one.status == "ok"]
        rows = made_checks(case, matrix.pins, ended)
        rows += [row for declared in case.checks for row in judged(case, declared, matrix, ended, policy)]
        if rows:
            found[name] = rows
    return found


# --- what runs made themselves ------------------------------------------------------------------------------------


def made_checks(case: Case, pins: Sequence[str], runs: Sequence[Observation]) -> list[CheckRow]:
    """The checks that runs made themselves. All runs of a case make the same ones, so what one of them did not make is
    open there."""
    made = [(one.spec.pin.name, by_name(one.checks)) for one in runs]
    absent = Made("open", Sight(NotMade()))
    rows = []
    for name in dict.fromkeys(name for _, checks in made for name in checks):
        of_runs = [(pin, made_of(checks[name]) if name in checks else absent) for pin, checks in made]
        row = CheckRow(name, case.check(name), cells_by_pin(pins, of_runs))
        rows.append(between_pins(row, pins[0]))
    return rows


def between_pins(row: CheckRow, baseline: str) -> CheckRow:
    """A row with the pin that wrote what is read, where it is on that; else as it is."""
    if row.declared is None or not isinstance(row.declared.judged, BetweenPins):
        return row
    writer = row.name.partition(":")[2]
    return replace(row, writer=writer, speaks=writer == baseline)


def by_name(checks: Iterable[Check]) -> dict[str, Check]:
    """The checks of one run; of one that it made several times, the worst."""
    found: dict[str, Check] = {}
    for check in checks:
        if check.name not in found or worse(check.outcome, found[check.name].outcome):
            found[check.name] = check
    return found


def worse(one: CheckOutcome, other: CheckOutcome) -> bool:
    """Whether one outcome is worse than another."""
    return SEVERITY.index(one) < SEVERITY.index(other)


def made_of(check: Check) -> Made:
    """A check as its run made it."""
    return Made(check.outcome, Sight(Said(check.said, check.apart, tuple(check.warnings))))


def cells_by_pin(
    pins: Sequence[str], checks: Iterable[tuple[str, Made]], *, all_sights: bool = False
) -> tuple[CheckCell | None, ...]:
    """One check of all runs of a case, each with its pin."""
    by_pin: dict[str, list[Made]] = {}
    for pin, made in checks:
        by_pin.setdefault(pin, []).append(made)
    return tuple(folded(by_pin[pin], all_sights=all_sights) if pin in by_pin else None for pin in pins)


def folded(checks: Sequence[Made], *, all_sights: bool = False) -> CheckCell:
    """Several runs of one check: the worst outcome, and what was seen where it came out so, or with `all_sights` in all
    runs, the worst first."""
    outcome = next(outcome for outcome in SEVERITY if any(made.outcome == outcome for made in checks))
    alike = [made for made in checks if made.outcome == outcome]
    telling = sorted(checks, key=lambda made: SEVERITY.index(made.outcome)) if all_sights else alike
    sights = [*dict.fromkeys(made.sight for made in telling)]
    more = max(0, len(sights) - MOST_SIGHTS)
    return CheckCell(outcome, len(checks), len(alike), tuple(sights[:MOST_SIGHTS]), more)


# --- what follows from what the runs of a case left ---------------------------------------------------------------


def judged(
    case: Case, declared: DeclaredCheck, matrix: Matrix, runs: Sequence[Observation], policy: Policy
) -> list[CheckRow]:
    """A check that the reports judge: a row, or none where it is not there for these runs."""
    how = declared.judged
    if isinstance(how, BySpread):
        return spread_check(case, declared, how, matrix, runs, policy)
    if isinstance(how, ByTrend):
        most = policy.yardsticks[how.yardstick]
        return by_run(declared, matrix, case, runs, lambda one: judged_trend(how, one, most, policy.error_rate), most)
    if isinstance(how, ByGrowths):
        return by_run(declared, matrix, case, runs, lambda one: judged_growths(how, one))
    return []


def against(interval: tuple[float, float], most: float) -> CheckOutcome:
    """A yardstick: the whole interval below it, the whole interval above it, or neither."""
    low, high = interval
    return "held" if high < most else "failed" if low > most else "open"


def by_run(
    declared: DeclaredCheck,
    matrix: Matrix,
    case: Case,
    runs: Sequence[Observation],
    judge: Callable[[Observation], tuple[CheckOutcome, Seen]],
    yardstick: float | None = None,
) -> list[CheckRow]:
    """A check on the series of each run by itself."""
    several = matrix.plan.rounds_of(case.name) > 1
    made = []
    for one in runs:
        if declared.concerns(one.spec.device, one.spec.precision, one.spec.settings):
            outcome, seen = judge(one)
            sight = Sight(seen, one.spec.round if several else None)
            made.append((one.spec.pin.name, Made(outcome, sight)))
    cells = cells_by_pin(matrix.pins, made, all_sights=True)
    return [CheckRow(declared.name, declared, cells, yardstick)] if made else []


def judged_trend(how: ByTrend, run: Observation, most: float, error_rate: float) -> tuple[CheckOutcome, Seen]:
    """The growth of a series in one run against its yardstick."""
    warmup = (run.spec.settings or {}).get(how.warmup)
    trend = trend_of(run.series.get(how.series, []), run.series.get(BEGUN, []), warmup)
    if isinstance(trend, Untold):
        return "open", trend
    interval = trend.interval(error_rate)
    return against(interval, most), Growth(share(trend.slope.value), *interval, trend.epochs)


def judged_growths(how: ByGrowths, run: Observation) -> tuple[CheckOutcome, Seen]:
    """The rule of thumb as a check: beside the interval, for who knows it from elsewhere."""
    seen = rule_of(run.series.get(how.series, []), run.series.get(BEGUN, []), how)
    return ("failed" if isinstance(seen, Grew) else "held" if isinstance(seen, DidNotGrow) else "open"), seen


def spread_check(
    case: Case,
    declared: DeclaredCheck,
    how: BySpread,
    matrix: Matrix,
    runs: Sequence[Observation],
    policy: Policy,
) -> list[CheckRow]:
    """Whether the runs of each pin lie close enough together, by itself: a row for each combination of parameters that
    the metric is measured at."""
    rows = []
    most = policy.yardsticks[how.yardstick]
    for quantity in matrix.quantities[case.name] if runs else ():
        if quantity.name == how.metric and any(quantity.key in one.figures for one in runs):
            cells = tuple(spread_cell(quantity, pin, runs, most, policy.error_rate) for pin in matrix.pins)
            at = {parameter.name: value for parameter, value in quantity.at}
            rows.append(CheckRow(key_of(declared.name, at), declared, cells, most))
    return rows


def spread_cell(
    quantity: Quantity, pin: str, runs: Sequence[Observation], most: float, error_rate: float
) -> CheckCell | None:
    """The spread of one pin against the yardstick; None where it has no run with a word on it."""
    figures = [one.figures[quantity.key] for one in runs if one.spec.pin.name == pin and quantity.key in one.figures]
    if not figures:
        return None
    values = [figure.value for figure in figures if figure.value is not None]
    absent = next((figure.absent for figure in figures if figure.absent), None)
    interval = spread_interval(values, error_rate)
    if len(values) < 2:
        return folded([Made("open", Sight(NoSpread(len(values), absent)))])
    if interval is None:
        return folded([Made("open", Sight(NoSpread(len(values))))])
    seen = Spread(quantity, spread_of(values) or 0.0, *interval, len(values))
    return folded([Made(against(interval, most), Sight(seen))])
