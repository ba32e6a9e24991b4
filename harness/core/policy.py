"""What would matter, written down before any run: `cases/policy.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from harness.core.errors import UsageError
from harness.core.files import ROOT, digest_of, read_toml
from harness.core.record import Direction
from harness.core.settings import Strict
from harness.core.spec import PACE

POLICY = ROOT / "cases" / "policy.toml"


class MetricPolicy(Strict, frozen=True):
    """How much of a change matters, and whether a change for the worse forbids the upgrade."""

    better: Direction
    margin: Annotated[float, Meta(ge=0.0, lt=1e9)]
    """A share where metrics are compared as ratios (0.03: 3 %), else in the unit that is recorded."""
    gates: bool


Yardstick = Annotated[float, Meta(gt=0.0, lt=1.0)]


class Yardsticks(Strict, frozen=True):
    """What every pin is held against by itself: the whole interval below it is well, the whole interval above it is
    not. The interval misses the true value with the chance `error_rate`."""

    map50_spread: Yardstick
    """The standard deviation of the final mAP50 over seeds, as a fraction, below which seeds end alike."""
    leak: Yardstick
    """The share of the memory in use that is added every epoch, above which memory leaks."""
    drift: Yardstick
    """The share by which every epoch is longer than the one before, above which the throughput drifts."""


class Policy(Strict, frozen=True):
    """The whole of policy.toml."""

    error_rate: Annotated[float, Meta(gt=0.0, le=0.2)]
    """The chance, over all metrics and candidates, that some difference is found where there is none."""
    baseline: dict[str, str]
    """Machine kind to the version in use there."""
    metrics: dict[str, MetricPolicy]
    yardsticks: Yardsticks

    def digest(self) -> str:
        """sha256 of what it says, whatever its comments."""
        return digest_of(self)

    def margin(self, metric: str) -> float | None:
        """The margin of a metric, or None where the policy does not judge it."""
        return self.metrics[metric].margin if metric in self.metrics else None


def read_policy(path: Path = POLICY) -> Policy:
    """Decode policy.toml strictly; `UsageError` names the file and the key or line that is wrong."""
    policy = read_toml(path, "the policy", Policy)
    if not any(metric.gates for metric in policy.metrics.values()):
        raise UsageError(f"{path}: no metric gates, so no upgrade could ever be held: set gates = true for one.")
    if policy.margin(PACE) == 0:
        raise UsageError(f"{path}: [metrics.{PACE}] has the margin 0, for which no number of laps is enough.")
    return policy
