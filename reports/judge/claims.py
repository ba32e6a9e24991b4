"""The ledger of claims: what the records of all folders, arithmetic and somebody's code say of each claim.

Every piece of the evidence speaks for the claim or against it, or tells nothing; the outcome follows from what all of
them say (`outcome_of`). Nothing is decided by the claim's own text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Union

from harness.core.declaration import DeclaredProbe, key_of
from harness.core.record import Fingerprint
from reports.evidence.arithmetic import Comparison, compare
from reports.evidence.claims import (
    Claim,
    Claims,
    Evidence,
    OnArithmetic,
    OnCase,
    OnCheck,
    OnEnvironment,
    OnFinding,
    OnFingerprint,
    OnMetric,
    OnRecords,
    OnRuns,
    OnSource,
    Place,
    Source,
    Taking,
    Where,
)
from reports.evidence.figures import Observation
from reports.evidence.sources import Found, checkout_of, look
from reports.evidence.units import Quantity
from reports.judge.machines import Machine
from reports.judge.probes import by_name
from reports.judge.statements import CheckCell, CheckRow, Finding, Likeness, Said, Step, Value
from reports.judge.verdict import without_build

Says = Literal[
    "for",
    "against",
    "consistent",  # its own numbers fit together, which bears nothing out
    "inconsistent",  # they do not
    "disagree",  # one folder speaks for it and another one against it
    "met",  # what it takes is here, and does not tell anything by itself
    "open",
    "not here",  # what it takes is not here
]
ClaimOutcome = Literal["reproduced", "refuted", "inconsistent with itself", "not testable here", "open"]
SILENT: tuple[Says, ...] = ("consistent", "met")
"""What counts neither for nor against."""


@dataclass(frozen=True)
class CheckSeen:
    """A check, and its cell on each pin that is asked about; None where no run made it."""

    row: CheckRow
    cells: tuple[tuple[str, CheckCell | None], ...]


@dataclass(frozen=True)
class FindingsSeen:
    """What each pin that is asked about is against the baseline."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class MetricSeen:
    """A metric, and its value in each run of each pin that is asked about."""

    quantity: Quantity
    values: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class ValuesSeen:
    """By pin and name, what a fingerprint was said to have there and what it has; `unable` is why a run could not come
    to it, foreign text."""

    title: str
    places: tuple[tuple[str, str, tuple[Place, ...], tuple[Value, ...]], ...]
    unable: str = ""


@dataclass(frozen=True)
class VersionsSeen:
    """Which versions of something runs of each pin have observed."""

    of: str
    versions: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class RunsSeen:
    """How many runs of each pin ended well, of how many."""

    case: str
    runs: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class OtherSetting:
    """There are runs, but none that is as it would have to be."""

    where: Where


@dataclass(frozen=True)
class NothingSeen:
    """There are runs, and none says a word of it."""


Shown = Union[
    CheckSeen,
    FindingsSeen,
    MetricSeen,
    Step,
    Likeness,
    ValuesSeen,
    VersionsSeen,
    RunsSeen,
    Comparison,
    Found,
    OtherSetting,
    NothingSeen,
]


@dataclass(frozen=True)
class Witness:
    """What one results folder says of a piece, or without a folder arithmetic or somebody's code."""

    folder: str
    says: Says
    shown: Shown


@dataclass(frozen=True)
class Lack:
    """What it takes and no run has: a kind of what `Where` names, or a source; and which."""

    kind: Literal["gpu", "device", "cuda", "package", "data", "source"]
    which: str


@dataclass(frozen=True)
class Exhibit:
    """A piece of the evidence, and what all folders say of it. `run` is what is to be done where that is nothing; empty
    where nothing follows."""

    piece: Evidence
    says: Says
    witnesses: tuple[Witness, ...] = ()
    lacking: tuple[Lack, ...] = ()
    run: str = ""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim, what came out, and why."""

    name: str
    claim: Claim
    outcome: ClaimOutcome
    exhibits: tuple[Exhibit, ...]

    @property
    def disagree(self) -> bool:
        """Whether folders disagree about it."""
        return any(one.says == "disagree" for one in self.exhibits)

    @property
    def runs(self) -> tuple[str, ...]:
        """What would have to be done for it to be settled, where it is not; first there has to be what it takes."""
        waiting = [one.run for one in self.exhibits if one.piece.decides and one.says in ("open", "met", "not here")]
        unsettled = self.outcome in ("open", "not testable here")
        return tuple(dict.fromkeys(filter(None, waiting))) if unsettled else ()


def judged_claims(claims: Claims, machines: Sequence[Machine]) -> list[JudgedClaim]:
    """All claims, in the order of the file. `UsageError` where a source is named that is no folder."""
    found = []
    for name, claim in claims.claims.items():
        exhibits = tuple(exhibit_of(piece, claims, machines) for piece in claim.evidence)
        found.append(JudgedClaim(name, claim, outcome_of(claim, exhibits), exhibits))
    return found


def outcome_of(claim: Claim, exhibits: Sequence[Exhibit]) -> ClaimOutcome:
    """What follows for a claim. One that needs all: refuted if anything speaks against it, else inconsistent if its
    numbers do not fit together, reproduced if all that can speak does so for it. One that needs any: reproduced if
    anything speaks for it, refuted if all that can speak does so against it. Else it cannot be tested here if something
    that it takes is not here, and is open if not."""
    says = [one.says for one in exhibits if one.piece.decides]
    speaking = [one for one in says if one not in SILENT]
    one_is_enough, all_are_needed = ("for", "against") if claim.needs == "any" else ("against", "for")
    outcomes: dict[str, ClaimOutcome] = {"for": "reproduced", "against": "refuted"}
    if one_is_enough in says:
        return outcomes[one_is_enough]
    if "inconsistent" in says:
        return "inconsistent with itself"
    if speaking and all(one == all_are_needed for one in speaking):
        return outcomes[all_are_needed]
    return "not testable here" if "not here" in says else "open"


# --- one piece ----------------------------------------------------------------------------------------------------


def exhibit_of(piece: Evidence, claims: Claims, machines: Sequence[Machine]) -> Exhibit:
    """What all there is says of a piece."""
    if isinstance(piece, OnArithmetic):
        compared = compare(piece.holds, piece.numbers)
        return Exhibit(piece, *alone("consistent" if compared.holds else "inconsistent", compared))
    if isinstance(piece, OnSource):
        return exhibit_of_source(piece, claims.sources[piece.source])
    lacking = lacking_of(piece.where, [one for machine in machines for one in machine.matrix.observations])
    if isinstance(piece, Taking):
        return Exhibit(piece, "not here" if lacking else "met", lacking=lacking, run=piece.run)
    witnesses = tuple(one for machine in machines for one in witnesses_of(piece, machine))
    said = {one.says for one in witnesses} & {"for", "against"}
    says: Says = "disagree" if len(said) > 1 else "for" if "for" in said else "against" if said else "open"
    if says == "open" and lacking:
        says = "not here"
    run = piece.run or command_of(piece)
    return Exhibit(piece, says, witnesses, lacking if says == "not here" else (), run)


def alone(says: Says, shown: Shown) -> tuple[Says, tuple[Witness, ...]]:
    """What something says that is no results folder."""
    return says, (Witness("", says, shown),)


def exhibit_of_source(piece: OnSource, source: Source) -> Exhibit:
    """What somebody's code says of a piece, if a checkout of it is named."""
    checkout = checkout_of(source.variable)
    if checkout is None:
        return Exhibit(piece, "not here", lacking=(Lack("source", piece.source),))
    found = look(checkout, piece.files, piece.pattern)
    if piece.pattern and not found.files:
        return Exhibit(piece, *alone("open", found))
    return Exhibit(piece, *alone("for" if bool(found.places) == piece.found else "against", found))


def command_of(piece: OnRecords) -> str:
    """The command that would settle a piece about which there are no records, or too few."""
    pins = [*([piece.against] if isinstance(piece, OnFinding) else []), *piece.pins]
    case = ["--case", piece.case] if isinstance(piece, OnCase) else []
    return " ".join(["nox -s matrix --", *case, "--pins", *pins])


def witnesses_of(piece: OnRecords, machine: Machine) -> Iterator[Witness]:
    """What a folder says of a piece: nothing where it has none of its case and pins, or compares with another
    baseline."""
    pins = [pin for name in piece.pins for pin in machine.matrix.pins if name in (pin, without_build(pin))]
    runs = [one for one in runs_on(piece, machine) if one.spec.pin.name in pins]
    other = isinstance(piece, OnFinding) and piece.against not in (
        machine.matrix.pins[0],
        without_build(machine.matrix.pins[0]),
    )
    if not runs or other:
        return
    fitting = [one for one in runs if fits(piece.where, one)]
    if not set(pins) <= {one.spec.pin.name for one in fitting}:
        yield Witness(str(machine.results), "open", OtherSetting(piece.where))
        return
    says, shown = TELLS[type(piece)](piece, machine, pins, fitting)
    whole = len(pins) == len(piece.pins)
    yield Witness(str(machine.results), says if says == "against" or whole else "open", shown)


def runs_on(piece: OnRecords, machine: Machine) -> Sequence[Observation]:
    """The runs that a piece is on: of its case, or of any."""
    if isinstance(piece, OnCase):
        return machine.matrix.by_case.get(piece.case, [])
    return [one for one in machine.matrix.observations if one.environment]


# --- what it takes ------------------------------------------------------------------------------------------------


def conditions(where: Where) -> Iterator[tuple[Lack | None, Callable[[Observation], bool]]]:
    """Each thing that is asked of a run, with what is lacking where no run has it; None for what any run here could be
    told to have."""
    if where.device:
        on_gpu = where.device == "cuda"
        yield (
            Lack("device", where.device) if on_gpu else None,
            lambda run: (run.spec.device != "cpu") == on_gpu and (not on_gpu or run.status != "unsupported"),
        )
    if where.gpu:
        named = re.compile(rf"\b{re.escape(where.gpu)}\b")
        yield Lack("gpu", where.gpu), lambda run: bool(run.environment and named.search(run.environment.gpu or ""))
    if where.cuda:
        yield Lack("cuda", where.cuda), lambda run: begins(version_of(run, "cuda"), where.cuda)
    for package, version in where.packages.items():
        yield (
            Lack("package", f"{package} {version}".strip()),
            partial(has_package, package, version),
        )
    if where.data:
        yield Lack("data", where.data), lambda run: where.data in run.spec.data.name
    if where.image_size:
        yield None, lambda run: run.spec.train.image_size == where.image_size
    if where.hours:
        yield None, lambda run: (run.spec.settings or {}).get("hours", 0.0) >= where.hours


def begins(version: str | None, wanted: str) -> bool:
    """Whether a version is the one that is wanted, or one of its releases: 11.3.1 for 11.3."""
    return version is not None and (not wanted or re.match(rf"{re.escape(wanted)}(?![0-9])", version) is not None)


def has_package(package: str, version: str, run: Observation) -> bool:
    """Whether a run's environment has a package in such a version."""
    return begins(run.environment.packages.get(package) if run.environment else None, version)


def fits(where: Where, run: Observation) -> bool:
    """Whether a run is as it has to be."""
    return all(holds(run) for _, holds in conditions(where))


def lacking_of(where: Where, runs: Sequence[Observation]) -> tuple[Lack, ...]:
    """What it takes that no run has; where runs have each of it and none has all, all of it."""
    asked = [(lack, holds) for lack, holds in conditions(where) if lack]
    if any(all(holds(run) for _, holds in asked) for run in runs):
        return ()
    missing = tuple(lack for lack, holds in asked if not any(map(holds, runs)))
    return missing or tuple(lack for lack, _ in asked)


# --- what a folder says -------------------------------------------------------------------------------------------

Told = tuple[Says, Shown]


def tell_check(piece: OnCheck, machine: Machine, pins: list[str], _: Sequence[Observation]) -> Told:
    """Whether a check held on these pins."""
    rows = machine.checks.get(piece.case, [])
    row = next((one for one in rows if piece.check in (one.name, without_build(one.name))), None)
    if row is None:
        return "open", NothingSeen()
    cells = tuple((pin, said_so(row.cells[machine.matrix.pins.index(pin)], piece.said)) for pin in pins)
    outcomes = [cell.outcome if cell else "open" for _, cell in cells]
    wanted, unwanted = ("held", "failed") if piece.holds else ("failed", "held")
    return told(all(one == wanted for one in outcomes), unwanted in outcomes), CheckSeen(row, cells)


def said_so(cell: CheckCell | None, pattern: str) -> CheckCell | None:
    """The cell if runs said of it what they have to have said, else None."""
    texts = [sight.seen.text for sight in cell.sights if isinstance(sight.seen, Said)] if cell else []
    return cell if not pattern or any(re.search(pattern, text) for text in texts) else None


def told(for_it: bool, against: bool) -> Says:
    """For it, against it, or neither."""
    return "against" if against else "for" if for_it else "open"


def tell_finding(piece: OnFinding, machine: Machine, pins: list[str], _: Sequence[Observation]) -> Told:
    """Whether the intervals of findings lie within what is said, or wholly outside."""
    key = (piece.case, key_of(piece.metric, piece.at))
    of_metric = {one.pin: one for one in machine.findings if (one.case, one.quantity.key) == key}
    found = tuple(of_metric[pin] for pin in pins if pin in of_metric)
    if not found:
        return "open", NothingSeen()
    least, most = ends_of(piece)
    ends = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    outside = any(high < least or most < low for low, high in ends)
    within = len(ends) == len(pins) and all(least <= low and high <= most for low, high in ends)
    return told(within, outside), FindingsSeen(found)


def ends_of(piece: OnFinding | OnMetric) -> tuple[float, float]:
    """The ends of what is said."""
    return (
        -math.inf if piece.least is None else piece.least,
        math.inf if piece.most is None else piece.most,
    )


def tell_metric(piece: OnMetric, machine: Machine, pins: list[str], runs: Sequence[Observation]) -> Told:
    """Whether a metric is within what is said in every run."""
    key = key_of(piece.metric, piece.at)
    quantity = next((one for one in machine.matrix.quantities.get(piece.case, []) if one.key == key), None)
    if quantity is None:
        return "open", NothingSeen()
    figures = [(one.spec.pin.name, one.figure(key).value) for one in runs]
    values = tuple((pin, tuple(value for name, value in figures if name == pin and value is not None)) for pin in pins)
    least, most = ends_of(piece)
    within = [[least <= value <= most for value in of_pin] for _, of_pin in values]
    return told(all(map(bool, within)) and all(map(all, within)), not all(map(all, within))), MetricSeen(
        quantity, values
    )


def tell_fingerprint(piece: OnFingerprint, machine: Machine, pins: list[str], runs: Sequence[Observation]) -> Told:
    """Whether a fingerprint is the same on two pins, or has the values that are said."""
    if piece.values:
        return tell_values(piece, pins, runs)
    if piece.unable:
        return tell_unable(piece, pins, runs)
    shown = likeness_of(piece, machine, pins)
    if shown is None:
        return "open", NothingSeen()
    same = {"same": True, "alike": True, "within tolerance": True, "changed": False, "differs": False}.get(shown.kind)
    return told(same == piece.same, same is not None and same != piece.same), shown


def likeness_of(piece: OnFingerprint, machine: Machine, pins: list[str]) -> Step | Likeness | None:
    """What two pins have in common; of a probe, what it says of them."""
    steps = [
        step
        for row in machine.probes.get(piece.case, [])
        if row.declared.name == piece.fingerprint
        for step in (*row.steps, *row.against.values())
    ]
    for step in steps:
        if {step.likeness.first, step.likeness.second} == set(pins):
            return step
    prints = machine.fingerprints.get(piece.case, [])
    return next(
        (
            one
            for one in prints
            if one.declared.name == piece.fingerprint
            and not isinstance(one.declared, DeclaredProbe)
            and {one.first, one.second} == set(pins)
        ),
        None,
    )


def tell_values(piece: OnFingerprint, pins: list[str], runs: Sequence[Observation]) -> Told:
    """Whether a fingerprint has these values in every run of these pins."""
    title, unable, places, alike = piece.fingerprint, "", [], []
    for pin in pins:
        prints = prints_of(piece, pin, runs)
        unable = unable or next((one.unable for one in prints if one.unable), "")
        for name, said in piece.values.items():
            expected = tuple(said) if isinstance(said, list) else (said,)
            seen = value_in(prints, name)
            places.append((pin, name, expected, seen))
            alike.append(None if not seen else equal(expected, seen))
    if unable:
        return "open", ValuesSeen(title, (), unable)
    return told(all(alike), False in alike), ValuesSeen(title, tuple(places))


def tell_unable(piece: OnFingerprint, pins: list[str], runs: Sequence[Observation]) -> Told:
    """Whether runs of these pins cannot come to a fingerprint, and for this reason."""
    prints = [(pin, one) for pin in pins for one in prints_of(piece, pin, runs)]
    unable = [one.unable for _, one in prints if one.unable]
    for_it = len(unable) == len(prints) > 0 and all(re.search(piece.unable, why) for why in unable)
    places = tuple((pin, "", (), tuple(one.value)) for pin, one in prints if not one.unable)
    return told(for_it, bool(places)), ValuesSeen(piece.fingerprint, places, next(iter(unable), ""))


def prints_of(piece: OnFingerprint, pin: str, runs: Sequence[Observation]) -> list[Fingerprint]:
    """The fingerprints of a pin's runs."""
    name = piece.fingerprint
    return [one.fingerprints[name] for one in runs if one.spec.pin.name == pin and name in one.fingerprints]


def value_in(prints: Sequence[Fingerprint], name: str) -> tuple[Value, ...]:
    """What all of these fingerprints have under a name; nothing where they differ, or have none."""
    found = {values_by_name(one).get(name, ()) for one in prints}
    return found.pop() if len(found) == 1 else ()


def values_by_name(one: Fingerprint) -> dict[str, tuple[Value, ...]]:
    """The values of a fingerprint by what they are of; of a digest, it alone."""
    return by_name(one) if isinstance(one.value, list) else {"": (one.value,)}


def equal(expected: tuple[Place, ...], seen: tuple[Value, ...]) -> bool:
    """Whether values are those that were said: numbers to six digits."""
    return len(expected) == len(seen) and all(
        math.isclose(one, other, rel_tol=1e-6) if isinstance(one, float) and isinstance(other, float) else one == other
        for one, other in zip(((float(one) if isinstance(one, int) else one) for one in expected), seen, strict=True)
    )


def tell_environment(piece: OnEnvironment, _: Machine, pins: list[str], runs: Sequence[Observation]) -> Told:
    """Which version of something was observed."""
    versions = tuple(
        (pin, tuple(dict.fromkeys(version_of(one, piece.of) for one in runs if one.spec.pin.name == pin)))
        for pin in pins
    )
    right = [re.fullmatch(piece.version, version) is not None for _, several in versions for version in several]
    return told(all(right), not all(right)), VersionsSeen(piece.of, versions)


def version_of(run: Observation, of: str) -> str:
    """The version of something that a run observed; `none` where it has none."""
    observed = run.environment
    if observed is None:
        return "none"
    own = {name: getattr(observed, name) for name in ("python", "torch", "torchvision", "cuda")}
    return str(own.get(of) or observed.packages.get(of) or "none")


def tell_runs(piece: OnRuns, machine: Machine, pins: list[str], _: Sequence[Observation]) -> Told:
    """Whether runs of a case end well."""
    counts = []
    for pin in pins:
        statuses = [one.status for one in machine.matrix.runs_of(piece.case, pin)]
        counts.append((pin, statuses.count("ok"), statuses.count("failed"), len(statuses)))
    all_ok = all(ok == runs for _, ok, _, runs in counts)
    none_ok = [failed == runs for _, _, failed, runs in counts]
    some_ok = any(ok for _, ok, _, _ in counts)
    says = told(all_ok, any(none_ok)) if piece.ended else told(all(none_ok), some_ok)
    return says, RunsSeen(piece.case, tuple((pin, ok, runs) for pin, ok, _, runs in counts))


TELLS: dict[type[OnRecords], Callable[[Any, Machine, list[str], Sequence[Observation]], Told]] = {
    OnCheck: tell_check,
    OnFinding: tell_finding,
    OnMetric: tell_metric,
    OnFingerprint: tell_fingerprint,
    OnEnvironment: tell_environment,
    OnRuns: tell_runs,
}
"""How each kind of evidence is asked of a results folder."""
