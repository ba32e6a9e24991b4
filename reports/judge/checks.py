"""Checks: what should hold on every pin, and in how many of its runs it did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.core.policy import Policy
from harness.core.record import Check, CheckOutcome
from reports.evidence.figures import Matrix, Observation
from reports.evidence.units import SPREAD, signed
from reports.judge.trends import GROWTH, GROWTHS, LOOKS, SOAK, Rule, Soak, Trend
from reports.judge.spread import spread_interval, spread_of
from reports.judge.statistics import share

MOST_SAID = 3
"""Different things that one cell says."""
RULE = (
    f"A rule of thumb, which does not gate, sees no leak: looked at every {LOOKS} epochs, memory never grows by more "
    f"than {GROWTH * 100:g} % {GROWTHS} times in a row"
)
LEAK = "Memory does not leak"
"""How the name of the check begins that a leak is to fail."""
SEVERITY: tuple[CheckOutcome, ...] = ("failed", "open", "held")


@dataclass(frozen=True)
class CheckCell:
    """One check on one pin, over its runs. `said` is foreign text."""

    outcome: CheckOutcome
    """`failed` where it did in any run, else `open` where any could not tell."""
    runs: int
    alike: int
    """Those with this outcome."""
    said: tuple[str, ...]

    @property
    def always(self) -> bool:
        """Whether every run had this outcome, two at least."""
        return self.runs == self.alike > 1

    def in_words(self) -> str:
        """`held`, or `failed in 1 of 3 runs`."""
        return self.outcome if self.runs == 1 else f"{self.outcome} in {self.alike} of {self.runs} runs"


@dataclass(frozen=True)
class CheckRow:
    """One check of a case: its name, which is foreign text, and a cell for each pin, None where no run ended well."""

    name: str
    cells: tuple[CheckCell | None, ...]
    gates: bool = True
    """Whether a candidate that breaks it is held."""


Checks = dict[str, list[CheckRow]]
"""By case."""


def checks_of(matrix: Matrix, policy: Policy) -> Checks:
    """The checks of every case that has some: those that its runs made, in their order, then what follows from what
    they left."""
    found = {}
    for case in matrix.plan.cases:
        runs = [one for one in matrix.observations if one.spec.case == case and one.status == "ok"]
        runs.sort(key=lambda one: one.spec.round)
        rows = made_checks(matrix.pins, runs)
        rows += spread_check(matrix, runs, policy) + soak_checks(matrix, case, runs, policy)
        if rows:
            found[case] = rows
    return found


def made_checks(pins: Sequence[str], runs: Sequence[Observation]) -> list[CheckRow]:
    """The checks that runs made themselves. All runs of a case make the same ones, so what one of them did not make is
    open there."""
    made = [(one.spec.pin.name, by_name(one.checks)) for one in runs]
    rows = []
    for name in dict.fromkeys(name for _, checks in made for name in checks):
        absent = Check(name, "open", "a run did not make this check")
        rows.append(row_of(name, pins, [(pin, checks.get(name, absent)) for pin, checks in made]))
    return rows


def by_name(checks: Iterable[Check]) -> dict[str, Check]:
    """The checks of one run; of one that it made several times, the worst."""
    found: dict[str, Check] = {}
    for check in checks:
        if check.name not in found or worse(check, found[check.name]):
            found[check.name] = check
    return found


def worse(one: Check, other: Check) -> bool:
    """Whether one outcome is worse than another."""
    return SEVERITY.index(one.outcome) < SEVERITY.index(other.outcome)


def row_of(name: str, pins: Sequence[str], checks: Iterable[tuple[str, Check]], *, all_said: bool = False) -> CheckRow:
    """One check of all runs of a case, each with its pin."""
    by_pin: dict[str, list[Check]] = {}
    for pin, check in checks:
        by_pin.setdefault(pin, []).append(check)
    return CheckRow(name, tuple(folded(by_pin[pin], all_said=all_said) if pin in by_pin else None for pin in pins))


def folded(checks: Sequence[Check], *, all_said: bool = False) -> CheckCell:
    """Several runs of one check: the worst outcome, and what was said where it came out so, or with `all_said` in all
    runs, the worst first."""
    outcome = next(outcome for outcome in SEVERITY if any(check.outcome == outcome for check in checks))
    alike = [check for check in checks if check.outcome == outcome]
    telling = sorted(checks, key=lambda check: SEVERITY.index(check.outcome)) if all_said else alike
    said = [*dict.fromkeys(check.said for check in telling)]
    more = [f"and {len(said) - MOST_SAID} more"] if len(said) > MOST_SAID else []
    return CheckCell(outcome, len(checks), len(alike), tuple(said[:MOST_SAID] + more))


# --- what follows from what the runs of a case left ---------------------------------------------------------------


def against(interval: tuple[float, float], most: float) -> CheckOutcome:
    """A yardstick: the whole interval below it, the whole interval above it, or neither."""
    low, high = interval
    return "held" if high < most else "failed" if low > most else "open"


def sure(policy: Policy) -> str:
    """How sure the intervals are that are held against yardsticks."""
    return f"{(1 - policy.error_rate) * 100:g} % interval"


def spread_check(matrix: Matrix, runs: Sequence[Observation], policy: Policy) -> list[CheckRow]:
    """Whether the seeds of `converge` end alike, of each pin by itself."""
    if not any(SPREAD in one.figures for one in runs):  # no other case has it
        return []
    most = f"{policy.yardsticks.map50_spread * 100:g} points"
    name = f"Seeds end alike: the {sure(policy)} of the spread of their final mAP50 is below {most}"
    cells = []
    for pin in matrix.pins:
        figures = [one.figures[SPREAD] for one in runs if one.spec.pin.name == pin and SPREAD in one.figures]
        values = [figure.value for figure in figures if figure.value is not None]
        reason = next((figure.reason for figure in figures if figure.reason), "")
        cells.append(folded([judged_spread(name, values, reason, policy)]) if figures else None)
    return [CheckRow(name, tuple(cells))]


def judged_spread(name: str, values: Sequence[float], reason: str, policy: Policy) -> Check:
    """The spread of one pin against the yardstick."""
    interval = spread_interval(values, policy.error_rate)
    if len(values) < 2:
        return Check(name, "open", reason)
    if interval is None:
        return Check(name, "open", f"all {len(values)} seeds end at the same value, from which no interval follows")
    spread, low, high = (f"{end * 100:.1f}" for end in (spread_of(values) or 0.0, *interval))
    said = f"{spread} points [{low}, {high}], {len(values)} seeds"
    return Check(name, against(interval, policy.yardsticks.map50_spread), said)


def soak_checks(matrix: Matrix, case: str, runs: Sequence[Observation], policy: Policy) -> list[CheckRow]:
    """Whether memory leaks and epochs get longer in the runs of `soak`, and what a common rule of thumb says."""
    if case != SOAK:
        return []
    several = matrix.plan.rounds_of(case) > 1
    by_check: dict[str, list[tuple[str, Check]]] = {}
    for one in runs:
        for check in judged_soak(one.soak, policy) if one.soak else ():
            said = f"round {one.spec.round + 1}: {check.said}" if several else check.said
            by_check.setdefault(check.name, []).append((one.spec.pin.name, Check(check.name, check.outcome, said)))
    rows = [row_of(name, matrix.pins, checks, all_said=True) for name, checks in by_check.items()]
    return [replace(row, gates=row.name != RULE) for row in rows]


def judged_soak(soak: Soak, policy: Policy) -> list[Check]:
    """One run of `soak` against the yardsticks and the rule."""
    most = policy.yardsticks
    slow = f"the {sure(policy)} of its growth is below {most.leak * 100:g} % an epoch"
    longer = f"the {sure(policy)} of how much longer epochs get is below {most.drift * 100:g} % an epoch"
    drift = f"The throughput does not drift: {longer}"
    return [
        *(judged_trend(f"{LEAK} ({what}): {slow}", of, most.leak, policy) for what, of in soak.memory.items()),
        judged_trend(drift, soak.time, most.drift, policy),
        judged_rule(soak.rule),
    ]


def judged_trend(name: str, trend: Trend, most: float, policy: Policy) -> Check:
    """The growth of memory or of an epoch's time in one run against its yardstick."""
    if trend.slope is None:
        return Check(name, "open", trend.reason)
    low, high = interval = trend.interval(policy.error_rate)
    slope = percent(share(trend.slope.value))
    said = f"{slope} % an epoch [{percent(low)}, {percent(high)}], {trend.epochs} epochs"
    return Check(name, against(interval, most), said)


def percent(growth: float) -> str:
    """A share in percent, signed: `+0.012`."""
    return signed(f"{growth * 100:+,.3f}")


def judged_rule(rule: Rule) -> Check:
    """The rule of thumb as a check: beside the interval, for who knows it from elsewhere."""
    return Check(RULE, "open" if rule.fired is None else "failed" if rule.fired else "held", rule.said)
