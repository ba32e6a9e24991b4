"""The launcher that does each round as a job on a node of a Slurm cluster, and follows it from the login node.

A job works in a folder of its own, `jobs/<round>` in the results folder; what is complete there is brought into the
results folder. All that is known of a job is in that folder and in Slurm's queue: a matrix that is started again finds
its jobs there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from harness.conduct.folder import clear_beside, kept_records, valid_record
from harness.conduct.launcher import Board, Group, Inputs
from harness.conduct.slurm.job import Job
from harness.conduct.slurm.node import Ended
from harness.conduct.slurm.queue import JobState, Queue, numbers_in, require_slurm
from harness.conduct.slurm.relay import cell_of
from harness.conduct.this_machine import keep_failure
from harness.core.errors import UsageError
from harness.core.matrix import MatrixFile
from harness.core.plan import HERE, PLAN_FILE, Plan, write_plan
from harness.core.record import Record, read_record, record_path, timestamp
from harness.core.spec import Data, RunSpec

JOBS = "jobs"
"""The folder of the jobs' in that of the results."""
LOOK = 2.0
"""Seconds between two looks at the queue."""
UNFINISHED = (".part", ".checkpoint", ".scratch")
"""How files and folders end that a run needs as long as it is not done: they stay with its job."""


def slurm_for(plan: Plan, results: Path, ambient: Path, matrix: MatrixFile) -> Slurm:
    """The launcher for the plan's kind of machine; `UsageError` where there is no Slurm here, or nothing is said of
    what a job of that kind asks for."""
    kind = matrix.machines.get(plan.machine)
    if kind is None or kind.slurm is None:
        raise UsageError(
            f"cases/matrix.toml has no [machines.{plan.machine}.slurm]: say there what a job on such a node asks for "
            "(cpus, memory_gib and hours; partition, account, gpus and so on where the cluster needs them)."
        )
    require_slurm()
    return Slurm(results, ambient, Queue(plan.machine, kind.slurm))


class Slurm:
    """Does runs on nodes, and keeps their records in a results folder, which its user holds."""

    here = False

    def __init__(self, results: Path, ambient: Path, queue: Queue) -> None:
        self.results, self.ambient, self.queue = results, ambient, queue
        self.plan: Plan | None = None
        """With what its runs are given, when that is known."""

    def prepare(self, plan: Plan, board: Board) -> dict[str, Inputs]:
        """Have data sets and weights prepared by a job, unless jobs of this plan are in the queue already: behind these
        it would wait for its turn. Those of another plan are cancelled, as all are for a fresh one. `UsageError` also
        where Slurm refuses the job or it dies."""
        found = self.inputs_of_jobs(plan, board)
        if found:
            return found
        job = Job(self.results / JOBS / "preparation", "preparation", plan_for_node(plan))
        going = self.is_going(job, board)
        ((_, ended),) = self.follow([job] if going else [], [] if going else [job], board)
        if ended.inputs is None:
            raise UsageError(*ended.problem)
        shutil.rmtree(job.folder)
        return ended.inputs

    def inputs_of_jobs(self, plan: Plan, board: Board) -> dict[str, Inputs] | None:
        """What the runs of the plan are given, as jobs of it have been told that are in the queue; None without any.
        Those of another plan are cancelled."""
        found = None
        for folder in sorted((self.results / JOBS).glob("*")):
            job = Job(folder, folder.name, plan)
            asked = job.asked()
            if plan.fresh or asked is None or without_inputs(asked) != plan_for_node(plan):
                self.cancel(job, board)
            elif asked.runs[0].data.digest and self.in_queue(job, board):
                found = {spec.case: Inputs(spec.data, spec.weights) for spec in asked.runs}
            if plan.fresh:
                shutil.rmtree(folder)
        return found

    def begin(self, plan: Plan) -> None:
        """Keep the plan in the results folder, for the reports."""
        self.plan = plan
        write_plan(self.results / PLAN_FILE, plan)

    def kept(self, group: Group) -> list[Record] | None:
        """The records in the results folder, where all of the group are valid."""
        return kept_records(self.results, group.runs)

    def do(self, groups: Iterable[Group], board: Board) -> Iterator[list[Record]]:
        """Submit a job for each round, follow those that are in the queue already, and bring their records together."""
        assert self.plan is not None
        going: list[Job] = []
        waiting: list[Job] = []
        for job in self.jobs_of(self.plan, list(groups)):
            if self.is_going(job, board):
                going.append(job)
                continue
            yield from self.complete(job, board)
            if job.groups:
                waiting.append(job)
        for job, ended in self.follow(going, waiting, board):
            yield from self.bring(job, ended, board)

    def jobs_of(self, plan: Plan, groups: list[Group]) -> list[Job]:
        """A job for the groups of each round. Where other runs that these are compared with are done already, it has to
        go to the node that has done them."""
        doing = {cell_of(spec) for group in groups for spec in group.runs}
        parts: dict[int, dict[str, list[Group]]] = {}
        for group in groups:
            first = group.runs[0]
            node = self.node_of(spec for spec in plan.runs if is_beside(spec, first) and cell_of(spec) not in doing)
            parts.setdefault(first.round, {}).setdefault(node, []).append(group)
        jobs = []
        for index, by_node in parts.items():
            for number, (node, some) in enumerate(by_node.items()):
                name = f"round-{index + 1}" + (f"-on-{node or 'any'}" if number else "")
                jobs.append(Job(self.results / JOBS / name, name, plan_for_node(plan), some, node))
        return jobs

    def node_of(self, specs: Iterable[RunSpec]) -> str:
        """The node that has done the first of these runs that is done; empty where none is."""
        records = (valid_record(record_path(self.results, spec), spec) for spec in specs)
        nodes = (record.environment.node for record in records if record and record.environment)
        return next(filter(None, nodes), "")

    def is_going(self, job: Job, board: Board) -> bool:
        """Whether the job is in the queue, of an earlier start of the matrix. One that does something else is
        cancelled."""
        if not job.does_its_part():
            self.cancel(job, board)
        elif self.in_queue(job, board):
            board.say(f"{job.name}: Slurm job {job.number} is there already, and followed")
            return True
        return False

    def cancel(self, job: Job, board: Board) -> None:
        """End what was submitted for the folder of a job, and wait until it has ended."""
        while going := self.in_queue(job, board):
            for number in going:
                board.say(f"{job.name}: Slurm job {number}, which was submitted for something else, is cancelled")
                self.queue.cancel(number)
            time.sleep(LOOK)

    def in_queue(self, job: Job, board: Board) -> list[str]:
        """The numbers of what was submitted for the folder of a job and has not ended."""
        states = self.states(board)
        return [number for number in numbers_in(job.folder) if number in states and not states[number].over]

    def states(self, board: Board) -> Mapping[str, JobState]:
        """The states of all jobs, when Slurm answers."""
        while (states := self.queue.states()) is None:
            board.note("Slurm does not answer: waiting for it")
            time.sleep(LOOK)
        return states

    def follow(self, going: list[Job], waiting: list[Job], board: Board) -> Iterator[tuple[Job, Ended]]:
        """Submit those that wait, as many as may be in the queue at once, and give each job with how it ended. A job
        whose node was taken from it is submitted again; after Ctrl-C jobs go on."""
        try:
            while going or waiting:
                while waiting and len(going) < self.queue.resources.jobs:
                    going.append(waiting.pop(0))
                    going[-1].submit(self.queue, self.ambient, board)
                states = self.states(board)
                for job in list(going):
                    job.listen(board)
                    job.see(states.get(job.number), board)
                    ended = job.outcome()
                    if ended and job.may_go_on(self.queue.resources.requeues):
                        job.submit(self.queue, self.ambient, board)
                    elif ended:
                        job.listen(board)
                        going.remove(job)
                        yield job, ended
                time.sleep(LOOK if going else 0)
        except KeyboardInterrupt:
            numbers = " ".join(job.number for job in going if job.number)
            board.say(
                f"Slurm jobs that go on: {numbers} (the same command follows them, `scancel {numbers}` ends them)"
            )
            raise

    def complete(self, job: Job, board: Board) -> Iterator[list[Record]]:
        """The records of groups that an earlier job of the folder has done, and nobody brought away; these groups are
        taken out of the job."""
        for group in list(job.groups):
            if kept_records(job.folder, group.runs):
                job.groups.remove(group)
                records = [self.moved(job, spec) for spec in group.runs]
                yield [record for record in records if record]
                for record in filter(None, records):
                    board.end(record.spec, record, reused=True)

    def bring(self, job: Job, ended: Ended, board: Board) -> Iterator[list[Record]]:
        """The records of a job that has ended, brought into the results folder; `failed` ones for runs without."""
        reason = " ".join(ended.problem) or f"The Slurm job {job.number} has left no record of this run."
        whole = True
        for group in job.groups:
            records = []
            for spec in group.runs:
                record = self.moved(job, spec)
                if record is None:
                    path = record_path(self.results, spec)
                    record = keep_failure(path, spec, timestamp(), reason, None, job.log)
                job.tell_end(spec, record, board)
                whole = whole and record.status != "failed"
                records.append(record)
            yield records
        if whole:
            shutil.rmtree(job.folder)

    def moved(self, job: Job, spec: RunSpec) -> Record | None:
        """The record of a run, brought from the folder of its job with all that is beside it, itself last; None where
        there is none that answers the spec."""
        source, target = record_path(job.folder, spec), record_path(self.results, spec)
        record = read_record(source) if source.exists() else None
        if record is None or record.identity != spec.identity():
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_beside(target)
        files = [path for path in source.parent.glob(f"{source.stem}.*") if path.suffix not in UNFINISHED]
        for path in sorted(files, key=lambda path: path == source):
            path.replace(target.with_name(path.name))
        return record


def plan_for_node(plan: Plan) -> Plan:
    """What a job is told of the plan: on its node it is one of that machine, and what a try before has left is kept."""
    return replace(plan, launcher=HERE, fresh=False)


def without_inputs(plan: Plan) -> Plan:
    """The plan as it was before anything was prepared."""
    return replace(plan, runs=[replace(spec, data=Data(name="", digest=""), weights=None) for spec in plan.runs])


def is_beside(spec: RunSpec, other: RunSpec) -> bool:
    """Whether two runs are compared with one another."""
    return (spec.case, spec.round) == (other.case, other.round)
