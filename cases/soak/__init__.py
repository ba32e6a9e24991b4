"""Trains for hours or days and looks at memory and speed after every epoch.

Shows whether memory leaks and whether training slows down with time. A soak survives a reboot: a checkpoint is kept
beside the record, and a soak that was cut short goes on from it. The reports work out from the series how fast memory
grows, with an interval.
"""

from __future__ import annotations

from typing import Annotated, Optional

from msgspec import Meta

from harness.core import training
from harness.core.declaration import ByGrowths, ByTrend, Case, DeclaredCheck, DeclaredMetric, DeclaredSeries
from harness.core.settings import CaseSettings, Positive, TrainSettings


class Settings(CaseSettings, frozen=True):
    """A soak trains `train.epochs` epochs, or until its time is up."""

    hours: Annotated[float, Meta(gt=0.0, le=10_000.0)]
    """After so long no further epoch is begun."""
    warmup_epochs: Positive
    """Epochs in which allocators and caches fill up: they tell nothing of a leak."""
    checkpoint_epochs: Positive
    """A checkpoint is written after every so many epochs; a soak that was killed goes on from the last one."""
    drift: bool = True
    """Whether it is long enough to tell that epochs take longer and longer."""

    def problem(self, train: TrainSettings) -> Optional[str]:
        """A soak must not be killed by its own limit."""
        if self.hours < train.limit_hours:
            return None
        return (
            f"it soaks for {self.hours:g} h and kills a run after {train.limit_hours:g} h: give it a "
            "train.limit_hours that leaves time to start and to evaluate"
        )


GROWS = "the {interval} of its growth is below {most} an epoch"
NO_GROWTHS = (
    "A rule of thumb, which does not gate, sees no leak: looked at every 10 epochs, memory never grows by more than "
    "3 % three times in a row"
)

CASE = Case(
    settings=Settings,
    metrics=(
        *training.MEMORY,
        training.GROWTH,
        DeclaredMetric("throughput_drift", "Throughput drift per epoch", "1/epoch", "difference", headline=False),
        *training.HEALTH,
    ),
    series=(
        *training.by_epoch(training.HEALTH_SERIES),
        *training.MEMORY_SERIES,
        *training.QUALITY_SERIES,
        DeclaredSeries("epoch_time", "Epoch time", "s", "epoch"),
        *training.TIME_SERIES,
        DeclaredSeries("begun", "Epochs in which a process began", drawn=False),
    ),
    checks=(
        DeclaredCheck("leak_rss", f"Memory does not leak (RSS): {GROWS}", ByTrend("rss", "leak"), applies="cpu"),
        DeclaredCheck(
            "leak_allocated",
            f"Memory does not leak (allocated): {GROWS}",
            ByTrend("allocated", "leak"),
            applies="cuda",
        ),
        DeclaredCheck(
            "leak_reserved", f"Memory does not leak (reserved): {GROWS}", ByTrend("reserved", "leak"), applies="cuda"
        ),
        DeclaredCheck(
            "leak_host", f"Memory does not leak (RSS of the host): {GROWS}", ByTrend("rss", "leak"), applies="cuda"
        ),
        DeclaredCheck(
            "drift",
            "The throughput does not drift: the {interval} of how much longer epochs get is below {most} an epoch",
            ByTrend("epoch_time", "drift"),
            asked="drift",
        ),
        DeclaredCheck("growths_rss", NO_GROWTHS, ByGrowths("rss"), gates=False, applies="cpu"),
        DeclaredCheck("growths_allocated", NO_GROWTHS, ByGrowths("allocated"), gates=False, applies="cuda"),
    ),
    fingerprints=tuple(one for one in training.FINGERPRINTS if one.name == "final_weights"),
)
