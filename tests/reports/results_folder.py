"""A factory of results folders: plans and records made of structs, as the harness would leave them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from harness.core.dataset import LeftOut, Part, Shared, Summary
from harness.core.declaration import Combination
from harness.core.files import ROOT
from harness.core.matrix import read_matrix
from harness.core.plan import PLAN_FILE, Plan, write_plan
from harness.core.plan import SCHEMA as PLAN_SCHEMA
from harness.core.policy import AccuracyRule, MetricPolicy, Policy
from harness.core.record import (
    SCHEMA,
    Anomaly,
    Check,
    CheckOutcome,
    Environment,
    Failure,
    Fingerprint,
    Hashes,
    Metric,
    Record,
    Sitting,
    record_path,
    write_record,
)
from harness.core.spec import TWIN, Data, Model, Pin, RunSpec
from reports.evidence.claims import Claims
from reports.evidence.figures import Matrix, read_matrix_figures
from reports.judge.judgement import Judgement, judge
from reports.judge.machines import Machine
from reports.judge.statements import CandidateVerdict, Finding, Likeness, MachineVerdict
from reports.show.decision import to_decision
from reports.show.markdown import to_markdown, to_summary
from reports.show.table import Table, build_table
from reports.show.terminal import to_terminal
from reports.show.verdict_file import Account, VerdictFile, account_of

MIB = 2**20

MATRIX = read_matrix(ROOT / "cases" / "matrix.toml")
QUICK = MATRIX.profiles["quick"]
"""The project's own settings, so that a key added to the specs needs no change here."""

SCRIPT = Model(name="digits", package="", source="5" * 64)
"""A folder with a command and no model."""

MARGINS: dict[str, float] = {
    "step_time": 0.03,
    "network_time": 0.03,
    "epoch_time": 0.03,
    "training_memory": 0.02,
    "map50": 0.008,
    "gradient_anomalies": 0.0,
    "memory_growth": 0.005,
    "map50_spread": 0.5,
    "resumed_memory": 0.05,
    "gradient_error": 1.0,
    "update_error": 1.0,
    "script_time": 0.05,
    "script_memory": 0.03,
    "output_lower": 0.02,
    "output_higher": 0.02,
}
USUAL = ("step_time", "epoch_time", "training_memory", "map50", "gradient_anomalies")
"""What `train` measures."""
YARDSTICKS = {"map50_spread": 0.008, "leak": 0.002, "drift": 0.01}

SETTINGS: dict[str, dict[str, Any]] = {
    "train": QUICK.told["train"],
    "soak": {"hours": 1.0, "warmup_epochs": 2, "checkpoint_epochs": 5},
    "fidelity": MATRIX.profiles["fidelity"].told["fidelity"],
    "script": {"command": ["train.py"], "outputs": "out.json", "lower": {"loss": "number"}, "higher": {}},
}
"""Of the cases that have some."""


def policy(
    *names: str,
    error_rate: float = 0.05,
    idle: Sequence[str] = (),
    required: Sequence[str] = ("train",),
    accuracy: AccuracyRule | None = None,
) -> Policy:
    """A policy that judges these metrics, or those of `USUAL`; those of `idle` do not gate."""
    metrics = {name: MetricPolicy(margin=MARGINS[name], gates=name not in idle) for name in names or USUAL}
    return Policy(
        error_rate=error_rate,
        required=list(required),
        baseline={"cpu": "1.10.0"},
        metrics=metrics,
        yardsticks=YARDSTICKS,
        accuracy=accuracy,
    )


def metric(name: str, unit: str, *samples: float, at: Combination | None = None) -> Metric:
    """A metric with these samples."""
    return Metric(name=name, unit=unit, samples=list(samples), at=at or {})


def train_metrics(
    *, memory: float = 400.0, epoch: float = 30.0, map50: float = 0.8, anomalies: float = 0.0
) -> list[Metric]:
    """What a run of `train` on the CPU records that had the machine to itself; `memory` in MiB, `epoch` in s."""
    return [
        metric("training_memory", "bytes", memory * MIB),
        metric("epoch_time", "s", epoch - 1, epoch, epoch + 2),
        metric("step_time", "s", epoch / 64, epoch / 64 + 0.001, epoch / 64 - 0.001),
        metric("gradient_anomalies", "steps", anomalies),
        metric("scaler_skips", "steps", 0.0),
        metric("map50", "fraction", map50),
        metric("map50_95", "fraction", map50 * 0.7),
    ]


def check(outcome: CheckOutcome = "held", said: str = "0 of 9", name: str = "killed") -> Check:
    """A check as a run of `resume` made it."""
    return Check(name=name, outcome=outcome, said=said)


def anomaly(kind: str = "non-finite gradient", **changes: Any) -> Anomaly:
    """An anomaly in the fourth step of the second epoch."""
    return Anomaly(**{"kind": kind, "epoch": 1, "step": 3, "parameter": "stem.weight", "value": "nan", **changes})


def alike(*seconds: float, laps: int = 8) -> list[list[float]]:
    """The laps of sittings in each of which all are of one length."""
    return [[each] * laps for each in seconds]


def environment(**changes: Any) -> Environment:
    """An environment as observed on a machine without a GPU."""
    same = Environment(
        python="3.9.25",
        torch="1.10.0",
        torchvision="0.11.1",
        cuda=None,
        cudnn=None,
        packages={"numpy": "1.26.4"},
        system="Linux 6.1",
        cpu="AMD EPYC 7B13",
        cores=2,
        threads=1,
        gpu=None,
        gpu_architecture=None,
        gpu_memory=None,
        driver=None,
        wheel_architectures=[],
        flags={"setting": "pinned"},
        label="matches the lock",
    )
    return msgspec.structs.replace(same, **changes)


def data_set(shared: Shared | None = None, left_out: Sequence[LeftOut] = ()) -> Summary:
    """What a small data set holds."""
    part = Part(pictures=3, boxes=4, classes=2, backgrounds=1, suffixes={".jpg": 3})
    return Summary(2, part, part, list(left_out), shared)


def hashes(**changes: str | None) -> Hashes:
    """Hashes that every record shares unless told otherwise."""
    same = {"data": "d", "initial_weights": "w", "batch_stream": "b"}
    return Hashes(**{**same, **changes})  # type: ignore[arg-type]


@dataclass
class Folder:
    """A results folder in the making: a plan is written at once, records as they are asked for.

    A pin of `copies`, and the twin, is a copy of the baseline with these changes in its specs.
    """

    path: Path
    pins: list[str]
    rounds: int
    device: str = "cpu"
    precision: str = "fp32"
    cases: list[str] = field(default_factory=lambda: ["train"])
    policy: Policy = field(default_factory=policy)
    copies: dict[str, dict[str, Any]] = field(default_factory=dict)
    cpu: str = "AMD EPYC 7B13"
    day: str = "2026-01-01"
    """On which all runs are done."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By case, in place of `SETTINGS`."""
    model: Model = field(default=Model(name=QUICK.model, package=MATRIX.models[QUICK.model].package))
    claims: Claims = field(default_factory=Claims)
    """None, unless told otherwise."""

    def __post_init__(self) -> None:
        self.plan = Plan(
            schema=PLAN_SCHEMA,
            name=self.path.name,
            machine="cpu",
            reason="no GPU was found",
            profile="quick",
            rounds=self.rounds,
            pins=[self.pin(name) for name in self.pins],
            cases=self.cases,
            data=None,
            shapes=dict.fromkeys(self.cases, QUICK.shapes),
            runs=[
                self.spec(pin, index, case)
                for case in self.cases
                for index in range(self.rounds)
                for pin in reversed(self.pins)  # not in the order of the columns, as a shuffled round is not
            ],
        )
        write_plan(self.path / PLAN_FILE, self.plan)

    def pin(self, name: str) -> Pin:
        torch = self.pins[0] if name == TWIN or name in self.copies else name
        lock = hashlib.sha256(torch.encode()).hexdigest()
        return Pin(name=name, torch=torch, torchvision="0.11.1", python="3.9", lock=lock)

    def spec(self, pin: str, index: int = 0, case: str = "train") -> RunSpec:
        """The planned spec of one run; `index` is its round, from 0."""
        spec = RunSpec(
            case=case,
            pin=self.pin(pin),
            round=index,
            seed=index,
            device=self.device,
            precision=self.precision,  # type: ignore[arg-type]
            threads=1,
            flags="pinned",
            profile="quick",
            model=self.model,
            train=QUICK.train,
            recipe=MATRIX.recipes[QUICK.train.recipe],
            data=Data(name="shapes", digest="0123456789abcdef" * 4),
            harness="h" * 64,
            settings={**SETTINGS, **self.settings}.get(case),
        )
        return msgspec.structs.replace(spec, **self.copies.get(pin, {}))

    def keep(self, pin: str, index: int = 0, case: str = "train", **changes: Any) -> Record:
        """Write the record of one run: ok, with the metrics of `train`, unless changed."""
        record = self.record(pin, index, case, **changes)
        write_record(record_path(self.path, record.spec), record)
        return record

    def record(self, pin: str, index: int = 0, case: str = "train", **changes: Any) -> Record:
        """That record, not written."""
        spec = self.spec(pin, index, case)
        record = Record(
            schema=SCHEMA,
            spec=spec,
            identity=spec.identity(),
            status="ok",
            started=f"{self.day}T00:00:00.000+00:00",
            ended=f"{self.day}T00:02:00.000+00:00",
            environment=environment(cpu=self.cpu),
            hashes=hashes(),
            metrics=train_metrics(),
        )
        return msgspec.structs.replace(record, **changes)

    def keep_all(self, pin: str, **series: Sequence[float]) -> None:
        """Write the records of a pin's runs of `train`, with a value per round of the metrics of `train_metrics`."""
        for index in range(self.rounds):
            self.keep(pin, index, metrics=train_metrics(**{name: values[index] for name, values in series.items()}))

    def keep_laps(self, pin: str, *rounds: Sequence[Sequence[float]], together: bool = True) -> None:
        """Write the records of a pin's runs of `train`, of each round the step times by sitting and lap, and nothing
        else. A sitting of a round is one for all pins, or each had the machine to itself."""
        for index, laps in enumerate(rounds):
            whose = "" if together else f" of {pin} alone"
            sittings = [
                Sitting(name=f"{index}.{number}{whose}", seat=self.pins.index(pin), laps=len(one))
                for number, one in enumerate(laps)
            ]
            steps = metric("step_time", "s", *(lap for one in laps for lap in one))
            self.keep(pin, index, metrics=[steps], sittings=sittings)

    def keep_script(self, pin: str, seconds: Sequence[float], losses: Sequence[float], mib: float = 128.0) -> None:
        """Write the records of a pin's runs of `script`, of which one round took so long and left such a loss."""
        for index, (took, loss) in enumerate(zip(seconds, losses, strict=True)):
            metrics = [
                metric("script_time", "s", took),
                metric("script_memory", "bytes", (mib + 0.1 * index) * MIB),
                metric("output_lower", "number", loss, at={"lower": "loss"}),
            ]
            self.keep(pin, index, "script", metrics=metrics)

    def keep_growths(self, pin: str, *growths: float) -> None:
        """Write the records of a pin's runs of `soak`: of each how much more memory every epoch takes."""
        for index, growth in enumerate(growths):
            self.keep(pin, index, "soak", metrics=[metric("memory_growth", "1/epoch", growth)])

    def keep_checks(self, case: str, pin: str, *rounds: Sequence[Check]) -> None:
        """Write the records of a pin's runs of a case that makes checks."""
        for index, made in enumerate(rounds):
            self.keep(pin, index, case, metrics=[metric("resumed_memory", "ratio", 1.0)], checks=list(made))

    def keep_seeds(self, pin: str, *scores: float) -> None:
        """Write the records of a pin's runs of `converge`, one a round: the final mAP50 of each."""
        for index, score in enumerate(scores):
            self.keep(pin, index, "converge", metrics=[metric("map50", "fraction", score)])

    def keep_soak(
        self,
        pin: str,
        *memory: Sequence[float | None],
        seconds: float = 9.0,
        begun: Sequence[float] = (0,),
        metrics: Sequence[Metric] = (),
    ) -> None:
        """Write the records of a pin's runs of `soak`: of each the memory at every epoch's end, in bytes; `metrics`
        beside the drift."""
        name = "rss" if self.device == "cpu" else "allocated"
        for index, one in enumerate(memory):
            times = [seconds + 0.01 * (epoch % 3) for epoch in range(len(one))]
            series = {name: list(one), "epoch_time": times, "begun": list(begun)}
            drift = metric("throughput_drift", "1/epoch", 0.0)
            self.keep(pin, index, "soak", metrics=[*metrics, drift], series=series)

    def keep_prints(self, pin: str, *rounds: Mapping[str, str | Sequence[float | None]], case: str = "train") -> None:
        """Write the records of a pin's runs, with the fingerprints of each."""
        for index, prints in enumerate(rounds):
            made = [Fingerprint(name, one if isinstance(one, str) else list(one)) for name, one in prints.items()]
            self.keep(pin, index, case, fingerprints=made)

    def refuse(self, pin: str, reason: str) -> None:
        """Write the records of a pin that cannot run on this machine."""
        for index in range(self.rounds):
            self.keep(pin, index, status="unsupported", reason=reason, metrics=[], hashes=None, environment=None)

    def fail(
        self,
        pin: str,
        index: int = 0,
        reason: str = "The process was ended by SIGKILL.",
        case: str = "train",
        **failure: Any,
    ) -> None:
        """Write the record of a run that failed."""
        ended = Failure(**{"exit_code": None, "signal": "SIGKILL", "log_tail": [], **failure})
        nothing: dict[str, Any] = {"environment": None, "hashes": None, "metrics": []}
        self.keep(pin, index, case, status="failed", reason=reason, failure=ended, **nothing)

    def matrix(self) -> Matrix:
        return read_matrix_figures(self.path)

    def judgement(self) -> Judgement:
        return judge([self.path], self.policy, self.claims)

    def machine(self) -> Machine:
        (machine,) = self.judgement().machines
        return machine

    def findings(self) -> list[Finding]:
        return self.machine().findings

    def finding(self, key: str, pin: str = "1.12.1") -> Finding:
        """The one finding of a pin on a metric, by its key."""
        (found,) = [one for one in self.findings() if (one.quantity.key, one.pin) == (key, pin)]
        return found

    def likeness(self, name: str, first: str = "1.10.0", second: str = "1.12.1", case: str = "train") -> Likeness:
        """What two pins have in common in one fingerprint."""
        (found,) = [
            one
            for one in self.machine().fingerprints[case]
            if (one.declared.name, one.first, one.second) == (name, first, second)
        ]
        return found

    def machine_verdict(self) -> MachineVerdict:
        return self.machine().verdict

    def verdict(self, pin: str = "1.12.1") -> CandidateVerdict:
        """The verdict on one candidate."""
        (found,) = [one for one in self.machine_verdict().candidates if one.pin == pin]
        return found

    def account(self) -> Account:
        return account_of(self.judgement())

    def verdict_file(self) -> VerdictFile:
        return self.account().verdict

    def table(self) -> Table:
        return build_table(self.account().machines[0])

    def markdown(self) -> str:
        account = self.account()
        return to_markdown([build_table(account.machines[0])], account.verdict)

    def summary(self) -> str:
        account = self.account()
        return to_summary([build_table(account.machines[0])], account.verdict)

    def decision(self, kept: dict[str, str] | None = None) -> str:
        return to_decision(self.account(), kept or {})

    def terminal(self) -> str:
        account = self.account()
        return to_terminal([build_table(account.machines[0])], account.verdict)

    def cells(self, heading: str) -> list[str]:
        """The cells of the row of the table with this heading, and of the row of differences below it."""
        return cells(self.markdown(), heading)


def cells(markdown: str, heading: str) -> list[str]:
    """The cells of one row of the first table and of the row of differences below it, without the headings."""
    lines = markdown.partition("## Every run")[0].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} "))
    return [cell.strip() for line in lines[start : start + 2] for cell in line.strip("|").split("|")[1:]]
