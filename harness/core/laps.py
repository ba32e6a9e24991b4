"""What laps are reduced to: the conductor plans by it how many are needed, the reports estimate from it.

Why so, measured on two shared cores without a GPU (14 sittings of four processes, about 400 laps of one step):

- A step's time has a sharp floor and a long tail: 10 % of the steps take over 1.16 times the median, with neighbours
  busy over 1.3 times. The mean of the fastest third of a block's steps has two thirds of the standard error of their
  mean or median (0.75 % against 1.1 to 1.4 % after 100 laps).
- Consecutive steps of one turn share their noise (autocorrelation 0.39), so turns of one step tell most in a given
  time; between turns 0.2 is left at the next lap and nothing beyond. Blocks of laps are then as good as independent,
  and their spread holds whatever is left (batch means).
- The price: stalls of a version's own that strike fewer than two steps in three do not show in the pace. They are in
  the epoch time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCK = 6
"""Laps of a block, at least."""


def quiet(seconds: Sequence[float]) -> float:
    """The mean of the fastest third of some steps' times: the time of a step that nothing disturbs."""
    fastest = sorted(seconds)[: max(1, round(len(seconds) / 3))]
    return sum(fastest) / len(fastest)


def block_log_ratios(candidate: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """The log-ratio of candidate to baseline in every block of laps of one sitting, in their order.

    Laps that only one of the two has are left out; none for fewer laps than a block, or times that cannot be true.
    """
    laps = min(len(candidate), len(baseline))
    if any(not (math.isfinite(time) and time > 0) for time in (*candidate[:laps], *baseline[:laps])):
        return []
    count = laps // BLOCK
    edges = [round(place * laps / count) for place in range(count + 1)] if count else []
    return [math.log(quiet(candidate[start:end]) / quiet(baseline[start:end])) for start, end in zip(edges, edges[1:])]
