"""What the instruments cost.

`python -m reports.cost results/proofs/instruments` prints the ratio of a training step with gradient watch and memory
probes to one without, taken in turns.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.laps import block_log_ratios
from harness.core.spec import TWIN
from reports.figures import Matrix, read_matrix_figures
from reports.statistics import Estimate, mean_of
from reports.text import one_line

LEVEL = 0.05


def ratio(matrix: Matrix, above: str, below: str) -> Estimate | None:
    """The log-ratio of one pin's pace to another's, over the blocks of all sittings that they share."""
    runs = {(one.spec.pin.name, one.spec.round): one for one in matrix.observations if one.status == "ok"}
    blocks: list[float] = []
    for index in range(matrix.plan.rounds):
        own, other = runs.get((above, index)), runs.get((below, index))
        if own and other and own.sitting and own.sitting == other.sitting:
            blocks += block_log_ratios(own.laps, other.laps)
    return mean_of(blocks)


def in_words(name: str, estimate: Estimate | None) -> str:
    """A ratio with its interval, in percent."""
    if estimate is None:
        return f"{name}: not measured"
    low, high = (math.expm1(end) for end in estimate.interval(LEVEL))
    value = math.expm1(estimate.value)
    return f"{name}: {value:+.2%} [{low:+.2%}, {high:+.2%}], {estimate.n} blocks of laps"


def main(arguments: list[str]) -> int:
    """Exit code 0 when the ratio was measured, 2 with one sentence for bad input, 3 when it was not."""
    try:
        if len(arguments) != 1:
            raise UsageError("Name one results folder: nox -s bench does.")
        matrix = read_matrix_figures(Path(arguments[0]))
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    baseline = matrix.pins[0]
    plain = next(pin for pin in matrix.pins[1:] if pin != TWIN)
    cost = ratio(matrix, baseline, plain)
    print(f"baseline {baseline}; intervals at 95 %; a step with its instruments against one without, in turns")
    print(in_words("instruments (gradient watch, memory probes)", cost))
    print(in_words(f"control, {TWIN} against {baseline}", ratio(matrix, TWIN, baseline)))
    return 0 if cost else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
