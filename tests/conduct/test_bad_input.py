"""Bad input of the command line, and of matrix.toml and policy.toml: one sentence and exit code 2 each, no traceback.

What each mistake is called is in the tests of what reads it; here it is that nothing ends otherwise.
"""

import pytest

from harness.conduct import locks
from harness.conduct.__main__ import main
from tests.project import Project

LONG = "x" * 5000

PLANS = [
    ["--profile"],
    ["--profile", ""],
    ["--profile", "Quick"],
    ["--profile", "../quick"],
    ["--profile", "quick", "smoke"],
    ["--pins"],
    ["--pins", ""],
    ["--pins", "latest"],
    ["--pins", "1.13"],
    ["--pins", "torch==1.13.1"],
    ["--pins", "1.13.1,1.12.1"],
    ["--pins", "v1.13.1"],
    ["--pins", "1.13.1-twin"],
    ["--pins", "A/A"],
    ["--pins", "1.13.1", "1.13.1"],
    ["--pins", "ambient", "ambient"],
    ["--pins", "2.9.0rc1"],
    ["--pins", "caf\udce9"],
    ["--case", "Train"],
    ["--case", "train", "train"],
    ["--case", ""],
    ["--rounds", "0"],
    ["--rounds", "-1"],
    ["--rounds", "2.5"],
    ["--rounds", "1e3"],
    ["--rounds", "٣"],
    ["--rounds", "1001"],
    ["--threads", "0"],
    ["--threads", "many"],
    ["--data", ""],
    ["--weights", ""],
    ["--weights", "/"],
    ["--weights", "/dev/null"],
    ["--weights", __file__, "--case", "fidelity"],
    ["--data", "/"],
    ["--data", "/dev/null"],
    ["--data", LONG],
    ["--data", "nowhere\x1b[31m.yaml"],
    ["--data", "no\nwhere.yaml"],
    ["--device", "CUDA:0"],
    ["--device", "cuda:-1"],
    ["--device", "cuda:0,1"],
    ["--device", "gpu"],
    ["--device", "cuda:0\n"],
    ["--name", ""],
    ["--name", "."],
    ["--name", ".."],
    ["--name", "a/b"],
    ["--name", "-x"],
    ["--name", "a\nb"],
    ["--fresh=yes"],
    ["--gates"],
    ["--pin", "1.13.1"],
    ["--pin\ns"],
    ["quick"],
    ["--proofs", "speed"],
    ["--proofs", "times", "--name", "a"],
    ["--machines", "cpu"],
    ["--jobs", "jobs.json"],
]

OTHERS = [
    [],
    ["measure"],
    ["--help-me"],
    ["build"],
    ["build", "latest"],
    ["build", "ambient"],
    ["build", "../1.13.1"],
    ["build", "1.13.1", "--fast"],
    ["run"],
    ["run", "results/nowhere"],
    ["run", "/dev/null"],
    ["run", "no\nwhere"],
    ["run", LONG],
    ["run", ""],
]

LOCKED = [[], [""], ["latest"], ["1.13"], ["1.11.0", "1.11"], ["--all"], ["ambient"], ["2.9.0-rc1"]]


def one_sentence(said):
    """Whether this, from standard error, is a sentence and nothing else."""
    assert "Traceback" not in said
    assert said.startswith("error: ")
    assert said.endswith("\n")
    assert said[:-1].isprintable(), said
    return True


@pytest.mark.parametrize("arguments", PLANS, ids=lambda words: " ".join(words)[:40])
def test_a_plan_that_is_asked_for_wrongly(arguments, capsys):
    assert main(["plan", "--device", "cpu", *arguments]) == 2
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("arguments", OTHERS, ids=lambda words: " ".join(words)[:40])
def test_another_program_that_is_called_wrongly(arguments, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert one_sentence(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", LOCKED, ids=" ".join)
def test_a_lock_that_is_asked_for_wrongly(arguments, capsys):
    assert locks.main(arguments) == 2
    assert one_sentence(capsys.readouterr().err)


def test_help_is_no_mistake(capsys):
    for arguments in (["plan", "--help"], ["run", "--help"], ["build", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
    assert "usage: nox -s matrix --" in capsys.readouterr().out


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def planned(project):
    """Make a plan with a file of the copy changed, which is as before afterwards."""
    whole = {}

    def plan(name, change):
        path = project.folder / "cases" / name
        whole[path] = path.read_bytes()
        path.unlink()
        change(path, whole[path].decode())
        return project.python("-m", "harness.conduct", "plan", "--profile", "smoke", "--device", "cpu")

    yield plan
    for path, content in whole.items():
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def instead(old, new):
    """Replace text, which must be there."""

    def change(path, text):
        assert old in text
        path.write_bytes(text.replace(old, new, 1).encode("utf-8", "surrogateescape"))

    return change


def put(content):
    return lambda path, _: path.write_bytes(content)


def add(text):
    return lambda path, before: path.write_text(f"{text}\n{before}", encoding="utf-8")


def append(text):
    return lambda path, before: path.write_text(f"{before}\n{text}\n", encoding="utf-8")


def leave_out(path, text):
    pass


def folder(path, text):
    path.mkdir()


FILES = [
    ("matrix.toml", "not there", leave_out),
    ("matrix.toml", "a folder", folder),
    ("matrix.toml", "empty", put(b"")),
    ("matrix.toml", "no text", put(b"\xff\xfe\x00")),
    ("matrix.toml", "with a zero byte", put(b"pins = 1\x00")),
    ("matrix.toml", "with a byte order mark", put(b"\xef\xbb\xbfpins = 1")),
    ("matrix.toml", "nested deeply", put(b"pins = " + b"[" * 5000)),
    ("matrix.toml", "pins that are no table", put(b"pins = 3")),
    ("matrix.toml", "an unknown key", add("speed = 1")),
    ("matrix.toml", "a table twice", append("[profiles.smoke]")),
    ("matrix.toml", "a pin that is no version", append('[pins.latest]\ntorchvision = "1"\npython = "3.9"')),
    ("matrix.toml", "a pin without Python", append('[pins."2.9.0rc1"]\ntorchvision = "0.24.0rc1"')),
    (
        "matrix.toml",
        "an environment of a bad name",
        append('[environments."../x"]\npython = "3.11"\nrequirements = ["x"]'),
    ),
    ("matrix.toml", "an environment of nothing", append('[environments.x]\npython = "3.11"\nrequirements = []')),
    ("matrix.toml", "an environment without Python", append('[environments.x]\nrequirements = ["x"]')),
    ("matrix.toml", "a profile that is no table", append("[profiles]\nmine = 3")),
    ("matrix.toml", "a profile like a list", append('[profiles.mine]\nlike = ["smoke"]')),
    ("matrix.toml", "a profile like a table", append('[profiles.mine]\nlike = { smoke = "smoke" }')),
    ("matrix.toml", "a profile like itself", append('[profiles.mine]\nlike = "mine"')),
    ("matrix.toml", "profiles like one another", append('[profiles.a]\nlike = "b"\n[profiles.b]\nlike = "a"')),
    ("matrix.toml", "a profile like none", append('[profiles.mine]\nlike = "fast"')),
    ("matrix.toml", "a profile of a case that is none", append('[profiles.mine]\nlike = "smoke"\ncases = ["tarin"]')),
    ("matrix.toml", "a profile without cases", append('[profiles.mine]\nlike = "smoke"\ncases = []')),
    ("matrix.toml", "cases that are numbers", append('[profiles.mine]\nlike = "smoke"\ncases = [1]')),
    ("matrix.toml", "more rounds than can be", append('[profiles.mine]\nlike = "smoke"\nrounds = 1000000000')),
    ("matrix.toml", "a number beyond all", append(f'[profiles.mine]\nlike = "smoke"\nrounds = 1{"0" * 400}')),
    ("matrix.toml", "a table of a case that is none", append('[profiles.mine]\nlike = "smoke"\nturns = 3')),
    ("matrix.toml", "what is said of no case", append('[profiles.mine]\nlike = "smoke"\nown = { soak = {} }')),
    ("matrix.toml", "own that is no table", append('[profiles.mine]\nlike = "smoke"\nown = [1]')),
    ("matrix.toml", "a model that is none", append('[profiles.mine]\nlike = "smoke"\nmodel = "resnet"')),
    ("matrix.toml", "a package that is not here", instead('"harness.cell.yolov9"', '"harness.cell.none"')),
    ("matrix.toml", "a package that is a path", instead('"harness.cell.yolov9"', '"../../etc"')),
    ("matrix.toml", "a date for a number", instead("rounds = 1\n", "rounds = 2026-01-01\n")),
    ("matrix.toml", "not a number", instead("learning_rate = 2e-3", "learning_rate = nan")),
    ("matrix.toml", "a proof of many copies", append('[proofs.mine]\nprofile = "smoke"\ncopies = 1000000000')),
    ("policy.toml", "not there", leave_out),
    ("policy.toml", "a folder", folder),
    ("policy.toml", "empty", put(b"")),
    ("policy.toml", "no text", put(b"\xff\xfe")),
    ("policy.toml", "nested deeply", put(b"metrics = " + b"[" * 5000)),
    ("policy.toml", "no TOML", put(b"error_rate: 0.05")),
    ("policy.toml", "metrics that are a list", instead("error_rate = 0.05", "metrics = []\nerror_rate = 0.05")),
    ("policy.toml", "an error rate that is a date", instead("error_rate = 0.05", "error_rate = 2026-01-01")),
    ("policy.toml", "a margin beyond all", instead("margin = 0.03", f"margin = 1{'0' * 400}")),
    ("policy.toml", "a baseline that is a table", instead('cpu = "1.10.0"', "cpu = { pin = 1 }")),
    ("policy.toml", "cases that are lists", instead('cases = ["train"]', "cases = [[]]")),
    ("policy.toml", "a required case that is none", instead('required = ["train"]', 'required = ["x", "\\n"]')),
]


@pytest.mark.parametrize(("name", "change"), [(name, change) for name, _, change in FILES],
                         ids=[f"{name} {what}" for name, what, _ in FILES])  # fmt: skip
def test_a_file_that_says_something_wrong(planned, name, change):
    outcome = planned(name, change)
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    assert one_sentence(outcome.stderr)
    assert name in outcome.stderr


@pytest.mark.parametrize("baseline", ["1.99.0", "", "ambient"])
def test_a_baseline_that_is_none_of_the_pins(planned, baseline):
    outcome = planned("policy.toml", instead('cpu = "1.10.0"', f'cpu = "{baseline}"'))
    assert outcome.returncode == 2
    assert one_sentence(outcome.stderr)
