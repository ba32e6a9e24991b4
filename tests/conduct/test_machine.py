import pynvml
import pytest

from harness.conduct import machine
from harness.conduct.machine import Gpu, choose_device
from harness.core.errors import UsageError


@pytest.fixture
def one_gpu(monkeypatch):
    monkeypatch.setattr(machine, "find_gpu", lambda index: Gpu("a GPU", "sm_86") if index == 0 else None)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(machine, "find_gpu", lambda _: None)


def test_auto_takes_the_gpu_where_there_is_one(one_gpu):
    assert choose_device("auto") == ("cuda:0", Gpu("a GPU", "sm_86"))


def test_auto_takes_the_cpu_where_there_is_none(no_gpu):
    assert choose_device("auto") == ("cpu", None)


def test_the_cpu_can_be_chosen_where_there_is_a_gpu(one_gpu):
    assert choose_device("cpu") == ("cpu", None)


@pytest.mark.parametrize("asked", ["cuda:1", "cuda:x", "cuda:²", "cuda", "gpu"])
def test_a_device_that_is_named_and_not_there_is_never_replaced(one_gpu, asked):
    with pytest.raises(UsageError, match=asked):
        choose_device(asked)


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch):
    def absent():
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    assert machine.find_gpu(0) is None
