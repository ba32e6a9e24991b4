"""The body of the case `script`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import msgspec
import psutil

from cases.script import HIGHER, LOWER, OUTPUTS, SEED, NumberUnit, Settings
from harness.cell.children import ended, guarded
from harness.cell.measured import Measured
from harness.cell.progress import Progress
from harness.cell.run import Run
from harness.cell.source import source_of
from harness.core.errors import UsageError
from harness.core.source import copy_source

STARTED = Path(__file__).with_name("started.py")
LOOK = 0.2
"""Seconds between two looks at the memory of all processes. What a process held between them is not missed, as the
kernel keeps the most that each held. What is missed is a process that came and went."""


class Ended(msgspec.Struct):
    """How a script ended, and what it took: its exit code, below 0 the number of a signal; seconds, those of all
    processors; and the most KiB that one of its processes held, mapped files included."""

    code: int
    seconds: float
    cpu_seconds: float
    peak: int


class Used(NamedTuple):
    """What a script took: seconds, seconds of all processors, and bytes, None where the system does not tell."""

    seconds: float
    cpu_seconds: float
    memory: Optional[int]


def measure(run: Run) -> Measured:
    """Run the script in a copy of its folder. `UsageError` where it fails, or does not leave what it should."""
    settings, folder = run.settings_as(Settings), source_of(run.spec.model)
    assert folder  # the planner asks for one
    with run.scratch() as scratch:
        place = scratch / folder.name
        copy_source(folder, place)
        file = place / settings.outputs if settings.outputs else None
        if file:
            file.unlink(missing_ok=True)  # of a run by hand
        command = [sys.executable, *(part.replace(SEED, str(run.spec.seed)) for part in settings.command)]
        used = run_script(command, place, scratch / "ended.json", run)
        numbers = read_numbers(file, settings) if file else {}
    measured = run.measured()
    measured.measuring = used.seconds
    keep_used(measured, used)
    keep_numbers(measured, numbers, settings)
    return measured


def keep_used(measured: Measured, used: Used) -> None:
    """Keep time and memory."""
    measured.keep_metric("script_time", [used.seconds])
    measured.keep_metric("script_cpu_time", [used.cpu_seconds])
    if used.memory:
        measured.keep_metric("script_memory", [float(used.memory)])
    else:
        measured.keep_reason("script_memory", "/proc does not tell what the processes held")


def keep_numbers(measured: Measured, numbers: Mapping[str, float], settings: Settings) -> None:
    """Keep what the script left, each number in its unit."""
    for declared, named in ((HIGHER, settings.higher), (LOWER, settings.lower)):
        for name, unit in named.items():
            measured.keep_metric(declared.name, [numbers[name]], at={declared.by[0]: name}, unit=unit)
    if numbers:
        measured.keep_places(OUTPUTS.name, [(name, value) for name, value in numbers.items()])


# --- the script -----------------------------------------------------------------------------------------------------


def run_script(command: list[str], folder: Path, answer: Path, run: Run) -> Used:
    """Run a command to its end. `UsageError` where that is not a good one.

    The conductor hears of it as long as it works or prints: of one that does neither it hears nothing, and takes it to
    hang.
    """
    program = [sys.executable, "-S", "-E", str(STARTED), str(answer), *command]
    # what it prints goes to the log of the run; it is killed with this process, and with its group by the conductor
    process = subprocess.Popen(
        guarded(program), cwd=folder, env={**os.environ, **visible(run.spec.device)}, stdin=subprocess.DEVNULL
    )
    with Watch(process.pid, run.progress) as watch:
        failed = ended(process.wait())
    told = None if failed else msgspec.json.decode(answer.read_bytes(), type=Ended)
    failed = failed or ended(told.code if told else 0)
    if failed or not told:
        raise UsageError(f"The script did not end well: {failed}. The run's log has what it said.")
    return Used(told.seconds, told.cpu_seconds, watch.peak(told.peak * 1024))


def visible(device: str) -> dict[str, str]:
    """The variables by which a script sees the device of the run and no other."""
    return {"CUDA_VISIBLE_DEVICES": "" if device == "cpu" else device.partition(":")[2]}


class Watch:
    """Looks at a process and all that it starts, and tells the conductor while they do something. As a context it does
    so from a thread of its own, and in the end kills what the process has left running: the next run is to have the
    machine to itself."""

    def __init__(self, pid: int, progress: Progress) -> None:
        self.root = psutil.Process(pid)
        self.progress = progress
        self.log = sys.stdout.fileno()
        self.memory = 0
        """The most, over all looks, of what the kernel says to be the most that each living process held of its own."""
        self.files = 0
        """The bytes of mapped files that the script held at the last look."""
        self.seen: dict[int, psutil.Process] = {}
        self.done = 0.0
        self.said = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look_on, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        for process in self.seen.values():
            try:
                process.kill()  # psutil knows a process by its start too, so no other one with its number
            except psutil.NoSuchProcess:
                continue

    def look_on(self) -> None:
        """Look until it is over."""
        while not self.over.wait(LOOK):
            self.look()

    def look(self) -> None:
        """See what they hold, and whether they have worked or printed since the last look."""
        living = {process.pid: process for process in self.tree()}
        self.seen.update(living)
        held = [one for pid in living if (one := held_by(pid)) is not None]
        if held:
            self.files = held[0].files
            self.memory = max(self.memory, sum(one.peak - one.files for one in held))
        done, said = sum(map(cpu_seconds, living.values())), os.fstat(self.log).st_size
        if abs(done - self.done) > LOOK / 20 or said != self.said:
            self.progress.tick(phase="script")
            self.done, self.said = done, said

    def peak(self, of_one: int) -> Optional[int]:
        """The most bytes that were their own. `of_one`: the most that one of them held, with mapped files: of the
        script itself it tells what came after the last look. None where no look has seen anything."""
        return max(self.memory, of_one - self.files) if self.memory else None

    def tree(self) -> list[psutil.Process]:
        """The script and its descendants that live now."""
        try:
            return self.root.children(recursive=True)
        except psutil.NoSuchProcess:
            return []


class Held(NamedTuple):
    """Bytes of a process: the most that was resident, and the mapped files in it now."""

    peak: int
    files: int


def held_by(pid: int) -> Optional[Held]:
    """What the kernel says of a process, as in `harness/cell/resident.py`; None where it is gone."""
    try:
        lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
        told = {name: rest for name, _, rest in lines}
        return Held(*(int(told[name].split()[0]) * 1024 for name in ("VmHWM", "RssFile")))
    except (OSError, KeyError, ValueError):
        return None


def cpu_seconds(process: psutil.Process) -> float:
    """Seconds of processors that a process has used; 0 where it is gone."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


# --- what it leaves -------------------------------------------------------------------------------------------------


def read_numbers(file: Path, settings: Settings) -> dict[str, float]:
    """The declared numbers; `UsageError` where the script has not left them."""
    wanted: dict[str, NumberUnit] = {**settings.higher, **settings.lower}
    try:
        found: Any = json.loads(file.read_bytes())  # as Python writes it, which has NaN and Infinity
    except OSError:
        raise UsageError(f"The script left no file {settings.outputs} in its folder.") from None
    except ValueError as error:
        raise UsageError(f"The script left {settings.outputs}, which is no JSON ({error}).") from None
    numbers = found if isinstance(found, dict) else {}
    for name in wanted:
        if isinstance(numbers.get(name), bool) or not isinstance(numbers.get(name), (int, float)):
            raise UsageError(f"The script left {settings.outputs}, which has no number {name!r}.")
    return {name: float(numbers[name]) for name in wanted}
