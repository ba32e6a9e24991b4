"""What stands above the table: what was compared, how far it carries, and how it is to be read."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.core.cases import read_case
from harness.core.declaration import Case
from harness.core.plan import Plan
from harness.core.record import LABEL_TRUE
from harness.core.spec import RunSpec
from harness.core.training import GPU_BUSY
from reports.evidence.figures import Matrix
from reports.evidence.pairing import taking_turns
from reports.judge.machines import Machine
from reports.show.attribution import sentences_of
from reports.show.verdict_file import StoredCandidate, Told
from reports.show.warnings import warnings_of
from reports.show.words import counted, listed_in_words

OR = " / "
"""Between what differs from case to case."""

BUSY = 0.9
"""The share of a step from which on it is the GPU that decides how long the step takes."""


@dataclass(frozen=True)
class Preamble:
    """`facts` are pairs of a label and its text; all of it may hold foreign text."""

    title: str
    facts: list[tuple[str, str]]
    warnings: list[str]
    control: str
    """That the baseline does not differ from itself; where it does, that is the first of the warnings."""
    verdicts: list[StoredCandidate]
    attributions: list[str]
    """Where the differences of the candidates lie, in a sentence each."""
    sentences: list[str]
    legend: list[str]
    """How cells are to be read; stands below the table."""


def preamble_of(told: Told) -> Preamble:
    """The preamble of a machine."""
    matrix, verdict = told.machine.matrix, told.verdict
    return Preamble(
        title=f"Cross-version table: {matrix.plan.name} on {verdict.label}",
        facts=facts(matrix),
        warnings=warnings_of(told),
        verdicts=verdict.candidates,
        attributions=sentences_of(told.machine),
        control=verdict.control.sentence if verdict.control.quiet else "",
        sentences=[how_far(told.machine), *who_decides(told.machine), *idle_gpus(matrix), verdict.calibration_sentence],
        legend=how_to_read(told.machine),
    )


def facts(matrix: Matrix) -> list[tuple[str, str]]:
    """What was compared, on what."""
    plan, specs = matrix.plan, [observation.spec for observation in matrix.observations]
    baseline, *candidates = matrix.pins
    ours = [spec for spec in specs if not read_case(spec.case).command]
    threads = listed(str(spec.threads) for spec in specs)
    settings = [
        f"profile {plan.profile}",
        of_cases(specs, work),
        f"{threads} thread{'' if threads == '1' else 's'}",
        f"precision {listed(spec.precision for spec in ours)}" if ours else "",
        f"flags {listed(spec.flags for spec in specs)}",
    ]
    counts = ", ".join(f"{count} {status}" for status, count in matrix.count().items())
    shown = [
        ("pins", ", ".join([f"{baseline} (baseline)", *candidates])),
        ("machine", f"{plan.machine} ({plan.reason}); device {listed(spec.device for spec in specs)}"),
        ("hardware", hardware(matrix)),
        ("observed", observed(matrix)),
        ("settings", "; ".join(filter(None, settings))),
        ("data", of_cases(ours, data_set) if ours else ""),
        ("rounds", f"{rounds_planned(plan)}; runs: {counts}"),
        ("labels", labels(matrix)),
    ]
    return [(label, text) for label, text in shown if text]


def rounds_planned(plan: Plan, word: str = "") -> str:
    """How many rounds there are, with a word for several after it, and of which cases more or fewer: `2 rounds (of
    converge 5)`."""
    by_case = plan.rounds_by_case()
    usual = statistics.mode(by_case.values())
    shown = counted(usual, word) if word else str(usual)
    others = ", ".join(f"of {case} {rounds}" for case, rounds in by_case.items() if rounds != usual)
    return f"{shown} ({others})" if others else shown


def of_cases(specs: Sequence[RunSpec], said: Callable[[RunSpec], str]) -> str:
    """What is said of every run; where that is not the same for all, with the cases that it is true of."""
    cases: dict[str, list[str]] = {}
    for spec in specs:
        cases.setdefault(said(spec), []).append(spec.case)
    if len(cases) == 1:
        return next(iter(cases))
    return OR.join(f"{listed(names)}: {text}" for text, names in cases.items())


def data_set(spec: RunSpec) -> str:
    """The data set of a run."""
    return f"{spec.data.name}, digest {spec.data.digest[:12]}" if spec.data.digest else "not prepared yet"


def work(spec: RunSpec) -> str:
    """What one run does, in a few words; of a command also how often it is run."""
    command = read_case(spec.case).command
    if command:
        arguments = map(str, (spec.settings or {}).get(command, []))
        return f"python {shlex.join(arguments)}, once a round on every pin"
    train = spec.train
    return f"epochs {train.epochs}, {train.image_size} px, batch {train.batch}, recipe {train.recipe}"


def hardware(matrix: Matrix) -> str:
    """The processors and GPUs that were observed, with driver."""
    seen = [observation.environment for observation in matrix.observations if observation.environment]
    gpus = (f"{one.gpu} (driver {one.driver or 'unknown'})" for one in seen if one.gpu)
    return listed([*gpus, *(one.cpu for one in seen)]) or "not observed: no run wrote down its environment"


def observed(matrix: Matrix) -> str:
    """The torch build, CUDA and Python that ran under each pin's name."""
    return (
        listed(
            (
                f"{one.spec.pin.name} ran torch {one.environment.torch} (CUDA {one.environment.cuda or 'none'}) "
                f"on Python {one.environment.python}"
                for one in matrix.observations
                if one.environment
            ),
            "; ",
        )
        or "no run wrote down its environment"
    )


def labels(matrix: Matrix) -> str:
    """Pins whose environment was not held against a lock, with the torch that was found in them."""
    found = (
        f"{one.spec.pin.name} ran torch {one.environment.torch}, {one.environment.label}"
        for one in matrix.done
        if one.environment and one.environment.label != LABEL_TRUE
    )
    return listed(found, "; ")


def how_far(machine: Machine) -> str:
    """What the table can and cannot say."""
    runs = Counter((one.spec.case, one.spec.pin.name) for one in machine.matrix.done)
    if not runs:
        return "Nothing was measured: no run has ended well. The reasons are below the table."
    if max(runs.values()) == 1 and not any(one.measured for one in machine.findings):
        return (
            "One run per pin decides nothing: what differs below may be chance. "
            "Measure several rounds (--rounds 3) before you decide."
        )
    return (
        "The findings hold for this machine, these data and these settings. Where no finding is given below a metric, "
        "its differences only describe these runs."
    )


def who_decides(machine: Machine) -> list[str]:
    """A sentence that tells where the cases that the policy requires cannot be run with the model."""
    if not machine.waived:
        return []
    cases, waived = machine.matrix.plan.cases, machine.waived
    model = machine.matrix.plan.runs[0].model.name
    return [
        f"The policy requires {listed_in_words(waived)}, which cannot be run with {model}: that is a command and no "
        f"model. What decides is what gates in {listed_in_words(cases)}."
    ]


def idle_gpus(matrix: Matrix) -> list[str]:
    """A sentence that tells where the GPU waited for the host: the times then compare the host's work."""
    shares = {}
    for pin in matrix.pins:
        figures = [one.figure(GPU_BUSY.name).value for case in matrix.plan.cases for one in matrix.runs_of(case, pin)]
        known = [value for value in figures if value is not None]
        if known:
            shares[pin] = statistics.median(known)
    if not shares or min(shares.values()) >= BUSY:
        return []
    said = ", ".join(f"{share:.0%} of a step on {pin}" for pin, share in shares.items())
    return [
        f"The GPU waited for the host: kernels ran in {said}. Differences in time are then largely the host's (Python, "
        "launching kernels); larger batches or pictures compare the GPU."
    ]


def how_to_read(machine: Machine) -> list[str]:
    """How cells are to be read."""
    matrix = machine.matrix
    several = any(matrix.plan.rounds_of(case) > 1 for case in matrix.plan.cases)
    candidates = len(matrix.pins) > 1
    commands = {bool(read_case(case).command) for case in matrix.plan.cases}
    lines = ["A run's time is the median of its epochs or steps, warm-up apart."] if False in commands else []
    if True in commands:
        lines.append("A command's time and memory are those of all that it does, the start of Python among it.")
    if several:
        lines.append("A cell is the median of the rounds (smallest to largest).")
    if candidates:
        lines.append(
            '"vs baseline": times and memory in per cent, mAP in points (1 pt = 0.01), counts as the difference.'
        )
    if several and candidates:
        lines.append(
            "Each run is paired with the baseline's of its round. A finding shows the mean difference of the pairs, "
            "its interval after Holm's correction, and what that amounts to against the margin of cases/policy.toml; "
            "where there is no finding, the median difference is shown. Equivalent with a small difference: the whole "
            "interval lies within the margin, and it is clear of 0."
        )
    if candidates:
        lines += map(how_turns_are_compared, turned_cases(matrix))
    return [*lines, *how_to_read_others(machine)]


def turned_cases(matrix: Matrix) -> list[Case]:
    """The cases of which some runs took turns with one another."""
    return [read_case(name) for name in matrix.plan.cases if taking_turns(matrix, name)]


def how_turns_are_compared(case: Case) -> str:
    """How the metrics are compared that are measured in turns, and what that leaves out."""
    titles = {metric.name: metric.title for metric in case.metrics}
    turned = [title for name, title in titles.items() if case.turned(name)]
    rest = titles.get(case.turns.rest) if case.turns else None
    are, them = ("is", "it") if len(turned) == 1 else ("are", "them")
    return (
        f"{listed_in_words(turned)} {are} compared lap by lap between runs that took turns. A finding shows the median "
        "ratio over all laps, and its interval tells how far sittings differ. What slows fewer than half of the laps "
        f"does not show in {them}" + (f", but in {rest}." if rest else ".")
    )


def how_to_read_others(machine: Machine) -> list[str]:
    """The same of what is no median of runs: spreads, checks, fingerprints."""
    lines = []
    if any(one.comparison == "spread" for rows in machine.matrix.quantities.values() for one in rows):
        lines.append(
            "A spread is the standard deviation over seeds; what is compared is its ratio to the baseline's, seeds "
            "paired. Of one run its distance from the mean of its pin is shown."
        )
    if machine.checks:
        lines.append(
            "A check is what every pin is held against by itself: failed where it did in any run, else open where any "
            "run could not tell."
        )
    if any(one.kind != "not compared" for made in machine.fingerprints.values() for one in made):
        rests = "and no verdict rests on it"
        if any(one.accuracy for one in machine.verdict.candidates):
            rests = "and accuracy by the same step rests on those of the step that have a tolerance"
        lines.append(
            "A fingerprint is compared between all pairs of pins: alike where all rounds are, else with the first "
            f"place that differs in any. It says whether versions compute the same, {rests}."
        )
    if machine.probes:
        lines.append(
            "A probe is a small experiment on what the library does. Its results differ from one version to the next; "
            "or something stops that worked; it says otherwise, by another warning or error; it does more, where "
            "something works or is there that was not; or it differs in the last bits alone."
        )
    return lines


def listed(texts: Iterable[str], separator: str = ", ") -> str:
    """Each text once, in order of appearance."""
    return separator.join(dict.fromkeys(texts))
