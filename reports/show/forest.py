"""`overview.svg` and `overview.png`: the overview as a forest plot."""

# ruff: noqa: E402 (matplotlib asks for its folder, and warns about it, as soon as it is imported)

from __future__ import annotations

import io
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from harness.core.files import ROOT

os.environ.setdefault("MPLCONFIGDIR", str(ROOT / ".cache" / "matplotlib"))  # a home that cannot be written is no matter
logging.getLogger("matplotlib").setLevel(logging.ERROR)  # that it looks for fonts when first used is no warning

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from reports.show.overview import LIMIT, Bar, Entry, Group, Line, Panel
from reports.show.palette import CANDIDATES, CONTROL

MARKERS = "sD^vPXp"
"""One more than colours: both together repeat only after 42 candidates. The control's is a circle."""
GREY, FAINT, BAND, STRIP = "#6B6B6B", "#D9D9D9", "#E3E9EE", "#F6F6F6"
WORDS = {
    "worse": ("✗", "#A33B00", "bold"),
    "hold": ("✗", "#A33B00", "bold"),
    "better": ("✓", "#00684B", "bold"),
    "upgrade": ("✓", "#00684B", "bold"),
    "equivalent": ("=", "#333333", "normal"),
    "inconclusive": ("?", GREY, "normal"),
    "noisy": ("!", "#A33B00", "bold"),
}
"""Symbol, colour and weight of findings and verdicts: each tells them apart without the others."""


@dataclass(frozen=True)
class Style:
    """How a text is written; `side` is the one of its edges that is given, or its centre."""

    colour: str = "#111111"
    size: float = 9
    weight: str = "normal"
    italic: bool = False
    side: str = "left"


PLAIN = Style()
SOFT = Style(colour=GREY)
BOLD = Style(weight="bold")

# All lengths are inches; y grows downwards. At 800 pixels of width a point is 1.2 pixels.
WIDTH, LEFT, RIGHT = 9.0, 0.2, 8.85
NAME, PLOT, PLOT_END, ESTIMATE, INTERVAL, WORD = 0.45, 1.85, 5.2, 6.05, 6.15, 7.8
LINE, HEADING, GAP = 0.205, 0.25, 0.07
TICKS = (-4, -2, -1, 0, 1, 2, 4)
MOST_PIXELS = 30_000
"""Of the picture's height: what a very long one loses is sharpness."""
LEGEND = (
    "Marker and bar: mean difference from the baseline and its interval after Holm's correction. Shaded: change that "
    "would not matter.",
    "Arrow: the interval goes on beyond the axis; an open marker beside it: so does the estimate. Where the margin is "
    "0, so does any change.",
)


def draw(panels: Sequence[Panel], left_out: str = "") -> dict[str, bytes]:
    """The files by name; the same panels give the same bytes. `left_out`: what is said of those that are not among
    them."""
    with rc_context():
        rcdefaults()  # whatever the user's own matplotlibrc says
        rcParams["text.parse_math"] = False  # a name with $ is no formula
        # A page or a README shows the figure as an image, which has only the viewer's fonts: other widths, no ✗ or ✓
        rcParams["svg.fonttype"] = "path"
        rcParams["svg.hashsalt"] = "torch-matrix"  # else its identifiers differ every time
        figure = figure_of(panels, left_out)
        dpi = min(192.0, MOST_PIXELS / figure.get_figheight())
        title = " ".join(
            f"{panel.machine}: {', '.join(f'{one.pin} {one.said}' for one in panel.entries)}." for panel in panels
        )
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        figure.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
    return {"overview.svg": svg.getvalue(), "overview.png": png.getvalue()}


def figure_of(panels: Sequence[Panel], left_out: str = "") -> Figure:
    """All panels below each other, as high as they need to be."""
    figure = Figure(facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    y = 0.1
    for place, panel in enumerate(panels):
        if place:
            y += 0.2
            rule(axes, LEFT, RIGHT, y, "#999999")
            y += 0.1
        y = draw_panel(axes, panel, y)
    for line in [*LEGEND, *filter(None, [left_out])]:
        write(axes, LEFT, y, line, RIGHT - LEFT, replace(SOFT, size=7.8))
        y += 0.17
    figure.set_size_inches(WIDTH, y + 0.05)
    axes.set(xlim=(0, WIDTH), ylim=(y + 0.05, 0))
    return figure


def draw_panel(axes: Axes, panel: Panel, y: float) -> float:
    """One machine; the place below it."""
    write(axes, LEFT, y + 0.17, f"Upgrade from {panel.baseline}?", RIGHT - LEFT, replace(BOLD, size=13))
    write(axes, LEFT, y + 0.42, f"{panel.machine} · {panel.measured}", RIGHT - LEFT, SOFT)
    y = draw_entries(axes, panel.entries, y + 0.69)
    if not panel.groups:
        return y
    write(axes, PLOT, y, "← better", 1, SOFT)
    write(axes, PLOT_END, y, "worse →", 1, replace(SOFT, side="right"))
    draw_numbers(axes, y + 0.2)
    y += 0.19
    write(axes, ESTIMATE, y, "change", 1, replace(SOFT, side="right"))
    write(axes, INTERVAL, y, "interval", 1, SOFT)
    write(axes, WORD, y, "finding", 1, SOFT)
    y += 0.13
    rule(axes, LEFT, RIGHT, y, "#999999")
    top = y
    for group in panel.groups:
        y = draw_group(axes, group, y)
    return draw_scale(axes, panel, top, y)


def draw_entries(axes: Axes, entries: Sequence[Entry], y: float) -> float:
    """The pins with their marks and verdicts, as many side by side as fit; the place below them."""
    if not entries:
        write(axes, LEFT, y, "There is no candidate.", RIGHT - LEFT)
        return y + 0.35
    verdicts = [WORDS.get(one.said.partition(" ")[0], ("", GREY, "normal")) for one in entries]
    said = [f"{symbol} {one.said}".strip() for one, (symbol, *_) in zip(entries, verdicts, strict=True)]
    names = [fit(one.pin, 2.0, font_of(BOLD)) for one in entries]
    widths = [name[1] + width_of(text, font_of(BOLD)) for name, text in zip(names, said, strict=True)]
    columns = min(4, int((RIGHT - LEFT) / (max(widths) + 0.6)))
    for number, (entry, name, text, (_, colour, weight)) in enumerate(zip(entries, names, said, verdicts, strict=True)):
        x, here = LEFT + number % columns * (RIGHT - LEFT) / columns, y + number // columns * 0.23
        draw_mark(axes, x + 0.12, here, entry.place)
        write(axes, x + 0.25, here, name[0], 2.0, BOLD)
        write(axes, x + 0.33 + name[1], here, text, 4.0, Style(colour, weight=weight))
    return y + math.ceil(len(entries) / columns) * 0.23 + 0.12


def draw_group(axes: Axes, group: Group, y: float) -> float:
    """One metric: its heading, and a line for each pin; the place below it."""
    axes.add_patch(Rectangle((LEFT, y), RIGHT - LEFT, HEADING, facecolor=STRIP, zorder=2.5))
    middle = y + HEADING / 2
    write(axes, LEFT + 0.06, middle, group.title, ESTIMATE - LEFT - 0.8, BOLD)
    write(axes, INTERVAL, middle, f"margin {group.margin}", WORD - INTERVAL, SOFT)
    if not group.gates:
        write(axes, WORD, middle, "does not gate", RIGHT - WORD, SOFT)
    y += HEADING + GAP / 2
    for line in group.lines:
        draw_line(axes, line, y + LINE / 2)
        y += LINE
    if group.note:
        blank = Rectangle((PLOT, y), PLOT_END - PLOT, LINE + GAP / 2, facecolor="white", zorder=2.4)
        axes.add_patch(blank)  # no grid behind words
        write(axes, NAME, y + LINE / 2, group.note, RIGHT - NAME, Style(size=8.5, italic=True))
        y += LINE
    return y + GAP / 2


def draw_line(axes: Axes, line: Line, y: float) -> None:
    """One pin on one metric: mark, name, bar, numbers and finding."""
    draw_mark(axes, NAME - 0.14, y, line.place)
    write(axes, NAME, y, line.pin, PLOT - NAME - 0.1)
    if line.bar:
        draw_bar(axes, line.bar, line.place, y)
        write(axes, ESTIMATE, y, line.estimate, ESTIMATE - PLOT_END - 0.12, Style(size=8.5, side="right"))
        write(axes, INTERVAL, y, line.interval, WORD - INTERVAL - 0.05, Style(size=8.5))
    else:
        blank = Rectangle((PLOT, y - LINE / 2 - GAP / 2), PLOT_END - PLOT, LINE + GAP, facecolor="white", zorder=2.4)
        axes.add_patch(blank)  # no grid behind words
        write(axes, PLOT, y, line.why, PLOT_END - PLOT, Style(GREY, 8, italic=True))
        write(axes, INTERVAL, y, line.estimate, WORD - INTERVAL - 0.05, Style(GREY, 8.5, italic=True))
    symbol, colour, weight = WORDS[line.outcome]
    write(axes, WORD, y, f"{symbol} {line.outcome}", RIGHT - WORD + 0.1, Style(colour, weight=weight))


def draw_bar(axes: Axes, bar: Bar, place: int | None, y: float) -> None:
    """Interval and estimate, with arrows where they go on beyond the axis."""
    colour, left, right = colour_of(place), across(bar.left.at), across(bar.right.at)
    stroke(axes, [left, right], [y, y], color=colour, lw=1.7, solid_capstyle="butt", zorder=3)
    for end, x in ((bar.left, left), (bar.right, right)):
        if end.beyond:
            arrow, outwards = (">", 0.06) if end.at > 0 else ("<", -0.06)
            stroke(axes, [x + outwards], [y], marker=arrow, color=colour, ms=5, mew=0, zorder=3)
        else:
            stroke(axes, [x, x], [y - 0.045, y + 0.045], color=colour, lw=1.2, zorder=3)
    beside = math.copysign(0.06, -bar.estimate.at) if bar.estimate.beyond else 0.0
    draw_mark(axes, across(bar.estimate.at) + beside, y, place, open_=bar.estimate.beyond)


def draw_mark(axes: Axes, x: float, y: float, place: int | None, *, open_: bool = False) -> None:
    """A pin's own mark."""
    marker, colour = MARKERS[place % len(MARKERS)] if place is not None else "o", colour_of(place)
    fill = "white" if open_ else colour
    stroke(axes, [x], [y], marker=marker, ls="none", ms=4.6, mec=colour, mfc=fill, mew=1, zorder=4)


def colour_of(place: int | None) -> str:
    """A candidate's colour; grey for the control."""
    return CONTROL if place is None else CANDIDATES[place % len(CANDIDATES)]


def draw_scale(axes: Axes, panel: Panel, top: float, bottom: float) -> float:
    """The axis below the lines, its grid and the band of what would not matter behind them; the place below it."""
    axes.add_patch(Rectangle((across(-1), top), across(1) - across(-1), bottom - top, facecolor=BAND, zorder=1))
    rule(axes, PLOT, PLOT_END, bottom, "#333333")
    for margins in TICKS:
        x = across(margins)
        stroke(axes, [x, x], [top, bottom], color="#777777" if margins == 0 else FAINT, lw=0.8, zorder=2)
        stroke(axes, [x, x], [bottom, bottom + 0.04], color="#333333", lw=0.8)
    draw_numbers(axes, bottom + 0.13)
    words = f"difference from {panel.baseline}, in margins of the metric"
    write(axes, (PLOT + PLOT_END) / 2, bottom + 0.32, words, PLOT_END - PLOT + 1, Style(size=8.5, side="center"))
    return bottom + 0.62


def draw_numbers(axes: Axes, y: float) -> None:
    """The numbers of the axis, which stand above the lines too, as there may be many."""
    for margins in TICKS:
        number = f"{margins:+d}".replace("-", "−") if margins else "0"
        write(axes, across(margins), y, number, 1, Style(size=8.5, side="center"))


def across(margins: float) -> float:
    """Where a place on the axis lies."""
    return (PLOT + PLOT_END) / 2 + margins / LIMIT * (PLOT_END - PLOT) / 2


def stroke(axes: Axes, xs: list[float], ys: list[float], **how: Any) -> None:
    """A line or a marker, without the limits that `Axes.plot` works out from each of them: ours are set in the end."""
    axes.add_artist(Line2D(xs, ys, **how))


def rule(axes: Axes, start: float, end: float, y: float, colour: str) -> None:
    """A thin line from side to side."""
    stroke(axes, [start, end], [y, y], color=colour, lw=0.8, solid_capstyle="butt", zorder=2)


def write(axes: Axes, x: float, y: float, text: str, room: float, style: Style = PLAIN) -> None:
    """A text no wider than its room."""
    font = font_of(style)
    fitted, _ = fit(text, room, font)
    how: dict[str, Any] = {"color": style.colour, "ha": style.side, "va": "center_baseline", "zorder": 5}
    axes.text(x, y, fitted, fontproperties=font, **how)


def font_of(style: Style = PLAIN) -> FontProperties:
    """The one font, which comes with matplotlib, so that every machine has it."""
    slant: Literal["italic", "normal"] = "italic" if style.italic else "normal"
    return FontProperties(family="DejaVu Sans", size=style.size, weight=style.weight, style=slant)


def fit(text: str, room: float, font: FontProperties) -> tuple[str, float]:
    """The text, cut off where its room ends, and how wide it is. What the font lacks is shown as �."""
    face = get_font(findfont(font))
    known = "".join(character if face.get_char_index(ord(character)) else "�" for character in text)
    fitted, width = known, width_of(known, font)
    while width > room and len(known) > 1:
        known = known[: min(len(known) - 1, int(len(known) * room / width) + 1)]
        fitted = known.rstrip() + "…"
        width = width_of(fitted, font)
    return fitted, width


@lru_cache(maxsize=10_000)
def width_of(text: str, font: FontProperties) -> float:
    """The width of a text, in inches."""
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72
