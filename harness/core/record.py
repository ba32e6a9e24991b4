"""What a run leaves: one record, written atomically when the run ends, whatever its end was."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import count, takewhile
from pathlib import Path
from typing import Literal, Optional, Union

import msgspec

from harness.core.dataset import Summary
from harness.core.declaration import Combination, key_of
from harness.core.errors import UsageError
from harness.core.files import read_text, to_json, write_atomically
from harness.core.settings import Count, Strict
from harness.core.spec import RunSpec

SCHEMA = 6

LABEL_TRUE = "matches the lock"
"""An environment's label when every installed package is what the lock says."""

Status = Literal["ok", "failed", "unsupported"]
CheckOutcome = Literal["held", "failed", "open"]


class Metric(Strict, frozen=True):
    """A measured quantity: its raw samples, in `unit`; warm-up values are kept apart. `at`: the combination of the
    case's parameters that it was measured at. All else about it is in the case's declaration."""

    name: str
    unit: str
    samples: list[float]
    warmup: list[float] = []
    at: Combination = {}

    @property
    def key(self) -> str:
        """Its name, with the combination where there is one."""
        return key_of(self.name, self.at)


class Anomaly(Strict, frozen=True):
    """A thing that should not happen. Epoch and step count from 0; `value` is what was seen, as text (nan, inf, 0)."""

    kind: str
    epoch: int
    step: int
    parameter: str
    value: str


class Check(Strict, frozen=True):
    """Whether something held in this run that has to hold on every pin; the case's declaration says what.

    `said`: what was seen, in one line, with figures and units.
    """

    name: str
    outcome: CheckOutcome
    """`open`: this run cannot tell, and `said` has why."""
    said: str
    apart: Optional[float] = None
    """By how much what came out differs from what should have, as a share of it: 0 where it is equal in all bits. None
    where nothing was compared."""
    warnings: list[str] = []
    """What the libraries warned of meanwhile, each once."""


class Fingerprint(Strict, frozen=True):
    """A digest, or values or digests in order, that are compared between pins. None stands for a value that is not
    finite. `places`: what each of them is of, where they are not just counted."""

    name: str
    value: Union[str, list[Union[float, str, None]]]
    places: list[str] = []
    unable: str = ""
    """Why there is no value, where the run could not come to one."""


class Breakdown(Strict, frozen=True):
    """A quantity in parts, in `unit`: of each part by its name one value a row, as many as `whole` has; in every row
    the parts add up to the whole."""

    name: str
    unit: str
    whole: list[float]
    parts: dict[str, list[float]]


class Failure(Strict, frozen=True):
    """How a run ended that did not end well: exit code or signal name, and the end of its log."""

    exit_code: Optional[int]
    signal: Optional[str]
    log_tail: list[str]


class Environment(Strict, frozen=True):
    """What was observed at run time, as opposed to the pin, which was requested."""

    python: str
    torch: str
    torchvision: Optional[str]
    cuda: Optional[str]
    cudnn: Optional[int]
    packages: dict[str, str]
    system: str
    cpu: str
    cores: int
    threads: int
    gpu: Optional[str]
    gpu_architecture: Optional[str]
    gpu_memory: Optional[int]
    driver: Optional[str]
    wheel_architectures: list[str]
    flags: dict[str, str]
    label: str
    """Outcome of the comparison with the lock: `LABEL_TRUE`, or in words why not."""
    node: Optional[str] = None
    """The node of a cluster, by the name that Slurm has for it; None outside of one."""


class Hashes(Strict, frozen=True):
    """Digests of what every pin must have in common before it may be compared; None where a case does without."""

    data: str
    initial_weights: Optional[str] = None
    batch_stream: Optional[str] = None


class Sitting(Strict, frozen=True):
    """A set of processes that took turns, one of each pin, and what this run did in it. A run may go through several,
    each with fresh processes."""

    name: str
    """The runs that took turns with one another have it in common, and only such are paired."""
    seat: Count
    """The place, from 0, in which the process was started among these."""
    laps: Count
    """So many samples of what the turns measure are of it, in order; those of warm-up are not counted."""


class Others(Strict, frozen=True):
    """How others used the machine while a run was done; of runs that took turns with one another, while all of them
    were. None where the system does not tell."""

    processors: Optional[float] = None
    """The share of the time of all processors that processes of others took, from 0 to 1."""
    stolen: Optional[float] = None
    """The share of it that the hypervisor gave to other machines."""
    load: list[float] = []
    """The load average of the last minute, at the start and at the end."""
    gpu: Optional[list[int]] = None
    """The processes of others that computed on the run's GPU at its start or end; None also of a run on the CPU."""


class Record(Strict, frozen=True):
    """One run: what was asked, what was observed, what was measured."""

    schema: int
    spec: RunSpec
    identity: str
    status: Status
    started: str
    ended: str
    reason: Optional[str] = None
    environment: Optional[Environment] = None
    hashes: Optional[Hashes] = None
    data: Optional[Summary] = None
    """What its data set holds, as the data check found it."""
    branches: dict[str, str] = {}
    """Every version branch that `compat` took: subject to side."""
    metrics: list[Metric] = []
    not_measured: dict[str, str] = {}
    """A metric's key to the reason why there is no figure."""
    series: dict[str, list[Optional[float]]] = {}
    """Values by step or epoch; None stands for one that is not finite."""
    notes: dict[str, str] = {}
    anomalies: list[Anomaly] = []
    checks: list[Check] = []
    fingerprints: list[Fingerprint] = []
    breakdowns: list[Breakdown] = []
    failure: Optional[Failure] = None
    files: dict[str, str] = {}
    """What is kept beside the record: meaning to file name."""
    sittings: list[Sitting] = []
    """Those in which the run took turns, in order; none where it had the machine to itself."""
    measuring: float = 0.0
    """Seconds of this run in which something was measured: epochs, evaluations, turns."""
    others: Optional[Others] = None
    """Who else used the machine, since the run was last taken up; None where nobody looked."""

    def metric(self, key: str) -> Optional[Metric]:
        """The metric of that key, or None."""
        return next((metric for metric in self.metrics if metric.key == key), None)

    def fingerprint(self, name: str) -> Optional[Fingerprint]:
        """The fingerprint of that name, or None."""
        return next((one for one in self.fingerprints if one.name == name), None)

    def breakdown(self, name: str) -> Optional[Breakdown]:
        """The breakdown of that name, or None."""
        return next((one for one in self.breakdowns if one.name == name), None)


class Stamp(msgspec.Struct):
    """The one field that is read where the rest cannot be, so that a record of another schema is refused by name."""

    schema: int


def timestamp() -> str:
    """The time now, in UTC, as records keep it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def record_path(results: Path, spec: RunSpec) -> Path:
    """Where the record of a run lies."""
    return results / "runs" / spec.case / spec.pin.folder / f"{spec.round}.json"


def beside_of(record: Path, table: int) -> Path:
    """Where the record of the baseline lies of a further table: where memory does not hold all pins at once, it sits
    with the others of each table, and runs again for that."""
    return record.with_suffix(f".beside-{table}.json")


def besides(record: Path) -> list[Path]:
    """Those of them that there are, which have no gap in their numbers: to look for them through a folder of thousands
    of records, for each of these, takes minutes."""
    return [*takewhile(Path.exists, (beside_of(record, table) for table in count(1)))]


def scratch_of(record: Path) -> Path:
    """The folder for what a run needs only while it lasts; the conductor removes it when the run has ended."""
    return record.with_suffix(".scratch")


def checkpoint_of(record: Path) -> Path:
    """The file from which a run that was cut short goes on; the conductor removes it when the record is in place."""
    return record.with_suffix(".checkpoint")


def checkpoint_of_part(record: Path, part: int) -> Path:
    """Likewise of a run that several processes do one after another: what the one before part `part` has left, counted
    from 0."""
    return record.with_suffix(f".{part}.checkpoint")


def checkpoints_of_parts(record: Path) -> list[Path]:
    """Those of them that there are, with those of the same run at further tables."""
    return [*record.parent.glob(checkpoint_of_part(record, 0).name.replace(".0.", ".*."))]


def write_record(path: Path, record: Record) -> None:
    """Write a record atomically."""
    write_atomically(path, to_json(record))


def read_record(path: Path) -> Record:
    """Read a record strictly; `UsageError` for another schema or a broken file, with what to do."""
    text = read_text(path, "the record").encode()
    try:
        record = msgspec.json.decode(text, type=Record)
        schema = record.schema
    except msgspec.DecodeError as error:
        schema = schema_of(text)
        if schema == SCHEMA:
            raise UsageError(f"{path} is not a whole record ({error}): delete it and run the matrix again.") from None
    if schema != SCHEMA:
        raise UsageError(
            f"{path} is a record of schema {schema}, this version reads schema {SCHEMA}: "
            "report it with the version that wrote it, or measure again with --fresh."
        )
    return record


def schema_of(text: bytes) -> int:
    """The schema of a record that this version cannot read; its own of one that is broken."""
    try:
        return msgspec.json.decode(text, type=Stamp).schema
    except msgspec.DecodeError:
        return SCHEMA
