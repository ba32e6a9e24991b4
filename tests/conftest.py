import pytest
from msgspec.structs import replace

from harness.core.files import ROOT
from harness.core.policy import read_policy
from harness.core.spec import Data, Pin, RunSpec, read_matrix


@pytest.fixture(scope="session")
def matrix():
    """The project's own matrix file."""
    return read_matrix(ROOT / "cases" / "matrix.toml")


@pytest.fixture(scope="session")
def policy():
    """The project's own policy."""
    return read_policy()


@pytest.fixture
def spec(matrix):
    """A run of the smoke profile on the CPU."""
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
        train=matrix.profiles["smoke"].train,
        recipe=matrix.recipes["short"],
        data=Data(name="shapes", digest="1" * 64, index="index.json"),
        harness="2" * 64,
    )


@pytest.fixture
def pace_spec(spec, matrix):
    """The same of the case that takes turns."""
    return replace(spec, case="pace", pace=matrix.profiles["smoke"].pace)
