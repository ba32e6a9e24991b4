"""A user's script as a black box: what is measured of it, and how each way to go wrong is told."""

import os
import textwrap
import time

import psutil
import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from cases.script import Settings
from cases.script.body import measure
from harness.cell.data.shapes import make_shapes
from harness.cell.source import adopt
from harness.core.errors import UsageError
from harness.core.settings import Shapes
from harness.core.source import digest_of_source
from harness.core.spec import Model

NUMBERS = {"outputs": "out.json", "lower": {"loss": "number"}, "higher": {"accuracy": "fraction"}}
GOOD = """
    import json, pathlib, sys
    pathlib.Path("out.json").write_text(json.dumps({"loss": 0.5 + int(sys.argv[1]), "accuracy": 0.75, "more": "text"}))
    """


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_shapes(folder, Shapes(images=4, validation=2))
    return folder / "index.json"


@pytest.fixture
def run(spec, index, run_of, tmp_path, monkeypatch):
    """Run a script of this text, with the settings of its case."""
    monkeypatch.setenv("TORCH_MATRIX_SOURCE", "")  # so that it is put back

    def make(text, command=("train.py", "{seed}"), seed=0, **settings):
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(textwrap.dedent(text), encoding="utf-8")
        model = Model(name="mine", package="", source=digest_of_source(folder))
        adopt(model, str(folder))
        told = to_builtins(Settings(command=list(command), **settings))
        asked = replace(spec, case="script", model=model, seed=seed, settings=told)
        return run_of(asked, index, record=tmp_path / "0.part")

    return make


def values(measured):
    return {metric.key: (metric.samples, metric.unit) for metric in measured.metrics}


def test_its_numbers_come_in_the_units_that_were_told_and_once_more_to_the_last_bit(run):
    measured = measure(run(GOOD, **NUMBERS))
    found = values(measured)
    assert found["output_lower[lower=loss]"] == ([0.5], "number")
    assert found["output_higher[higher=accuracy]"] == ([0.75], "fraction")
    (outputs,) = measured.fingerprints
    assert dict(zip(outputs.places, outputs.value)) == {"loss": 0.5, "accuracy": 0.75}


def test_the_seed_is_put_into_its_command(run):
    assert values(measure(run(GOOD, seed=3, **NUMBERS)))["output_lower[lower=loss]"][0] == [3.5]


def test_a_script_without_numbers_is_timed_all_the_same(run):
    found = values(measure(run("import time; time.sleep(0.5)", command=("train.py",))))
    assert set(found) == {"script_time", "script_cpu_time", "script_memory"}
    assert found["script_time"][0][0] >= 0.5
    assert found["script_cpu_time"][0][0] < found["script_time"][0][0]


def test_memory_is_the_most_of_all_its_processes_at_once(run):
    alone = """
        import time
        held = bytearray(64 * 2**20)
        time.sleep(0.6)
        """
    shared = """
        import subprocess, sys, time
        other = subprocess.Popen([sys.executable, "-c", "import time; held = bytearray(64 * 2**20); time.sleep(1)"])
        held = bytearray(64 * 2**20)
        other.wait()
        """
    one, two = (
        values(measure(run(text, command=("train.py",))))["script_memory"][0][0] / 2**20 for text in (alone, shared)
    )
    assert 64 < one < 110
    assert 128 < two < 200


def test_memory_that_is_taken_at_the_very_end_is_seen(run):
    text = """
        import os, time
        time.sleep(0.5)
        held = bytearray(96 * 2**20)
        os._exit(0)
        """
    assert values(measure(run(text, command=("train.py",))))["script_memory"][0][0] > 90 * 2**20


def test_it_works_in_a_copy_of_its_folder_that_is_gone_afterwards(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "out.json").write_text('{"loss": 9, "accuracy": 9}', encoding="utf-8")
    text = "import os, pathlib; assert not pathlib.Path('out.json').exists()" + textwrap.dedent(GOOD)
    assert values(measure(run(text, **NUMBERS)))["output_lower[lower=loss]"][0] == [0.5]
    assert (tmp_path / "mine" / "out.json").read_text(encoding="utf-8") == '{"loss": 9, "accuracy": 9}'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_a_module_can_be_run(run):
    assert values(measure(run(GOOD, command=("-m", "train", "1"), **NUMBERS)))["output_lower[lower=loss]"][0] == [1.5]


def test_it_sees_no_gpu_on_a_cpu(run):
    text = "import os; raise SystemExit(os.environ['CUDA_VISIBLE_DEVICES'] != '')"
    assert measure(run(text, command=("train.py",))).metrics


def test_a_number_that_is_not_finite_is_not_measured(run):
    text = """
        import json
        json.dump({"loss": float("inf"), "accuracy": 0.5}, open("out.json", "w"))
        """
    measured = measure(run(text, **NUMBERS))
    assert "output_lower[lower=loss]" not in values(measured)
    assert "not finite" in measured.not_measured["output_lower[lower=loss]"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit(3)", "did not end well: it ended with exit code 3"),
        ("import os; os.abort()", "did not end well: it was ended by SIGABRT"),
        ("pass", "left no file out.json in its folder"),
        ("open('out.json', 'w').write('{')", "which is no JSON"),
        ("open('out.json', 'w').write('[1]')", "which has no number 'accuracy'"),
        ("open('out.json', 'w').write('{\"accuracy\": true}')", "which has no number 'accuracy'"),
        ("open('out.json', 'w').write('{\"accuracy\": 1}')", "which has no number 'loss'"),
    ],
)
def test_what_goes_wrong_is_one_sentence(run, text, said):
    with pytest.raises(UsageError, match=said):
        measure(run(text, **NUMBERS))


def test_nothing_that_it_started_outlives_it(run, tmp_path):
    text = f"""
        import subprocess, sys, time
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        open({str(tmp_path / "pid")!r}, "w").write(str(other.pid))
        time.sleep(1)
        """
    measure(run(text, command=("train.py",)))
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    os.kill(pid, 9)
    raise AssertionError("it still runs")


def test_files_that_have_changed_since_the_plan_end_the_run(tmp_path):
    (tmp_path / "train.py").write_text("pass", encoding="utf-8")
    model = Model(name="mine", package="", source=digest_of_source(tmp_path))
    (tmp_path / "train.py").write_text("other", encoding="utf-8")
    with pytest.raises(UsageError, match="have changed since the matrix was planned"):
        adopt(model, str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"higher": {"loss": "number"}, "lower": {"loss": "number"}}, "'loss' is in lower and in higher"),
        ({"outputs": ""}, "go together"),
        ({"higher": {}, "lower": {}}, "go together"),
        ({"outputs": "../out.json"}, "give a path in the folder"),
        ({"outputs": "/out.json"}, "give a path in the folder"),
    ],
)
def test_settings_that_cannot_be_are_told(spec, changes, said):
    settings = Settings(command=["train.py"], **{**NUMBERS, **changes})
    assert said in settings.problem(spec.train)


def test_the_script_has_to_be_in_the_folder(tmp_path):
    (tmp_path / "train.py").touch()
    assert Settings(command=["train.py"]).problem_in(tmp_path) is None
    assert Settings(command=["-m", "train"]).problem_in(tmp_path) is None
    assert "no file in" in Settings(command=["absent.py"]).problem_in(tmp_path)
    assert "no file in" in Settings(command=["../train.py"]).problem_in(tmp_path)
    assert "has no folder" in Settings(command=["train.py"]).problem_in(None)
