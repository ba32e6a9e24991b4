"""The overview: every finding of every machine on one axis, in units of its metric's margin. `forest` draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.spec import TWIN
from reports.judge.statements import CandidateVerdict, Control, Finding, MachineVerdict, OfCheck, Outcome
from reports.show.accuracy import accuracy_in_short
from reports.show.drawn import drawn_of, left_out
from reports.show.findings import Words, estimate_and_interval, margin_in_words, why_in_words
from reports.show.preamble import rounds_planned
from reports.show.text import one_line
from reports.show.verdict_file import Told

LIMIT = 5.0
"""Margins that the axis shows to either side: by how much more a change is too large is said in its text."""
LONGEST_NAME = 80
"""Characters of a name that are kept; the drawing cuts off what its column has no room for."""


@dataclass(frozen=True)
class Mark:
    """A place on the axis, in margins, worse to the right. `beyond`: it lies farther out, and the axis' edge stands for
    it with an arrow."""

    at: float
    beyond: bool


@dataclass(frozen=True)
class Bar:
    """An estimate and the ends of its interval."""

    left: Mark
    estimate: Mark
    right: Mark


@dataclass(frozen=True)
class Line:
    """One pin on one metric. `place`: the pin's among the candidates, None for the control A/A."""

    pin: str
    place: int | None
    outcome: Outcome
    estimate: str
    interval: str
    bar: Bar | None
    """None where there is no estimate."""
    why: str
    """Why there is none."""


@dataclass(frozen=True)
class Group:
    """One metric: its margin in words, whether it gates, a line for every pin but the baseline. `note`: what else shows
    that it is not worse, of which pins, where its own findings are open; or empty."""

    title: str
    margin: str
    gates: bool
    lines: list[Line]
    note: str


@dataclass(frozen=True)
class Entry:
    """A pin in the head of a panel, with what is said of it in short."""

    pin: str
    place: int | None
    said: str


@dataclass(frozen=True)
class Panel:
    """One machine."""

    baseline: str
    machine: str
    measured: str
    """How often, and when last; and what the policy requires that was not."""
    entries: list[Entry]
    groups: list[Group]


def panels_of(told: Sequence[Told]) -> list[Panel]:
    """What the overview shows of each machine that is drawn."""
    return [panel_of(one) for one in drawn_of(told)]


def panel_of(told: Told) -> Panel:
    """What the overview shows of one machine."""
    matrix, verdict = told.machine.matrix, told.machine.verdict
    places = {one.pin: place for place, one in enumerate(verdict.candidates)}
    said = {one.pin: said_of(one) for one in verdict.candidates}
    if TWIN in matrix.pins[1:]:
        said[TWIN] = noise_of(verdict.control)
    days = matrix.days
    rounds = rounds_planned(matrix.plan, "rounds")
    findings = told.machine.findings
    absent = dict.fromkeys(one.why.case for one in findings if one.why and one.why.kind == "case not planned")
    return Panel(
        baseline=named(matrix.pins[0]),
        machine=named(verdict.label),
        measured=", ".join(
            [rounds, f"last run {days[-1]}" if days else "no run yet", *(f"without {case}" for case in absent)]
        ),
        entries=[Entry(named(pin), places.get(pin), text) for pin, text in said.items()],
        groups=groups_of(list(said), verdict, [one for one in findings if one.case], places, told.words),
    )


def named(text: str) -> str:
    """Foreign text on one line."""
    return one_line(text, LONGEST_NAME)


def said_of(verdict: CandidateVerdict) -> str:
    """A candidate's verdict in short, with what no line below tells."""
    if verdict.cannot_run:
        return f"{verdict.decision} (cannot run here)"
    broken = any(isinstance(reason, OfCheck) for reason in verdict.of_role("holds"))
    return f"{verdict.decision} (a check fails)" if broken else verdict.decision


def noise_of(control: Control) -> str:
    """What the control A/A tells, in short."""
    return f"{control.state} control" if control.state in ("quiet", "noisy") else "control not measured"


def groups_of(
    pins: Sequence[str], verdict: MachineVerdict, findings: Sequence[Finding], places: dict[str, int], words: Words
) -> list[Group]:
    """The findings by metric: those that gate first, otherwise in their own order; within one the pins in theirs."""
    by_metric: dict[tuple[str, str], dict[str, Finding]] = {}
    for one in findings:
        by_metric.setdefault((one.quantity.key, one.case), {})[one.pin] = one
    groups = []
    for found in by_metric.values():
        first = next(iter(found.values()))
        lines = [line_of(found[pin], places.get(pin)) for pin in pins if pin in found]
        note = same_step_of([*found.values()], verdict, words)
        groups.append(Group(named(words.title(first)), margin_in_words(first), first.rules.gates, lines, note))
    return sorted(groups, key=lambda group: not group.gates)


def same_step_of(findings: Sequence[Finding], verdict: MachineVerdict, words: Words) -> str:
    """That accuracy is shown by the same step where findings on the score leave it open, and of which pins: else nobody
    could see why such a candidate is an upgrade. Empty where there is none."""
    pins: dict[str, list[str]] = {}
    for candidate in verdict.candidates:
        for one in candidate.accuracy:
            if one.shown == "by the same step" and one.score in findings:
                pins.setdefault(accuracy_in_short(one, words), []).append(named(candidate.pin))
    return "; ".join(f"{said[:1].upper()}{said[1:]}: {', '.join(names)}" for said, names in pins.items())


def line_of(found: Finding, place: int | None) -> Line:
    """One finding as a line."""
    if found.measured:
        return Line(named(found.pin), place, found.outcome, *estimate_and_interval(found), bar=bar_of(found), why="")
    said = "no finding" if found.n else "not measured"
    return Line(named(found.pin), place, found.outcome, said, "", bar=None, why=why_in_words(found.why))


def bar_of(found: Finding) -> Bar | None:
    """Where estimate and interval lie; None where there is none."""
    if found.estimate is None or found.low is None or found.high is None:
        return None
    left, right = sorted((in_margins(found, found.low), in_margins(found, found.high)))
    return Bar(mark_at(left), mark_at(in_margins(found, found.estimate)), mark_at(right))


def in_margins(found: Finding, value: float) -> float:
    """A difference in margins, worse above 0. Shares are placed by their log-ratio, as they are judged, so that what is
    drawn within the margin was found to be. Where the margin is 0, anything but 0 is beyond every axis."""
    margin = found.rules.margin
    if found.quantity.relative:
        value, margin = math.log1p(value) if value > -1 else -math.inf, math.log1p(margin)
    if value == 0:
        return 0.0
    worse = value if found.quantity.better == "lower" else -value
    return worse / margin if margin else math.copysign(math.inf, worse)


def mark_at(margins: float) -> Mark:
    """A place on the axis, or the edge that stands for it."""
    return Mark(max(-LIMIT, min(LIMIT, margins)), abs(margins) > LIMIT)


def alt_text(told: Sequence[Told]) -> str:
    """The overview in words, for who cannot see it."""
    what = "Each candidate against the baseline on each metric, in units of the metric's margin."
    return " ".join(filter(None, [what, left_out(told), *map(panel_in_words, panels_of(told))]))


def panel_in_words(panel: Panel) -> str:
    """One machine in words."""
    said = [entry_in_words(entry, panel) for entry in panel.entries] or ["There is no candidate."]
    notes = [f"{group.note}." for group in panel.groups if group.note]
    return " ".join([f"{panel.machine}, against {panel.baseline}, {panel.measured}.", *said, *notes])


def entry_in_words(entry: Entry, panel: Panel) -> str:
    """What is said of one pin, and its findings by their outcome; those that tell a difference with their numbers."""
    found: dict[str, list[str]] = {"worse": [], "better": [], "equivalent": [], "inconclusive": []}
    for group in panel.groups:
        for line in group.lines:
            if (line.pin, line.place) == (entry.pin, entry.place):
                differs = line.outcome in ("worse", "better")
                title = f"{group.title} {line.estimate} {line.interval}" if differs else group.title
                found.setdefault(line.outcome if line.bar else line.estimate, []).append(title)
    parts = [f" {outcome.capitalize()}: {'; '.join(titles)}." for outcome, titles in found.items() if titles]
    return f"{entry.pin}: {entry.said}.{''.join(parts)}"
