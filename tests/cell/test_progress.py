import os

import pytest

from harness.cell.progress import Progress


def test_events_are_json_lines_on_the_pipe():
    reading, writing = os.pipe()
    Progress(writing).tell(phase="training", epoch=1)
    os.close(writing)
    with os.fdopen(reading) as events:
        assert events.read() == '{"phase":"training","epoch":1}\n'


def test_ticks_in_quick_succession_are_left_out_and_what_is_told_is_not():
    reading, writing = os.pipe()
    progress = Progress(writing)
    for step in range(1000):
        progress.tick(step=step)
    progress.tell(step="last")
    os.close(writing)
    with os.fdopen(reading) as events:
        lines = events.read().splitlines()
    assert len(lines) < 100
    assert lines[-1] == '{"step":"last"}'


def test_a_run_whose_conductor_is_gone_ends():
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(SystemExit, match="conductor is gone"):
        Progress(writing).tell(phase="training")
    os.close(writing)


def test_without_a_pipe_nothing_is_told():
    Progress(None).tell(phase="training")
