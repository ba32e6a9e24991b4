"""Which records may be compared, and what is paired: a candidate's value with the baseline's of the same turn."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from harness.core.record import Hashes
from reports.evidence.figures import Matrix, Observation
from reports.evidence.units import Quantity

HASHES = {
    "data": "hash of the data set",
    "initial_weights": "hash of the initial weights",
    "batch_stream": "hash of the batch stream",
}
"""The hashes that a record must share with the baseline's of its round, and what they are called."""
HARDWARE = "hardware"
FLAG = "flag "
"""How a flag that differs is named: `flag cudnn.benchmark`."""

Place = tuple[str, int, str]
"""Case, round and pin."""
Turn = tuple[int, str]
"""Round and sitting: what runs must share to be paired."""
PinValues = dict[str, dict[Turn, float]]
"""The values of one metric: by pin, and then by turn."""


@dataclass(frozen=True)
class Refusal:
    """Why a record must not be compared with the one of `reference` in its round: what differs, by the names of
    `HASHES`, `HARDWARE` and `FLAG`.

    None at all: one of the two has no hashes, so nothing shows that they did the same work.
    """

    reference: str
    differing: tuple[str, ...]


Refused = dict[Place, Refusal]


@dataclass(frozen=True)
class Difference:
    """The median over `pairs` turns of a candidate's ratio or difference to the baseline; None without a pair."""

    value: float | None
    pairs: int
    runs: int
    """Turns in which the candidate has a value, with or without one of the baseline's to pair it with."""
    refused: int
    """Turns with both values whose records must not be compared."""


def incomparable(matrix: Matrix) -> Refused:
    """The records that must not be compared with their round's first: the baseline's, if that is there."""
    done: dict[tuple[str, int], dict[str, Observation]] = {}
    for observation in matrix.observations:
        if observation.status == "ok":
            spec = observation.spec
            done.setdefault((spec.case, spec.round), {})[spec.pin.name] = observation
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
    if own.spec.flags == "pinned" and one and other:
        names = {**one.flags, **other.flags}
        differing += [FLAG + name for name in names if one.flags.get(name) != other.flags.get(name)]
    return tuple(differing) or None


def differing_hashes(reference: Hashes, own: Hashes) -> list[str]:
    """The hashes that differ."""
    return [name for name in HASHES if getattr(reference, name) != getattr(own, name)]


def values_of(matrix: Matrix, case: str, key: str, refused: Iterable[Place] = ()) -> PinValues:
    """The values of a metric, by its key, in all runs that may be compared, rounds in order."""
    values: PinValues = {}
    for one in matrix.by_case.get(case, []):
        figure = one.figures.get(key)
        if figure and figure.value is not None and (case, one.spec.round, one.spec.pin.name) not in refused:
            values.setdefault(one.spec.pin.name, {})[one.spec.round, ""] = figure.value
    return values


def turns_of(values: PinValues, pin: str, baseline: str) -> list[Turn]:
    """The turns in which both have a value, in order."""
    own = values.get(pin, {})
    return [turn for turn in values.get(baseline, {}) if turn in own]


def differences(matrix: Matrix, case: str, quantity: Quantity, refused: Refused) -> dict[str, Difference]:
    """The difference of every candidate to the baseline, over the turns whose records may be compared.

    Differences only describe. Intervals and findings are of `reports/judge`, from the same values.
    """
    baseline, *candidates = matrix.pins
    every = values_of(matrix, case, quantity.key)
    kept = values_of(matrix, case, quantity.key, refused)
    found = {}
    for pin in candidates:
        turns = turns_of(kept, pin, baseline)
        apart = [difference_of(quantity, kept[pin][turn], kept[baseline][turn]) for turn in turns]
        found[pin] = Difference(
            value=statistics.median(apart) if apart else None,
            pairs=len(apart),
            runs=len(every.get(pin, {})),
            refused=len(turns_of(every, pin, baseline)) - len(apart),
        )
    return found


def difference_of(quantity: Quantity, value: float, baseline: float) -> float:
    """A ratio where pins are compared by the ratio of values, else a difference."""
    return value / baseline if quantity.comparison == "ratio" else value - baseline
