"""The body of the case `export`. It works on the CPU, whatever the run's device: the file is the same."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import NamedTuple, Optional, Union

import numpy as np
import torch
from torch import Tensor, nn

from cases.export import Settings
from cases.export.consumer import INPUT, OUTPUTS, Answer, Question, Values, in_one_line
from harness.cell import compat
from harness.cell.data.batches import EvaluationBatches
from harness.cell.given import given_network
from harness.cell.helpers import ask
from harness.cell.measured import Measured
from harness.cell.model import load_model
from harness.cell.run import Run
from harness.core.declaration import Combination
from harness.core.errors import UsageError

READERS = {
    "checker": "cases.export.consumer.checker",
    "runtime": "cases.export.consumer.runtime",
    "opencv": "cases.export.consumer.opencv",
}
DEFAULT, BY_TORCHSCRIPT = "default opset", "common opset by TorchScript"
READER_SECONDS = 600
WARMUP = 3
AXES = {INPUT: {2: "height", 3: "width"}, **{name: {1: "cells"} for name in OUTPUTS}}
"""What is dynamic in a file of dynamic size: height and width of the pictures, and how many boxes come out."""
NOTHING = "nothing was exported"
MOST_WARNINGS = 3
LONGEST = 160
"""Characters that are kept of what the exporter says."""


class File(NamedTuple):
    """An exported file, in a folder of its own: an exporter may put the weights beside it."""

    path: Path
    size: int
    """Bytes, of all that the exporter has written."""
    seconds: float
    warned: list[str]


class Reading(NamedTuple):
    """What a reader makes of a file: why it cannot use it, or by picture why it failed or how far its outputs are from
    torch's."""

    answer: Union[Answer, str]
    errors: list[Union[float, str]]

    @property
    def reader(self) -> str:
        """The reader with its version, as the beginning of a sentence."""
        return f"{self.answer.reader}: " if isinstance(self.answer, Answer) else ""

    @property
    def problem(self) -> Optional[str]:
        """Why the file cannot be used at all."""
        return self.answer if isinstance(self.answer, str) else self.answer.problem


class Exported(NamedTuple):
    """One export and what every reader makes of it, or why there is no file."""

    file: Union[File, str]
    readings: dict[str, Reading]
    unable: bool = False
    """Whether it is the model that has no form that could be exported: that says nothing of a version."""


def measure(run: Run) -> Measured:
    """Export the model in every way that the settings name, and have every file read."""
    began = time.monotonic()
    exporting = Exporting(run)
    measured = run.measured(run.given.digest)
    opsets: list[tuple[str, float]] = []
    for at in run.combinations():
        part = f"{at['shape']} size, {at['asked']}"
        run.progress.tick(phase="exporting", file=part)
        exported = exporting.exported(at)
        keep_metrics(measured, at, exported)
        keep_checks(measured, at, part, exported, exporting.settings.allowed)
        seen = exported.readings["checker"].answer if exported.readings else None
        if isinstance(seen, Answer) and seen.opset:
            opsets.append((part, float(seen.opset)))
            measured.keep_places(f"operators:{part}", [(name, float(n)) for name, n in seen.operators.items()])
    measured.keep_places("opset", opsets)
    measured.measuring = time.monotonic() - began
    return measured


class Exporting:
    """The exports of one run. Two combinations that ask the exporter the same share one."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.settings = run.settings_as(Settings)
        self.model = load_model(run.spec.model)
        self.deployed = self.model.deployed(given_network(run))
        self.pictures = [pictures_of(run, 1, size) for size in (self.settings.size, self.settings.second_size)]
        self.done: dict[tuple[object, ...], Exported] = {}

    def exported(self, at: Combination) -> Exported:
        """The export of a combination."""
        torchscript = at["asked"] == BY_TORCHSCRIPT or compat.exports_by_torchscript()
        key = (at["shape"], at["asked"] == DEFAULT, torchscript)
        if key not in self.done:
            with self.run.scratch() as scratch:
                self.done[key] = self.export(at, scratch)
        return self.done[key]

    def export(self, at: Combination, scratch: Path) -> Exported:
        """Export once, and have the file read by every reader."""
        dynamic = at["shape"] == "dynamic"
        size = None if dynamic else (self.settings.size, self.settings.size)
        try:
            network = self.model.exportable(self.deployed, size)
        except UsageError as error:
            return Exported(in_one_line(error, LONGEST), {}, unable=True)
        file = self.write(network, at, scratch / "file" / "model.onnx")
        if isinstance(file, str):
            return Exported(file, {})
        pictures = self.pictures if dynamic else self.pictures[:1]
        np.savez(scratch / "pictures.npz", **{str(number): one.numpy() for number, one in enumerate(pictures)})
        with torch.no_grad():
            wanted = [[one.numpy() for one in network(picture)] for picture in pictures]
        return Exported(file, {name: self.read(name, file, wanted, scratch) for name in READERS})

    def write(self, network: nn.Module, at: Combination, path: Path) -> Union[File, str]:
        """Export into a new folder: the file, or why there is none."""
        path.parent.mkdir()
        began = time.perf_counter()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                compat.export_onnx(
                    network,
                    self.pictures[0],
                    path,
                    names=(INPUT, OUTPUTS),
                    axes=AXES if at["shape"] == "dynamic" else {},
                    opset=None if at["asked"] == DEFAULT else self.settings.common,
                    torchscript=at["asked"] == BY_TORCHSCRIPT,
                )
            except Exception as error:  # whatever an exporter raises is its result
                return reason_of(error)
        seconds = time.perf_counter() - began
        size = sum(one.stat().st_size for one in path.parent.iterdir())
        return File(path, size, seconds, [*dict.fromkeys(in_one_line(one.message, LONGEST) for one in warned)])

    def read(self, name: str, file: File, wanted: list[list[Values]], scratch: Path) -> Reading:
        """Have one reader read the file."""
        self.run.progress.tick(phase="having the file read", by=name)
        (helper,) = self.run.spec.helpers
        outputs = scratch / f"{name}.npz"
        runs = WARMUP + self.settings.runs if name == "runtime" else 0
        question = Question(str(file.path), str(scratch / "pictures.npz"), str(outputs), runs)
        interpreter = self.run.interpreter_of(helper)
        answer = ask(interpreter, READERS[name], question, Answer, scratch / f"{name}.json", READER_SECONDS)
        if isinstance(answer, str) or not answer.results:
            return Reading(answer, [])
        with np.load(outputs) as found:
            errors = [
                result.problem or error_of(wanted[number], [found[f"{number}.{output}"] for output in OUTPUTS])
                for number, result in enumerate(answer.results)
            ]
        return Reading(answer, errors)


def pictures_of(run: Run, most: int, size: int) -> Tensor:
    """The first pictures of the validation set at that size, (most, 3, size, size) float32 in 0..1."""
    with EvaluationBatches(run.data.val[:most], size, most) as batches:
        (batch,) = batches
    return torch.from_numpy(batch.images).float() / 255


def error_of(wanted: list[Values], found: list[Values]) -> Union[float, str]:
    """How far outputs are from those that are wanted, as a share of the largest value of each, or what is wrong with
    them."""
    for name, one, other in zip(OUTPUTS, wanted, found):
        if one.shape != other.shape:
            return f"its {name} are {other.shape}, and torch's {one.shape}"
        for whose, values in (("torch's", one), ("its", other)):
            if not np.isfinite(values).all():
                return f"{whose} {name} are not all finite"
    return max(float(np.abs(one - other).max() / np.abs(one).max()) for one, other in zip(wanted, found))


def keep_metrics(measured: Measured, at: Combination, exported: Exported) -> None:
    """The metrics of one export, or why there are none."""
    names = ("export_time", "file_size", "nodes", "run_time", "output_error")
    if isinstance(exported.file, str):
        for name in names:
            measured.keep_reason(name, exported.file if exported.unable else NOTHING, at)
        return
    measured.keep_metric("export_time", [exported.file.seconds], at=at)
    measured.keep_metric("file_size", [float(exported.file.size)], at=at)
    seen, ran = exported.readings["checker"], exported.readings["runtime"]
    if isinstance(seen.answer, Answer) and seen.answer.operators:
        measured.keep_metric("nodes", [float(sum(seen.answer.operators.values()))], at=at)
    else:
        measured.keep_reason("nodes", seen.problem or "it has none", at)
    problem = problem_of(ran)
    if problem is None and isinstance(ran.answer, Answer):
        seconds = ran.answer.results[0].seconds
        measured.keep_metric("run_time", seconds[WARMUP:], seconds[:WARMUP], at)
        keep_error(measured, at, [one for one in ran.errors if isinstance(one, float)])
    else:
        for name in names[3:]:
            measured.keep_reason(name, problem or NOTHING, at)


def keep_error(measured: Measured, at: Combination, errors: list[float]) -> None:
    """The largest difference of all pictures."""
    if max(errors) > 0:
        measured.keep_metric("output_error", [max(errors)], at=at)
    else:
        measured.keep_reason("output_error", "there is no difference", at)


def problem_of(reading: Reading) -> Optional[str]:
    """Why the first picture has no outputs, or None."""
    first = reading.errors[0] if reading.errors else None
    return reading.problem or (first if isinstance(first, str) else None)


def keep_checks(measured: Measured, at: Combination, part: str, exported: Exported, allowed: float) -> None:
    """The checks of one export. Where there is no file, those on the file are open."""
    file, readings, unable = exported
    dynamic = at["shape"] == "dynamic"
    if isinstance(file, str):
        measured.check(f"exports:{part}", None if unable else False, file)
        for name in ("valid", "agrees", *(["resizes"] if dynamic else []), "opencv"):
            measured.check(f"{name}:{part}", None, NOTHING)
        return
    measured.check(f"exports:{part}", True, warned_by(file))
    seen = readings["checker"]
    opset = f"opset {seen.answer.opset}, nothing is wrong with it" if isinstance(seen.answer, Answer) else ""
    measured.check(f"valid:{part}", seen.problem is None, seen.reader + (seen.problem or opset))
    measured.check(f"agrees:{part}", *agreement(readings["runtime"], [0], allowed))
    if dynamic:
        measured.check(f"resizes:{part}", *agreement(readings["runtime"], [1], allowed))
    measured.check(f"opencv:{part}", *agreement(readings["opencv"], [0, 1] if dynamic else [0], allowed))


def agreement(reading: Reading, pictures: list[int], allowed: float) -> tuple[bool, str]:
    """Whether a reader gives what torch does for these pictures, and what was seen."""
    if reading.problem or not reading.errors:
        return False, f"{reading.reader}{reading.problem or 'nothing came out'}"
    errors = [reading.errors[number] for number in pictures]
    failed = [one for one in errors if isinstance(one, str)]
    if failed:
        return False, reading.reader + failed[0]
    most = max(one for one in errors if isinstance(one, float))
    return most <= allowed, f"{reading.reader}at most {most:.1e} of the largest value apart; {allowed:.0e} are allowed"


def warned_by(file: File) -> str:
    """What the exporter has said."""
    if not file.warned:
        return "without a warning"
    more = f" and {len(file.warned) - MOST_WARNINGS} more" if len(file.warned) > MOST_WARNINGS else ""
    return f"warns: {'; '.join(file.warned[:MOST_WARNINGS])}{more}"


def reason_of(error: BaseException) -> str:
    """Why an export failed: the error at the bottom of it, without addresses."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {in_one_line(error, LONGEST)}"
