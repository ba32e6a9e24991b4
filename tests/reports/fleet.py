"""A fleet on paper: `python -m tests.reports.fleet FOLDER [--machines N] [--rounds N]` makes the results folders of so
many machines, each with a matrix of `train` and `soak` on five pins, as small as records can be that have everything.

Machines differ in speed, and every tenth finds the last candidate slower. `nox -s report -- FOLDER/* --into …` then
makes one report of all of them.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from harness.core.files import to_json
from harness.core.record import Fingerprint, Metric, Record, Sitting, record_path
from harness.core.spec import TWIN
from tests.reports.results_folder import MIB, Folder, check, environment, hashes, metric, train_metrics

PINS = ["1.10.0", TWIN, "1.12.1", "1.13.1", "2.8.0"]
CASES = ["train", "soak"]
LAPS, EPOCHS = 20, 30
"""Laps of a sitting, of which a run has two, and epochs of a soak."""
PACKAGES = {f"package-{number}": f"1.{number}.0" for number in range(20)}


def make_fleet(into: Path, machines: int, rounds: int) -> list[Path]:
    """Make the folders of a fleet, `machine-001` and so on, and give them. A machine has 10 records a round."""
    return [make_machine(into / f"machine-{number:03}", number, rounds).path for number in range(1, machines + 1)]


def make_machine(path: Path, number: int, rounds: int) -> Folder:
    """The folder of one machine, filled."""
    drawn = random.Random(number)
    folder = Folder(path, PINS, rounds, cases=CASES)
    speed = 0.1 * drawn.uniform(0.5, 2.0)
    slower = 1.06 if number % 10 == 0 else 1.0
    for index in range(rounds):
        day = {
            "started": f"2026-01-01T{number % 24:02}:{index % 60:02}:00.000+00:00",
            "ended": f"2026-01-02T{number % 24:02}:{index % 60:02}:00.{number:03}+00:00",
        }
        for seat, pin in enumerate(PINS):
            step = speed * (slower if pin == PINS[-1] else 1.0)
            seen = {"environment": environment(cpu=f"processor {number}", packages=PACKAGES), **day}
            leave(path, folder.record(pin, index, **trained(drawn, step, index, seat), **seen))
            leave(path, folder.record(pin, index, "soak", **soaked(drawn, step), **seen))
    return folder


def leave(folder: Path, record: Record) -> None:
    """Write a record as one is kept, without waiting for the disk: a hundred thousand times that takes an hour."""
    path = record_path(folder, record.spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(record))


def trained(drawn: random.Random, step: float, index: int, seat: int) -> dict[str, object]:
    """What a run of `train` has left: two sittings in turns."""
    laps = [step * drawn.lognormvariate(0, 0.02) for _ in range(2 * LAPS)]
    measured = [one for one in train_metrics(memory=400 + drawn.gauss(0, 0.5)) if one.name != "step_time"]
    losses = [5.0 / (1 + place) for place in range(2 * LAPS)]
    return {
        "metrics": [*measured, Metric("step_time", "s", laps)],
        "sittings": [Sitting(f"{index}.{part}", seat, LAPS) for part in range(2)],
        "series": {"loss": [*losses], "map50": [0.1, 0.8]},
        "fingerprints": [Fingerprint("losses", [*losses[:10]]), Fingerprint("final_weights", "f" * 64)],
        "hashes": hashes(),
        "measuring": sum(laps),
    }


def soaked(drawn: random.Random, step: float) -> dict[str, object]:
    """What a run of `soak` has left: memory after every epoch."""
    memory = [400.0 * MIB * drawn.lognormvariate(0, 0.001) for _ in range(EPOCHS)]
    times = [10 * step * drawn.lognormvariate(0, 0.02) for _ in range(EPOCHS)]
    return {
        "metrics": [
            metric("memory_growth", "1/epoch", drawn.gauss(0, 1e-4)),
            metric("throughput_drift", "1/epoch", 0.0),
        ],
        "series": {"rss": memory, "epoch_time": times, "begun": [0.0]},
        "checks": [check("held", "no growth", "three_growths")],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.reports.fleet", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=50, help="ten records each")
    asked = parser.parse_args()
    made = make_fleet(asked.folder, asked.machines, asked.rounds)
    print(f"{len(made) * asked.rounds * len(PINS) * len(CASES):,} records of {len(made)} machines in {asked.folder}")
