"""The page's curves: recorded series over steps and epochs, pins overlaid, rounds faint."""

from __future__ import annotations

import html
import statistics
from collections.abc import Sequence

from reports.evidence.figures import Observation
from reports.judge.machines import Machine
from reports.evidence.units import SCALES
from reports.show.plots import Plot, Trace, figure, looks_of, scaled, scatter
from reports.judge.trends import SOAK
from reports.show.text import one_line
from reports.evidence.traces import Curve

MIB = SCALES["bytes"].factor

SERIES = {
    "loss": ("Loss", "", 1.0, "step"),
    "gradient_norm": ("Gradient norm before clipping", "", 1.0, "step"),
    "rss": ("Memory at epoch end, RSS", "MiB", MIB, "epoch"),
    "peak_rss": ("Peak memory of an epoch, RSS", "MiB", MIB, "epoch"),
    "allocated": ("GPU memory at epoch end, allocated", "MiB", MIB, "epoch"),
    "reserved": ("GPU memory at epoch end, reserved", "MiB", MIB, "epoch"),
    "peak_allocated": ("Peak GPU memory of an epoch, allocated", "MiB", MIB, "epoch"),
    "peak_reserved": ("Peak GPU memory of an epoch, reserved", "MiB", MIB, "epoch"),
    "nvml_process": ("GPU memory at epoch end, NVML", "MiB", MIB, "epoch"),
    "map50": ("mAP50", "", 1.0, "epoch"),
    "map50_95": ("mAP50-95", "", 1.0, "epoch"),
    "box_loss": ("Box loss", "", 1.0, "step"),
    "class_loss": ("Class loss", "", 1.0, "step"),
    "dfl_loss": ("DFL loss", "", 1.0, "step"),
    "epoch_time": ("Epoch time", "s", 1.0, "epoch"),
    "waited_for_data": ("Time an epoch waited for data", "s", 1.0, "epoch"),
}
"""Recorded series: title, unit shown, factor to it, what they count. Others are shown under their own name."""
LOGARITHMIC = {"gradient_norm"}

BY_SIZE = {"_by_phase": "while the batch size changes", "_fresh": "fresh at each batch size"}
"""How the names of series of memory end that have a value for every batch size."""


def curves_of(machine: Machine, case: str, rounds: int) -> list[Plot]:
    """A plot for each recorded series of a case: rounds faint, the median of each pin's rounds bold. `rounds`: how many
    of them are drawn."""
    runs = [
        one
        for one in machine.matrix.observations
        if one.spec.case == case and one.trace and one.spec.round < rounds and one.trace.curves
    ]
    names = dict.fromkeys(name for one in runs if one.trace for name in one.trace.curves)
    known = [name for name in SERIES if name in names]
    return [plot_of_series(machine, name, runs) for name in [*known, *sorted(set(names) - set(SERIES))]]


def plot_of_series(machine: Machine, name: str, runs: Sequence[Observation]) -> Plot:
    """One series of all pins."""
    some = next(one.trace.curves[name] for one in runs if one.trace and name in one.trace.curves)
    title, unit, factor, counted = meaning_of(name, by_epoch=some.length == runs[0].spec.train.epochs)
    if runs[0].spec.case == SOAK:  # which keeps of every epoch the mean of its steps
        counted = "epoch"
    looks = looks_of(machine.matrix.pins)
    traces: list[Trace] = []
    for pin, look in looks.items():
        curves = [
            one.trace.curves[name]
            for one in runs
            if one.spec.pin.name == pin and one.trace and name in one.trace.curves
        ]
        if not curves:
            continue
        line = {"color": look.colour, "width": 1}
        common = {"mode": "lines", "legendgroup": pin, "hoverinfo": "skip", "showlegend": False, "opacity": 0.35}
        if len(curves) > 1:
            for curve in curves:
                step = curve.stretch / 2 if curve.stretch > 1 else 1  # two values of each stretch
                traces.append(scatter(x0=1, dx=step, y=scaled(curve.values, factor), line=line, **common))
        middle = median_of(curves)
        traces.append(
            scatter(
                x0=(curves[0].stretch + 1) / 2,
                dx=curves[0].stretch,
                y=scaled(middle, factor),
                mode="lines+markers" if len(middle) <= 30 else "lines",
                name=look.name,
                legendgroup=pin,
                line={"color": look.colour, "width": 2.5, "dash": look.dash},
                marker={"symbol": look.symbol, "size": 7},
                hovertemplate="%{y}",
            )
        )
    axis = {"title": {"text": html.escape(unit)}, "type": "log" if name in LOGARITHMIC else "linear"}
    layout = {
        "xaxis": {"title": {"text": counted}, "zeroline": False},
        "yaxis": {**axis, "zeroline": False},
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hovermode": "x unified",
    }
    several = any(curve.stretch > 1 for one in runs if one.trace for curve in one.trace.curves.values())
    about = "Bold: the median of the rounds. Faint: each round."
    if several and some.stretch > 1:
        about += f" Faint lines go through the smallest and largest of every {some.stretch} {counted}s."
    return Plot(title, about, figure(traces, layout, height=330))


def meaning_of(name: str, *, by_epoch: bool) -> tuple[str, str, float, str]:
    """Of a series the title, the unit shown, the factor to it, and what it counts; `by_epoch`: whether it has as many
    values as there are epochs."""
    for ending, when in BY_SIZE.items():
        title, unit, factor, _ = SERIES.get(name.removesuffix(ending), ("", "", 1.0, ""))
        if name.endswith(ending) and title:
            return f"{title}, {when}", unit, factor, "batch size, in the order of the case"
    known = SERIES.get(name)
    return known or (one_line(name.replace("_", " "), 60), "", 1.0, "epoch" if by_epoch else "step")


def median_of(curves: Sequence[Curve]) -> list[float | None]:
    """The median over rounds at each place that the longest of them has."""
    longest = max(len(curve.means) for curve in curves)
    middle: list[float | None] = []
    for index in range(longest):
        there = [curve.means[index] for curve in curves if index < len(curve.means)]
        finite = [value for value in there if value is not None]
        middle.append(statistics.median(finite) if finite else None)
    return middle
