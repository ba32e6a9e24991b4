"""The cross-version table: rows are metrics, columns pins; what is not there is said in its cell, the reason below."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from reports.evidence.figures import Matrix
from reports.evidence.pairing import Difference, differences
from reports.evidence.units import Quantity
from reports.judge.spread import spread_of
from reports.judge.statements import CheckCell, Finding, Likeness
from reports.show.attribution import BreakdownTold, breakdowns_told
from reports.show.between import BetweenTable, between_pins
from reports.show.checks import cell_in_words, lines_of
from reports.show.findings import SMALL, differs_little, estimate_and_interval
from reports.show.fingerprints import likeness_in_words
from reports.show.plots import Plot
from reports.show.preamble import Preamble, preamble_of
from reports.show.probes import ProbesTold, is_probe, probes_told
from reports.show.text import one_line, rounds_in_words, sentence, superscript
from reports.show.tidy import state_of
from reports.show.tradeoffs import knees_in_words
from reports.show.verdict_file import Told
from reports.show.words import NOT_MEASURED, some

VERSUS = "↳ vs baseline"
TO = "\N{EN DASH}"
NOT_PLANNED = "not planned"
MOST_NOTES = 3
"""Reasons that one cell refers to; the rest are in table.csv."""
MOST_PINS = 12
"""Of a table of all pairs of pins: of more, only the pairs with the baseline are shown."""

Cell = tuple[str, ...]
"""Lines of figures and words of our own with the marks of footnotes, never foreign text."""


class State(NamedTuple):
    """What a run says about a metric: a value, or why there is none."""

    round: int
    status: str
    value: float | None
    reason: str


@dataclass(frozen=True)
class Row:
    """A heading, which may hold foreign text, and a cell per pin."""

    heading: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CheckText:
    """One check on one pin: its outcome, in how many runs, and what was seen, which may hold foreign text."""

    outcome: str
    text: str
    seen: list[str]


@dataclass(frozen=True)
class CheckLine:
    """One check, and a cell per pin; None where no run ended well."""

    title: str
    cells: list[CheckText | None]


@dataclass(frozen=True)
class PrintCell:
    """What two pins have in common in one fingerprint. `short` leaves out the values that differ."""

    kind: str
    text: str
    short: str


@dataclass(frozen=True)
class Prints:
    """The fingerprints of one case: a heading for each, and a row for each pair of pins. `notes` are on them all."""

    headings: list[str]
    rows: list[tuple[str, list[PrintCell]]]
    notes: list[str]


@dataclass(frozen=True)
class Block:
    """One case: its rows, and every run: of each metric its heading, and by round a cell per pin. `remarks` say how the
    metrics were taken; `prints` is None where no fingerprint could be compared, `probes` where the case has none."""

    case: str
    rows: list[Row]
    every_run: list[tuple[str, list[tuple[Cell, ...]]]]
    remarks: list[str]
    checks: list[CheckLine]
    between: list[BetweenTable]
    """Of the checks those between pins."""
    prints: Prints | None
    probes: ProbesTold | None
    breakdowns: list[tuple[BreakdownTold, Plot]]


@dataclass(frozen=True)
class Table:
    """All that is shown. The first of `pins` is the baseline; footnotes are numbered from 1, in order."""

    preamble: Preamble
    pins: list[str]
    blocks: list[Block]
    footnotes: list[str]

    @property
    def attributed(self) -> bool:
        """Whether some case tells where its differences lie."""
        return any(block.breakdowns for block in self.blocks)


@dataclass
class Footnotes:
    """Texts by number, each once."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """The number of this footnote."""
        return self.numbers.setdefault(text, len(self.numbers) + 1)


def build_table(told: Told) -> Table:
    """The table of a machine."""
    footnotes = Footnotes()
    matrix = told.machine.matrix
    blocks = [block_of(told, case, footnotes) for case in matrix.plan.cases]
    return Table(preamble_of(told), matrix.pins, blocks, list(footnotes.numbers))


def block_of(told: Told, case: str, footnotes: Footnotes) -> Block:
    """The block of one case."""
    machine, matrix = told.machine, told.machine.matrix
    runs = {pin: matrix.runs_of(case, pin) for pin in matrix.pins}
    planned = matrix.plan.rounds_of(case)
    rows: list[Row] = []
    every_run: list[tuple[str, list[tuple[Cell, ...]]]] = []
    for quantity in matrix.quantities[case]:
        states = {
            pin: [State(one.spec.round, *state_of(one, quantity.key)) for one in own] for pin, own in runs.items()
        }
        cells = tuple(value_cell(pin, own, quantity, planned, footnotes) for pin, own in states.items())
        rows.append(Row(quantity.heading(), cells))
        if len(matrix.pins) > 1:
            rows.append(Row(VERSUS, (("—",), *versus_cells(told, case, quantity))))
        every_run.append((quantity.heading(), lines_by_round(states, quantity, planned)))
    return Block(
        case,
        rows,
        every_run,
        [*knees_in_words(machine, case), *remarks_of(case, matrix)],
        [
            CheckLine(told.words.check(row, case), [check_text(cell) if cell else None for cell in row.cells])
            for row in machine.checks.get(case, [])
            if not row.writer
        ],
        between_pins(machine.checks.get(case, [])),
        prints_of([one for one in machine.fingerprints.get(case, []) if not is_probe(one)], matrix.pins),
        probes_told(machine.probes.get(case, [])),
        breakdowns_told(machine, case),
    )


# --- figures --------------------------------------------------------------------------------------------------------


def value_cell(pin: str, states: Sequence[State], quantity: Quantity, planned: int, footnotes: Footnotes) -> Cell:
    """One metric of one pin: the median with its range, and what is not there."""
    if not states:  # the plan has no run of this cell
        return (NOT_PLANNED,)
    values = [one.value for one in states if one.value is not None]
    marks = marks_of(pin, states, planned, footnotes)
    if not values:
        counts = Counter(one.status for one in states)
        return tuple(
            (status if count == len(states) else f"{status} ({count} of {len(states)})") + marks[status]
            for status, count in counts.items()
        )
    if quantity.comparison == "spread":
        spread = spread_of(values)
        return (NOT_MEASURED if spread is None else quantity.shown(spread), f"{len(values)} seeds")
    text = quantity.shown(statistics.median(values))
    if planned > 1:
        text += f" ({quantity.shown(min(values))}{TO}{quantity.shown(max(values))})"
    return (text, f"{len(values)} of {len(states)} runs" + " ".join(marks.values())) if marks else (text,)


def marks_of(pin: str, states: Sequence[State], planned: int, footnotes: Footnotes) -> dict[str, str]:
    """For the runs of one cell that have no value: by status, the marks of the footnotes that give the reasons."""
    rounds: dict[str, dict[str, list[int]]] = {}
    for one in states:
        if one.value is None:
            rounds.setdefault(one.status, {}).setdefault(one.reason, []).append(one.round)
    marks = {}
    for status, reasons in rounds.items():
        notes = []
        for reason, indices in list(reasons.items())[:MOST_NOTES]:
            # what was not measured often has one reason on all pins, and the mark tells which cells it is about
            cells = one_line(pin) + rounds_in_words(indices, planned)
            whose = "" if status == NOT_MEASURED else f"{cells}, "
            notes.append(f"{whose}{status}: {sentence(reason)}")
        if len(reasons) > MOST_NOTES:
            notes.append("Further reasons are in the column `reason` of table.csv.")
        marks[status] = " ".join(superscript(footnotes.number(note)) for note in notes)
    return marks


def versus_cells(told: Told, case: str, quantity: Quantity) -> Iterator[Cell]:
    """One metric of each candidate against the baseline."""
    machine = told.machine
    found = {one.pin: one for one in machine.findings if (one.case, one.quantity.key) == (case, quantity.key)}
    candidates = machine.matrix.pins[1:]
    judged_all = all(pin in found and found[pin].measured for pin in candidates)
    described = {} if judged_all else differences(machine.matrix, case, quantity, machine.refused)
    for pin in candidates:
        judged = found.get(pin)
        if judged and judged.measured:
            yield (*estimate_and_interval(judged), *([SMALL] if differs_little(judged) else []), judged.outcome)
        else:
            yield difference_cell(described[pin], quantity, judged)


def difference_cell(difference: Difference, quantity: Quantity, judged: Finding | None) -> Cell:
    """The median difference, with the number of pairs where some run has none; or that there is nothing to compare.
    Where the policy judges the metric, that there is no finding: why is among the reasons of the verdict."""
    if difference.value is None:
        return ("not compared" if difference.refused else "no pair",)
    if quantity.comparison == "spread":  # of deviations there is no median that says anything
        return ("no finding" if judged else "not judged",)
    some = f" ({difference.pairs} of {difference.runs} pairs)" if difference.pairs < difference.runs else ""
    text = quantity.shown_difference(difference.value) + some
    return (text, "no finding") if judged else (text,)


def lines_by_round(states: dict[str, list[State]], quantity: Quantity, planned: int) -> list[tuple[Cell, ...]]:
    """Every run of one metric: a line per round, so that what is paired stands side by side."""
    cells: dict[tuple[int, str], Cell] = {}
    for pin, own in states.items():
        for one in own:
            cells[one.round, pin] = (one.status if one.value is None else quantity.shown(one.value),)
    return [tuple(cells.get((index, pin), (NOT_PLANNED,)) for pin in states) for index in range(planned)]


def remarks_of(case: str, matrix: Matrix) -> list[str]:
    """What records say about how a metric was taken, such as which clock; with the pins where not all say it."""
    said: dict[tuple[str, str], dict[str, None]] = {}
    done: dict[str, None] = {}
    for one in matrix.done:
        if one.spec.case == case:
            done[one.spec.pin.name] = None
            for name, note in one.notes.items():
                said.setdefault((name, note), {})[one.spec.pin.name] = None
    titles = {quantity.key: quantity.title for quantity in matrix.quantities[case]}
    return [
        f"{titles.get(name, name)}{'' if len(pins) == len(done) else ' (' + ', '.join(pins) + ')'}: {sentence(note)}"
        for (name, note), pins in said.items()
    ]


# --- checks and fingerprints ------------------------------------------------------------------------------------------


def check_text(cell: CheckCell) -> CheckText:
    """One check on one pin in words."""
    return CheckText(cell.outcome, cell_in_words(cell), lines_of(cell))


def prints_of(likenesses: Sequence[Likeness], pins: Sequence[str]) -> Prints | None:
    """The fingerprints of one case; None where none of them could be compared for any pair."""
    if all(one.kind == "not compared" for one in likenesses):
        return None
    shown = [one for one in likenesses if len(pins) <= MOST_PINS or one.first == pins[0]]
    declared = {one.declared.name: one.declared for one in shown}
    by_pair: dict[str, list[PrintCell]] = {}
    for one in shown:  # of every pair the fingerprints come in one order
        cell = PrintCell(one.kind, likeness_in_words(one), likeness_in_words(one, short=True))
        by_pair.setdefault(f"{one.first} and {one.second}", []).append(cell)
    rows = [(pair, cells) for pair, cells in by_pair.items() if not why_idle(cells)]
    notes = [f"{one.title}: known to differ: {sentence(one.differs)}" for one in declared.values() if one.differs]
    notes += idle_pairs(by_pair)
    if len(shown) < len(likenesses):
        notes.append("Of so many pins only the pairs with the baseline are shown: verdict.json has all.")
    return Prints([one.title for one in declared.values()], rows, notes)


def why_idle(cells: Sequence[PrintCell]) -> str:
    """Why nothing of a pair was compared, where that is the same for all fingerprints; else empty."""
    texts = {cell.text for cell in cells}
    return texts.pop() if len(texts) == 1 and cells[0].kind == "not compared" else ""


def idle_pairs(by_pair: dict[str, list[PrintCell]]) -> list[str]:
    """The pairs that have no row, and why."""
    reasons: dict[str, list[str]] = {}
    for pair, cells in by_pair.items():
        if why_idle(cells):
            reasons.setdefault(why_idle(cells), []).append(pair)
    return [f"{some(pairs)}: {sentence(why)}" for why, pairs in reasons.items()]
