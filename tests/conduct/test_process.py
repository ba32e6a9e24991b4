import os
import sys
import textwrap

import psutil
import pytest

from harness.conduct.process import WatchedProcess, environment_for, run_process, tail_of


@pytest.fixture
def launch(tmp_path):
    """Run a Python program the way a cell is run; returns its outcome and the events heard."""

    def start(program, *, silence=30.0, limit=60.0, stdin=b""):
        script = tmp_path / "program.py"
        script.write_text("import os, sys\npipe = int(sys.argv[-1])\n" + textwrap.dedent(program), encoding="utf-8")
        events = []
        outcome = run_process(
            [sys.executable, str(script)],
            log=tmp_path / "run.log",
            listen=events.append,
            stdin=stdin,
            variables=environment_for(None),
            silence_seconds=silence,
            limit_seconds=limit,
        )
        return outcome, events

    return start


def test_a_good_process_gets_its_input_and_its_events_are_heard(launch):
    outcome, events = launch('os.write(pipe, sys.stdin.buffer.read() + b"\\n")', stdin=b'{"epoch": 3}')
    assert outcome.good
    assert events == [{"epoch": 3}]


def test_a_process_that_raises_is_told_by_its_exit_code_and_the_end_of_its_log(launch, tmp_path):
    outcome, _ = launch('raise ValueError("the reason")')
    assert (outcome.good, outcome.exit_code) == (False, 1)
    assert tail_of(tmp_path / "run.log")[-1] == "ValueError: the reason"


def test_a_process_killed_with_sigkill_is_told_by_its_signal(launch):
    outcome, _ = launch("os.kill(os.getpid(), 9)")
    assert (outcome.good, outcome.signal) == (False, "SIGKILL")
    assert outcome.in_words() == "The process was ended by SIGKILL."


def test_a_process_that_hangs_is_killed_with_all_its_children(launch, tmp_path):
    outcome, _ = launch(
        f"""
        import subprocess, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
        time.sleep(600)
        """,
        silence=2.0,
    )
    assert not outcome.good
    assert "reported nothing for 2 s" in outcome.in_words()
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_process_that_goes_on_reporting_for_too_long_is_killed(launch):
    outcome, _ = launch(
        """
        import time
        while True:
            os.write(pipe, b'{"step": 1}\\n')
            time.sleep(0.1)
        """,
        limit=2.0,
    )
    assert not outcome.good
    assert "its limit" in outcome.in_words()


def test_children_that_a_good_process_leaves_behind_are_cleared_away(launch, tmp_path):
    outcome, _ = launch(
        f"""
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=True)
        open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
        """
    )
    assert outcome.good
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_what_a_process_said_last_is_heard_though_it_has_ended_by_then(tmp_path):
    program = 'import os, sys; os.write(int(sys.argv[-1]), b"{\\"step\\": 1}\\n")'
    command, variables = [sys.executable, "-c", program], environment_for(None)
    with WatchedProcess(command, log=tmp_path / "run.log", variables=variables, silence=30, limit=60) as watched:
        watched.process.wait()
        events = []
        while (heard := watched.hear()) is not None:
            events += heard
        assert watched.exit().good
    assert events == [{"step": 1}]


def test_silence_counts_from_the_moment_at_which_something_is_expected(tmp_path):
    command, variables = [sys.executable, "-c", "import time; time.sleep(600)"], environment_for(None)
    with WatchedProcess(command, log=tmp_path / "run.log", variables=variables, silence=30, limit=60) as watched:
        watched.heard -= 40
        watched.expect()
        assert watched.hear() == []
        watched.heard -= 40
        assert watched.hear() is None
        assert "reported nothing for 30 s" in watched.exit().in_words()


def test_events_that_are_no_json_do_no_harm(launch):
    outcome, events = launch('os.write(pipe, b"not json\\n{\\"step\\": 1}\\n")')
    assert outcome.good
    assert events == [{"step": 1}]


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONSAFEPATH"])
def test_what_the_callers_python_is_told_reaches_neither_a_run_nor_the_check_of_its_environment(
    spec, monkeypatch, name
):
    monkeypatch.setenv(name, "/somewhere")
    for variables in (environment_for(spec), environment_for(None)):
        assert name not in variables
        assert variables["PYTHONNOUSERSITE"] == "1"


def test_a_run_gets_its_threads_and_nothing_of_the_users_python_settings(spec, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    variables = environment_for(spec)
    assert "PYTHONPATH" not in variables
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["PATH"] == os.environ["PATH"]
