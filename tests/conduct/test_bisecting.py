"""`python -m harness.conduct bisect|ready`: what a search is asked for, the releases of an index of the test's own, and
what is made ready."""

import json
import shutil

import msgspec
import pytest

from harness.core.cases import read_case
from harness.core.plan import ASKED_FILE, read_plan
from harness.core.search import SEARCH_FILE, Wanted, read_search, read_skipped, read_twice
from tests.project import Project, wheel

RELEASES = ["1.10.0", "1.10.1", "1.11.0", "1.12.1", "1.13.1"]
PROBE = read_case("probes").fingerprints[0].name
TORCHVISIONS = {"1.10.1": "0.11.2", "1.11.0": "0.12.0"}


@pytest.fixture
def project(tmp_path):
    """A copy of the project that finds nothing but the wheels of the test, among them pre-releases and builds."""
    return project_in(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same, for tests that begin nothing."""
    return project_in(tmp_path_factory.mktemp("shared"))


def project_in(tmp_path):
    copy = Project(tmp_path / "project")
    copy.require_nothing(until="# --- environments")
    wheels = tmp_path / "wheels"
    for version in [*RELEASES, "1.12.0rc3", "1.13.1+cpu", "1.9.0", "2.0.0"]:
        wheel(wheels, "torch", version)
    for torch, version in TORCHVISIONS.items():
        wheel(wheels, "torchvision", version, [f"torch=={torch}"])
    wheel(wheels, "setuptools", "69.0.0")
    only_these = {"UV_FIND_LINKS": str(wheels), "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache")}

    def conduct(*arguments):
        return copy.python("-m", "harness.conduct", *arguments, **only_these)

    copy.conduct = conduct
    copy.bisect = lambda *arguments: conduct("bisect", *arguments)
    return copy


def begun(project, *arguments):
    outcome = project.bisect("--metric", "peak_rss", "--from", "1.10.0", "--to", "1.13.1", *arguments)
    assert outcome.returncode == 0, outcome.stderr
    return project.folder / "results" / "bisect" / "peak_rss-1.10.0-1.13.1"


def test_a_search_knows_the_releases_between_its_ends_in_order_and_no_early_ones_or_builds(project):
    search = read_search(begun(project))
    assert search.releases == RELEASES
    assert (search.what, search.kind, search.case, search.profile) == ("peak_rss", "metric", "train", "smoke")
    assert search.every is False


def test_it_says_in_which_folder_it_is(project, tmp_path):
    begun(project, "--handoff", str(tmp_path / "handoff.json"))
    said = json.loads((tmp_path / "handoff.json").read_text(encoding="utf-8"))
    assert said == {"results": "results/bisect/peak_rss-1.10.0-1.13.1"}


def test_begun_again_it_keeps_the_releases_that_it_had_and_tries_anew_what_could_not_be_had(project):
    folder = begun(project)
    (folder / "skipped.json").write_text('{"1.11.0": "no wheel"}', encoding="utf-8")
    (folder / "twice.json").write_text('["ends"]', encoding="utf-8")
    shutil.rmtree(project.folder.parent / "wheels")
    assert read_search(begun(project)).releases == RELEASES
    assert read_skipped(folder) == {}
    assert read_twice(folder) == []


def test_a_folder_that_has_another_search_is_refused(project):
    begun(project)
    ends = ("--from", "1.10.0", "--to", "1.13.1")
    outcome = project.bisect("--metric", "step_time", *ends, "--name", "peak_rss-1.10.0-1.13.1")
    assert outcome.returncode == 2
    assert "holds another search (peak_rss of train from 1.10.0 to 1.13.1" in outcome.stderr


def asked(what="peak_rss", first="1.10.0", last="1.13.1", *more):
    return ["--metric", what, "--from", first, "--to", last, *more]


def asked_check(name):
    return ["--check", name, "--from", "1.10.0", "--to", "1.13.1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (asked("peak_rs"), "Near to it: peak_rss"),
        (asked("rubbish"), "error: No case declares a metric, check, "),
        ([*asked(), "--case", "export"], "The case export declares no"),
        ([*asked(), "--case", "rubbish"], "There is no case 'rubbish'"),
        ([*asked(), "--profile", "rubbish"], "no profile 'rubbish'"),
        (asked(first="1.13.1", last="1.10.0"), "name the older release first"),
        (asked(last="1.10.0"), "name the older release first"),
        (asked(first="1.10.2"), "--from 1.10.2: the index has no such release"),
        (asked(last="1.13.9"), "--to 1.13.9: the index has no such release"),
        (asked(last="1.10.1"), "no release between 1.10.0 and 1.10.1"),
        (asked(first="old"), "'old' is not a torch version"),
        (asked(last="1.12.0rc3"), "1.12.0rc3 is no release"),
        ([*asked("peak_allocated"), "--device", "cpu"], "not measured by train"),
        (asked("map50_spread"), "search by map50"),
        (asked("network_time"), "name one of them: network_time["),
        (asked_check("unmixt"), "Near to it: unmixed"),
        (asked_check("state"), "state is told by part: name one, state:PART"),
        (asked_check("unmixed:1.10.0"), "unmixed is told as a whole: leave out :1.10.0"),
        (asked_check("state:1.11.0"), "name state:1.10.0 or state:1.13.1"),
        (asked_check("exchanged:1.11.0"), "name exchanged:1.10.0 or exchanged:1.13.1"),
        (asked_check("seeds_end_alike"), "search by map50_spread"),
        ([*asked_check("leak_host"), "--device", "cpu"], "leak_host is not made by soak on cpu"),
        ([*asked_check("drift"), "--device", "cpu"], "drift is not made by soak on cpu with the settings of that"),
        (asked()[:4], "the following arguments are required: --to"),
    ],
)
def test_bad_input_is_one_sentence_that_says_what_and_exit_code_2(shared, arguments, said):
    outcome = shared.bisect(*arguments)
    assert outcome.returncode == 2
    assert said in outcome.stderr
    assert outcome.stderr.startswith("error: ")
    assert "Traceback" not in outcome.stderr


def test_what_is_not_known_is_answered_with_all_that_is_by_case(shared):
    said = shared.bisect("--metric", "rubbish", "--from", "1.10.0", "--to", "1.13.1").stderr
    lines = {line.strip().partition(":")[0]: line for line in said.splitlines()[1:]}
    assert "peak_rss" in lines["train"]
    assert "first_losses" in lines["train"]
    assert {"probes", "soak", "resume"} <= set(lines)


@pytest.mark.parametrize(
    ("option", "name", "case", "kind", "every"),
    [
        ("--fingerprint", "first_losses", "train", "fingerprint", True),
        ("--probe", PROBE, "probes", "fingerprint", True),
        ("--metric", "step_time", "train", "metric", False),
        ("--check", "unmixed", "audit", "check", True),
        ("--check", "state_weights_only:1.10.0", "checkpoints", "check", True),
    ],
)
def test_the_case_and_the_kind_follow_from_the_name(shared, option, name, case, kind, every):
    outcome = shared.bisect(option, name, "--from", "1.10.0", "--to", "1.13.1")
    assert outcome.returncode == 0, outcome.stderr
    search = read_search(shared.folder / "results" / "bisect" / f"{name.replace(':', '-')}-1.10.0-1.13.1")
    assert (search.case, search.kind, search.every) == (case, kind, every)


# --- what is made ready -------------------------------------------------------------------------------------------


@pytest.fixture
def with_environments(project):
    """Environments that are what their locks say, whatever these are: uv and the check only say that all is well."""
    path = project.folder / "harness" / "conduct" / "environments.py"
    text = path.read_text(encoding="utf-8")
    start = text.index("def install(")
    end = text.index("def call(")
    made = (
        "def install(environment, wanted):\n"
        "    path = FOLDER / f'pin-{environment}' / 'bin' / 'python'\n"
        "    path.parent.mkdir(parents=True, exist_ok=True)\n"
        "    path.write_text('#!/bin/sh\\nexit 0\\n')\n    path.chmod(0o755)\n    return path\n\n\n"
    )
    path.write_text(text[:start] + made + text[end:], encoding="utf-8")
    return project


def ready(project, folder, wanted, tmp_path):
    (tmp_path / "wanted.json").write_bytes(msgspec.json.encode(wanted))
    left = tmp_path / "ready.json"
    left.unlink(missing_ok=True)
    relative = str(folder.relative_to(project.folder))
    outcome = project.conduct("ready", relative, str(tmp_path / "wanted.json"), "--handoff", str(left))
    return outcome, json.loads(left.read_text(encoding="utf-8")) if left.exists() else None


def files_of(folder):
    """The files in a folder, but what Python compiles there."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    return {path: path.read_bytes() for path in found}


def test_the_lock_of_a_release_is_made_and_kept_and_the_projects_own_files_stay_as_they_are(
    with_environments, tmp_path
):
    folder = begun(with_environments)
    before = files_of(with_environments.folder / "cases")
    wanted = Wanted("1.11.0", ["1.10.0", "1.11.0", "1.13.1"], 1)
    outcome, left = ready(with_environments, folder, wanted, tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert left == {"results": "results/bisect/peak_rss-1.10.0-1.13.1/1.11.0"}
    lock = with_environments.folder / ".cache" / "locks" / "1.11.0.txt"
    assert "torchvision==0.12.0" in lock.read_text(encoding="utf-8")
    plan = read_plan(with_environments.folder / left["results"] / ASKED_FILE)
    assert [pin.name for pin in plan.pins] == ["1.10.0", "A/A", "1.11.0", "1.13.1"]
    assert (plan.cases, plan.rounds, plan.profile) == (["train"], 1, "smoke")
    assert plan.pins[2].torchvision == "0.12.0"
    assert files_of(with_environments.folder / "cases") == before


def test_a_lock_that_was_kept_is_made_anew_when_what_is_installed_beside_torch_changes(with_environments, tmp_path):
    folder = begun(with_environments)
    wanted = Wanted("1.11.0", ["1.10.0", "1.11.0", "1.13.1"], 1)
    ready(with_environments, folder, wanted, tmp_path)
    lock = with_environments.folder / ".cache" / "locks" / "1.11.0.txt"
    assert "numpy" not in lock.read_text(encoding="utf-8")
    wheel(tmp_path / "wheels", "numpy", "1.0")
    with_environments.change("cases/matrix.toml", "requirements = []", 'requirements = ["numpy==1.0"]')
    ready(with_environments, folder, wanted, tmp_path)
    assert "numpy==1.0" in lock.read_text(encoding="utf-8")


def test_a_release_that_cannot_be_had_is_noted_with_the_reason_and_nothing_is_run(with_environments, tmp_path):
    folder = begun(with_environments)
    (tmp_path / "wheels" / "torchvision-0.11.2-py3-none-any.whl").unlink()
    outcome, left = ready(with_environments, folder, Wanted("1.10.1", ["1.10.0", "1.10.1", "1.13.1"], 1), tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert left is None
    assert read_skipped(folder)["1.10.1"].startswith("No lock for torch 1.10.1 could be made.")


def test_of_all_releases_at_once_those_are_run_that_can_be_had(with_environments, tmp_path):
    folder = begun(with_environments)
    (tmp_path / "wheels" / "torchvision-0.11.2-py3-none-any.whl").unlink()
    outcome, left = ready(with_environments, folder, Wanted("every", RELEASES, 0), tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    plan = read_plan(with_environments.folder / left["results"] / ASKED_FILE)
    assert [pin.name for pin in plan.pins] == ["1.10.0", "A/A", "1.11.0", "1.12.1", "1.13.1"]


def test_where_what_failed_is_done_a_second_time_is_kept_and_the_plan_is_the_same(with_environments, tmp_path):
    folder = begun(with_environments)
    wanted = Wanted("1.11.0", ["1.10.0", "1.11.0", "1.13.1"], 1)
    _, left = ready(with_environments, folder, wanted, tmp_path)
    plan = read_plan(with_environments.folder / left["results"] / ASKED_FILE)
    assert read_twice(folder) == []
    again = msgspec.structs.replace(wanted, again=True)
    outcome, _ = ready(with_environments, folder, again, tmp_path)
    assert f"What failed in {left['results']} is done a second time." in outcome.stdout
    assert read_twice(folder) == ["1.11.0"]
    assert read_plan(with_environments.folder / left["results"] / ASKED_FILE) == plan


def test_a_broken_file_of_a_search_is_one_sentence(project):
    folder = begun(project)
    (folder / SEARCH_FILE).write_text("{", encoding="utf-8")
    outcome = project.bisect("--metric", "peak_rss", "--from", "1.10.0", "--to", "1.13.1")
    assert outcome.returncode == 2
    assert "search.json cannot be used" in outcome.stderr
