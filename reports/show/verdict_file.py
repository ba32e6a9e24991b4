"""`verdict.json`: what was judged, as numbers and kinds, each statement with its sentence beside it.

What follows from records is in the numbers and kinds; `title` and `sentence` only say the same in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Optional, Union

from harness.core.declaration import Combination
from harness.core.policy import Policy
from harness.core.record import CheckOutcome
from harness.core.settings import Strict
from reports.evidence.claims import Claims
from reports.evidence.store import RunStatus
from reports.judge.claims import ClaimOutcome, JudgedClaim, Says
from reports.judge.judgement import Judgement
from reports.judge.machines import Machine
from reports.judge.statements import (
    AccuracyShown,
    Anomalous,
    Attribution,
    CandidateVerdict,
    CheckCell,
    CheckRow,
    ControlSilent,
    Decision,
    DidNotGrow,
    Finding,
    Grew,
    Growth,
    LackKind,
    Likeness,
    NeverEnded,
    NoSpread,
    NothingGates,
    NotMade,
    OfAccuracy,
    OfCheck,
    OfFinding,
    OverallVerdict,
    PartApart,
    Reason,
    Role,
    Said,
    Seen,
    Sight,
    Spread,
    Unfinished,
    Untold,
    Weighed,
)
from reports.judge.verdict import without_build
from reports.proofs.calibration import Calibration, read_calibration
from reports.show.accuracy import accuracy_in_words
from reports.show.attribution import in_words
from reports.show.checks import sight_in_words
from reports.show.claims import expected_in_words, lack_in_words, values_of, why_in_words, witness_in_words
from reports.show.findings import Words, finding_in_words, words_of
from reports.show.fingerprints import likeness_in_words
from reports.show.proofs import calibration_in_words
from reports.show.text import one_line
from reports.show.verdicts import control_in_words, overall_in_words, reason_in_words, verdict_in_words

SCHEMA = 7
KINDS: dict[type[Reason], str] = {
    OfFinding: "finding",
    OfAccuracy: "accuracy",
    OfCheck: "check",
    Anomalous: "anomaly",
    NeverEnded: "never ended",
    Unfinished: "unfinished",
    ControlSilent: "control",
    NothingGates: "nothing gates",
}
"""What reasons are called in the file."""
SEEN: dict[type[Seen], str] = {
    Said: "said",
    NotMade: "not made",
    Growth: "growth",
    Spread: "spread",
    NoSpread: "no spread",
    Grew: "grew",
    DidNotGrow: "did not grow",
    Untold: "untold",
}
"""The same of what was seen of checks."""


class StoredFinding(Strict, frozen=True):
    """One finding. Numbers are shares where `compared` is `ratio` or `spread` (0.03: 3 % more than the baseline), else
    in `unit`; null where there is none, and for an interval without a bound. `at` is the combination of the case's
    parameters, `level` the chance with which the interval misses the true value (Holm), `smallest` the smallest effect
    that would have been found with 80 % power, `further` the further rounds that would settle an inconclusive finding
    (null: settled, or none would), `n` the pairs that it rests on, in `pairs`, `why` why it is inconclusive."""

    metric: str
    at: Combination
    case: str
    compared: str
    unit: str
    better: str
    gates: bool
    margin: float
    finding: str
    measured: bool
    n: int
    pairs: str
    estimate: Optional[float]
    low: Optional[float]
    high: Optional[float]
    level: Optional[float]
    smallest: Optional[float]
    further: Optional[int]
    why: str
    title: str
    sentence: str


class StoredSight(Strict, frozen=True):
    """What was seen of a check: in one round, counted from 0, or in all of a pin's runs. `values` are its numbers by
    name, or the text of a run that made the check itself."""

    kind: str
    round: Optional[int]
    values: dict[str, Any]
    sentence: str


class StoredCheck(Strict, frozen=True):
    """One check on one pin, which may be the baseline: `failed` where it did in any run, else `open` where any could
    not tell; `alike` of its `runs` came out so. `seen` are the first different things that were, `more` further ones
    there are. `yardstick` is what an interval had to lie below, null where there is none."""

    case: str
    name: str
    gates: bool
    yardstick: Optional[float]
    pin: str
    outcome: CheckOutcome
    runs: int
    alike: int
    seen: list[StoredSight]
    more: int
    title: str


class StoredReason(Strict, frozen=True):
    """One reason of a verdict: what it does to it (`holds` the upgrade, `keeps` it from being one, `tells` what else
    there is), and what it is about: a metric, a check, or a kind of anomaly, of which case."""

    kind: str
    role: Role
    about: str
    case: str
    sentence: str


class StoredLikeness(Strict, frozen=True):
    """One fingerprint of two pins. `rounds` were compared, `alike` of them are equal bit for bit; `place` is the first
    index, counted from 0, at which `round` differs, `at` is what is there, `values` are the two, `largest` is the
    largest relative difference. Where values belong to names, `names` is how many there are, and `apart` has those that
    differ with both values, null for none."""

    case: str
    name: str
    first: str
    second: str
    kind: str
    rounds: int
    alike: int
    place: Optional[int]
    at: str
    round: Optional[int]
    values: Optional[list[Union[float, str, None]]]
    largest: Optional[float]
    names: int
    apart: dict[str, list[Union[float, str, None]]]
    why: str
    title: str
    sentence: str


class StoredAccuracy(Strict, frozen=True):
    """Whether accuracy is shown: `by the score`, `by the same step`, `not shown` or `worse`. `difference` is the
    score's mean one over `rounds`, in the unit of the metric; `chance` is how far from 0 chance alone may move that,
    null where the control does not tell; `moved` is what one rounding moved in each round of the control. `lacks` is
    what is missing for the same step to show it."""

    metric: str
    case: str
    shown: AccuracyShown
    lacks: list[LackKind]
    difference: Optional[float]
    chance: Optional[float]
    rounds: int
    moved: list[float]
    sentence: str


class StoredPart(Strict, frozen=True):
    """A part of a breakdown, in the unit of that: the medians of baseline and pin, and by how much the pin's is more,
    with its interval. `gathered`: how many small parts it stands for, 0 of one that has a name."""

    part: str
    gathered: int
    base: float
    own: float
    value: float
    low: float
    high: float


class StoredAttribution(Strict, frozen=True):
    """Where the difference of a pin to the baseline lies in one breakdown, from the rows of `n` sittings; the parts
    that differ most come first, and `adds_up` is whether they come to the whole within its interval."""

    case: str
    breakdown: str
    unit: str
    n: int
    rows: int
    whole: StoredPart
    parts: list[StoredPart]
    adds_up: bool
    title: str
    sentence: str


class StoredCandidate(Strict, frozen=True):
    """A candidate's verdict on one machine, in one sentence and in all its reasons, and what it rests on."""

    pin: str
    verdict: Decision
    sentence: str
    reasons: list[StoredReason]
    findings: list[StoredFinding]
    accuracy: list[StoredAccuracy]
    attributions: list[StoredAttribution]


class StoredControl(Strict, frozen=True):
    """The baseline against itself: `quiet` as long as no metric tells the two apart, else noisy, silent where nothing
    could be compared, or not planned."""

    state: str
    sentence: str
    findings: list[StoredFinding]

    @property
    def quiet(self) -> bool:
        """Whether it was measured, and no metric tells the two apart."""
        return self.state == "quiet"


class StoredMachine(Strict, frozen=True):
    """What one results folder says, which is of one machine. `calibration` is what `nox -s calibrate` has shown there,
    or null; `kind` the kind of machine in matrix.toml; `rounds` those of the case that has the most."""

    label: str
    matrix: str
    kind: str
    hardware: list[str]
    baseline: str
    rounds: int
    runs: dict[RunStatus, int]
    control: StoredControl
    candidates: list[StoredCandidate]
    checks: list[StoredCheck]
    fingerprints: list[StoredLikeness]
    calibration: Optional[Calibration]
    calibration_sentence: str


class StoredOverall(Strict, frozen=True):
    """A candidate over all machines. `version` is the pin's without its build (1.12.1 for 1.12.1+cu113), as builds
    differ between machines, unless one machine has several. `agree`: whether all machines say the same."""

    version: str
    verdict: Decision
    agree: bool
    sentence: str


class StoredWitness(Strict, frozen=True):
    """What one results folder says of a piece of the evidence on a claim, by pin or by name; arithmetic and somebody's
    code have no folder."""

    folder: str
    says: Says
    values: dict[str, Any]
    sentence: str


class StoredExhibit(Strict, frozen=True):
    """One piece of the evidence on a claim: its kind in claims.toml, whether it counts, what the claim says of it, what
    all folders together say, what it takes that is not here, and what is to be done where it is open."""

    kind: str
    decides: bool
    expected: str
    says: Says
    witnesses: list[StoredWitness]
    lacking: list[str]
    run: str


class StoredClaim(Strict, frozen=True):
    """One claim of the ledger, how it was tested, what came out, and why in a sentence. `disagree`: whether folders do;
    `run`: what would have to be done for an open one to be settled."""

    name: str
    claim: str
    how: str
    outcome: ClaimOutcome
    disagree: bool
    evidence: list[StoredExhibit]
    run: list[str]
    sentence: str


class VerdictFile(Strict, frozen=True):
    """The whole of verdict.json. `policy` is the digest of policy.toml as it was when this was written."""

    schema: int
    policy: str
    error_rate: float
    candidates: list[StoredOverall]
    machines: list[StoredMachine]
    claims: list[StoredClaim]


@dataclass(frozen=True)
class Told:
    """One machine as it is told of: what was judged, the words for it, and the same as verdict.json has it."""

    machine: Machine
    words: Words
    verdict: StoredMachine


@dataclass(frozen=True)
class Account:
    """All that is told: what was judged, each machine with its words, and what verdict.json says of it."""

    judgement: Judgement
    machines: list[Told]
    verdict: VerdictFile


def account_of(judgement: Judgement) -> Account:
    """What was judged, with its words, and with the calibration of each machine where there is one beside it."""
    policy = judgement.policy
    told = [told_of(machine, policy) for machine in judgement.machines]
    verdict = VerdictFile(
        schema=SCHEMA,
        policy=policy.digest(),
        error_rate=policy.error_rate,
        candidates=[stored_overall(one, told) for one in judgement.candidates],
        machines=[one.verdict for one in told],
        claims=[stored_claim(one, judgement.claims) for one in judgement.ledger],
    )
    return Account(judgement, told, verdict)


def told_of(machine: Machine, policy: Policy) -> Told:
    """One machine with its words."""
    words = words_of(machine.matrix, policy)
    calibration = read_calibration(machine.results, machine.matrix, policy)
    judged, control = machine.verdict, machine.verdict.control
    stored = StoredMachine(
        label=judged.label,
        matrix=judged.matrix,
        kind=judged.kind,
        hardware=list(judged.hardware),
        baseline=judged.baseline,
        rounds=judged.rounds,
        runs=dict(judged.runs),
        control=StoredControl(
            control.state, control_in_words(control, words), [stored_finding(one, words) for one in control.findings]
        ),
        candidates=[stored_candidate(one, words, machine) for one in judged.candidates],
        checks=list(stored_checks(machine, words)),
        fingerprints=[stored_likeness(one) for made in machine.fingerprints.values() for one in made],
        calibration=calibration if isinstance(calibration, Calibration) else None,
        calibration_sentence=calibration_in_words(calibration),
    )
    return Told(machine, words, stored)


def stored_overall(one: OverallVerdict, told: list[Told]) -> StoredOverall:
    """A candidate over all machines, each named with its baseline where those have several."""
    several = len({without_build(each.verdict.baseline) for each in told}) > 1
    sentences = []
    for machine, candidate in one.on:
        where = f"{machine.label} against {machine.baseline}" if several else machine.label
        words = next(each.words for each in told if each.verdict.label == machine.label)
        sentences.append((where, verdict_in_words(candidate, words)))
    return StoredOverall(one.version, one.decision, one.agree, overall_in_words(one, sentences))


def stored_candidate(one: CandidateVerdict, words: Words, machine: Machine) -> StoredCandidate:
    """A candidate on one machine."""
    lies = [each for told in machine.attributions.values() for each in told if each.pin == one.pin]
    return StoredCandidate(
        pin=one.pin,
        verdict=one.decision,
        sentence=verdict_in_words(one, words),
        reasons=[stored_reason(weighed, words) for weighed in one.reasons],
        findings=[stored_finding(found, words) for found in one.findings],
        accuracy=[stored_accuracy(of, words) for of in one.accuracy],
        attributions=[stored_attribution(each, words.baseline) for each in lies],
    )


def stored_attribution(one: Attribution, baseline: str) -> StoredAttribution:
    """Where a difference lies."""
    return StoredAttribution(
        case=one.case,
        breakdown=one.declared.name,
        unit=one.declared.unit,
        n=one.n,
        rows=one.rows,
        whole=stored_part(one.whole),
        parts=[stored_part(part) for part in one.parts],
        adds_up=one.adds_up,
        title=one.declared.title,
        sentence=in_words(one, baseline),
    )


def stored_part(part: PartApart) -> StoredPart:
    """A part of a breakdown."""
    own = (part.base, part.own, part.value, part.low, part.high)
    return StoredPart(one_line(part.name), part.gathered, *own)


def stored_accuracy(of: OfAccuracy, words: Words) -> StoredAccuracy:
    """Whether accuracy is shown."""
    return StoredAccuracy(
        metric=of.score.quantity.name,
        case=of.score.case,
        shown=of.shown,
        lacks=[lack.kind for lack in of.lacks],
        difference=of.score.estimate,
        chance=of.chance,
        rounds=of.score.n,
        moved=list(of.moved),
        sentence=accuracy_in_words(of, words),
    )


def stored_finding(found: Finding, words: Words) -> StoredFinding:
    """A finding."""
    quantity = found.quantity
    return StoredFinding(
        metric=quantity.name,
        at={parameter.name: value for parameter, value in quantity.at},
        case=found.case,
        compared=quantity.comparison,
        unit=quantity.unit,
        better=quantity.better,
        gates=found.rules.gates,
        margin=found.rules.margin,
        finding=found.outcome,
        measured=found.measured,
        n=found.n,
        pairs=found.pairs,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        level=found.level,
        smallest=found.smallest,
        further=found.further,
        why=found.why.kind if found.why else "",
        title=words.title(found),
        sentence=finding_in_words(found, words),
    )


def stored_reason(weighed: Weighed, words: Words) -> StoredReason:
    """A reason of a verdict."""
    kind = KINDS[type(weighed.reason)]
    about, case = subject_of(weighed.reason)
    return StoredReason(kind, weighed.role, one_line(about), case, reason_in_words(weighed.reason, words))


def subject_of(reason: Reason) -> tuple[str, str]:
    """What a reason is about, and of which case; both may be empty."""
    if isinstance(reason, OfFinding):
        return reason.finding.quantity.key, reason.finding.case
    if isinstance(reason, OfAccuracy):
        return reason.score.quantity.key, reason.score.case
    if isinstance(reason, OfCheck):
        return reason.row.name, reason.case
    if isinstance(reason, Anomalous):
        return reason.kind, ""
    return "", reason.case if isinstance(reason, (NeverEnded, Unfinished)) else ""


def stored_checks(machine: Machine, words: Words) -> Iterator[StoredCheck]:
    """The checks of all pins, pin by pin."""
    for place, pin in enumerate(machine.matrix.pins):
        for case, rows in machine.checks.items():
            for row in rows:
                cell = row.cells[place]
                if cell:
                    yield stored_check(case, row, pin, cell, words)


def stored_check(case: str, row: CheckRow, pin: str, cell: CheckCell, words: Words) -> StoredCheck:
    """One check on one pin."""
    return StoredCheck(
        case=case,
        name=one_line(row.name),
        gates=row.gates,
        yardstick=row.yardstick,
        pin=pin,
        outcome=cell.outcome,
        runs=cell.runs,
        alike=cell.alike,
        seen=[stored_sight(sight) for sight in cell.sights],
        more=cell.more,
        title=words.check(row, case),
    )


def stored_sight(sight: Sight) -> StoredSight:
    """What was seen of a check."""
    seen = asdict(sight.seen).items()
    kept = {name: value for name, value in seen if isinstance(value, (int, float, str, tuple)) and value != ()}
    return StoredSight(SEEN[type(sight.seen)], sight.round, kept, sight_in_words(sight))


def stored_likeness(one: Likeness) -> StoredLikeness:
    """One fingerprint of two pins."""
    return StoredLikeness(
        case=one.case,
        name=one_line(one.declared.name),
        first=one.first,
        second=one.second,
        kind=one.kind,
        rounds=one.rounds,
        alike=one.alike,
        place=one.place,
        at=one_line(one.at),
        round=one.round,
        values=list(one.values) if one.values else None,
        largest=one.largest,
        names=one.names,
        apart={one_line(each.name): [each.first, each.second] for each in one.apart},
        why=one.why,
        title=one_line(one.declared.title),
        sentence=likeness_in_words(one),
    )


def stored_claim(one: JudgedClaim, claims: Claims) -> StoredClaim:
    """A claim of the ledger."""
    evidence = [
        StoredExhibit(
            kind=str(exhibit.piece.__struct_config__.tag),
            decides=exhibit.piece.decides,
            expected=expected_in_words(exhibit.piece),
            says=exhibit.says,
            witnesses=[
                StoredWitness(each.folder, each.says, dict(values_of(each.shown)), witness_in_words(each))
                for each in exhibit.witnesses
            ],
            lacking=[lack_in_words(lack) for lack in exhibit.lacking],
            run=exhibit.run,
        )
        for exhibit in one.exhibits
    ]
    return StoredClaim(
        name=one.name,
        claim=one.claim.claim,
        how=one.claim.how,
        outcome=one.outcome,
        disagree=one.disagree,
        evidence=evidence,
        run=list(one.runs),
        sentence=why_in_words(one, claims),
    )
