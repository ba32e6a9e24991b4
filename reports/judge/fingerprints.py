"""Fingerprints: what should be the same on all pins, or is known to differ, compared for every pair of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from harness.core.cases import read_case
from harness.core.declaration import Case, DeclaredFingerprint
from harness.core.record import Fingerprint
from reports.evidence.figures import Matrix, Observation
from reports.evidence.pairing import Refused
from reports.judge.statements import Apart, Likeness, LikenessKind, Value, WhyNot


@dataclass(frozen=True)
class Compared:
    """Two fingerprints of one round. `place` is None for digests and where all is equal; else the first index at which
    they are apart by more than the tolerance, or where they nowhere are, at which they are not equal. `at` is what the
    values there are of, empty where places have no names."""

    equal: bool
    beyond: bool
    """Whether they are apart by more than the tolerance."""
    place: int | None
    values: tuple[Value, Value] | None
    largest: float | None
    at: str = ""
    names: int = 0
    apart: tuple[Apart, ...] = ()


@dataclass(frozen=True)
class PairOfPins:
    """Two pins, with their runs in the rounds in which these may be compared. `why`: why a fingerprint that none of
    these runs has is not compared."""

    first: str
    second: str
    rounds: dict[int, tuple[Observation, Observation]]
    why: WhyNot


def likenesses_of(matrix: Matrix, refused: Refused) -> dict[str, list[Likeness]]:
    """By case, for each of its fingerprints and each pair of pins, what the two have in common."""
    found = {}
    for name, runs in matrix.by_case.items():
        pairs = [paired(matrix, name, pair, refused) for pair in combinations(matrix.pins, 2)]
        declared = fingerprints_of(read_case(name), runs)
        made = [likeness(name, one, pair) for one in declared for pair in pairs]
        if made:
            found[name] = made
    return found


def paired(matrix: Matrix, case: str, pins: tuple[str, str], refused: Refused) -> PairOfPins:
    """The runs of two pins in the rounds of a case in which both ended well."""
    mine, yours = ({one.spec.round: one for one in matrix.runs_of(case, pin) if one.status == "ok"} for pin in pins)
    both = [index for index in mine if index in yours]
    allowed = [index for index in both if not any((case, index, pin) in refused for pin in pins)]
    why: WhyNot = "not recorded" if allowed else "refused" if both else "no run"
    return PairOfPins(*pins, {index: (mine[index], yours[index]) for index in allowed}, why)


def fingerprints_of(case: Case, runs: Sequence[Observation]) -> Iterator[DeclaredFingerprint]:
    """Those that the case declares, of one that runs have in parts the parts; then others that records have: equal bit
    for bit is all that they can be."""
    recorded = dict.fromkeys(name for one in runs for name in one.fingerprints)
    for declared in case.fingerprints:
        parts = [case.fingerprint(name) for name in recorded if name.startswith(f"{declared.name}:")]
        yield from filter(None, parts or [declared])
    for name in recorded:
        if not case.fingerprint(name):
            yield DeclaredFingerprint(name, name.replace("_", " "))


def likeness(case: str, declared: DeclaredFingerprint, pair: PairOfPins) -> Likeness:
    """What two pins have in common in one fingerprint of a case."""
    name = declared.name
    both = {
        index: (mine.fingerprints[name], yours.fingerprints[name])
        for index, (mine, yours) in pair.rounds.items()
        if name in mine.fingerprints and name in yours.fingerprints
    }
    if not both:
        return Likeness(case, declared, pair.first, pair.second, "not compared", why=pair.why)
    unable = next(((one.unable, other.unable) for one, other in both.values() if one.unable or other.unable), None)
    if unable:
        return Likeness(case, declared, pair.first, pair.second, "not compared", len(both), why="unable", unable=unable)
    compare = compared_by_name if declared.by_name else compared
    by_round = {index: compare(*the_two, declared.tolerance) for index, the_two in both.items()}
    return summed_up(Likeness(case, declared, pair.first, pair.second, "alike", len(by_round)), by_round)


def summed_up(of_pair: Likeness, by_round: dict[int, Compared]) -> Likeness:
    """The likeness over all rounds: told by the one that differs first."""
    unequal = {index: one for index, one in by_round.items() if not one.equal}
    beyond = {index: one for index, one in unequal.items() if one.beyond}
    largest = max((one.largest for one in by_round.values() if one.largest is not None), default=None)
    of_pair = replace(of_pair, alike=len(by_round) - len(unequal), largest=largest)
    if not unequal:
        return of_pair
    index, told = min((beyond or unequal).items(), key=lambda item: item[1].place or 0)
    kind: LikenessKind = "differs" if beyond else "within tolerance"
    of_pair = replace(of_pair, names=told.names, apart=told.apart)
    return replace(of_pair, kind=kind, place=told.place, at=told.at, round=index, values=told.values)


def compared(first: Fingerprint, second: Fingerprint, tolerance: float | None) -> Compared:
    """Two fingerprints of one round. Values that are of different things are as far apart as digests that differ."""
    one, other = first.value, second.value
    if isinstance(one, str) and isinstance(other, str):
        return Compared(one == other, one != other, None, None if one == other else (one, other), None)
    if isinstance(one, str) or isinstance(other, str):
        return Compared(False, True, None, None, None)
    if first == second:
        return Compared(True, False, None, None, 0.0 if one else None)
    apart = [relative(mine, yours) for mine, yours in zip(one, other, strict=False)]
    for index, (mine, yours) in enumerate(zip(first.places, second.places, strict=False)):
        if mine != yours:
            apart[index] = math.inf
    unequal = [place for place, size in enumerate(apart) if size > 0]
    beyond = [place for place in unequal if apart[place] > (tolerance or 0.0)]
    if len(one) != len(other):
        unequal.append(len(apart))
        beyond.append(len(apart))
    place = next(iter(beyond or unequal), None)
    values = (one[place], other[place]) if place is not None and place < len(apart) else None
    at = first.places[place] if place is not None and place < len(first.places) else ""
    return Compared(not unequal, bool(beyond), place, values, max(apart, default=None), at)


def compared_by_name(first: Fingerprint, second: Fingerprint, tolerance: float | None) -> Compared:
    """Two fingerprints of one round whose values belong to names: a name that one of them does not have differs."""
    one, other = (dict(zip(each.places, each.value, strict=True)) for each in (first, second))
    names = [*dict.fromkeys((*first.places, *second.places))]
    sizes = {name: relative(one.get(name), other.get(name)) for name in names}
    beyond = any(size > (tolerance or 0.0) for size in sizes.values())
    least = tolerance or 0.0 if beyond else 0.0
    apart = tuple(Apart(name, one.get(name), other.get(name)) for name in names if sizes[name] > least)
    return Compared(not apart, beyond, None, None, max(sizes.values(), default=None), names=len(names), apart=apart)


def relative(one: Value, other: Value) -> float:
    """How far two values are apart, as a share of the larger one; infinite where one of them alone is finite, or where
    they are digests that differ."""
    if one == other:
        return 0.0
    if not (isinstance(one, (int, float)) and isinstance(other, (int, float))):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other))
