"""How torch was built, and which versions of the libraries beneath it this process has found."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Callable, Optional

import torch

from cases.audit.mapped import Mapped

LINES = {
    r"(?P<value>(GCC|clang) .*)": "compiler",
    r"C\+\+ Version: (?P<value>.*)": "C++ standard",
    r".*Math Kernel Library Version (?P<value>\S+?)-? ?Product Build.*": "MKL",
    r"Intel\(R\) MKL-DNN v(?P<value>\S+).*": "oneDNN",
    r"OpenMP (?P<value>\S+).*": "OpenMP standard",
    r"LAPACK is (?P<value>.*)": "LAPACK",
    r"NNPACK is (?P<value>.*)": "NNPACK",
    r"CPU capability usage: (?P<value>.*)": "CPU capability",
    r"CUDA Runtime (?P<value>.*)": "CUDA runtime",
    r"NVCC architecture flags: (?P<value>.*)": "NVCC architecture flags",
    r"CuDNN (?P<value>.*)": "cuDNN of the build",
    r"Magma (?P<value>.*)": "MAGMA",
    r"ATen parallel backend: (?P<value>.*)": "parallel backend",
}
"""What torch says of itself in lines (`torch.__config__`), and what is told of it."""
BUILT_BY = "Build settings: "
CUBLAS = re.compile(r"libcublas\.so")


def settings(mapped: Sequence[Mapped]) -> list[tuple[str, str]]:
    """By name, what torch was built with and what it has found."""
    said = f"{torch.__config__.show()}\n{torch.__config__.parallel_info()}"
    return [*lines_of(said), *found_versions(mapped), *build_settings(said)]


def lines_of(said: str) -> Iterator[tuple[str, str]]:
    """The lines that are known."""
    found: dict[str, str] = {}
    for line in said.splitlines():
        for pattern, name in LINES.items():
            one = re.fullmatch(pattern, line.strip().removeprefix("- "))
            if one:
                found.setdefault(name, one.group("value"))
    yield from found.items()


def build_settings(said: str) -> Iterator[tuple[str, str]]:
    """The settings of the build, `NAME=VALUE` with commas between them."""
    of_build = next((line for line in said.splitlines() if BUILT_BY in line), "").partition(BUILT_BY)[2]
    for one in re.split(r", (?=[A-Z][A-Z_0-9]*=)", of_build.strip(" ,")):
        name, is_set, value = one.partition("=")
        if is_set:
            yield f"build: {name}", " ".join(value.split())


def found_versions(mapped: Sequence[Mapped]) -> Iterator[tuple[str, str]]:
    """The versions that are there at run time, and what the wheel has code for. What this torch was built without has
    none."""
    questions: dict[str, Callable[[], object]] = {
        "CUDA of the wheel": lambda: torch.version.cuda,
        "architectures of the wheel": lambda: torch._C._cuda_getArchFlags(),  # noqa: PLW0108 - a build without CUDA has no such
        "cuDNN": torch.backends.cudnn.version,
        "cuBLAS": lambda: cublas_version(mapped),
        "NCCL": torch.cuda.nccl.version,
        "OpenMP runtime": lambda: " and ".join(one.place for one in mapped if one.is_openmp),
        "commit": lambda: torch.version.git_version,
    }
    for name, question in questions.items():
        yield name, answer_to(question)


def answer_to(question: Callable[[], object]) -> str:
    """What comes of a question, as text; `none` where there is nothing to ask."""
    try:
        answer = question()
    except (AttributeError, ImportError, OSError, RuntimeError):
        answer = None
    return "none" if answer is None else version_text(answer)


def version_text(answer: object) -> str:
    """A version, which may come as its numbers."""
    return ".".join(map(str, answer)) if isinstance(answer, tuple) else str(answer)


def cublas_version(mapped: Iterable[Mapped]) -> Optional[tuple[int, ...]]:
    """What cuBLAS says of itself, where it is a library of its own (`cublasGetProperty` of its documentation); None
    where it is a part of torch's."""
    path = next((one.path for one in mapped if CUBLAS.match(one.file)), None)
    if path is None:
        return None
    library, numbers = ctypes.CDLL(path), []
    for part in range(3):  # major, minor, patch level
        number = ctypes.c_int()
        if library.cublasGetProperty(part, ctypes.byref(number)):
            return None
        numbers.append(number.value)
    return tuple(numbers)
