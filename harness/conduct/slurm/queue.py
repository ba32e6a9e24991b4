"""Slurm's queue, by its own programs: what is submitted (through submitit), what state it is in, and what is cancelled.

squeue tells of the states. sacct would tell of older jobs too, but a cluster may keep no accounts.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.matrix import SlurmResources

PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "scontrol")

OVER = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE",
        "OUT_OF_MEMORY", "REVOKED")  # fmt: skip
"""The states of a job that has ended (squeue(1)); in all others it will be, or is, at work."""
TAKEN_AWAY = ("NODE_FAIL", "PREEMPTED", "BOOT_FAIL")
"""Those in which the node was taken from it: where Slurm does not put it into the queue again, we do."""
SCRIPT = "_submission.sh"
"""What submitit calls the script of a job, after its number."""


@dataclass(frozen=True)
class JobState:
    """A job as squeue tells of it: its state, its node if it has one, and why it waits."""

    name: str
    node: str = ""
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.name in OVER


class Queue:
    """The queue of the cluster, and what a job of ours asks it for; `kind`: the kind of machine, as it is named."""

    def __init__(self, kind: str, resources: SlurmResources) -> None:
        self.kind, self.resources = kind, resources

    def submit(self, folder: Path, work: Callable[[], None], node: str = "") -> None:
        """Have `work` done on a node, on that one if it is named; its script and log are kept in `folder` under its
        number. `UsageError` where Slurm refuses it."""
        import submitit  # noqa: PLC0415, as a matrix of this machine does without

        asked = self.resources
        said: dict[str, str | int | None] = {"partition": asked.partition, "account": asked.account, "qos": asked.qos}
        said |= {"constraint": asked.constraint, "nodelist": node or None, "gpus_per_node": asked.gpus or None}
        executor = submitit.SlurmExecutor(folder, max_num_timeout=asked.requeues)
        executor.update_parameters(
            job_name="torch-matrix",
            time=max(1, round(asked.hours * 60)),
            mem=f"{asked.memory_gib}G",
            cpus_per_task=asked.cpus,
            srun_args=[f"--cpus-per-task={asked.cpus}"],  # since 22.05 srun does not take it from sbatch
            exclusive=asked.exclusive or None,
            stderr_to_stdout=True,
            additional_parameters={"requeue": True, "chdir": str(ROOT)},
            **{name: value for name, value in said.items() if value},
        )
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # where submitit says once more what it raises
                executor.submit(work)
        except submitit.core.utils.FailedJobError as error:
            lines = [line.removeprefix("sbatch: error: ") for line in str(error).splitlines()]
            why = "; ".join(lines) or "sbatch says nothing"
            raise UsageError(
                f"Slurm refuses the job ({why}): see [machines.{self.kind}.slurm] of cases/matrix.toml."
            ) from None

    def states(self) -> Mapping[str, JobState] | None:
        """The states of the user's jobs that Slurm still knows, by their numbers; None where it does not answer."""
        command = ["squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", "--format=%i|%T|%N|%r"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode:
            return None
        fields = (line.split("|", 3) for line in asked.stdout.splitlines())
        return {number: JobState(state, node, reason) for number, state, node, reason in fields}

    def cancel(self, number: str) -> None:
        """End a job, or take it out of the queue. One that has ended is none any more."""
        subprocess.run(["scancel", number], capture_output=True, check=False)


def require_slurm() -> None:
    """`UsageError` where a program of Slurm's is not here."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise UsageError(
            f"--launcher slurm needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not here: "
            "start the matrix on a login node of the cluster."
        )


def numbers_in(folder: Path) -> list[str]:
    """The numbers of the jobs that were submitted for a folder, the last one last."""
    scripts = (path.name.removesuffix(SCRIPT) for path in folder.glob(f"*{SCRIPT}"))
    return sorted((number for number in scripts if number.isdigit()), key=int)


def log_of(folder: Path, number: str) -> Path:
    """What a job prints."""
    return folder / f"{number}_0_log.out"
