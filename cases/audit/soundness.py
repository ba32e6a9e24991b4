"""What is judged of an environment: whether it is complete, unmixed, and able to run here."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from cases.audit.brought import Needs, plain
from cases.audit.elf import Library
from cases.audit.mapped import Look, Mapped, without_home

DRIVER = re.compile(r"lib(cuda|cudadebugger|nvcuvid|nvidia-[\w-]+|mlx\d+|ibverbs|rdmacm)\.so")
"""What belongs to the hardware and is the machine's by right: NVIDIA's driver, InfiniBand."""
FAMILY = re.compile(r"lib(cudnn|cublas|cudart|cufft|curand|cusolver|cusparse|nvrtc|nvJitLink|nccl|cupti|mkl|torch|c10)")
"""Libraries of which torch's wheels bring their own, or have it inside."""
OF_SYSTEM = ("GLIBC", "GLIBCXX", "CXXABI", "GCC")
"""Versions of symbols that the C and C++ libraries of the system have to have."""
MOST = 4
"""Problems that are told."""


@dataclass
class Finding:
    """What came of one check: what is wrong, and what is worth knowing beside it, as ends of sentences."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def said(self) -> str:
        """All of it on one line; of many problems the first."""
        more = len(self.problems) - MOST
        return "; ".join([*self.problems[:MOST], *([f"and {more} more"] if more > 0 else []), *self.notes])


# --- complete -----------------------------------------------------------------------------------------------------


def complete(look: Look, required: Sequence[Needs]) -> Finding:
    """Whether what the wheels' libraries and torch's packages need is there. All that is mapped has what it needs, or
    the loader would have refused it."""
    finding = Finding()
    of_hardware: dict[str, None] = {}
    for place, missing in missing_libraries(look):
        if DRIVER.match(missing):
            of_hardware[missing] = None
        else:
            finding.problems.append(f"{place} needs {missing}, which is nowhere")
    finding.problems += [unmet(one) for one in required if not one.met]
    finding.notes.append(f"{len(look.mapped)} libraries are mapped, {len(look.libraries)} of wheels in use were read")
    if of_hardware:
        names = ", ".join(of_hardware)
        finding.notes.append(f"{names} would be of a driver that this machine does not have")
    return finding


def missing_libraries(look: Look) -> Iterator[tuple[str, str]]:
    """A wheel's library, and the name of one that it needs and that neither is mapped, nor brought by any wheel, nor
    found by the loader."""
    there = {name for one in look.mapped for name in (one.called, one.file)}
    there.update(one.file for one in look.brought.values())
    for path, library in look.libraries.items():
        wanted = [name for name in library.needed if name not in there]
        for name in sorted(set(wanted) & not_found(look, path)) if wanted else ():
            yield look.brought[path].name, name


def not_found(look: Look, path: str) -> set[str]:
    """What the dynamic loader does not find of all that a library needs: it tells (ld.so(8), LD_TRACE_LOADED_OBJECTS)
    what it would map, by the rules and folders of this machine, and runs nothing of it."""
    if not look.loader:
        return set()
    variables = {**look.variables, "LD_TRACE_LOADED_OBJECTS": "1", "LC_ALL": "C"}
    traced = subprocess.run([look.loader, path], env=variables, capture_output=True, check=False)
    lines = traced.stdout.decode("utf-8", "replace").splitlines()
    return {line.split()[0] for line in lines if line.rstrip().endswith("=> not found")}


def unmet(one: Needs) -> str:
    """A requirement that is not met."""
    wanted = "" if one.specifier == "any" else f" {one.specifier}"
    there = f"{one.installed} is installed" if one.installed else "which is not installed"
    return f"{one.distribution} {one.version} requires {one.other}{wanted}, {there}"


# --- unmixed ------------------------------------------------------------------------------------------------------


def unmixed(look: Look) -> Finding:
    """Whether what is mapped is what the wheels brought, and nothing that is preloaded, found by LD_LIBRARY_PATH or of
    the system stands in for it."""
    finding = Finding()
    finding.problems += [problem for one in look.outside for problem in intrusions(look, one)]
    finding.problems += [*runtimes(look), *twice(look), *changed(look)]
    outside = sum(one.origin == "system" for one in look.mapped)
    finding.notes.append(f"{outside} of {len(look.mapped)} mapped libraries are the system's")
    finding.notes += [*isolated(look), *waiting(look)]
    return finding


def intrusions(look: Look, one: Mapped) -> Iterator[str]:
    """How a library from outside has come in, where it should not have."""
    if DRIVER.match(one.called):
        return
    instead = [own for own in look.brought.values() if plain(own.file) == one.called]
    # of a name that has a digest in it the wheel's own libraries find no other
    replaced = [own for own in instead if own.file == one.called]
    beside = f", and {instead[0].distribution} brings {instead[0].name}" if instead else ""
    if look.is_preloaded(one):
        yield f"{one.called} is preloaded from {one.place}{beside}"
    elif one.origin == "elsewhere" and look.by_search_path(one) and (instead or needed_by_wheels(look, one.called)):
        yield f"{one.called} is taken from {one.place} by LD_LIBRARY_PATH{beside}"
    elif replaced:
        yield f"{one.called} is taken from {one.place}{beside}"
    elif FAMILY.match(one.called) and not is_wanted(look, one.called):
        yield f"{one.called} is mapped from {one.place}, and none of the wheels needs it"


def needed_by_wheels(look: Look, name: str) -> bool:
    """Whether some library of a wheel needs one by this name."""
    return any(name in library.needed for library in look.libraries.values())


def is_wanted(look: Look, name: str) -> bool:
    """Whether the wheels leave it to the machine to have this library or its family: they need it and bring none."""
    found = FAMILY.match(name)
    assert found
    return any(one.startswith(found.group()) for library in look.libraries.values() for one in library.needed) and not (
        any(one.file.startswith(found.group()) for one in look.brought.values())
    )


def runtimes(look: Look) -> Iterator[str]:
    """Two OpenMP runtimes each have their own threads, and what is set of one does not hold for the other."""
    found = [one for one in look.mapped if one.is_openmp]
    if len(found) > 1:
        yield f"{len(found)} OpenMP runtimes are mapped: {places(found)}"


def twice(look: Look) -> Iterator[str]:
    """Libraries of which two files of one name are mapped: who needs the name gets either."""
    for name, alike in by_name(look.mapped, lambda one: one.file).items():
        digests = {one.brought.digest if one.brought else one.path for one in alike}
        if len(digests) > 1 and not alike[0].is_openmp:
            yield f"{name} is mapped {len(alike)} times, from {places(alike)}"


def isolated(look: Look) -> Iterator[str]:
    """Those of which wheels have brought several, each under a name of its own, so that none is taken for another."""
    of_wheels = [one for one in look.mapped if one.brought]
    names = by_name(of_wheels, lambda one: one.called)
    if names:
        told = ", ".join(f"{name} ({places(alike)})" for name, alike in names.items())
        yield f"several wheels bring under names of their own: {told}"


def by_name(mapped: Iterable[Mapped], name_of: Callable[[Mapped], str]) -> dict[str, list[Mapped]]:
    """The names that several libraries have. A module of Python is found by its path alone."""
    found: dict[str, list[Mapped]] = {}
    for one in mapped:
        if one.library and one.library.soname and one.file.startswith("lib"):
            found.setdefault(name_of(one), []).append(one)
    return {name: alike for name, alike in found.items() if len(alike) > 1}


def places(mapped: Iterable[Mapped]) -> str:
    """Where libraries lie."""
    return " and ".join(one.place for one in mapped)


def changed(look: Look) -> Iterator[str]:
    """Files of the environment that are not as any distribution brought them."""
    for one in look.mapped:
        own = one.brought
        if own and own.size not in (None, one.size):
            yield f"{own.name} has {one.size:,} bytes, and {own.distribution} brought {own.size:,}"
        if one.origin == "environment" and look.is_own:
            yield f"{one.place} lies in the environment, and no package has brought it"


def waiting(look: Look) -> Iterator[str]:
    """Libraries in folders of LD_LIBRARY_PATH by whose names a wheel's could be sought, and that were not taken."""
    taken = {one.path for one in look.mapped}
    own = {one.file for one in look.brought.values()}
    found = [
        without_home(str(path))
        for folder in look.search_path
        for path in sorted(Path(folder).glob("*.so*"))
        if (path.name in own or FAMILY.match(path.name)) and os.path.realpath(str(path)) not in taken
    ]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield f"LD_LIBRARY_PATH has {found[0]}{more}, not taken"


# --- able: the C libraries ----------------------------------------------------------------------------------------


def c_libraries(look: Look) -> Finding:
    """Whether the C and C++ libraries that are mapped have all versions of symbols that the wheels ask for."""
    finding = Finding()
    offered = {version for one in look.mapped if one.library for version in one.library.offers}
    for family in OF_SYSTEM:
        asked = sorted(asks_of(look, family), key=lambda one: numbers(one[0]))
        lacking = [(version, place) for version, place in asked if version not in offered]
        finding.problems += [f"{place} needs {version}, and {most(offered, family)}" for version, place in lacking[-1:]]
        if asked and not lacking and family in OF_SYSTEM[:2]:
            version, place = asked[-1]
            finding.notes.append(f"{most(offered, family)}, and {version} is the newest that is needed, by {place}")
    return finding


def asks_of(look: Look, family: str) -> Iterator[tuple[str, str]]:
    """Versions of symbols of one family that the wheels' libraries ask for, each with one that does."""
    found: dict[str, str] = {}
    for path, library in look.libraries.items():
        for version in versions_of(library, family):
            found.setdefault(version, look.brought[path].name)
    yield from found.items()


def versions_of(library: Library, family: str) -> Iterator[str]:
    """The numbered versions of one family that a library asks for."""
    return (version for _, version in library.asks if is_of(version, family))


def is_of(version: str, family: str) -> bool:
    """Whether it is a numbered version of this family: GLIBC_2.17, and not GLIBC_PRIVATE."""
    return bool(re.fullmatch(rf"{family}_[\d.]+", version))


def most(offered: Iterable[str], family: str) -> str:
    """What there is at most of a family."""
    there = [version for version in offered if is_of(version, family)]
    return f"{max(there, key=numbers)} is here" if there else f"no {family} is here"


def numbers(version: str) -> tuple[int, ...]:
    """The numbers in a version, to be put in order by."""
    return tuple(map(int, re.findall(r"\d+", version)))
