"""The body of the case `checkpoints`."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import msgspec
import numpy as np
from msgspec.structs import replace

from cases.checkpoints import Settings
from cases.checkpoints.bench import Feed, write_feeds
from cases.checkpoints.desk import Result, Task
from cases.checkpoints.kinds import KINDS
from harness.cell import compat
from harness.cell.children import Child
from harness.cell.data.batches import Batch, StreamDigest
from harness.cell.measured import Measured
from harness.cell.model import make_network
from harness.cell.run import Run
from harness.cell.targets import pad_targets
from harness.cell.train import training_batches
from harness.cell.weights import weights_digest
from harness.core.errors import UsageError
from harness.core.spec import Pin

TIMED = "state"
"""The kind whose loading is timed, of the pin's own file."""


def measure(run: Run) -> Measured:
    """Have every pin save every kind of file, and load them all here."""
    began = time.monotonic()
    with run.scratch() as scratch:
        measured = Exchange(run, scratch).measured()
    measured.measuring = time.monotonic() - began
    return measured


class Exchange:
    """What every pin saves, read here. Files are in `scratch`, those of one pin at a time."""

    def __init__(self, run: Run, scratch: Path) -> None:
        self.run = run
        self.settings = run.settings_as(Settings)
        self.spec = replace(run.spec, peers=[])
        self.scratch = scratch
        self.feeds = scratch / "feeds.npz"
        self.stream = StreamDigest()

    def measured(self) -> Measured:
        """All checks, pin by pin."""
        write_feeds(self.feeds, [*map(feed_of, self.batches())])
        drawn = weights_digest(make_network(self.spec, len(self.run.data.classes)))
        measured = self.run.measured(drawn, self.stream.hexdigest())
        for peer in self.run.spec.peers:
            self.read_from(peer, measured)
        if not measured.metrics:
            measured.keep_reason("load_time", "its own state dict did not load")
        return measured

    def batches(self) -> list[Batch]:
        """Those of the steps before a file is saved, and one more; `UsageError` for one that cannot be read."""
        with training_batches(self.spec, self.run.data) as batches:
            endless = (batch for epoch in itertools.count() for batch in batches.epoch(epoch))
            found = [*itertools.islice(endless, self.settings.steps + 1)]
        for batch in found:
            if batch.problem:
                raise UsageError(f"A batch of the case checkpoints cannot be read. {batch.problem}")
            self.stream.update(batch)
        return found

    def read_from(self, peer: Pin, measured: Measured) -> None:
        """Have a pin save, and load its files here: a check for each kind."""
        folder = self.scratch / peer.folder
        folder.mkdir()
        saved = {one.kind: one for one in self.save(peer, folder)}
        kinds = [kind for kind, how in KINDS.items() if saved[how.of or kind].whole]
        task = self.task(self.spec.pin, folder, kinds, loads=True)
        loaded = {one.kind: one for one in self.ask(task, f"loading what {peer.name} saved")}
        for kind, how in KINDS.items():
            if kind in loaded:
                self.judge(f"{kind}:{peer.name}", loaded[kind], measured)
            else:
                why = saved[how.of or kind]
                measured.check(f"{kind}:{peer.name}", None, f"{peer.name} saved none: {why.cannot or why.failed}")
        if is_own(peer, self.spec.pin):
            self.keep_own([*saved.values(), *loaded.values()], measured)

    def save(self, peer: Pin, folder: Path) -> list[Result]:
        """What came of saving in a peer's environment."""
        pin, interpreter = peer, self.run.interpreter_of(peer)
        if is_own(peer, self.spec.pin):
            pin, interpreter = self.spec.pin, sys.executable  # here: the twin has an environment of its own
        task = self.task(pin, folder, [kind for kind, how in KINDS.items() if how.save], loads=False)
        if not interpreter:
            return without_desk(task, "its environment was not built")
        return self.ask(task, f"saving on {peer.name}", interpreter)

    def task(self, pin: Pin, folder: Path, kinds: list[str], *, loads: bool) -> Task:
        """What a desk is to do in the environment of a pin."""
        return Task(
            spec=replace(self.spec, pin=pin),
            classes=len(self.run.data.classes),
            feeds=str(self.feeds),
            folder=str(folder),
            kinds=kinds,
            loads=loads,
            patience=self.settings.patience_seconds,
            answer=str(folder / "answer.json"),
        )

    def ask(self, task: Task, phase: str, interpreter: str = sys.executable) -> list[Result]:
        """Have a desk do it: what came of each kind."""
        with Child([interpreter, "-m", "cases.checkpoints.desk"], msgspec.json.encode(task)) as desk:
            for event in desk.events():
                self.run.progress.tick(**{**event, "phase": phase})
            failed = desk.end()
        if failed:
            return without_desk(task, f"{failed}, the run's log has why")
        return msgspec.json.decode(Path(task.answer).read_bytes(), type=list[Result])

    @staticmethod
    def keep_own(results: Sequence[Result], measured: Measured) -> None:
        """What this pin tells of itself: how long loading takes, what is said of its files, and the branches taken."""
        for one in results:
            compat.taken.update(one.branches)
            if one.remark:
                measured.notes[one.kind] = one.remark
            if one.kind == TIMED and one.seconds:
                measured.keep_metric("load_time", [one.seconds])

    def judge(self, name: str, loaded: Result, measured: Measured) -> None:
        """Whether a file loads, and what comes of it is the same within what is allowed."""
        if not loaded.whole:
            held = None if loaded.cannot else False
            measured.check(name, held, loaded.cannot or loaded.failed, warnings=loaded.warnings)
            return
        apart = [one for one in loaded.apart.values() if one is not None]
        largest = max(apart) if len(apart) == len(loaded.apart) else None
        same = largest is not None and largest <= self.settings.allowed
        said = "; ".join(f"{what}: {in_words(one)}" for what, one in loaded.apart.items())
        measured.check(name, same, said, apart=largest, warnings=loaded.warnings)


def without_desk(task: Task, why: str) -> list[Result]:
    """That nothing is known of any kind."""
    return [Result(kind, cannot=why) for kind in task.kinds]


def is_own(peer: Pin, pin: Pin) -> bool:
    """Whether the peer is this pin, or the one that this is a copy of."""
    return peer.torch == pin.torch


def in_words(apart: Optional[float]) -> str:
    """How far something is from what it should be."""
    if apart is None:
        return "of other shapes, or not finite"
    return f"apart by a share of {apart:.1e}" if apart else "equal in all bits"


def feed_of(batch: Batch) -> Feed:
    """A batch as a network and its criterion take it."""
    height, width = batch.images.shape[2:]
    images = batch.images.astype(np.float32) / np.float32(255)
    return Feed(images, pad_targets(batch.targets, len(images), width, height))
