"""Quantities: the metrics of cases as the reports treat them, and how numbers of each unit are shown.

A metric that its case does not declare is shown all the same, under its own name, by the rules of its unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Union

from harness.core.declaration import (
    Case,
    Combination,
    Comparison,
    DeclaredBreakdown,
    DeclaredMetric,
    Direction,
    Parameter,
    key_of,
)


@dataclass(frozen=True)
class Scale:
    """How values recorded in one unit are shown: `value * factor` in `unit`."""

    unit: str
    factor: float = 1.0
    decimals: int | None = None
    """Digits after the point, where not as many as make four in all."""


UNITS: dict[str, tuple[Scale, Comparison]] = {
    "bytes": (Scale("MiB", 1 / 2**20), "ratio"),
    "s": (Scale("s"), "ratio"),
    "pictures/s": (Scale("pictures/s"), "ratio"),
    "fraction": (Scale(""), "points"),
    "1/epoch": (Scale("%", 100.0, decimals=2), "difference"),
    "steps": (Scale("steps"), "count"),
    "parameters": (Scale("parameters"), "count"),
    "nodes": (Scale(""), "difference"),
    "ratio": (Scale("×"), "ratio"),
    "number": (Scale(""), "ratio"),
}
"""By recorded unit how it is shown, and how a metric is compared that no case declares. Of other units, which only such
a metric can have, the number is shown as it is, and pins are compared by the difference."""
SHOWN: dict[str, Scale] = {"ms": Scale("ms", 1e3), "points": Scale("pt", 100.0, decimals=1)}
"""What a declaration may ask for in place of that."""
MINUS = "\N{MINUS SIGN}"
SMALLEST = -4
"""The exponent of ten below which a number is written with it."""
MOST = 1e100
"""Above which no number is true of a run: sums, squares and differences of such numbers overflow."""
MOST_RATIO = 100.0
"""Above which it is only said that a ratio is above: the interval of two noisy pairs may end at any number. One that
reaches so far, or as far down, has no bound there."""

At = tuple[tuple[Parameter, Union[int, float, str]], ...]
"""A combination of a case's parameters, in their order."""


@dataclass(frozen=True)
class Quantity:
    """A metric of a case, at one combination of its parameters where it has some. `unit` is the recorded one."""

    name: str
    title: str
    unit: str
    better: Direction
    comparison: Comparison
    scale: Scale
    declared: DeclaredMetric | None = None
    """None where the case does not declare it."""
    at: At = ()

    @cached_property
    def key(self) -> str:
        """What tells it from all others of its case: the name, with the combination where there is one."""
        return key_of(self.name, {parameter.name: value for parameter, value in self.at})

    def heading(self) -> str:
        """The title with the unit in which the values are shown, unless it ends in it."""
        unit = self.scale.unit
        return f"{self.title} ({unit})" if unit and not self.title.endswith(unit) else self.title

    def shown(self, value: float) -> str:
        """A recorded value, in the unit of the heading."""
        scaled = value * self.scale.factor
        if self.scale.decimals is not None:
            return signed(f"{scaled:.{self.scale.decimals}f}")
        if self.comparison == "points":
            return f"{scaled:.3f}"
        return four_digits(scaled) if self.comparison == "ratio" else count(scaled)

    @property
    def relative(self) -> bool:
        """Whether pins are compared by a ratio."""
        return self.comparison in ("ratio", "spread")

    def is_beyond(self, difference: float) -> bool:
        """Whether it is a ratio of which it is only said that it is above `MOST_RATIO`."""
        return self.relative and difference > MOST_RATIO

    def shown_difference(self, difference: float) -> str:
        """A ratio or a difference of recorded values, signed: `+4.1 %`, `+0.8 pt`, `+2`."""
        if self.is_beyond(difference):
            return f"> +{MOST_RATIO * 100:,.0f} %"
        if self.relative:
            return signed(f"{(difference - 1) * 100:+,.1f}") + " %"
        if self.comparison == "points":
            return signed(f"{difference * 100:+.1f}") + " pt"
        if self.scale.decimals is not None:
            return signed(f"{difference * self.scale.factor:+.{self.scale.decimals}f}") + f" {self.scale.unit}"
        changed = signed(("+" if difference > 0 else "") + count(difference * self.scale.factor))
        return f"{changed} {self.scale.unit}" if self.unit == "bytes" else changed

    def shown_interval(self, low: float, high: float) -> str:
        """An interval of such differences: `[+2.0 %, +6.3 %]`; without an upper bound `[+2.0 % or more]`."""
        below, above = self.relative and low < 1 / MOST_RATIO, self.is_beyond(high)
        if below and above:
            return "[anything]"
        if below or above:
            return f"[{self.shown_difference(low)} or more]" if above else f"[{self.shown_difference(high)} or less]"
        return f"[{self.shown_difference(low)}, {self.shown_difference(high)}]"


def quantity_of(case: Case, name: str, unit: str, at: Combination | None = None) -> Quantity:
    """The quantity of a metric that runs of a case have recorded in `unit`, at a combination of its parameters."""
    declared = case.metric(name)
    parameters = {parameter.name: parameter for parameter in case.parameters}
    combination = tuple((parameters.get(one, Parameter(one, one, "")), value) for one, value in (at or {}).items())
    title = ", ".join([declared.title if declared else name.replace("_", " "), *map(setting, combination)])
    scale, comparison = UNITS.get(unit, (Scale(unit), "difference"))
    better: Direction = declared.better if declared else "lower"
    # a declared metric that comes in another unit than it should is shown by the rules of the unit it has
    if declared and declared.unit == unit:
        scale, comparison = SHOWN.get(declared.shown, scale), declared.compared
    return Quantity(name, title, unit, better, comparison, scale, declared, combination)


def setting(one: tuple[Parameter, Union[int, float, str]]) -> str:
    """A parameter with its value: `image size 640 px`."""
    parameter, value = one
    return " ".join(filter(None, [parameter.title, str(value), parameter.unit]))


def guess(case: Case, name: str, at: Combination | None = None) -> Quantity:
    """The quantity of a metric of which there is only the reason why it was not measured."""
    declared = case.metric(name)
    return quantity_of(case, name, declared.unit if declared else "", at)


def quantity_in_parts(declared: DeclaredBreakdown) -> Quantity:
    """What a breakdown breaks down, which pins are compared in by the difference."""
    scale = SHOWN.get(declared.shown, UNITS[declared.unit][0])
    return Quantity(declared.name, declared.title, declared.unit, "lower", "difference", replace(scale, decimals=1))


def four_digits(value: float) -> str:
    """Four significant digits, or all of the integer part where that has more: 40,960 · 412.3 · 30.00 · 0.8123. Three
    and an exponent for what is so small that zeros would fill the column: 3.07e−7."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < SMALLEST:
        mantissa, _, power = f"{value:.2e}".partition("e")
        return f"{mantissa}e{MINUS}{-int(power)}"
    return f"{value:,.{max(0, 3 - exponent)}f}"


def count(value: float) -> str:
    """A whole number as one, others in four digits: 7 · 1,024 · 2.500."""
    return f"{value:,.0f}" if value == int(value) else four_digits(value)


def signed(number: str) -> str:
    """With a real minus sign, and without a sign where all digits are zero."""
    return number.lstrip("+-") if not number.strip("+-0.,") else number.replace("-", MINUS)
