"""Progress: a live board on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.conduct.process import Event
from harness.core.cases import read_case
from harness.core.record import Record
from harness.core.spec import RunSpec

STYLES = {"ok": "green", "failed": "red", "unsupported": "yellow", "running": "bold cyan", "waiting": "dim"}


def minutes(seconds: float) -> str:
    """A duration as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def loss_text(event: Event) -> str:
    """The loss; JSON has sent None for one that is not finite."""
    return "not finite" if event["loss"] is None else f"{event['loss']:.2f}"


def summary(record: Record) -> str:
    """What a finished run came to, in a few words: what its turns took, and how well it has learnt."""
    if record.status != "ok":
        return record.reason or ""
    declared = read_case(record.spec.case)
    said = []
    turned = [metric for metric in record.metrics if declared.turned(metric.name) and metric.samples]
    if turned:
        said = [f"{len(turned[0].samples)} laps"]
    if len(turned) == 1:
        said[0] += f", {statistics.median(turned[0].samples) * 1e3:.0f} ms a step"
    for metric in declared.metrics:
        measured = record.metric(metric.name)
        if metric.better == "higher" and measured and measured.samples:
            return "; ".join([*said, f"{metric.title} {measured.samples[-1]:.3f}"])
    return "; ".join(said)


SHOWN = ("loss", "memory")
"""What an event has beside its other numbers, and is shown in a form of its own."""


def quality_text(spec: RunSpec, event: Event) -> str:
    """What else an event says of an epoch, by the titles that the case declares: how well the model does."""
    values = {name: value for name, value in event.items() if name not in SHOWN and isinstance(value, float)}
    titled = [(read_case(spec.case).one_series(name), value) for name, value in values.items()]
    return "".join(f", {series.title} {value:.3f}" for series, value in titled if series)


def progress_text(row: Row) -> str:
    """How far a run is: epochs of epochs."""
    return f"{row.last['epoch'] + 1}/{row.spec.train.epochs}" if "epoch" in row.last else ""


@dataclass
class Row:
    """One run on the board."""

    spec: RunSpec
    state: str = "waiting"
    last: Event = field(default_factory=dict)
    began: float = 0.0
    took: float | None = None
    told: float = -math.inf
    """When an epoch of it was last told of in a line."""
    outcome: str = ""


class Tally:
    """Keeps what is known of every run. How that is shown is left to the two classes below."""

    def __init__(self, runs: list[RunSpec], console: Console) -> None:
        self.rows = {(spec.case, spec.pin.name, spec.round): Row(spec) for spec in runs}
        self.console = console

    def say(self, text: str) -> None:
        """One line that stays, as it is: no markup, no wrapping, nothing highlighted."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def row(self, spec: RunSpec) -> Row:
        """The row of a run."""
        return self.rows[spec.case, spec.pin.name, spec.round]

    def begin(self, spec: RunSpec) -> None:
        """A run starts."""
        row = self.row(spec)
        row.state, row.began = "running", time.monotonic()

    def hear(self, spec: RunSpec, event: Event) -> None:
        """A running run says where it is."""
        self.row(spec).last.update(event)

    def end(self, spec: RunSpec, record: Record, reused: bool) -> None:
        """A run has its record: a new one, or one that is kept from before."""
        row = self.row(spec)
        row.state = record.status
        row.took = None if reused else time.monotonic() - row.began
        row.outcome = "; ".join(filter(None, ["kept from before" if reused else "", summary(record)]))

    def time_left(self) -> float | None:
        """Seconds until the matrix ends if the runs of a case go on taking what they took; None as long as no run of
        some case has ended. Runs that take turns go on at once: they count once a round."""
        left = 0.0
        for case in {case for case, _, _ in self.rows}:
            rows = {key: row for key, row in self.rows.items() if key[0] == case}
            took = [row.took for row in rows.values() if row.took is not None]
            begun = {self.spot(key): row for key, row in rows.items() if row.state == "running"}
            waiting = {self.spot(key) for key, row in rows.items() if row.state == "waiting"}
            if not took and (begun or waiting):
                return None
            usual = sum(took) / len(took) if took else 0.0
            left += len(waiting) * usual
            left += sum(max(0.0, usual - (time.monotonic() - row.began)) for row in begun.values())
        return left

    @staticmethod
    def spot(key: tuple[str, str, int]) -> tuple[str, str, int]:
        """A run's place in time: its own, or its round's where all pins take turns."""
        case, pin, index = key
        return (case, "" if read_case(case).turns else pin, index)

    def position(self) -> str:
        """How many runs are done of how many, and the time left."""
        done = sum(row.state not in ("waiting", "running") for row in self.rows.values())
        left = self.time_left()
        return f"{done} of {len(self.rows)} runs done" + (f", about {minutes(left)} left" if left is not None else "")


class LiveBoard(Tally):
    """A table of all runs on a terminal, redrawn in place."""

    def __init__(self, runs: list[RunSpec], console: Console) -> None:
        super().__init__(runs, console)
        self.message = ""
        self.live = Live(get_renderable=self.table, console=console, refresh_per_second=2)

    def __enter__(self) -> LiveBoard:
        self.live.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self.live.__exit__(None, None, None)

    def note(self, sentence: str) -> None:
        """What goes on outside the runs."""
        self.message = sentence

    def table(self) -> Table:
        """The board as it is now."""
        # no frame, so that a row fits a terminal of 80 columns
        table = Table(box=None, caption=Text(self.message or self.position()), caption_justify="left")
        for heading in ("case", "pin", "round", "state", "epoch", "steps/s", "loss", "MiB", "time", ""):
            right = heading in ("round", "epoch", "steps/s", "loss", "MiB", "time")
            table.add_column(heading, justify="right" if right else "left", overflow="ellipsis", no_wrap=True)
        for row in self.visible():
            table.add_row(*self.cells(row))
        return table

    def visible(self) -> list[Row]:
        """As many rows as the terminal has lines for, around those that are running."""
        rows = list(self.rows.values())
        room = max(4, self.console.height - 3)  # the heading and the line below the table
        going = next((place for place, row in enumerate(rows) if row.state in ("running", "waiting")), len(rows))
        start = max(0, min(going - room // 2, len(rows) - room))
        return rows[start : start + room]

    def cells(self, row: Row) -> list[str | Text]:
        """One line of the board."""
        last = row.last
        spent = time.monotonic() - row.began if row.state == "running" else row.took
        return [
            row.spec.case,
            row.spec.pin.name,
            str(row.spec.round + 1),
            Text(last.get("phase", row.state) if row.state == "running" else row.state, style=STYLES[row.state]),
            progress_text(row),
            f"{last['rate']:.1f}" if "rate" in last else "",
            loss_text(last) if "loss" in last else "",
            f"{last['memory'] / 2**20:,.0f}" if "memory" in last else "",
            minutes(spent) if spent is not None else "",
            Text(row.outcome),
        ]

    def begin(self, spec: RunSpec) -> None:
        self.message = ""
        super().begin(spec)


APART = 10.0
"""Seconds between two lines on the epochs of a run."""


class PlainBoard(Tally):
    """Lines, for a log: one when a run starts, one an epoch unless they are short, one when it ends."""

    def __init__(self, runs: list[RunSpec], console: Console) -> None:
        super().__init__(runs, console)
        self.noted = 0.0

    def __enter__(self) -> PlainBoard:
        return self

    def __exit__(self, *failure: object) -> None:
        return None

    def note(self, sentence: str) -> None:
        """What goes on outside the runs, every few seconds."""
        if time.monotonic() - self.noted > 5:  # a scan of 118,000 pictures must not fill the log
            self.noted = time.monotonic()
            self.say(sentence)

    def begin(self, spec: RunSpec) -> None:
        super().begin(spec)
        self.say(f"{self.name(spec)}: started ({self.position()})")

    def hear(self, spec: RunSpec, event: Event) -> None:
        super().hear(spec, event)
        if event.get("phase") == "epoch done" and self.is_due(spec, event):
            self.say(
                f"{self.name(spec)}: epoch {event['epoch'] + 1} of {spec.train.epochs}, loss {loss_text(event)}, "
                f"{event['rate']:.1f} steps/s, {event['memory'] / 2**20:,.0f} MiB{quality_text(spec, event)}"
            )

    def is_due(self, spec: RunSpec, event: Event) -> bool:
        """Whether an epoch is worth a line: the last one is, and others a while after the line before."""
        now, row = time.monotonic(), self.row(spec)
        if event["epoch"] + 1 < spec.train.epochs and now - row.told < APART:
            return False
        row.told = now
        return True

    def end(self, spec: RunSpec, record: Record, reused: bool) -> None:
        super().end(spec, record, reused)
        row = self.row(spec)
        took = f" in {minutes(row.took)}" if row.took is not None else ""
        outcome = f": {row.outcome}" if row.outcome else ""
        self.say(f"{self.name(spec)}: {record.status}{took}{outcome}")

    @staticmethod
    def name(spec: RunSpec) -> str:
        """How lines name a run."""
        return f"{spec.case} {spec.pin.name} round {spec.round + 1}"


def make_board(runs: list[RunSpec]) -> LiveBoard | PlainBoard:
    """The board that suits where the output goes."""
    console = Console()
    return LiveBoard(runs, console) if console.is_terminal else PlainBoard(runs, console)
