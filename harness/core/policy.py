"""What would matter, written down before any run: `cases/policy.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Optional

from msgspec import Meta

from harness.core.cases import all_cases
from harness.core.declaration import BySpread, ByTrend, Case, DeclaredMetric
from harness.core.errors import UsageError
from harness.core.files import ROOT, digest_of, read_toml
from harness.core.plan import Plan
from harness.core.settings import Strict

POLICY = ROOT / "cases" / "policy.toml"


class MetricPolicy(Strict, frozen=True):
    """How much of a change of a metric matters, and whether a change for the worse forbids the upgrade."""

    margin: Annotated[float, Meta(ge=0.0, lt=1e9)]
    """A share where metrics are compared as ratios (0.03: 3 %), else in the unit that is recorded."""
    gates: bool
    cases: list[str] = []
    """The cases of which it is judged; empty: of all that measure it."""


Yardstick = Annotated[float, Meta(gt=0.0, lt=1.0)]


class AccuracyRule(Strict, frozen=True):
    """How accuracy is shown: by the score within its margin, or by the same step together with a score that is no
    further off than chance. All of these metrics gate."""

    score: str
    """A metric that one rounding in the initial weights moves as far as any chance does."""
    same_step: Annotated[list[str], Meta(min_length=1)]
    """The metrics that have to be no worse than their margins at every combination of parameters."""


class Policy(Strict, frozen=True):
    """The whole of policy.toml."""

    error_rate: Annotated[float, Meta(gt=0.0, le=0.2)]
    """The chance, over all metrics that gate and all candidates, that some difference is found where there is none;
    and once more over those that do not."""
    required: list[str]
    """The cases without whose metrics there is no upgrade (`required_of`). What others measure counts where they were
    run."""
    baseline: dict[str, str]
    """Machine kind to the version in use there."""
    metrics: dict[str, MetricPolicy]
    yardsticks: dict[str, Yardstick]
    """What every pin is held against by itself, by the names that the cases' checks give: the whole interval below it
    is well, the whole interval above it is not. The interval misses the true value with the chance `error_rate`."""
    accuracy: Optional[AccuracyRule] = None
    """None: by the score alone, as every other metric."""

    def digest(self) -> str:
        """sha256 of what it says, whatever its comments."""
        return digest_of(self)

    def waived_of(self, plan: Plan) -> list[str]:
        """The required cases that cannot be run with the plan's model."""
        return [name for name in self.required if not plan.able(name)]

    def required_of(self, plan: Plan) -> list[str]:
        """The cases without whose metrics a plan has no upgrade: the required ones that can be run with its model, be
        they in the plan or not; where none can, those that are in the plan."""
        waived = self.waived_of(plan)
        able = [name for name in self.required if name not in waived]
        return able or (plan.cases if waived else [])

    def rules_of(self, metric: DeclaredMetric, case: str) -> MetricPolicy | None:
        """How a metric of a case is judged: as this file says, else by the margin that the case declares, without
        gating; None where neither says, or this file says that it is judged of other cases."""
        if metric.name in self.metrics:
            rules = self.metrics[metric.name]
            return rules if not rules.cases or case in rules.cases else None
        return None if metric.margin is None else MetricPolicy(margin=metric.margin, gates=False)


def read_policy(path: Path = POLICY) -> Policy:
    """Decode policy.toml strictly; `UsageError` names the file and the key or line that is wrong."""
    policy = read_toml(path, "the policy", Policy)
    check_policy(policy, all_cases(), path)
    return policy


def check_policy(policy: Policy, cases: Mapping[str, Case], path: Path) -> None:
    """Everything that the policy names must be declared by a case, and every yardstick of a case must be there."""
    metrics = {metric.name for case in cases.values() for metric in case.metrics}
    trends = [check.judged for case in cases.values() for check in case.checks]
    yardsticks = {judged.yardstick for judged in trends if isinstance(judged, (ByTrend, BySpread))}
    for table, named, declared in (
        ("metrics", policy.metrics, metrics),
        ("yardsticks", policy.yardsticks, yardsticks),
    ):
        for name in named:
            if name not in declared:
                known = ", ".join(sorted(declared))
                raise UsageError(f"{path}: [{table}] has {name!r}, which no case declares; declared are {known}.")
    for name, rules in policy.metrics.items():
        for case in rules.cases:
            if case not in cases or cases[case].metric(name) is None:
                raise UsageError(f"{path}: [metrics.{name}] is to be judged of {case!r}, which is no case that has it.")
    missing = sorted(yardsticks - set(policy.yardsticks))
    if missing:
        raise UsageError(f"{path}: [yardsticks] lacks {missing[0]!r}, against which a case has a check.")
    for case in policy.required:
        if case not in cases:
            raise UsageError(f"{path}: required has {case!r}, which is no case; there are {', '.join(cases)}.")
    if not any(metric.gates for metric in policy.metrics.values()):
        raise UsageError(f"{path}: no metric gates, so no upgrade could ever be held: set gates = true for one.")
    if policy.accuracy:
        check_accuracy(policy.accuracy, policy.metrics, cases, path)


def check_accuracy(
    rule: AccuracyRule, metrics: Mapping[str, MetricPolicy], cases: Mapping[str, Case], path: Path
) -> None:
    """The score must be one that chance moves, what tells of the step must not, and all of them must gate."""
    declared = [metric for case in cases.values() for metric in case.metrics]
    chaotic = {metric.name for metric in declared if metric.chaotic and metric.compared == "points"}
    for key, names in (("score", [rule.score]), ("same_step", rule.same_step)):
        for name in names:
            at = f"{path}: [accuracy] {key} has {name!r}"
            if key == "score" and name not in chaotic:
                known = ", ".join(sorted(chaotic))
                raise UsageError(f"{at}, which no case declares as chaotic and in points; declared so are {known}.")
            if key == "same_step" and name in chaotic:
                raise UsageError(f"{at}, which is chaotic: it tells of a whole training and not of a step.")
            if name not in metrics or not metrics[name].gates:
                raise UsageError(f"{at}, which does not gate: give it a margin and gates = true in [metrics].")
