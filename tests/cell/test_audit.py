"""The audit: what is mapped and where it is from, and a library that is missing, planted, old or not from its wheel."""

import base64
import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from elf_files import write_library
from msgspec.structs import replace

from cases.audit import body
from cases.audit import gpu as gpu_rules
from cases.audit.brought import Brought, Needs, brought, distributions, plain, related, requirements_about
from cases.audit.build import answer_to, cublas_version, settings
from cases.audit.elf import read_library
from cases.audit.gpu import Driver, cuda_version, judged
from cases.audit.mapped import IS_OWN, Look, Mapped, look, mapped_at, mapped_paths, origin_of, without_home
from cases.audit.soundness import c_libraries, complete, unmixed
from harness.cell.data.shapes import make_shapes
from harness.core.files import ROOT
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Model, Pin

LOOKS = """
import ctypes, json, sys
import torch
for path in sys.argv[1:]:
    ctypes.CDLL(path)
from cases.audit.brought import requirements_about
from cases.audit.mapped import look
from cases.audit.soundness import complete, unmixed
seen = look()
print(json.dumps([complete(seen, requirements_about("torch")).problems, unmixed(seen).problems, unmixed(seen).notes]))
"""
"""A process of its own, as an environment is mixed when it starts."""


def looked(*mapped, **variables):
    """What is found wrong of a process that has these libraries and variables: incomplete, mixed, and notes."""
    command = [sys.executable, "-c", LOOKS, *map(str, mapped)]
    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)


def seen(*mapped, brought=None, libraries=None, **more):
    """A look in which just this is mapped."""
    return Look(brought or {}, list(mapped), more.pop("variables", {}), libraries=libraries or {}, **more)


def lib(tmp_path, file, origin="system", own=None, **more):
    """A mapped library; `own`: what its wheel has of it."""
    path = write_library(tmp_path / file, **more)
    return Mapped(str(path), path.stat().st_size, read_library(path), origin, own)


def wheel(tmp_path, name, distribution="torch 1.10.0", size=None, digest="0", **more):
    """The same of a wheel, and the table of what it brings."""
    file = name.rpartition("/")[2]
    path = write_library(tmp_path / file, **more)
    own = Brought(distribution, name, size or path.stat().st_size, digest)
    return Mapped(str(path), path.stat().st_size, read_library(path), "wheel", own), {str(path): own}


# --- what a library says of itself --------------------------------------------------------------------------------


def test_a_library_tells_its_name_its_needs_and_the_versions_that_it_asks_for_and_has(tmp_path):
    asks = (("libc.so.6", "GLIBC_2.17"), ("libc.so.6", "GLIBC_2.27"))
    path = write_library(tmp_path / "a.so", "liba.so.1", ("libb.so.2", "libc.so.6"), asks, ("A_1.0", "A_1.1"))
    assert read_library(path) == ("liba.so.1", ("libb.so.2", "libc.so.6"), asks, ("A_1.0", "A_1.1"))


def test_the_library_that_torch_is_tells_what_it_is():
    path = next(one.path for one in look().mapped if one.file == "libtorch_cpu.so")
    library = read_library(Path(path))
    assert library.soname == "libtorch_cpu.so"
    assert "libc10.so" in library.needed
    assert any(version.startswith("GLIBC_2.") for _, version in library.asks)


@pytest.mark.parametrize(
    "content", [b"", b"no library", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01\x01" + b"\xff" * 200], ids=range(4)
)
def test_what_is_no_library_or_a_broken_one_tells_nothing(tmp_path, content):
    path = tmp_path / "libx.so"
    path.write_bytes(content)
    assert read_library(path) is None
    assert read_library(tmp_path / "nowhere.so") is None


def test_a_library_that_ends_in_the_middle_tells_nothing(tmp_path):
    path = write_library(tmp_path / "a.so", "liba.so.1", ("libb.so.2",))
    for size in range(len(path.read_bytes())):
        cut = tmp_path / "cut.so"
        cut.write_bytes(path.read_bytes()[:size])
        assert read_library(cut) is None


# --- what is mapped, and where it is from -------------------------------------------------------------------------

MAPS = """\
7f00-7f01 r--p 00000000 fe:00 1    /usr/lib/x86_64-linux-gnu/libc.so.6
7f01-7f02 r-xp 00001000 fe:00 1    /usr/lib/x86_64-linux-gnu/libc.so.6
7f02-7f03 r-xp 00001000 fe:00 2    /opt/with a space/libgomp.so.1 (deleted)
7f03-7f04 r--p 00000000 fe:00 3    /data/weights.safetensors
7f04-7f05 rw-p 00000000 00:00 0    [heap]
7f05-7f06 r-xp 00000000 00:00 0    [vdso]
7f06-7f07 rwxp 00000000 00:01 9    /memfd:libffi (deleted)
7f07-7f08 rwxp 00000000 00:00 0
7f08-7f09 r-xp 00000000 fe:00 1    /usr/lib/x86_64-linux-gnu/libc.so.6
"""


def test_every_file_with_code_is_mapped_once_and_what_is_no_library_is_not():
    assert mapped_paths(MAPS) == ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/opt/with a space/libgomp.so.1"]


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", "system"),
        ("/lib64/libc.so.6", "system"),
        ("/usr/local/cuda/lib64/libcudnn.so.8", "elsewhere"),
        ("/home/someone/libgomp.so.1", "elsewhere"),
    ],
)
def test_what_is_of_no_wheel_is_of_the_system_by_its_folders_and_else_from_elsewhere(path, origin):
    assert origin_of(path, {}) == origin


def test_this_process_has_torch_of_its_wheel_and_the_c_library_of_the_system():
    found = look().named()
    assert found["torch/lib/libtorch_cpu.so"].brought.distribution == f"torch {metadata.version('torch')}"
    assert found["libc.so"].origin == "system"
    assert {one.origin for name, one in found.items() if name.startswith("lib-dynload/")} <= {"Python"}


def test_a_wheels_library_has_the_size_and_digest_of_its_record():
    path, one = next(item for item in brought(distributions()).items() if item[1].name.startswith("msgspec/_core"))
    content = Path(path).read_bytes()
    assert (one.size, one.digest) == (len(content), hashlib.sha256(content).hexdigest()[:12])


def test_a_name_is_told_without_what_wheels_and_python_add_to_it():
    assert plain("torch/lib/libgomp-a34b3233.so.1") == "torch/lib/libgomp.so.1"
    assert plain("torchvision.libs/libz.1328edc3.so.1") == "torchvision.libs/libz.so.1"
    assert plain("torch/_C.cpython-39-x86_64-linux-gnu.so") == "torch/_C.so"
    assert plain("psutil/_psutil_linux.abi3.so") == "psutil/_psutil_linux.so"
    assert plain("nvidia/cudnn/lib/libcudnn.so.8") == "nvidia/cudnn/lib/libcudnn.so.8"


def test_a_library_has_one_name_in_all_versions_and_its_version_is_told_with_size_and_digest(tmp_path):
    one, _ = wheel(tmp_path, "torch/lib/libgomp-a34b3233.so.1", digest="7923ba20d384")
    assert one.name == "torch/lib/libgomp.so"
    assert one.told() == "so.1, 0.00 MiB, 7923ba20d384"
    other = Mapped("/usr/lib/libz.so.1.2.13", 3 * 2**20, None, "system")
    assert (other.name, other.told()) == ("libz.so", "system: /usr/lib/libz.so.1.2.13, 3.00 MiB")


def test_two_libraries_of_one_name_are_both_told(tmp_path):
    first = Mapped("/a/libz.so.1", 1, None, "elsewhere")
    second = Mapped("/b/libz.so.1", 1, None, "elsewhere")
    assert [*seen(first, second).named()] == ["libz.so", "/b/libz.so.1"]


def test_no_folder_of_a_user_is_told(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert without_home("/home/someone/lib/libz.so") == "~/lib/libz.so"
    assert without_home("/home/someone-else/libz.so") == "/home/someone-else/libz.so"


# --- complete -----------------------------------------------------------------------------------------------------


def test_this_environment_is_complete_unmixed_and_able():
    now = look()
    assert complete(now, requirements_about("torch")).problems == []
    assert c_libraries(now).problems == []
    if IS_OWN:
        assert unmixed(now).problems == []


@pytest.fixture
def package(tmp_path):
    """A distribution with one library, in a folder that Python looks in."""

    def made(requires="torch==0.1", **more):
        (tmp_path / "planted").mkdir()
        path = write_library(tmp_path / "planted" / "libplanted.so", **more)
        info = tmp_path / "planted-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: planted\nVersion: 1.0\nRequires-Dist: {requires}\n"
        )
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
        (info / "RECORD").write_text(f"planted/libplanted.so,sha256={digest},{path.stat().st_size}\n")
        return path

    return made


def test_a_library_whose_need_is_missing_and_a_package_that_requires_another_torch_are_named(tmp_path, package):
    package(soname="libplanted.so", needed=("libnowhere.so.7", "libc.so.6"))
    problems, _, _ = looked(PYTHONPATH=str(tmp_path))
    version = torch.__version__.partition("+")[0]
    assert len(problems) == 2
    assert problems[0] == "planted/libplanted.so needs libnowhere.so.7, which is nowhere"
    assert problems[1].startswith(f"planted 1.0 requires torch ==0.1, {version}")


def test_a_package_that_has_nothing_to_do_with_torch_and_is_not_in_use_may_lack_what_it_likes(tmp_path, package):
    package(requires="packaging", soname="libplanted.so", needed=("libnowhere.so.7", "libc.so.6"))
    problems, _, _ = looked(PYTHONPATH=str(tmp_path))
    assert problems == []


def test_a_package_of_which_a_library_is_mapped_is_in_use(tmp_path, package, monkeypatch):
    path = package(requires="packaging", soname="libplanted.so", needed=("libnowhere.so.7",))
    monkeypatch.syspath_prepend(str(tmp_path))
    maps = tmp_path / "maps"
    maps.write_text(Path("/proc/self/maps").read_text() + f"7f00-7f01 r-xp 00000000 00:00 0 {path}\n")
    monkeypatch.setattr("cases.audit.mapped.MAPS", maps)
    assert "planted/libplanted.so needs libnowhere.so.7, which is nowhere" in complete(look(), []).problems


def test_what_torch_requires_and_what_requires_torch_goes_with_it_and_nothing_else():
    names = {
        "torch": ["numpy"],
        "numpy": ["blas"],
        "blas": [],
        "torchvision": ["torch", "pillow"],
        "pillow": [],
        "a": [],
    }
    installed = {name: SimpleNamespace(requires=needs, version="1.0") for name, needs in names.items()}
    assert related("torch", installed) == {"torch", "numpy", "blas", "torchvision"}


def test_what_only_hardware_brings_is_told_and_is_no_problem(tmp_path, package, monkeypatch):
    package(soname="libplanted.so", needed=("libmlx5.so.1",))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = complete(look(), [])
    assert found.problems == []
    assert "libmlx5.so.1" in found.said()


def test_a_need_that_another_wheel_brings_or_that_is_mapped_is_met(tmp_path):
    own, table = wheel(tmp_path, "a.libs/liba.so", needed=("libb-00000000.so.1", "libz.so.1"))
    _, other = wheel(tmp_path, "b.libs/libb-00000000.so.1")
    mapped = lib(tmp_path, "libz.so.1.2.13", soname="libz.so.1")
    now = seen(mapped, brought={**table, **other}, libraries={own.path: own.library})
    assert complete(now, []).problems == []


def test_a_requirement_that_is_not_met_is_told_with_what_is_there():
    missing = Needs("torch", "2.8.0", "sympy", "any", None, False)
    old = Needs("torchvision", "0.11.1", "torch", "==1.10.0", "1.12.1", False)
    assert complete(seen(), [missing, old]).problems == [
        "torch 2.8.0 requires sympy, which is not installed",
        "torchvision 0.11.1 requires torch ==1.10.0, 1.12.1 is installed",
    ]


def test_what_torchvision_requires_of_torch_is_kept():
    one = next((one for one in requirements_about("torch") if one.distribution == "torchvision"), None)
    if one is None:
        pytest.skip("no torchvision here")
    version = torch.__version__.partition("+")[0]
    assert (one.other, one.specifier, one.met) == ("torch", f"=={version}", True)


# --- unmixed ------------------------------------------------------------------------------------------------------


def test_a_preloaded_openmp_is_named_with_its_place_and_the_wheels_own(tmp_path):
    own = next(one for one in look().mapped if one.is_openmp)
    planted = tmp_path / "libgomp.so.1"
    shutil.copy(own.path, planted)  # one that is alike in all but its place
    _, problems, _ = looked(LD_PRELOAD=str(planted))
    assert problems[0].startswith(f"libgomp.so.1 is preloaded from {without_home(str(planted))}, and torch ")
    if own.file == "libgomp.so.1":  # torch seeks its own by that name, and finds the planted one
        assert problems[1:] == []
    else:
        assert problems[1].startswith("2 OpenMP runtimes are mapped: ")
        assert planted.name in problems[1]
        assert own.place in problems[1]


def test_a_cudnn_from_elsewhere_is_named_and_one_that_is_not_taken_is_told(tmp_path):
    planted = write_library(tmp_path / "libcudnn.so.99", "libcudnn.so.99")
    _, problems, _ = looked(planted)
    assert problems == [f"libcudnn.so.99 is mapped from {without_home(str(planted))}, and none of the wheels needs it"]
    _, problems, notes = looked(LD_LIBRARY_PATH=str(tmp_path))
    assert problems == []
    assert f"LD_LIBRARY_PATH has {without_home(str(planted))}, not taken" in notes


def test_a_library_of_the_system_in_the_place_of_a_wheels_is_named(tmp_path):
    _, table = wheel(tmp_path, "nvidia/cudnn/lib/libcudnn.so.8", "nvidia-cudnn-cu11 8.5.0.96")
    (tmp_path / "usr").mkdir()
    taken = lib(tmp_path / "usr", "libcudnn.so.8", soname="libcudnn.so.8")
    assert unmixed(seen(taken, brought=table)).problems == [
        f"libcudnn.so.8 is taken from {taken.place}, and nvidia-cudnn-cu11 8.5.0.96 brings "
        "nvidia/cudnn/lib/libcudnn.so.8"
    ]


def test_a_library_that_ld_library_path_has_found_for_a_wheel_is_named(tmp_path):
    own, table = wheel(tmp_path, "torch/lib/libtorch.so", needed=("libstdc++.so.6",))
    (tmp_path / "gcc").mkdir()
    taken = lib(tmp_path / "gcc", "libstdc++.so.6", "elsewhere", soname="libstdc++.so.6")
    variables = {"LD_LIBRARY_PATH": str(tmp_path / "gcc")}
    now = seen(taken, brought=table, libraries={own.path: own.library}, variables=variables)
    assert unmixed(now).problems == [f"libstdc++.so.6 is taken from {taken.place} by LD_LIBRARY_PATH"]
    assert unmixed(seen(taken, brought=table, libraries={own.path: own.library})).problems == []


def test_what_ld_so_preload_names_is_preloaded(tmp_path):
    planted = lib(tmp_path, "libfast.so", "elsewhere", soname="libfast.so")
    assert unmixed(seen(planted, preloads=f"{planted.path}\n")).problems == [
        f"libfast.so is preloaded from {planted.place}"
    ]


def test_the_systems_own_and_the_driver_are_there_by_right(tmp_path):
    _, table = wheel(tmp_path, "torchvision.libs/libz.1328edc3.so.1", soname="libz.so.1")
    names = ("libc.so.6", "libz.so.1", "libstdc++.so.6", "libcuda.so.1", "libnvidia-ml.so.1")
    mapped = [lib(tmp_path, name, soname=name) for name in names]
    assert unmixed(seen(*mapped, brought=table, variables={"LD_PRELOAD": "libcuda.so.1"})).problems == []


def test_a_cudnn_that_torch_needs_and_no_wheel_brings_is_the_machines_by_right(tmp_path):
    own, table = wheel(tmp_path, "torch/lib/libtorch_cuda.so", needed=("libcudnn.so.9",))
    mapped = [lib(tmp_path, name, soname=name) for name in ("libcudnn.so.9", "libcudnn_ops.so.9")]
    assert unmixed(seen(*mapped, brought=table, libraries={own.path: own.library})).problems == []


def test_two_openmp_runtimes_are_named_also_where_wheels_have_brought_both(tmp_path):
    one, first = wheel(tmp_path, "torch/lib/libgomp-a34b3233.so.1", soname="libgomp.so.1")
    other, second = wheel(tmp_path, "mkl.libs/libiomp5.so", "mkl 2024", soname="libiomp5.so")
    assert unmixed(seen(one, other, brought={**first, **second})).problems == [
        "2 OpenMP runtimes are mapped: torch/lib/libgomp-a34b3233.so.1 and mkl.libs/libiomp5.so"
    ]


def test_several_of_a_name_are_told_where_each_has_a_name_of_its_own_and_are_a_problem_where_not(tmp_path):
    (tmp_path / "b").mkdir()
    one, first = wheel(tmp_path, "torch/lib/libcudart-80664282.so.10.2", soname="libcudart.so.10.2")
    other, second = wheel(tmp_path, "torchvision.libs/libcudart.459720b2.so.10.2", soname="libcudart.so.10.2")
    found = unmixed(seen(one, other, brought={**first, **second}))
    assert found.problems == []
    assert f"libcudart.so.10.2 ({one.place} and {other.place})" in found.said()
    one, first = wheel(tmp_path, "a/libcudart.so.12", digest="1", soname="libcudart.so.12")
    other, second = wheel(tmp_path / "b", "b/libcudart.so.12", digest="2", soname="libcudart.so.12")
    assert unmixed(seen(one, other, brought={**first, **second})).problems == [
        "libcudart.so.12 is mapped 2 times, from a/libcudart.so.12 and b/libcudart.so.12"
    ]


def test_a_file_that_is_not_as_its_wheel_brought_it_or_that_no_package_has_is_named(tmp_path):
    one, table = wheel(tmp_path, "torch/lib/libc10.so", size=7)
    stray = lib(tmp_path, "libstray.so", "environment")
    assert unmixed(seen(one, stray, brought=table, is_own=True)).problems == [
        f"torch/lib/libc10.so has {one.size:,} bytes, and torch 1.10.0 brought 7",
        f"{stray.place} lies in the environment, and no package has brought it",
    ]
    assert len(unmixed(seen(one, stray, brought=table)).problems) == 1


def test_of_many_problems_the_first_are_told_with_their_number(tmp_path):
    needs = [Needs("torch", "2.8.0", f"other-{number}", "any", None, False) for number in range(9)]
    said = complete(seen(), needs).said()
    assert "other-3, which is not installed; and 5 more; " in said
    assert "other-4" not in said


# --- able ---------------------------------------------------------------------------------------------------------


def test_a_c_library_that_is_older_than_a_wheel_needs_is_named(tmp_path):
    asks = (("libc.so.6", "GLIBC_2.9"), ("libc.so.6", "GLIBC_2.34"), ("libc.so.6", "GLIBC_PRIVATE"))
    own, table = wheel(tmp_path, "torch/lib/libtorch.so", asks=asks)
    old = lib(tmp_path, "libc.so.6", soname="libc.so.6", offers=("libc.so.6", "GLIBC_2.9", "GLIBC_2.31"))
    assert c_libraries(seen(old, brought=table, libraries={own.path: own.library})).problems == [
        "torch/lib/libtorch.so needs GLIBC_2.34, and GLIBC_2.31 is here"
    ]


def test_of_c_libraries_that_do_it_is_told_what_is_needed_at_most(tmp_path):
    own, table = wheel(
        tmp_path, "torch/lib/libtorch.so", asks=(("libc.so.6", "GLIBC_2.9"), ("libc.so.6", "GLIBC_2.17"))
    )
    new = lib(tmp_path, "libc.so.6", soname="libc.so.6", offers=("GLIBC_2.9", "GLIBC_2.17", "GLIBC_2.36"))
    found = c_libraries(seen(new, brought=table, libraries={own.path: own.library}))
    assert found.problems == []
    assert found.notes == ["GLIBC_2.36 is here, and GLIBC_2.17 is the newest that is needed, by torch/lib/libtorch.so"]


def driver(version, cuda, own_cuda=None):
    return Driver(version, cuda, own_cuda or cuda)


@pytest.mark.parametrize(
    ("wheel_cuda", "found", "problem"),
    [
        ((11, 7), driver("535.129.03", (12, 2)), ""),
        ((12, 8), driver("525.60.13", (12, 0)), ""),
        (
            (12, 8),
            driver("520.61.05", (11, 8)),
            "driver 520.61.05 has CUDA 11.8, the wheel 12.8, and it takes driver 525",
        ),
        ((12, 8), driver("470.82.01", (12, 8), (11, 4)), ""),
        (
            (11, 7),
            driver("450.51.06", (11, 0)),
            "driver 450.51.06 has CUDA 11.0, the wheel 11.7, and it takes driver 450.80",
        ),
        ((10, 2), driver("430.40", (10, 1)), "driver 430.40 has CUDA 10.1, the wheel 10.2"),
    ],
)
def test_a_driver_does_that_has_the_wheels_cuda_itself_by_compatibility_or_by_package(wheel_cuda, found, problem):
    problems = judged(wheel_cuda, found, ["sm_80"], (8, 0)).problems
    assert len(problems) == bool(problem)
    assert "".join(problems).startswith(problem)


def test_a_driver_that_does_by_compatibility_or_by_package_is_told_so():
    minor = judged((12, 8), driver("525.60.13", (12, 0)), ["sm_80"], (8, 0))
    assert "which runs as it is of the same major version" in minor.said()
    package = judged((12, 8), driver("470.82.01", (12, 8), (11, 4)), ["sm_80"], (8, 0))
    assert package.notes[0] == "driver 470.82.01 has CUDA 12.8 by cuda-compat, the wheel 12.8"


def test_code_for_the_gpu_is_told_by_its_kind_and_ptx_needs_a_driver_that_compiles_it():
    new, old = driver("535.129.03", (12, 2)), driver("450.80.02", (11, 0))
    architectures = ["sm_70", "sm_86", "compute_86"]
    assert "machine code for sm_89 among sm_70, sm_86" in judged((11, 7), new, architectures, (8, 9)).said()
    assert judged((11, 7), new, architectures, (9, 0)).problems == []
    assert "PTX alone" in judged((11, 7), new, architectures, (9, 0)).said()
    assert judged((11, 7), old, architectures, (9, 0)).problems == [
        "for sm_90 the wheel has PTX alone, which this driver is too old to compile"
    ]
    assert judged((10, 2), new, ["sm_70"], (8, 0)).problems == ["the wheel is built for sm_70, and the GPU is sm_80"]


def test_the_driver_is_asked_for_its_versions(monkeypatch):
    class Cuda:
        def cuDriverGetVersion(self, number):  # noqa: N802
            ctypes.cast(number, ctypes.POINTER(ctypes.c_int))[0] = 12040
            return 0

    monkeypatch.setattr(gpu_rules.ctypes, "CDLL", lambda name: Cuda())
    monkeypatch.setattr(gpu_rules.pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(gpu_rules.pynvml, "nvmlSystemGetCudaDriverVersion", lambda: 11040)
    monkeypatch.setattr(gpu_rules, "driver_version", lambda: "470.82.01")
    assert gpu_rules.found_driver() == Driver("470.82.01", (12, 4), (11, 4))
    assert cuda_version(10020) == (10, 2)


def test_on_a_cpu_no_driver_is_asked_for():
    assert gpu_rules.gpu("cpu").said() == "no GPU is asked for"


# --- build and run ------------------------------------------------------------------------------------------------


def test_what_torch_was_built_with_is_told_by_name():
    found = dict(settings(look().mapped))
    assert found["OpenMP standard"].isdigit()
    assert found["parallel backend"] == "OpenMP"
    assert found["CPU capability"]
    assert found["compiler"].startswith("GCC ")
    assert found["build: BUILD_TYPE"] == "Release"
    assert found["build: TORCH_VERSION"] == torch.__version__.partition("+")[0]
    assert found["CUDA of the wheel"] == str(torch.version.cuda or "none")
    if torch.version.cuda:
        assert found["architectures of the wheel"].startswith("sm_")
        assert found["NCCL"].count(".") == 2
    if torch.backends.mkl.is_available():
        assert found["MKL"][:3] == "202"


def test_cublas_is_asked_for_its_version_where_it_is_a_library_of_its_own():
    now = look().mapped
    version = cublas_version(now)
    own = [one for one in now if one.file.startswith("libcublas.so")]
    assert (version is not None) == bool(own)
    if own:
        assert f"libcublas.so.{version[0]}" == own[0].file


def test_what_cannot_be_asked_of_this_torch_is_none():
    def missing():
        raise AttributeError

    assert answer_to(missing) == "none"
    assert answer_to(lambda: None) == "none"
    assert answer_to(lambda: (2, 10, 3)) == "2.10.3"


def test_a_run_keeps_lists_of_the_environment_and_three_checks(spec, run_of, tmp_path):
    make_shapes(tmp_path / "set", Shapes(images=2, validation=1, size=32))
    train = replace(spec.train, image_size=32, batch=2, workers=0)
    pin = Pin(AMBIENT, None, None, None, None)
    model = Model("small", "tests.cell.small_detector")
    spec = replace(spec, case="audit", settings=None, train=train, pin=pin, model=model)
    measured = body.measure(run_of(spec, tmp_path / "set" / "index.json", tmp_path / "0.part"))
    mapped, build, required = measured.fingerprints
    assert [check.name for check in measured.checks] == ["complete", "unmixed", "able"]
    assert {check.outcome for check in measured.checks if check.name != "unmixed" or IS_OWN} == {"held"}
    assert "torch/lib/libtorch_cpu.so" in mapped.places
    assert len(set(mapped.places)) == len(mapped.places) == len(mapped.value)
    assert "oneDNN" in build.places
    assert any(place.startswith("torch requires ") for place in required.places)
    (size,) = measured.metrics
    assert size.samples[0] > 100 * 2**20


def test_what_is_mapped_and_gone_since_has_no_size(tmp_path):
    one = mapped_at(str(tmp_path / "libgone.so"), {})
    assert (one.size, one.library, one.origin) == (0, None, "elsewhere")
