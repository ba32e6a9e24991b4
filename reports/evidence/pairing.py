"""Which records may be compared, and what is paired: a candidate's value with the baseline's of the same round, or of
what the turns of a case measure each of its laps with the baseline's of the same sitting."""

from __future__ import annotations

import math
import operator
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.core.cases import read_case
from harness.core.declaration import name_in
from harness.core.record import Hashes, Sitting
from reports.evidence.figures import WHOLE, Matrix, Observation
from reports.evidence.units import Quantity

HASHES = {
    "data": "hash of the data set",
    "initial_weights": "hash of the initial weights",
    "batch_stream": "hash of the batch stream",
}
"""The hashes that a record must share with the baseline's of its round, and what they are called."""
HARDWARE = "hardware"
NODE = "node of the cluster"
FLAG = "flag "
"""How a flag that differs is named: `flag cudnn.benchmark`."""

Place = tuple[str, int, str]
"""Case, round and pin."""
PinValues = dict[str, dict[tuple[int, int], float]]
"""The values of one metric: by pin, and then by round and part, which is 0 where a run has one value."""
PinLaps = dict[str, dict[tuple[int, str], Sequence[float]]]
"""What the turns of a case measured, lap by lap: by pin, and then by round and name of the sitting."""
Shared = TypeVar("Shared")
"""What two pins must have in common to be paired: a part of a round, or a sitting in it."""


@dataclass(frozen=True)
class Refusal:
    """Why a record must not be compared with the one of `reference` in its round: what differs, by the names of
    `HASHES`, `HARDWARE`, `NODE` and `FLAG`.

    None at all: one of the two has no hashes, so nothing shows that they did the same work.
    """

    reference: str
    differing: tuple[str, ...]


Refused = dict[Place, Refusal]


@dataclass(frozen=True)
class Difference:
    """The median of a candidate's ratios or differences to the baseline, over `pairs` rounds or parts of them, or over
    all laps of so many sittings; None without a pair."""

    value: float | None
    pairs: int
    runs: int
    """Rounds or sittings in which the candidate has a value, with or without one of the baseline's to pair it with."""
    refused: int
    """Those with both values whose records must not be compared."""


def incomparable(matrix: Matrix) -> Refused:
    """The records that must not be compared with their round's first: the baseline's, if that is there."""
    done: dict[tuple[str, int], dict[str, Observation]] = {}
    for one in matrix.done:
        done.setdefault((one.spec.case, one.spec.round), {})[one.spec.pin.name] = one
    pins = matrix.pins
    found: Refused = {}
    for (case, index), runs in done.items():
        reference, *others = [pin for pin in pins if pin in runs]
        for pin in others:
            differing = differing_in(runs[reference], runs[pin])
            if differing is not None:
                found[case, index, pin] = Refusal(reference, differing)
    return found


def differing_in(reference: Observation, own: Observation) -> tuple[str, ...] | None:
    """What two runs of a round must share and do not: the work, the machine, and where all pins were to have them
    alike, the flags. None where nothing differs."""
    if reference.hashes is None or own.hashes is None:
        return ()
    differing = differing_hashes(reference.hashes, own.hashes)
    if reference.hardware != own.hardware:
        differing.append(HARDWARE)
    one, other = reference.environment, own.environment
    if one and other and one.node != other.node:
        differing.append(NODE)
    if own.spec.flags == "pinned" and one and other:
        names = {**one.flags, **other.flags}
        differing += [FLAG + name for name in names if one.flags.get(name) != other.flags.get(name)]
    return tuple(differing) or None


def differing_hashes(reference: Hashes, own: Hashes) -> list[str]:
    """The hashes that differ."""
    return [name for name in HASHES if getattr(reference, name) != getattr(own, name)]


def values_of(matrix: Matrix, case: str, key: str, refused: Iterable[Place] = ()) -> PinValues:
    """The values of a metric, by its key, in all runs that may be compared by rounds or parts, which come in order. Of
    what the turns of a case measure these are the runs that took turns with nobody."""
    together = taking_turns(matrix, case) if is_turned(case, key) else set()
    values: PinValues = {}
    for one in matrix.by_case.get(case, []):
        index, pin = one.spec.round, one.spec.pin.name
        value = one.figure(key).value
        if value is not None and (case, index, pin) not in refused and (case, index, pin) not in together:
            own = values.setdefault(pin, {})
            for part, sample in enumerate(parts_of(one, key, value)):
                own[index, part] = sample
    return values


def parts_of(run: Observation, key: str, value: float) -> Sequence[float]:
    """The samples of a metric that are of parts of a run; of others the run's value alone."""
    return run.parts.get(key) or (value,)


def is_turned(case: str, key: str) -> bool:
    """Whether the metric of that key is what the turns of a case measure."""
    return read_case(case).turned(name_in(key))


def taking_turns(matrix: Matrix, case: str) -> set[Place]:
    """The runs of a case that shared a sitting with another one."""
    runs = matrix.by_case.get(case, [])
    seats = Counter((one.spec.round, sitting.name) for one in runs for sitting in one.sittings)
    return {
        (case, one.spec.round, one.spec.pin.name)
        for one in runs
        if any(seats[one.spec.round, sitting.name] > 1 for sitting in one.sittings)
    }


def laps_of(matrix: Matrix, case: str, key: str, refused: Iterable[Place] = ()) -> PinLaps:
    """What the turns of a case measured of one metric, by its key, in all runs that may be compared; rounds and
    sittings in order."""
    laps: PinLaps = {}
    for one in matrix.by_case.get(case, []):
        if (case, one.spec.round, one.spec.pin.name) not in refused:
            for sitting, own in laps_by_sitting(one, key):
                laps.setdefault(one.spec.pin.name, {})[one.spec.round, sitting.name] = own
    return laps


def rows_of(matrix: Matrix, case: str, breakdown: str, refused: Iterable[Place] = ()) -> dict[str, PinLaps]:
    """The rows of a breakdown, by part, in all runs that may be compared. Of a part that a run does not have it has 0
    in every row."""
    runs = [
        one
        for one in matrix.by_case.get(case, [])
        if breakdown in one.breakdowns and (case, one.spec.round, one.spec.pin.name) not in refused
    ]
    found: dict[str, PinLaps] = {}
    for part in dict.fromkeys(part for one in runs for part in one.breakdowns[breakdown]):
        for one in runs:
            own = one.breakdowns[breakdown]
            values = own.get(part) or [[0.0] * len(rows) for rows in own[WHOLE]]
            laps = found.setdefault(part, {}).setdefault(one.spec.pin.name, {})
            laps.update({(one.spec.round, sitting.name): rows for sitting, rows in zip(one.sittings, values) if rows})
    return found


def laps_by_sitting(run: Observation, key: str) -> Iterator[tuple[Sitting, Sequence[float]]]:
    """The laps of a run by its sittings; one of which all laps were warm-up is left out."""
    for sitting, laps in zip(run.sittings, run.laps.get(key, []), strict=False):
        if laps:
            yield sitting, laps


def shared(values: Mapping[str, Mapping[Shared, object]], pin: str, baseline: str) -> list[Shared]:
    """The rounds, parts or sittings in which both have a value, in order."""
    own = values.get(pin, {})
    return [each for each in values.get(baseline, {}) if each in own]


def log_ratios(laps: PinLaps, pin: str, baseline: str) -> list[list[float]]:
    """By sitting that both were in, the log-ratio of every lap to the baseline's; where one of the two ended sooner, as
    far as both went."""
    return [
        [*map(math.log, map(operator.truediv, laps[pin][sitting], laps[baseline][sitting]))]
        for sitting in shared(laps, pin, baseline)
    ]


def differences(matrix: Matrix, case: str, quantity: Quantity, refused: Refused) -> dict[str, Difference]:
    """The difference of every candidate to the baseline, over what may be compared.

    Differences only describe. Intervals and findings are of `reports/judge`, from the same values.
    """
    baseline, *candidates = matrix.pins
    every = values_of(matrix, case, quantity.key)
    kept = values_of(matrix, case, quantity.key, refused) if refused else every
    found = {pin: by_rounds(quantity, every, kept, pin, baseline) for pin in candidates}
    if is_turned(case, quantity.key):
        laps, kept_laps = (laps_of(matrix, case, quantity.key, some) for some in ((), refused))
        for pin in candidates:
            if shared(laps, pin, baseline):
                found[pin] = by_laps(laps, kept_laps, pin, baseline)
    return found


def by_rounds(quantity: Quantity, every: PinValues, kept: PinValues, pin: str, baseline: str) -> Difference:
    """The median difference of runs of a round; `kept` are the values of those that may be compared."""
    rounds = shared(kept, pin, baseline)
    apart = [difference_of(quantity, kept[pin][index], kept[baseline][index]) for index in rounds]
    return Difference(
        value=statistics.median(apart) if apart else None,
        pairs=len(apart),
        runs=len(every.get(pin, {})),
        refused=len(shared(every, pin, baseline)) - len(apart),
    )


def by_laps(every: PinLaps, kept: PinLaps, pin: str, baseline: str) -> Difference:
    """The same of laps, as a ratio."""
    ratios = log_ratios(kept, pin, baseline)
    return Difference(
        value=math.exp(statistics.median(ratio for sitting in ratios for ratio in sitting)) if ratios else None,
        pairs=len(ratios),
        runs=len(every[pin]),
        refused=len(shared(every, pin, baseline)) - len(ratios),
    )


def difference_of(quantity: Quantity, value: float, baseline: float) -> float:
    """A ratio where pins are compared by the ratio of values, else a difference."""
    return value / baseline if quantity.comparison == "ratio" else value - baseline
