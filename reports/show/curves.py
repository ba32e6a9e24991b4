"""The page's curves: recorded series over steps and epochs, pins overlaid, rounds faint."""

from __future__ import annotations

import html
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.core.cases import read_case
from harness.core.declaration import Case, DeclaredSeries
from reports.evidence.figures import Matrix, Observation
from reports.evidence.traces import Curve
from reports.evidence.units import UNITS, Scale
from reports.show.plots import Look, Plot, Trace, figure, looks_of, scaled, scatter
from reports.show.text import one_line


def curves_of(matrix: Matrix, case: str, rounds: int) -> list[Plot]:
    """A plot for each recorded series of a case: rounds faint, the median of each pin's rounds bold. `rounds`: how many
    of them are drawn."""
    runs = [one for one in matrix.by_case[case] if one.trace and one.spec.round < rounds and one.trace.curves]
    names = {name for one in runs if one.trace for name in one.trace.curves}
    return [plot_of_series(matrix.pins, series, runs) for series in series_of(read_case(case), names, runs)]


def series_of(case: Case, names: Iterable[str], runs: Sequence[Observation]) -> list[DeclaredSeries]:
    """The series of a case in the order of its declaration, each before its parts, then those that it does not declare,
    by name."""
    places = {one.name: place for place, one in enumerate(case.series)}
    ordered = sorted(names, key=lambda name: (places.get(name.partition(":")[0], len(places)), name))
    return [case.one_series(name) or undeclared(name, runs) for name in ordered]


def undeclared(name: str, runs: Sequence[Observation]) -> DeclaredSeries:
    """What can be said of a series that no case declares: by epoch where it has as many values as there are epochs."""
    some = next(one.trace.curves[name] for one in runs if one.trace and name in one.trace.curves)
    counted = "epoch" if some.length == runs[0].spec.train.epochs else "step"
    return DeclaredSeries(name, name.replace("_", " "), counted=counted)


def plot_of_series(pins: Sequence[str], series: DeclaredSeries, runs: Sequence[Observation]) -> Plot:
    """One series of all pins."""
    traces: list[Trace] = []
    longest = 1
    scale = UNITS[series.unit][0] if series.unit else Scale("")
    for pin, look in looks_of(pins).items():
        curves = [
            one.trace.curves[series.name]
            for one in runs
            if one.spec.pin.name == pin and one.trace and series.name in one.trace.curves
        ]
        longest = max([longest, *(curve.stretch for curve in curves)])
        traces += traces_of(curves, look, scale.factor)
    about = "Bold: the median of the rounds. Faint: each round."
    if longest > 1:
        counted = series.counted
        about += f" Faint lines go through the smallest and largest of every {longest} {counted}s."
    return Plot(one_line(series.title, 120), about, figure(traces, layout_of(series, scale.unit), height=330))


def traces_of(curves: Sequence[Curve], look: Look, factor: float) -> Iterator[Trace]:
    """One series of one pin: where it has several rounds each of them faint, and their median bold."""
    if not curves:
        return
    common: dict[str, Any] = {"legendgroup": look.name, "line": {"color": look.colour, "width": 1}}
    if len(curves) > 1:
        for curve in curves:
            step = curve.stretch / 2 if curve.stretch > 1 else 1  # two values of each stretch
            yield scatter(
                x0=1,
                dx=step,
                y=scaled(curve.values, factor),
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                opacity=0.35,
                **common,
            )
    middle = median_of(curves)
    yield scatter(
        x0=(curves[0].stretch + 1) / 2,
        dx=curves[0].stretch,
        y=scaled(middle, factor),
        mode="lines+markers" if len(middle) <= 30 else "lines",
        name=look.name,
        legendgroup=look.name,
        line={"color": look.colour, "width": 2.5, "dash": look.dash},
        marker={"symbol": look.symbol, "size": 7},
        hovertemplate="%{y}",
    )


def layout_of(series: DeclaredSeries, unit: str) -> dict[str, object]:
    """The axes of one series."""
    return {
        "xaxis": {"title": {"text": html.escape(series.counted)}, "zeroline": False},
        "yaxis": {
            "title": {"text": html.escape(unit)},
            "type": "log" if series.logarithmic else "linear",
            "zeroline": False,
        },
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hovermode": "x unified",
    }


def median_of(curves: Sequence[Curve]) -> list[float | None]:
    """The median over rounds at each place that the longest of them has."""
    longest = max(len(curve.means) for curve in curves)
    middle: list[float | None] = []
    for index in range(longest):
        there = [curve.means[index] for curve in curves if index < len(curve.means)]
        finite = [value for value in there if value is not None]
        middle.append(statistics.median(finite) if finite else None)
    return middle
