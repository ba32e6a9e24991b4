"""The body of the case `inference`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, Optional

import msgspec
import numpy as np
from msgspec.structs import replace

from cases.inference import (
    BY_SIZE,
    DETECTIONS,
    HALVES,
    LATENCY,
    LATENCY_P95,
    MAP50,
    MAP50_95,
    MEMORY,
    NETWORK_TIME,
    PREPARE_TIME,
    SUPPRESSION_TIME,
    THROUGHPUT,
    Settings,
)
from cases.inference.deployment import Seconds, batch_of, deployment_of
from harness.cell.checkpoint import content_before, leave_content
from harness.cell.data.batches import EvaluationBatches, StreamDigest
from harness.cell.data.index import Item
from harness.cell.measured import Measured
from harness.cell.probes import MemoryProbe
from harness.cell.resident import give_back
from harness.cell.run import Run
from harness.cell.scoring import Detections, digest_of_detections, no_detections, score
from harness.cell.turns import ALONE, Turns, told_where_there_is_no_room
from harness.core.declaration import Combination, key_of, part_name
from harness.core.record import Sitting
from harness.core.turns import READY

DRAWS = 20
"""Random halves of the pictures of which there is an mAP."""
ON_GPU_ONLY = "half precision is for a GPU"


STEPS: dict[str, Callable[[Seconds], float]] = {
    NETWORK_TIME.name: lambda one: one.network,
    PREPARE_TIME.name: lambda one: one.prepare,
    SUPPRESSION_TIME.name: lambda one: one.suppression,
    LATENCY.name: lambda one: one.latency,
}
"""By metric what it is of a batch's seconds."""


class Taken(msgspec.Struct):
    """What the processes of a run have measured so far; by the key of a combination."""

    sittings: list[Sitting] = []
    """`laps` counts those of warm-up too."""
    seconds: dict[str, list[Seconds]] = {}
    """Of every lap."""
    peaks: dict[str, list[float]] = {}
    """Bytes, one value a process."""
    no_peaks: str = ""
    """Why there are none."""
    measuring: float = 0.0


def measure(run: Run) -> Optional[Measured]:
    """Detect by turns; the last process of a run looks for the mAP too. None where another process goes on."""
    assert run.place  # a case that takes turns is given one
    with told_where_there_is_no_room(run.progress, run.place):
        server = Server(run)
        server.take_turns()
        if len(server.taken.sittings) < server.settings.sittings:
            content = msgspec.json.encode(server.taken)
            leave_content(run.spec, run.place.leave, len(server.taken.sittings), content)
            return None
        server.turns.wait()
        return server.measured()


class Server:
    """One process of a run at work."""

    def __init__(self, run: Run) -> None:
        assert run.place
        self.run = run
        self.place = run.place
        self.settings = run.settings_as(Settings)
        self.items = run.data.val[: self.settings.pictures or None]
        self.precisions = [one for one in self.settings.precisions if one == "fp32" or run.spec.device != "cpu"]
        self.taken = taken_before(run)
        self.deployment = deployment_of(run, self.precisions)
        self.turns = Turns(run.progress)

    def kinds(self) -> list[Combination]:
        """The combinations that there are on this device."""
        return [at for at in self.run.combinations() if at["precision"] in self.precisions]

    def take_turns(self) -> None:
        """The laps of this process, and a last turn for its peak memory: what resets and reads the peaks costs time."""
        warmup, laps = self.run.spec.train.warmup_batches, self.settings.laps
        part = len(self.taken.sittings)
        self.run.progress.tell(phase=READY)
        for lap in range(warmup + laps):
            self.turns.wait()
            began = time.perf_counter()
            for at in self.kinds():
                seconds = self.detect(at, part * (warmup + laps) + lap)
                self.taken.seconds.setdefault(key_of("", at), []).append(seconds)
            self.taken.measuring += time.perf_counter() - began
        self.turns.wait()
        self.take_peaks()
        self.taken.sittings.append(Sitting(self.place.sitting, self.place.seat, warmup + laps))

    def detect(self, at: Combination, number: int) -> Seconds:
        """What a batch of this kind takes."""
        self.run.progress.tick(phase="detecting", **at)
        order = batch_of(self.items, number, int(at["size"]), int(at["batch"]))
        return self.deployment.detect(order, str(at["precision"]))[1]

    def take_peaks(self) -> None:
        """The most memory that a batch of each kind takes, with the network. What larger batches have left free in the
        heap is given back first: a smaller one would seem to need it."""
        probe = MemoryProbe(self.deployment.device)
        for at in self.kinds():
            give_back()
            probe.start_epoch()
            self.detect(at, 0)
            probe.end_epoch()
            peak = probe.peak() - self.deployment.beside(str(at["precision"]))
            self.taken.peaks.setdefault(key_of("", at), []).append(peak)
        self.taken.no_peaks = probe.reasons.get(probe.names.peak, "")

    # --- what the last process does -----------------------------------------------------------------------------------

    def measured(self) -> Measured:
        """All that the run came to."""
        began = time.perf_counter()
        stream = StreamDigest()
        found = {key_of("", at): detections for at, detections in self.detections(stream)}
        measured = self.run.measured(self.deployment.weights, stream.hexdigest())
        self.keep_times(measured)
        self.keep_peaks(measured)
        self.keep_quality(measured, found)
        measured.measuring = self.taken.measuring + time.perf_counter() - began
        if self.place.seats == 1:
            measured.notes[NETWORK_TIME.name] = ALONE
        return measured

    def detections(self, stream: StreamDigest) -> Iterator[tuple[Combination, Detections]]:
        """All that is found in the pictures, at every size in every precision; the batches go into the digest."""
        batch = max(self.settings.batches)
        for size in self.settings.sizes:
            tables: dict[str, list[Detections]] = {one: [no_detections()] for one in self.precisions}
            with EvaluationBatches(self.items, size, batch, self.run.spec.train.workers) as batches:
                for number, one in enumerate(batches):
                    stream.update(one)
                    for precision in tables:
                        tables[precision] += self.deployment.found_in(one, precision)
                    self.run.progress.tick(phase="evaluating", size=size, batch=number)
            for precision, rows in tables.items():
                yield {"precision": precision, "size": size}, np.concatenate(rows)

    def keep_times(self, measured: Measured) -> None:
        """Keep what every lap took. The start of every process is warm-up, and no part of a percentile."""
        warmup = self.run.spec.train.warmup_batches
        measured.sittings = [replace(one, laps=one.laps - warmup) for one in self.taken.sittings]
        for at in self.run.combinations():
            laps = by_sitting(self.taken.seconds.get(key_of("", at), []), self.taken.sittings)
            starts, samples = (
                [lap for own in laps for lap in own[part]] for part in (slice(warmup), slice(warmup, None))
            )
            for name, value in STEPS.items():
                self.keep(measured, name, [value(one) for one in samples], at, [value(one) for one in starts])
            speeds = [[int(at["batch"]) / one.latency for one in some] for some in (samples, starts)]
            self.keep(measured, THROUGHPUT.name, speeds[0], at, speeds[1])
            slow = [float(np.percentile([lap.latency for lap in own[warmup:]], 95)) for own in laps if own]
            self.keep(measured, LATENCY_P95.name, slow, at)

    def keep_peaks(self, measured: Measured) -> None:
        """Keep the peaks, of a GPU's memory or of the process's; or why there are none."""
        for metric, at in itertools.product(MEMORY, self.run.combinations()):
            if self.taken.no_peaks:
                measured.keep_reason(metric.name, self.taken.no_peaks, at)
            else:
                self.keep(measured, metric.name, self.taken.peaks.get(key_of("", at), []), at)

    def keep_quality(self, measured: Measured, found: Mapping[str, Detections]) -> None:
        """Keep the COCO figures of all pictures, and of random halves of them."""
        items, classes = self.deployment.planted.truth(self.items), self.run.data.classes
        digests = []
        for at in self.run.combinations(*BY_SIZE):
            here = found.get(key_of("", at), no_detections())
            whole = score(items, classes, here)
            self.keep(measured, MAP50.name, [whole.map50], at)
            self.keep(measured, MAP50_95.name, [whole.map50_95], at)
            if at["precision"] in self.precisions:
                halves = [score(some, classes, rows).map50 for some, rows in halves_of(items, here)]
                measured.keep_series(part_name(HALVES.name, at), halves)
                digests.append((", ".join(map(str, at.values())), digest_of_detections(here)))
        measured.keep_places(DETECTIONS.name, digests)

    def keep(
        self, measured: Measured, name: str, samples: Sequence[float], at: Combination, warmup: Sequence[float] = ()
    ) -> None:
        """Keep a metric at a combination, or that the device has not its precision."""
        if at["precision"] in self.precisions:
            measured.keep_metric(name, samples, warmup, at)
        else:
            measured.keep_reason(name, ON_GPU_ONLY, at)


def by_sitting(laps: Sequence[Seconds], sittings: Sequence[Sitting]) -> list[Sequence[Seconds]]:
    """The laps of each sitting."""
    ends = [*itertools.accumulate(one.laps for one in sittings)]
    return [laps[start:end] for start, end in zip([0, *ends], ends)]


def halves_of(items: Sequence[Item], found: Detections) -> Iterator[tuple[list[Item], Detections]]:
    """Random halves of the pictures, the same ones on every pin and at every size, with what was found in them."""
    for draw in range(DRAWS if len(items) > 1 else 0):
        chosen = np.sort(np.random.RandomState(draw).permutation(len(items))[: len(items) // 2])
        rows = found[np.isin(found[:, 0], chosen + 1)]
        rows[:, 0] = np.searchsorted(chosen + 1, rows[:, 0]) + 1
        yield [items[place] for place in chosen], rows


def taken_before(run: Run) -> Taken:
    """What the processes before this one have left. `CheckpointError` where that cannot be used."""
    assert run.place
    content = content_before(run.spec, run.place.source)
    return msgspec.json.decode(content, type=Taken) if content else Taken()
