"""What a plan will be able to tell, on a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.evidence.earlier import Earlier
from reports.judge.foresight import CaseForesight, Foreseen, Foresight
from reports.judge.statistics import POWER
from reports.show.limits import NONE
from reports.show.terminal import heading_text, plain_table, wrapped
from reports.show.text import one_line
from reports.show.words import counted, listed_in_words

NOT_KNOWN = (
    "What this plan will be able to tell is not known yet: no earlier matrix of this profile has been run on this "
    "machine."
)
NOTHING_GATES = "This plan measures nothing that gates, so it will tell nothing that a verdict rests on."


def foresight_on_terminal(foresight: Foresight) -> str:
    """The smallest effects with what they rest on; one sentence where nothing is known."""
    if not foresight.cases:
        return wrapped("", NOTHING_GATES)
    known = [one for one in foresight.cases if one.earlier]
    unknown = [one.case for one in foresight.cases if not one.earlier]
    if not known:
        return wrapped("", NOT_KNOWN)
    parts = [wrapped("", heading(foresight)), *(case_on_terminal(one, foresight.score) for one in known if one.metrics)]
    parts += [wrapped("", sentence) for sentence in [*sources(known), *not_yet(unknown)]]
    return "\n\n".join(parts)


def heading(foresight: Foresight) -> str:
    """What the numbers mean."""
    return (
        "What this plan will be able to tell: the smallest effect of each gating metric that is found with a chance "
        f"of {POWER * 100:.0f} %. The level is the strictest of Holm's procedure: {foresight.error_rate:.3g} for "
        f"{counted(foresight.findings, 'gating findings')} together, so {foresight.level:.2g} for one."
    )


def case_on_terminal(one: CaseForesight, score: str) -> str:
    """The table of one case. `score` is the metric without which accuracy can be shown."""
    head = [f"case {one.case}", "margin", "smallest effect", "rests on", ""]
    rows = [row_of(metric, by_step=metric.quantity.name == score) for metric in one.metrics]
    return plain_table([list(column) for column in zip(head, *rows, strict=True)])


def row_of(metric: Foreseen, *, by_step: bool) -> list[str]:
    """The line of one metric."""
    smallest = NONE if metric.smallest is None or math.isinf(metric.smallest) else metric.show(metric.smallest)
    rests_on = NONE if metric.smallest is None else counted(metric.n, metric.pairs)
    said = said_of(metric) + (";\nthe same step can\nshow accuracy" if by_step and not metric.told else "")
    return [heading_text(metric.quantity.title), metric.show(metric.rules.margin), smallest, rests_on, said]


def said_of(metric: Foreseen) -> str:
    """Whether a change as large as the margin will be seen, and if not what it would take."""
    if metric.smallest is None:
        return "not known: that matrix\nhas not measured it"
    if metric.told:
        return "can be told"
    if metric.rules.margin == 0:
        return "whatever is shown counts"
    if metric.needed is None:
        return "no practical number\nof rounds would do"
    return f"too few rounds: it\nwould take about {metric.needed:,}"


def sources(known: Sequence[CaseForesight]) -> list[str]:
    """Where the noise was seen, a sentence for each earlier matrix."""
    cases: dict[str, list[str]] = {}
    for one in known:
        if one.earlier:
            cases.setdefault(source(one.earlier), []).append(one.case)
    return [f"The noise of {listed_in_words(names)} is that of {where}." for where, names in cases.items()]


def source(earlier: Earlier) -> str:
    """The folder of an earlier matrix and its day."""
    return ", ".join([one_line(str(earlier.folder)), *([earlier.day.isoformat()] if earlier.day else [])])


def not_yet(cases: Sequence[str]) -> list[str]:
    """What has not been run here before."""
    if not cases:
        return []
    return [
        f"What it will be able to tell of {listed_in_words(cases)} is not known yet: no earlier matrix on this machine "
        "has measured that with these settings."
    ]
