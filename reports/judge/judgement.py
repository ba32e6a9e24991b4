"""What follows from records: results folders in, every finding, check, likeness and verdict out, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.policy import Policy
from reports.evidence.claims import Claims
from reports.judge.claims import JudgedClaim, judged_claims
from reports.judge.machines import Machine, read_machines
from reports.judge.statements import OverallVerdict
from reports.judge.verdict import overall_verdicts


@dataclass(frozen=True)
class Judgement:
    """The machines with what follows on each, and the candidates and claims over all of them, by one policy."""

    policy: Policy
    machines: list[Machine]
    candidates: list[OverallVerdict]
    claims: Claims
    """Those that `ledger` judges."""
    ledger: list[JudgedClaim]

    @property
    def held(self) -> bool:
        """Whether the policy says hold for some candidate."""
        return any(one.decision == "hold" for one in self.candidates)

    @property
    def complete(self) -> bool:
        """Whether every planned run is ok, or cannot be done on its machine."""
        return not any(machine.matrix.count()[status] for machine in self.machines for status in ("failed", "missing"))


def judge(folders: Sequence[Path], policy: Policy, claims: Claims | None = None) -> Judgement:
    """Judge the results folders of one or several machines, and by all of them the claims; `UsageError` where one
    cannot be read, or must not stand beside another, or code that a claim is about is named and not there."""
    machines = read_machines(folders, policy)
    overall = overall_verdicts([machine.verdict for machine in machines])
    claims = claims or Claims()
    return Judgement(policy, machines, overall, claims, judged_claims(claims, machines))
