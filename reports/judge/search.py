"""What a search for a release has found so far, and what it has to measure next."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from harness.core.cases import read_case
from harness.core.declaration import DeclaredFingerprint, DeclaredProbe
from harness.core.plan import PLAN_FILE
from harness.core.policy import Policy
from harness.core.record import CheckOutcome
from harness.core.search import ENDS, EVERY, NEIGHBOURS, Search, Wanted, read_search, read_skipped, read_twice
from harness.core.spec import TWIN
from reports.evidence.figures import Absent, Matrix, read_matrix_figures
from reports.evidence.pairing import Refused, Shared, incomparable, is_turned, laps_of, shared, values_of
from reports.evidence.spent import Spent, spent_in
from reports.evidence.store import Trouble
from reports.evidence.units import Quantity, guess
from reports.judge.bisection import (
    LOOKED,
    Answer,
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
from reports.judge.statements import CheckCell, Likeness, Step

NEAR = 0.25
"""By how much of the step a release may be off both levels before it speaks against there being one step only."""

ALIKE = ("alike", "within tolerance")
"""What fingerprints are that count as the same."""


@dataclass(frozen=True)
class Standing:
    """What a release came to in a check. Of one whose runs all failed, twice, neither outcome nor cell, but why."""

    outcome: CheckOutcome | None
    cell: CheckCell | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True)
class LeftOut:
    """Why a release tells nothing: it could not be had (`detail`, foreign text), its run did not end well, or had no
    figure; of a check, it came to what neither end did, or its runs do not make it."""

    release: str
    detail: str = ""
    trouble: Trouble | None = None
    absent: Absent | None = None
    standing: Standing | None = None
    made: tuple[str, ...] = ()
    """The checks that its runs do make."""
    beside: str = ""
    """The release or twin whose run beside it is in trouble, where it is not its own."""
    twice: bool = False
    """Whether all those runs failed, on a second try too."""


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
    standings: tuple[Standing, Standing] | None = None
    """Of a check, what both came to."""
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
    standings: Mapping[str, Standing] = field(default_factory=dict)
    """Of a check, by release what it came to."""
    unsteady: tuple[str, ...] = ()
    """Those of which two runs came to different values."""
    ends_alike: bool = False
    """Of a check or fingerprint, whether its ends have the same value."""
    pythons: Mapping[str, str] = field(default_factory=dict)
    """Of each two releases of the answer the versions of Python that they ran on, where they are not one."""


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
    policy: Policy
    twice: bool
    """Whether what failed in it was done a second time."""

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

    @cached_property
    def failing(self) -> dict[str, Trouble | None]:
        """The pins whose runs all failed, with the reason of the first."""
        found = {}
        for pin in self.matrix.pins:
            runs = self.matrix.runs_of(self.search.case, pin)
            if runs and all(one.status == "failed" for one in runs):
                found[pin] = runs[0].trouble
        return found

    @cached_property
    def cells(self) -> dict[str, CheckCell]:
        """What the check that is searched by came to, by pin; empty where it is by something else."""
        if self.search.kind != "check":
            return {}
        rows = checks_of(self.matrix, self.policy).get(self.search.case, [])
        cells = next((row.cells for row in rows if row.name == self.search.what), ())
        return {pin: cell for pin, cell in zip(self.matrix.pins, cells, strict=False) if cell}

    @cached_property
    def standings(self) -> dict[str, Standing]:
        """The same with those whose runs all failed, twice. Where all pins' did it is no release's doing."""
        told = {pin: Standing(cell.outcome, cell) for pin, cell in self.cells.items()}
        failing = self.failing if told and self.twice else {}
        return {**told, **{pin: Standing(None, trouble=trouble) for pin, trouble in failing.items()}}

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
        runs = self.matrix.runs_of(self.search.case, pin)
        for one in runs:
            if one.status != "ok":
                return LeftOut(pin, trouble=one.trouble, twice=self.twice and pin in self.failing)
            if one.figure(self.search.what).absent and self.search.kind == "metric":
                return LeftOut(pin, absent=one.figure(self.search.what).absent)
            unable = one.fingerprints[self.search.what].unable if self.search.what in one.fingerprints else ""
            if unable:
                return LeftOut(pin, detail=unable)
        for other, trouble in self.failing.items():
            return LeftOut(pin, trouble=trouble, beside=other, twice=self.twice)
        made = tuple(dict.fromkeys(check.name for one in runs for check in one.checks))
        return LeftOut(pin, absent=Absent("nothing said"), made=made if self.search.kind == "check" else ())

    def steady(self, pin: str) -> bool:
        """Whether the runs of a pin, and of its twin, came to the same in a check or in a probe, whose values do not
        depend on the round."""
        if self.search.kind == "check":
            twin = [TWIN] if pin == self.matrix.pins[0] else []
            cells = [self.cells[one] for one in [pin, *twin] if one in self.cells]
            return all(cell.alike == cell.runs for cell in cells) and len({cell.outcome for cell in cells}) < 2
        return not isinstance(self.declared, DeclaredProbe) or self.of_case.steady(self.declared, pin)


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
        names, twice = sorted(path.parent.name for path in self.folder.glob(f"*/{PLAN_FILE}")), read_twice(self.folder)
        figures = {name: read_matrix_figures(self.folder / name) for name in names}
        return {name: Beside(self.search, figures[name], self.policy, name in twice) for name in names}

    def name_of(self, pins: Pins) -> str:
        """The folder of a comparison."""
        if len(pins) == 3:
            return self.search.releases[pins[1]]
        return ENDS if pins == (0, len(self.search.releases) - 1) else NEIGHBOURS

    def folder_of(self, release: str) -> str:
        """The folder that tells of one release."""
        ends = (self.search.releases[0], self.search.releases[-1])
        return EVERY if self.search.every else ENDS if release in ends else release

    def once_more(self, name: str) -> bool:
        """Whether what failed in a folder is still to be done a second time: what killed it, or a full disk, may have
        been no release's doing."""
        there = self.beside.get(name)
        return there is not None and there.whole and bool(there.failing) and not there.twice

    # --- halving --------------------------------------------------------------------------------------------------

    def halving(self) -> Progress:
        """The search that looks at as few releases as possible."""
        search = self.search
        course = halve(len(search.releases) - 1, self.policy.error_rate, self.ask)
        wanted = self.wanted(course.wanted) if course.wanted else None
        progress = Progress(search, self.policy.error_rate, wanted, self.left_out(course), Spent(0, 0.0), course)
        pythons = self.pythons([(search.releases[course.low], search.releases[course.high])])
        progress = replace(progress, pythons=pythons, unsteady=self.unsteady(search.releases))
        if search.kind != "metric":
            alike, standings = course.ends.answer == "alike", self.standings(search.releases)
            return replace(progress, changes=self.changes_of(course), ends_alike=alike, standings=standings)
        ends = self.beside.get(ENDS)
        return replace(progress, quantity=ends.quantity if ends else None, levels=self.levels(course))

    def wanted(self, pins: Pins) -> Wanted:
        """What is measured next: a round more, or of what is not compared by statistics as many as the profile has."""
        names, name = self.beside_of(pins), self.name_of(pins)
        again = self.once_more(name) and self.is_of(self.beside[name], names)
        if self.search.kind != "metric":
            return Wanted(name, names, 0, again)
        rounds = self.rounds_done(name, names) + (0 if again else 1)
        return Wanted(name, names, max(rounds, LOOKED if name == ENDS else 1), again)

    def beside_of(self, pins: Pins) -> list[str]:
        """The releases that run beside one another for a comparison: these, and for a check of what one of the ends has
        written that end too."""
        names = [self.search.releases[place] for place in pins]
        writer = self.search.what.partition(":")[2] if self.search.kind == "check" else ""
        return [*names, writer] if writer in self.search.releases and writer not in names else names

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
        if there is None or not self.is_of(there, self.beside_of(pins)) or self.once_more(self.name_of(pins)):
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
            return Weighed(self.side(there, names), 1)
        kind = there.likeness(pins).kind
        if kind == "not compared":
            return Weighed("none", 1)
        return Weighed("above" if kind not in ALIKE else "alike" if len(names) == 2 else "below", 1)

    def side(self, there: Beside, names: Sequence[str]) -> Answer:
        """What two releases came to in a check, the one against the other, or one between the ends against both. It has
        the outcome of one of them, or tells nothing of the way between."""
        told = self.standings([names[0], names[-1]]) if len(names) == 3 else there.standings
        first, last, own = (told.get(names[0]), told.get(names[-1]), there.standings.get(names[1]))
        if first is None or last is None or own is None:
            return "none"
        if len(names) == 2:
            return "alike" if first.outcome == last.outcome else "above"
        return "below" if own.outcome == first.outcome else "above" if own.outcome == last.outcome else "none"

    def standings(self, releases: Sequence[str]) -> dict[str, Standing]:
        """What releases came to in a check, of those that came to something."""
        found = {name: there.standings for name, there in self.beside.items()} if self.search.kind == "check" else {}
        told = {release: found.get(self.folder_of(release), {}).get(release) for release in releases}
        return {release: standing for release, standing in told.items() if standing}

    def unsteady(self, releases: Sequence[str]) -> tuple[str, ...]:
        """The releases of which two runs came to different values, beside whatever releases they ran."""
        found = []
        for release in releases:
            having = [there for there in self.beside.values() if release in there.matrix.pins]
            outcomes = {there.cells[release].outcome for there in having if release in there.cells}
            if len(outcomes) > 1 or not all(there.steady(release) for there in having):
                found.append(release)
        return tuple(found)

    def left_out(self, course: Course) -> list[LeftOut]:
        """The releases that could not be had, and those that had no value."""
        releases = self.search.releases
        asked = [releases[place] for place, told in course.steps.items() if told.answer == "none"]
        if course.ends.answer == "none":
            ends = [releases[0], releases[-1]]
            having = self.having(self.beside[ENDS], ends) if ENDS in self.beside else ends
            asked += [end for end in ends if end not in having] or ends
        found = [LeftOut(release, self.skipped[release]) for release in releases if release in self.skipped]
        for release in asked:
            there = self.beside.get(self.folder_of(release))
            if release not in self.skipped and there:
                standing = there.standings.get(release)
                found.append(LeftOut(release, standing=standing) if standing else there.why_none(release))
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
        """The change that halving found: by the two neighbours, or where these do not confirm it by the ends."""
        releases = self.search.releases
        before, after = releases[course.low], releases[course.high]
        if not course.differ or course.wanted:
            return ()
        if self.search.kind == "check":
            return (self.change_of_check(before, after),)
        if course.neighbours and course.neighbours.answer == "above":
            return (self.change(self.beside[NEIGHBOURS], (before, after)),)
        change = self.change(self.beside[self.folder_of(after)], (releases[0], after))
        return (replace(change, before=before),)

    def change(self, there: Beside, pins: tuple[str, str]) -> Change:
        """How two releases differ."""
        if self.search.kind == "check":
            return self.change_of_check(*pins)
        return Change(*pins, likeness=there.likeness(pins), step=there.step(pins))

    def change_of_check(self, before: str, after: str) -> Change:
        """How they differ in a check."""
        told = self.standings([before, after])
        return Change(before, after, standings=(told[before], told[after]))

    def pythons(self, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
        """The versions of Python of two releases that differ, where they are not one."""
        asked = {pin.name: pin.python for one in self.beside.values() for pin in one.matrix.plan.pins}
        both = [pair for pair in pairs if len({asked.get(release) for release in pair}) == 2]
        return {release: str(asked[release]) for pair in both for release in pair if asked.get(release)}

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
        if self.once_more(EVERY):
            return Progress(search, rate, Wanted(EVERY, wanted, 0, again=True), left_out, Spent(0, 0.0))
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
            standings=self.standings(have),
            unsteady=self.unsteady(have),
            pythons=self.pythons([(one.before, one.after) for one in changes]),
            ends_alike=len(have) > 1 and not self.differ(there, (have[0], have[-1])),
        )

    def having(self, there: Beside, releases: Sequence[str]) -> list[str]:
        """The releases that have a value."""
        if self.search.kind == "check":
            return [release for release in releases if release in there.standings]
        if self.search.kind == "metric":
            return [release for release in releases if not math.isnan(there.median(release))]
        return [release for release in releases if there.likeness((release, release)).kind != "not compared"]

    def differ(self, there: Beside, pins: tuple[str, str]) -> bool:
        """Whether two releases have different values."""
        if self.search.kind == "check":
            return there.standings[pins[0]].outcome != there.standings[pins[1]].outcome
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
