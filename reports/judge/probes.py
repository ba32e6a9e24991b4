"""Probes: in what behaviour versions differ, from each to the next, and each beside the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.core.cases import read_case
from harness.core.declaration import LACKING, Case, DeclaredProbe
from harness.core.matrix import VERSION
from harness.core.record import Fingerprint
from harness.core.spec import TWIN
from reports.evidence.figures import Matrix, Observation
from reports.evidence.pairing import Refused
from reports.judge.fingerprints import PairOfPins, likeness, paired
from reports.judge.statements import (
    EFFECTS,
    ROUNDING,
    Effect,
    Likeness,
    Part,
    ProbeRow,
    Step,
    StepKind,
    Value,
)

Release = tuple[int, ...]


@dataclass(frozen=True)
class CaseRuns:
    """All planned runs of a case, and what is known of its pins."""

    case: Case
    runs: Sequence[Observation]
    baseline: str
    releases: Mapping[str, Release]

    def prints(self, declared: DeclaredProbe, pin: str) -> dict[int, Fingerprint]:
        """By round what the pin's runs came to in a probe."""
        return {
            one.spec.round: one.fingerprints[declared.name]
            for one in self.runs
            if one.spec.pin.name == pin and one.status == "ok" and declared.name in one.fingerprints
        }

    def steady(self, declared: DeclaredProbe, pin: str) -> bool:
        """Whether all runs of a pin came to the same, and if it is the baseline, those of its twin too."""
        of_twin = self.prints(declared, TWIN) if pin == self.baseline else {}
        return len({repr(one) for one in [*self.prints(declared, pin).values(), *of_twin.values()]}) <= 1


def probes_of(matrix: Matrix, refused: Refused) -> dict[str, list[ProbeRow]]:
    """By case that declares some, its probes in the order of the declaration."""
    releases = releases_of(matrix)
    baseline, *others = (pin for pin in matrix.pins if pin != TWIN)
    in_order = sorted((baseline, *others), key=lambda pin: releases.get(pin, (math.inf,)))
    found = {}
    for name, runs in matrix.by_case.items():
        of_case = CaseRuns(read_case(name), runs, baseline, releases)
        steps = [paired(matrix, name, pins, refused) for pins in pairwise(in_order)]
        against = {pin: paired(matrix, name, (baseline, pin), refused) for pin in others}
        rows = [
            ProbeRow(
                declared,
                tuple(step_of(declared, of_case, pair) for pair in steps),
                {pin: step_of(declared, of_case, pair) for pin, pair in against.items()},
            )
            for declared in of_case.case.fingerprints
            if isinstance(declared, DeclaredProbe)
        ]
        if rows:
            found[name] = rows
    return found


def releases_of(matrix: Matrix) -> dict[str, Release]:
    """The release of every pin of which it is known."""
    return {pin: release for pin in matrix.pins if (release := release_of(matrix, pin))}


def release_of(matrix: Matrix, pin: str) -> Release | None:
    """The release of torch that runs of a pin observed, or else its name says; None where neither does."""
    observed = [one.environment.torch for one in matrix.observations if one.spec.pin.name == pin and one.environment]
    match = VERSION.fullmatch(next(iter(observed), pin))
    return tuple(int(match[part]) for part in ("major", "minor", "patch")) if match else None


def step_of(declared: DeclaredProbe, of_case: CaseRuns, pair: PairOfPins) -> Step:
    """What a probe says of two pins."""
    of_pair = likeness(of_case.case.name, declared, pair)
    pins = (pair.first, pair.second)
    wavering = tuple(pin for pin in pins if not of_case.steady(declared, pin))
    if wavering:
        return Step("unsteady", of_pair, unsteady=wavering)
    kind = kind_of(of_pair)
    if kind != "changed":
        return Step(kind, of_pair)
    first, second = (of_case.prints(declared, pin)[of_pair.round or 0] for pin in pins)
    parts = parts_of(first, second, declared.tolerance or 0.0)
    if not parts:  # its tolerance is of the largest number of a name, and not of each
        return Step("same", of_pair)
    return Step(kind, of_pair, parts, tuple(documented(declared, *(of_case.releases.get(pin) for pin in pins))))


def kind_of(of_pair: Likeness) -> StepKind:
    """What the likeness of two pins says of a probe."""
    if of_pair.kind == "not compared":
        return "cannot run" if of_pair.why == "unable" else "not compared"
    return "changed" if of_pair.kind == "differs" else "same"


def parts_of(first: Fingerprint, second: Fingerprint, tolerance: float) -> tuple[Part, ...]:
    """The names whose values differ beyond the tolerance, the most expensive first."""
    one, other = by_name(first), by_name(second)
    parts = []
    for name in {**one, **other}:
        mine, yours = one.get(name, ()), other.get(name, ())
        largest = size_of(mine, yours)
        if mine != yours and (largest is None or largest > tolerance):
            parts.append(Part(name, mine, yours, largest, effect_of(mine, yours, largest)))
    return tuple(sorted(parts, key=lambda part: EFFECTS.index(part.effect)))


def effect_of(first: tuple[Value, ...], second: tuple[Value, ...], largest: float | None) -> Effect:
    """What it does to code that the first values become the second."""
    if largest is not None and largest <= ROUNDING:
        return "rounding"
    lacked, lacks = lacking(first), lacking(second)
    if lacked or lacks:
        return "warns" if lacked and lacks else "stops" if lacks else "more"
    if says_warnings(first) and says_warnings(second):
        return "warns"
    return "more" if words_in(first) and words_in(first) < words_in(second) else "differs"


def lacking(values: tuple[Value, ...]) -> bool:
    """Whether values say that something fails, or is not there."""
    return any(isinstance(value, str) and any(mark in value for mark in LACKING) for value in values)


def says_warnings(values: tuple[Value, ...]) -> bool:
    """Whether a value says nothing but which warnings there were."""
    return all(word == "none" or word.endswith("Warning") for word in words_in(values) or {"no words"})


def words_in(values: tuple[Value, ...]) -> set[str]:
    """The words of a text that lists them; none for anything else."""
    return set(values[0].split(", ")) if len(values) == 1 and isinstance(values[0], str) else set()


def by_name(one: Fingerprint) -> dict[str, tuple[Value, ...]]:
    """The values of a fingerprint by what they are of."""
    found: dict[str, tuple[Value, ...]] = {}
    for name, value in zip(one.places, one.value, strict=True):
        found[name] = (*found.get(name, ()), value)
    return found


def size_of(first: tuple[Value, ...], second: tuple[Value, ...]) -> float | None:
    """The largest difference of two lists of numbers, as a share of the largest number; None for anything else."""
    numbers = [value for value in (*first, *second) if isinstance(value, (int, float))]
    if len(first) != len(second) or len(numbers) < 2 * len(first) or not numbers:
        return None
    largest = max(map(abs, numbers))
    pairs = zip(numbers[: len(first)], numbers[len(first) :], strict=True)
    return max(abs(one - other) for one, other in pairs) / largest if largest else 0.0


def documented(declared: DeclaredProbe, first: Release | None, second: Release | None) -> list[str]:
    """The addresses on releases after the older and up to the newer of two. A release of two numbers means its first
    one. Where a release is not known: those on all."""
    on = {tuple(map(int, since.split("."))): address for since, address in declared.see.items() if since}
    if first is None or second is None:
        return [*on.values()]
    older, newer = sorted((first, second))
    return [address for since, address in on.items() if older < (*since, 0)[:3] <= newer]
