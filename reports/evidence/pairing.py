"""Candidates against the baseline: which records may be compared, and the paired differences of those that may.

Differences only describe. Intervals and findings belong in modules of their own, on the pairs of `paired`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.core.record import Hashes
from reports.evidence.figures import Matrix, Observation
from reports.evidence.units import Quantity

HASHES = {
    "data": "hash of the data set",
    "initial_weights": "hash of the initial weights",
    "batch_stream": "hash of the batch stream",
}
"""The hashes that a record must share with the baseline's of its round, in words."""

Place = tuple[str, int, str]
"""Case, round and pin."""


@dataclass(frozen=True)
class Refusal:
    """Why a record must not be compared with the one of `reference` in its round: what differs, in words.

    No words at all: one of the two has no hashes, so nothing shows that they did the same work.
    """

    reference: str
    differing: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """The median over `pairs` rounds of a candidate's ratio or difference to the baseline; None without a pair."""

    value: float | None
    pairs: int
    runs: int
    """Rounds in which the candidate has a value, with or without one of the baseline's to pair it with."""
    refused: int
    """Rounds with both values whose records must not be compared."""


def incomparable(matrix: Matrix) -> dict[Place, Refusal]:
    """The records that must not be compared with their round's first: the baseline's, if that is there."""
    done: dict[tuple[str, int], dict[str, Observation]] = {}
    for observation in matrix.observations:
        if observation.status == "ok":
            spec = observation.spec
            done.setdefault((spec.case, spec.round), {})[spec.pin.name] = observation
    found: dict[Place, Refusal] = {}
    for (case, index), runs in done.items():
        reference, *others = [pin for pin in matrix.pins if pin in runs]
        for pin in others:
            differing = differing_in(runs[reference], runs[pin])
            if differing is not None:
                found[case, index, pin] = Refusal(reference, differing)
    return found


def differing_in(reference: Observation, own: Observation) -> tuple[str, ...] | None:
    """What two runs of a round must share and do not, in words: the work, the machine, and where all pins were to have
    them alike, the flags. None where nothing differs."""
    if reference.hashes is None or own.hashes is None:
        return ()
    differing = differing_hashes(reference.hashes, own.hashes)
    if reference.hardware != own.hardware:
        differing.append("hardware")
    one, other = reference.environment, own.environment
    if own.spec.flags == "pinned" and one and other:
        names = {**one.flags, **other.flags}
        differing += [f"flag {name}" for name in names if one.flags.get(name) != other.flags.get(name)]
    return tuple(differing) or None


def differing_hashes(reference: Hashes, own: Hashes) -> list[str]:
    """The hashes that differ, in words."""
    return [words for name, words in HASHES.items() if getattr(reference, name) != getattr(own, name)]


def paired(rows: pd.DataFrame, quantity: Quantity, pins: list[str]) -> pd.DataFrame:
    """Ratios or differences to the baseline, `pins[0]`: a row per round, a column per pin, nan without a pair.

    `rows` is the part of the tidy table that has one case and one metric.
    """
    values = rows.pivot(index="round", columns="pin", values="value").reindex(columns=pins)
    baseline = values[pins[0]]
    return values.div(baseline, axis=0) if quantity.scale.comparison == "ratio" else values.sub(baseline, axis=0)


def differences(
    rows: pd.DataFrame, quantity: Quantity, pins: list[str], refused: dict[Place, Refusal]
) -> dict[str, Difference]:
    """The difference of every candidate to the baseline, over the rounds whose records may be compared."""
    pairs = paired(rows, quantity, pins)
    case = str(rows["case"].iloc[0])
    allowed = pd.DataFrame(
        {pin: [(case, int(index), pin) not in refused for index in pairs.index] for pin in pins}, index=pairs.index
    )
    kept = pairs.where(allowed)
    medians, counts, all_counts = kept.median(), kept.count(), pairs.count()
    runs = rows.groupby("pin")["value"].count()
    return {
        pin: Difference(
            value=float(medians[pin]) if counts[pin] else None,
            pairs=int(counts[pin]),
            runs=int(runs.get(pin, 0)),
            refused=int(all_counts[pin] - counts[pin]),
        )
        for pin in pins[1:]
    }
