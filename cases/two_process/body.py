"""The body of the case `two-process`.

A batch is divided equally, and batch normalisation is by share. The one process that they are compared with is fed the
same shares one after the other and adds up their gradients: only the order of additions can differ, and with two
processes it does not, so on a CPU with one thread they are bit for bit alike. How far away one process on undivided
batches is, is said as well, and is no fault: there a picture is normalised by other pictures, and so is its loss.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional, Union

import psutil
import torch

from cases.two_process import Settings
from harness.cell.distributed import torchrun, workers_of
from harness.cell.errand import Answer, Errand, answer_from, do, follow
from harness.cell.measured import Measured
from harness.cell.run import Run
from harness.core.errors import UsageError
from harness.core.spec import RunSpec

PATIENCE = 90
"""Seconds after a kill until the run counts as hanging. torchrun itself gives the others 30 s to end."""
POLL = 0.01


def measure(run: Run) -> Measured:
    """Train in one process, in several, and in several of which one is killed."""
    settings, batch = run.settings_as(Settings), run.spec.train.batch
    if batch % settings.processes:
        raise UsageError(
            f"A batch of {batch} has no equal shares for {settings.processes} processes: change batch, or processes "
            f"in [profiles.{run.spec.profile}.two-process]."
        )
    with run.scratch() as scratch:
        return Sharing(run, scratch).measured()


def require_steps(steps: int, spec: RunSpec) -> None:
    """`UsageError` for a training that is too short: before the first kill, at a third, there must be a checkpoint."""
    settings = spec.settings_as(Settings)
    needed = max(3 * settings.checkpoint_steps, settings.compared_steps)
    if steps < needed:
        raise UsageError(
            f"The case two-process trains {steps} steps and needs {needed}: give it more pictures or epochs, or fewer "
            f"checkpoint_steps and compared_steps in [profiles.{spec.profile}.two-process]."
        )


def missing_gpus(spec: RunSpec, processes: int) -> str:
    """Why there can be no such processes; empty where they can."""
    seen = 0 if spec.device == "cpu" else torch.cuda.device_count()
    if spec.device == "cpu" or seen >= processes:
        return ""
    return f"nccl needs a GPU for each of {processes} processes, and torch sees {seen}"


class Death(NamedTuple):
    """What came of the kill of one worker, in words and seconds."""

    said: str
    seconds: Optional[float]
    """Until torchrun had ended; None where it never did, or had before."""
    clear: bool
    """Whether it ended with a failure, and all workers with it."""


class Sharing:
    """The trainings of one run of the case. Their files are in `scratch`, each under a name of its own."""

    def __init__(self, run: Run, scratch: Path) -> None:
        self.run = run
        self.settings = run.settings_as(Settings)
        self.spec = run.spec
        self.scratch = scratch
        self.several = f"{self.settings.processes} processes"

    def measured(self) -> Measured:
        """Do all of them, one after another."""
        began = time.monotonic()
        alone = self.alone("one process, in shares", self.settings.processes)
        if isinstance(alone, str):
            raise RuntimeError(f"The training in one process failed: {alone}.")
        require_steps(len(alone.losses), self.spec)
        measured = self.run.measured(alone.initial_weights, alone.batch_stream)
        measured.keep_fingerprint("final_weights", alone.final_weights)
        why_not = missing_gpus(self.spec, self.settings.processes)
        if why_not:
            measured.check("same", None, why_not)
        else:
            why_not = self.share(alone, measured)
        if why_not:
            measured.check("reported", None, why_not)
            measured.check("resumed", None, why_not)
            measured.keep_reason("death_report_time", why_not)
        measured.measuring = time.monotonic() - began
        return measured

    def share(self, alone: Answer, measured: Measured) -> str:
        """Train in several processes, compare, kill and resume; or why nothing could be killed and resumed."""
        together = self.together(self.errand("together", self.settings.processes), self.several)
        if isinstance(together, str):
            measured.check("same", False, f"training in {self.several} failed: {together}")
            return f"training in {self.several} failed"
        self.compare(together, alone, self.alone("one process, undivided", 1), measured)
        errand = self.errand("killed", self.settings.processes, every=self.settings.checkpoint_steps)
        self.kill(errand, len(together.losses), measured)
        self.resume(errand, together, measured)
        return ""

    def errand(self, name: str, shares: int, every: int = 0) -> Errand:
        """A training with its files; `every`: steps between its checkpoints, 0 for none."""
        answer, checkpoint = str(self.scratch / f"{name}.json"), str(self.scratch / f"{name}.checkpoint")
        return Errand(
            self.spec, self.run.index, answer, checkpoint=checkpoint if every else "", every=every, shares=shares
        )

    def alone(self, phase: str, shares: int) -> Union[Answer, str]:
        """A training in one process, or how it failed."""
        self.run.progress.tell(phase=phase)
        return do(self.errand(f"alone-{shares}", shares), self.run.progress, phase)

    def together(self, errand: Errand, phase: str) -> Union[Answer, str]:
        """A training in several, or how it failed."""
        self.run.progress.tell(phase=phase)
        with torchrun(errand, self.scratch) as child:
            return answer_from(child, errand, self.run.progress, phase)

    def compare(self, together: Answer, alone: Answer, undivided: Union[Answer, str], measured: Measured) -> None:
        """Losses and gradient norms of several processes beside those of one."""
        first = self.settings.compared_steps
        losses, norms = apart(together.losses, alone.losses), apart(together.norms, alone.norms)
        largest = max(losses[:first] + norms[:first])
        said = (
            f"in the first {first} steps they differ by {share(largest)} at most, {share(self.settings.allowed)} is "
            f"allowed; over all {len(losses)} steps the losses differ by up to {share(max(losses))}"
        )
        measured.keep_series("loss_difference", losses)
        if isinstance(undivided, str):
            said += f"; training on undivided batches failed: {undivided}"
        else:
            pictures = self.spec.train.batch
            shared = by_picture(together.losses, pictures // self.settings.processes)
            beside = apart(shared, by_picture(undivided.losses, pictures))
            measured.keep_series("loss_difference_undivided", beside)
            said += f"; the losses a picture of undivided batches are up to {share(max(beside))} away"
        same_steps = len(together.losses) == len(alone.losses)
        measured.check("same", same_steps and largest <= self.settings.allowed, said)

    def kill(self, errand: Errand, steps: int, measured: Measured) -> None:
        """Kill the last worker at a third of the training, and the first one, which holds the files, at two thirds."""
        moments = ((self.settings.processes - 1, steps // 3), (0, 2 * steps // 3))
        deaths = [self.death(errand, rank, after) for rank, after in moments]
        measured.check("reported", all(death.clear for death in deaths), "; ".join(death.said for death in deaths))
        seconds = [death.seconds for death in deaths if death.seconds is not None]
        if len(seconds) == len(deaths):
            measured.keep_metric("death_report_time", seconds)
        else:
            measured.keep_reason("death_report_time", "a kill was not reported")

    def death(self, errand: Errand, rank: int, after: int) -> Death:
        """Begin the training or go on with it, kill a worker after so many steps, and wait for torchrun to end."""
        phase = f"killing worker {rank + 1} of {self.settings.processes}"
        self.run.progress.tell(phase=phase)
        with torchrun(errand, self.scratch) as child:
            if all(event["done"] < after for event in follow(child, self.run.progress, phase)):
                return Death(f"before step {after} {child.end() or 'it ended by itself'}", None, clear=False)
            workers = workers_of(child)
            if rank not in workers:
                return Death(f"worker {rank + 1} had ended before step {after}", None, clear=False)
            workers[rank].kill()
            began = time.monotonic()
            while child.process.poll() is None and time.monotonic() - began < PATIENCE:
                self.run.progress.tick(phase=phase)
                time.sleep(POLL)
            seconds, code = time.monotonic() - began, child.process.returncode
            left = [number + 1 for number, worker in workers.items() if alive(worker)]
        killed = f"worker {rank + 1} killed after step {after}"
        if code is None:
            return Death(f"{killed}: torchrun was still waiting {seconds:.0f} s later", None, clear=False)
        said = f"{killed}: torchrun ended {seconds:.1f} s later with exit code {code}"
        if left:
            said += f", and worker {', '.join(map(str, left))} was still there"
        return Death(said, seconds, clear=code != 0 and not left)

    def resume(self, errand: Errand, together: Answer, measured: Measured) -> None:
        """Go on to the end, and compare it with that of the training that nothing happened to."""
        resumed = self.together(errand, "resuming")
        if isinstance(resumed, str):
            measured.check("resumed", False, f"the resumed training failed: {resumed}")
            return
        same = (resumed.final_weights, resumed.losses, resumed.map50) == (
            together.final_weights,
            together.losses,
            together.map50,
        )
        epoch, step = resumed.went_on
        largest = max(apart(resumed.losses, together.losses))
        said = f"gone on at epoch {epoch + 1}, step {step + 1}; losses differ by {share(largest)} at most"
        if not same and not self.exact():
            said += "; only two processes on a CPU, each with one thread, train bit for bit alike"
        measured.check("resumed", same or (False if self.exact() else None), said)

    def exact(self) -> bool:
        """Whether two such trainings are bit for bit alike. Of three and more gradients the order in which they are
        added changes with their place in DDP's buckets, which a resumed training fills anew."""
        return self.spec.device == "cpu" and self.spec.threads == 1 and self.settings.processes == 2


def apart(ours: Sequence[Optional[float]], theirs: Sequence[Optional[float]]) -> list[float]:
    """By step the difference as a share of theirs; infinite where only one is a number."""
    return [difference(mine, other) for mine, other in zip(ours, theirs)]


def by_picture(losses: Sequence[Optional[float]], pictures: int) -> list[Optional[float]]:
    """Losses of so many pictures as those of one."""
    return [None if loss is None else loss / pictures for loss in losses]


def difference(mine: Optional[float], other: Optional[float]) -> float:
    """Likewise of one step."""
    if mine == other:
        return 0.0
    return abs(mine - other) / abs(other) if mine is not None and other else float("inf")


def share(value: float) -> str:
    """A share in words."""
    return f"{value:.1e}" if value else "0"


def alive(worker: psutil.Process) -> bool:
    """Whether it still runs: what is only not yet buried does not."""
    try:
        return worker.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
