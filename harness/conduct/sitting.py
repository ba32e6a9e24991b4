"""Runs that take turns: the processes of all pins alive at once, lap by lap; whoever waits is blocked.

A sitting is one set of such processes. Where each of them leaves a checkpoint in place of a record, a fresh set goes
on, in a sitting of its own.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.conduct.process import Event, Exit, WatchedProcess, environment_for
from harness.conduct.seat import Seat
from harness.core.plan import order_of_seats
from harness.core.record import checkpoints_of_parts
from harness.core.spec import Place, RunSpec
from harness.core.turns import NO_ROOM, READY, TURN, TURN_DONE

Hear = Callable[[RunSpec, Event], None]


class NoRoomError(Exception):
    """The device's memory does not hold all of these processes at once."""


@dataclass
class Player:
    """One process at the table. `left`: it has ended or hangs."""

    seat: Seat
    process: WatchedProcess
    left: bool = False

    def wait_for(self, phase: str, hear: Hear) -> None:
        """Pass its events on until it is in that phase, or has ended. Raises `NoRoomError`."""
        self.process.expect()
        while (heard := self.process.hear()) is not None:
            for event in heard:
                hear(self.seat.spec, event)
                if event.get("phase") == NO_ROOM:
                    raise NoRoomError
                if event.get("phase") == phase:
                    return
        self.left = True
        self.process.end()  # one that hangs must not use the machine beside the others' turns

    def take_turn(self, hear: Hear) -> None:
        """One turn. The last one lasts until the process has ended."""
        self.process.say(TURN)
        self.wait_for(TURN_DONE, hear)


def tables_of(seats: Sequence[Seat], size: int) -> list[list[Seat]]:
    """The runs of a group, the baseline's first, at tables of so many: the baseline sits at each of them, at the first
    one for its own record. With one at a table everybody has the device to itself."""
    baseline, *others = seats
    if size == 1:
        return [[seat] for seat in seats]
    apart = [others[start : start + size - 1] for start in range(0, len(others), size - 1)] or [[]]
    return [[baseline.beside(number) if number else baseline, *some] for number, some in enumerate(apart)]


def sit(seats: Sequence[Seat], hear: Hear, rounds: int) -> list[Exit]:
    """Let runs take turns until each of them has ended, and return how, in their order. They go on from the last
    checkpoints that all of them have left. `rounds`: how many such groups there are in all, over which the order of
    the seats is balanced. Raises `NoRoomError`."""
    ended: dict[int, Exit] = {}
    going = dict(enumerate(seats))
    part = last_part(seats)
    while going:
        order = order_of_seats(len(going), seats[0].spec.case, part * rounds + seats[0].spec.round)
        places = [list(going)[place] for place in order]
        exits = one_sitting([going[place] for place in places], part, hear)
        for place, exit_ in zip(places, exits):
            if not (exit_.good and going[place].left(part + 1)):
                ended[place] = exit_
                del going[place]
        for seat in going.values():  # not before all have theirs: they go on from the same place
            seat.checkpoint(part).unlink(missing_ok=True)
        part += 1
    return [ended[place] for place in range(len(seats))]


def last_part(seats: Sequence[Seat]) -> int:
    """The part of the runs that is to be done next: the last one to which all have a checkpoint of the same moment."""
    found = 0
    for path in checkpoints_of_parts(seats[0].part):
        part = int(path.name.split(".")[-2])
        headers = [seat.left(part) for seat in seats]
        if all(headers) and len({(header.epoch, header.step) for header in headers if header}) == 1:
            found = max(found, part)
    return found


def one_sitting(seats: Sequence[Seat], part: int, hear: Hear) -> list[Exit]:
    """Let one set of processes, started in this order, do part `part` of their runs. Each is started when the one
    before it is ready: started at once, they would take memory and caches from one another, and the last of four was
    found 1.7 % faster than their mean."""
    name = uuid.uuid4().hex
    with contextlib.ExitStack() as stack:
        players: list[Player] = []
        for number, seat in enumerate(seats):
            place = Place(
                sitting=name,
                seat=number,
                seats=len(seats),
                leave=str(seat.checkpoint(part + 1)),
                source=str(seat.checkpoint(part)) if part else "",
            )
            players.append(Player(seat, stack.enter_context(start(seat, place))))
            players[-1].wait_for(READY, hear)
        take_turns(list(players), hear, random.Random(f"{seats[0].spec.case} {seats[0].spec.round} {part}"))
        return [player.process.exit() for player in players]


def start(seat: Seat, place: Place) -> WatchedProcess:
    """The process of a run, with its order. While it waits for its turn, the time that it may take passes too."""
    train = seat.spec.train
    seat.part.unlink(missing_ok=True)
    process = WatchedProcess(
        seat.command,
        log=seat.log,
        variables=environment_for(seat.spec),
        silence=train.silence_seconds,
        limit=train.limit_hours * 3600 * place.seats,
        more=place.source != "",
    )
    process.say(seat.words(place))
    return process


def take_turns(players: list[Player], hear: Hear, order: random.Random) -> None:
    """Laps, each in an order of its own, until all have ended."""
    while players := [player for player in players if not player.left]:
        last = players[-1]
        order.shuffle(players)
        while len(players) > 1 and players[0] is last:  # who has just trained finds its caches warm
            order.shuffle(players)
        for player in players:
            player.take_turn(hear)
