"""What a plan will be able to tell: the smallest effect of every metric that gates, by the noise of an earlier matrix.

A standard error shrinks with the square root of the pairs, and its degrees of freedom grow with them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.cases import read_case
from harness.core.plan import Plan
from harness.core.policy import MetricPolicy, Policy
from harness.core.spec import TWIN
from reports.evidence.earlier import Earlier, same_work
from reports.evidence.figures import Matrix, expected
from reports.evidence.pairing import incomparable
from reports.evidence.units import Quantity
from reports.judge.findings import Question, questions, rules_of
from reports.judge.statements import Pairs
from reports.judge.statistics import CountEstimate, share

MOST_ROUNDS = 1000
"""More rounds than that nobody will run."""


@dataclass(frozen=True)
class Foreseen:
    """What a plan will be able to tell of a metric that gates. Numbers are as those of a `Finding`."""

    quantity: Quantity
    rules: MetricPolicy
    n: int
    """Pairs that it will rest on, in `pairs`."""
    pairs: Pairs
    smallest: float | None
    """The smallest effect that will be found with the chance `POWER`; infinite where so few pairs tell nothing, None
    where the earlier matrix has not measured it."""
    needed: int | None
    """In how many rounds an effect as large as the margin would be found; None where no practical number would do."""

    @property
    def told(self) -> bool:
        """Whether an effect as large as the margin will be found."""
        return self.smallest is not None and self.smallest <= self.rules.margin

    def show(self, value: float) -> str:
        """A difference in the unit of the metric, without a sign."""
        return self.quantity.shown_difference(value + 1 if self.quantity.relative else value).lstrip("+")


@dataclass(frozen=True)
class CaseForesight:
    """What a plan will be able to tell of a case with metrics that gate, and which earlier matrix has shown how noisy
    it is; None where there is none yet."""

    case: str
    earlier: Earlier | None
    metrics: tuple[Foreseen, ...] = ()


@dataclass(frozen=True)
class Foresight:
    """What a plan will be able to tell, case by case."""

    error_rate: float
    findings: int
    """So many that gate the candidates will have."""
    level: float
    """The strictest of Holm's procedure: that of the clearest finding."""
    cases: tuple[CaseForesight, ...]
    score: str = ""
    """The metric that need not be told for accuracy to be shown, as the plan compares single steps too; or empty."""


@dataclass(frozen=True)
class Noise:
    """How noisy a case was in an earlier matrix: by metric that gates what was asked about it of every pin."""

    earlier: Earlier
    rounds: int
    asked: dict[str, list[Question]]


def foresee(plan: Plan, policy: Policy, earlier: Sequence[Earlier]) -> Foresight:
    """What the plan will be able to tell by the noise of these earlier matrices, of which for each case the first
    counts that shows any."""
    judged = {case: to_judge(case, plan, policy) for case in plan.cases}
    noises = {case: noise_of(case, plan, policy, earlier) for case in plan.cases}
    metrics = sum(len(noise.asked) if noise else len(judged[case]) for case, noise in noises.items())
    candidates = sum(pin.name != TWIN for pin in plan.pins[1:])
    findings = max(1, metrics) * max(1, candidates)  # of a plan without candidates: the control's
    level = policy.error_rate / findings
    told = [
        CaseForesight(case, noise.earlier, tuple(foreseen_in(noise, plan.rounds_of(case), level)))
        if noise
        else CaseForesight(case, None)
        for case, noise in noises.items()
    ]
    gating = tuple(one for one in told if one.metrics or judged[one.case])
    return Foresight(policy.error_rate, findings, level, gating, score_beside_steps(plan, policy))


def score_beside_steps(plan: Plan, policy: Policy) -> str:
    """The score of the policy's accuracy rule, where the plan measures all by which it knows the same step."""
    rule, measured = policy.accuracy, {metric.name for case in plan.cases for metric in read_case(case).metrics}
    return rule.score if rule and measured.issuperset(rule.same_step) else ""


def to_judge(case: str, plan: Plan, policy: Policy) -> list[MetricPolicy]:
    """How the metrics are judged that a case is there to measure, of those that gate."""
    rules = [rules_of(policy, quantity, case) for quantity in expected(read_case(case), plan)]
    return [one for one in rules if one and one.gates]


def noise_of(case: str, plan: Plan, policy: Policy, earlier: Sequence[Earlier]) -> Noise | None:
    """The noise of a case in the first of these matrices that shows any; None where none does."""
    for one in earlier:
        if not same_work(one.matrix.plan, plan, case):
            continue
        matrix = without_faults(one.matrix)
        asked: dict[str, list[Question]] = {}
        for question in questions(matrix, policy, incomparable(matrix)):
            if question.case == case and question.rules.gates:
                asked.setdefault(question.quantity.key, []).append(question)
        if any(question.estimate for of_metric in asked.values() for question in of_metric):
            return Noise(one, one.matrix.plan.rounds_of(case), asked)
    return None


def without_faults(matrix: Matrix) -> Matrix:
    """The matrix without the runs in which a fault was planted: they are as noisy as that makes them."""
    return replace(matrix, observations=[one for one in matrix.observations if not one.spec.fault])


def foreseen_in(noise: Noise, rounds: int, level: float) -> list[Foreseen]:
    """What will be told of every metric of a case that gates."""
    return [foreseen(asked, noise.rounds, rounds, level) for asked in noise.asked.values()]


def foreseen(asked: Sequence[Question], before: int, rounds: int, level: float) -> Foreseen:
    """What so many rounds will tell of a metric by the questions about it that an earlier matrix of `before` rounds has
    answered.

    This is where a metric would be treated otherwise that is declared chaotic: it seldom can be told in few rounds.
    """
    one = asked[0]
    answered = [question for question in asked if question.estimate]

    def fits(some: int) -> bool:
        return smallest_of(answered, pairs_in(some, asked, before), level) <= one.rules.margin

    n = pairs_in(rounds, asked, before)
    needed = 1 + bisect_left(range(1, MOST_ROUNDS + 1), True, key=fits) if answered else MOST_ROUNDS + 1
    return Foreseen(
        quantity=one.quantity,
        rules=one.rules,
        n=n,
        pairs=one.pairs,
        smallest=smallest_of(answered, n, level) if answered else None,
        needed=needed if needed <= MOST_ROUNDS else None,
    )


def pairs_in(rounds: int, asked: Sequence[Question], before: int) -> int:
    """How many pairs so many rounds make: one each, or as many sittings as a round had before."""
    if asked[0].pairs == "rounds":
        return rounds
    return round(rounds * max(question.n for question in asked) / before)


def smallest_of(asked: Sequence[Question], n: int, level: float) -> float:
    """The smallest effect that `n` pairs will show of the pin that is the noisiest, so that nothing is promised too
    much; infinite where they are too few to tell anything."""
    one = asked[0]
    if n < (3 if one.quantity.comparison == "spread" else 2):
        return math.inf
    if one.quantity.comparison == "count":  # equal counts have an error of 0, and yet few events show nothing
        return CountEstimate(0, 0, n).smallest_effect(level)
    shown = share if one.quantity.relative else float
    return max(
        shown(question.estimate.as_if(n).smallest_effect(level)) for question in asked if question.estimate is not None
    )
