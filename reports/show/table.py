"""The cross-version table: rows are metrics, columns pins; what is not there is said in its cell, the reason below."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from reports.judge.checks import CheckRow
from reports.evidence.pairing import Difference, Place, Refusal, differences
from reports.evidence.figures import NOT_MEASURED, Matrix
from reports.judge.findings import Finding
from reports.judge.machines import Machine
from reports.evidence.units import Quantity
from reports.show.preamble import Preamble, preamble_of
from reports.judge.spread import spread_of
from reports.show.text import one_line, rounds_in_words, sentence, superscript

VERSUS = "↳ vs baseline"
TO = "\N{EN DASH}"
MOST_NOTES = 3
"""Reasons that one cell refers to; the rest are in table.csv."""


Findings = dict[tuple[str, str, str], Finding]
"""By case, metric and pin."""

Cell = tuple[str, ...]
"""Lines of figures and words of our own with the marks of footnotes, never foreign text."""


@dataclass(frozen=True)
class Row:
    """A heading, which may hold foreign text, and a cell per pin."""

    heading: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """One case: its rows, and every run (heading, round, cell per pin). `remarks` say how its metrics were taken."""

    case: str
    rows: list[Row]
    every_run: list[tuple[str, int, tuple[Cell, ...]]]
    remarks: list[str]
    checks: list[CheckRow]


@dataclass(frozen=True)
class Table:
    """All that is shown. The first of `pins` is the baseline; footnotes are numbered from 1, in order."""

    preamble: Preamble
    pins: list[str]
    blocks: list[Block]
    footnotes: list[str]


@dataclass
class Footnotes:
    """Numbers for sentences, in the order in which they are first needed."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """The number of this footnote."""
        return self.numbers.setdefault(text, len(self.numbers) + 1)


def build_table(machine: Machine, frame: pd.DataFrame) -> Table:
    """The table of a machine; `frame` is the tidy form of its matrix."""
    footnotes = Footnotes()
    matrix = machine.matrix
    by_case = dict(list(frame.groupby("case", sort=False)))
    found = {(one.case, one.quantity.name, one.pin): one for one in machine.findings}
    blocks = [
        block_of(case, matrix, by_case[case], found, machine.refused, machine.checks.get(case, []), footnotes)
        for case in matrix.plan.cases
    ]
    return Table(preamble_of(matrix, machine.refused, machine.verdict), matrix.pins, blocks, list(footnotes.numbers))


def block_of(
    case: str,
    matrix: Matrix,
    frame: pd.DataFrame,
    findings: Findings,
    refused: dict[Place, Refusal],
    checks: list[CheckRow],
    footnotes: Footnotes,
) -> Block:
    """The block of one case."""
    rows: list[Row] = []
    every_run: list[tuple[str, int, tuple[Cell, ...]]] = []
    by_metric = dict(list(frame.groupby("metric", sort=False)))
    for quantity in matrix.quantities[case]:
        part = by_metric[quantity.name]
        by_pin = dict(list(part.groupby("pin", sort=False)))
        cells = tuple(value_cell(by_pin.get(pin), quantity, matrix, footnotes) for pin in matrix.pins)
        rows.append(Row(quantity.heading(), cells))
        if len(matrix.pins) > 1:
            judged = [findings.get((case, quantity.name, pin)) for pin in matrix.pins[1:]]
            found = differences(part, quantity, matrix.pins, refused)
            cells_ = [
                finding_cell(one) if one and one.measured else difference_cell(found[pin], quantity, one)
                for pin, one in zip(matrix.pins[1:], judged, strict=True)
            ]
            rows.append(Row(VERSUS, (("—",), *cells_)))
        every_run += [(quantity.heading(), *line) for line in lines_by_round(part, quantity, matrix)]
    return Block(case, rows, every_run, remarks_of(case, matrix), checks)


def value_cell(rows: pd.DataFrame | None, quantity: Quantity, matrix: Matrix, footnotes: Footnotes) -> Cell:
    """One metric of one pin: the median with its range, and what is not there."""
    if rows is None:  # the plan has no run of this cell
        return ("not planned",)
    values = rows["value"].dropna()
    marks = marks_of(rows[rows["value"].isna()], matrix, footnotes)
    if values.empty:
        counts = Counter(str(status) for status in rows["status"])
        return tuple(
            (status if count == len(rows) else f"{status} ({count} of {len(rows)})") + marks[status]
            for status, count in counts.items()
        )
    if quantity.scale.comparison == "spread":
        spread = spread_of([float(value) for value in values])
        return (NOT_MEASURED if spread is None else quantity.shown(spread), f"{len(values)} seeds")
    text = quantity.shown(float(values.median()))
    if matrix.plan.rounds_of(str(rows["case"].iloc[0])) > 1:
        text += f" ({quantity.shown(float(values.min()))}{TO}{quantity.shown(float(values.max()))})"
    return (text, f"{len(values)} of {len(rows)} runs" + " ".join(marks.values())) if marks else (text,)


def marks_of(rows: pd.DataFrame, matrix: Matrix, footnotes: Footnotes) -> dict[str, str]:
    """For the runs of one cell that have no value: by status, the marks of the footnotes that give the reasons."""
    rounds: dict[str, dict[str, list[int]]] = {}
    for status, reason, index in zip(rows["status"], rows["reason"], rows["round"], strict=True):
        rounds.setdefault(str(status), {}).setdefault(str(reason), []).append(int(index))
    marks = {}
    for status, reasons in rounds.items():
        notes = []
        for reason, indices in list(reasons.items())[:MOST_NOTES]:
            # what was not measured often has one reason on all pins, and the mark tells which cells it is about
            planned = matrix.plan.rounds_of(str(rows["case"].iloc[0]))
            pin = one_line(str(rows["pin"].iloc[0])) + rounds_in_words(indices, planned)
            whose = "" if status == NOT_MEASURED else f"{pin}, "
            notes.append(f"{whose}{status}: {sentence(reason)}")
        if len(reasons) > MOST_NOTES:
            notes.append("Further reasons are in the column `reason` of table.csv.")
        marks[status] = " ".join(superscript(footnotes.number(note)) for note in notes)
    return marks


def finding_cell(found: Finding) -> Cell:
    """One finding: estimate, interval, and what they amount to."""
    return (*found.estimate_and_interval(), found.outcome)


def difference_cell(difference: Difference, quantity: Quantity, judged: Finding | None) -> Cell:
    """The median difference, with the number of pairs where some run has none; or that there is nothing to compare.
    Where the policy judges the metric, that there is no finding: why is among the reasons of the verdict."""
    if difference.value is None:
        return ("not compared" if difference.refused else "no pair",)
    if quantity.scale.comparison == "spread":  # of deviations there is no median that says anything
        return ("no finding" if judged else "not judged",)
    some = f" ({difference.pairs} of {difference.runs} pairs)" if difference.pairs < difference.runs else ""
    text = quantity.shown_difference(difference.value) + some
    return (text, "no finding") if judged else (text,)


def lines_by_round(rows: pd.DataFrame, quantity: Quantity, matrix: Matrix) -> list[tuple[int, tuple[Cell, ...]]]:
    """Every run of one metric: a line per round, so that what is paired stands side by side."""
    cells: dict[tuple[int, str], Cell] = {}
    for index, pin, status, value in zip(rows["round"], rows["pin"], rows["status"], rows["value"], strict=True):
        cells[int(index), str(pin)] = (str(status) if pd.isna(value) else quantity.shown(float(value)),)
    absent = ("not planned",)
    return [
        (index + 1, tuple(cells.get((index, pin), absent) for pin in matrix.pins))
        for index in range(matrix.plan.rounds_of(str(rows["case"].iloc[0])))
    ]


def remarks_of(case: str, matrix: Matrix) -> list[str]:
    """What records say about how a metric was taken, such as which clock; with the pins where not all say it."""
    said: dict[tuple[str, str], dict[str, None]] = {}
    done: dict[str, None] = {}
    for observation in matrix.observations:
        if observation.spec.case == case and observation.status == "ok":
            done[observation.spec.pin.name] = None
            for name, note in observation.notes.items():
                said.setdefault((name, note), {})[observation.spec.pin.name] = None
    titles = {quantity.name: quantity.title for quantity in matrix.quantities[case]}
    return [
        f"{titles.get(name, name)}{'' if len(pins) == len(done) else ' (' + ', '.join(pins) + ')'}: {sentence(note)}"
        for (name, note), pins in said.items()
    ]
