import hashlib
import shutil

import pytest
from msgspec.structs import replace

from harness.conduct import environments, planning
from harness.conduct.arguments import parse
from harness.conduct.machine import Gpu
from harness.conduct.planning import PLAIN_LOOP, plan_proof
from harness.core import locks as core_locks
from harness.core.cases import read_case
from harness.core.errors import UsageError
from harness.core.faults import PLANTABLE, Fault
from harness.core.matrix import ModelEntry
from harness.core.spec import TWIN, Model


@pytest.fixture
def plan(matrix, policy, monkeypatch):
    """Make a plan from arguments, on a machine with the GPU that is named or without one; or that of a proof."""

    def make(*arguments, gpu=None, matrix=matrix, policy=policy, proof=None):
        found = Gpu("a GPU", gpu) if gpu else None

        def choose(asked):
            return ("cuda:0", found) if found and asked != "cpu" else ("cpu", None)

        monkeypatch.setattr(planning, "choose_device", choose)
        request = parse(arguments).request
        return plan_proof(proof, request, matrix, policy) if proof else planning.plan(request, matrix, policy)

    return make


def test_without_arguments_three_pins_run_the_quick_profile_on_the_cpu(plan):
    made = plan()
    assert (made.profile, made.name, made.machine) == ("quick", "quick", "cpu")
    assert [pin.name for pin in made.pins] == ["1.10.0", TWIN, "1.12.1", "1.13.1"]
    assert made.cases == ["train", "fidelity", "soak", "attribution", "audit"]
    assert len(made.runs) == 4 * sum(map(made.rounds_of, made.cases))
    assert {(run.device, run.threads, run.precision) for run in made.runs} == {("cpu", 1, "fp32")}


def test_a_round_gives_all_its_runs_one_seed_and_rounds_have_different_ones(plan):
    runs = plan("--rounds", "4").runs
    seeds = {(run.case, run.round): run.seed for run in runs}
    assert len({seed for (case, _), seed in seeds.items() if case == "train"}) == 4
    assert all(run.seed == seeds[run.case, run.round] for run in runs)


def test_the_trainings_of_a_round_take_turns_the_baseline_first_and_all_other_runs_are_alone(plan):
    groups = plan("--rounds", "2", "--pins", "1.13.1", "1.10.0").groups()
    together = [[run.pin.name for run in group] for group in groups if group[0].case == "train"]
    assert [(names[0], sorted(names)) for names in together] == [("1.13.1", ["1.10.0", "1.13.1", TWIN])] * 2
    assert {len(group) for group in groups if group[0].case in ("fidelity", "soak")} == {1}


def test_data_on_a_gpu_means_the_full_profile_with_mixed_precision(plan, tmp_path):
    (tmp_path / "data.yaml").touch()
    made = plan("--data", str(tmp_path / "data.yaml"), gpu="sm_70")
    assert made.profile == "full"
    assert {(run.device, run.precision) for run in made.runs} == {("cuda:0", "amp")}


def test_a_gpu_without_data_trains_at_the_size_and_precision_of_a_gpu(plan):
    made = plan(gpu="sm_70")
    assert (made.profile, made.cases) == ("gpu", ["train", "fidelity", "soak", "attribution", "audit"])
    assert {(run.device, run.precision, run.train.image_size) for run in made.runs} == {("cuda:0", "amp", 640)}
    assert {shapes.size for shapes in made.shapes.values()} == {640}


def test_the_profile_where_none_is_named_is_what_the_matrix_file_says(plan, matrix):
    changed = replace(matrix, defaults=replace(matrix.defaults, cpu="smoke"))
    assert plan(matrix=changed).profile == "smoke"


def test_a_proof_may_have_a_profile_of_its_own_on_a_gpu(plan, matrix):
    proof = matrix.proofs["instruments"]
    assert plan(proof="instruments").profile == proof.profile
    assert plan(proof="instruments", gpu="sm_70").profile == proof.gpu != proof.profile
    assert plan(proof="times", gpu="sm_70").profile == plan(proof="times").profile


def test_data_without_a_gpu_keeps_the_quick_profile(plan, tmp_path):
    (tmp_path / "data.yaml").touch()
    assert plan("--data", str(tmp_path / "data.yaml")).profile == "quick"


def test_the_set_of_pins_follows_the_gpu_and_the_reason_is_said(plan):
    made = plan(gpu="sm_70")
    assert made.machine == "pascal-to-turing"
    assert "sm_70" in made.reason


def test_a_gpu_that_no_set_of_pins_lists_is_refused_with_what_to_do(plan):
    with pytest.raises(UsageError, match=r"sm_120.*--pins"):
        plan(gpu="sm_120")


def test_pins_whose_build_has_no_lock_yet_say_how_to_make_it(plan):
    with pytest.raises(UsageError, match=r"nox -s lock -- 1\.10\.0\+cu113"):
        plan(gpu="sm_86")


def test_the_first_pin_named_comes_first_in_the_plan(plan):
    assert [pin.name for pin in plan("--pins", "1.13.1", "1.10.0").pins] == ["1.13.1", TWIN, "1.10.0"]


def test_the_ambient_pin_has_no_lock_and_no_versions(plan):
    pin, twin = plan("--pins", "ambient").pins
    assert (pin.lock, pin.torch) == (None, None)
    assert twin == replace(pin, name=TWIN)


@pytest.mark.parametrize("arguments", [(), ("--pins", "1.13.1"), ("--pins", "1.12.1", "1.10.0", "--case", "train")])
def test_the_second_pin_is_always_the_baseline_once_more_from_an_environment_of_its_own(plan, arguments):
    baseline, twin, *candidates = plan(*arguments).pins
    assert twin == replace(baseline, name=TWIN)
    assert twin.environment == f"{baseline.torch}-twin"
    assert TWIN not in [pin.name for pin in candidates]


def test_the_twins_specs_are_the_baselines_but_for_the_name_and_the_nudge(plan):
    runs = {(run.pin.name, run.case, run.round): run for run in plan("--rounds", "2").runs}
    for (pin, case, index), run in runs.items():
        if pin == TWIN:
            baseline = runs["1.10.0", case, index]
            assert (run.nudged, baseline.nudged) == (True, False)
            assert replace(run, pin=baseline.pin, nudged=False) == baseline


def test_nobody_but_the_twin_is_nudged(plan):
    assert {run.pin.name for run in plan("--case", "train", "resume", "--profile", "stability").runs if run.nudged} == {
        TWIN
    }


def test_only_runs_of_a_case_carry_its_settings(plan, matrix):
    told = matrix.profiles["quick"].told
    made = plan("--profile", "stability", "--case", "train", "converge", "soak")
    soak = matrix.profiles["stability"].told["soak"]
    assert {run.case: run.settings for run in made.runs} == {"train": told["train"], "converge": None, "soak": soak}


def test_the_policy_says_which_pin_is_the_baseline_of_the_machine(plan, policy):
    made = plan(policy=replace(policy, baseline={**policy.baseline, "cpu": "1.12.1"}))
    assert [pin.name for pin in made.pins] == ["1.12.1", TWIN, "1.10.0", "1.13.1"]


@pytest.mark.parametrize("baseline", [{}, {"cpu": "1.11.0"}, {"hopper": "1.10.0"}])
def test_a_policy_whose_baseline_is_none_of_the_machines_pins_is_refused_with_those_there_are(plan, policy, baseline):
    with pytest.raises(UsageError, match=r"policy\.toml: \[baseline\] has cpu = .*1\.10\.0, 1\.12\.1, 1\.13\.1"):
        plan(policy=replace(policy, baseline=baseline))


def test_pins_that_are_named_need_no_baseline_in_the_policy(plan, policy):
    made = plan("--pins", "1.13.1", "1.10.0", policy=replace(policy, baseline={}))
    assert made.pins[0].name == "1.13.1"


def test_a_profile_without_a_cases_settings_cannot_have_the_case_and_the_table_is_named(plan, matrix):
    profile = replace(matrix.profiles["smoke"], told={})
    without = replace(matrix, profiles={**matrix.profiles, "smoke": profile})
    with pytest.raises(UsageError, match=r"'smoke' has no \[profiles\.smoke\.turns\], which the case needs"):
        plan("--profile", "smoke", matrix=without)
    assert plan("--profile", "smoke", "--case", "converge", matrix=without).cases == ["converge"]


@pytest.mark.parametrize(
    "arguments",
    [(), ("--profile", "prove-health"), ("--name", "proofs"), ("--pins", "1.13.1"), ("--fresh",), ("--gate",)],
)
def test_no_argument_plants_a_fault_in_an_ordinary_plan(plan, arguments):
    made = plan(*arguments)
    assert not made.calibrates
    assert {(run.fault, run.instruments) for run in made.runs} == {(None, True)}


def test_the_copies_of_a_proof_differ_from_the_baseline_by_one_fault_each_and_it_alone(plan):
    made = plan(proof="health")
    assert made.calibrates
    assert made.name == "proofs/health"
    assert [pin.name for pin in made.pins] == ["1.10.0", TWIN, "memory", "nan-gradient", "dead-branch"]
    runs = {(run.pin.name, run.round): run for run in made.runs}
    sizes = {"memory": 0.05, "nan-gradient": 5.0, "dead-branch": 0.0}
    for (pin, index), run in runs.items():
        assert run.fault == (Fault(kind=pin, size=sizes[pin]) if pin in sizes else None)
        assert run.nudged == (pin == TWIN)
        assert replace(run, pin=made.pins[0], fault=None, nudged=False) == runs["1.10.0", index]


def test_the_copies_of_a_proof_run_in_the_baselines_environment(plan):
    environments = [pin.environment for pin in plan(proof="health").pins]
    assert environments == ["1.10.0", "1.10.0-twin", *["1.10.0"] * 3]


def test_the_proof_of_the_instruments_has_one_copy_without_them_and_no_fault(plan):
    made = plan(proof="instruments")
    assert not made.calibrates
    assert {run.pin.name for run in made.runs if not run.instruments} == {PLAIN_LOOP}
    assert {run.fault for run in made.runs} == {None}


def test_the_proof_of_the_seats_has_copies_that_differ_in_nothing(plan):
    made = plan(proof="seats")
    runs = {(run.pin.name, run.round): run for run in made.runs}
    assert made.rounds > 1
    copies = [pin for pin in made.pins if pin.name not in ("1.10.0", TWIN)]
    assert len(copies) == 2
    for copy in copies:
        assert copy.environment == "1.10.0"
        assert all(
            replace(runs[copy.name, index], pin=made.pins[0]) == runs["1.10.0", index] for index in range(made.rounds)
        )


def test_every_kind_of_fault_is_planted_by_some_proof(plan, matrix):
    kinds = {run.fault.kind for name in matrix.proofs for run in plan(proof=name).runs if run.fault}
    assert kinds == set(PLANTABLE)


def test_a_proof_has_the_policys_baseline(plan, policy):
    made = plan(proof="times", policy=replace(policy, baseline={"cpu": "1.13.1"}))
    assert {pin.torch for pin in made.pins} == {"1.13.1"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pins", "9.9.9"], r"Pin '9\.9\.9' has no lock.*nox -s lock -- 9\.9\.9"),
        (["--pins", "1.10.0", "1.10.0"], "twice"),
        (["--case", "tain"], "no case 'tain'.*train"),
        (["--case", "../harness/core/spec"], "no case '../harness/core/spec'"),
        (["--data", "."], "is not a file"),
        (["--profile", "fast"], "no profile 'fast'.*quick"),
        (["--data", "nowhere.yaml"], r"nowhere\.yaml is not a file"),
        (["--weights", "nowhere.pt"], r"nowhere\.pt is not a file"),
        (["--weights", __file__, "--case", "soak"], "used by none of the cases soak"),
    ],
)
def test_a_name_that_is_not_known_gives_a_sentence_with_those_that_are(plan, arguments, said):
    with pytest.raises(UsageError, match=said):
        plan(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--rounds", "1" * 30],
        ["--threads", "99999"],
        ["--threads", "two"],
        ["--name", "../up"],
        ["--data", "caf\udce9.yaml"],
        ["--prof", "quick"],
        ["extra"],
    ],
)
def test_wrong_usage_is_refused_with_where_to_look(arguments):
    with pytest.raises(UsageError, match="nox -s matrix -- --help"):
        parse(arguments)


def test_the_stability_profile_has_every_case_of_its_own_with_its_settings(plan, matrix):
    made = plan("--profile", "stability")
    assert made.cases == ["soak", "converge", "broken-images", "batch-change", "resume", "two-process", "device"]
    told = {run.case: run.settings for run in made.runs}
    assert told == {case: matrix.profiles["stability"].told.get(case) for case in made.cases}
    assert all(run.settings_as(read_case(run.case).settings) for run in made.runs if run.case != "converge")


@pytest.mark.parametrize(
    ("cases", "profile"), [(["resume"], "stability"), (["train", "converge"], "stability"), (["soak"], "quick")]
)
def test_a_case_that_the_usual_profile_does_not_have_takes_one_that_has_it_where_none_is_named(plan, cases, profile):
    assert plan("--case", *cases).profile == profile
    with_profile = plan("--case", *cases, "--profile", "stability")
    assert with_profile.profile == "stability"


def test_of_several_profiles_that_have_a_case_the_first_in_the_file_is_taken(plan, matrix):
    first = {"mine": replace(matrix.profiles["stability"], rounds=1), **matrix.profiles}
    assert plan("--case", "resume", matrix=replace(matrix, profiles=first)).profile == "mine"
    last = {**matrix.profiles, "mine": first["mine"]}
    assert plan("--case", "resume", matrix=replace(matrix, profiles=last)).profile == "stability"


def test_every_run_names_the_model_of_the_profile_and_the_package_that_has_it(plan, matrix):
    assert {run.model for run in plan().runs} == {Model("yolov9-s", matrix.models["yolov9-s"].package)}
    other = {"other": ModelEntry(package="harness.cell.data")}
    models, quick = {**matrix.models, **other}, replace(matrix.profiles["quick"], model="other")
    changed = replace(matrix, models=models, profiles={**matrix.profiles, "quick": quick})
    assert {run.model.name for run in plan(matrix=changed).runs} == {"other"}
    assert {run.identity() for run in plan(matrix=changed).runs}.isdisjoint(run.identity() for run in plan().runs)


def test_a_model_whose_package_is_not_there_is_refused_by_name(plan, matrix):
    models = {"yolov9-s": ModelEntry(package="harness.cell.no_such_model")}
    with pytest.raises(UsageError, match=r"\[models\.yolov9-s\] names the package harness\.cell\.no_such_model"):
        plan(matrix=replace(matrix, models=models))


SCRIPT = {"command": ["train.py"], "outputs": "out.json", "lower": {"loss": "number"}}


@pytest.fixture
def with_script(matrix, tmp_path):
    """The matrix file with a folder of the user's, that has a script, and a profile that runs it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.py").write_text("pass", encoding="utf-8")

    def make(told=SCRIPT, **entry):
        models = {**matrix.models, "mine": ModelEntry(**{"path": str(folder), **entry})}
        profile = replace(matrix.profiles["script"], model="mine", told={"script": told})
        return replace(matrix, models=models, profiles={**matrix.profiles, "mine": profile})

    make.folder = folder
    return make


def test_a_changed_file_of_the_users_makes_records_stale_and_a_folder_that_is_moved_does_not(plan, with_script):
    before = plan("--profile", "mine", matrix=with_script())
    assert before.source == str(with_script.folder)
    moved = with_script.folder.rename(with_script.folder.with_name("moved"))
    after = plan("--profile", "mine", matrix=with_script(path=str(moved)))
    assert [run.identity() for run in after.runs] == [run.identity() for run in before.runs]
    (moved / "train.py").write_text("other", encoding="utf-8")
    changed = plan("--profile", "mine", matrix=with_script(path=str(moved)))
    assert {run.identity() for run in changed.runs}.isdisjoint(run.identity() for run in before.runs)


def test_a_model_that_is_named_takes_the_place_of_the_profiles_and_has_results_of_its_own(plan, with_script):
    matrix = with_script(package="train")
    made = plan("--profile", "smoke", "--model", "mine", matrix=matrix)
    assert {run.model.name for run in made.runs} == {"mine"}
    assert (made.name, made.source) == ("smoke-mine", str(with_script.folder))
    assert plan("--profile", "smoke", matrix=matrix).source is None
    with pytest.raises(UsageError, match=r"no model 'other': \[models\.\*\]"):
        plan("--model", "other")


def test_a_model_may_have_a_recipe_of_its_own(plan, matrix):
    entry = replace(matrix.models["yolov9-s"], recipe="reference")
    (recipe,) = {run.train.recipe for run in plan(matrix=replace(matrix, models={"yolov9-s": entry})).runs}
    assert recipe == "reference" != matrix.profiles["quick"].train.recipe


@pytest.mark.parametrize(
    ("told", "entry", "said"),
    [
        (SCRIPT, {"path": "/nowhere"}, r"\[models\.mine\] names the path /nowhere, which is no folder here"),
        (SCRIPT, {"package": "absent"}, r"names the package absent, which is not here"),
        ({"command": ["absent.py"]}, {}, r"\[profiles\.mine\.script\]: the command begins with 'absent\.py'"),
        (SCRIPT, {"path": "", "package": "harness.cell.yolov9"}, "the model has no folder with a script"),
        (SCRIPT, {"requirements": ["six"]}, r"no lock with them: make it with `nox -s lock -- 1\.10\.0 --model mine`"),
    ],
)
def test_what_cannot_be_used_of_a_users_folder_is_told(plan, with_script, told, entry, said):
    with pytest.raises(UsageError, match=said):
        plan("--profile", "mine", matrix=with_script(told, **entry))


def test_a_package_of_the_users_folder_is_found_there(plan, with_script):
    made = plan("--profile", "mine", matrix=with_script(package="train"))
    assert {run.model.package for run in made.runs} == {"train"}


def test_a_model_with_requirements_has_pins_with_locks_and_environments_of_their_own(
    plan, with_script, tmp_path, monkeypatch
):
    locks = tmp_path / "locks"
    shutil.copytree(core_locks.LOCKS, locks)
    for pin in ("1.10.0", "1.13.1"):
        (locks / f"{pin}-mine.txt").write_text("six==1.0", encoding="utf-8")
    monkeypatch.setattr(core_locks, "LOCKS", locks)
    matrix = with_script(requirements=["six"])
    made = plan("--profile", "mine", "--pins", "1.10.0", "1.13.1", matrix=matrix)
    assert [pin.environment for pin in made.pins] == ["1.10.0-mine", "1.10.0-mine-twin", "1.13.1-mine"]
    assert [pin.name for pin in made.pins] == ["1.10.0", TWIN, "1.13.1"]
    assert {pin.lock for pin in made.pins} == {hashlib.sha256(b"six==1.0").hexdigest()}
    assert environments.locked("1.10.0-mine-twin", matrix) == made.pins[0]


def test_what_a_profile_says_of_one_case_holds_for_it_alone(plan, matrix):
    made = plan("--profile", "stability")
    own = matrix.profiles["stability"].own
    epochs = {run.case: run.train.epochs for run in made.runs}
    assert epochs["soak"] == own["soak"].train.epochs != epochs["converge"] == epochs["resume"]
    assert made.shapes["soak"] == own["soak"].shapes != made.shapes["resume"]
    assert made.rounds_of("converge") == own["converge"].rounds > made.rounds_of("resume")


def test_rounds_that_are_asked_for_hold_for_every_case(plan):
    made = plan("--profile", "stability", "--rounds", "1")
    assert {made.rounds_of(case) for case in made.cases} == {1}


def test_the_runs_of_resume_may_call_on_every_pin_and_no_other_run_on_any(plan):
    runs = plan("--profile", "stability").runs
    peers = {run.case: {peer.name for peer in run.peers} for run in runs}
    assert peers.pop("resume") == {"1.10.0", "1.12.1", "1.13.1"}
    assert set(map(len, peers.values())) == {0}


@pytest.mark.parametrize(("arguments", "wanted"), [((), ["cuda:0", "cpu"]), (("--device", "cuda:0"), ["cuda:0"])])
def test_a_device_that_is_named_is_the_only_one_that_the_case_device_may_use(plan, arguments, wanted):
    made = plan("--profile", "stability", "--case", "device", *arguments, gpu="sm_70")
    assert {tuple(run.settings["wanted"]) for run in made.runs} == {tuple(wanted)}
    assert {run.device for run in made.runs} == {"cuda:0"}


def test_each_kind_of_scene_has_a_profile_that_trains_on_it(plan, matrix):
    scenes = {matrix.profiles[name].shapes.scene for name in matrix.profiles}
    assert scenes == {"plain", "few-large", "many-small", "crowded", "low-light", "mostly-empty"}
    for scene in scenes - {"plain"}:
        made = plan("--profile", scene)
        assert (made.cases, made.shapes["train"].scene) == (["train"], scene)


def test_a_run_of_a_case_that_calls_on_a_helper_has_the_digest_of_its_lock(plan, matrix):
    made = plan("--case", "export")
    (helper,) = made.helpers()
    assert helper == planning.read_helper("onnx", matrix)
    assert helper.lock == hashlib.sha256(core_locks.lock_of("onnx").read_bytes()).hexdigest()
    assert all(run.helpers == [helper] for run in made.runs)
    assert [one.name for one in made.environments()] == ["1.10.0", TWIN, "1.12.1", "1.13.1", "onnx"]


def test_a_changed_lock_of_a_helper_makes_the_records_of_its_case_stale_and_no_others(plan, monkeypatch):
    before = plan("--case", "export", "train")
    monkeypatch.setattr(planning, "digest_of_lock", lambda name: "another")
    pins = {run.case: run.pin for run in before.runs}
    after = plan("--case", "export", "train")
    same = {
        run.case: run.identity() == replace(other, pin=run.pin).identity()
        for run, other in zip(before.runs, after.runs)
        if run.pin == pins[run.case]
    }
    assert same == {"export": False, "train": True}


def test_no_other_case_needs_a_helper(plan):
    assert plan().helpers() == plan("--profile", "stability").helpers() == []


def test_a_helper_that_matrix_toml_does_not_have_is_refused_with_those_it_has(plan, matrix):
    with pytest.raises(UsageError, match=r"no environment 'onnx': \[environments\.\*\] of .*matrix\.toml has other"):
        plan("--case", "export", matrix=replace(matrix, environments={"other": matrix.environments["onnx"]}))


def test_a_helper_without_a_lock_says_how_to_make_one(plan, tmp_path, monkeypatch):
    locks = tmp_path / "locks"
    shutil.copytree(core_locks.LOCKS, locks)
    (locks / "onnx.txt").unlink()
    monkeypatch.setattr(core_locks, "LOCKS", locks)
    with pytest.raises(UsageError, match="'onnx' has no lock: make one with `nox -s lock -- onnx`"):
        plan("--case", "export")
