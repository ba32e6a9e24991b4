"""Warnings: what stands above the table, as it may spoil a comparison or forbids it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.dataset import shared_in_words
from reports.evidence.figures import Matrix, Observation
from reports.evidence.pairing import Refusal, Refused
from reports.show.text import rounds_in_words
from reports.show.verdict_file import Told
from reports.show.words import refusal_in_words, some

OBSERVED = {"cpu": "CPU", "gpu": "GPU", "driver": "GPU driver"}
"""Fields of the environment that must be alike within a matrix, in words."""

OTHERS = 0.05
"""The share of all processors' time, that of other machines on the same host included, from which on a run was not
alone. By as much can its own times be off, if they shared its processors. The margin of times is 0.03, of which turns
leave little; and what an idle system does by itself, and the kernel for us, must not count."""


def warnings_of(told: Told) -> list[str]:
    """All warnings about one machine, the noise of which comes first."""
    matrix, control = told.machine.matrix, told.verdict.control
    return [
        *([] if control.quiet else [control.sentence]),
        *fault_warnings(matrix),
        *refusal_warnings(told.machine.refused, matrix),
        *observed_warnings(matrix),
        *data_warnings(matrix),
    ]


def fault_warnings(matrix: Matrix) -> list[str]:
    """A warning for each pin that is a copy of the baseline with a planted fault."""
    found = {
        f"{one.spec.pin.name} is the baseline with a planted fault: {one.spec.fault.kind}, {one.spec.fault.size:g}."
        for one in matrix.observations
        if one.spec.fault
    }
    return sorted(found)


def refusal_warnings(refused: Refused, matrix: Matrix) -> list[str]:
    """One warning for every case and pin whose records must not be compared with those they would be paired with."""
    rounds: dict[tuple[str, str, Refusal], list[int]] = {}
    for (case, index, pin), refusal in refused.items():
        rounds.setdefault((case, pin, refusal), []).append(index)
    return [
        f"{case} {pin}{rounds_in_words(indices, matrix.plan.rounds_of(case))}: {refusal_in_words(refusal)} the record "
        f"of {refusal.reference}: the runs are not known to have done the same work, so they are not compared."
        for (case, pin, refusal), indices in rounds.items()
    ]


def observed_warnings(matrix: Matrix) -> list[str]:
    """A warning for all that runs have seen of the machine that may spoil a comparison."""
    return [*hardware_warnings(matrix), *thread_warnings(matrix), *company_warnings(matrix)]


def hardware_warnings(matrix: Matrix) -> list[str]:
    """A warning for each part of the machine that is not the same for all runs that ended well."""
    warnings = []
    for name, words in OBSERVED.items():
        pins: dict[str, dict[str, None]] = {}
        for one in matrix.done:
            value = getattr(one.environment, name) if one.environment else None
            if value:
                pins.setdefault(value, {})[one.spec.pin.name] = None
        if len(pins) > 1:
            seen = "; ".join(f"{value} ({', '.join(names)})" for value, names in pins.items())
            warnings.append(
                f"The {words} is not the same for all runs: {seen}. "
                "Differences in time and memory may come from that and not from the version."
            )
    return warnings


def thread_warnings(matrix: Matrix) -> list[str]:
    """A warning for each pin that ran on another number of threads than it was asked to."""
    found = {
        f"{one.spec.pin.name} ran on {one.environment.threads} threads where {one.spec.threads} were asked for."
        for one in matrix.done
        if one.environment and one.environment.threads != one.spec.threads
    }
    return sorted(found)


def company_warnings(matrix: Matrix) -> list[str]:
    """A warning for the runs that were not alone on the machine: beside which others used the processors, or the
    GPU."""
    processors = [one for one in matrix.done if share_of_others(one) >= OTHERS]
    gpu = [one for one in matrix.done if one.others and one.others.gpu]
    said = []
    if processors:
        most = max(map(share_of_others, processors))
        said.append(
            f"Not alone: others took up to {most:.0%} of the processors' time beside "
            f"{runs_in_words(processors, matrix)}. Differences in time may come from that and not from the "
            "version."
        )
    if gpu:
        said.append(
            f"Not alone: other processes computed on the GPU at the start or end of {runs_in_words(gpu, matrix)}. "
            "Differences in time and memory may come from that and not from the version."
        )
    return said


def share_of_others(one: Observation) -> float:
    """The share of the processors' time that other processes and other machines took beside a run; 0 where it is not
    known."""
    return (one.others.processors or 0.0) + (one.others.stolen or 0.0) if one.others else 0.0


def runs_in_words(runs: Sequence[Observation], matrix: Matrix) -> str:
    """Runs by their cases, pins and rounds: `train 1.10.0, A/A, round 2; soak 1.13.1`. Pins are left out where all have
    the same rounds, and rounds where they are all."""
    cells: dict[tuple[str, str], list[int]] = {}
    for one in runs:
        cells.setdefault((one.spec.case, one.spec.pin.name), []).append(one.spec.round)
    pins: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (case, pin), rounds in cells.items():
        pins.setdefault((case, tuple(sorted(rounds))), []).append(pin)
    return some(
        [
            case
            + ("" if set(names) == set(matrix.pins) else f" {', '.join(names)}")
            + rounds_in_words(rounds, matrix.plan.rounds_of(case))
            for (case, rounds), names in pins.items()
        ]
    )


def data_warnings(matrix: Matrix) -> list[str]:
    """A warning for each data set that is evaluated on what it is trained on."""
    return [
        f"Of the data set {name}, {shared_in_words(summary.shared)}."
        for name, summary in matrix.named_data_sets()
        if summary.shared
    ]
