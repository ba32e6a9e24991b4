"""What this process has mapped, and where each library is from."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple, Optional

from cases.audit.brought import Brought, brought, distributions, named_with_version, plain, related
from cases.audit.elf import Library, read_library

Origin = Literal["wheel", "environment", "Python", "system", "elsewhere"]
"""A distribution of the environment; a file there that none has; Python's own; the folders of the system's packages."""

SYSTEM = re.compile(r"/(usr/)?lib(32|64|x32)?/")
SHARED_ROOTS = ("/usr", "/usr/local")
"""What lies below these is not all of Python, where that is installed there."""
LINE = re.compile(r"\S+ \S*x\S* \S+ \S+ \d+ +(/.*?)( \(deleted\))?")
"""A line of /proc/self/maps: a piece of a file that may be executed. Every library has one."""
NO_LIBRARY = ("/dev/", "/memfd:", "/SYSV")
VERSION = re.compile(r"(.*\.so)\.?(.*)")
OPENMP = re.compile(r"lib(gomp|iomp5|omp|kmp\w*)\.so")
MAPS = Path("/proc/self/maps")
PRELOADS = Path("/etc/ld.so.preload")
IS_OWN = sys.prefix != sys.base_prefix


class Mapped(NamedTuple):
    """A library that is mapped."""

    path: str
    size: int
    """Bytes of its file."""
    library: Optional[Library]
    origin: Origin
    brought: Optional[Brought] = None
    """What the wheel has of it."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return Path(self.path).name

    @property
    def called(self) -> str:
        """The name that others need it by."""
        return (self.library and self.library.soname) or plain(self.file)

    @property
    def place(self) -> str:
        """Where it lies, as it is told: from the folder of the packages, or with the user's own folder left out."""
        return self.brought.name if self.brought else without_home(self.path)

    @property
    def name(self) -> str:
        """What is the same of it in two environments that have it in one place, without its version."""
        if self.brought:
            return plain(VERSION.sub(r"\1", self.brought.name))
        name = plain(VERSION.sub(r"\1", self.file))
        return f"lib-dynload/{name}" if Path(self.path).parent.name == "lib-dynload" else name

    @property
    def is_openmp(self) -> bool:
        """Whether it is an OpenMP runtime."""
        return bool(OPENMP.match(plain(self.file)))

    def told(self) -> str:
        """Version, size and digest of a wheel's; of another its place and size; a module of Python's own needs none."""
        size = f"{self.size / 2**20:.2f} MiB"
        if self.origin == "Python":
            return f"Python's own, {size}"
        if not self.brought:
            return f"{self.origin}: {self.place}, {size}"
        version = VERSION.sub(r"\2", plain(self.file))
        return ", ".join(filter(None, (f"so.{version}" if version else "", size, self.brought.digest)))


@dataclass
class Look:
    """What there is in the environment, and what of it and of others is mapped."""

    brought: dict[str, Brought]
    """By real path."""
    mapped: list[Mapped]
    variables: Mapping[str, str]
    """Those of the process."""
    preloads: str = ""
    """What /etc/ld.so.preload says."""
    libraries: dict[str, Library] = field(default_factory=dict)
    """What the libraries of the wheels that take part in a run say of themselves, by real path: of torch and what goes
    with it, and of each of which something is mapped."""
    is_own: bool = False
    """Whether the environment is one of its own, beside the Python that it was made from: nothing but packages brings
    anything into it."""

    @cached_property
    def loader(self) -> str:
        """The dynamic loader that this process was started by; empty where it is not known."""
        return next((one.path for one in self.mapped if one.file.startswith("ld-")), "")

    @cached_property
    def outside(self) -> list[Mapped]:
        """The libraries that neither the environment nor Python has."""
        return [one for one in self.mapped if one.origin in ("system", "elsewhere")]

    @cached_property
    def preloaded(self) -> list[str]:
        """What is preloaded, as it was asked for."""
        return re.split(r"[\s:]+", f"{self.variables.get('LD_PRELOAD', '')} {self.preloads}".strip())

    def is_preloaded(self, one: Mapped) -> bool:
        """Whether a library is here as it was preloaded, by its path or by its name."""
        return any(asked in (one.called, one.file) or os.path.realpath(asked) == one.path for asked in self.preloaded)

    @cached_property
    def search_path(self) -> list[str]:
        """The folders of LD_LIBRARY_PATH."""
        return [folder for folder in re.split("[:;]", self.variables.get("LD_LIBRARY_PATH", "")) if folder]

    def by_search_path(self, one: Mapped) -> bool:
        """Whether a library lies in a folder of LD_LIBRARY_PATH."""
        return str(Path(one.path).parent) in map(os.path.realpath, self.search_path)

    def named(self) -> dict[str, Mapped]:
        """The mapped ones by names that tell them apart."""
        found: dict[str, Mapped] = {}
        for one in sorted(self.mapped, key=lambda one: (one.origin != "wheel", one.name)):
            found[one.place if one.name in found else one.name] = one
        return found


def look() -> Look:
    """Look at this process."""
    installed = distributions()
    of_wheels = brought(installed)
    mapped = [mapped_at(path, of_wheels) for path in mapped_paths(MAPS.read_text(encoding="utf-8", errors="replace"))]
    used = {one.brought.distribution for one in mapped if one.brought} | about_torch(installed)
    libraries = {path: read_library(Path(path)) for path, one in of_wheels.items() if one.distribution in used}
    known = {path: one for path, one in libraries.items() if one}
    preloads = PRELOADS.read_text(encoding="utf-8", errors="replace") if PRELOADS.exists() else ""
    return Look(of_wheels, mapped, os.environ, preloads, known, IS_OWN)


def about_torch(installed: Mapping[str, metadata.Distribution]) -> set[str]:
    """The distributions that torch is, needs, or is needed by. What else is installed and has nothing mapped takes no
    part in a run, whatever its libraries lack."""
    return {named_with_version(installed[name]) for name in related("torch", installed) if name in installed}


def mapped_paths(maps: str) -> list[str]:
    """The files in /proc/self/maps that have code, each once."""
    return [*dict.fromkeys(path for path in paths_in(maps) if not path.startswith(NO_LIBRARY))]


def paths_in(maps: str) -> Iterator[str]:
    """The file of every line that has some code."""
    for line in maps.splitlines():
        found = LINE.fullmatch(line)
        if found and os.path.realpath(found.group(1)) != os.path.realpath(sys.executable):
            yield found.group(1)


def mapped_at(path: str, of_wheels: Mapping[str, Brought]) -> Mapped:
    """What is mapped of a file."""
    file = Path(path)
    size = file.stat().st_size if file.exists() else 0  # it may have been replaced since
    return Mapped(path, size, read_library(file), origin_of(path, of_wheels), of_wheels.get(path))


def origin_of(path: str, of_wheels: Mapping[str, Brought]) -> Origin:
    """Where a mapped file is from."""
    if path in of_wheels:
        return "wheel"
    if IS_OWN and below(path, sys.prefix):
        return "environment"
    if Path(path).name.startswith("libpython") or below(path, sysconfig.get_path("platstdlib")):
        return "Python"
    if sys.base_prefix not in SHARED_ROOTS and below(path, sys.base_prefix):
        return "Python" if IS_OWN else "environment"
    return "system" if SYSTEM.match(path) else "elsewhere"


def below(path: str, folder: str) -> bool:
    """Whether a path lies in a folder, or in one that is in it."""
    return path.startswith(os.path.realpath(folder) + os.sep)


def without_home(path: str) -> str:
    """A path with `~` in place of the user's own folder."""
    home = str(Path.home())
    return "~" + path[len(home) :] if below(path, home) else path
