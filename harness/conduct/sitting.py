"""A sitting: the processes of all pins alive at once, taking short turns lap by lap; whoever waits is blocked."""

from __future__ import annotations

import contextlib
import math
import random
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.conduct.process import Event, Exit, WatchedProcess, environment_for
from harness.conduct.seat import Place, Seat
from harness.core.cases import read_case
from harness.core.laps import quiet
from harness.core.plan import order_of_seats
from harness.core.settings import TurnSettings
from harness.core.spec import TWIN, RunSpec
from harness.core.turns import END, NO_ROOM, TURN

Hear = Callable[[RunSpec, Event], None]


def turn_settings(spec: RunSpec) -> TurnSettings | None:
    """How the runs of a case take turns; None where they do not."""
    declared = read_case(spec.case)
    if not declared.turns or not declared.settings:
        return None
    settings = spec.settings_as(declared.settings)
    return settings if isinstance(settings, TurnSettings) else None


@dataclass
class Player:
    """One process at the table, and the seconds of a step in each of its turns. `left`: it has ended or hangs."""

    seat: Seat
    process: WatchedProcess
    seconds: list[float] = field(default_factory=list)
    left: bool = False

    def wait_for(self, phase: str, hear: Hear) -> Event | None:
        """The next event of that phase; None when the process has ended or was stopped before it came."""
        self.process.expect()
        while (heard := self.process.hear()) is not None:
            for event in heard:
                hear(self.seat.spec, event)
                if event.get("phase") in (phase, NO_ROOM):
                    return event
        self.left = True
        self.process.end()  # one that hangs must not use the machine beside the others' turns
        return None


def sit(seats: list[Seat], hear: Hear, *, baseline: str, until: float) -> list[Exit]:
    """Let all runs take turns until every candidate's interval is narrow enough or the time is up.

    `until`: the half-width, as a share, that suffices of this sitting. Where the device's memory cannot hold all at
    once, each run sits alone, one after the other. Returns how each ended, in their order.
    """
    order = order_of_seats(len(seats), seats[0].spec.case, seats[0].spec.round)
    ended: dict[int, Exit] = {}
    with contextlib.ExitStack() as stack:
        players = seated([seats[place] for place in order], stack, hear)
        if players:
            take_turns([player for player in players if not player.left], hear, baseline, until)
            for player in players:  # all at once: nothing is measured any more, they write their records side by side
                dismiss(player)
            ended = {place: finish(player, hear) for place, player in zip(order, players, strict=True)}
    if not ended:
        ended = {place: sit_alone(seats[place], hear) for place in order}
    return [ended[place] for place in range(len(seats))]


def seated(seats: list[Seat], stack: contextlib.ExitStack, hear: Hear) -> list[Player]:
    """The processes of a sitting, started in this order, each when the one before it has warmed up: started at once,
    they would take memory and caches from one another, and the last of four was found 1.7 % faster than their mean.
    Nobody where memory does not hold them all.
    """
    name, players = uuid.uuid4().hex, list[Player]()
    for number, seat in enumerate(seats):
        players.append(Player(seat, stack.enter_context(start(seat, Place(name, number)))))
        if not ready(players[-1], hear):
            return []
    return players


def start(seat: Seat, place: Place | None) -> WatchedProcess:
    """The process of a run, with its order."""
    train = seat.spec.train
    seat.part.unlink(missing_ok=True)
    process = WatchedProcess(
        seat.command(place),
        log=seat.log,
        variables=environment_for(seat.spec),
        silence=train.silence_seconds,
        limit=train.limit_hours * 3600,
    )
    process.say(seat.words)
    return process


def ready(player: Player, hear: Hear) -> bool:
    """Wait until the process has warmed up; False when there is no memory for it. One that ended is no hindrance."""
    event = player.wait_for("ready", hear)
    return event is None or event["phase"] == "ready"


def take_turns(players: list[Player], hear: Hear, baseline: str, until: float) -> None:
    """Laps, each in an order of its own, until they are enough."""
    if not players:
        return
    settings = turn_settings(players[0].seat.spec)
    assert settings  # a group of the plan sits together only where its case takes turns
    order = random.Random(f"sitting {players[0].seat.spec.round}")
    began = time.monotonic()
    while any(not player.left for player in players):
        last = players[-1]
        order.shuffle(players)
        while len(players) > 1 and players[0] is last:  # who has just trained finds its caches warm
            order.shuffle(players)
        for player in players:
            if not player.left:
                take_turn(player, hear)
        if any(player.left and player.seat.spec.pin.name == baseline for player in players):
            return  # there is nothing left to compare with
        present = {player.seat.spec.pin.name: player.seconds for player in players if not player.left}
        laps = max(map(len, present.values()), default=0)
        if time.monotonic() - began > settings.seconds:
            return
        if laps >= settings.laps and laps % PARTS == 0 and narrow_enough(present, baseline, until):
            return


PARTS = 3
"""Parts of a sitting's laps, one after another, whose spread tells how sure the whole is."""

STRICT = 4.0
"""Standard errors to either side of an interval, for planning: about what Holm's strictest level asks of a dozen
findings from six sittings. The reports judge by what they find."""


def narrow_enough(seconds: dict[str, list[float]], baseline: str, until: float) -> bool:
    """Whether every candidate's interval is at most `until` wide to either side.

    It looks at the spread alone and never at the estimate, so stopping by it cannot favour a finding (as in Stein's
    two-stage procedure, 1945). The spread is that of all candidates together, as three parts of one alone tell little.
    The control A/A is not waited for.
    """
    ratios = [log_ratios_of_parts(own, seconds.get(baseline, [])) for pin, own in seconds.items()
              if pin not in (baseline, TWIN)]  # fmt: skip
    if not ratios or any(len(parts) < PARTS for parts in ratios):
        return False
    spread = math.sqrt(statistics.fmean(statistics.variance(parts) for parts in ratios))
    return STRICT * spread / math.sqrt(PARTS) <= until


def log_ratios_of_parts(own: list[float], base: list[float]) -> list[float]:
    """The log-ratio of the quiet times in each part of the laps that both have; none where there is no such time."""
    laps = min(len(own), len(base))
    edges = [round(part * laps / PARTS) for part in range(PARTS + 1)]
    times = [(quiet(own[start:end]), quiet(base[start:end])) for start, end in zip(edges, edges[1:])]
    return [math.log(one / other) for one, other in times if one and other]


def take_turn(player: Player, hear: Hear) -> None:
    """One turn of one process."""
    player.process.say(TURN)
    event = player.wait_for("turn", hear)
    if event is not None:
        player.seconds.append(float(event["seconds"]))


def dismiss(player: Player) -> None:
    """Tell a process that it was the last turn."""
    if not player.left:
        player.process.say(END)
        player.process.expect()


def finish(player: Player, hear: Hear) -> Exit:
    """Wait until a process that was dismissed has written its record."""
    if player.left:
        return player.process.exit()
    return player.process.follow(lambda event: hear(player.seat.spec, event))


def sit_alone(seat: Seat, hear: Hear) -> Exit:
    """All turns of one run at once, with the device to itself: `laps` of them."""
    settings = turn_settings(seat.spec)
    assert settings
    with start(seat, None) as process:
        player = Player(seat, process)
        if ready(player, hear):
            for _ in range(settings.laps):
                if not player.left:
                    take_turn(player, hear)
        dismiss(player)
        return finish(player, hear)
