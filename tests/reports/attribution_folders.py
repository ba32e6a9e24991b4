"""Results folders of the case `attribution`, with breakdowns whose numbers can be followed by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from results_folder import MIB, Folder

from harness.core.record import Breakdown, Metric, Sitting
from harness.core.spec import TWIN

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.13.1"]
BASE = {"conv, forward": 40.0, "conv, backward": 100.0, "norm, backward": 50.0, "loss": 10.0, "a": 0.5, "b": 0.5}
"""Milliseconds of a step of the baseline."""
NOISE = (0.0, 0.2, -0.2, 0.1, -0.1, 0.0)
"""Milliseconds, by sitting, in every part of a pin; each pin begins at another place."""
LAPS = 3
SETTINGS = {"attribution": {"laps": LAPS, "sittings": len(NOISE)}}


def breakdown(name: str, rows: Sequence[Mapping[str, float]], unit: str = "s") -> Breakdown:
    """A breakdown of these rows."""
    names = dict.fromkeys(part for row in rows for part in row)
    parts = {part: [row.get(part, 0.0) for row in rows] for part in names}
    return Breakdown(name, unit, [sum(row.values()) for row in rows], parts)


def rows_of(parts: Mapping[str, float], place: int) -> list[dict[str, float]]:
    """The rows of a pin in seconds: in every sitting a disturbed lap among quiet ones."""
    return [
        {name: (value + NOISE[(sitting + place + number) % len(NOISE)] + 5 * (lap == 1)) / 1e3
         for number, (name, value) in enumerate(parts.items())}
        for sitting in range(len(NOISE))
        for lap in range(LAPS)
    ]  # fmt: skip


def keep(
    folder: Folder, pin: str, parts: Mapping[str, float], *, memory: float = 100.0, plain: float | None = None
) -> None:
    """Write the record of a pin with these parts of a step in ms, and so much memory in MiB."""
    place = folder.pins.index(pin)
    rows = rows_of(parts, place)
    step = sum(parts.values()) / 1e3 if plain is None else plain / 1e3
    seconds = [step + NOISE[(number // LAPS + place) % len(NOISE)] / 1e3 for number in range(len(rows))]
    held = [{"weights": 40.0 * MIB, "outside": (memory - 40 + noise) * MIB} for noise in NOISE]
    folder.keep(
        pin,
        case="attribution",
        metrics=[Metric("plain_step_time", "s", seconds), Metric("traced_step_time", "s", seconds)],
        breakdowns=[breakdown("time_by_layer", rows), breakdown("memory_by_layer", held, "bytes")],
        sittings=[Sitting(f"s{number}", place, LAPS) for number in range(len(NOISE))],
    )


def looked_into(folder: Make, **changes: float) -> Folder:
    """A folder in which the candidate's parts differ by so many ms; parts that the baseline lacks are new ones."""
    results = folder(PINS, 1, cases=["attribution"], settings=SETTINGS)
    keep(results, "1.10.0", BASE)
    keep(results, TWIN, BASE)
    named = {name.replace("_", ", ") if "<" not in name else name: change for name, change in changes.items()}
    keep(results, "1.13.1", {name: BASE.get(name, 0.0) + named.get(name, 0.0) for name in {**BASE, **named}})
    return results
