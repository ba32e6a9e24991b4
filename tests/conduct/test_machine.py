import os
import subprocess
import sys

import pynvml
import pytest

from harness.conduct import machine
from harness.conduct.machine import Gpu, choose_device
from harness.core.errors import UsageError
from harness.core.files import ROOT


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


def test_a_plan_for_a_named_gpu_that_is_not_there_ends_with_one_sentence_and_exit_code_2():
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}  # whatever this machine has
    command = [sys.executable, "-m", "harness.conduct", "plan", "--profile", "smoke", "--device", "cuda:0"]
    planned = subprocess.run(command, cwd=ROOT, env=hidden, capture_output=True, text=True, check=False)
    assert planned.returncode == 2
    assert planned.stdout == ""
    assert planned.stderr == (
        "error: --device cuda:0: the NVIDIA driver reports no such GPU; nvidia-smi lists what there is.\n"
    )
