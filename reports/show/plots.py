"""The page's plots of one metric, as plotly figures: every run and its samples by pin, intervals against margins.

Colours of text and grid are not set here: the page sets them, for light, dark and print.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.core.spec import TWIN
from reports.evidence.figures import Matrix, Observation
from reports.evidence.traces import DRAWN_ROUNDS
from reports.evidence.units import MOST, Quantity
from reports.judge.statements import Finding
from reports.judge.statistics import less
from reports.show.findings import effect
from reports.show.palette import BASELINE, CANDIDATES, CONTROL
from reports.show.text import one_line

SYMBOLS = ("square", "diamond", "triangle-up", "triangle-down", "cross", "star", "hexagon")
"""One more than colours, so that both together repeat late."""
DASHES = ("dash", "dashdot", "longdash", "longdashdot", "5px,2px")
MOST_RUNS = 200
"""Runs of a pin that are drawn for one metric, evenly spaced."""
WIDTH = 0.32
"""Half of what the rounds of one pin are spread over, where pins are 1 apart."""


Trace = dict[str, object]
"""One of plotly's traces. It becomes an object of plotly's, which checks it, when its figure does: once."""


@dataclass(frozen=True)
class Plot:
    """One figure (plotly's JSON) with what it is called and what it shows, in words."""

    title: str
    about: str
    figure: dict[str, object]


@dataclass(frozen=True)
class Look:
    """How one pin is drawn everywhere: colour, marker and dash each tell it apart by themselves."""

    name: str
    colour: str
    symbol: str
    dash: str


def looks_of(pins: Sequence[str]) -> dict[str, Look]:
    """The looks of pins in plan order: the baseline, the control A/A, the candidates."""
    own = {pins[0]: (BASELINE, "circle", "solid"), TWIN: (CONTROL, "x", "dot")}
    candidates = [pin for pin in pins if pin not in own]
    for place, pin in enumerate(candidates):
        own[pin] = tuple(each[place % len(each)] for each in (CANDIDATES, SYMBOLS, DASHES))  # type: ignore[assignment]
    return {pin: Look(foreign(pin), *own[pin]) for pin in pins}


def foreign(text: str) -> str:
    """Text from records as plotly shows it literally: it takes a text for HTML."""
    return html.escape(one_line(text, 40))


@dataclass(frozen=True)
class Mark:
    """One run as it is drawn: where its value lies, in the unit shown, and where the samples that it is taken from."""

    round: int
    at: float
    value: float | None
    samples: list[float | None]


def plot_of_runs(matrix: Matrix, case: str, quantity: Quantity) -> Plot | None:
    """Every run of one metric by pin, runs of a round joined, and the samples that a run's value is taken from."""
    looks = looks_of(matrix.pins)
    rounds = matrix.plan.rounds_of(case)
    marks: list[Mark] = []
    traces: list[Trace] = []
    total = 0
    for position, (pin, look) in enumerate(looks.items()):
        found = valued(matrix.runs_of(case, pin), quantity)
        some = found[:: math.ceil(len(found) / MOST_RUNS) or 1]
        own = [mark_of(one, value, quantity, position + shift(one.spec.round, rounds)) for one, value in some]
        total += len(found)
        marks += own
        traces += [*samples_of(own, look), runs_of_pin(own, look)]
    if not total:
        return None
    about = "Large marks: runs, those of one round joined. Small marks: the samples that a run's value is taken from."
    if len(marks) < total:
        about += f" {len(marks):,} of {total:,} runs are drawn, evenly spaced."
    return Plot("Every run", about, figure([*joins(marks), *traces], layout_of_runs(quantity, looks)))


def valued(runs: Sequence[Observation], quantity: Quantity) -> list[tuple[Observation, float]]:
    """The runs that have a value of a metric, with it."""
    figures = [(one, one.figures[quantity.key].value) for one in runs if quantity.key in one.figures]
    return [(one, value) for one, value in figures if value is not None]


def mark_of(one: Observation, value: float, quantity: Quantity, at: float) -> Mark:
    """A run at its place; a single sample is its value, and not drawn once more."""
    factor = quantity.scale.factor
    samples = one.trace.samples.get(quantity.key, []) if one.trace else []
    small = [rounded(sample * factor) for sample in samples] if len(samples) > 1 else []
    return Mark(one.spec.round, at, rounded(value * factor), small)


def runs_of_pin(marks: Sequence[Mark], look: Look) -> Trace:
    """The runs of one pin as large marks."""
    return scatter(
        x=[mark.at for mark in marks],
        y=[mark.value for mark in marks],
        customdata=[mark.round + 1 for mark in marks],
        mode="markers",
        name=look.name,
        marker={"color": look.colour, "symbol": look.symbol, "size": 10, "line": {"width": 1}},
        hovertemplate=f"{look.name}, round %{{customdata}}: %{{y}}<extra></extra>",
    )


def samples_of(marks: Sequence[Mark], look: Look) -> Iterator[Trace]:
    """The samples of a pin's runs as small marks, each above its run's place."""
    places = [mark.at for mark in marks for _ in mark.samples]
    values = [sample for mark in marks for sample in mark.samples]
    if values:
        marker = {"color": look.colour, "symbol": look.symbol, "size": 4, "opacity": 0.4}
        yield scatter(x=places, y=values, mode="markers", marker=marker, hovertemplate="sample: %{y}<extra></extra>")


def joins(marks: Sequence[Mark]) -> Iterator[Trace]:
    """One faint line through the marks of each round that is drawn run by run: what is joined is compared."""
    rounds: dict[int, list[Mark]] = {}
    for mark in marks:
        if mark.round < DRAWN_ROUNDS:
            rounds.setdefault(mark.round, []).append(mark)
    places: list[float | None] = []
    values: list[float | None] = []
    for joined in rounds.values():
        if len(joined) > 1:
            places += [*(mark.at for mark in joined), None]
            values += [*(mark.value for mark in joined), None]
    if places:
        line = {"color": "#9A9A9A", "width": 1}
        yield scatter(x=places, y=values, mode="lines", line=line, opacity=0.5, hoverinfo="skip")


def layout_of_runs(quantity: Quantity, looks: dict[str, Look]) -> dict[str, object]:
    """A place for each pin, and the unit shown."""
    return {
        "xaxis": {
            "tickvals": list(range(len(looks))),
            "ticktext": [look.name for look in looks.values()],
            "range": [-0.6, len(looks) - 0.4],
            "zeroline": False,
        },
        "yaxis": {
            "title": {"text": foreign(quantity.scale.unit)},
            "rangemode": "nonnegative" if quantity.comparison == "count" else "normal",
            "zeroline": False,
        },
        "showlegend": False,
    }


def shift(index: int, rounds: int) -> float:
    """Where a round lies beside the middle of its pin's place."""
    return 0.0 if rounds == 1 else round(WIDTH * (2 * index / (rounds - 1) - 1), 3)


def plot_of_intervals(pins: Sequence[str], findings: Sequence[Finding]) -> Plot | None:
    """The findings on one metric: estimates with their intervals, and the margin as a band."""
    measured = [one for one in findings if one.estimate is not None]
    if not measured:
        return None
    first, looks = measured[0], looks_of(pins)
    unit, factor = effect_scale(first.quantity)
    margin = first.rules.margin
    band = ((less(margin) if first.quantity.relative else -margin) * factor, margin * factor)
    axis = reach_of(band, [(number or 0.0) * factor for one in measured for number in ends_of(one)])
    traces = [bar_of(one, looks[one.pin], factor, axis) for one in measured]
    title = f"difference to {looks[pins[0]].name}, {foreign(unit)}"
    worse = "right" if first.quantity.better == "lower" else "left"
    about = f"Band: the margin. Bars: the interval after Holm's correction. Worse is to the {worse}."
    height = 150 + 42 * len(measured)
    return Plot("Against the baseline", about, figure(traces, layout_of_intervals(title, band, axis), height=height))


def bar_of(found: Finding, look: Look, factor: float, axis: tuple[float, float]) -> Trace:
    """One finding: its estimate and interval, as far as the axis goes."""
    start, end = axis
    low, value, high = (five_digits(max(start, min(end, (number or 0.0) * factor))) for number in ends_of(found))
    bar = {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low], "width": 6}
    return scatter(
        x=[value],
        y=[look.name],
        error_x={**bar, "thickness": 2, "color": look.colour},
        mode="markers",
        name=look.name,
        marker={"color": look.colour, "symbol": look.symbol, "size": 11},
        text=[f"{look.name}: {html.escape(effect(found))}, {found.outcome}"],
        hovertemplate="%{text}<extra></extra>",
    )


def layout_of_intervals(title: str, band: tuple[float, float], axis: tuple[float, float]) -> dict[str, object]:
    """The axis from end to end, the margin as a band, and a line at 0."""
    high = {"yref": "paper", "y0": 0, "y1": 1}
    return {
        "shapes": [
            {"type": "rect", "x0": band[0], "x1": band[1], **high, "name": "margin"},
            {"type": "line", "x0": 0, "x1": 0, **high, "name": "zero"},
        ],
        "xaxis": {"title": {"text": title}, "range": list(axis), "zeroline": False},
        "yaxis": {"autorange": "reversed", "type": "category"},
        "showlegend": False,
    }


def ends_of(found: Finding) -> tuple[float | None, float | None, float | None]:
    """The interval of a finding, with its estimate in between."""
    return found.low, found.estimate, found.high


def reach_of(margins: Sequence[float], ends: Sequence[float]) -> tuple[float, float]:
    """From where to where the axis goes. An interval without a bound, or one beyond all measure, ends at its edge."""
    within = [0.0, *margins, *(end for end in ends if abs(end) <= MOST)]
    room = 0.06 * (max(within) - min(within)) or 1.0
    return min(within) - room, max(within) + room


def effect_scale(quantity: Quantity) -> tuple[str, float]:
    """The unit of a finding's numbers as they are shown, and the factor to it."""
    if quantity.relative:
        return "%", 100.0
    if quantity.comparison == "points":
        return "points", 100.0
    return quantity.scale.unit, quantity.scale.factor


def scaled(values: Sequence[float | None], factor: float) -> list[float | None]:
    """Values in the unit shown; None stays a gap."""
    return [None if value is None else rounded(value * factor) for value in values]


def rounded(value: float) -> float | None:
    """As it is drawn: in five digits, and as a gap where it is beyond all numbers."""
    return five_digits(value) if math.isfinite(value) else None


def five_digits(value: float) -> float:
    """Five significant digits: more cannot be seen, and cost bytes."""
    return float(f"{value:.5g}")


def scatter(**settings: object) -> Trace:
    """A trace of points or lines."""
    return {"type": "scatter", **settings}


def figure(traces: Sequence[Trace], layout: dict[str, object], height: int = 320) -> dict[str, object]:
    """A plotly figure as JSON, checked by plotly."""
    whole = go.Figure(list(traces), {**layout, "template": None, "height": height})
    return dict(whole.to_plotly_json())
