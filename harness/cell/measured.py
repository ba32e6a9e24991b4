"""What a case hands back: the measured part of a record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from harness.cell import compat
from harness.core.record import Anomaly, Check, CheckOutcome, Direction, Hashes, Metric


@dataclass
class Measured:
    """Metrics, series and anomalies of one run; the names are those of `Record`."""

    hashes: Hashes
    metrics: list[Metric] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[Optional[float]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    measuring: float = 0.0
    device: str = ""
    """Where it was measured, of a case that finds its device by itself; not a field of the record, whose environment
    is observed there."""

    def fields(self) -> dict[str, Any]:
        """The fields for a record, with the branches that this process took."""
        own = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        del own["device"]
        return {**own, "branches": dict(compat.taken)}

    def keep_metric(
        self, name: str, unit: str, better: Direction, samples: Sequence[float], warmup: Sequence[float] = ()
    ) -> None:
        """Keep a metric, or the reason why it is none: samples that are not finite measure nothing."""
        if all(math.isfinite(value) for value in (*samples, *warmup)):
            metric = Metric(name=name, unit=unit, better=better, samples=list(samples), warmup=list(warmup))
            self.metrics.append(metric)
        else:
            self.not_measured[name] = "some samples are not finite"

    def check(self, name: str, held: Optional[bool], said: str) -> None:
        """Keep what was found of something that should hold; None: this run cannot tell."""
        outcome: CheckOutcome = "open" if held is None else "held" if held else "failed"
        self.checks.append(Check(name=name, outcome=outcome, said=said))

    def keep_series(self, name: str, values: Iterable[float]) -> None:
        """Keep a series; JSON knows no nan and no infinity, so None stands for what is not finite."""
        self.series[name] = [value if math.isfinite(value) else None for value in values]
