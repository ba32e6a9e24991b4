"""The pins' environments as observed, side by side, with what differs marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.core.cases import read_case
from harness.core.record import Environment, Fingerprint
from reports.evidence.figures import Matrix, Observation

MIB = 2**20


@dataclass(frozen=True)
class EnvironmentRow:
    """One thing that was observed, in a cell per pin; `differs` where the pins do not share it."""

    name: str
    cells: list[str]
    differs: bool


def side_by_side(matrix: Matrix) -> dict[str, list[EnvironmentRow]]:
    """All that was observed of the environments, by group. A cell names every value that a pin's runs had."""
    seen: dict[str, dict[str, dict[str, dict[str, None]]]] = {}
    last: dict[tuple[str, str], tuple[Environment | None, list[tuple[str, Fingerprint]]]] = {}
    for one in matrix.observations:
        cell = (one.spec.case, one.spec.pin.name)
        held = (one.environment, inventories_of(one))
        if cell in last and last[cell] == held:  # most runs observe what the one before has
            continue
        last[cell] = held
        for group, name, value in observed(one):
            seen.setdefault(group, {}).setdefault(name, {}).setdefault(one.spec.pin.name, {})[value] = None
    return {
        group: [row_of(name, ["; ".join(by_pin.get(pin, {})) for pin in matrix.pins]) for name, by_pin in names.items()]
        for group, names in seen.items()
    }


def row_of(name: str, cells: list[str]) -> EnvironmentRow:
    """One row; a pin that has not observed it differs from those that have."""
    return EnvironmentRow(name, [cell or "—" for cell in cells], len(set(cells)) > 1)


def observed(one: Observation) -> Iterator[tuple[str, str, str]]:
    """Group, name and value of everything that a run observed."""
    if one.environment:
        yield from (("software and machine", name, value) for name, value in fields_of(one.environment))
        yield from (("flags", name, value) for name, value in one.environment.flags.items())
        yield from (("version branches", name, value) for name, value in one.branches.items())
        yield from (("packages", name, value) for name, value in sorted(one.environment.packages.items()))
    for title, listed in inventories_of(one):
        yield from ((title, name, str(value)) for name, value in zip(listed.places, listed.value, strict=True))
    if one.spec.pin.lock:
        yield "requested", "lock, sha256", one.spec.pin.lock[:12]
    yield "requested", f"harness of {one.spec.case}, sha256", one.spec.harness[:12]


def inventories_of(one: Observation) -> list[tuple[str, Fingerprint]]:
    """What a run has listed of its environment, with the title of each list."""
    declared = [own for own in read_case(one.spec.case).fingerprints if own.inventory]
    return [(own.title, one.fingerprints[own.name]) for own in declared if own.name in one.fingerprints]


def fields_of(environment: Environment) -> Sequence[tuple[str, str]]:
    """The fields of an environment, in words."""
    memory = environment.gpu_memory
    return (
        ("torch", environment.torch),
        ("torchvision", environment.torchvision or "none"),
        ("Python", environment.python),
        ("CUDA", environment.cuda or "none"),
        ("cuDNN", str(environment.cudnn or "none")),
        ("GPU", environment.gpu or "none"),
        ("GPU architecture", environment.gpu_architecture or "none"),
        ("GPU memory", f"{memory // MIB:,} MiB" if memory else "none"),
        ("driver", environment.driver or "none"),
        ("wheel built for", ", ".join(environment.wheel_architectures) or "CPU only or not said"),
        ("CPU", environment.cpu),
        ("cores", str(environment.cores)),
        ("threads", str(environment.threads)),
        ("system", environment.system),
        *((("node", environment.node),) if environment.node else ()),
        ("label", environment.label),
    )
