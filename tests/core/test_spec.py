import msgspec
import pytest

from harness.core.declaration import Case
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.files import ROOT
from harness.core.matrix import read_matrix, table_of
from harness.core.settings import CaseSettings
from harness.core.spec import AMBIENT, TWIN, Data, Model, Pin

MATRIX = ROOT / "cases" / "matrix.toml"


def test_the_matrix_file_names_the_three_pins_with_their_torchvision():
    pins = read_matrix(MATRIX).pins
    assert {name: pins[name].torchvision for name in ("1.10.0", "1.12.1", "1.13.1")} == {
        "1.10.0": "0.11.1",
        "1.12.1": "0.13.1",
        "1.13.1": "0.14.1",
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('torchvision = "0.13.1"', 'torchvison = "0.13.1"', "torchvison"),
        ("rounds = 3", 'rounds = "three"', "rounds"),
        ("rounds = 3", "rounds = 0", "`$.profiles.quick.rounds`"),
        ('recipe = "short"', 'recipe = "shrt"', "shrt"),
        ("epochs = 4", "epochs = 4\nepocs = 4", "epocs"),
        ("batch = 8", "batch = = 8", "not valid TOML"),
        ('python = "3.9"', 'python = "3"', "python"),
        ('[pins."1.12.1"]', '[pins."../1.12.1"]', "../1.12.1"),
        ("learning_rate = 0.01", "learning_rate = inf", "learning_rate"),
        ('pins = ["1.10.0", "1.12.1", "1.13.1"]', 'pins = ["1.10.0", "1.99.0"]', "1.99.0"),
        ("image_size = 64", "image_size = 65", "image_size"),
        ("faults = { slow = 0.05 }", "faults = { slwo = 0.05 }", "slwo"),
        ("faults = { slow = 0.05 }", 'faults = { slow = "5 %" }', "proofs"),
        ("faults = { slow = 0.05 }", "faults = { slow = -0.05 }", "proofs"),
        ("faults = { slow = 0.05 }", "fault = { slow = 0.05 }", "`fault`"),
        ('profile = "prove-times"', 'profile = "prove-speed"', "prove-speed"),
        (
            'gpu = "prove-instruments-on-gpu"',
            'gpu = "prove-speed"',
            "names the profile 'prove-speed'",
        ),
        ('gpu_with_data = "full"', 'gpu_with_data = "fll"', "[defaults] names the profile 'fll'"),
        ('cpu_with_data = "quick"\n', "", "cpu_with_data"),
        ("plain_loop = true", "plain_loop = 1", "plain_loop"),
        ("steps = 1\nepochs = 1", "steps = 0\nepochs = 1", "[profiles.smoke.turns]"),
        ("steps = 1\nepochs = 1", "steps = 1\nepochs = 1\nlaps = 6", "`laps`"),
        ("steps = 1\nepochs = 1", "steps = 1", "[profiles.smoke.turns]: Object missing required field `epochs`"),
        ("[profiles.smoke.turns]", "[profiles.smoke.truns]", "`truns`"),
        ("[profiles.quick.soak]", "[profiles.quick.saok]", "`saok`"),
        ("limit_hours = 1.5", "limit_hours = 1.0", "[profiles.stability.soak]"),
        ("sizes = [32, 64, 96]", "sizes = [64, 32]", "its sizes 64, 32 are not rising"),
        ("batches = [1, 16]", "batches = [4, 4]", "its batches 4, 4 are not rising"),
    ],
)
def test_a_mistake_in_the_matrix_file_is_named_with_file_and_key(tmp_path, old, new, said):
    path = tmp_path / "matrix.toml"
    path.write_text(MATRIX.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as problem:
        read_matrix(path)
    assert str(path) in str(problem.value)
    assert said in str(problem.value)


@pytest.mark.parametrize(
    ("name", "table", "said"),
    [
        ("mine", 'recipe = "short"', "[models.mine] has neither a package nor a path"),
        ("mine", 'path = "x"\nrecipe = "none"', "[models.mine] names the recipe 'none'; known are: reference, short"),
        ("My_Net", 'path = "x"\nrequirements = ["six"]', "[models.My_Net] has requirements, so its name"),
        ("twin", 'path = "x"\nrequirements = ["six"]', "without 'twin' at the end"),
        ("mine", 'path = "x"\npackage = "a b"', "models.mine.package"),
        ("mine", 'path = "x"\nscript = "train.py"', "`script`"),
    ],
)
def test_a_mistake_in_the_table_of_a_model_is_named(tmp_path, name, table, said):
    path = tmp_path / "matrix.toml"
    text = MATRIX.read_text(encoding="utf-8")
    path.write_text(text.replace("# --- recipes", f"[models.{name}]\n{table}\n\n# --- recipes", 1), encoding="utf-8")
    with pytest.raises(UsageError) as problem:
        read_matrix(path)
    assert said in str(problem.value)


def test_a_matrix_file_without_pins_for_the_cpu_is_refused(tmp_path):
    path = tmp_path / "matrix.toml"
    path.write_text(MATRIX.read_text(encoding="utf-8").replace("[machines.cpu]", "[machines.gpu]"), encoding="utf-8")
    with pytest.raises(UsageError, match="names no architectures"):
        read_matrix(path)


def test_a_matrix_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        read_matrix(tmp_path / "nowhere.toml")


def test_the_identity_changes_with_anything_that_changes_the_measurement(spec):
    def other(**fields):
        return msgspec.structs.replace(spec, **fields).identity()

    assert spec.identity() == other()
    changed = [
        other(seed=7),
        other(threads=2),
        other(model=Model(name="other", package="harness.cell.yolov9")),
        other(settings={"steps": 2}),
        other(harness="other code"),
        other(pin=msgspec.structs.replace(spec.pin, lock="other lock")),
        other(data=Data(name="shapes", digest="other data")),
        other(recipe=msgspec.structs.replace(spec.recipe, clip_norm=1.0)),
        other(pin=msgspec.structs.replace(spec.pin, name=TWIN)),
        other(instruments=False),
        other(fault=Fault(kind="slow", size=0.05)),
        other(fault=Fault(kind="slow", size=0.04)),
    ]
    assert len({spec.identity(), *changed}) == len(changed) + 1


def test_the_identity_depends_on_the_pins_that_a_run_may_call_on(spec):
    other = msgspec.structs.replace(spec.pin, name="1.12.1", lock="other lock")
    identities = {msgspec.structs.replace(spec, peers=peers).identity() for peers in ([], [spec.pin], [other])}
    assert len(identities) == 3


def test_nothing_that_a_spec_says_is_a_place_on_a_machine(spec):
    def texts(value):
        if isinstance(value, dict):
            value = list(value.values())
        return [text for each in value for text in texts(each)] if isinstance(value, list) else [value]

    assert not any("/" in text for text in texts(msgspec.to_builtins(spec)) if isinstance(text, str))


def test_the_settings_of_a_case_read_back_as_its_declaration_has_them(spec, matrix):
    settings = matrix.profiles["smoke"].settings_of("train")
    assert spec.settings_as(type(settings)) == settings


def test_the_settings_of_a_case_are_in_the_table_that_its_declaration_names(matrix, tmp_path):
    assert [table_of(case) for case in ("train", "soak", "broken-images")] == ["turns", "soak", "broken-images"]
    smoke = matrix.profiles["smoke"]
    assert smoke.told["train"] == {"steps": 1, "epochs": 1}
    assert smoke.train.epochs == 2  # that the table of all trainings has the name of the case takes nothing from it
    path = tmp_path / "matrix.toml"
    mine = '[profiles.mine]\nlike = "smoke"\nturns = { epochs = 7 }\ntrain = { epochs = 9 }\n'
    path.write_text(MATRIX.read_text(encoding="utf-8") + mine, encoding="utf-8")
    profile = read_matrix(path).profiles["mine"]
    assert msgspec.to_builtins(profile.settings_of("train")) == {"steps": 1, "epochs": 7}
    assert profile.train_of("train").epochs == 9


def test_settings_that_all_have_defaults_need_no_table(monkeypatch, matrix):
    class Easy(CaseSettings, frozen=True):
        sizes: tuple[int, ...] = (64, 96)

    monkeypatch.setattr("harness.core.matrix.read_case", lambda _: Case(settings=Easy))
    assert matrix.profiles["smoke"].settings_of("easy") == Easy()


def test_the_twin_has_an_environment_of_its_own_and_a_folder_without_a_slash(spec):
    twin = msgspec.structs.replace(spec.pin, name=TWIN)
    assert (spec.pin.environment, twin.environment) == ("1.13.1", "1.13.1-twin")
    assert (spec.pin.folder, twin.folder) == ("1.13.1", "A-A")


def test_a_copy_of_the_baseline_runs_in_the_baselines_environment(spec):
    assert msgspec.structs.replace(spec.pin, name="slow").environment == "1.13.1"


def test_the_ambient_interpreter_is_its_own_twin():
    assert {Pin(name, None, None, None, None).environment for name in (AMBIENT, TWIN)} == {AMBIENT}


def test_a_profile_like_one_that_soaks_need_not_soak(tmp_path):
    path = tmp_path / "matrix.toml"
    own = '[profiles.mine]\nlike = "stability"\ncases = ["resume"]\n'
    path.write_text(MATRIX.read_text(encoding="utf-8") + own, encoding="utf-8")
    assert read_matrix(path).profiles["mine"].cases == ["resume"]


def test_a_profile_like_another_leaves_out_what_that_says_of_cases_that_it_does_not_have(matrix):
    assert set(matrix.profiles["stability"].own) == {"soak", "converge", "batch-change", "two-process"}
    assert set(matrix.profiles["prove-soak"].own) == {"soak"}
    own = [matrix.profiles[name].own["soak"].train.epochs for name in ("prove-soak", "stability", "quick")]
    assert own[0] == own[1] != own[2]
