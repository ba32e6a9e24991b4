"""Words that all views share: lists, numbers of things, and why something is not there."""

from __future__ import annotations

from collections.abc import Sequence

from reports.evidence.figures import Absent
from reports.evidence.pairing import HASHES, Refusal
from reports.evidence.store import Trouble
from reports.judge.verdict import without_build
from reports.show.text import LONGEST, one_line

NOT_MEASURED = "not measured"
"""What stands for a figure that an ok run does not have, and for a finding without an estimate."""

ABSENT = {
    "unlearnt": "it never left 0 in any run: nothing was learnt that could be compared",
    "unchanged": "it is exactly 0 in every run: nothing was learnt, or nothing was changed",
    "lonely": "one seed has no spread",
    "no samples": "the record holds no samples",
    "not finite": "its samples are not all finite numbers",
    "nothing said": "the record has neither a figure nor a reason",
}
"""Why a run has no figure, where no number tells it."""

ENDED = {"failed": "failed", "missing": "{are} missing", "unsupported": "{are} unsupported"}
"""What became of runs, as the end of a sentence."""


def shown_as(pins: Sequence[str]) -> str:
    """One pin by its name; those that differ between machines by their versions."""
    return pins[0] if len(set(pins)) == 1 else " and ".join(dict.fromkeys(map(without_build, pins)))


def listed_in_words(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; with `last` in place of `and`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def some(names: Sequence[str], most: int = 6) -> str:
    """The first of many names, and how many more there are."""
    more = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return "; ".join([*names[:most], *more])


def counted(number: int, noun: str) -> str:
    """`1 round`, `3 rounds`; the noun is given as more than one."""
    return f"{number:,} {noun.removesuffix('s') if number == 1 else noun}"


def trouble_in_words(trouble: Trouble | None, longest: int = LONGEST) -> str:
    """Why a run is not ok, on one line of at most so many characters."""
    if trouble is None:
        return ""
    if trouble.kind == "not done":
        return "There is no record of it: the run was not done."
    if trouble.kind == "stale":
        what = f"{trouble.detail} of the record" if trouble.detail else "the identity that the record carries"
        return f"stale: {what} and of the plan differ, so the run has to be done again."
    reason = trouble.detail if trouble.kind == "recorded" else "The record gives no reason."
    return one_line(f"{reason} Its log ends with: {trouble.log}" if trouble.log else reason, longest)


def absent_in_words(absent: Absent, longest: int = LONGEST) -> str:
    """Why a run has no figure of a metric, on one line of at most so many characters."""
    if absent.kind == "recorded":
        return one_line(absent.detail, longest)
    if absent.kind in ABSENT:
        return ABSENT[absent.kind]
    recorded = "a sample of it was recorded" if absent.kind == "too large" else "it was recorded"
    return one_line(f"{recorded} as {absent.detail}, which cannot be true")


def refusal_in_words(refusal: Refusal) -> str:
    """What two records do not share, up to the name of the second."""
    if not refusal.differing:
        return "there are no hashes here or in"
    differs = "differs from that in" if len(refusal.differing) == 1 else "differ from those in"
    return f"the {' and the '.join(map(differing_in_words, refusal.differing))} {differs}"


def differing_in_words(name: str) -> str:
    """One thing that two records do not share."""
    return one_line(HASHES.get(name, name))


def ended_in_words(runs: int, statuses: Sequence[str]) -> str:
    """What became of so many runs: `failed`, `are missing`, `failed or are missing`."""
    said = [ENDED[status].format(are="is" if runs == 1 else "are") for status in statuses]
    return " or ".join(said)
