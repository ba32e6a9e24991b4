"""What pins read of one another: for each kind of file a small table, those that wrote it by those that read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.core.declaration import BetweenPins
from reports.judge.statements import CheckCell, CheckRow, Said
from reports.show.checks import cell_in_words, lines_of
from reports.show.text import one_line, superscript

MOST_WARNINGS = 2
"""Of one cell that are told; the record has all."""
LEGEND = (
    "Rows are the pins that saved, columns those that load. ✓: it loads, and outputs and the next step have all bits "
    "of the pin that saved. ≈: they differ by this share. !: with a warning. ✗: it fails. ?: it cannot be told. "
    "\N{EN DASH}: no run ended well. What the baseline saved speaks for or against a candidate; the other rows say "
    "what the way back costs."
)


@dataclass(frozen=True)
class BetweenCell:
    """What one pin made of what another wrote. `kind`: same, close, warned, failed, open, or absent where no run
    ended well; `text` has its mark, with figures, and the marks of its notes."""

    kind: str
    text: str


@dataclass(frozen=True)
class BetweenTable:
    """One kind of file: by the pins that wrote it a cell for every pin. `notes` are numbered and may hold foreign text;
    `advice` is for where it fails, empty where it nowhere does."""

    what: str
    lines: list[tuple[str, list[BetweenCell]]]
    notes: list[tuple[int, str]]
    advice: str


@dataclass
class Notes:
    """The notes of one block, each kind's its own, numbered through."""

    last: int = 0
    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """The mark of a note."""
        if text not in self.numbers:
            self.last += 1
            self.numbers[text] = self.last
        return superscript(self.numbers[text])

    def taken(self) -> list[tuple[int, str]]:
        """Those of the kind that ends here."""
        found = [(number, text) for text, number in self.numbers.items()]
        self.numbers = {}
        return found


def between_pins(rows: Sequence[CheckRow]) -> list[BetweenTable]:
    """The tables of a case, in the order of its declaration; none where none of its checks is between pins."""
    notes = Notes()
    order: dict[str, list[CheckRow]] = {}
    for row in rows:
        if row.writer:
            order.setdefault(row.name.partition(":")[0], []).append(row)
    return [table_of(own, notes) for own in order.values()]


def table_of(rows: Sequence[CheckRow], notes: Notes) -> BetweenTable:
    """One kind of file."""
    declared = rows[0].declared
    assert declared is not None
    assert isinstance(declared.judged, BetweenPins)
    lines = [(row.writer, [cell_of(cell, notes) for cell in row.cells]) for row in rows]
    failed = any(cell.kind == "failed" for _, cells in lines for cell in cells)
    return BetweenTable(declared.judged.what, lines, notes.taken(), declared.judged.advice if failed else "")


def cell_of(cell: CheckCell | None, notes: Notes) -> BetweenCell:
    """One cell: told by the worst of its runs."""
    if cell is None:
        return BetweenCell("absent", "\N{EN DASH}")
    marks = " ".join(notes.mark(text) for text in notes_of(cell))
    some = f" {cell_in_words(cell)}" if cell.alike < cell.runs else ""
    if cell.outcome != "held":
        return BetweenCell(cell.outcome, f"{'✗' if cell.outcome == 'failed' else '?'}{some}{marks}")
    said = [sight.seen for sight in cell.sights if isinstance(sight.seen, Said)]
    apart = max((one.apart for one in said if one.apart is not None), default=0.0)
    kind, text = ("close", f"≈ {apart:.0e}") if apart else ("same", "✓")
    return BetweenCell("warned", f"{text} !{marks}") if marks else BetweenCell(kind, text + some)


def notes_of(cell: CheckCell) -> Iterator[str]:
    """What is to be told of a cell beside its mark."""
    if cell.outcome != "held":
        yield from lines_of(cell)
    warned = dict.fromkeys(text for one in cell.sights if isinstance(one.seen, Said) for text in one.seen.warnings)
    if warned:
        told = [one_line(text, 160) for text in [*warned][:MOST_WARNINGS]]
        more = len(warned) - len(told)
        yield "warns: " + "; ".join([*told, *([f"and {more} more"] if more else [])])
