"""What the laps of a sitting are reduced to: one time of a step for each pin.

Why so, measured on two shared cores without a GPU (22 sittings of four processes, 31 laps of one step each):

- A step's time has a sharp floor and a long tail: 10 % of the steps take over 1.16 times the median, with neighbours
  busy over 1.3 times. The difference of two pins in a sitting spreads by 1.7 % with the mean of the fastest third of
  the steps, by 2.4 % with the mean of all and by 3.1 % with the median.
- Consecutive steps of one turn share their noise (autocorrelation 0.39), so turns of one step tell most in a given
  time; between turns 0.2 is left at the next lap.
- What is left of it cannot make an interval too narrow: a sitting counts as one value, whatever its laps.
- The price: stalls of a version's own that strike fewer than two steps in three do not show in the pace. They are in
  the epoch time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def quiet(seconds: Sequence[float]) -> float | None:
    """The mean of the fastest third of some steps' times: the time of a step that nothing disturbs, in seconds.

    None for no times, or for some that cannot be true.
    """
    if not seconds or not all(math.isfinite(time) and time > 0 for time in seconds):
        return None
    fastest = sorted(seconds)[: max(1, round(len(seconds) / 3))]
    return sum(fastest) / len(fastest)
