"""`table.md` and `summary.md`: the table as GitHub shows it, with every run or in short."""

from __future__ import annotations

from reports.show.attribution import BreakdownTold, PartCell
from reports.show.between import LEGEND, BetweenTable
from reports.show.preamble import Preamble
from reports.show.probes import LAST_BITS, OUTCOMES, TOLD, ProbesTold, ProbeTold, StepTold
from reports.show.table import Block, Cell, CheckText, Table
from reports.show.text import for_markdown, pipe_table, superscript
from reports.show.verdict_file import StoredCandidate, VerdictFile

MOST_CHARACTERS = 60_000
"""Of a summary: GitHub takes 65,536 in a comment."""


def to_markdown(tables: list[Table], verdict: VerdictFile) -> str:
    """`table.md`, whole. Foreign text is escaped, so that it can neither break a table nor become HTML."""
    several = overall_in_markdown(verdict) if len(tables) > 1 else []
    return "\n\n".join([*several, *(table_in_markdown(table) for table in tables)]) + "\n"


def to_summary(tables: list[Table], verdict: VerdictFile) -> str:
    """`summary.md`, for a job's summary and a pull request: verdicts in a sentence each, warnings, the tables."""
    parts = overall_in_markdown(verdict)
    for table in tables:
        preamble = table.preamble
        parts += [f"## {for_markdown(preamble.title)}", warnings_in_markdown(preamble), for_markdown(preamble.control)]
        parts += [accuracy_in_markdown(preamble), attributions_in_markdown(preamble)]
        parts += [block_in_markdown(block, table.pins, level="###") for block in table.blocks]
        parts.append(footnotes_in_markdown(table))
    text = "\n\n".join(part for part in parts if part) + "\n"
    if len(text) <= MOST_CHARACTERS:
        return text
    whole = text[:MOST_CHARACTERS].rpartition("\n")[0]
    return f"{whole}\n\nThe rest does not fit here: it is in table.md.\n"


def overall_in_markdown(verdict: VerdictFile) -> list[str]:
    """Each candidate's verdict over all machines, in a sentence."""
    lines = [
        f"- **{for_markdown(one.version)}: {one.verdict}.** {for_markdown(one.sentence)}" for one in verdict.candidates
    ]
    return ["# Upgrade verdict", "\n".join(lines) or "No candidate was measured."]


def table_in_markdown(table: Table) -> str:
    """All that is to be said of one machine."""
    preamble = table.preamble
    parts = [f"# {for_markdown(preamble.title)}", warnings_in_markdown(preamble), for_markdown(preamble.control)]
    parts += [verdict_in_markdown(one) for one in preamble.verdicts]
    parts.append(attributions_in_markdown(preamble))
    parts.append("\n".join(f"- **{label}:** {for_markdown(text)}" for label, text in preamble.facts))
    parts.append("\n".join(for_markdown(sentence) for sentence in preamble.sentences))
    for block in table.blocks:
        parts += [block_in_markdown(block, table.pins), prints_in_markdown(block), probes_in_markdown(block)]
        parts += [breakdown_in_markdown(told) for told, _ in block.breakdowns]
    parts.append("\n".join(f"- {for_markdown(line)}" for line in preamble.legend))
    parts.append(footnotes_in_markdown(table))
    parts += [every_run_in_markdown(block, table.pins) for block in table.blocks]
    return "\n\n".join(part for part in parts if part)


def warnings_in_markdown(preamble: Preamble) -> str:
    """The warnings as one quotation; empty where there is none."""
    return "\n>\n".join(f"> **Warning:** {for_markdown(warning)}" for warning in preamble.warnings)


def accuracy_in_markdown(preamble: Preamble) -> str:
    """Whether the accuracy of each candidate is shown; empty where there is nothing to say of it."""
    said = [(one.pin, each.sentence) for one in preamble.verdicts for each in one.accuracy]
    return "\n".join(f"- {for_markdown(pin)}: {for_markdown(sentence)}" for pin, sentence in said)


def attributions_in_markdown(preamble: Preamble) -> str:
    """Where the differences lie; empty where nothing was looked into."""
    return "\n".join(f"- {for_markdown(sentence)}" for sentence in preamble.attributions)


def breakdown_in_markdown(told: BreakdownTold) -> str:
    """A quantity in parts, on all pins; what is clear of 0 in bold."""
    rows = [[for_markdown(line.name), line.base, *(part_text(cell) for cell in line.cells)] for line in told.lines]
    notes = "\n".join(f"- {for_markdown(note)}" for note in told.notes)
    return "\n\n".join([pipe_table([for_markdown(told.title), *headings(told.headings)], rows), notes])


def part_text(cell: PartCell | None) -> str:
    """One part on one pin."""
    if cell is None:
        return "no pair"
    difference, interval = cell.lines
    return f"**{difference}** {interval}" if cell.clear else f"{difference} {interval}"


def footnotes_in_markdown(table: Table) -> str:
    """The reasons for what is not there; empty where all is."""
    notes = [f"- {superscript(number)} {for_markdown(note)}" for number, note in enumerate(table.footnotes, 1)]
    return "\n".join(["What is not there, and why:", "", *notes]) if notes else ""


def verdict_in_markdown(one: StoredCandidate) -> str:
    """The verdict on a candidate and its reasons."""
    reasons = "\n".join(f"- {for_markdown(reason.sentence)}" for reason in one.reasons)
    return f"**{for_markdown(one.pin)}: {one.verdict}**\n\n{reasons}"


def block_in_markdown(block: Block, pins: list[str], level: str = "##") -> str:
    """The cross-version table of one case."""
    rows = [[for_markdown(row.heading), *(cell_text(cell) for cell in row.cells)] for row in block.rows]
    parts = [f"{level} {for_markdown(block.case)}", pipe_table(["metric", *headings(pins)], rows)]
    remarks = "\n".join(f"- {for_markdown(remark)}" for remark in block.remarks)
    parts += [remarks, checks_in_markdown(block, pins), between_in_markdown(block.between, pins)]
    return "\n\n".join(filter(None, parts))


def checks_in_markdown(block: Block, pins: list[str]) -> str:
    """What should hold in one case, and whether it did; empty where nothing was checked."""
    rows = [[for_markdown(line.title), *(check_text(cell) for cell in line.cells)] for line in block.checks]
    return pipe_table(["check", *headings(pins)], rows, "left") if rows else ""


def check_text(cell: CheckText | None) -> str:
    """One check on one pin: the outcome, and what was seen."""
    if cell is None:
        return "not made"
    return "<br>".join([f"**{cell.text}**", *(for_markdown(seen) for seen in cell.seen)])


def between_in_markdown(tables: list[BetweenTable], pins: list[str]) -> str:
    """What pins read of one another; empty where nothing was carried between them."""
    rows = [
        [
            for_markdown(table.what) if place == 0 else "",
            for_markdown(writer),
            *(cell.text for cell in cells),
        ]
        for table in tables
        for place, (writer, cells) in enumerate(table.lines)
    ]
    notes = [f"- {superscript(number)} {for_markdown(text)}" for table in tables for number, text in table.notes]
    advice = [f"- {for_markdown(table.what)}: {for_markdown(table.advice)}" for table in tables if table.advice]
    parts = [LEGEND, pipe_table(["kind", "saved by", *headings(pins)], rows, "left"), "\n".join(notes)]
    parts.append("\n".join(["What can be done where it fails:", "", *advice]) if advice else "")
    return "\n\n".join(filter(None, parts)) if tables else ""


def prints_in_markdown(block: Block) -> str:
    """What each pair of pins has in common; empty where no fingerprint could be compared."""
    if block.prints is None:
        return ""
    head = ["fingerprint", *map(for_markdown, block.prints.headings)]
    rows = [[for_markdown(pair), *(for_markdown(cell.text) for cell in cells)] for pair, cells in block.prints.rows]
    notes = "\n".join(f"- {for_markdown(note)}" for note in block.prints.notes)
    return "\n\n".join(filter(None, [pipe_table(head, rows, "left"), notes]))


def probes_in_markdown(block: Block) -> str:
    """What changed by the probes of a case, and what is the same; empty where it has none."""
    told = block.probes
    if told is None:
        return ""
    changed = told.of(*TOLD)
    meant = [f"- {for_markdown(f'{row.title}. {row.why} {row.means}')}" for row in changed]
    rest = [
        f"- {outcome}: {for_markdown('; '.join(row.title for row in told.of(outcome)), 20_000)}"
        for outcome in OUTCOMES
        if outcome not in (*TOLD, LAST_BITS) and told.of(outcome)
    ]
    parts = [
        "\n".join(f"- {for_markdown(line)}" for line in told.counts),
        steps_in_markdown("probe", told, changed),
        "\n".join(meant),
        steps_in_markdown("probe (last bits alone)", told, told.of(LAST_BITS)),
        "\n".join(rest),
    ]
    return "\n\n".join(filter(None, parts))


def steps_in_markdown(head: str, told: ProbesTold, rows: list[ProbeTold]) -> str:
    """Probes and what they came to in each step, as a table; empty where there are none."""
    lines = [[for_markdown(row.title), *map(step_in_markdown, row.steps)] for row in rows]
    return pipe_table([head, *map(for_markdown, told.headings)], lines, "left") if lines else ""


def step_in_markdown(step: StepTold) -> str:
    """One step of a probe: its outcome, what changed, and where that is documented."""
    if step.outcome == "same":
        return "same"
    sources = [f"<{source}>" if source.startswith("https://") else source for source in step.source]
    return "<br>".join([f"**{step.outcome}**", *map(for_markdown, step.told), *sources])


def every_run_in_markdown(block: Block, pins: list[str]) -> str:
    """Every run of one case, by metric and round."""
    rows = [
        [heading, str(index), *map(cell_text, cells)]
        for heading, lines in ((for_markdown(heading), lines) for heading, lines in block.every_run)
        for index, cells in enumerate(lines, 1)
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
