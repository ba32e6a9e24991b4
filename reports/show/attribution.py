"""Where a difference lies, in words, as a table and as a figure."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.core.spec import TWIN
from reports.evidence.units import Quantity, quantity_in_parts
from reports.judge.machines import Machine
from reports.judge.statements import Attribution, Beside, PartApart
from reports.show.plots import Look, Plot, Trace, figure, five_digits, foreign, looks_of, reach_of, scatter
from reports.show.text import one_line
from reports.show.words import counted, listed_in_words

FRACTIONS = {
    0.1: "a tenth",
    0.2: "a fifth",
    0.25: "a quarter",
    1 / 3: "a third",
    0.5: "half",
    2 / 3: "two thirds",
    0.75: "three quarters",
    0.9: "nine tenths",
    1.0: "all",
}
NEAR = 0.2
"""How far the interval of a share may reach from it on average for it to be called by a fraction."""
LEAST = 0.1
"""The share of a difference from which on a part is named."""
WORTH = 0.01
"""The share of the whole from which on a part is named where the whole does not differ."""
MOST_NAMED = 3
MOST_DRAWN = 12
WHOLE = "the whole"
ROOM = 17
"""Pixels of a bar's height."""


@dataclass(frozen=True)
class PartCell:
    """One part on one pin: difference and interval, and whether it is clear of 0: `more`, `less` or empty."""

    lines: tuple[str, ...]
    clear: str


@dataclass(frozen=True)
class PartLine:
    """One part: its name, which is foreign, what the baseline has of it, and a cell for each other pin, None where it
    could not be paired."""

    name: str
    base: str
    cells: list[PartCell | None]


@dataclass(frozen=True)
class BreakdownTold:
    """One breakdown of a case; `notes` are on whether it adds up, and what it costs to look."""

    title: str
    headings: list[str]
    lines: list[PartLine]
    notes: list[str]


# --- sentences ----------------------------------------------------------------------------------------------------


def sentences_of(machine: Machine) -> list[str]:
    """For each candidate a sentence on every quantity that is told in parts, by the first breakdown that tells it."""
    return [in_words(one, machine.matrix.pins[0]) for one in headlines(machine) if one.pin != TWIN]


def headlines(machine: Machine) -> Iterator[Attribution]:
    """The breakdowns that are told in a sentence, candidate by candidate."""
    for pin in machine.matrix.pins[1:]:
        for attributions in machine.attributions.values():
            seen: set[str] = set()
            for one in attributions:
                if one.pin == pin and one.declared.what not in seen:
                    seen.add(one.declared.what)
                    yield one


def in_words(one: Attribution, baseline: str) -> str:
    """Whether a pin takes more or less, and what makes that up."""
    quantity = quantity_in_parts(one.declared)
    interval = f"{quantity.shown_difference(one.whole.value)} {interval_of(one.whole, quantity)}"
    if not one.whole.clear:
        clear = [part for part in one.parts if part.clear and abs(part.value) >= WORTH * one.whole.base]
        said = f"{one.pin}: no difference to {baseline} in the {one.declared.what} that could be explained ({interval})"
        return said + (f", though these differ: {named(clear, quantity)}." if clear else ".")
    word = "more" if one.whole.value > 0 else "less"
    share = abs(one.whole.value / one.whole.base) if one.whole.base else math.inf
    return f"{one.pin} takes {share * 100:.1f} % {word} {one.declared.what} ({interval}): {made_up_of(one, quantity)}."


def made_up_of(one: Attribution, quantity: Quantity) -> str:
    """Which parts make up a difference, and which go against it."""
    large = [part for part in one.parts if part.clear and abs(part.value) >= LEAST * abs(one.whole.value)]
    along = [part for part in large if part.value * one.whole.value > 0]
    against = [part for part in large if part.value * one.whole.value < 0]
    said = listed_in_words([f"{share_in_words(part, one.whole)} in {name_of(part)}" for part in along[:MOST_NAMED]]) \
        if along else "no single part stands out"  # fmt: skip
    return said + (f"; against it {named(against, quantity)}" if against else "")


def share_in_words(part: PartApart, whole: PartApart) -> str:
    """What share of a difference a part is: a fraction where its interval is short enough, else what is sure of it."""
    low, share, high = sorted((part.low / whole.value, part.value / whole.value, part.high / whole.value))
    if (high - low) / 2 > NEAR:
        return "more than half of it" if low > 0.5 else "some of it"
    if share > 1 + LEAST:
        return "more than all of it"
    return f"{FRACTIONS[min(FRACTIONS, key=lambda fraction: abs(fraction - share))]} of it"


def named(parts: Sequence[PartApart], quantity: Quantity) -> str:
    """Some parts with their differences."""
    return listed_in_words(
        [f"{name_of(part)} ({quantity.shown_difference(part.value)})" for part in parts[:MOST_NAMED]]
    )


def name_of(part: PartApart) -> str:
    """What a part is called; foreign."""
    return counted(part.gathered, "others") + " that are small" if part.gathered else one_line(part.name, 60)


def interval_of(part: PartApart, quantity: Quantity) -> str:
    """The interval of a difference."""
    return quantity.shown_interval(part.low, part.high)


# --- tables -------------------------------------------------------------------------------------------------------


def breakdowns_told(machine: Machine, case: str) -> list[tuple[BreakdownTold, Plot]]:
    """Every breakdown of a case as a table, and as a figure."""
    by_name: dict[str, list[Attribution]] = {}
    for one in machine.attributions.get(case, []):
        by_name.setdefault(one.declared.name, []).append(one)
    pins = machine.matrix.pins
    return [(told(some, pins), plot_of(some, pins)) for some in by_name.values()]


def told(some: Sequence[Attribution], pins: Sequence[str]) -> BreakdownTold:
    """One breakdown of all pins."""
    quantity = quantity_in_parts(some[0].declared)
    by_pin = {one.pin: {name_of(part): part for part in one.parts} for one in some}
    lines = [line_of(WHOLE, {one.pin: one.whole for one in some}, pins, quantity)]
    for name in in_order(some):
        lines.append(
            line_of(name, {pin: parts[name] for pin, parts in by_pin.items() if name in parts}, pins, quantity)
        )
    notes = [note for one in some for note in notes_of(one, quantity, pins[0])]
    return BreakdownTold(quantity.heading(), list(pins), lines, [how_to_read(some), *notes])


def in_order(some: Sequence[Attribution]) -> list[str]:
    """The names of all parts, those first that differ most on any candidate."""
    largest: dict[str, float] = {}
    for one in some:
        for part in one.parts:
            size = 0.0 if one.pin == TWIN else abs(part.value)
            largest[name_of(part)] = max(size, largest.get(name_of(part), 0.0))
    return sorted(largest, key=lambda name: -largest[name])


def line_of(name: str, parts: dict[str, PartApart], pins: Sequence[str], quantity: Quantity) -> PartLine:
    """One part of all pins."""
    base = quantity.shown(next(iter(parts.values())).base)
    return PartLine(name, base, [cell_of(parts[pin], quantity) if pin in parts else None for pin in pins[1:]])


def cell_of(part: PartApart, quantity: Quantity) -> PartCell:
    """One part of one pin."""
    clear = ("more" if part.value > 0 else "less") if part.clear else ""
    return PartCell((quantity.shown_difference(part.value), interval_of(part, quantity)), clear)


def how_to_read(some: Sequence[Attribution]) -> str:
    """What the numbers are."""
    rows = "" if some[0].declared.by_part else ", in each the median of its laps"
    return (
        f"The baseline's median, and by how much the others are more: the mean over sittings{rows}, with intervals "
        f"that hold for all parts and candidates together (Holm). From {some[0].rows} rows of {some[0].n} sittings. "
        "No finding is made of them."
    )


def notes_of(one: Attribution, quantity: Quantity, baseline: str) -> list[str]:
    """Whether the parts add up, and whether it is the same without looking into it."""
    total, whole = quantity.shown_difference(one.sum), quantity.shown_difference(one.whole.value)
    reach = interval_of(one.whole, quantity)
    said = "add up to" if one.adds_up else "do NOT add up to the whole: they come to"
    notes = [f"{one.pin}: the parts {said} {total}; the whole is {whole} {reach}."]
    if one.beside:
        notes.append(f"{one.pin}, without looking into it: {'; '.join(map(beside_in_words, one.beside))}. {same(one)}")
    if one.pin == TWIN:
        notes += [
            f"On {baseline} the whole is {one.whole.base / each.base:.2f} times {each.quantity.title} ({each.case})."
            for each in one.beside
        ]
    return notes


def beside_in_words(each: Beside) -> str:
    """What a metric says of the whole."""
    difference = each.quantity.shown_difference(1 + each.value)
    return (
        f"{each.quantity.title} ({each.case}) {difference} {each.quantity.shown_interval(1 + each.low, 1 + each.high)}"
    )


def same(one: Attribution) -> str:
    """Whether what was looked into differs as much as what was not."""
    low, value, high = (100 * end / one.whole.base for end in (one.whole.low, one.whole.value, one.whole.high))
    apart = [each for each in one.beside if 100 * each.high < low or 100 * each.low > high]
    return (
        f"Looked into it is {value:+.1f} %".replace("-", "\N{MINUS SIGN}")
        + (", which is another: do not rely on the parts." if apart else ", which agrees.")
    )  # fmt: skip


# --- figures ------------------------------------------------------------------------------------------------------


def plot_of(some: Sequence[Attribution], pins: Sequence[str]) -> Plot:
    """The differences of the whole and of the parts that differ most, a bar for each pin."""
    quantity, looks = quantity_in_parts(some[0].declared), looks_of(pins)
    names = [WHOLE, *in_order(some)[:MOST_DRAWN]]
    factor = quantity.scale.factor
    by_pin = {one.pin: {WHOLE: one.whole, **{name_of(part): part for part in one.parts}} for one in some}
    ends = [
        end * factor
        for parts in by_pin.values()
        for name in names
        for end in (parts[name].low, parts[name].high)
        if name in parts and math.isfinite(end)
    ]
    axis = reach_of((), [*ends, *(part.value * factor for parts in by_pin.values() for part in parts.values())])
    traces = [
        bars_of([parts[name] for name in names if name in parts], names, looks[pin], place, len(by_pin), factor, axis)
        for place, (pin, parts) in enumerate(by_pin.items())
    ]
    layout: dict[str, object] = {
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "name": "zero"}],
        "xaxis": {
            "title": {"text": f"difference to {looks[pins[0]].name}, {foreign(quantity.scale.unit)}"},
            "range": list(axis),
            "zeroline": False,
        },
        "yaxis": {
            "tickvals": [*range(len(names))],
            "ticktext": [foreign(name) for name in names],
            "range": [len(names) - 0.5, -0.5],
            "zeroline": False,
        },
        "showlegend": True,
    }
    about = (
        "What the pins take more (right) or less (left) than the baseline. Bars: the intervals after Holm's correction."
    )
    return Plot(quantity.title, about, figure(traces, layout, height=120 + ROOM * len(by_pin) * len(names)))


def bars_of(
    parts: Sequence[PartApart],
    names: Sequence[str],
    look: Look,
    place: int,
    pins: int,
    factor: float,
    axis: tuple[float, float],
) -> Trace:
    """The parts of one pin, side by side with those of the others."""
    shown = [[five_digits(max(axis[0], min(axis[1], end * factor))) for end in (one.low, one.value, one.high)]
             for one in parts]  # fmt: skip
    at = [name_of(one) if one.name or one.gathered else WHOLE for one in parts]
    return scatter(
        x=[value for _, value, _ in shown],
        y=[round(names.index(name) + 0.7 * ((place + 0.5) / pins - 0.5), 3) for name in at],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - value for _, value, high in shown],
            "arrayminus": [value - low for low, value, _ in shown],
            "thickness": 2,
            "width": 4,
            "color": look.colour,
        },
        mode="markers",
        name=look.name,
        marker={"color": look.colour, "symbol": look.symbol, "size": 8},
        text=[html.escape(f"{look.name}, {name}") for name in at],
        hovertemplate="%{text}: %{x}<extra></extra>",
    )
