"""The table on a terminal: plain text without colours or markup, in at most 100 columns where names allow it."""

from __future__ import annotations

import textwrap

from tabulate import MIN_PADDING, tabulate

from reports.show.between import LEGEND, BetweenTable
from reports.show.claims import counts_in_words
from reports.show.probes import TOLD, ProbesTold
from reports.show.table import Block, Cell, CheckLine, Prints, Table
from reports.show.text import one_line, superscript
from reports.show.verdict_file import VerdictFile
from reports.show.words import some

WIDTH = 100
LONGEST_NAME = 36
"""Characters of a pin's or metric's name."""
GAP = 2


def to_terminal(tables: list[Table], verdict: VerdictFile) -> str:
    """All but the listing of every run. Control characters in foreign text are spelt out."""
    parts = [table_on_terminal(table) for table in tables]
    if len(tables) > 1:
        parts.append(
            "\n".join(
                wrapped("", f"{one.version}: {one.verdict.upper()}. {one.sentence}") for one in verdict.candidates
            )
        )
    counts = counts_in_words([one.outcome for one in verdict.claims])
    return "\n\n".join([*parts, *([wrapped("", f"Claims: {counts}.")] if counts else [])])


def table_on_terminal(table: Table) -> str:
    """All that is to be said of one machine, but every run."""
    preamble = table.preamble
    parts = [one_line(preamble.title)]
    parts += [wrapped("WARNING: ", warning) for warning in preamble.warnings]
    parts.append(wrapped("", preamble.control))
    for one in preamble.verdicts:
        reasons = [wrapped("  - ", reason.sentence) for reason in one.reasons]
        parts.append("\n".join([f"{one_line(one.pin, LONGEST_NAME)}: {one.verdict.upper()}", *reasons]))
    parts.append("\n".join(wrapped("- ", sentence) for sentence in preamble.attributions))
    label_width = max(len(label) for label, _ in preamble.facts) + GAP
    parts.append("\n".join(wrapped(label.ljust(label_width), text) for label, text in preamble.facts))
    parts.append("\n".join(wrapped("", sentence) for sentence in preamble.sentences))
    parts += [block_on_terminal(block, table.pins) for block in table.blocks]
    parts.append("\n".join(wrapped("- ", line) for line in preamble.legend))
    if table.footnotes:
        notes = [wrapped(f"{superscript(number)} ", note) for number, note in enumerate(table.footnotes, 1)]
        parts.append("\n".join(["What is not there, and why:", *notes]))
    return "\n\n".join(part for part in parts if part) + "\n"


def wrapped(label: str, text: str) -> str:
    """A text over as many lines as it needs, indented below its label."""
    return textwrap.fill(
        one_line(text, 2000), WIDTH, initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False
    )


def block_on_terminal(block: Block, pins: list[str]) -> str:
    """One case: as few tables as fit the width, each with the baseline first."""
    head = ["case " + one_line(block.case, LONGEST_NAME), *headings(pins)]
    rows = [[heading_text(row.heading), *(cell_text(cell) for cell in row.cells)] for row in block.rows]
    columns = [list(column) for column in zip(head, *rows, strict=True)]
    tables = [plain_table([columns[0], columns[1], *group]) for group in groups(columns)]
    remarks = [wrapped("- ", remark) for remark in block.remarks]
    text = "\n\n".join(tables) + ("\n\n" + "\n".join(remarks) if remarks else "")
    checks = [check_on_terminal(line, pins) for line in block.checks]
    between = between_on_terminal(block.between, pins)
    prints = prints_on_terminal(block.prints) if block.prints else []
    probes = [probes_on_terminal(block.probes)] if block.probes else []
    return "\n\n".join([text, *checks, *between, *prints, *probes])


def heading_text(heading: str) -> str:
    """A row's heading, on as many lines as it needs in a narrow column."""
    return "\n".join(textwrap.wrap(one_line(heading, 2 * LONGEST_NAME), LONGEST_NAME, break_on_hyphens=False))


def check_on_terminal(line: CheckLine, pins: list[str]) -> str:
    """One check: its name, and below it a line for all pins that came out alike."""
    alike: dict[str, list[str]] = {}
    for pin, cell in zip(pins, line.cells, strict=True):
        said = "; ".join([cell.text, *(one_line(each) for each in cell.seen)]) if cell else "not made"
        alike.setdefault(said, []).append(one_line(pin, LONGEST_NAME))
    return under("Check: ", line.title, [f"{', '.join(names)}: {said}" for said, names in alike.items()])


def between_on_terminal(tables: list[BetweenTable], pins: list[str]) -> list[str]:
    """What pins read of one another: of each kind of file a line for every pin that wrote it, then notes and advice."""
    told = [wrapped("", LEGEND)] if tables else []
    for table in tables:
        lines = []
        for writer, cells in table.lines:
            read = (f"{one_line(pin, LONGEST_NAME)} {cell.text}" for pin, cell in zip(pins, cells, strict=True))
            lines.append(f"saved by {one_line(writer, LONGEST_NAME)}: {', '.join(read)}")
        lines += [f"{superscript(number)} {text}" for number, text in table.notes]
        told.append(under("", table.what, [*lines, *([table.advice] if table.advice else [])]))
    return told


def prints_on_terminal(prints: Prints) -> list[str]:
    """The fingerprints in short: each with the pairs of pins that are alike or differ alike in it."""
    told = []
    for place, title in enumerate(prints.headings):
        alike: dict[str, list[str]] = {}
        for pair, cells in prints.rows:
            alike.setdefault(cells[place].short, []).append(one_line(pair, 2 * LONGEST_NAME))
        told.append(under("Fingerprint: ", title, [f"{said}: {some(pairs)}" for said, pairs in alike.items()]))
    return [*told, *(["\n".join(wrapped("- ", note) for note in prints.notes)] if prints.notes else [])]


def probes_on_terminal(told: ProbesTold) -> str:
    """The probes in short: how many came out how in each step, and which changed."""
    changed = [one_line(row.title) for row in told.of(*TOLD)]
    lines = [wrapped("- ", line) for line in told.counts]
    return "\n".join(["Probes", *lines, *(wrapped("  - ", title) for title in changed)])


def under(label: str, heading: str, lines: list[str]) -> str:
    """Lines below a heading."""
    return "\n".join([wrapped(label, heading), *(wrapped("  - ", line) for line in lines)])


def groups(columns: list[list[str]]) -> list[list[list[str]]]:
    """The candidates' columns, parted so that each part fits beside the headings and the baseline."""
    room = WIDTH - width_of(columns[0]) - GAP - width_of(columns[1])
    parted: list[list[list[str]]] = [[]]
    used = 0
    for column in columns[2:]:
        needed = GAP + width_of(column)
        if parted[-1] and used + needed > room:
            parted.append([])
            used = 0
        parted[-1].append(column)
        used += needed
    return parted


def width_of(column: list[str]) -> int:
    """The longest line of a column; tabulate gives its heading, which is the first, some room of its own."""
    widest, *others = (max(map(len, text.split("\n"))) for text in column)
    return max([widest + MIN_PADDING, *others])


def plain_table(columns: list[list[str]]) -> str:
    """A table of columns, each with its heading first."""
    head, *rows = (list(row) for row in zip(*columns, strict=True))
    align = ["left", *["right"] * (len(columns) - 1)]
    return tabulate(rows, headers=head, tablefmt="simple", colalign=align, disable_numparse=True)


def headings(pins: list[str]) -> list[str]:
    """The pins' names, the baseline marked on a line of its own."""
    return [one_line(pin, LONGEST_NAME) + ("\n(baseline)" if index == 0 else "") for index, pin in enumerate(pins)]


def cell_text(cell: Cell) -> str:
    """A cell, on several lines where it says several things."""
    return "\n".join(cell)
