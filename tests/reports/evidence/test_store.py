"""Reading a results folder."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from results_folder import Folder, metric

from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, write_plan
from harness.core.record import beside_of, record_path, write_record
from reports.evidence.store import Run, Trouble, read_planned, read_runs

Make = Callable[..., Folder]


def runs_of(results: Folder) -> dict[tuple[str, int], Run]:
    plan = read_planned(results.path)
    return {(run.spec.pin.name, run.spec.round): run for run in read_runs(results.path, plan)}


def test_every_planned_run_is_there_with_or_without_a_record(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0)
    results.fail("1.12.1", 1)
    statuses = {place: run.status for place, run in runs_of(results).items()}
    assert statuses == {
        ("1.10.0", 0): "ok",
        ("1.10.0", 1): "missing",
        ("1.12.1", 0): "missing",
        ("1.12.1", 1): "failed",
    }


def test_specs_hold_once_what_they_have_in_common(folder: Make) -> None:
    results = folder(rounds=3)
    read = read_planned(results.path).runs
    assert read == results.plan.runs
    for name in ("pin", "train", "recipe", "model", "data", "settings"):
        assert len({id(getattr(spec, name)) for spec in read if spec.pin.name == "1.12.1"}) == 1


def test_a_missing_run_says_that_it_was_not_done(folder: Make) -> None:
    assert runs_of(folder())["1.12.1", 0].trouble == Trouble("not done")


def test_a_stale_record_is_missing_and_says_what_differs(folder: Make) -> None:
    results = folder()
    older = msgspec.structs.replace(results.spec("1.12.1"), harness="older")
    results.keep("1.12.1", spec=older, identity=older.identity())
    run = runs_of(results)["1.12.1", 0]
    assert (run.status, run.record) == ("missing", None)
    assert run.trouble == Trouble("stale", "harness")


def test_a_record_of_other_data_is_stale(folder: Make) -> None:
    results = folder()
    spec = results.spec("1.10.0")
    other = msgspec.structs.replace(spec, seed=9, data=msgspec.structs.replace(spec.data, digest="other"))
    results.keep("1.10.0", spec=other, identity=other.identity())
    assert runs_of(results)["1.10.0", 0].trouble == Trouble("stale", "seed, data")


def test_a_record_that_carries_another_identity_than_its_spec_has_is_stale_and_names_nothing(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", identity="other")
    assert runs_of(results)["1.10.0", 0].trouble == Trouble("stale", "")


def test_an_exit_code_is_explained_by_the_last_line_of_the_log(folder: Make) -> None:
    results = folder()
    results.fail("1.12.1", 0, "The process ended with exit code 1.", exit_code=1, log_tail=["…", "ValueError: bad", ""])
    trouble = Trouble("recorded", "The process ended with exit code 1.", "ValueError: bad")
    assert runs_of(results)["1.12.1", 0].trouble == trouble


def test_a_kill_is_not_explained_by_a_log_that_knows_nothing_of_it(folder: Make) -> None:
    results = folder()
    results.fail("1.12.1", log_tail=["epoch 2"])
    assert runs_of(results)["1.12.1", 0].trouble == Trouble("recorded", "The process was ended by SIGKILL.")


def test_a_run_that_failed_without_a_reason_says_that_it_has_none(folder: Make) -> None:
    results = folder()
    results.keep("1.12.1", status="failed", metrics=[])
    assert runs_of(results)["1.12.1", 0].trouble == Trouble("no reason")


def test_a_run_that_is_ok_has_no_trouble(folder: Make) -> None:
    results = folder()
    results.keep("1.12.1")
    assert runs_of(results)["1.12.1", 0].trouble is None


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', '{"schema": 99}', "[]"])
def test_a_record_that_is_broken_or_of_another_schema_is_refused_by_name(folder: Make, text: str) -> None:
    results = folder()
    results.keep("1.12.1")
    path = record_path(results.path, results.spec("1.12.1"))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"1\.12\.1/0\.json"):
        runs_of(results)


def test_a_plan_that_names_a_run_twice_or_a_pin_it_does_not_have_is_refused(folder: Make) -> None:
    results = folder()
    for runs in (results.plan.runs * 2, [results.spec("9.9.9")], []):
        write_plan(results.path / PLAN_FILE, msgspec.structs.replace(results.plan, runs=runs))
        with pytest.raises(UsageError, match=PLAN_FILE):
            read_planned(results.path)


def test_runs_are_read_one_at_a_time(folder: Make) -> None:
    results = folder(rounds=2)
    for index in (0, 1):
        results.keep("1.10.0", index, metrics=[metric("training_memory", "bytes", 1.0)])
    runs = read_runs(results.path, results.plan)
    next(runs)
    record_path(results.path, results.spec("1.10.0", 1)).unlink()
    assert [run.status for run in runs] == ["ok", "missing", "missing"]


def test_a_record_of_endless_depth_is_refused_in_a_sentence(folder: Make) -> None:
    results = folder()
    record_path(results.path, results.spec("1.12.1")).parent.mkdir(parents=True)
    record_path(results.path, results.spec("1.12.1")).write_text('{"schema":1,"x":' + "[" * 100_000)
    with pytest.raises(UsageError, match=r"0\.json is not a record: delete it"):
        runs_of(results)


def test_a_plan_with_a_round_that_it_has_not_runs_for_is_refused(folder: Make) -> None:
    results = folder(rounds=2)
    far = [msgspec.structs.replace(run, round=run.round * 10**9) for run in results.plan.runs]
    write_plan(results.path / PLAN_FILE, msgspec.structs.replace(results.plan, runs=far))
    with pytest.raises(UsageError, match="contradicts itself"):
        read_planned(results.path)


def test_what_a_run_left_at_further_tables_is_read_with_it(folder: Make) -> None:
    results = folder()
    record = results.keep("1.10.0")
    for table, changes in enumerate([{}, {"identity": "other"}, {"status": "failed"}], start=1):
        path = beside_of(record_path(results.path, record.spec), table)
        write_record(path, msgspec.structs.replace(record, started=f"table {table}", **changes))
    assert [one.started for one in runs_of(results)["1.10.0", 0].beside] == ["table 1"]
