"""What a case hands back: the measured part of a record, which holds what the case declares and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from harness.cell import compat
from harness.core.declaration import ByRun, Case, Combination, DeclaredMetric, Unit, applies, key_of
from harness.core.errors import UsageError
from harness.core.record import Anomaly, Breakdown, Check, CheckOutcome, Fingerprint, Hashes, Metric, Sitting
from harness.core.spec import RunSpec


@dataclass
class Measured:
    """Metrics, series, checks, fingerprints and anomalies of one run; the names are those of `Record`.

    What the case does not declare raises `UsageError`; what it declares for other devices or precisions than this
    run's is left out.
    """

    case: Case
    spec: RunSpec
    """The run's, on the device on which it was measured: a case may have found that by itself."""
    hashes: Hashes
    metrics: list[Metric] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[Optional[float]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    fingerprints: list[Fingerprint] = field(default_factory=list)
    breakdowns: list[Breakdown] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    sittings: list[Sitting] = field(default_factory=list)
    measuring: float = 0.0

    def fields(self) -> dict[str, Any]:
        """The fields for a record, with the branches that this process took."""
        own = {name: value for name, value in vars(self).items() if name not in ("case", "spec")}
        return {**own, "branches": dict(compat.taken)}

    def keep_metric(
        self,
        name: str,
        samples: Sequence[float],
        warmup: Sequence[float] = (),
        at: Optional[Combination] = None,
        unit: Optional[Unit] = None,
    ) -> None:
        """Keep a metric, or the reason why it is none: samples that are not finite measure nothing. `at`: the values of
        the parameters that it is declared by; `unit`: where the settings say it, and not the declaration."""
        declared = self.declared_metric(name, at or {})
        if not self.concerns(declared):
            return
        if all(math.isfinite(value) for value in (*samples, *warmup)):
            self.metrics.append(Metric(name, unit or declared.unit, list(samples), list(warmup), at or {}))
        else:
            self.keep_reason(name, "some samples are not finite", at)

    def keep_reason(self, name: str, reason: str, at: Optional[Combination] = None) -> None:
        """Keep why there is no figure for a metric."""
        if self.concerns(self.declared_metric(name, at or {})):
            self.not_measured[key_of(name, at or {})] = reason

    def declared_metric(self, name: str, at: Combination) -> DeclaredMetric:
        """The metric that the case declares, by these parameters."""
        declared = self.case.metric(name)
        if declared is None or declared.spread_of:
            raise self.refused("metric", name)
        if set(at) != set(declared.by):
            given, wanted = ", ".join(at) or "none", ", ".join(declared.by) or "none"
            raise UsageError(f"The case {self.case.name} declares {name!r} by the parameters {wanted}; given: {given}.")
        return declared

    def concerns(self, declared: DeclaredMetric) -> bool:
        """Whether the metric is there for a run on this device in this precision."""
        return applies(declared.applies, self.spec.device, self.spec.precision)

    def check(
        self,
        name: str,
        held: Optional[bool],
        said: str,
        *,
        apart: Optional[float] = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """Keep what was found of something that should hold; None: this run cannot tell. `apart` and `warnings` as a
        record has them."""
        declared = self.case.check(name)
        if declared is None or not isinstance(declared.judged, ByRun):
            raise self.refused("check", name)
        if applies(declared.applies, self.spec.device, self.spec.precision):
            outcome: CheckOutcome = "open" if held is None else "held" if held else "failed"
            self.checks.append(Check(name, outcome, said, apart, [*warnings]))

    def keep_series(self, name: str, values: Iterable[float]) -> None:
        """Keep a series, or as `NAME:PART` a part of one."""
        if self.case.one_series(name) is None:
            raise self.refused("series", name)
        self.series[name] = finite(values)

    def keep_fingerprint(self, name: str, value: Union[str, Iterable[float]]) -> None:
        """Keep a digest, or values in order."""
        if self.case.fingerprint(name) is None:
            raise self.refused("fingerprint", name)
        self.fingerprints.append(Fingerprint(name, value if isinstance(value, str) else [*finite(value)]))

    def keep_places(self, name: str, values: Sequence[tuple[str, Union[float, str, None]]]) -> None:
        """Keep a fingerprint of values or digests in order, each with what it is of."""
        self.keep_fingerprint(name, [])
        found = [finite([value])[0] if isinstance(value, float) else value for _, value in values]
        self.fingerprints[-1] = Fingerprint(name, found, [place for place, _ in values])

    def keep_unable(self, name: str, reason: str) -> None:
        """Keep why a run cannot come to a fingerprint."""
        self.keep_fingerprint(name, [])
        self.fingerprints[-1] = Fingerprint(name, [], unable=reason)

    def keep_breakdown(self, name: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Keep a quantity in parts, row by row. What is not a finite number raises `UsageError`: a part that is not
        known would make the others too large a share."""
        declared = self.case.breakdown(name)
        if declared is None:
            raise self.refused("breakdown", name)
        if not all(math.isfinite(value) for row in rows for value in row.values()):
            raise UsageError(
                f"The case {self.case.name} yields the breakdown {name!r} with values that are not finite."
            )
        names = {part: None for row in rows for part in row}
        parts = {part: [float(row.get(part, 0.0)) for row in rows] for part in names}
        whole = [math.fsum(row.values()) for row in rows]
        self.breakdowns.append(Breakdown(name, declared.unit, whole, parts))

    def refused(self, kind: str, name: str) -> UsageError:
        """The error for what a run of this case may not yield."""
        folder = self.case.name.replace("-", "_")
        return UsageError(
            f"The case {self.case.name} yields the {kind} {name!r}, which its declaration does not have for runs to "
            f"keep: see CASE in cases/{folder}/__init__.py."
        )


def finite(values: Iterable[float]) -> list[Optional[float]]:
    """The values as JSON knows them: None stands for one that is not finite."""
    return [value if math.isfinite(value) else None for value in values]
