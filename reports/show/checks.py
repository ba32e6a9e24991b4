"""How checks are told: what has to hold, whether it did, and what was seen."""

from __future__ import annotations

from harness.core.cases import read_case
from harness.core.declaration import BySpread, ByTrend, DeclaredCheck
from harness.core.policy import Policy
from reports.evidence.units import UNITS, guess, signed
from reports.judge.statements import (
    CheckCell,
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
from reports.show.text import one_line
from reports.show.words import absent_in_words

UNTOLD = {
    "no series": "the record holds no series of it",
    "no starts": "the record does not say in which epochs a process began",
    "no warm-up": "what was asked for does not say how long the warm-up is",
    "gaps": "some epoch after the warm-up has no figure",
    "too short": "too short: {epochs} epochs in one process after warm-up, and it takes {needed}",
    "few epochs": "{epochs} epochs, and it cannot fire in fewer than {needed}",
    "no row": "{epochs} epochs, but in no process {needed} looks in a row",
}
"""Why a series tells nothing of a check."""


def check_title(name: str, declared: DeclaredCheck | None, case: str, most: float | None, error_rate: float) -> str:
    """What a check says has to hold, on one line. `most` is what an interval has to lie below, None where there is no
    yardstick."""
    if declared is None:
        return one_line(name)
    combination = name.removeprefix(declared.name).strip("[]").replace(",", ", ")
    title = f"{declared.title}, at {combination}" if combination else declared.title
    if most is None:
        return one_line(title)
    interval = f"{(1 - error_rate) * 100:g} % interval"
    scale = UNITS["1/epoch"][0]
    if isinstance(declared.judged, BySpread):
        scale = guess(read_case(case), declared.judged.metric).scale
    limit = f"{most * scale.factor:g} {scale.unit}"
    return one_line(title.replace("{interval}", interval).replace("{most}", limit))


def yardstick_of(declared: DeclaredCheck, policy: Policy) -> float | None:
    """What an interval has to lie below by the policy; None for a check that has no yardstick."""
    judged = declared.judged
    return policy.yardsticks[judged.yardstick] if isinstance(judged, (ByTrend, BySpread)) else None


def cell_in_words(cell: CheckCell) -> str:
    """`held`, or `failed in 1 of 3 runs`."""
    return outcome_in_runs(cell.outcome, cell.alike, cell.runs)


def outcome_in_runs(outcome: str, alike: int, runs: int) -> str:
    """An outcome, and in how many of several runs it came so."""
    return outcome if runs == 1 else f"{outcome} in {alike} of {runs} runs"


def lines_of(cell: CheckCell) -> list[str]:
    """What was seen of a check on one pin, line by line."""
    return [*map(sight_in_words, cell.sights), *([f"and {cell.more} more"] if cell.more else [])]


def said_in(cell: CheckCell) -> str:
    """The same on one line and without a full stop."""
    return "; ".join(lines_of(cell)).rstrip(".")


def sight_in_words(sight: Sight) -> str:
    """What was seen, with its round where that has to be told."""
    said = one_line(seen_in_words(sight.seen))
    return said if sight.round is None else f"round {sight.round + 1}: {said}"


def seen_in_words(seen: Seen) -> str:
    """What one run, or all of a pin's, showed of a check."""
    if isinstance(seen, Said):
        return seen.text
    if isinstance(seen, NotMade):
        return "a run did not make this check"
    if isinstance(seen, Untold):
        return UNTOLD[seen.kind].format(epochs=seen.epochs, needed=seen.needed)
    return measure_in_words(seen)


def measure_in_words(seen: Growth | Spread | NoSpread | Grew | DidNotGrow) -> str:
    """What was worked out from what runs left."""
    if isinstance(seen, Growth):
        growth, low, high = (signed(f"{share * 100:+,.3f}") for share in (seen.estimate, seen.low, seen.high))
        return f"{growth} % an epoch [{low}, {high}], {seen.epochs} epochs"
    if isinstance(seen, Spread):
        spread, low, high = (seen.quantity.shown(value) for value in (seen.estimate, seen.low, seen.high))
        return f"{spread} {seen.quantity.scale.unit} [{low}, {high}], {seen.n} seeds"
    if isinstance(seen, NoSpread):
        if seen.absent:
            return absent_in_words(seen.absent)
        return f"all {seen.n} seeds end at the same value, from which no interval follows"
    if isinstance(seen, Grew):
        return f"it fires at epoch {seen.epoch + 1}: {', '.join(map(grown_by, seen.ratios))}"
    return f"{seen.epochs} epochs; the largest growth in {seen.looks} of them is {grown_by(seen.largest)}"


def grown_by(ratio: float) -> str:
    """A ratio as a growth: `+3.4 %`."""
    return signed(f"{(ratio - 1) * 100:+.1f}") + " %"
