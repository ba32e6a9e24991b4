"""`table.csv`: every value, and every reason why there is none, one a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from reports.evidence.figures import Matrix, Observation
from reports.judge.machines import Machine
from reports.show.text import LONGEST
from reports.show.words import NOT_MEASURED, absent_in_words, trouble_in_words

COLUMNS = [
    "machine",
    "metric",
    "unit",
    "better",
    "case",
    "pin",
    "round",
    "seed",
    "status",
    "value",
    "reason",
    "hardware",
]
"""Values are in `unit`, as recorded; a metric that a case has at several combinations of its parameters is named with
them. Rounds count from 0, as in the records' file names."""
WHOLE = 10_000
"""Characters of a reason."""


def to_csv(machines: Iterable[Machine]) -> str:
    """`table.csv`, whole: the rows of one machine after another."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for machine in machines:
        writer.writerows(tidy(machine.matrix, machine.label))
    return text.getvalue()


def tidy(matrix: Matrix, label: str) -> Iterator[tuple[object, ...]]:
    """One row per metric, pin and round, in the order of the table, as `COLUMNS` are. Nothing planned is left out.
    `label`: what the machine is called, also in rows of runs that have not observed their hardware."""
    for case in matrix.plan.cases:
        runs = [
            (one, (pin, one.spec.round, one.spec.seed), one.hardware)
            for pin in matrix.pins
            for one in matrix.runs_of(case, pin)
        ]
        for quantity in matrix.quantities[case]:
            what = (label, quantity.key, quantity.unit, quantity.better, case)
            for one, which, hardware in runs:
                yield (*what, *which, *state_of(one, quantity.key, WHOLE), hardware)


def state_of(one: Observation, key: str, longest: int = LONGEST) -> tuple[str, float | None, str]:
    """What a run says about a metric: status, value, and why there is none, in at most so many characters."""
    if one.status != "ok":
        return one.status, None, trouble_in_words(one.trouble, longest)
    figure = one.figure(key)
    if figure.absent:
        return NOT_MEASURED, None, absent_in_words(figure.absent, longest)
    return one.status, figure.value, ""
