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
from reports.evidence.figures import Observation
from reports.judge.findings import Finding
from reports.judge.machines import Machine
from reports.evidence.units import MOST, Quantity
from reports.show.palette import BASELINE, CANDIDATES, CONTROL
from reports.judge.statistics import less
from reports.show.text import one_line
from reports.evidence.traces import DRAWN_ROUNDS

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


def plot_of_runs(machine: Machine, case: str, quantity: Quantity) -> Plot | None:
    """Every run of one metric by pin, runs of a round joined, and the samples that a run's value is taken from."""
    pins = machine.matrix.pins
    looks = looks_of(pins)
    factor = quantity.scale.factor
    runs = [one for one in machine.matrix.observations if one.spec.case == case]
    rounds = machine.matrix.plan.rounds_of(case)
    traces: list[Trace] = []
    joined: dict[int, list[tuple[float, float | None]]] = {}
    drawn_of = total = 0
    for position, pin in enumerate(pins):
        found = valued(runs, pin, quantity.name)
        step = math.ceil(len(found) / MOST_RUNS) or 1
        drawn_of, total = drawn_of + len(found[::step]), total + len(found)
        places = [position + shift(one.spec.round, rounds) for one, _ in found[::step]]
        values = [rounded(value * factor) for _, value in found[::step]]
        look = looks[pin]
        own = [one for one, _ in found if one.trace and len(one.trace.samples.get(quantity.name, [])) > 1]
        traces += samples_by_run(own, quantity, position, rounds, look)
        traces.append(
            scatter(
                x=places,
                y=values,
                customdata=[one.spec.round + 1 for one, _ in found[::step]],
                mode="markers",
                name=look.name,
                marker={"color": look.colour, "symbol": look.symbol, "size": 10, "line": {"width": 1}},
                hovertemplate=f"{look.name}, round %{{customdata}}: %{{y}}<extra></extra>",
            )
        )
        for (one, _), place, height in zip(found[::step], places, values, strict=True):
            if one.spec.round < DRAWN_ROUNDS:
                joined.setdefault(one.spec.round, []).append((place, height))
    if not total:
        return None
    about = (
        "Large marks: runs, those of one round or sitting joined. Small marks: the samples that a run's value is taken "
        "from."
    )
    if drawn_of < total:
        about += f" {drawn_of:,} of {total:,} runs are drawn, evenly spaced."
    layout = {
        "xaxis": {
            "tickvals": list(range(len(pins))),
            "ticktext": [looks[pin].name for pin in pins],
            "range": [-0.6, len(pins) - 0.4],
            "zeroline": False,
        },
        "yaxis": {
            "title": {"text": foreign(quantity.scale.unit)},
            "rangemode": "nonnegative" if quantity.scale.comparison == "count" else "normal",
            "zeroline": False,
        },
        "showlegend": False,
    }
    return Plot("Every run", about, figure([*joins(joined), *traces], layout))


def valued(runs: Sequence[Observation], pin: str, name: str) -> list[tuple[Observation, float]]:
    """The runs of a pin that have a value of a metric, with it."""
    figures = [(one, one.figures[name].value) for one in runs if one.spec.pin.name == pin and name in one.figures]
    return [(one, value) for one, value in figures if value is not None]


def shift(index: int, rounds: int) -> float:
    """Where a round lies beside the middle of its pin's place."""
    return 0.0 if rounds == 1 else round(WIDTH * (2 * index / (rounds - 1) - 1), 3)


def samples_by_run(
    runs: Sequence[Observation], quantity: Quantity, position: int, rounds: int, look: Look
) -> Iterator[Trace]:
    """The samples of runs as small marks, each above its run's place."""
    places: list[float] = []
    values: list[float | None] = []
    for one in runs:
        samples = one.trace.samples[quantity.name] if one.trace else []
        places += [position + shift(one.spec.round, rounds)] * len(samples)
        values += [rounded(sample * quantity.scale.factor) for sample in samples]
    if values:
        marker = {"color": look.colour, "symbol": look.symbol, "size": 4, "opacity": 0.4}
        yield scatter(x=places, y=values, mode="markers", marker=marker, hovertemplate="sample: %{y}<extra></extra>")


def joins(rounds: dict[int, list[tuple[float, float | None]]]) -> Iterator[Trace]:
    """One faint line for all rounds: what is joined is compared."""
    places: list[float | None] = []
    values: list[float | None] = []
    for points in rounds.values():
        if len(points) > 1:
            places += [*(place for place, _ in points), None]
            values += [*(value for _, value in points), None]
    if places:
        line = {"color": "#9A9A9A", "width": 1}
        yield scatter(x=places, y=values, mode="lines", line=line, opacity=0.5, hoverinfo="skip")


def plot_of_intervals(machine: Machine, findings: Sequence[Finding]) -> Plot | None:
    """The findings on one metric: estimates with their intervals, and the margin as a band."""
    measured = [one for one in findings if one.estimate is not None]
    if not measured:
        return None
    quantity, policy = measured[0].quantity, measured[0].policy
    looks = looks_of(machine.matrix.pins)
    unit, factor = effect_scale(quantity)
    most = policy.margin * factor
    least = (less(policy.margin) if quantity.relative else -policy.margin) * factor
    start, end = reach_of([least, most], [(number or 0.0) * factor for one in measured for number in ends_of(one)])
    traces = []
    for one in measured:
        low, value, high = (five_digits(max(start, min(end, (number or 0.0) * factor))) for number in ends_of(one))
        bar = {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low], "width": 6}
        look = looks[one.pin]
        traces.append(
            scatter(
                x=[value],
                y=[look.name],
                error_x={**bar, "thickness": 2, "color": look.colour},
                mode="markers",
                name=look.name,
                marker={"color": look.colour, "symbol": look.symbol, "size": 11},
                text=[f"{look.name}: {html.escape(one.effect())}, {one.outcome}"],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    worse = "right" if policy.better == "lower" else "left"
    layout = {
        "shapes": [
            {"type": "rect", "x0": least, "x1": most, "yref": "paper", "y0": 0, "y1": 1, "name": "margin"},
            {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "name": "zero"},
        ],
        "xaxis": {
            "title": {"text": f"difference to {looks[machine.matrix.pins[0]].name}, {foreign(unit)}"},
            "range": [start, end],
            "zeroline": False,
        },
        "yaxis": {"autorange": "reversed", "type": "category"},
        "showlegend": False,
    }
    about = f"Band: the margin. Bars: the interval after Holm's correction. Worse is to the {worse}."
    return Plot("Against the baseline", about, figure(traces, layout, height=150 + 42 * len(measured)))


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
    if quantity.scale.comparison == "points":
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
