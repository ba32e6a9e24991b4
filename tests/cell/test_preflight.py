import pytest
import torch

from harness.cell import label, preflight
from harness.cell.label import differences, locked_packages
from harness.cell.preflight import can_run, why_unsupported

CUDA_10_2 = ["sm_37", "sm_50", "sm_60", "sm_70"]
CUDA_11_7 = ["sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86"]


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (CUDA_10_2, (7, 0), True),
        (CUDA_10_2, (7, 5), True),  # Turing runs Volta's machine code: same major version
        (CUDA_10_2, (8, 0), False),
        (CUDA_10_2, (9, 0), False),
        (CUDA_11_7, (8, 6), True),
        (CUDA_11_7, (8, 9), True),
        (CUDA_11_7, (9, 0), False),
        ([*CUDA_11_7, "compute_86"], (9, 0), True),  # PTX is compiled by the driver
        (["sm_90a"], (9, 0), True),
        (["sm_86"], (8, 0), False),  # nothing runs on a lower minor version
        (["sm_100", "sm_120"], (12, 0), True),
        ([], (8, 0), False),
    ],
)
def test_a_wheel_runs_where_its_machine_code_or_ptx_fits(architectures, capability, runs):
    assert can_run(architectures, capability) is runs


def test_an_unsupported_gpu_is_told_with_what_the_wheel_has_and_what_the_gpu_is(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "10.2")
    reason = why_unsupported("cuda:0", CUDA_10_2, (8, 0))
    assert reason == (
        "The wheel is a CUDA 10.2 build for sm_37, sm_50, sm_60, sm_70; the GPU is sm_80, for which it has no code."
    )


def test_a_driver_that_cannot_start_the_wheels_cuda_is_told(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "10.2")
    assert "CUDA 10.2 of this torch cannot start" in why_unsupported("cuda:0", [], None)


def test_a_wheel_without_cuda_is_unsupported_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in why_unsupported("cuda:0", [], None)


def test_every_wheel_runs_on_the_cpu():
    assert why_unsupported("cpu", [], None) is None


def test_a_lock_is_read_with_its_markers_and_without_its_hashes():
    text = """# Pin 1.0
numpy==1.26.4 ; python_version < '3.13' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
Faster_COCO.eval==1.7.2 \\
    --hash=sha256:cc
windows-only==1.0 ; sys_platform == 'win32'
torch==1.10.0+cu113
"""
    packages = locked_packages(text)
    assert packages.pop("numpy", "1.26.4") == "1.26.4"  # Python 3.13 takes another line
    assert packages == {"faster-coco-eval": "1.7.2", "torch": "1.10.0+cu113"}


def test_what_is_installed_otherwise_than_locked_is_named():
    locked = {"numpy": "1.26.4", "torch": "1.10.0", "pillow": "11.3.0"}
    installed = {"numpy": "1.25.0", "torch": "1.10.0", "extra": "3.0"}
    assert differences(locked, installed) == [
        "numpy is 1.25.0, the lock says 1.26.4",
        "pillow is missing, the lock says 11.3.0",
        "extra 3.0 is not in the lock",
    ]
    assert differences(locked, locked) == []


def test_the_check_of_an_environment_fails_when_a_package_differs(tmp_path, capsys, monkeypatch):
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==0.0.1\n", encoding="utf-8")
    monkeypatch.setattr(label, "installed_packages", lambda: {"numpy": "1.26.4"})
    assert preflight.main([str(lock)]) == 1
    assert "numpy is 1.26.4, the lock says 0.0.1" in capsys.readouterr().out


def test_an_environment_without_torch_is_held_against_its_lock_by_a_program_that_needs_none(
    tmp_path, capsys, monkeypatch
):
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==1.26.4\n", encoding="utf-8")
    monkeypatch.setattr(label, "installed_packages", lambda: {"numpy": "1.26.4"})
    assert label.main([str(lock)]) == 0
    assert "matches the lock" in capsys.readouterr().out
    lock.write_text("numpy==0.0.1\n", encoding="utf-8")
    assert label.main([str(lock)]) == 1
    assert "numpy is 1.26.4, the lock says 0.0.1" in capsys.readouterr().out


def dist_info(folder, name, version, metadata=True):
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    if metadata:
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


def test_what_lies_in_the_projects_own_folder_is_no_package_of_the_environment(tmp_path, monkeypatch):
    dist_info(tmp_path / "project", "torch_matrix", "0.1.0")
    dist_info(tmp_path / "site", "numpy", "1.26.4")
    monkeypatch.setattr(label, "ROOT", tmp_path / "project")
    monkeypatch.setattr("sys.path", [str(tmp_path / "project"), str(tmp_path / "site")])
    assert label.installed_packages() == {"numpy": "1.26.4"}
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr("sys.path", ["", str(tmp_path / "site")])
    assert label.installed_packages() == {"numpy": "1.26.4"}


def test_of_a_package_that_is_there_twice_the_one_that_is_imported_counts(tmp_path, monkeypatch):
    dist_info(tmp_path / "first", "numpy", "1.26.4")
    dist_info(tmp_path / "second", "numpy", "1.0.0")
    monkeypatch.setattr("sys.path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert label.installed_packages() == {"numpy": "1.26.4"}


def test_what_an_installation_that_was_cut_short_has_left_is_no_package(tmp_path, monkeypatch):
    dist_info(tmp_path, "numpy", "1.26.4")
    dist_info(tmp_path, "~umpy", "1.26.4", metadata=False)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert label.installed_packages() == {"numpy": "1.26.4"}
