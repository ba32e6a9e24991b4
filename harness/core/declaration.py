"""How a case declares itself: its settings, how it is run, and what it yields. No torch, no words of a report.

A case is a folder in `cases/`. Its `__init__.py` has a docstring that says what the case shows, and `CASE`, a `Case`;
its `body.py` has `measure(run)`, which runs inside a pin. Everything else learns of the case from the declaration.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Optional, Union, get_args

import msgspec

from harness.core.settings import CaseSettings, DeviceSettings

Direction = Literal["lower", "higher"]
Unit = Literal["bytes", "s", "pictures/s", "fraction", "1/epoch", "steps", "parameters", "nodes", "ratio", "number"]
"""What a metric is recorded in; a number is above 0, and has no unit. How each is shown is in
`reports/evidence/units.py`."""
UNITS: tuple[Unit, ...] = get_args(Unit)

Comparison = Literal["ratio", "points", "difference", "count", "spread"]
"""Candidate to baseline: as a ratio (shown in per cent), in points of a fraction (1 pt = 0.01), subtracted, as the
numbers of events that they are, or by the ratio of the spreads of all their runs (shown in per cent too)."""

Begins = Literal["drawn", "given", "either"]
"""Weights that are drawn from the seed; given ones, which are the user's or else those of a short training of the
baseline; or the user's, and drawn ones where there are none."""

RELEASE = re.compile(r"([0-9]+\.[0-9]+(\.[0-9]+)?)?")
"""A release, as two or three numbers, or none."""

Applies = Literal["always", "cpu", "cuda", "amp"]
"""The runs that something is there for: all, those on a CPU, on a GPU, or on a GPU in mixed precision."""


def applies(where: Applies, device: str, precision: str) -> bool:
    """Whether a run on this device in this precision is one of those."""
    on_gpu = device != "cpu"
    return {"always": True, "cpu": not on_gpu, "cuda": on_gpu, "amp": on_gpu and precision == "amp"}[where]


@dataclass(frozen=True)
class DeclaredMetric:
    """A quantity that a case measures. `ValueError` for a unit that there is not."""

    name: str
    title: str
    unit: Unit
    compared: Comparison
    better: Direction = "lower"
    shown: Literal["", "ms", "points"] = ""
    """In place of how its unit is shown: milliseconds for s, points (1 pt = 0.01) for a fraction."""
    applies: Applies = "always"
    headline: bool = True
    """Whether the table still has its row where no run has any figure."""
    zero: Literal["a value", "nothing learnt", "nothing changed"] = "a value"
    """What it means that every run has exactly 0. Where that is no value, the metric was not measured."""
    spread_of: str = ""
    """The metric whose spread over the runs of a pin this one is: the reports derive it, no run records it."""
    by: tuple[str, ...] = ()
    """The parameters of the case that it has a value for each combination of."""
    by_part: bool = False
    """Whether each of its samples is of a part of the run that all pins have alike, such as what one process did. Pins
    are then compared part by part, else by the runs' medians."""
    chaotic: bool = False
    """Whether one rounding in the initial weights moves it as far as any chance does. The control is nudged by one, so
    its difference there shows chance, and is no alarm about the machine."""
    drawn: bool = False
    """Whether every round has a value that chance draws, if its seed does what it should. One that is the same in all
    rounds, and another one on another pin, then tells no difference between the two."""
    margin: Optional[float] = None
    """The change that would matter where policy.toml does not say, for a finding that does not gate. None: what
    policy.toml does not name has no finding."""

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"the metric {self.name!r} is in {self.unit!r}; the units are {', '.join(UNITS)}")


@dataclass(frozen=True)
class DeclaredSeries:
    """Values over a run, for curves. `NAME:PART` is a part of the series NAME, such as one term of a loss."""

    name: str
    title: str
    unit: Literal["", "bytes", "s"] = ""
    counted: str = "step"
    """What its values are counted by, in words: step, epoch."""
    logarithmic: bool = False
    drawn: bool = True


@dataclass(frozen=True)
class ByRun:
    """A check that each run judges by itself."""


@dataclass(frozen=True)
class BetweenPins(ByRun):
    """A check that each run judges by itself, and whose parts are pins: `NAME:PIN` is on what that pin has written and
    the run's own pin reads. Reports show it as a table of pins by pins. What the baseline wrote speaks for or against
    a candidate; the rest is shown."""

    what: str
    """What is carried from pin to pin, as a heading."""
    advice: str
    """What can be done where it fails, in whole sentences."""


@dataclass(frozen=True)
class ByTrend:
    """A check on how a series by epoch grows in a run: the whole interval of its growth has to lie below a yardstick
    of the policy. The first `warmup` epochs of every process tell nothing; the case's settings have the number under
    that name."""

    series: str
    yardstick: str
    warmup: str = "warmup_epochs"


@dataclass(frozen=True)
class ByGrowths:
    """The rule of thumb on a series by epoch: looked at every `looks` epochs, it grows by more than `growth` (a share)
    `growths` times in a row."""

    series: str
    looks: int = 10
    growths: int = 3
    growth: float = 0.03


@dataclass(frozen=True)
class BySpread:
    """A check on how far the runs of a pin lie apart: the whole interval of the spread of a metric has to lie below a
    yardstick of the policy."""

    metric: str
    yardstick: str


@dataclass(frozen=True)
class DeclaredCheck:
    """Something that has to hold on every pin by itself."""

    name: str
    title: str
    """What has to hold, as a sentence without a full stop. `{interval}` and `{most}` stand for how sure the interval
    is and for the yardstick, `{part}` for the PART where runs make the check `NAME:PART` several times."""
    judged: Union[ByRun, ByTrend, ByGrowths, BySpread] = ByRun()
    gates: bool = True
    """Whether a candidate that breaks it is held."""
    applies: Applies = "always"
    asked: str = ""
    """The field of the case's settings that says whether it is looked for; empty: always."""

    def concerns(self, device: str, precision: str, settings: Optional[Mapping[str, Any]]) -> bool:
        """Whether a run on this device, in this precision and with these settings is to tell it."""
        asked = not self.asked or bool((settings or {}).get(self.asked, True))
        return asked and applies(self.applies, device, precision)


@dataclass(frozen=True)
class DeclaredFingerprint:
    """A value or digest that is compared between all pairs of pins."""

    name: str
    title: str
    tolerance: Optional[float] = None
    """The relative difference up to which values count as alike; None: only equal ones do."""
    counted: str = "step"
    """What the values of a list are counted by, in words."""
    differs: str = ""
    """Why pins are known to differ in it; empty where it should be the same on all."""
    by_name: bool = False
    """Whether its values have no order, but belong to their places by name: pins are compared name by name, and each
    that differs is told. A name may be there on one pin alone."""
    inventory: bool = False
    """Whether it lists what an environment has, by name: reports show all of it among the environments, and of pairs of
    pins only in how much they differ."""


@dataclass(frozen=True)
class DeclaredBreakdown:
    """A quantity in parts by name, which add up to it. Which names there are, the runs tell; of one that a run does not
    have, it has 0. `ValueError` for a unit that there is not."""

    name: str
    title: str
    what: str
    """What the whole is, as one takes more or less of it: time for a step."""
    unit: Unit
    shown: Literal["", "ms"] = ""
    """In place of how its unit is shown: milliseconds for s."""
    by_part: bool = False
    """Whether each of its rows is of a part of the run that all pins have alike, such as one process; else the rows are
    of the turns, one a lap."""
    beside: tuple[str, ...] = ()
    """The metrics, of this case or others, that are the same quantity without what it costs to look into it."""

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"the breakdown {self.name!r} is in {self.unit!r}; the units are {', '.join(UNITS)}")


LACKING = ("raises ", "not there")
"""What a value of a probe has in it that says that something fails, or is not there."""


@dataclass(frozen=True)
class DeclaredProbe(DeclaredFingerprint):
    """A fingerprint of what the library does in one small experiment: where two pins differ, a behaviour has changed.
    `ValueError` for a text that is missing, or an address that is none."""

    topic: str = ""
    """What it belongs to, as a heading."""
    why: str = ""
    """Why anyone should care, as a sentence."""
    means: str = ""
    """What a change means for one's own code, as a sentence."""
    see: Mapping[str, str] = field(default_factory=dict)
    """Where it is documented: by the release (2.6) with which it changed, the address that says so. Under an empty
    release: what is said of it where nothing changes."""

    def __post_init__(self) -> None:
        for name in ("title", "topic", "why", "means"):
            if not getattr(self, name):
                raise ValueError(f"the probe {self.name!r} has no {name}")
        for release, address in self.see.items():
            if not address.startswith("https://") or not RELEASE.fullmatch(release):
                raise ValueError(f"the probe {self.name!r} has no release and address in {release!r}: {address!r}")


@dataclass(frozen=True)
class Parameter:
    """Something that a case does once for each of several values. `values`: the field of its settings that lists
    them."""

    name: str
    title: str
    values: str
    unit: str = ""


@dataclass(frozen=True)
class Turns:
    """Runs that take turns: the processes of all pins are alive at once, lap by lap, until all have done their work."""

    metrics: tuple[str, ...]
    """Those whose samples are of the turns, one each at every combination of their parameters: of runs that took turns
    they are compared lap by lap. The first is what the turns are for."""
    rest: str = ""
    """The metric in which that shows which strikes fewer than half of the turns."""


@dataclass(frozen=True)
class TradeOff:
    """What the values of a parameter bring and what they cost, for a figure with one line a pin, and its knee: the
    value at which the gain, less `worth` for every doubling of the cost, is greatest. Beyond the knee a doubling of the
    cost brings less than `worth`."""

    gain: str
    """A metric of which more is better, with one value a run."""
    cost: str
    """A metric that the turns measure."""
    along: str
    """The parameter. Both metrics are by it; the gain is by none that the cost is not by."""
    draws: str
    """The series whose part for each combination of the gain's parameters has the gain of random halves of the
    pictures. A half that is drawn without replacement is off by what chance is in all of them."""
    worth: float
    """In the unit of the gain."""


Combination = dict[str, Union[int, float, str]]
"""One value of each parameter, by its name."""


@dataclass(frozen=True)
class Case:
    """The declaration of a case. `name` and `about` are filled in from its folder and its docstring."""

    settings: Optional[type[CaseSettings]] = None
    """What it reads from its table of a profile; None for a case that needs none."""
    command: str = ""
    """The field of its settings with what follows `python`, where a run is that command and nothing else: what the
    profile says of recipe, pictures, precision and data set does not concern it. Empty: it trains, or works on data."""
    table: str = ""
    """What that table is called, where not as the case: `[profiles.NAME.TABLE]`."""
    parameters: tuple[Parameter, ...] = ()
    turns: Optional[Turns] = None
    """Set where its runs take turns."""
    tradeoff: Optional[TradeOff] = None
    """Set where one of its parameters buys something and costs something."""
    peers: bool = False
    """Whether a run calls on the environments of the other pins."""
    weights: Begins = "drawn"
    """What a run begins with."""
    helpers: tuple[str, ...] = ()
    """The environments of `[environments.*]` in matrix.toml that a run calls on."""
    finds_device: bool = False
    """Whether a run finds its device by itself; its settings are then `DeviceSettings`."""
    metrics: tuple[DeclaredMetric, ...] = ()
    series: tuple[DeclaredSeries, ...] = ()
    checks: tuple[DeclaredCheck, ...] = ()
    fingerprints: tuple[DeclaredFingerprint, ...] = ()
    breakdowns: tuple[DeclaredBreakdown, ...] = ()
    name: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        if self.finds_device and not (self.settings and issubclass(self.settings, DeviceSettings)):
            raise ValueError("a case that finds its device has settings that are DeviceSettings")
        for kind in (self.metrics, self.series, self.checks, self.fingerprints, self.breakdowns, self.parameters):
            names = [one.name for one in kind]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"it declares {twice[0]!r} twice")
        self.require_own()

    def require_own(self) -> None:
        """`ValueError` where something declared rests on something that is not."""
        metrics, series = ({one.name for one in kind} for kind in (self.metrics, self.series))
        for name in filter(None, (*self.turns.metrics, self.turns.rest)) if self.turns else ():
            if name not in metrics:
                raise ValueError(f"its turns measure {name!r}, which is none of its metrics")
        parameters = {parameter.name for parameter in self.parameters}
        for metric in self.metrics:
            if set(metric.by) - parameters:
                raise ValueError(f"its metric {metric.name!r} is by a parameter that it does not have")
            if metric.spread_of and metric.spread_of not in metrics:
                raise ValueError(f"its metric {metric.name!r} is the spread of none of its metrics")
        if self.tradeoff:
            self.require_tradeoff(self.tradeoff)
        for check in self.checks:
            rests_on = getattr(check.judged, "series", "") or getattr(check.judged, "metric", "")
            if rests_on and rests_on not in metrics | series:
                raise ValueError(f"its check {check.name!r} rests on {rests_on!r}, which is none of its own")
        self.require_settings()

    def require_settings(self) -> None:
        """`ValueError` where something declared names a field that its settings do not have."""
        names = {own.name for own in msgspec.structs.fields(self.settings)} if self.settings else set()
        for check in self.checks:
            if check.asked and check.asked not in names:
                raise ValueError(f"its settings have no {check.asked!r}, which says whether a check is looked for")
        if self.command and self.command not in names:
            raise ValueError(f"its settings have no {self.command!r}, which says what command a run is")
        for parameter in self.parameters:
            if parameter.values not in names:
                raise ValueError(f"its settings have no {parameter.values!r}, which lists the values of a parameter")

    def require_tradeoff(self, one: TradeOff) -> None:
        """`ValueError` where a trade-off rests on what is not declared, or not as it has to be."""
        gain, cost = self.metric(one.gain), self.metric(one.cost)
        if gain is None or cost is None or one.draws not in {series.name for series in self.series}:
            named = f"{one.gain!r}, {one.cost!r} and {one.draws!r}"
            raise ValueError(f"its trade-off rests on {named}, which are not all its own")
        if not self.turned(one.cost):
            raise ValueError(f"the cost {one.cost!r} of its trade-off is not what its turns measure")
        if one.along not in gain.by or not set(gain.by) <= set(cost.by):
            raise ValueError(
                f"the gain of its trade-off is not by {one.along!r}, or by something that the cost is not by"
            )

    def turned(self, name: str) -> bool:
        """Whether the metric of that name is what its turns measure."""
        return self.turns is not None and name in self.turns.metrics

    def metric(self, name: str) -> Optional[DeclaredMetric]:
        """The metric of that name, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def one_series(self, name: str) -> Optional[DeclaredSeries]:
        """The series of that name, or of which it names a part; None where there is none."""
        whole, _, part = name.partition(":")
        found = next((series for series in self.series if series.name == whole), None)
        return replace(found, name=name, title=f"{found.title}, {part}") if found and part else found

    def check(self, name: str) -> Optional[DeclaredCheck]:
        """The check of that name, or of which it names a part; None where there is none."""
        whole, _, part = name.partition(":")
        found = next((check for check in self.checks if check.name == whole), None)
        return replace(found, name=name, title=found.title.replace("{part}", part)) if found and part else found

    def fingerprint(self, name: str) -> Optional[DeclaredFingerprint]:
        """The fingerprint of that name, or of which it names a part; None where there is none."""
        whole, _, part = name.partition(":")
        found = next((one for one in self.fingerprints if one.name == whole), None)
        return replace(found, name=name, title=f"{found.title}, {part}") if found and part else found

    def breakdown(self, name: str) -> Optional[DeclaredBreakdown]:
        """The breakdown of that name, or None."""
        return next((one for one in self.breakdowns if one.name == name), None)

    def combinations(self, settings: Mapping[str, Any], by: Optional[tuple[str, ...]] = None) -> Iterator[Combination]:
        """Every combination of the values that the settings list for the parameters, or for those of `by`."""
        wanted = [one for one in self.parameters if by is None or one.name in by]
        for values in itertools.product(*(settings[parameter.values] for parameter in wanted)):
            yield {parameter.name: value for parameter, value in zip(wanted, values)}


def key_of(name: str, at: Mapping[str, object]) -> str:
    """How a metric at one combination of parameters is called where one name must do: `latency[size=64,batch=1]`."""
    return f"{name}[{','.join(f'{parameter}={value}' for parameter, value in at.items())}]" if at else name


def name_in(key: str) -> str:
    """The name of the metric that has this key."""
    return key.partition("[")[0]


def part_name(series: str, at: Mapping[str, object]) -> str:
    """The part of a series for a combination of parameters: `gain:fp32, 64`."""
    return f"{series}:{', '.join(map(str, at.values()))}"
