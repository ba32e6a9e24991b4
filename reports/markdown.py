"""`table.md`: the table as GitHub shows it, with every run."""

from __future__ import annotations

from tabulate import tabulate

from reports.table import Block, Cell, Table
from reports.text import for_markdown, superscript
from reports.verdict import CandidateVerdict


def to_markdown(table: Table) -> str:
    """The whole document. Foreign text is escaped, so that it can neither break a table nor become HTML."""
    preamble = table.preamble
    parts = [f"# {for_markdown(preamble.title)}"]
    if preamble.warnings:
        parts.append("\n>\n".join(f"> **Warning:** {for_markdown(warning)}" for warning in preamble.warnings))
    parts.append(for_markdown(preamble.control))
    parts += [verdict_in_markdown(one) for one in preamble.verdicts]
    parts.append("\n".join(f"- **{label}:** {for_markdown(text)}" for label, text in preamble.facts))
    parts.append("\n".join(for_markdown(sentence) for sentence in preamble.sentences))
    parts += [block_in_markdown(block, table.pins) for block in table.blocks]
    parts.append("\n".join(f"- {for_markdown(line)}" for line in preamble.legend))
    if table.footnotes:
        notes = [f"- {superscript(number)} {for_markdown(note)}" for number, note in enumerate(table.footnotes, 1)]
        parts.append("\n".join(["What is not there, and why:", "", *notes]))
    parts += [every_run_in_markdown(block, table.pins) for block in table.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict_in_markdown(one: CandidateVerdict) -> str:
    """The verdict on a candidate and its reasons."""
    reasons = "\n".join(f"- {for_markdown(reason)}" for reason in one.reasons)
    return f"**{for_markdown(one.pin)}: {one.verdict}**\n\n{reasons}"


def block_in_markdown(block: Block, pins: list[str]) -> str:
    """The cross-version table of one case."""
    rows = [[for_markdown(row.heading), *(cell_text(cell) for cell in row.cells)] for row in block.rows]
    parts = [f"## {for_markdown(block.case)}", pipe_table(["metric", *headings(pins)], rows)]
    parts += [f"- {for_markdown(remark)}" for remark in block.remarks]
    return "\n\n".join(parts[:2]) + ("\n\n" + "\n".join(parts[2:]) if block.remarks else "")


def every_run_in_markdown(block: Block, pins: list[str]) -> str:
    """Every run of one case, by metric and round."""
    rows = [
        [for_markdown(heading), str(index), *(cell_text(cell) for cell in cells)]
        for heading, index, cells in block.every_run
    ]
    title = f"## Every run: {for_markdown(block.case)}"
    rounds = "Rounds count from 1 here, and from 0 in table.csv and in the names of the records."
    return "\n\n".join([title, rounds, pipe_table(["metric", "round", *headings(pins)], rows)])


def headings(pins: list[str]) -> list[str]:
    """The pins' names, the baseline marked."""
    return [for_markdown(pin) + (" (baseline)" if index == 0 else "") for index, pin in enumerate(pins)]


def cell_text(cell: Cell) -> str:
    """A cell on one line of the file."""
    return "<br>".join(cell)


def pipe_table(head: list[str], rows: list[list[str]]) -> str:
    """A table in pipes, as written: no text is taken for a number."""
    align = ["left", *["right"] * (len(head) - 1)]
    return tabulate(rows, headers=head, tablefmt="pipe", colalign=align, disable_numparse=True)
