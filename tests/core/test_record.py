import math

import msgspec
import pytest

from harness.core.errors import UsageError
from harness.core.record import SCHEMA, Metric, Others, Record, read_record, record_path, write_record


@pytest.fixture
def record(spec):
    return Record(
        schema=SCHEMA,
        spec=spec,
        identity=spec.identity(),
        status="ok",
        started="2026-01-01T00:00:00+00:00",
        ended="2026-01-01T00:01:00+00:00",
        metrics=[Metric(name="epoch_time", unit="s", samples=[1.5, 1.25])],
        series={"loss": [2.0, None]},
    )


def test_a_record_reads_back_as_it_was_written(tmp_path, record):
    path = record_path(tmp_path, record.spec)
    write_record(path, record)
    assert read_record(path) == record
    assert path.relative_to(tmp_path).as_posix() == "runs/train/1.13.1/0.json"


def test_a_record_of_another_schema_is_refused_with_what_to_do(tmp_path, record):
    path = tmp_path / "0.json"
    write_record(path, msgspec.structs.replace(record, schema=SCHEMA + 1))
    with pytest.raises(UsageError, match=rf"schema {SCHEMA + 1}.*--fresh"):
        read_record(path)


def test_half_a_record_is_refused_by_name(tmp_path, record):
    path = tmp_path / "0.json"
    write_record(path, record)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UsageError, match=r"0\.json is not a whole record"):
        read_record(path)


def test_a_record_keeps_every_digit_of_a_sample(tmp_path, record):
    metric = Metric(name="x", unit="s", samples=[0.1 + 0.2, 1e-17, math.pi])
    write_record(tmp_path / "0.json", msgspec.structs.replace(record, metrics=[metric]))
    assert read_record(tmp_path / "0.json").metric("x") == metric


def test_a_record_of_which_nobody_knows_who_else_used_the_machine_is_a_record(tmp_path, record):
    path = tmp_path / "0.json"
    write_record(path, msgspec.structs.replace(record, others=Others(0.25, 0.0, [1.0, 2.0], [17])))
    known = msgspec.json.decode(path.read_bytes())
    assert known.pop("others") == {"processors": 0.25, "stolen": 0.0, "load": [1.0, 2.0], "gpu": [17]}
    path.write_bytes(msgspec.json.encode(known))
    assert read_record(path) == record
