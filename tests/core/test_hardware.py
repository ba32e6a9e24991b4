"""What the hardware of this machine is called."""

import pynvml
import pytest

from harness.core import hardware
from harness.core.hardware import cpu_model, hardware_of, node_here


def test_a_cpu_is_called_as_the_records_have_it():
    assert hardware_of("cpu") == cpu_model()
    assert hardware_of("cpu")


def test_a_gpu_is_called_as_its_driver_has_it(monkeypatch):
    monkeypatch.setattr(hardware, "nvml_handle", lambda index, environ: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", {0: "NVIDIA T4", 1: "NVIDIA A100"}.__getitem__)
    assert hardware_of("cuda:1") == "NVIDIA A100"


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_NOT_FOUND])
def test_a_gpu_that_is_not_here_has_no_name(monkeypatch, error):
    def missing(*_):
        raise pynvml.NVMLError(error)

    monkeypatch.setattr(hardware, "nvml_handle", missing)
    assert hardware_of("cuda:0") is None


def test_a_node_is_called_as_slurm_has_it_and_without_slurm_there_is_none():
    assert node_here({"SLURMD_NODENAME": "gpu-07"}) == "gpu-07"
    assert node_here({}) is None
