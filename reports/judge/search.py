"""What a search for a release has found so far, and what it has to measure next."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from harness.core.cases import read_case
from harness.core.declaration import DeclaredFingerprint, DeclaredProbe
from harness.core.plan import PLAN_FILE
from harness.core.policy import Policy
from harness.core.record import CheckOutcome
from harness.core.search import ENDS, EVERY, NEIGHBOURS, Search, Wanted, read_search, read_skipped
from harness.core.spec import TWIN
from reports.evidence.figures import Absent, Matrix, read_matrix_figures
from reports.evidence.pairing import Refused, Shared, incomparable, is_turned, laps_of, shared, values_of
from reports.evidence.spent import Spent, spent_in
from reports.evidence.store import Trouble
from reports.evidence.units import Quantity, guess
from reports.judge.bisection import (
    LOOKED,
    Course,
    Noise,
    Pins,
    Rows,
    Weighed,
    contrast,
    halve,
    noise_of,
    side_of,
    weigh,
)
from reports.judge.checks import checks_of
from reports.judge.fingerprints import PairOfPins, likeness, paired
from reports.judge.probes import CaseRuns, releases_of, step_of
from reports.judge.statements import Likeness, Step

NEAR = 0.25
"""By how much of the step a release may be off both levels before it speaks against there being one step only."""

ALIKE = ("alike", "within tolerance")
"""What fingerprints are that count as the same."""


@dataclass(frozen=True)
class LeftOut:
    """Why a release tells nothing: it could not be had (`detail`, foreign text), its run did not end well, or had no
    figure."""

    release: str
    detail: str = ""
    trouble: Trouble | None = None
    absent: Absent | None = None


@dataclass(frozen=True)
class Level:
    """A metric on one release. Differences are to the `from` end, as log-ratios where it is compared by ratios; their
    intervals hold for all releases together. `value`: the median, in the recorded unit."""

    release: str
    value: float
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0
    off: bool = False
    """Whether it lies apart from both ends by more than `NEAR` of what these are apart."""


@dataclass(frozen=True)
class Change:
    """Two releases, one after the other as far as they were looked at, that differ."""

    before: str
    after: str
    likeness: Likeness | None = None
    """Of a fingerprint, how."""
    outcomes: tuple[CheckOutcome, CheckOutcome] | None = None
    """Of a check, its outcomes."""
    step: Step | None = None
    """Of a probe, what changed, and where it is documented."""


@dataclass(frozen=True)
class Progress:
    """A search as far as it has come. `wanted`: what it has to measure next, None where it is at its end."""

    search: Search
    error_rate: float
    wanted: Wanted | None
    left_out: list[LeftOut]
    spent: Spent
    course: Course | None = None
    """Where it halves."""
    quantity: Quantity | None = None
    """Of a metric."""
    levels: tuple[Level, ...] = ()
    """Of a metric, on the releases that were measured."""
    changes: tuple[Change, ...] = ()
    """Of a check or fingerprint."""
    seen: tuple[str, ...] = ()
    """The releases that have a value, in order."""
    values: tuple[int, ...] = ()
    """Of each of them which value it has, numbered from 0 as they come up."""
    unsteady: tuple[str, ...] = ()
    """Those of which two runs came to different values."""
    ends_alike: bool = False
    """Of a check or fingerprint, whether its ends have the same value."""
    pythons: tuple[str, ...] = ()
    """The versions of Python that the two releases of the answer ran on, where they are not one."""


def read_progress(folder: Path, policy: Policy) -> Progress:
    """What a search has come to; `UsageError` where its folder or a record cannot be used."""
    search = read_search(folder)
    told = Looking(folder, search, policy)
    progress = told.every() if search.every else told.halving()
    return replace(progress, spent=spent_in(folder))


@dataclass(frozen=True)
class Beside:
    """Releases that ran beside one another: a results folder within that of the search."""

    search: Search
    matrix: Matrix

    @cached_property
    def rounds(self) -> int:
        """How many were done, from the first on: what was killed has rounds that are planned and not done."""
        runs = self.matrix.by_case[self.search.case]
        missing = [one.spec.round for one in runs if one.status == "missing"]
        return min([*missing, self.matrix.plan.rounds_of(self.search.case)])

    @property
    def whole(self) -> bool:
        """Whether all that was planned was done."""
        return self.rounds == self.matrix.plan.rounds_of(self.search.case)

    @cached_property
    def quantity(self) -> Quantity:
        """The metric that is searched by."""
        rows = self.matrix.quantities[self.search.case]
        return next(
            (one for one in rows if one.key == self.search.what), guess(read_case(self.search.case), self.search.what)
        )

    def rows(self) -> list[Rows]:
        """By round the values of all pins where all of them have one, in the order of the plan: logarithms where they
        are compared by ratios, of what turns measure the medians of the laps' log-ratios to the first pin."""
        search, matrix = self.search, self.matrix
        refused, pins = self.refused, matrix.pins
        found: list[list[list[float]]] = [[] for _ in range(matrix.plan.rounds_of(search.case))]
        if is_turned(search.case, search.what):
            laps = laps_of(matrix, search.case, search.what, refused)
            for sitting in shared_by_all(laps, pins):
                found[sitting[0]].append([median_ratio(laps[pin][sitting], laps[pins[0]][sitting]) for pin in pins])
            if any(found):
                return [*found[: self.rounds]]
        values = values_of(matrix, search.case, search.what, refused)
        scale = math.log if self.quantity.relative else float
        for place in shared_by_all(values, pins):
            found[place[0]].append([scale(values[pin][place]) for pin in pins])
        return [*found[: self.rounds]]

    def median(self, pin: str) -> float:
        """The median of a pin's runs, in the recorded unit; nan where none has a figure."""
        values = [one.figure(self.search.what).value for one in self.matrix.runs_of(self.search.case, pin)]
        return statistics.median([value for value in values if value is not None] or [math.nan])

    def likeness(self, pins: tuple[str, str]) -> Likeness:
        """Of a fingerprint, what two pins have in common."""
        return likeness(self.search.case, self.declared, self.paired(pins))

    def step(self, pins: tuple[str, str]) -> Step | None:
        """Of a probe, what it says of two pins; None of any other fingerprint."""
        if not isinstance(self.declared, DeclaredProbe):
            return None
        return step_of(self.declared, self.of_case, self.paired(pins))

    @cached_property
    def of_case(self) -> CaseRuns:
        """The runs of the case that is searched by."""
        case, matrix = read_case(self.search.case), self.matrix
        return CaseRuns(case, matrix.by_case[case.name], matrix.pins[0], releases_of(matrix))

    @cached_property
    def refused(self) -> Refused:
        """The runs that may not be compared."""
        return incomparable(self.matrix)

    def paired(self, pins: tuple[str, str]) -> PairOfPins:
        """The runs of two pins, round by round."""
        return paired(self.matrix, self.search.case, pins, self.refused)

    @cached_property
    def declared(self) -> DeclaredFingerprint:
        """The fingerprint that is searched by."""
        found = read_case(self.search.case).fingerprint(self.search.what)
        return found or DeclaredFingerprint(self.search.what, self.search.what)

    def why_none(self, pin: str) -> LeftOut:
        """Why a pin has no value."""
        for one in self.matrix.runs_of(self.search.case, pin):
            if one.status != "ok":
                return LeftOut(pin, trouble=one.trouble)
            if one.figure(self.search.what).absent and self.search.kind == "metric":
                return LeftOut(pin, absent=one.figure(self.search.what).absent)
            unable = one.fingerprints[self.search.what].unable if self.search.what in one.fingerprints else ""
            if unable:
                return LeftOut(pin, detail=unable)
        return LeftOut(pin, absent=Absent("nothing said"))

    def steady(self, pin: str) -> bool:
        """Whether the runs of a pin came to the same in a probe, whose value does not depend on the round."""
        runs = self.matrix.runs_of(self.search.case, pin)
        values = {repr(one.fingerprints[self.search.what]) for one in runs if self.search.what in one.fingerprints}
        return not isinstance(self.declared, DeclaredProbe) or len(values) < 2


def shared_by_all(values: Mapping[str, Mapping[Shared, object]], pins: Sequence[str]) -> list[Shared]:
    """The places that all pins have a value at."""
    return [place for place in shared(values, pins[0], pins[0]) if all(place in values.get(pin, {}) for pin in pins)]


def median_ratio(own: Sequence[float], other: Sequence[float]) -> float:
    """The median log-ratio of laps."""
    return statistics.median(math.log(one / two) for one, two in zip(own, other, strict=False))


@dataclass(frozen=True)
class Looking:
    """A search with what was measured for it."""

    folder: Path
    search: Search
    policy: Policy

    @cached_property
    def skipped(self) -> dict[str, str]:
        """By release, why it could not be had."""
        return read_skipped(self.folder)

    @cached_property
    def beside(self) -> dict[str, Beside]:
        """What was measured, by the names of its folders."""
        names = sorted(path.parent.name for path in self.folder.glob(f"*/{PLAN_FILE}"))
        return {name: Beside(self.search, read_matrix_figures(self.folder / name)) for name in names}

    def name_of(self, pins: Pins) -> str:
        """The folder of a comparison."""
        if len(pins) == 3:
            return self.search.releases[pins[1]]
        return ENDS if pins == (0, len(self.search.releases) - 1) else NEIGHBOURS

    # --- halving --------------------------------------------------------------------------------------------------

    def halving(self) -> Progress:
        """The search that looks at as few releases as possible."""
        search = self.search
        course = halve(len(search.releases) - 1, self.policy.error_rate, self.ask)
        wanted = self.wanted(course.wanted) if course.wanted else None
        progress = Progress(search, self.policy.error_rate, wanted, self.left_out(course), Spent(0, 0.0), course)
        progress = replace(progress, pythons=self.pythons(course))
        if search.kind != "metric":
            return replace(progress, changes=self.changes_of(course), ends_alike=not course.differ)
        ends = self.beside.get(ENDS)
        return replace(progress, quantity=ends.quantity if ends else None, levels=self.levels(course))

    def wanted(self, pins: Pins) -> Wanted:
        """What is measured next: a round more, or of what is not compared by statistics as many as the profile has."""
        names = [self.search.releases[place] for place in pins]
        name = self.name_of(pins)
        if self.search.kind != "metric":
            return Wanted(name, names, 0)
        return Wanted(name, names, max(self.rounds_done(name, names) + 1, LOOKED if name == ENDS else 1))

    def rounds_done(self, name: str, pins: Sequence[str]) -> int:
        """The rounds of a comparison that were done; 0 where the folder has another one."""
        there = self.beside.get(name)
        return there.rounds if there and self.is_of(there, pins) else 0

    def is_of(self, there: Beside, pins: Sequence[str]) -> bool:
        """Whether these releases are what ran beside one another there."""
        return [pin for pin in there.matrix.pins if pin != TWIN] == [*pins]

    def ask(self, pins: Pins, level: float, apart: float) -> Weighed:
        """What releases came to beside one another, as far as it was measured."""
        names = [self.search.releases[place] for place in pins]
        there = self.beside.get(self.name_of(pins))
        if any(name in self.skipped for name in names):
            return Weighed("none", 0)
        if there is None or not self.is_of(there, names):
            return Weighed("more", 0)
        return self.weighed(there, pins, level, apart) if self.search.kind == "metric" else self.told(there, names)

    def weighed(self, there: Beside, pins: Pins, level: float, apart: float) -> Weighed:
        """The same of a metric."""
        rounds, weights, most, known = there.rows(), WEIGHTS[len(pins)], self.search.rounds, self.noise
        counts = there.quantity.comparison == "count"
        if not any(rounds):
            return Weighed("none" if there.rounds else "more", there.rounds)
        if self.name_of(pins) == ENDS:
            return weigh(rounds, weights, level, most, least=LOOKED, precise=True, counts=counts)
        if len(pins) == 3 and known:
            return side_of(rounds, weights, level, most, known, apart / 2)
        return weigh(rounds, weights, level, most, known, counts=counts)

    @cached_property
    def noise(self) -> Noise | None:
        """What the first rounds of the ends tell of it."""
        rounds = self.beside[ENDS].rows()[:LOOKED] if ENDS in self.beside else []
        return noise_of([row for rows in rounds for row in rows])

    def told(self, there: Beside, names: Sequence[str]) -> Weighed:
        """The same of a check or fingerprint: whether the release has another value than the first one."""
        if not there.whole:
            return Weighed("more", 0)
        pins = (names[0], names[1])
        if self.search.kind == "check":
            outcomes = self.outcomes(there)
            if any(pin not in outcomes for pin in pins):
                return Weighed("none", 1)
            return (
                Weighed("alike" if outcomes[pins[0]] == outcomes[pins[1]] else "above", 1)
                if len(names) == 2
                else (Weighed("below" if outcomes[pins[0]] == outcomes[pins[1]] else "above", 1))
            )
        kind = there.likeness(pins).kind
        if kind == "not compared":
            return Weighed("none", 1)
        return Weighed("above" if kind not in ALIKE else "alike" if len(names) == 2 else "below", 1)

    def outcomes(self, there: Beside) -> dict[str, CheckOutcome]:
        """The outcome of the check by pin, of those on which it was told."""
        rows = checks_of(there.matrix, self.policy).get(self.search.case, [])
        cells = next((row.cells for row in rows if row.name == self.search.what), ())
        return {pin: cell.outcome for pin, cell in zip(there.matrix.pins, cells, strict=False) if cell}

    def left_out(self, course: Course) -> list[LeftOut]:
        """The releases that could not be had, and those that had no value."""
        releases = self.search.releases
        asked = [releases[place] for place, told in course.steps.items() if told.answer == "none"]
        if course.ends.answer == "none":
            asked += [releases[-1]]
        found = [LeftOut(release, self.skipped[release]) for release in releases if release in self.skipped]
        for release in asked:
            there = self.beside.get(ENDS if release == releases[-1] else release)
            if release not in self.skipped and there:
                found.append(there.why_none(release))
        return found

    def levels(self, course: Course) -> tuple[Level, ...]:
        """What was measured of a metric, release by release."""
        ends, releases = course.ends.estimate, self.search.releases
        if ENDS not in self.beside or ends is None:
            return ()
        places = [place for place, told in course.steps.items() if told.estimate]
        level = self.policy.error_rate / (2 * len(places) + 1)
        low, high = ends.interval(level)
        first, last = (Level(releases[place], self.beside[ENDS].median(releases[place])) for place in (0, -1))
        levels = {0: first, len(releases) - 1: replace(last, difference=ends.value, low=low, high=high)}
        for place in places:
            levels[place] = self.level_of(self.beside[releases[place]], releases[place], ends.value, level)
        return tuple(levels[place] for place in sorted(levels))

    def level_of(self, there: Beside, release: str, step: float, level: float) -> Level:
        """One release against both ends."""
        rows = [row for rows in there.rows() for row in rows]
        to_first = contrast(rows, (-0.5, -0.5, 1.0, 0.0), self.noise)
        to_last = contrast(rows, (0.0, 0.0, 1.0, -1.0), self.noise)
        value = there.median(release)
        if to_first is None or to_last is None:
            return Level(release, value)
        off = [one for one in (to_first, to_last) if not one.interval(level)[0] <= 0 <= one.interval(level)[1]]
        neither = len(off) == 2 and min(abs(one.value) for one in off) > NEAR * abs(step)
        return Level(release, value, to_first.value, *to_first.interval(level), neither)

    def changes_of(self, course: Course) -> tuple[Change, ...]:
        """The change that halving found."""
        there = self.beside.get(NEIGHBOURS)
        if not course.differ or course.wanted:
            return ()
        pins = (self.search.releases[course.low], self.search.releases[course.high])
        if there is None or not self.is_of(there, pins):
            there = self.beside[ENDS]
        return (self.change(there, pins),) if set(pins) <= set(there.matrix.pins) else ()

    def change(self, there: Beside, pins: tuple[str, str]) -> Change:
        """How two releases differ."""
        if self.search.kind == "check":
            outcomes = self.outcomes(there)
            return Change(*pins, outcomes=(outcomes[pins[0]], outcomes[pins[1]]))
        return Change(*pins, likeness=there.likeness(pins), step=there.step(pins))

    def pythons(self, course: Course) -> tuple[str, ...]:
        """The versions of Python of the two releases that a search ends at, where they are not one."""
        asked = {pin.name: pin.python for one in self.beside.values() for pin in one.matrix.plan.pins}
        both = [asked.get(self.search.releases[place]) for place in (course.low, course.high)]
        return tuple(str(one) for one in both) if None not in both and len(set(both)) == 2 else ()

    # --- all of them ----------------------------------------------------------------------------------------------

    def every(self) -> Progress:
        """The search that looks at all releases, side by side in one matrix."""
        search = self.search
        rate = self.policy.error_rate
        wanted = [release for release in search.releases if release not in self.skipped]
        left_out = [LeftOut(release, self.skipped[release]) for release in search.releases if release in self.skipped]
        there = self.beside.get(EVERY)
        if there is None or not there.whole or not self.is_of(there, wanted):
            return Progress(search, rate, Wanted(EVERY, wanted, 0), left_out, Spent(0, 0.0))
        have = self.having(there, wanted)
        left_out += [there.why_none(release) for release in wanted if release not in have]
        changes = [self.change(there, pins) for pins in pairwise(have) if self.differ(there, pins)]
        return Progress(
            search,
            rate,
            None,
            left_out,
            Spent(0, 0.0),
            changes=tuple(changes),
            seen=tuple(have),
            values=self.numbered(there, have),
            unsteady=tuple(release for release in have if not there.steady(release)),
            ends_alike=len(have) > 1 and not self.differ(there, (have[0], have[-1])),
        )

    def having(self, there: Beside, releases: Sequence[str]) -> list[str]:
        """The releases that have a value."""
        if self.search.kind == "check":
            outcomes = self.outcomes(there)
            return [release for release in releases if release in outcomes]
        return [release for release in releases if there.likeness((release, release)).kind != "not compared"]

    def differ(self, there: Beside, pins: tuple[str, str]) -> bool:
        """Whether two releases have different values."""
        if self.search.kind == "check":
            outcomes = self.outcomes(there)
            return outcomes[pins[0]] != outcomes[pins[1]]
        step = there.step(pins)
        return step.kind != "same" if step else there.likeness(pins).kind not in ALIKE

    def numbered(self, there: Beside, releases: Sequence[str]) -> tuple[int, ...]:
        """Which value each release has: the number of the first one that has it, among those that are the first."""
        firsts: list[str] = []
        found = []
        for release in releases:
            same = [place for place, one in enumerate(firsts) if not self.differ(there, (one, release))]
            found.append(same[0] if same else len(firsts))
            firsts += [] if same else [release]
        return tuple(found)


WEIGHTS = {2: (-0.5, -0.5, 1.0), 3: (-0.25, -0.25, 1.0, -0.5)}
"""By how many releases run beside one another: of the baseline, its twin, the release, and where it is there the other
end. Of two the release is held against the baseline, of three against the half of the way between the ends."""
