"""What the instruments cost.

`python -m reports.proofs.cost results/proofs/instruments` prints the ratio of a training step with gradient watch and memory
probes to one without, taken in turns.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.spec import PACE, TWIN
from reports.evidence.figures import Matrix, read_matrix_figures
from reports.judge.findings import values_of, with_common_noise
from reports.judge.statistics import Estimate, share
from reports.show.text import one_line

LEVEL = 0.05


def ratio(matrix: Matrix, above: str, below: str) -> Estimate | None:
    """The log-ratio of one pin's pace to another's over the sittings that they share."""
    values = values_of(matrix, PACE, PACE, {})
    shared = [place for place in values.get(above, {}) if place in values.get(below, {})]
    return with_common_noise(values, above, below, shared, ratio=True) if len(shared) > 1 else None


def plain_loop(matrix: Matrix) -> str:
    """The pin whose loop has no instruments; `UsageError` where none has."""
    for one in matrix.observations:
        if one.spec.case == PACE and not one.spec.instruments:
            return one.spec.pin.name
    raise UsageError(f"No run of {matrix.plan.name} goes without instruments: name what nox -s bench has left.")


def in_words(name: str, estimate: Estimate | None) -> str:
    """A ratio with its interval, in percent."""
    if estimate is None:
        return f"{name}: not measured"
    value, low, high = map(share, (estimate.value, *estimate.interval(LEVEL)))
    return f"{name}: {value:+.2%} [{low:+.2%}, {high:+.2%}], {estimate.n} sittings"


def main(arguments: list[str]) -> int:
    """Exit code 0 when the ratio was measured, 2 with one sentence for bad input, 3 when it was not."""
    try:
        if len(arguments) != 1:
            raise UsageError("Name one results folder: nox -s bench does.")
        matrix = read_matrix_figures(Path(arguments[0]))
        plain = plain_loop(matrix)
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    baseline = matrix.pins[0]
    cost = ratio(matrix, baseline, plain)
    print(f"baseline {baseline}; intervals at 95 %; a step with its instruments against one without, in turns")
    print(in_words("instruments (gradient watch, memory probes)", cost))
    print(in_words(f"control, {TWIN} against {baseline}", ratio(matrix, TWIN, baseline)))
    return 0 if cost else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
