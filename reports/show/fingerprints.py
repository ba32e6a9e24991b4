"""How fingerprints are told: what two pins have in common, or what differs first."""

from __future__ import annotations

from reports.evidence.units import signed
from reports.judge.statements import Likeness
from reports.show.text import one_line

NOT_COMPARED = {
    "": "not compared",
    "no run": "not compared: no round in common",
    "refused": "not compared: not known to be the same work",
    "not recorded": "not recorded",
}
"""Why there is nothing to say of a fingerprint of two pins."""


def likeness_in_words(one: Likeness, *, short: bool = False) -> str:
    """What two pins have in common in one fingerprint: `bit for bit alike`, or `differs from step 3 on: 41.22 and
    41.23`, and without the values where it is to be short."""
    if one.kind == "alike":
        return "bit for bit alike"
    if one.kind == "within tolerance":
        return "alike within the tolerance" if one.largest is None else f"alike to {one.largest:.1g}"
    if one.why == "unable":
        return f"not compared: {'; '.join(unable_in_words(one))}"
    if one.kind == "not compared":
        return NOT_COMPARED[one.why]
    rounds = f" in {one.rounds - one.alike} of {one.rounds} rounds" if one.alike else ""
    if one.apart:
        return names_in_words(one, rounds, short=short)
    return f"differs{rounds}" if one.place is None else place_in_words(one, rounds, short=short)


def names_in_words(one: Likeness, rounds: str, *, short: bool) -> str:
    """Of how many names two pins have other values, and unless it is to be short, which."""
    told = f"differs in {len(one.apart)} of {one.names} {one_line(one.declared.counted)}s{rounds}"
    if one.declared.inventory:
        return told if short else f"{told}, see Environments"
    if short:
        return told
    named = [
        f"{one_line(each.name)} {' and '.join(map(value_or_none, (each.first, each.second)))}" for each in one.apart
    ]
    return f"{told}: {'; '.join(named)}"


def value_or_none(value: float | str | None) -> str:
    """A value, or that there is none."""
    return "none" if value is None else value_in_words(value)


def unable_in_words(of_pair: Likeness) -> list[str]:
    """Why runs of one pin, or of both, could not come to a fingerprint."""
    first, second = (one_line(why, 160) for why in of_pair.unable)
    if first == second:
        return [first]
    sides = ((of_pair.first, first), (of_pair.second, second))
    return [f"on {pin}: {why}" if why else f"runs on {pin}" for pin, why in sides]


def place_in_words(one: Likeness, rounds: str, *, short: bool) -> str:
    """Where two pins differ first, with the values there unless it is to be short. Digests in order say nothing."""
    here = f"from {one_line(one.declared.counted)} {(one.place or 0) + 1} on"
    told = f"differs {f'first at {one_line(one.at)}' if one.at else here}{rounds}"
    if short or (one.values and isinstance(one.values[0], str)):
        return told
    return f"{told}: {' and '.join(apart(*one.values))}" if one.values else f"{told}, where one of the two ends"


def apart(first: float | str | None, second: float | str | None) -> tuple[str, str]:
    """Two values in as few digits, four at least, as tell them apart."""
    if not (isinstance(first, float) and isinstance(second, float)):
        return value_in_words(first), value_in_words(second)
    shown = ((f"{first:.{digits}g}", f"{second:.{digits}g}") for digits in range(4, 18))
    one, other = next((pair for pair in shown if pair[0] != pair[1]), (f"{first}", f"{second}"))
    return signed(one), signed(other)


def value_in_words(value: float | str | None) -> str:
    """A value that needs no telling apart."""
    if value is None:
        return "not finite"
    return one_line(value, 20) if isinstance(value, str) else signed(f"{value:.4g}")
