"""The body of the case `resume`."""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple, Optional, Union

import numpy as np
from msgspec.structs import replace

from cases.resume import Settings
from harness.cell.checkpoint import CheckpointError, read_checkpoint
from harness.cell.children import Child
from harness.cell.errand import Answer, Errand, do, follow, read_weights, start
from harness.cell.measured import Measured
from harness.cell.run import Run
from harness.core.errors import UsageError
from harness.core.spec import Pin, RunSpec

TRIES = 5
"""How often a kill is tried again that came when the checkpoint had been written already."""
POLL = 0.0005
"""Seconds between two looks for a checkpoint that is being written."""


def measure(run: Run) -> Measured:
    """Kill and resume, then exchange checkpoints with every other pin; `UsageError` where trainings are too short."""
    with run.scratch() as scratch:
        return Resumption(run, scratch).measured()


class Ending(NamedTuple):
    """How a training ended that was killed and resumed."""

    said: str = ""
    """What was not as it should be; empty where it ended as one that nothing happened to."""
    broken: bool = False
    """Whether that is a failure on any device: a training that ends by itself or a checkpoint that is torn, and not
    only another end."""


def require_steps(whole: Answer, spec: RunSpec) -> None:
    """`UsageError` for trainings that are too short: a kill wants a step on both sides, or a checkpoint."""
    settings = spec.settings_as(Settings)
    if len(whole.losses) < max(2, 2 * settings.checkpoint_steps):
        raise UsageError(
            f"The case resume kills trainings of {len(whole.losses)} steps, with a checkpoint every "
            f"{settings.checkpoint_steps}: give it more pictures, or kill_epochs in [profiles.{spec.profile}.resume]."
        )


class Resumption:
    """The trainings of one run of the case. Their files are in `scratch`, each under a name of its own."""

    def __init__(self, run: Run, scratch: Path) -> None:
        self.run = run
        self.settings = run.settings_as(Settings)
        self.spec = run.spec
        self.short = replace(run.spec, train=replace(run.spec.train, epochs=self.settings.kill_epochs))
        self.scratch = scratch
        self.exact = run.spec.device == "cpu" and run.spec.threads == 1
        self.ready: list[float] = []
        self.memory: list[float] = []

    def measured(self) -> Measured:
        """Do all of them, one after another."""
        began = time.monotonic()
        whole = self.ask(Errand(self.short, self.run.index, answer=self.file("whole.json")), "training undisturbed")
        if isinstance(whole, str):
            raise RuntimeError(f"The training that nothing happens to failed: {whole}.")
        require_steps(whole, self.spec)
        measured = self.run.measured(whole.initial_weights, whole.batch_stream)
        measured.keep_fingerprint("final_weights", whole.final_weights)
        self.kill_at_random(whole, measured)
        self.kill_while_writing(whole, measured)
        self.exchange(measured)
        for name, samples in (("resume_time", self.ready), ("resumed_memory", self.memory)):
            if samples:
                measured.keep_metric(name, samples)
            else:
                measured.keep_reason(name, "no training that was killed could be resumed")
        measured.measuring = time.monotonic() - began
        return measured

    def file(self, name: str) -> str:
        """A path in the scratch folder."""
        return str(self.scratch / name)

    def ask(self, errand: Errand, phase: str, interpreter: str = sys.executable) -> Union[Answer, str]:
        """Have an errand done here, or in another environment."""
        return do(errand, self.run.progress, phase, interpreter)

    def kill_at_random(self, whole: Answer, measured: Measured) -> None:
        """Kill trainings at random moments, resume each, and compare its end with that of the whole one."""
        steps = len(whole.losses)
        chance = random.Random(f"kills of seed {self.spec.seed}")
        found = []
        for number in range(self.settings.kills):
            errand = self.killable(f"killed-{number}")
            # from the first checkpoint on: before it there is nothing to resume
            after = chance.randrange(self.settings.checkpoint_steps, steps)
            delay = chance.random() * whole.seconds / steps
            moment = f"step {after + delay * steps / whole.seconds:.1f}"
            with start(errand) as child:
                died = self.strike(child, after, delay, f"kill {number + 1} of {self.settings.kills}")
            if died:
                found.append(Ending(f"before {moment} {died}", broken=True))
            else:
                found.append(self.resumed(errand, whole, moment))
        self.judge(measured, "killed", found)

    def strike(self, child: Child, after: int, delay: float, phase: str) -> str:
        """Kill when so many steps are done and so many seconds more are over; how it had ended before, if it had."""
        for event in follow(child, self.run.progress, phase):
            if event["done"] >= after:
                time.sleep(delay)
                break
        else:
            return child.end() or "it ended by itself"
        return child.strike()

    def kill_while_writing(self, whole: Answer, measured: Measured) -> None:
        """Likewise at moments at which a checkpoint is being written."""
        writes = len(whole.losses) // self.settings.checkpoint_steps
        chance = random.Random(f"kills while writing of seed {self.spec.seed}")
        found: list[Ending] = []
        for number in range(self.settings.kills_while_writing):
            for attempt in range(TRIES):
                errand = self.killable(f"torn-{number}-{attempt}")
                with start(errand) as child:
                    struck, died = self.strike_writing(child, errand, chance.randrange(1, writes), chance.random())
                if died:
                    found.append(Ending(f"before it was killed {died}", broken=True))
                    break
                if struck:
                    torn = self.torn_checkpoint(errand)
                    found.append(Ending(torn, broken=True) if torn else self.resumed(errand, whole, "while writing"))
                    break
        if self.settings.kills_while_writing:
            self.judge(measured, "torn", found, missed=self.settings.kills_while_writing - len(found))

    def strike_writing(self, child: Child, errand: Errand, earlier: int, share: float) -> tuple[bool, str]:
        """Kill when so many checkpoints are there and that share of a further one; whether it was not finished, and how
        the training had failed before, if it had."""
        path = Path(errand.checkpoint)
        following = (event["done"] for event in follow(child, self.run.progress, "kill while writing"))
        for done in following:
            if done >= earlier * errand.every:
                break
        size = share * path.stat().st_size if path.exists() else 0.0
        while child.process.poll() is None:
            torn = next(self.scratch.glob(f".{path.name}.*"), None)
            if torn is not None and size_of(torn) >= size:
                break
            time.sleep(POLL)
        died = child.strike()
        return next(self.scratch.glob(f".{path.name}.*"), None) is not None, died

    def torn_checkpoint(self, errand: Errand) -> str:
        """What is wrong with the checkpoint that a kill left; empty when it is whole."""
        try:
            read_checkpoint(Path(errand.checkpoint))
        except CheckpointError as error:
            return str(error)
        return ""

    def killable(self, name: str) -> Errand:
        """A short training that keeps a checkpoint."""
        every = self.settings.checkpoint_steps
        answer, checkpoint = self.file(f"{name}.json"), self.file(name)
        return Errand(self.short, self.run.index, answer=answer, checkpoint=checkpoint, every=every)

    def resumed(self, errand: Errand, whole: Answer, moment: str) -> Ending:
        """Do the same errand again, which goes on from its checkpoint, and hold its end against the whole one's."""
        answer = self.ask(errand, "resuming")
        Path(errand.checkpoint).unlink(missing_ok=True)  # some hundred of them fill a disk
        if isinstance(answer, str):
            return Ending(f"killed at {moment}, the resumed training failed: {answer}", broken=True)
        if not answer.earlier_steps:
            return Ending(f"killed at {moment}, it began anew: there was no checkpoint", broken=True)
        self.ready.append(answer.ready_seconds)
        self.memory.append(answer.used[-1] / whole.used[-1])
        same = (answer.final_weights, answer.losses, answer.map50) == (whole.final_weights, whole.losses, whole.map50)
        return Ending("" if same else f"killed at {moment}, gone on at {place(answer)}: {difference(answer, whole)}")

    def judge(self, measured: Measured, name: str, found: list[Ending], missed: int = 0) -> None:
        """Keep the check over several kills; `missed`: further ones that came too late to tell anything."""
        wrong = [one for one in found if one.said]
        said = [f"{len(found) - len(wrong)} of {len(found)} equal; ready to go on after {self.typical(self.ready)} s"]
        said += [one.said for one in wrong[:2]]
        said += [f"{missed} kill{'' if missed == 1 else 's'} came too late"] if missed else []
        held: Optional[bool] = not wrong
        if held and missed:
            held = None
        elif wrong and not self.exact and not any(one.broken for one in wrong):
            held = None
            said.append("only on a CPU with one thread are two trainings bit for bit alike")
        measured.check(name, held, "; ".join(said))

    @staticmethod
    def typical(values: list[float]) -> str:
        """The median, or a dash where there is none."""
        return f"{statistics.median(values):.1f}" if values else "-"

    def exchange(self, measured: Measured) -> None:
        """Have every pin write a checkpoint at half of its training, and go on from it here."""
        for peer in self.spec.peers:
            name = f"exchanged:{peer.name}"
            wrote = self.write_half(peer)
            if isinstance(wrote, str):
                measured.check(name, None, f"{peer.name} wrote none: {wrote}")
                continue
            went_on = self.ask(self.second_half(peer), f"going on from {peer.name}")
            if isinstance(went_on, str):
                measured.check(name, False, f"it failed here: {went_on}")
                continue
            there, here = (read_weights(self.weights(peer, name)) for name in ("wrote", "went-on"))
            said = exchanged(float(np.abs(here - there).max()), went_on, wrote)
            measured.check(name, None not in went_on.losses[went_on.earlier_steps :], said)
            if self.is_own(peer):
                same = went_on.final_weights == wrote.final_weights
                measured.check("second_process", same or (False if self.exact else None), said)
            for path in self.scratch.glob(f"from-{peer.folder}.*"):
                path.unlink()

    def is_own(self, peer: Pin) -> bool:
        """Whether the peer is this pin, or the one that this is a copy of."""
        return peer.torch == self.spec.pin.torch

    def write_half(self, peer: Pin) -> Union[Answer, str]:
        """The whole training in the peer's environment; it leaves a checkpoint of its half and weights one step on."""
        pin, interpreter = peer, self.run.interpreter_of(peer)
        if self.is_own(peer):
            pin, interpreter = self.spec.pin, sys.executable  # here: the twin has an environment of its own
        if not interpreter:
            return "its environment was not built"
        errand = self.half(peer, "wrote")
        return self.ask(replace(errand, spec=replace(errand.spec, pin=pin)), f"training on {peer.name}", interpreter)

    def second_half(self, peer: Pin) -> Errand:
        """Going on here from what the peer wrote."""
        errand = self.half(peer, "went-on")
        return replace(errand, source=errand.save, save="")

    def half(self, peer: Pin, name: str) -> Errand:
        """A training with a checkpoint to write at its half, and weights one step after."""
        return Errand(
            replace(self.spec, peers=[]),
            self.run.index,
            answer=self.file(f"from-{peer.folder}.{name}.json"),
            save=self.file(f"from-{peer.folder}.half"),
            weights=str(self.weights(peer, name)),
        )

    def weights(self, peer: Pin, name: str) -> Path:
        """The file of the weights one step after the half."""
        return self.scratch / f"from-{peer.folder}.{name}.weights"


def exchanged(apart: float, went_on: Answer, wrote: Answer) -> str:
    """What became of a checkpoint elsewhere, in figures."""
    return (
        f"one step later no weight differs by more than {apart:.1e}; final mAP50 {went_on.map50[-1]:.3f} here, "
        f"{wrote.map50[-1]:.3f} where it was written"
    )


def place(answer: Answer) -> str:
    """Where a training went on."""
    return f"epoch {answer.went_on[0] + 1}, step {answer.went_on[1] + 1}"


def difference(answer: Answer, whole: Answer) -> str:
    """How two trainings differ that should be one."""
    pairs = [(a, b) for a, b in zip(answer.losses, whole.losses) if a is not None and b is not None]
    largest = max((abs(a - b) for a, b in pairs), default=0.0)
    return f"losses differ by up to {largest:.1e}, final mAP50 {answer.map50[-1]:.3f} against {whole.map50[-1]:.3f}"


def size_of(path: Path) -> int:
    """The bytes of a file that may be gone by now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
