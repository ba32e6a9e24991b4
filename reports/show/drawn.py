"""Which machines figures and plots are drawn of, where a report has many."""

from __future__ import annotations

from collections.abc import Sequence

from reports.show.verdict_file import Told

MOST = 12
"""Machines that are drawn: a page of more takes minutes to make and is too large to open."""
RANKS = ("hold", "inconclusive", "upgrade")
"""Verdicts, those first that a reader wants to see the reasons of."""


def drawn_of(told: Sequence[Told]) -> list[Told]:
    """All machines, or of many those with the least good verdicts; in their order."""
    ranked = sorted(range(len(told)), key=lambda place: (rank_of(told[place]), place))
    return [told[place] for place in sorted(ranked[:MOST])]


def rank_of(told: Told) -> int:
    """The place in `RANKS` of a machine's least good verdict; beyond them where there is none."""
    return min((RANKS.index(one.decision) for one in told.machine.verdict.candidates), default=len(RANKS))


def left_out(told: Sequence[Told]) -> str:
    """The sentence that says how many are not drawn; empty where all are."""
    if len(told) <= MOST:
        return ""
    return f"Drawn are {MOST} machines of {len(told)}, those with the least good verdicts; the tables have all."
