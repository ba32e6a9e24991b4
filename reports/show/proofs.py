"""What the proofs say in words: calibration.md, the sentence that verdicts quote, and what `nox -s bench` and
`nox -s seats` print."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.cases import case_names, read_case
from harness.core.declaration import Case
from harness.core.faults import PLANTABLE
from harness.core.policy import Policy
from harness.core.spec import TWIN
from reports.evidence.units import Quantity, quantity_in_parts, quantity_of
from reports.judge.statements import Growth, Sight
from reports.proofs.calibration import (
    Calibration,
    Clean,
    NoCalibration,
    OfGrowth,
    OfMetric,
    OfProofCheck,
    OfProofPart,
    OfProofPrint,
    Planted,
)
from reports.proofs.cost import Cost, Share
from reports.proofs.seats import SeatShare
from reports.show.checks import check_title, outcome_in_runs, sight_in_words, yardstick_of
from reports.show.text import for_markdown, one_line, pipe_table
from reports.show.words import NOT_MEASURED, counted

FAULTS = ["planted fault", "size", "found by", "outcome", "estimate [interval]", "pairs"]
CLEAN = ["baseline against itself", "proof", "outcome", "estimate [interval]", "smallest effect seen with 80 % power"]
CHECKS = ["check of a clean copy", "proof", "outcome"]


def calibration_in_words(found: Calibration | NoCalibration) -> str:
    """What a calibration has shown, or why there is none, in one sentence for a verdict."""
    if isinstance(found, NoCalibration):
        return why_none(found)
    seen = sum(one.found for one in found.planted)
    alarms = sum(one.alarm for one in found.clean)
    missed = [one.fault.kind for one in found.planted if not one.found]
    smallest = "; ".join(f"{quantity_in(one).title} {smallest_of(one)}" for one in hardest(found.clean))
    return (
        f"Calibrated on this machine on {one_line(found.ended[:10])}: {seen} of {len(found.planted)} planted faults "
        + "were found"
        + (f" (not: {', '.join(missed)})" if missed else "")
        + f", {counted(alarms, 'false alarms')} in {counted(len(found.clean), 'comparisons')} of the baseline "
        + "with itself"
        + clean_checks_in_words(found)
        + (f"; smallest effect that would have been seen: {smallest}." if smallest else ".")
    )


def why_none(found: NoCalibration) -> str:
    """Why there is no calibration that a verdict could quote, in one sentence."""
    if found.kind == "unusable":
        return one_line(f"{found.path} cannot be used ({found.detail}): run `nox -s calibrate` again.", 2000)
    return {
        "none": "The instrument has not been calibrated on this machine: `nox -s calibrate` does it.",
        "other machine": "The calibration at hand is of another machine: run `nox -s calibrate` on this one.",
        "other rules": "The calibration at hand is by another policy or version: run `nox -s calibrate` again.",
    }[found.kind]


def clean_checks_in_words(found: Calibration) -> str:
    """What became of the checks of a clean copy, as a part of a sentence; empty where none were made."""
    if not found.clean_checks:
        return ""
    outcomes = [one.check.outcome for one in found.clean_checks]
    failed, undecided = outcomes.count("failed"), outcomes.count("open")
    some = f" and {undecided} stayed open in some run" if undecided else ""
    return f", of {len(outcomes)} checks of a clean copy {failed or 'none'} failed{some}"


def calibration_in_markdown(found: Calibration, policy: Policy) -> str:
    """calibration.md: the sentence, the table of faults, those of false alarms and of checks of a clean copy."""
    faults = [fault_row(one, policy) for one in found.planted]
    clean = [
        [
            quantity_in(one.metric).title,
            one.proof,
            "FALSE ALARM" if one.alarm else "quiet",
            effect_of(one.metric),
            smallest_of(one.metric),
        ]
        for one in found.clean
    ]
    checks = [[title_of(one.check, policy), one.proof, runs_of(one.check)] for one in found.clean_checks]
    tables = [
        pipe_table(head, [[for_markdown(cell) for cell in row] for row in rows], "left")
        for head, rows in ((FAULTS, faults), (CLEAN, clean), (CHECKS, checks))
        if rows
    ]
    title = f"# Calibration: {for_markdown(found.baseline)} on {for_markdown(', '.join(found.hardware))}"
    return "\n\n".join([title, for_markdown(calibration_in_words(found)), *tables]) + "\n"


def fault_row(one: Planted, policy: Policy) -> list[str]:
    """One planted fault: its size, what tells of it, whether it was found, and by what numbers."""
    size = PLANTABLE[one.fault.kind].shown.format(one.fault.size)
    if one.check:
        found = "found" if one.found else f"not found: {runs_of(one.check)}"
        seen = growth_of(one.check.growth)
        return [one.fault.kind, size, title_of(one.check, policy), found, seen, f"{one.check.runs} runs"]
    if one.fingerprint:
        rounds = f"{one.fingerprint.rounds} rounds"
        declared = case_of(one.fingerprint.case).fingerprint(one.fingerprint.name)
        title = declared.title if declared else one.fingerprint.name
        told = print_of(one.fingerprint)
        return [one.fault.kind, size, title, "found" if one.found else f"not found: {told}", told, rounds]
    if one.part:
        whole = case_of(one.part.case).breakdown(one.part.breakdown)
        title = f"{whole.title if whole else one.part.breakdown}: {one.part.part}"
        missed = "not clear of 0" if one.part.low <= 0 else "another part differs more"
        found = "found" if one.found else f"not found: {missed}"
        return [one.fault.kind, size, title, found, part_of(one.part), f"{one.part.sittings} sittings"]
    if one.metric is None:
        return [one.fault.kind, size, "—", f"not found: {NOT_MEASURED}", NOT_MEASURED, "—"]
    outcome = one.metric.finding if one.metric.measured else NOT_MEASURED
    found = "found" if one.found else f"not found: {outcome}"
    pairs = f"{one.metric.n} {one.metric.pairs}"
    return [one.fault.kind, size, quantity_in(one.metric).title, found, effect_of(one.metric), pairs]


def print_of(one: OfProofPrint) -> str:
    """What a fingerprint has in common with the baseline's."""
    if one.kind != "differs":
        return "alike" if one.kind == "alike" else "alike within the tolerance"
    return f"differs first at {one_line(one.at)}" if one.at else "differs"


def part_of(one: OfProofPart) -> str:
    """By how much a part is more than the baseline's."""
    declared = case_of(one.case).breakdown(one.breakdown)
    if declared is None:
        return f"{one.value:+g}"
    quantity = quantity_in_parts(declared)
    return f"{quantity.shown_difference(one.value)} {quantity.shown_interval(one.low, one.high)}"


def case_of(name: str) -> Case:
    """The declaration of a case; an empty one where it is gone since."""
    return read_case(name) if name in case_names() else Case(name=name)


def hardest(clean: Sequence[Clean]) -> list[OfMetric]:
    """Of every proof what the runs take turns for, at the combination of parameters at which the smallest effect that
    would have been seen is the largest."""
    found: dict[tuple[str, str], OfMetric] = {}
    for one in clean:
        turns, place = case_of(one.metric.case).turns, (one.proof, one.metric.name)
        if turns and one.metric.name == turns.metrics[0] and one.metric.smallest is not None:
            known = found.setdefault(place, one.metric)
            found[place] = max(known, one.metric, key=lambda each: each.smallest or 0.0)
    return [*found.values()]


def quantity_in(one: OfMetric) -> Quantity:
    """The metric as reports treat it."""
    return quantity_of(case_of(one.case), one.name, one.unit, one.at)


def difference_in(one: OfMetric, value: float) -> str:
    """A difference in the unit of its metric."""
    quantity = quantity_in(one)
    return quantity.shown_difference(value + 1 if quantity.relative else value)


def effect_of(one: OfMetric) -> str:
    """Estimate and interval."""
    if one.estimate is None or one.low is None or one.high is None:
        return NOT_MEASURED if one.estimate is None else difference_in(one, one.estimate)
    quantity = quantity_in(one)
    base = 1 if quantity.relative else 0
    return f"{difference_in(one, one.estimate)} {quantity.shown_interval(one.low + base, one.high + base)}"


def smallest_of(one: OfMetric) -> str:
    """The smallest effect that would have been found with 80 % power; empty where it is not known."""
    return "" if one.smallest is None else difference_in(one, one.smallest)


def title_of(one: OfProofCheck, policy: Policy) -> str:
    """What the check says has to hold."""
    declared = case_of(one.case).check(one.name)
    most = yardstick_of(declared, policy) if declared else None
    return check_title(one.name, declared, one.case, most, policy.error_rate)


def runs_of(one: OfProofCheck) -> str:
    """In how many runs the check came out so."""
    return outcome_in_runs(one.outcome, one.alike, one.runs)


def growth_of(growth: OfGrowth | None) -> str:
    """The growth that was seen, with its round where there are several; empty where none was looked for."""
    if growth is None:
        return ""
    seen = Growth(growth.estimate, growth.low, growth.high, growth.epochs)
    return sight_in_words(Sight(seen, growth.round))


def cost_in_words(cost: Cost) -> str:
    """What the instruments cost, and the control beside it, line by line."""
    return "\n".join(
        [
            f"baseline {one_line(cost.baseline)}; intervals at {(1 - cost.level) * 100:g} %; a step with its "
            "instruments against one without, in turns",
            share_in_words("instruments (gradient watch, memory probes)", cost.instruments),
            share_in_words(f"control, {TWIN} against {one_line(cost.baseline)}", cost.control),
        ]
    )


def share_in_words(name: str, share: Share | None) -> str:
    """A share with its interval, in per cent."""
    if share is None:
        return f"{name}: {NOT_MEASURED}"
    return f"{name}: {share.value:+.2%} [{share.low:+.2%}, {share.high:+.2%}], {share.n} sittings"


def seats_in_words(seats: Sequence[SeatShare]) -> str:
    """How each seat compares with the mean of its sitting, line by line."""
    head = f"step time by the place of start, against the mean of the sitting; {seats[0].n} sittings, ± standard error"
    return "\n".join([head, *(f"seat {one.seat + 1}: {one.mean:+.2%} ± {one.error:.2%}" for one in seats)])
