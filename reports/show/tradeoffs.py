"""Trade-offs in words and as figures: gain against cost, a line for each pin, its knee ringed."""

from __future__ import annotations

import html
from collections.abc import Sequence

from harness.core.cases import read_case
from harness.core.declaration import Case, Combination, Parameter, TradeOff
from reports.evidence.units import Quantity, guess, setting
from reports.judge.machines import Machine
from reports.judge.tradeoffs import DRAWS, LEVEL, Interval, Line, Point
from reports.show.plots import Look, Plot, Trace, figure, five_digits, foreign, looks_of, scatter
from reports.show.words import listed_in_words

RING = 22


def knees_in_words(machine: Machine, name: str) -> list[str]:
    """What the knee is, and of each combination which value it is on every pin and how sure that is."""
    lines = machine.tradeoffs.get(name, [])
    case = read_case(name)
    if not lines or not case.tradeoff:
        return []
    return [knee_defined(case, case.tradeoff), *(knees_at(case, some) for some in by_combination(lines))]


def knee_defined(case: Case, one: TradeOff) -> str:
    """What the knee is, and what its share is."""
    return (
        f"{title_of(case, one)}: {beyond(case, one)}. In brackets: in what share of {DRAWS:,} draws, of sittings and "
        "of halves of the pictures, it is the knee."
    )


def title_of(case: Case, one: TradeOff) -> str:
    """What is held against what."""
    return f"{guess(case, one.gain).title} against {in_a_sentence(guess(case, one.cost).title)}"


def beyond(case: Case, one: TradeOff) -> str:
    """What makes a point the knee."""
    worth = guess(case, one.gain).shown_difference(one.worth).lstrip("+")
    return f"beyond the knee a doubling of the {in_a_sentence(guess(case, one.cost).title)} brings less than {worth}"


def knees_at(case: Case, lines: Sequence[Line]) -> str:
    """The knees of all pins at one combination."""
    said = "; ".join(f"{line.pin} {knee_in_words(case, line)}" for line in lines)
    return f"Knee{', ' if lines[0].at else ''}{combination(case, lines[0].at)}: {said}"


def knee_in_words(case: Case, line: Line) -> str:
    """`64 px (93 %; 96 px 7 %)`."""
    others = sorted((one for one in line.points if one is not line.knee and one.share), key=lambda one: -one.share)
    rest = "".join(f"; {value_of(case, one)} {one.share:.0%}" for one in others)
    return f"{value_of(case, line.knee)} ({line.knee.share:.0%}{rest})".replace("%", " %")


def value_of(case: Case, point: Point) -> str:
    """The value of the parameter with its unit."""
    return setting((parameter_of(case, case.tradeoff.along if case.tradeoff else ""), point.value))


def parameter_of(case: Case, name: str) -> Parameter:
    """The declared parameter of that name."""
    return next((one for one in case.parameters if one.name == name), Parameter(name, name, ""))


def combination(case: Case, at: Combination) -> str:
    """A combination of parameters in words: `fp32, batch 4`."""
    return ", ".join(setting((parameter_of(case, name), value)) for name, value in at.items())


def in_a_sentence(title: str) -> str:
    """A title within a sentence."""
    return title[:1].lower() + title[1:]


def by_combination(lines: Sequence[Line]) -> list[list[Line]]:
    """The lines of all pins at each combination."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(str(line.at), []).append(line)
    return [*found.values()]


# --- figures ------------------------------------------------------------------------------------------------------


def plots_of_tradeoff(machine: Machine, name: str) -> list[Plot]:
    """A figure for each combination of the other parameters."""
    case = read_case(name)
    looks = looks_of(machine.matrix.pins)
    return [plot_at(case, case.tradeoff, some, looks) for some in by_combination(machine.tradeoffs.get(name, []))
            if case.tradeoff]  # fmt: skip


def plot_at(case: Case, one: TradeOff, lines: Sequence[Line], looks: dict[str, Look]) -> Plot:
    """Gain against cost at one combination."""
    gain, cost = guess(case, one.gain), guess(case, one.cost)
    traces = [labels_of(case, lines[0], cost, gain)]
    traces += [trace for line in lines for trace in traces_of(case, line, looks[line.pin], cost, gain)]
    title = ", ".join(filter(None, [title_of(case, one), combination(case, lines[0].at)]))
    about = (
        f"Ringed: the knee, {knees_by_value(case, lines)}; {beyond(case, one)}. Bars: what {100 * (1 - LEVEL):.0f} % "
        "of the draws lie in."
    )
    return Plot(title, about, figure(traces, layout_of(cost, gain), height=400))


def knees_by_value(case: Case, lines: Sequence[Line]) -> str:
    """The knees of all pins: `64 px on 1.10.0 and A/A, 96 px on 1.13.1`."""
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(value_of(case, line.knee), []).append(line.pin)
    return ", ".join(f"{value} on {listed_in_words(pins)}" for value, pins in found.items())


def labels_of(case: Case, line: Line, cost: Quantity, gain: Quantity) -> Trace:
    """The values of the parameter beside the points of one pin: those of the others lie near."""
    return scatter(
        x=[scaled(point.cost, cost).value for point in line.points],
        y=[scaled(point.gain, gain).value for point in line.points],
        mode="markers+text",
        marker={"opacity": 0, "size": RING},
        text=[foreign(value_of(case, point)) for point in line.points],
        textposition=["top right", *["top left"] * (len(line.points) - 1)],  # the first stands at the edge
        showlegend=False,
        hoverinfo="skip",
    )


def traces_of(case: Case, line: Line, look: Look, cost: Quantity, gain: Quantity) -> list[Trace]:
    """The points of a pin, joined, and a ring about its knee."""
    x, y = ([scaled(each, quantity) for each in some] for some, quantity in (
        ([point.cost for point in line.points], cost), ([point.gain for point in line.points], gain)))  # fmt: skip
    ring = line.points.index(line.knee)
    said = [html.escape(f"{line.pin}, {value_of(case, point)}: knee in {point.share:.0%}") for point in line.points]
    colour = {"color": look.colour}
    return [
        scatter(
            x=[one.value for one in x],
            y=[one.value for one in y],
            error_x=bars(x, look),
            error_y=bars(y, look),
            mode="lines+markers",
            name=look.name,
            line={**colour, "dash": look.dash, "width": 2},
            marker={**colour, "symbol": look.symbol, "size": 9},
            text=said,
            hovertemplate="%{text}<br>%{x}, %{y}<extra></extra>",
        ),
        scatter(
            x=[x[ring].value],
            y=[y[ring].value],
            mode="markers",
            marker={**colour, "symbol": "circle-open", "size": RING, "line": {"width": 2}},
            showlegend=False,
            hoverinfo="skip",
        ),
    ]


def scaled(one: Interval, quantity: Quantity) -> Interval:
    """In the unit shown."""
    factor = quantity.scale.factor
    return Interval(*(five_digits(value * factor) for value in (one.value, one.low, one.high)))


def bars(some: Sequence[Interval], look: Look) -> dict[str, object]:
    """Their intervals as plotly's error bars."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [five_digits(max(0.0, one.high - one.value)) for one in some],
        "arrayminus": [five_digits(max(0.0, one.value - one.low)) for one in some],
        "thickness": 1,
        "width": 3,
        "color": look.colour,
    }


def layout_of(cost: Quantity, gain: Quantity) -> dict[str, object]:
    """A doubling of the cost is the same length everywhere."""
    return {
        "xaxis": {"title": {"text": foreign(cost.heading())}, "type": "log", "zeroline": False},
        "yaxis": {"title": {"text": foreign(gain.heading())}, "rangemode": "tozero", "zeroline": False},
        "showlegend": True,
    }
