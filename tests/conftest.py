import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from harness.core.files import ROOT
from harness.core.matrix import read_matrix
from harness.core.policy import read_policy
from harness.core.spec import Data, Model, Pin, RunSpec


@pytest.fixture(scope="session", autouse=True)
def own_machine(tmp_path_factory):
    """A machine of the tests' own, as its lock goes: they neither wait for what is measured here nor hold it up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_MATRIX_LOCKS", str(tmp_path_factory.mktemp("machine")))
        yield


@pytest.fixture(scope="session")
def matrix():
    """The project's own matrix file."""
    return read_matrix(ROOT / "cases" / "matrix.toml")


@pytest.fixture(scope="session")
def policy():
    """The project's own policy."""
    return read_policy()


@pytest.fixture(scope="session")
def spec(matrix):
    """A run of the smoke profile on the CPU, of the case that takes turns."""
    return RunSpec(
        case="train",
        pin=Pin(name="1.13.1", torch="1.13.1", torchvision="0.14.1", python="3.9", lock="0" * 64),
        round=0,
        seed=0,
        device="cpu",
        precision="fp32",
        threads=1,
        flags="pinned",
        profile="smoke",
        model=Model(name="yolov9-s", package=matrix.models["yolov9-s"].package),
        train=matrix.profiles["smoke"].train,
        recipe=matrix.recipes["short"],
        data=Data(name="shapes", digest="1" * 64),
        harness="2" * 64,
        settings=to_builtins(matrix.profiles["smoke"].settings_of("train")),
    )


@pytest.fixture(scope="session")
def alone_spec(spec):
    """The same of a case whose runs take no turns."""
    return replace(spec, case="converge", settings=None)
