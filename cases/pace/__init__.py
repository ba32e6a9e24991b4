"""Times a training step, all pins in turns.

Shows what an upgrade would change for the speed of training, far more sharply than epoch times can. The processes of
all pins are alive at once and take short turns of training steps, lap by lap in shuffled order. A lap holds every pin
within seconds of each other, so what slows the machine for longer slows them alike.
"""

from harness.core.declaration import Case, DeclaredMetric, Turns
from harness.core.settings import Positive, TurnSettings


class Settings(TurnSettings, frozen=True, kw_only=True):
    """What is done in a round of a profile."""

    steps: Positive
    """Training steps of one turn."""
    warmup_steps: Positive
    """Steps of every process before the first lap."""


CASE = Case(
    settings=Settings,
    turns=Turns(metric="pace"),
    metrics=(DeclaredMetric("pace", "Pace, step time in turns", "s", "ratio", shown="ms", reduced="fastest third"),),
)
