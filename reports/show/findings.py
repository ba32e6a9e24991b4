"""How findings are told: estimates with intervals, what they amount to, and what would settle an open one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from harness.core.cases import read_case
from harness.core.policy import Policy
from reports.evidence.figures import Matrix
from reports.judge.statements import CheckRow, Finding, Why
from reports.judge.statistics import less
from reports.show.checks import check_title
from reports.show.words import NOT_MEASURED, absent_in_words, counted, trouble_in_words

WIDE = 0.1
"""From which margin on its two ends are said apart, of a ratio."""

WHY = {
    "noisy": "the baseline differs from itself as much",
    "margin open": "the two differ, but it is open whether by more than the margin",
    "both sides": "too few or too noisy pairs to tell",
    "one side": "the interval reaches beyond the margin on one side",
    "one pair": "one pair of runs decides nothing",
    "no chance": "both gave the same number in every round, which does not tell how far chance moves it: let rounds "
    "differ by their seed",
    "spread needs three": "a spread needs three pairs of runs that differ",
    "no pair": "none of its runs can be paired with one of the baseline's",
}
"""Why a finding is inconclusive, where nothing else tells it."""


SMALL = "a small difference"
"""What is said beside an equivalent finding that is a difference all the same."""


@dataclass(frozen=True)
class Words:
    """What the sentences about one machine need to know beside what they say."""

    baseline: str
    shared: frozenset[str]
    """The metrics that several cases declare, of those in the matrix or required: their titles name the case."""
    error_rate: float

    def title(self, found: Finding) -> str:
        """The metric's title, with the case where others have it too."""
        case = f" ({found.case})" if found.case and found.quantity.name in self.shared else ""
        return found.quantity.title + case

    def name(self, found: Finding) -> str:
        """The title, with a word where the metric does not gate."""
        return self.title(found) + ("" if found.rules.gates else " (does not gate)")

    def check(self, row: CheckRow, case: str) -> str:
        """What a check says has to hold, on one line."""
        return check_title(row.name, row.declared, case, row.yardstick, self.error_rate)

    def check_of(self, row: CheckRow, case: str) -> str:
        """The same with its case."""
        return f"{self.check(row, case)} ({case})"


def words_of(matrix: Matrix, policy: Policy) -> Words:
    """The words of one machine."""
    cases = dict.fromkeys([*matrix.plan.cases, *policy.required_of(matrix.plan)])
    having = Counter(metric.name for case in cases for metric in read_case(case).metrics)
    shared = frozenset(name for name, cases in having.items() if cases > 1)
    return Words(matrix.pins[0], shared, policy.error_rate)


def why_in_words(why: Why | None) -> str:
    """Why a finding is inconclusive, as a part of a sentence; empty where it is not."""
    if why is None:
        return ""
    if why.kind == "absent" and why.absent:
        return absent_in_words(why.absent)
    if why.kind == "run":
        return f"{why.status}: {trouble_in_words(why.trouble)}"
    if why.kind == "case not planned":
        return f"the case {why.case} is not part of this matrix"
    return WHY[why.kind]


def estimate_and_interval(found: Finding) -> tuple[str, str]:
    """Estimate and interval: `+4.1 %` and `[+2.0 %, +6.3 %]`; what was not measured has no interval."""
    if found.estimate is None or found.low is None or found.high is None:
        return NOT_MEASURED, ""
    return found.show(found.estimate), found.show_interval(found.low, found.high)


def differs_little(found: Finding) -> bool:
    """Whether the two are equivalent and yet differ: the interval lies within the margin, and is clear of 0."""
    known = found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)
    return found.outcome == "equivalent" and known


def effect(found: Finding) -> str:
    """Estimate and interval in one: `+4.1 % [+2.0 %, +6.3 %]`."""
    return " ".join(filter(None, estimate_and_interval(found)))


def margin_in_words(found: Finding) -> str:
    """The margin as it is shown, without a sign."""
    return found.show(found.rules.margin).lstrip("+")


def smallest_in_words(found: Finding) -> str:
    """The smallest effect that the pairs at hand would have shown; empty where there is none."""
    if found.smallest is None or not math.isfinite(found.smallest) or found.smallest == 0:
        return ""
    return found.show(found.smallest).lstrip("+")


def why_open(found: Finding) -> str:
    """Why a finding is inconclusive, or there is none."""
    why = why_in_words(found.why)
    if not found.measured:
        return f"{NOT_MEASURED}: {why}" if found.n == 0 else why
    return f"{why}, though it is no worse than the margin allows" if found.harmless else why


def what_settles(found: Finding) -> str:
    """What would settle an inconclusive finding, as far as its pairs tell; empty where they tell nothing."""
    if found.why and found.why.kind == "noisy":
        return "a quieter machine"
    if found.further is not None:
        return f"about {counted(found.further, 'more rounds')}"
    return "no practical number of rounds" if found.measured else ""


def finding_in_words(found: Finding, words: Words) -> str:
    """A finding as a sentence, or as several."""
    said = f"{words.title(found)}: {outcome_in_words(found)}."
    if found.measured and found.outcome == "inconclusive":
        said += could_see(found) + would_settle(found)
    return said if found.rules.gates else f"{said} It does not gate."


def outcome_in_words(found: Finding) -> str:
    """What a finding amounts to, with its numbers or why there are none."""
    if not found.measured:
        what = NOT_MEASURED if found.n == 0 else found.outcome
        return f"{what} ({why_in_words(found.why).rstrip('.')})"
    numbers = f"{found.outcome}, {effect(found)} against a margin of {margin_in_words(found)}{other_end(found)}"
    return f"{numbers}: {why_open(found)}" if found.outcome == "inconclusive" else numbers


def other_end(found: Finding) -> str:
    """The other end of a wide margin of a ratio, where the estimate lies on that side."""
    margin = found.rules.margin
    if not found.quantity.relative or found.estimate is None or found.estimate >= 0 or margin < WIDE:
        return ""
    return f" ({found.show(less(margin))} on this side)"


def could_see(found: Finding) -> str:
    """The smallest effect that the pairs at hand would have shown, as a sentence."""
    smallest = smallest_in_words(found)
    return f" The smallest effect that these pairs would show is {smallest}." if smallest else ""


def would_settle(found: Finding) -> str:
    """How many further rounds would settle a finding, as a sentence."""
    if found.why and found.why.kind == "noisy":
        return ""  # that is a matter of the machine
    if found.further is None:
        return " No practical number of further rounds would settle it."
    return f" {what_settles(found).capitalize()} would settle it."
