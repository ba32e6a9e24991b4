import pynvml
import pytest

from harness.core.gpus import driver_name, nvml_handle


@pytest.mark.parametrize(
    ("visible", "index", "name"),
    [
        ({}, 1, "1"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, 0, "2"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, 1, "0"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, 2, None),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, None),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8d1b"}, 0, "GPU-8d1b"),
    ],
)
def test_a_device_of_torch_is_found_among_the_drivers_whatever_is_visible(visible, index, name):
    assert driver_name(index, visible) == name


def test_a_hidden_gpu_is_no_gpu(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    with pytest.raises(pynvml.NVMLError):
        nvml_handle(0, {"CUDA_VISIBLE_DEVICES": ""})
