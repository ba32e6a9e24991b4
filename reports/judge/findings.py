"""Findings: what each candidate is against the baseline on each metric of the policy, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from harness.core.policy import MetricPolicy, Policy
from harness.core.spec import PACE, TWIN
from reports.evidence.pairing import Place, Refusal
from reports.evidence.figures import Matrix
from reports.evidence.units import KNOWN, POSITIONS, Quantity, guess
from reports.judge.spread import SpreadEstimate, spreads_of
from reports.judge.statistics import CountEstimate, Estimate, count_of, holm, in_blocks, mean_of, share

Outcome = Literal["better", "worse", "equivalent", "inconclusive"]
ROUNDS, SITTINGS = "rounds", "sittings"

ALWAYS = ("train", PACE)
"""The cases without whose metrics there is no upgrade; what others measure counts where they were run."""

NOISY = "the baseline differs from itself as much"


@dataclass(frozen=True)
class Finding:
    """One pin against the baseline on one metric.

    Numbers are shares where the metric is compared as a ratio (0.03: 3 % more), else in the recorded unit; None where
    there is none. `level` is the chance with which the interval misses the true value, after Holm.
    """

    pin: str
    case: str
    quantity: Quantity
    policy: MetricPolicy
    outcome: Outcome
    n: int
    """Pairs that it rests on, in `pairs`."""
    pairs: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    smallest: float | None = None
    """The smallest effect that would have been found with 80 % power."""
    further: int | None = None
    """Further pairs that would settle an inconclusive one; None where it is settled, or too near to the margin."""
    reason: str = ""
    """Why it is inconclusive; empty where it is not."""

    @property
    def title(self) -> str:
        """The metric's title, with the case where that is not the one that is there to measure it."""
        name = self.quantity.name
        home = KNOWN[POSITIONS[name]].case if name in POSITIONS else self.case
        return self.quantity.title + (f" ({self.case})" if self.case not in ("", home) else "")

    @property
    def measured(self) -> bool:
        """Whether there is any estimate: what is not measured is not equal."""
        return self.estimate is not None

    @property
    def alarms(self) -> bool:
        """Whether it says that the two differ."""
        return self.outcome in ("better", "worse")

    @property
    def harmless(self) -> bool:
        """Whether it was shown that the candidate is not worse by more than the margin, whatever else it is."""
        if self.low is None or self.high is None or self.outcome == "worse":
            return False
        most = self.high if self.policy.better == "lower" else -self.low
        return most <= self.policy.margin or math.isclose(most, self.policy.margin)  # a share is off by a rounding

    def show(self, value: float) -> str:
        """A difference in the unit of the metric, signed: `+4.1 %`."""
        return self.quantity.shown_difference(value + 1 if self.quantity.relative else value)

    def estimate_and_interval(self) -> tuple[str, str]:
        """Estimate and interval: `+4.1 %` and `[+2.0 %, +6.3 %]`; what was not measured has no interval."""
        if self.estimate is None or self.low is None or self.high is None:
            return "not measured", ""
        return self.show(self.estimate), f"[{self.show(self.low)}, {self.show(self.high)}]"

    def effect(self) -> str:
        """Estimate and interval in one: `+4.1 % [+2.0 %, +6.3 %]`."""
        return " ".join(filter(None, self.estimate_and_interval()))


AnyEstimate = Estimate | CountEstimate | SpreadEstimate

Values = dict[str, dict[tuple[int, str], float]]
"""By pin, and then by round and sitting: what runs must share to be paired."""


@dataclass(frozen=True)
class Question:
    """What is asked of the statistics: one pin, one metric, and the estimate from its pairs, or why there is none."""

    pin: str
    case: str
    quantity: Quantity
    policy: MetricPolicy
    estimate: AnyEstimate | None
    n: int
    pairs: str
    reason: str


def find(matrix: Matrix, policy: Policy, refused: dict[Place, Refusal]) -> list[Finding]:
    """All findings, in the order of table and pins. The control A/A is a family of its own: it asks whether this
    machine is quiet enough, and must not be hidden by the number of candidates."""
    values = {
        (case, quantity.name): values_of(matrix, case, quantity.name, refused)
        for case, quantities in matrix.quantities.items()
        for quantity in quantities
        if quantity.name in policy.metrics
    }
    asked = [question for pin in matrix.pins[1:] for question in questions(matrix, policy, pin, values)]
    control = judge([one for one in asked if one.pin == TWIN], policy.error_rate)
    noise = {(one.case, one.quantity.name): one for one in control if one.alarms}
    candidates = judge([one for one in asked if one.pin != TWIN], policy.error_rate)
    return control + [above_noise(one, noise.get((one.case, one.quantity.name))) for one in candidates]


def questions(matrix: Matrix, policy: Policy, pin: str, values: dict[tuple[str, str], Values]) -> list[Question]:
    """Every metric of the policy that this matrix measures or should have measured, for one pin. `values`: those of all
    runs, by case and metric; a metric that no run has a figure of has none."""
    asked = []
    seen: set[tuple[str, str]] = set()
    for case, quantities in matrix.quantities.items():
        for quantity in quantities:
            if quantity.name in policy.metrics:
                seen |= {(quantity.name, case), (quantity.name, "")}
                known = values[case, quantity.name]
                asked.append(question(matrix, case, quantity, policy.metrics[quantity.name], pin, known))
    for name, rules in policy.metrics.items():
        entry = KNOWN[POSITIONS[name]] if name in POSITIONS else None
        home = entry.case if entry and entry.case in ALWAYS else ""  # what a soak says of memory is not what train does
        if (name, home) in seen or (entry and not entry.of(matrix.plan.runs[0].device, entry.case)):
            continue
        if entry and entry.case in matrix.plan.cases:
            asked.append(question(matrix, entry.case, guess(name), rules, pin, {}))
        elif entry is None or entry.case in ALWAYS:  # misspelt, or what every upgrade is judged by
            reason = f"the case {home} is not part of this matrix" if home else "no case of this matrix measures it"
            asked.append(Question(pin, "", guess(name), rules, None, 0, ROUNDS, reason))
    return asked


def question(matrix: Matrix, case: str, quantity: Quantity, policy: MetricPolicy, pin: str, values: Values) -> Question:
    """The pairs of one metric of one pin with the baseline's, and what follows from them."""
    own, base = values.get(pin, {}), values.get(matrix.pins[0], {})
    rounds = [place for place in base if place in own]
    estimate: AnyEstimate | None
    if len(rounds) < 2:
        estimate = None  # no finding from one run, however many laps it has
    elif quantity.scale.comparison == "count":
        estimate = count_of([own[place] for place in rounds], [base[place] for place in rounds])
    elif quantity.scale.comparison == "spread":
        estimate = spreads_of([own[place] for place in rounds], [base[place] for place in rounds])
    elif quantity.scale.comparison == "points":
        estimate = mean_of([own[place] - base[place] for place in rounds])
    else:
        ratio = quantity.scale.comparison == "ratio"
        estimate = with_common_noise(values, pin, matrix.pins[0], rounds, ratio=ratio)
    reason = "" if estimate else why_none(matrix, case, quantity, pin, len(rounds))
    kind = SITTINGS if case == PACE else ROUNDS
    return Question(pin, case, quantity, policy, estimate, len(rounds), kind, reason)


def values_of(matrix: Matrix, case: str, metric: str, refused: dict[Place, Refusal]) -> Values:
    """The values of a metric in all runs that may be compared, rounds in order."""
    values: Values = {}
    for one in sorted(matrix.observations, key=lambda one: one.spec.round):
        pin, index = one.spec.pin.name, one.spec.round
        figure = one.figures.get(metric)
        if one.spec.case == case and figure and figure.value is not None and (case, index, pin) not in refused:
            values.setdefault(pin, {})[index, one.sitting or ""] = figure.value
    return values


def with_common_noise(
    values: Values, pin: str, baseline: str, rounds: list[tuple[int, str]], *, ratio: bool
) -> Estimate | None:
    """The difference, or with `ratio` the log-ratio, of two pins in times or memory, with the noise that all pins show
    which have a value in all these rounds."""
    columns = [name for name, found in values.items() if all(place in found for place in rounds)]
    if ratio and any(values[name][place] <= 0 for name in columns for place in rounds):
        return None
    scale = math.log if ratio else float
    rows = [[scale(values[name][place]) for name in columns] for place in rounds]
    return in_blocks(rows, columns.index(pin), columns.index(baseline))


def why_none(matrix: Matrix, case: str, quantity: Quantity, pin: str, n: int) -> str:
    """Why there is no estimate."""
    if n == 1:
        return "one pair of runs decides nothing"
    if n and quantity.scale.comparison == "spread":
        return "a spread needs three pairs of runs that differ"
    mine = [one for one in matrix.observations if one.spec.case == case and one.spec.pin.name == pin]
    figures = [one.figures[quantity.name] for one in mine if quantity.name in one.figures]
    reasons = [figure.reason for figure in figures if figure.reason]
    if reasons:
        return reasons[0]
    ended = [f"{one.status}: {one.reason}" for one in mine if one.status != "ok"]
    if ended:
        return ended[0]
    return "no run of it can be paired with one of the baseline"


def judge(asked: list[Question], error_rate: float) -> list[Finding]:
    """The findings of one family of questions, each at the level at which Holm's procedure judges it."""
    answered = [one for one in asked if one.estimate is not None]
    levels = holm([one.estimate.p_value() if one.estimate else 1.0 for one in answered], error_rate)
    by_question = dict(zip(map(id, answered), levels, strict=True))
    return [finding(one, by_question.get(id(one))) for one in asked]


def finding(asked: Question, level: float | None) -> Finding:
    """What an estimate amounts to, held against the margin."""
    common = {"pin": asked.pin, "case": asked.case, "quantity": asked.quantity, "policy": asked.policy}
    if asked.estimate is None or level is None:
        return Finding(**common, outcome="inconclusive", n=asked.n, pairs=asked.pairs, reason=asked.reason)  # type: ignore[arg-type]
    ratio = asked.quantity.relative
    shown = share if ratio else float
    margin = math.log1p(asked.policy.margin) if ratio else asked.policy.margin
    low, high = asked.estimate.interval(level)
    outcome = outcome_of(asked.estimate.value, low, high, margin, asked.policy.better)
    settled = outcome != "inconclusive"
    further = None if settled else asked.estimate.further(level, margin)
    return Finding(
        **common,  # type: ignore[arg-type]
        outcome=outcome,
        n=asked.n,
        pairs=asked.pairs,
        estimate=shown(asked.estimate.value),
        low=shown(low),
        high=shown(high),
        level=level,
        smallest=shown(asked.estimate.smallest_effect(level)),
        further=further,
        reason="" if settled else why_open(low, high, margin),
    )


def outcome_of(value: float, low: float, high: float, margin: float, better: str) -> Outcome:
    """Better or worse: the interval is clear of 0 and the estimate beyond the margin. Equivalent: the whole interval is
    within the margin (two one-sided tests; Schuirmann 1987). All else is inconclusive, and so is anything that is no
    number."""
    if not all(map(math.isfinite, (value, low, high))):
        return "inconclusive"
    if (low > 0 or high < 0) and abs(value) > margin:
        return "better" if (value < 0) == (better == "lower") else "worse"
    return "equivalent" if -margin <= low and high <= margin else "inconclusive"


def why_open(low: float, high: float, margin: float) -> str:
    """Why an interval settles nothing."""
    if low > 0 or high < 0:
        return "the two differ, but whether by more than the margin is open"
    if low < -margin and high > margin:
        return "too few or too noisy pairs to tell"
    return "the interval reaches beyond the margin on one side"


def above_noise(found: Finding, control: Finding | None) -> Finding:
    """A finding on a metric in which the baseline differs from itself stands only where it is clear of that too."""
    if control is None or not found.alarms or found.low is None or found.high is None:
        return found
    noise = max(abs(control.low or 0.0), abs(control.high or 0.0))
    if found.low > noise or found.high < -noise:
        return found
    return replace(found, outcome="inconclusive", reason=NOISY)
