"""How claims are told: what each says, what was seen, and why it came out as it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.core.cases import read_case
from reports.evidence.arithmetic import Comparison, Side
from reports.evidence.claims import (
    Claims,
    Evidence,
    OnArithmetic,
    OnCheck,
    OnEnvironment,
    OnFinding,
    OnFingerprint,
    OnMetric,
    OnRuns,
    OnSource,
    Place,
    Taking,
    Where,
)
from reports.evidence.sources import Found
from reports.evidence.units import Quantity, four_digits, guess
from reports.judge.claims import (
    CheckSeen,
    ClaimOutcome,
    Exhibit,
    FindingsSeen,
    JudgedClaim,
    Lack,
    MetricSeen,
    NothingSeen,
    OtherSetting,
    RunsSeen,
    Says,
    Shown,
    ValuesSeen,
    VersionsSeen,
    Witness,
    conditions,
)
from reports.judge.statements import CheckCell, Likeness, Step, Value
from reports.show.checks import cell_in_words, said_in
from reports.show.findings import effect, why_open
from reports.show.fingerprints import likeness_in_words, value_in_words
from reports.show.probes import lines_of, outcome_of
from reports.show.text import one_line, sentence
from reports.show.words import counted, listed_in_words

OUTCOMES: tuple[ClaimOutcome, ...] = (
    "reproduced",
    "refuted",
    "inconsistent with itself",
    "not testable here",
    "open",
)
"""In the order in which they are counted."""
SAYS: dict[Says, str] = {
    "for": "bears it out",
    "against": "speaks against it",
    "consistent": "fits together",
    "inconsistent": "does not fit together",
    "disagree": "folders disagree",
    "met": "what it takes is here",
    "open": "tells nothing",
    "not here": "not testable here",
}
LONGEST = 240
"""Characters of what one folder shows."""
MOST_VALUES = 6


# --- what a claim says --------------------------------------------------------------------------------------------


def expected_in_words(piece: Evidence) -> str:
    """What the claim says of a piece, as a sentence."""
    told = EXPECTED[type(piece)](piece)
    needed = where_in_words(piece.where)
    return sentence(one_line(told if isinstance(piece, Taking) or not needed else f"{told}, {needed}", 600))


def check_expected(piece: OnCheck) -> str:
    ends = "holds" if piece.holds else "fails"
    said = f", where what is said of it has {piece.said}" if piece.said else ""
    return f"the check {piece.check} of {piece.case} {ends} on {listed_in_words(piece.pins)}{said}"


def finding_expected(piece: OnFinding) -> str:
    quantity = guess(read_case(piece.case), piece.metric, piece.at)
    one = 1 if quantity.relative else 0
    ends = range_in_words(piece, lambda value: quantity.shown_difference(value + one))
    return f"{quantity.title} of {listed_in_words(piece.pins)} against {piece.against} ({piece.case}) is {ends}"


def metric_expected(piece: OnMetric) -> str:
    quantity = guess(read_case(piece.case), piece.metric, piece.at)
    ends = range_in_words(piece, lambda value: with_unit(quantity, value))
    return f"{quantity.title} of {listed_in_words(piece.pins)} ({piece.case}) is {ends} in every run"


def with_unit(quantity: Quantity, value: float) -> str:
    """A value with its unit."""
    return f"{quantity.shown(value)} {quantity.scale.unit}".strip()


def range_in_words(piece: OnFinding | OnMetric, shown: Callable[[float], str]) -> str:
    """A range: `between 1 and 2`, `at least 1`, `at most 2`, or where both are one `1`."""
    if piece.least is None or piece.most is None:
        ends = [("at least", piece.least), ("at most", piece.most)]
        return next(f"{how} {shown(end)}" for how, end in ends if end is not None)
    if piece.least == piece.most:
        return shown(piece.least)
    return f"between {shown(piece.least)} and {shown(piece.most)}"


def fingerprint_expected(piece: OnFingerprint) -> str:
    declared = read_case(piece.case).fingerprint(piece.fingerprint)
    title = declared.title if declared else piece.fingerprint
    if piece.unable:
        return f"runs of {listed_in_words(piece.pins)} cannot come to {title!r} ({piece.case}): {piece.unable}"
    if not piece.values:
        ends = "is the same" if piece.same else "differs"
        return f"{title!r} ({piece.case}) {ends} on {listed_in_words(piece.pins)}"
    values = ", ".join(
        f"{name} {values_in_words(said if isinstance(said, list) else [said])}" for name, said in piece.values.items()
    )
    return f"{title!r} ({piece.case}) has on {listed_in_words(piece.pins)}: {values}"


def values_in_words(values: Sequence[Place | Value]) -> str:
    """Some values."""
    shown = [value_in_words(value) for value in values[:MOST_VALUES]]
    return ", ".join([*shown, *(["…"] if len(values) > MOST_VALUES else [])]) or "nothing"


def environment_expected(piece: OnEnvironment) -> str:
    return f"{piece.of} of {listed_in_words(piece.pins)} is of a version that is {piece.version}"


def runs_expected(piece: OnRuns) -> str:
    ends = "end well" if piece.ended else "fail"
    return f"runs of {piece.case} {ends} on {listed_in_words(piece.pins)}"


def arithmetic_expected(piece: OnArithmetic) -> str:
    numbers = listed_in_words([f"{name} = {number}" for name, number in piece.numbers.items()])
    return f"{piece.holds}, with {numbers}"


def source_expected(piece: OnSource) -> str:
    pattern = f" ({piece.pattern})" if piece.pattern else ""
    return (
        f"{piece.what}{pattern} is {'' if piece.found else 'not '}in {listed_in_words(piece.files)} of {piece.source}"
    )


def taking_expected(piece: Taking) -> str:
    return f"it takes runs {where_in_words(piece.where)}"


EXPECTED: dict[type[Evidence], Callable[[Any], str]] = {
    OnCheck: check_expected,
    OnFinding: finding_expected,
    OnMetric: metric_expected,
    OnFingerprint: fingerprint_expected,
    OnEnvironment: environment_expected,
    OnRuns: runs_expected,
    OnArithmetic: arithmetic_expected,
    OnSource: source_expected,
    Taking: taking_expected,
}


def where_in_words(where: Where) -> str:
    """What runs have to be like: `on a GPU called A10, with torchaudio 0.10`; empty where anything will do."""
    said = [lack_in_words(lack) for lack, _ in conditions(where) if lack]
    said += [f"at {where.image_size} px"] if where.image_size else []
    return ", ".join([*said, *([f"over {where.hours:g} hours"] if where.hours else [])])


def lack_in_words(lack: Lack) -> str:
    """One thing that runs have to have."""
    words = {
        "gpu": "on a GPU called {}",
        "device": "on a GPU" if lack.which == "cuda" else "on a CPU",
        "cuda": "with a torch that was built for CUDA {}",
        "package": "with {} installed",
        "data": "on a data set called {}",
        "source": "beside a checkout of {}",
    }
    return words[lack.kind].format(lack.which)


# --- what was seen ------------------------------------------------------------------------------------------------


def shown_in_words(shown: Shown) -> str:
    """What a results folder, arithmetic or somebody's code shows, on one line."""
    return one_line(SHOWN[type(shown)](shown), LONGEST).rstrip(".")


def check_shown(shown: CheckSeen) -> str:
    return "; ".join(f"{pin} {cell_shown(cell)}" for pin, cell in shown.cells)


def cell_shown(cell: CheckCell | None) -> str:
    """A check on one pin, and what was seen."""
    if cell is None:
        return "has no run that tells"
    return ": ".join(filter(None, [cell_in_words(cell), one_line(said_in(cell), LONGEST // 2)]))


def findings_shown(shown: FindingsSeen) -> str:
    return "; ".join(
        f"{found.pin} {effect(found) if found.measured else why_open(found)}, {counted(found.n, found.pairs)}"
        for found in shown.findings
    )


def metric_shown(shown: MetricSeen) -> str:
    return "; ".join(
        f"{pin} {', '.join(with_unit(shown.quantity, value) for value in values[:MOST_VALUES]) or 'not measured'}"
        for pin, values in shown.values
    )


def step_shown(shown: Step) -> str:
    pins = f"{shown.likeness.first} and {shown.likeness.second}"
    return ": ".join([f"{outcome_of(shown)} on {pins}", *([lines] if (lines := "; ".join(lines_of(shown))) else [])])


def likeness_shown(shown: Likeness) -> str:
    return f"{shown.first} and {shown.second}: {likeness_in_words(shown)}"


def values_shown(shown: ValuesSeen) -> str:
    if shown.unable and not shown.places:
        return f"not compared: {shown.unable}"
    return "; ".join(
        f"{', '.join(filter(None, (pin, name)))}: {values_in_words(seen)}" for pin, name, _, seen in shown.places
    )


def versions_shown(shown: VersionsSeen) -> str:
    return "; ".join(f"{shown.of} of {pin} is {' and '.join(versions)}" for pin, versions in shown.versions)


def runs_shown(shown: RunsSeen) -> str:
    return "; ".join(f"{pin}: {ok} of {runs} ended well" for pin, ok, runs in shown.runs)


def comparison_shown(shown: Comparison) -> str:
    return f"{side_in_words(shown.left)} against {side_in_words(shown.right)}"


def side_in_words(side: Side) -> str:
    """One side of a comparison, from its lowest to its highest value."""
    low, high = (four_digits(end) for end in (side.low, side.high))
    return low if low == high else f"{low} to {high}"


def found_shown(shown: Found) -> str:
    version = f"commit {shown.commit}, " if shown.commit else ""
    files = f"{version}{counted(shown.files, 'files')} looked at, digest {shown.digest or 'none'}"
    return f"found at {', '.join(shown.places)} ({files})" if shown.places else f"not found ({files})"


def other_setting_shown(shown: OtherSetting) -> str:
    return f"there are runs, but not {where_in_words(shown.where)}"


def nothing_shown(_: NothingSeen) -> str:
    return "no run says a word of it"


SHOWN: dict[type[Shown], Callable[[Any], str]] = {
    CheckSeen: check_shown,
    FindingsSeen: findings_shown,
    MetricSeen: metric_shown,
    Step: step_shown,
    Likeness: likeness_shown,
    ValuesSeen: values_shown,
    VersionsSeen: versions_shown,
    RunsSeen: runs_shown,
    Comparison: comparison_shown,
    Found: found_shown,
    OtherSetting: other_setting_shown,
    NothingSeen: nothing_shown,
}


def witness_in_words(one: Witness) -> str:
    """What one folder says of a piece."""
    folder = f"{one_line(one.folder)}: " if one.folder else ""
    return f"{folder}{shown_in_words(one.shown)}; {SAYS[one.says]}."


# --- why ----------------------------------------------------------------------------------------------------------


def why_in_words(one: JudgedClaim, claims: Claims) -> str:
    """Why a claim came out as it did, as a sentence."""
    counting = [exhibit for exhibit in one.exhibits if exhibit.piece.decides]
    if one.outcome == "open":
        return open_in_words(one.disagree, [exhibit.says for exhibit in counting])
    if one.outcome == "not testable here":
        return lacking_in_words(counting, claims)
    speaks: dict[ClaimOutcome, Says] = {"reproduced": "for", "refuted": "against"}
    return decisive(counting, speaks.get(one.outcome, "inconsistent"))


def open_in_words(disagree: bool, said: Sequence[Says]) -> str:
    """Why a claim is open."""
    if disagree:
        return "Folders disagree."
    known = {"for": "Some of it is borne out", "against": "Some of it is not so"}
    some = next((known[says] for says in ("for", "against") if says in said), "")
    return f"{some}; nothing that was run tells the rest." if some else "Nothing that was run tells."


def decisive(exhibits: Iterable[Exhibit], says: Says) -> str:
    """What the first piece shows that speaks so."""
    told = (
        f"{subject_in_words(exhibit.piece)}: {shown_in_words(witness.shown)}"
        for exhibit in exhibits
        for witness in exhibit.witnesses
        if exhibit.says == witness.says == says
    )
    return sentence(next(told, ""))


def subject_in_words(piece: Evidence) -> str:
    """What a piece is on."""
    if isinstance(piece, OnCheck):
        return f"Check {piece.check} ({piece.case})"
    if isinstance(piece, (OnFinding, OnMetric)):
        return f"{guess(read_case(piece.case), piece.metric, piece.at).title} ({piece.case})"
    if isinstance(piece, OnFingerprint):
        declared = read_case(piece.case).fingerprint(piece.fingerprint)
        return f"{declared.title.partition(':')[0] if declared else piece.fingerprint} ({piece.case})"
    if isinstance(piece, OnArithmetic):
        return expected_in_words(piece).rstrip(".")
    if isinstance(piece, OnSource):
        return f"{piece.what[:1].upper()}{piece.what[1:]} in {listed_in_words(piece.files)} of {piece.source}"
    return f"Runs of {piece.case}" if isinstance(piece, OnRuns) else "Observed"


def lacking_in_words(exhibits: Iterable[Exhibit], claims: Claims) -> str:
    """What it takes that is not here, as sentences."""
    lacks = dict.fromkeys(lack for exhibit in exhibits for lack in exhibit.lacking)
    codes = [claims.sources[lack.which] for lack in lacks if lack.kind == "source"]
    said = [
        f"It takes a checkout of {code.address.removeprefix('https://')}: name it by {code.variable}." for code in codes
    ]
    others = [lack_in_words(lack) for lack in lacks if lack.kind != "source"]
    return " ".join([*said, *([f"It takes runs {'; '.join(others)}: none here was."] if others else [])])


def counts_in_words(outcomes: Sequence[str]) -> str:
    """How many claims came out how: `4 reproduced, 9 refuted, 3 open`."""
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in OUTCOMES if outcome in outcomes)


# --- values -------------------------------------------------------------------------------------------------------


def values_of(shown: Shown) -> Mapping[str, Any]:
    """What was seen, as values by pin or by name."""
    by_kind: dict[type[Shown], Callable[[Any], Mapping[str, Any]]] = {
        CheckSeen: lambda one: {pin: cell.outcome if cell else None for pin, cell in one.cells},
        FindingsSeen: lambda one: {found.pin: [found.estimate, found.low, found.high] for found in one.findings},
        MetricSeen: lambda one: {pin: list(values) for pin, values in one.values},
        Step: lambda one: {"kind": one.kind, "effect": one.effect},
        Likeness: lambda one: {"kind": one.kind},
        ValuesSeen: lambda one: {f"{pin}, {name}": list(seen) for pin, name, _, seen in one.places},
        VersionsSeen: lambda one: {pin: list(versions) for pin, versions in one.versions},
        RunsSeen: lambda one: {pin: [ok, runs] for pin, ok, runs in one.runs},
        Comparison: lambda one: {side.text: [side.low, side.high] for side in (one.left, one.right)},
        Found: lambda one: {"commit": one.commit, "digest": one.digest, "places": list(one.places)},
    }
    return by_kind[type(shown)](shown) if type(shown) in by_kind else {}
