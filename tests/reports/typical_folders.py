"""Results folders as several tests want them: filled by the factory with figures that end in a known way."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence

import msgspec
from results_folder import Folder, alike, environment, metric, policy

from harness.core.faults import Fault
from harness.core.spec import TWIN

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]


EPOCHS = [30.0, 31.0, 30.5]


POLICY = policy("epoch_time", "map50")


def filled(
    folder: Make, name: str, *, cpu: str = "", factor: float = 1.0, pins: list[str] | None = None, **spec: str
) -> Folder:
    """Three whole rounds on a processor; the candidates' epochs take longer by this factor. The records end at times
    that no other folder's do; `spec` is changed in all of its specs."""
    names = pins or PINS
    copies = dict.fromkeys(names, spec) if spec else {}
    results = folder(names, rounds=3, name=name, policy=POLICY, copies=copies)
    for pin in results.pins:
        slower = factor if pin not in (results.pins[0], TWIN) else 1.0
        results.keep_all(pin, epoch=[value * slower for value in EPOCHS])
    change(results, ended=f"on {name}", environment=environment(cpu=cpu or f"CPU of {name}"))
    return results


def change(results: Folder, **changes: object) -> None:
    """Change all records of a folder."""
    for path in (results.path / "runs").rglob("*.json"):
        record = json.loads(path.read_bytes())
        path.write_bytes(msgspec.json.encode({**record, **changes}))


STEPS = [0.100, 0.101, 0.102, 0.100]


def times_proof(folder: Make, slower: float, twin: float = 1.0, **settings: object) -> Folder:
    """Two rounds of two sittings of the baseline, its twin and a copy that was made slower."""
    copies = {"slow": {"fault": Fault(kind="slow", size=0.05)}}
    results = folder(["1.10.0", TWIN, "slow"], 2, name="proofs/times", copies=copies, **settings)
    for pin, factor in zip(results.pins, (1.0, twin, slower), strict=True):
        results.keep_laps(pin, *two_rounds([step * factor for step in STEPS]))
    return results


def two_rounds(steps: Sequence[float]) -> list[list[list[float]]]:
    """Four sittings with steps of these lengths, in two rounds."""
    return [alike(*steps[:2]), alike(*steps[2:])]


def health_proof(folder: Make, anomalies: list[int]) -> Folder:
    """Four rounds with one fault in memory, which is found, and one in the gradients with so many anomalies."""
    copies = {
        "memory": {"fault": Fault(kind="memory", size=0.05)},
        "nan-gradient": {"fault": Fault(kind="nan-gradient", size=5.0)},
    }
    results = folder(["1.10.0", TWIN, *copies], 4, name="proofs/health", copies=copies)
    for pin in results.pins:
        memory = [value * (1.05 if pin == "memory" else 1.0) for value in (400.0, 401.0, 402.0, 400.0)]
        results.keep_all(pin, memory=memory, anomalies=anomalies if pin == "nan-gradient" else [0] * 4)
    return results


def converged(folder: Make, **pins: Sequence[float]) -> Folder:
    """Seeds of the baseline and, as `candidate`, of 1.12.1."""
    names = {"baseline": "1.10.0", "candidate": "1.12.1"}
    rounds = max(map(len, pins.values()))
    results = folder(
        [names[one] for one in pins], rounds=rounds, cases=["converge"], policy=policy("map50", "map50_spread")
    )
    for one, scores in pins.items():
        results.keep_seeds(names[one], *scores)
    return results


def seeds(spread: float, n: int, mean: float = 0.8) -> list[float]:
    """Scores with exactly this standard deviation."""
    steps = [place - (n - 1) / 2 for place in range(n)]
    scale = math.sqrt(sum(step**2 for step in steps) / (n - 1))
    return [mean + spread * step / scale for step in steps]


ALL = {"epoch": [30.0, 31.0, 30.5], "memory": [400.0, 401.0, 400.5], "map50": [0.8, 0.81, 0.805]}


def times(factor: float) -> dict[str, list[float]]:
    """The values of `ALL`, the epochs longer by this factor."""
    return {**ALL, "epoch": [value * factor for value in ALL["epoch"]]}


def judged(folder: Make, factor: float = 1.0, pins: list[str] | None = None, **settings: object) -> Folder:
    """Three whole rounds; the last pin's epochs take longer by this factor."""
    results = folder(pins or PINS, rounds=3, **{"policy": policy("epoch_time", "map50"), **settings})
    for pin in results.pins:
        results.keep_all(pin, **(times(factor) if pin == results.pins[-1] else ALL))
    return results


PLAIN = {"plain loop": {"instruments": False}}


STEPS_BESIDE_PLAIN = [0.100, 0.102, 0.104, 0.101]


def instruments(folder: Make, plain: float = 1.0, twin: float = 1.0, **settings: object) -> Folder:
    """Two rounds of two sittings of the baseline, its twin, and a copy without instruments."""
    pins = ["1.10.0", TWIN, *PLAIN]
    results = folder(pins, 2, name="proofs/instruments", **{"copies": PLAIN, **settings})
    for pin, factor in zip(pins, (1.0, twin, plain), strict=True):
        results.keep_laps(pin, *two_rounds([step * factor for step in STEPS_BESIDE_PLAIN]))
    return results


def soak_proof(folder: Make, leaks: list[float], twin: float = 0.0, noise: float = 0.0) -> Folder:
    """Two soaks of the baseline, its twin and a copy with a leak, each growing by so much an epoch."""
    drawn = random.Random(1)
    copies = {"leak": {"fault": Fault(kind="leak", size=0.005)}}
    results = folder(["1.10.0", TWIN, "leak"], 2, name="proofs/soak", cases=["soak"], copies=copies)
    for pin, growths in zip(results.pins, ([0.0, 0.0], [twin, twin], leaks), strict=True):
        for_epochs = [[4e8 * (1 + growth) ** epoch for epoch in range(50)] for growth in growths]
        results.keep_soak(pin, *[[value * (1 + drawn.gauss(0, noise)) for value in one] for one in for_epochs])
    return results


def of_three_cases(folder: Make) -> Folder:
    """Two rounds of cases that have metrics in common, all of them judged."""
    names = ("training_memory", "map50", "map50_spread")
    results = folder(rounds=2, cases=["train", "converge", "soak"], policy=policy(*names))
    for pin in results.pins:
        results.keep_all(pin)
        results.keep_seeds(pin, 0.8, 0.81)
        for index in range(2):
            results.keep(pin, index, "soak", metrics=[metric("training_memory", "bytes", 4e8)])
    return results
