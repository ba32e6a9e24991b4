"""What is said of a matrix: every kind of statement, with its values. `reports/show` makes sentences of them.

Numbers of findings are shares where a metric is compared as a ratio (0.03: 3 % more), else in the recorded unit.
Rounds, epochs and steps count from 0. What is called foreign is text from records, harmless only when shown as such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Union, get_args

from harness.core.declaration import DeclaredBreakdown, DeclaredCheck, DeclaredFingerprint, DeclaredProbe
from harness.core.policy import MetricPolicy
from harness.core.record import CheckOutcome
from reports.evidence.figures import Absent
from reports.evidence.store import RunStatus, Trouble
from reports.evidence.units import Quantity

Outcome = Literal["better", "worse", "equivalent", "inconclusive"]
Pairs = Literal["rounds", "sittings"]
Decision = Literal["upgrade", "hold", "inconclusive"]

# --- findings -----------------------------------------------------------------------------------------------------

WhyKind = Literal[
    "noisy",  # the baseline differs from itself as much
    "margin open",  # the two differ, but whether by more than the margin is open
    "both sides",  # the interval reaches beyond the margin on both sides: too few pairs, or too noisy ones
    "one side",  # it reaches beyond the margin on one side
    "one pair",  # one pair of runs decides nothing
    "no chance",  # chance moves it, and no two rounds differ by any
    "spread needs three",  # a spread needs three pairs of runs that differ
    "no pair",  # no run can be paired with one of the baseline
    "absent",  # runs have no figure: `absent`
    "run",  # runs did not end well: `status` and `trouble` of the first
    "case not planned",  # the policy requires `case`, which is not part of the matrix
]


@dataclass(frozen=True)
class Why:
    """Why a finding is inconclusive."""

    kind: WhyKind
    absent: Absent | None = None
    status: RunStatus | None = None
    trouble: Trouble | None = None
    case: str = ""


@dataclass(frozen=True)
class Finding:
    """One pin against the baseline on one metric, at one combination of its case's parameters.

    Numbers are None where there are none. `level` is the chance with which the interval misses the true value, after
    Holm.
    """

    pin: str
    case: str
    """Empty where the policy requires a case that is not part of the matrix; `why` names it."""
    quantity: Quantity
    rules: MetricPolicy
    outcome: Outcome
    n: int
    """Pairs that it rests on, in `pairs`."""
    pairs: Pairs
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    smallest: float | None = None
    """The smallest effect that would have been found with 80 % power."""
    further: int | None = None
    """Further rounds that would settle an inconclusive one; None where it is settled, or too near to the margin."""
    why: Why | None = None
    """Why it is inconclusive; None where it is not."""

    @property
    def measured(self) -> bool:
        """Whether there is any estimate: what is not measured is not equal."""
        return self.estimate is not None

    @property
    def alarms(self) -> bool:
        """Whether it says that the two differ."""
        return self.outcome in ("better", "worse")

    @property
    def tells_noise(self) -> bool:
        """Whether it says, of the control, that the machine is noisy. Of what one rounding moves as far as chance it
        says nothing of the machine."""
        return self.alarms and not self.chaotic

    @property
    def chaotic(self) -> bool:
        """Whether one rounding in the initial weights moves the metric as far as any chance does."""
        return self.quantity.declared is not None and self.quantity.declared.chaotic

    @property
    def harmless(self) -> bool:
        """Whether it was shown that the candidate is not worse by more than the margin, whatever else it is."""
        if self.low is None or self.high is None or self.outcome == "worse":
            return False
        most = self.high if self.quantity.better == "lower" else -self.low
        return most <= self.rules.margin or math.isclose(most, self.rules.margin)  # a share is off by a rounding

    def show(self, value: float) -> str:
        """A difference in the unit of the metric, signed: `+4.1 %`."""
        return self.quantity.shown_difference(value + 1 if self.quantity.relative else value)

    def show_interval(self, low: float, high: float) -> str:
        """An interval of such differences: `[+2.0 %, +6.3 %]`."""
        one = 1 if self.quantity.relative else 0
        return self.quantity.shown_interval(low + one, high + one)


# --- checks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What a run said of a check that it made itself: one line of foreign text, by how much what came out differs from
    what should have, as a share of it, and what was warned of, foreign too."""

    text: str
    apart: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotMade:
    """A run did not make a check that other runs of its case made."""


@dataclass(frozen=True)
class Growth:
    """How much a series grows in an epoch, as a share, with the ends of its interval; from `epochs` after warm-up."""

    estimate: float
    low: float
    high: float
    epochs: int


@dataclass(frozen=True)
class Spread:
    """How far `n` runs of a pin lie apart, as a standard deviation in the unit of `quantity`, with its interval."""

    quantity: Quantity
    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class NoSpread:
    """Why a pin's runs have no spread with an interval: `absent`, or where that is None all `n` have one value."""

    n: int
    absent: Absent | None = None


@dataclass(frozen=True)
class Grew:
    """The rule of thumb fires in `epoch`, the last look: by these ratios it grew, look by look."""

    epoch: int
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class DidNotGrow:
    """The rule of thumb could have fired in `epochs` epochs and did not; `largest` is the largest ratio that one look
    saw to what the one `looks` epochs before saw."""

    epochs: int
    looks: int
    largest: float


UntoldKind = Literal[
    "no series",  # the record holds no series of it
    "no starts",  # the record does not say in which epochs a process began
    "no warm-up",  # what was asked for does not say how long the warm-up is
    "gaps",  # some epoch after the warm-up has no figure
    "too short",  # the longest process has `epochs` after the warm-up, and it takes `needed`
    "few epochs",  # the rule cannot fire in fewer than `needed` epochs, and there are `epochs`
    "no row",  # there are `epochs` epochs, but in no process `needed` looks in a row
]


@dataclass(frozen=True)
class Untold:
    """Why a series tells nothing of a check."""

    kind: UntoldKind
    epochs: int = 0
    needed: int = 0


Seen = Union[Said, NotMade, Growth, Spread, NoSpread, Grew, DidNotGrow, Untold]


@dataclass(frozen=True)
class Sight:
    """What was seen of a check: in one round where that has to be told, else in all of a pin's runs."""

    seen: Seen
    round: int | None = None


@dataclass(frozen=True)
class CheckCell:
    """One check on one pin, over its runs."""

    outcome: CheckOutcome
    """`failed` where it did in any run, else `open` where any could not tell."""
    runs: int
    alike: int
    """Those with this outcome."""
    sights: tuple[Sight, ...]
    """Different ones, as many as are told of one cell."""
    more: int = 0
    """Further ones."""

    @property
    def always(self) -> bool:
        """Whether every run had this outcome, two at least."""
        return self.runs == self.alike > 1


@dataclass(frozen=True)
class CheckRow:
    """One check of a case, and a cell for each pin, None where no run ended well."""

    name: str
    """As records have it, with the combination of parameters where it has one; foreign where no case declares it."""
    declared: DeclaredCheck | None
    cells: tuple[CheckCell | None, ...]
    yardstick: float | None = None
    """What the whole interval has to lie below."""
    writer: str = ""
    """Of a check between pins, the pin that wrote what is read."""
    speaks: bool = True
    """Whether it speaks for or against a candidate: what others than the baseline wrote does not."""

    @property
    def gates(self) -> bool:
        """Whether a candidate that breaks it is held."""
        return self.speaks and (self.declared is None or self.declared.gates)


Checks = dict[str, list[CheckRow]]
"""By case."""

# --- fingerprints -------------------------------------------------------------------------------------------------

Value = Union[float, str, None]
LikenessKind = Literal["alike", "within tolerance", "differs", "not compared"]
WhyNot = Literal["", "no run", "refused", "not recorded", "unable"]


@dataclass(frozen=True)
class Apart:
    """Something that two pins have different values of; None stands for one that has none, or that is not finite."""

    name: str
    first: Value
    second: Value


@dataclass(frozen=True)
class Likeness:
    """What two pins have in common in one fingerprint, over the rounds that both have and that may be compared."""

    case: str
    declared: DeclaredFingerprint
    first: str
    second: str
    kind: LikenessKind
    rounds: int = 0
    """Rounds that were compared."""
    alike: int = 0
    """Those in which the two are equal bit for bit."""
    place: int | None = None
    """The smallest index at which any round differs: beyond the tolerance where the kind says so. None for a digest, or
    where nothing differs."""
    at: str = ""
    """What the value at that place is of, where places have names."""
    round: int | None = None
    """The round that differs there."""
    values: tuple[Value, Value] | None = None
    """The two values there, where None is one that is not finite, or the two digests. None where nothing differs, or
    where one of two lists ends before that place."""
    largest: float | None = None
    """The largest relative difference of two values, infinite where only one of them is finite and for digests in
    order; None for a digest and without any values."""
    names: int = 0
    """Where values belong to names: how many names there are on either of the two."""
    apart: tuple[Apart, ...] = ()
    """Those of them that differ by more than the tolerance in that round, or where none does, by anything."""
    why: WhyNot = ""
    """Why the two were not compared: there is no round that both have done, the records must not be compared, they do
    not hold it, or a run could not come to it."""
    unable: tuple[str, str] = ("", "")
    """Why each of the two could not come to it, which is foreign text; empty for one that could."""


# --- probes -------------------------------------------------------------------------------------------------------

StepKind = Literal["same", "changed", "cannot run", "unsteady", "not compared"]
Effect = Literal["differs", "stops", "warns", "more", "rounding"]
"""What a change does to code, the most expensive first: results differ without a word, something fails that did not, a
warning or an error is another one, something works or is there that was not, numbers are rounded otherwise."""
EFFECTS: tuple[Effect, ...] = get_args(Effect)
ROUNDING = 1e-5
"""Numbers that differ by no larger share of the largest among them differ by rounding."""


@dataclass(frozen=True)
class Part:
    """The values of one name in which two pins differ in a probe. `largest` is the largest difference as a share of the
    largest value, None where they are no numbers, or not as many."""

    name: str
    first: tuple[Value, ...]
    second: tuple[Value, ...]
    largest: float | None
    effect: Effect


@dataclass(frozen=True)
class Step:
    """What a probe says of two pins."""

    kind: StepKind
    likeness: Likeness
    parts: tuple[Part, ...] = ()
    """Where it has changed: in what, the most expensive first."""
    documented: tuple[str, ...] = ()
    """Where it has changed: the addresses that say so of a release between the two."""
    unsteady: tuple[str, ...] = ()
    """The pins on which it does not come to the same twice, so that it tells nothing."""

    @property
    def effect(self) -> Effect | None:
        """What the change does to code, that of its most expensive part; None where it has not changed."""
        return self.parts[0].effect if self.parts else None


@dataclass(frozen=True)
class ProbeRow:
    """One probe: from version to version, and of each pin beside the baseline."""

    declared: DeclaredProbe
    steps: tuple[Step, ...]
    against: dict[str, Step]


# --- breakdowns ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartApart:
    """A part of a breakdown, or the whole, on a pin and on the baseline: the medians of both, and by how much the pin's
    is more, with its interval; in the unit of the breakdown."""

    name: str
    """Empty of the whole, and of the parts that are too small to be told apart; foreign."""
    base: float
    own: float
    value: float
    low: float
    high: float
    gathered: int = 0
    """How many parts these are that are too small."""

    @property
    def clear(self) -> bool:
        """Whether the two differ."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Beside:
    """What a metric says of the whole that was measured without looking into it: by what share the pin's is more."""

    case: str
    quantity: Quantity
    base: float
    """The baseline's median."""
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Attribution:
    """Where the difference of a pin to the baseline lies in a quantity that is told in parts."""

    case: str
    declared: DeclaredBreakdown
    pin: str
    n: int
    """Sittings that were paired."""
    rows: int
    whole: PartApart
    parts: tuple[PartApart, ...]
    """Those that differ most first."""
    beside: tuple[Beside, ...]

    @property
    def sum(self) -> float:
        """What the differences of the parts come to."""
        return math.fsum(part.value for part in self.parts)

    @property
    def adds_up(self) -> bool:
        """Whether that is the difference of the whole, as far as its interval tells."""
        return self.whole.low <= self.sum <= self.whole.high


# --- accuracy -----------------------------------------------------------------------------------------------------

AccuracyShown = Literal["by the score", "by the same step", "not shown", "worse"]
LackKind = Literal[
    "not run",  # no case of the matrix has one of these metrics of a step: `metrics`
    "not measured",  # nothing can be compared of a step: `findings`
    "open step",  # the step may be worse by more than its margin: `findings`
    "check",  # these do not hold in every run: `checks`, with their cases
    "not exact",  # not the same within their tolerance, or not compared: `prints`
    "no control",  # the control has no two rounds of the score
    "still control",  # its score is the baseline's in all of them, which says nothing of chance
    "beyond chance",  # the score is further below the baseline's than chance
]


@dataclass(frozen=True)
class Lack:
    """What is missing for accuracy to be shown by the same step."""

    kind: LackKind
    metrics: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[tuple[str, CheckRow], ...] = ()
    prints: tuple[Likeness, ...] = ()


@dataclass(frozen=True)
class OfAccuracy:
    """Whether the accuracy of a candidate is shown, and by what: a score within its margin, or else the same step to
    rounding together with a score that is no further off than chance. Worse: score or step are."""

    shown: AccuracyShown
    score: Finding
    steps: tuple[Finding, ...]
    """What tells of the step."""
    lacks: tuple[Lack, ...] = ()
    """What the same step lacks, told where nothing else shows accuracy."""
    chance: float | None = None
    """How far from 0 chance alone may move the mean difference of as many pairs as the score's finding has."""
    moved: tuple[float, ...] = ()
    """By how much the score of the control differs from the baseline's, round by round."""


# --- verdicts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NeverEnded:
    """None of the pin's runs of a case ended well, while all of the baseline's did; `trouble` is the first one's."""

    case: str
    runs: int
    trouble: Trouble | None


@dataclass(frozen=True)
class Unfinished:
    """Some runs of a case are not there: `absent` of `runs`, of the pin or of the baseline."""

    case: str
    pin: str
    of_baseline: bool
    absent: int
    runs: int
    statuses: tuple[RunStatus, ...]


@dataclass(frozen=True)
class ControlSilent:
    """The control measured nothing that can be compared, or was not planned: the machine's noise is not known."""

    planned: bool


@dataclass(frozen=True)
class OfFinding:
    """What a finding says."""

    finding: Finding


@dataclass(frozen=True)
class OfCheck:
    """What a check says of a pin. `also_on`: where it failed, those of the baseline and its twin that fail it too."""

    case: str
    row: CheckRow
    cell: CheckCell
    base: CheckCell | None
    also_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Anomalous:
    """Anomalies of a kind in rounds in which the baseline has none of it, with the place of the first. An empty
    `parameter` stands for the loss; kind and parameter are foreign."""

    kind: str
    rounds: tuple[int, ...]
    epoch: int
    step: int
    parameter: str


@dataclass(frozen=True)
class NothingGates:
    """No metric that was asked for gates."""


Reason = Union[NeverEnded, Unfinished, ControlSilent, OfFinding, OfAccuracy, OfCheck, Anomalous, NothingGates]
Role = Literal["holds", "keeps", "tells"]
"""Holds the upgrade; keeps it from being one; says what else there is."""


@dataclass(frozen=True)
class Weighed:
    """A reason and what it does to a verdict."""

    reason: Reason
    role: Role


@dataclass(frozen=True)
class CandidateVerdict:
    """A candidate's verdict on one machine, its reasons, the gravest first, and its findings."""

    pin: str
    decision: Decision
    reasons: tuple[Weighed, ...]
    findings: tuple[Finding, ...]
    cannot_run: Trouble | None = None
    """Why no run of it is possible on this machine; None where one is."""
    accuracy: tuple[OfAccuracy, ...] = ()
    """One for each finding on the score of the policy that is measured, which several cases may have."""

    def of_role(self, role: Role) -> tuple[Reason, ...]:
        """The reasons of one role, in order."""
        return tuple(weighed.reason for weighed in self.reasons if weighed.role == role)


@dataclass(frozen=True)
class Control:
    """The baseline against itself. `quiet`: no metric tells the two apart; `noisy`: some does; `silent`: nothing could
    be compared."""

    state: Literal["quiet", "noisy", "silent", "not planned"]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class MachineVerdict:
    """What one results folder says, which is of one machine. `matrix` is the plan's name, `kind` the kind of machine in
    matrix.toml; `rounds` those of the case that has the most; `runs` how many have each status."""

    label: str
    matrix: str
    kind: str
    hardware: tuple[str, ...]
    baseline: str
    rounds: int
    runs: dict[RunStatus, int]
    control: Control
    candidates: tuple[CandidateVerdict, ...]


@dataclass(frozen=True)
class OverallVerdict:
    """A candidate over all machines. `version` is the pin's without its build (1.12.1 for 1.12.1+cu113), as builds
    differ between machines, unless one machine has several. `agree`: whether all machines say the same."""

    version: str
    decision: Decision
    agree: bool
    on: tuple[tuple[MachineVerdict, CandidateVerdict], ...]
    """The machines that it was planned on, with what each says."""
    machines: int
    """How many there are in all."""
