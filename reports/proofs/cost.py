"""What the instruments cost: a training step with gradient watch and memory probes against one without, in turns."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.cases import read_case
from harness.core.errors import UsageError
from harness.core.spec import TWIN
from reports.evidence.figures import Matrix
from reports.evidence.pairing import laps_of
from reports.judge.laps import LapEstimate, in_turns
from reports.judge.statistics import share


@dataclass(frozen=True)
class Share:
    """By how much one pin's steps are longer than another's, as a share, with the ends of its interval, from the laps
    of `n` sittings."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Cost:
    """What the instruments of the baseline cost, and beside it what its twin differs from it by; None where that was
    not measured. The intervals miss the true value with the chance `level`."""

    baseline: str
    level: float
    instruments: Share | None
    control: Share | None


def cost_of(matrix: Matrix, level: float) -> Cost:
    """What the instruments cost in the matrix that `nox -s bench` has left; `UsageError` for any other."""
    case, metric, plain = plain_loop(matrix)
    laps = laps_of(matrix, case, metric)
    baseline = matrix.pins[0]
    return Cost(
        baseline,
        level,
        share_of(in_turns(laps, plain).get(baseline), level),
        share_of(in_turns(laps, baseline).get(TWIN), level),
    )


def plain_loop(matrix: Matrix) -> tuple[str, str, str]:
    """A case whose runs take turns, what these measure, and its pin whose loop has no instruments; `UsageError` where
    there is none."""
    for one in matrix.observations:
        turns = read_case(one.spec.case).turns
        if turns and not one.spec.instruments:
            return one.spec.case, turns.metrics[0], one.spec.pin.name
    raise UsageError(f"No run of {matrix.plan.name} goes without instruments: name what nox -s bench has left.")


def share_of(estimate: LapEstimate | None, level: float) -> Share | None:
    """A log-ratio as a share."""
    if estimate is None:
        return None
    low, high = estimate.interval(level)
    return Share(share(estimate.value), share(low), share(high), estimate.n)
