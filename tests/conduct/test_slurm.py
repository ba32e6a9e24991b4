"""Rounds as jobs of a real Slurm, whose nodes are on this host: killed, cancelled, requeued; and what is wrong input.

The pins' interpreter is a stand-in (`stand_in.py`), so the runs take no time; everything else is as in a matrix.
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from harness.conduct.__main__ import main
from harness.conduct.board import PlainBoard
from harness.conduct.jobs import site_of
from harness.conduct.launcher import groups_of
from harness.conduct.launchers import launcher_of
from harness.conduct.planning import plan
from harness.conduct.request import Request
from harness.conduct.run import run
from harness.conduct.slurm import job, launcher
from harness.conduct.slurm.launcher import JOBS, Slurm
from harness.conduct.slurm.node import settle
from harness.conduct.slurm.queue import JobState, Queue, numbers_in
from harness.conduct.slurm.relay import FILE, Relay, Told, cell_of, told_since
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.matrix import SlurmResources, read_matrix
from harness.core.plan import PLAN_FILE
from harness.core.record import SCHEMA, Record, checkpoint_of, read_record, record_path, write_record
from tests.conduct.cluster import Cluster, why_not

HELD = "converge ambient 0"
"""The last run of the first round, which does not end before it is let go."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Slurm; skipped where its daemons cannot be started."""
    if why_not():
        pytest.skip(why_not())
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


class Listening(PlainBoard):
    """A board that keeps its lines, and does something when it hears for the first time that a run is at work."""

    def __init__(self, runs, when):
        super().__init__(runs, Console())
        self.lines, self.when = [], dict(when)

    def say(self, text):
        self.lines.append(text)

    def hear(self, spec, event):
        super().hear(spec, event)
        act = self.when.pop(" ".join(map(str, cell_of(spec))), None)
        if act:
            act()


class Matrix:
    """A matrix of two cases of the ambient pin and its twin, done by jobs, and what its stand-in interpreter does."""

    def __init__(self, folder, cluster, matrix, policy):
        self.folder, self.cluster, self.files = folder, cluster, (matrix, policy)
        self.results = folder / "results"
        self.partition, self.plans = "p", {}
        self.tell(waits=[])
        self.interpreter = folder / "interpreter"
        script = ROOT / "tests" / "conduct" / "stand_in.py"
        self.interpreter.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "{script}" "{folder}" "$@"\n'
        )
        self.interpreter.chmod(0o755)

    def tell(self, **does):
        (self.folder / "does.json").write_text(json.dumps(does))

    def let_go(self):
        (self.folder / "go").touch()

    def plan(self, rounds, **more):
        asked = {"pins": ("ambient",), "cases": ("train", "converge"), "profile": "smoke", "launcher": "slurm"}
        return plan(Request(**asked, rounds=rounds, **more), *self.files, site_of("cpu", "auto"))

    def run(self, rounds=1, when=(), **more):
        """Its records by run; `when` a run is at work, something is done."""
        made = self.plan(rounds, **more)
        self.board = Listening(made.runs, dict(when))
        resources = SlurmResources(cpus=1, memory_gib=1, hours=1.0, partition=self.partition)
        self.outcomes = run(made, Slurm(self.results, self.interpreter, Queue("cpu", resources)), self.board)
        records = (read_record(record_path(self.results, spec)) for spec in made.runs)
        return {" ".join(map(str, cell_of(record.spec))): record for record in records}

    def number(self, name="round-1"):
        return numbers_in(self.results / JOBS / name)[-1]

    def journal(self):
        """The runs that were begun, in order, and the node of each."""
        lines = (json.loads(line) for line in (self.folder / "journal").read_text().splitlines())
        return [(f"{case} {pin} {index}", node) for case, pin, index, node, _ in lines if case != "prepare"]


@pytest.fixture
def jobs(tmp_path, monkeypatch, cluster, matrix, policy):
    """A matrix on the cluster, looked at often."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    monkeypatch.setattr(launcher, "LOOK", 0.2)
    return Matrix(tmp_path, cluster, matrix, policy)


def nodes_of(records, case, index):
    return {one.environment.node for one in records.values() if (one.spec.case, one.spec.round) == (case, index)}


@pytest.fixture(scope="module")
def done(tmp_path_factory, cluster, matrix, policy):
    """A matrix of two rounds that was done, and its records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.configuration))
        patch.setattr(launcher, "LOOK", 0.2)
        jobs = Matrix(tmp_path_factory.mktemp("done"), cluster, matrix, policy)
        return jobs, jobs.run(rounds=2), jobs.board.lines


def test_every_round_is_done_on_one_node_and_its_records_are_brought_together(done):
    jobs, records, _ = done
    assert {record.status for record in records.values()} == {"ok"}
    for case, index in [("train", 0), ("train", 1), ("converge", 0), ("converge", 1)]:
        assert len(nodes_of(records, case, index)) == 1
    assert list((jobs.results / JOBS).iterdir()) == []
    assert (jobs.results / "runs" / "converge" / "ambient" / "1.log").read_text() == "a line of its log\n"
    assert (jobs.results / PLAN_FILE).exists()


def test_the_board_hears_of_every_run_and_where_each_job_is(done):
    _, records, lines = done
    said = "\n".join(lines)
    for name in records:
        case, pin, index = name.split()
        run_ = f"{case} {pin} round {int(index) + 1}"
        assert f"{run_}: started" in said
        assert f"{run_}: epoch 1 of 2, loss 1.00" in said
        assert said.count(f"{run_}: ok in 0:0") == 1
    assert "round-1: Slurm job " in said


def test_a_matrix_that_is_started_again_does_nothing_twice_unless_it_is_to_be_fresh(jobs, done):
    before, first, _ = done
    jobs.results = before.results
    assert jobs.run(rounds=2) == first
    assert all(outcome.reused for outcome in jobs.outcomes)
    assert sorted(name for name, _ in before.journal()) == sorted(first)
    again = jobs.run(rounds=1, fresh=True)
    assert all(record.started > first[name].started for name, record in again.items())


def test_a_job_that_is_requeued_goes_on_from_the_records_that_are_there(jobs, cluster):
    jobs.tell(waits=[HELD])

    def requeue():
        cluster.drain("n2")  # so that it goes on where it was
        cluster.requeue(jobs.number(), jobs.let_go)

    records = jobs.run(when={HELD: requeue})
    cluster.resume("n2")
    assert {record.status for record in records.values()} == {"ok"}
    begun = [name for name, _ in jobs.journal()]
    assert {name: begun.count(name) for name in records} == {name: 1 + (name == HELD) for name in records}


def test_what_is_compared_is_begun_anew_where_a_job_is_requeued_to_another_node(jobs, cluster):
    jobs.tell(waits=[HELD])

    def requeue():
        cluster.drain("n1")
        cluster.requeue(jobs.number(), jobs.let_go)

    records = jobs.run(when={HELD: requeue})
    cluster.resume("n1")
    assert nodes_of(records, "train", 0) == {"n1"}  # it was whole
    assert nodes_of(records, "converge", 0) == {"n2"}
    assert jobs.journal()[-2:] == [("converge A/A 0", "n2"), ("converge ambient 0", "n2")]


def test_a_job_whose_time_is_up_puts_itself_into_the_queue_again_and_goes_on(jobs, cluster):
    jobs.tell(waits=[HELD])

    def time_is_up():
        cluster.ask("scancel", "--signal=USR2", jobs.number())
        cluster.begin_again(jobs.number(), jobs.let_go)

    records = jobs.run(when={HELD: time_is_up})
    assert {record.status for record in records.values()} == {"ok"}
    assert [name for name, _ in jobs.journal()].count("train ambient 0") == 1


def test_a_job_that_is_cancelled_leaves_failed_records_with_its_state_and_the_end_of_its_log(jobs, cluster):
    jobs.tell(waits=[HELD])
    records = jobs.run(when={HELD: lambda: cluster.ask("scancel", jobs.number())})
    assert [name for name, record in records.items() if record.status == "failed"] == [HELD]
    reason = records[HELD].reason
    assert reason.startswith(f"The Slurm job {jobs.number()} is CANCELLED on n1 and has left no result; its log ")
    assert any("converge ambient round 1: started" in line for line in records[HELD].failure.log_tail)


def test_what_is_missing_of_a_round_is_done_on_the_node_of_the_rest(jobs, cluster):
    jobs.tell(waits=[HELD])
    cluster.drain("n1")
    jobs.run(when={HELD: lambda: cluster.ask("scancel", jobs.number())})
    cluster.resume("n1")
    jobs.let_go()
    records = jobs.run()
    assert {record.status for record in records.values()} == {"ok"}
    assert nodes_of(records, "converge", 0) == {"n2"}  # and not the first that is free
    assert [name for name, _ in jobs.journal()].count(HELD) == 2
    assert len(jobs.journal()) == len(records) + 1


def test_a_job_whose_process_is_killed_fails_and_the_other_rounds_go_on(jobs):
    jobs.tell(waits=[HELD])

    def kill():
        folder = str(jobs.results / JOBS / "round-1")
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "submitit.core._submit" in command and folder in command and "srun" not in command[0]:
                process.kill()

    records = jobs.run(rounds=2, when={HELD: kill})
    jobs.let_go()
    assert [name for name, record in records.items() if record.status == "failed"] == [HELD]
    assert " is FAILED on n" in records[HELD].reason


def test_a_matrix_that_is_killed_finds_its_jobs_when_it_is_started_again(jobs, cluster):
    jobs.tell(waits=[HELD])
    first = multiprocessing.get_context("fork").Process(target=jobs.run)
    first.start()
    path = jobs.folder / "journal"
    cluster.until(lambda: path.exists() and HELD in [name for name, _ in jobs.journal()])
    number = jobs.number()
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert cluster.state(number) == "RUNNING"
    records = jobs.run(when={HELD: jobs.let_go})
    assert f"round-1: Slurm job {number} is there already, and followed" in jobs.board.lines
    assert {record.status for record in records.values()} == {"ok"}
    assert sorted(name for name, _ in jobs.journal()) == sorted(records)


def interrupted(jobs):
    """The matrix is interrupted while a run of its job is held."""
    jobs.tell(waits=[HELD])

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.run(when={HELD: interrupt})


def test_after_an_interruption_jobs_go_on_and_it_is_said_how_to_end_them(jobs, cluster):
    interrupted(jobs)
    number = jobs.number()
    assert f"`scancel {number}` ends them" in jobs.board.lines[-1]
    assert cluster.state(number) == "RUNNING"
    jobs.let_go()
    cluster.until(lambda: cluster.state(number) == "COMPLETED")
    records = jobs.run()  # what it has done meanwhile is brought away, and nothing is submitted
    assert "converge ambient round 1: ok: kept from before" in jobs.board.lines
    assert len(jobs.journal()) == len(records)


def test_a_job_of_another_plan_is_cancelled_before_this_one_is_submitted(jobs, cluster):
    interrupted(jobs)
    number = jobs.number()
    jobs.tell(waits=[])
    records = jobs.run(threads=2)
    assert cluster.state(number) == "CANCELLED"
    assert {record.status for record in records.values()} == {"ok"}


def test_a_partition_that_there_is_not_is_one_sentence(jobs, capfd):
    jobs.partition = "nowhere"
    with pytest.raises(UsageError, match=r"Slurm refuses the job \(.*invalid partition.*\[machines\.cpu\.slurm\]"):
        jobs.run()
    assert capfd.readouterr().err == ""


def test_a_results_folder_that_the_nodes_do_not_share_is_one_sentence(jobs, cluster):
    if not cluster.has_node("n3"):
        pytest.skip("no folder can be hidden from a node here")
    jobs.partition, jobs.results = "apart", cluster.unshared / "results"
    with pytest.raises(UsageError, match=r"left no log: .*results/jobs/preparation has to be on a file system that"):
        jobs.run()


# --- without a cluster ---------------------------------------------------------------------------------------------


@pytest.fixture
def said(monkeypatch, capsys):
    """The one sentence that the arguments of `nox -s matrix` are refused with."""

    def say(*arguments):
        assert main(["plan", *arguments]) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    return say


@pytest.mark.parametrize(
    "arguments",
    [[], ["--machines", "cpu", "hopper"], ["--machines", "cpu", "--jobs", "x"], ["--machines", "cpu", "--proofs", "a"]],
)
def test_slurm_takes_one_machine_kind_by_name(said, arguments):
    assert "name that with --machines KIND, and leave out --jobs" in said("--launcher", "slurm", *arguments)


def test_data_have_to_be_where_the_matrix_is_started(said):
    assert "is not a file" in said("--launcher", "slurm", "--machines", "cpu", "--data", "/nowhere/data.yaml")


def test_a_launcher_that_there_is_not_is_refused(said):
    assert "--launcher" in said("--launcher", "pbs")


def test_a_machine_kind_without_a_table_for_slurm_is_told_of_before_anything_is_built(said, tmp_path):
    handoff = tmp_path / "handoff.json"
    text = said("--launcher", "slurm", "--machines", "cpu", "--handoff", str(handoff))
    assert "cases/matrix.toml has no [machines.cpu.slurm]" in text
    assert not handoff.exists()


@pytest.fixture
def with_table(tmp_path):
    """The project's matrix file with a table of Slurm's for a machine kind."""

    def read(kind, text):
        path = tmp_path / "matrix.toml"
        path.write_text((ROOT / "cases" / "matrix.toml").read_text() + f"\n[machines.{kind}.slurm]\n{text}\n")
        return read_matrix(path)

    return read


LEAST = "cpus = 2\nmemory_gib = 4\nhours = 0.5"


def test_a_table_says_what_a_job_asks_for(with_table):
    asked = (
        with_table("hopper", f'{LEAST}\ngpus = 1\nconstraint = "h100|h200"\naccount = "lab"').machines["hopper"].slurm
    )
    assert (asked.gpus, asked.constraint, asked.account, asked.partition) == (1, "h100|h200", "lab", None)
    assert asked.exclusive


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("cpu", "cpus = 2", r"field `memory_gib`.*machines\.cpu\.slurm"),
        ("cpu", f"{LEAST}\nnode = 3", "unknown field `node`"),
        ("cpu", f'{LEAST}\npartition = "a\\n#SBATCH --x"', "machines.cpu.slurm.partition"),
        ("cpu", f"{LEAST}\nexclusive = 1", "machines.cpu.slurm.exclusive"),
        ("hopper", LEAST, r"\[machines.hopper.slurm\] asks for no gpus"),
    ],
)
def test_a_table_with_a_mistake_is_refused_by_its_key(with_table, kind, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        with_table(kind, text)


def test_without_slurm_here_it_says_what_is_missing(with_table, matrix, policy, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    request = Request(pins=("ambient",), profile="smoke", launcher="slurm")
    made = plan(request, matrix, policy, site_of("cpu", "auto"))
    with pytest.raises(UsageError, match=r"sbatch, srun, squeue, scancel, scontrol, which are not here: .*login node"):
        launcher_of(made, tmp_path, Path("python"), with_table("cpu", LEAST))


@pytest.fixture
def two_alone(alone_spec, matrix, policy, tmp_path):
    """A folder in which one run of two that are compared is done, with its groups."""
    made = plan(
        Request(pins=("ambient",), cases=("converge",), profile="smoke"), matrix, policy, site_of("cpu", "auto")
    )
    groups = groups_of(made)
    spec = groups[0].runs[0]
    write_record(record_path(tmp_path, spec), Record(SCHEMA, spec, spec.identity(), "ok", "2026-01-01", "2026-01-01"))
    other = record_path(tmp_path, groups[1].runs[0])
    checkpoint_of(other).parent.mkdir(parents=True, exist_ok=True)
    checkpoint_of(other).touch()
    return tmp_path, groups


@pytest.mark.parametrize(("before", "left"), [("n1", True), ("n2", False)])
def test_what_another_node_has_begun_is_cleared_away_and_what_this_one_has_is_not(two_alone, monkeypatch, before, left):
    folder, groups = two_alone
    monkeypatch.setenv("SLURMD_NODENAME", before)
    settle(folder, groups)
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    settle(folder, groups)
    first, second = (record_path(folder, group.runs[0]) for group in groups)
    assert (first.exists(), checkpoint_of(second).exists()) == (left, left)


class Nobody:
    """A board that shows nothing."""

    def __getattr__(self, name):
        return lambda *_: None


def test_of_the_steps_of_a_run_some_are_told_and_of_its_epochs_all(tmp_path, spec):
    relay = Relay(tmp_path, Nobody())
    for step in range(100):
        relay.hear(spec, {"phase": "train", "step": step})
    relay.hear(spec, {"phase": "epoch done", "epoch": 0})
    told = [one.event for one, _ in told_since(tmp_path, 0)]
    assert [event["phase"] for event in told] == ["train", "epoch done"]
    assert told[-1] == {"phase": "epoch done", "step": 99, "epoch": 0}


def test_what_was_told_is_read_on_from_where_one_was_and_a_torn_line_waits(tmp_path):
    relay = Relay(tmp_path, Nobody())
    relay.say("first")
    ((told, offset),) = told_since(tmp_path, 0)
    assert told == Told("say", text="first")
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"what": "say", "te')
    assert list(told_since(tmp_path, offset)) == []
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'xt": "second"}\n')
    assert [told.text for told, _ in told_since(tmp_path, offset)] == ["second"]


@pytest.fixture
def ended(tmp_path, matrix, policy):
    """A job that is out of the queue in some state and has left no word, and whether it was told to stop."""

    def make(state, stopped=False):
        made = plan(Request(pins=("ambient",), profile="smoke"), matrix, policy, site_of("cpu", "auto"))
        one = job.Job(tmp_path, "round-1", made, groups_of(made))
        one.state, one.stopped = JobState(state, "n1"), stopped
        return one

    return make


@pytest.mark.parametrize(
    ("state", "stopped", "again"),
    [
        ("NODE_FAIL", False, True),
        ("PREEMPTED", True, True),
        ("FAILED", True, True),  # its node was taken from it, and it ended before Slurm ended it
        ("FAILED", False, False),
        ("CANCELLED", True, False),
        ("OUT_OF_MEMORY", False, False),
        ("", True, False),
    ],
)
def test_only_a_job_whose_node_was_taken_from_it_is_submitted_again_and_not_for_ever(ended, state, stopped, again):
    one = ended(state, stopped)
    assert [one.may_go_on(2) for _ in range(3)] == [again, again, False]


def test_a_job_that_has_left_the_queue_may_leave_its_word_later(ended, monkeypatch):
    one = ended("COMPLETED")
    assert one.outcome() is None
    monkeypatch.setattr(job, "PATIENCE", 0.0)
    assert "is COMPLETED on n1" in one.outcome().problem[0]
