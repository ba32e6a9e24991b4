"""`table.csv`: every value, and every reason why there is none, one a line."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from reports.evidence.figures import Matrix, Observation
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


def tidy(matrix: Matrix, label: str) -> pd.DataFrame:
    """One row per metric, pin and round, in the order of the table. Nothing planned is left out. `label`: what the
    machine is called, also in rows of runs that have not observed their hardware."""
    return pd.DataFrame(rows_of(matrix, label), columns=COLUMNS).astype({"value": float})


def rows_of(matrix: Matrix, label: str) -> Iterator[tuple[object, ...]]:
    """The rows by case, metric and pin, rounds in order."""
    for case in matrix.plan.cases:
        runs = {pin: matrix.runs_of(case, pin) for pin in matrix.pins}
        for quantity in matrix.quantities[case]:
            what = (label, quantity.key, quantity.unit, quantity.better, case)
            for pin, own in runs.items():
                for one in own:
                    status, value, reason = state_of(one, quantity.key, WHOLE)
                    yield (*what, pin, one.spec.round, one.spec.seed, status, value, reason, one.hardware)


def state_of(one: Observation, key: str, longest: int = LONGEST) -> tuple[str, float | None, str]:
    """What a run says about a metric: status, value, and why there is none, in at most so many characters."""
    if one.status != "ok":
        return one.status, None, trouble_in_words(one.trouble, longest)
    figure = one.figure(key)
    if figure.absent:
        return NOT_MEASURED, None, absent_in_words(figure.absent, longest)
    return one.status, figure.value, ""
