"""Findings: what each candidate is against the baseline on each metric of the policy, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Union

from harness.core.cases import read_case
from harness.core.declaration import DeclaredMetric, applies
from harness.core.policy import MetricPolicy, Policy
from harness.core.spec import TWIN
from reports.evidence.figures import Matrix, expected
from reports.evidence.pairing import PinLaps, PinValues, Refused, difference_of, is_turned, laps_of, shared, values_of
from reports.evidence.units import Quantity, guess
from reports.judge.laps import LapEstimate, in_turns
from reports.judge.spread import SpreadEstimate, spreads_of
from reports.judge.statements import Finding, Outcome, Pairs, Why, WhyKind
from reports.judge.statistics import CountEstimate, Estimate, count_of, holm, in_blocks, mean_of, share

AnyEstimate = Union[Estimate, CountEstimate, SpreadEstimate, LapEstimate]


@dataclass(frozen=True)
class Asked:
    """A metric that the policy judges in a case of the matrix, with the values of all runs that may be compared."""

    case: str
    quantity: Quantity
    rules: MetricPolicy
    values: PinValues
    laps: PinLaps
    """Where the turns of the case measure it."""
    by_laps: dict[str, LapEstimate]
    """Of the pins for which these laps suffice."""


@dataclass(frozen=True)
class Question:
    """What is asked of the statistics: one pin, one metric, and the estimate from its pairs, or why there is none."""

    pin: str
    case: str
    quantity: Quantity
    rules: MetricPolicy
    estimate: AnyEstimate | None
    n: int
    pairs: Pairs
    rounds: int
    """Those that these pairs are of."""
    why: Why | None = None


def find(matrix: Matrix, policy: Policy, refused: Refused) -> list[Finding]:
    """All findings, in the order of table and pins. The control A/A is apart from the candidates: it asks whether this
    machine is quiet enough, and must not be hidden by their number."""
    asked = questions(matrix, policy, refused)
    control = judged([one for one in asked if one.pin == TWIN], policy.error_rate)
    noise = {(one.case, one.quantity.key): one for one in control if one.alarms}
    candidates = judged([one for one in asked if one.pin != TWIN], policy.error_rate)
    return control + [above_noise(one, noise.get((one.case, one.quantity.key))) for one in candidates]


# --- what is asked ------------------------------------------------------------------------------------------------


def questions(matrix: Matrix, policy: Policy, refused: Refused) -> list[Question]:
    """All that is asked of the statistics, in the order of pins and table."""
    metrics = [*measured(matrix, policy, refused), *unmeasured(matrix, policy)]
    return [
        question
        for pin in matrix.pins[1:]
        for question in [*(question_of(matrix, one, pin) for one in metrics), *unplanned(matrix, policy, pin)]
    ]


def rules_of(policy: Policy, quantity: Quantity, case: str) -> MetricPolicy | None:
    """How a metric is judged; None where it is not, or no case declares it."""
    return policy.rules_of(quantity.declared, case) if quantity.declared else None


def measured(matrix: Matrix, policy: Policy, refused: Refused) -> Iterator[Asked]:
    """Every metric of the policy of which some run of a case says something, or was to."""
    for case, quantities in matrix.quantities.items():
        for quantity in quantities:
            rules = rules_of(policy, quantity, case)
            if rules:
                laps = laps_of(matrix, case, quantity.key, refused) if is_turned(case, quantity.key) else {}
                values = values_of(matrix, case, quantity.key, refused)
                yield Asked(case, quantity, rules, values, laps, in_turns(laps, matrix.pins[0]))


def unmeasured(matrix: Matrix, policy: Policy) -> Iterator[Asked]:
    """What a case is there to measure and no run says a word of. In a case that the policy does not require, what
    another one has measured is not missed."""
    required = policy.required_of(matrix.plan)
    rows = {(case, one.key) for case, quantities in matrix.quantities.items() for one in quantities}
    anywhere = {key for _, key in rows}
    for name in matrix.plan.cases:
        for quantity in expected(read_case(name), matrix.plan):
            rules = rules_of(policy, quantity, name)
            said = (name, quantity.key) in rows if name in required else quantity.key in anywhere
            if rules and not said:
                yield Asked(name, quantity, rules, {}, {}, {})


def unplanned(matrix: Matrix, policy: Policy, pin: str) -> Iterator[Question]:
    """What the cases would have measured without which the policy has no upgrade, and which the matrix does without."""
    for name in policy.required_of(matrix.plan):
        case = read_case(name)
        for metric in case.metrics if name not in matrix.plan.cases else ():
            rules = policy.rules_of(metric, name)
            if rules and metric.headline and there(matrix, metric):
                why = Why("case not planned", case=name)
                yield Question(pin, "", guess(case, metric.name), rules, None, 0, "rounds", 0, why)


def there(matrix: Matrix, metric: DeclaredMetric) -> bool:
    """Whether a metric is there on the device that the matrix ran on."""
    first = matrix.plan.runs[0]
    return applies(metric.applies, first.device, first.precision)


def question_of(matrix: Matrix, asked: Asked, pin: str) -> Question:
    """The pairs of one metric of one pin with the baseline's, and what follows from them: laps of the sittings that
    both were in, if there are any, else runs of a round."""
    baseline = matrix.pins[0]
    sittings, rounds = shared(asked.laps, pin, baseline), shared(asked.values, pin, baseline)
    pairs: Pairs = "sittings" if sittings or any(part for _, part in rounds) else "rounds"
    paired = sittings or rounds
    n = len(paired)
    estimate: AnyEstimate | None = None
    if n > 1 and not without_chance(asked, pin, baseline, rounds):
        by_laps = asked.by_laps.get(pin)
        estimate = by_laps or estimate_of(asked.quantity, asked.values, pin, baseline, rounds)
    why = None if estimate else why_none(matrix, asked, pin, n)
    of = len({place[0] for place in paired})
    return Question(pin, asked.case, asked.quantity, asked.rules, estimate, n, pairs, of, why)


def without_chance(asked: Asked, pin: str, baseline: str, rounds: list[tuple[int, int]]) -> bool:
    """Whether two pins differ in a metric that chance draws, and each has the same value in all rounds: the difference
    is then one and the same draw of chance, and no number of rounds tells more of it."""
    if not (asked.quantity.declared and asked.quantity.declared.drawn):
        return False
    own, base = ({asked.values[name][index] for index in rounds} for name in (pin, baseline))
    return len(own) == len(base) == 1 and own != base


def estimate_of(
    quantity: Quantity, values: PinValues, pin: str, baseline: str, rounds: list[tuple[int, int]]
) -> AnyEstimate | None:
    """The estimate that goes with how a metric is compared, from at least two pairs of runs."""
    own, base = ([values[name][index] for index in rounds] for name in (pin, baseline))
    if quantity.comparison == "count":
        return count_of(own, base)
    if quantity.comparison == "spread":
        return spreads_of(own, base)
    if quantity.comparison == "points":
        return mean_of([difference_of(quantity, *pair) for pair in zip(own, base, strict=True)])
    return with_common_noise(values, pin, baseline, rounds, ratio=quantity.comparison == "ratio")


def with_common_noise(
    values: PinValues, pin: str, baseline: str, rounds: list[tuple[int, int]], *, ratio: bool
) -> Estimate | None:
    """The difference, or with `ratio` the log-ratio, of two pins in times or memory, with the noise that all pins show
    which have a value in all these rounds."""
    columns = [name for name, found in values.items() if all(index in found for index in rounds)]
    if ratio and any(values[name][index] <= 0 for name in columns for index in rounds):
        return None
    scale = math.log if ratio else float
    rows = [[scale(values[name][index]) for name in columns] for index in rounds]
    return in_blocks(rows, columns.index(pin), columns.index(baseline))


def why_none(matrix: Matrix, asked: Asked, pin: str, n: int) -> Why:
    """Why there is no estimate."""
    if n == 1:
        return Why("one pair")
    if n and without_chance(asked, pin, matrix.pins[0], shared(asked.values, pin, matrix.pins[0])):
        return Why("no chance")
    if n and asked.quantity.comparison == "spread":
        return Why("spread needs three")
    mine = matrix.runs_of(asked.case, pin)
    figures = [one.figures[asked.quantity.key] for one in mine if asked.quantity.key in one.figures]
    absent = next((figure.absent for figure in figures if figure.absent), None)
    if absent:
        return Why("absent", absent)
    for one in mine:
        if one.status != "ok":
            return Why("run", status=one.status, trouble=one.trouble)
    return Why("no pair")


# --- what follows -------------------------------------------------------------------------------------------------


def judged(asked: list[Question], error_rate: float) -> list[Finding]:
    """The findings, each at the level at which Holm's procedure judges it. What gates is one family and what does not
    another: on the former rests the verdict, and what is shown beside it must not make it tell less."""
    families = {gates: iter(levels_of(asked, error_rate, gates=gates)) for gates in (True, False)}
    return [
        open_finding(one) if one.estimate is None else finding(one, one.estimate, next(families[one.rules.gates]))
        for one in asked
    ]


def levels_of(asked: list[Question], error_rate: float, *, gates: bool) -> list[float]:
    """The levels of those questions with an estimate that gate, or of those that do not."""
    return holm([one.estimate.p_value() for one in asked if one.estimate and one.rules.gates is gates], error_rate)


def open_finding(asked: Question) -> Finding:
    """Nothing follows without an estimate."""
    return Finding(
        asked.pin, asked.case, asked.quantity, asked.rules, "inconclusive", asked.n, asked.pairs, why=asked.why
    )


def finding(asked: Question, estimate: AnyEstimate, level: float) -> Finding:
    """What an estimate amounts to, held against the margin."""
    ratio = asked.quantity.relative
    shown = share if ratio else float
    margin = math.log1p(asked.rules.margin) if ratio else asked.rules.margin
    low, high = estimate.interval(level)
    if asked.quantity.comparison == "points":  # of shares, which lie between 0 and 1
        low, high = max(low, -1.0), min(high, 1.0)
    outcome = outcome_of(estimate.value, low, high, margin, asked.quantity.better)
    settled = outcome != "inconclusive"
    more = None if settled else estimate.further(level, margin)
    return Finding(
        asked.pin,
        asked.case,
        asked.quantity,
        asked.rules,
        outcome,
        asked.n,
        asked.pairs,
        estimate=shown(estimate.value),
        low=shown(low),
        high=shown(high),
        level=level,
        smallest=shown(estimate.smallest_effect(level)),
        further=math.ceil(more * asked.rounds / asked.n) if more else None,
        why=None if settled else Why(why_open(low, high, margin)),
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


def why_open(low: float, high: float, margin: float) -> WhyKind:
    """Why an interval settles nothing."""
    if low > 0 or high < 0:
        return "margin open"
    return "both sides" if low < -margin and high > margin else "one side"


def above_noise(found: Finding, control: Finding | None) -> Finding:
    """A finding on a metric in which the baseline differs from itself stands only where it is clear of that too."""
    if control is None or not found.alarms or found.low is None or found.high is None:
        return found
    noise = max(abs(control.low or 0.0), abs(control.high or 0.0))
    if found.low > noise or found.high < -noise:
        return found
    return replace(found, outcome="inconclusive", why=Why("noisy"))
