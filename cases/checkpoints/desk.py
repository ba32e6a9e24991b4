"""`python -m cases.checkpoints.desk --progress-fd N < TASK`: saves or loads every kind of file, in the environment of
any pin. Each kind is done by a process of its own, forked before anything has run on a device or in threads: what
crashes, hangs or is warned of once in a process is told of that kind alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Optional

import msgspec
import torch

from cases.checkpoints.bench import Bench, NotHereError, first_line, read_feeds
from cases.checkpoints.kinds import KINDS
from harness.cell import compat
from harness.cell.children import die_with_parent, ended
from harness.cell.environment import set_flags
from harness.cell.model import load_model
from harness.cell.preflight import wrong_label
from harness.cell.progress import Progress
from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically
from harness.core.settings import Positive, Strict
from harness.core.spec import RunSpec

STANDARD_ERROR = 2
LONGEST = 1000
"""Characters that are kept of what an error or a warning says."""
SHORT = 300
"""Those of a text that is told as it is."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What colours text on a terminal."""
LAST_WORDS = 2
"""Lines of what a process printed that was aborted: what follows are addresses."""


class Task(Strict, frozen=True):
    """What is asked of a desk."""

    spec: RunSpec
    """With the pin in whose environment it is done."""
    classes: Positive
    feeds: str
    """The file of the batches that all pins are fed, as `bench.write_feeds` wrote it."""
    folder: str
    """Where the files are."""
    kinds: list[str]
    loads: bool
    """Whether the files are loaded, and not saved."""
    patience: Positive
    """Seconds that one kind may take."""
    answer: str
    """The file for what came of each kind."""


class Result(Strict, frozen=True):
    """What came of one kind."""

    kind: str
    failed: str = ""
    """The error, or how the process ended; empty where all went well."""
    cannot: str = ""
    """Why this version or device has no such thing."""
    apart: dict[str, Optional[float]] = {}
    """Of a file that loads: by how much its outputs, and the steps that follow, differ from those where it was saved.
    None where they cannot be compared."""
    warnings: list[str] = []
    seconds: float = 0.0
    """What loading took, where that is measured."""
    remark: str = ""
    branches: dict[str, str] = {}
    """Of `compat`, in this process."""

    @property
    def whole(self) -> bool:
        """Whether it was saved or loaded."""
        return not (self.failed or self.cannot)


def file_of(folder: Path, kind: str) -> Path:
    """The file of a kind, which may be that of another."""
    return folder / f"{KINDS[kind].of or kind}.pt"


def make_bench(task: Task) -> Bench:
    """The network as it is before any step, and for loading, whatever its initial weights are."""
    model = load_model(task.spec.model)
    network = model.build(task.classes)
    if not task.loads:
        model.draw(network, task.spec.seed)
    return Bench(task.spec, model, network, task.classes, read_feeds(Path(task.feeds)))


def do(task: Task, bench: Bench, kind: str) -> Result:
    """Save or load one kind, here."""
    path = file_of(Path(task.folder), kind)
    kept = path.with_suffix(".npz")
    apart = {}
    if task.loads:
        apart = KINDS[kind].load(bench, path).apart(kept)
    else:
        save = KINDS[kind].save
        assert save is not None
        save(bench, path).write(kept)
    return Result(kind, apart=apart, seconds=bench.seconds, remark=bench.remark)


def attempt(task: Task, bench: Bench, kind: str) -> Result:
    """The same with whatever goes wrong as a result, and with what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = do(task, bench, kind)
        except NotHereError as error:
            result = Result(kind, cannot=str(error))
        except Exception as error:  # that is what is asked: whether it can be done
            print(f"{kind}: {first_line(error)}", file=sys.stderr)
            result = Result(kind, failed=in_short(f"{type(error).__name__}: {error}"))
    said = dict.fromkeys(in_short(str(one.message)) for one in caught)
    return msgspec.structs.replace(result, warnings=[*said], branches=dict(compat.taken))


def in_short(text: str) -> str:
    """On one line and without colours. Of a long text that quotes an error the first sentence and that error:
    torch.load gives advice of its own before it comes to what is wrong."""
    lines = [" ".join(line.split()) for line in COLOURS.sub("", text).splitlines()]
    whole = " ".join(filter(None, lines))
    quoted = next((line for line in lines[1:] if "error: " in line.lower()), "")
    if quoted and len(whole) > SHORT:
        whole = f"{lines[0].partition('. ')[0]}. {quoted}"
    return whole[:LONGEST]


def child(task: Task, bench: Bench, kind: str, answer: Connection) -> None:
    """All that the process of a kind does. It ends with the desk."""
    die_with_parent()
    os.dup2(os.open(printed_in(task), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), STANDARD_ERROR)
    set_flags(task.spec)
    answer.send_bytes(msgspec.json.encode(attempt(task, bench, kind)))


def printed_in(task: Task) -> Path:
    """The file of what the process of a kind prints as errors: the last words of one that is aborted."""
    return Path(task.folder) / "printed"


def in_own_process(task: Task, bench: Bench, kind: str) -> Result:
    """Do one kind in a process of its own, and say how that ended if it gave no answer."""
    fork = multiprocessing.get_context("fork")
    receiving, sending = fork.Pipe(duplex=False)
    process = fork.Process(target=child, args=(task, bench, kind, sending))
    process.start()
    sending.close()
    in_time = receiving.poll(task.patience)  # the end of a process that says nothing counts too
    answer = read_from(receiving) if in_time else b""
    if answer or not in_time:
        process.kill()
    process.join()
    printed = printed_in(task).read_text(errors="replace") if printed_in(task).exists() else ""
    sys.stderr.write(printed)
    if answer:
        return msgspec.json.decode(answer, type=Result)
    how = ended(process.exitcode or 0) or "it ended without an answer"
    last_words = " ".join(printed.splitlines()[:LAST_WORDS])
    said = how if in_time else f"it did not end within {task.patience} s"
    return Result(kind, failed=in_short(f"{said}: {last_words}" if last_words else said))


def read_from(receiving: Connection) -> bytes:
    """What a process says; nothing where it has ended without a word."""
    try:
        return receiving.recv_bytes()
    except EOFError:
        return b""


def carry_out(task: Task, progress: Progress) -> list[Result]:
    """Do one kind after another. A file that has been loaded for the last time is removed."""
    torch.set_num_threads(task.spec.threads)
    bench, results = make_bench(task), []
    files = [file_of(Path(task.folder), kind) for kind in task.kinds]
    for place, kind in enumerate(task.kinds):
        progress.send({"phase": "loading" if task.loads else "saving", "kind": kind})
        results.append(in_own_process(task, bench, kind))
        if task.loads and files[place] not in files[place + 1 :]:
            for path in files[place].parent.glob(f"{files[place].stem}.*"):
                path.unlink()
    return results


def main() -> int:
    """Exit code 0 when the answer was written, 2 with one sentence for what cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m cases.checkpoints.desk")
    parser.add_argument("--progress-fd", type=int)
    progress = Progress(parser.parse_args().progress_fd)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    try:
        wrong = wrong_label(task.spec)
        if wrong:
            raise UsageError(wrong)
        write_atomically(Path(task.answer), to_json(carry_out(task, progress)))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
