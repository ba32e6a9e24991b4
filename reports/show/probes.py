"""How probes are told: what changed from version to version, what that means, and where it is documented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.declaration import DeclaredProbe
from reports.judge.statements import EFFECTS, Effect, Likeness, Part, ProbeRow, Step, Value
from reports.show.fingerprints import apart, likeness_in_words, unable_in_words, value_in_words
from reports.show.text import one_line, sentence

CHANGED: dict[Effect, str] = {
    "differs": "results differ",
    "stops": "stops",
    "warns": "says otherwise",
    "more": "does more",
    "rounding": "last bits",
}
"""What a change of each effect is called."""
OUTCOMES = ("unsteady", *CHANGED.values(), "cannot run", "not compared", "same")
"""What a step may come to, the gravest first."""
TOLD = ("unsteady", CHANGED["differs"], CHANGED["stops"], CHANGED["warns"], CHANGED["more"])
"""Those that are told in full: not the last bits, nor where nothing has changed."""
LAST_BITS = CHANGED["rounding"]
MOST_PARTS = 4
"""Parts of a change that one cell tells."""
UNEXPLAINED = "unexplained"
ARROW = "\N{RIGHTWARDS ARROW}"


@dataclass(frozen=True)
class StepTold:
    """One step of a probe: `outcome` is one of `OUTCOMES`, `told` may hold foreign text. `source`: the addresses that
    explain a change, or that it is unexplained; nothing where there is nothing to explain."""

    outcome: str
    told: list[str]
    source: list[str]


@dataclass(frozen=True)
class ProbeTold:
    """One probe: `outcome` is the gravest of its steps, `background` an address on all releases."""

    title: str
    topic: str
    outcome: str
    steps: list[StepTold]
    why: str
    means: str
    background: str


@dataclass(frozen=True)
class ProbesTold:
    """The probes of a case, those that changed first: the steps' headings, a row for each, and how many came out how in
    each step."""

    headings: list[str]
    rows: list[ProbeTold]
    counts: list[str]

    def of(self, *outcomes: str) -> list[ProbeTold]:
        """The rows of these outcomes."""
        return [row for row in self.rows if row.outcome in outcomes]


def is_probe(one: Likeness) -> bool:
    """Whether a fingerprint is one of a probe, which is told elsewhere."""
    return isinstance(one.declared, DeclaredProbe)


def probes_told(rows: Sequence[ProbeRow]) -> ProbesTold | None:
    """All probes of a case; None where it has none, or one pin alone."""
    if not rows or not rows[0].steps:
        return None
    told = sorted(map(row_told, rows), key=lambda row: OUTCOMES.index(row.outcome))
    headings = [pins_of(step) for step in rows[0].steps]
    counts = [counts_in_words(pins, [row.steps[place].outcome for row in told]) for place, pins in enumerate(headings)]
    return ProbesTold(headings, told, counts)


def row_told(row: ProbeRow) -> ProbeTold:
    """One probe."""
    steps = [step_told(step) for step in row.steps]
    return ProbeTold(
        title=row.declared.title,
        topic=row.declared.topic,
        outcome=min((step.outcome for step in steps), key=OUTCOMES.index),
        steps=steps,
        why=row.declared.why,
        means=row.declared.means,
        background=row.declared.see.get("", ""),
    )


def pins_of(step: Step) -> str:
    """The two pins of a step."""
    return f"{step.likeness.first} {ARROW} {step.likeness.second}"


def counts_in_words(pins: str, outcomes: Sequence[str]) -> str:
    """How many probes came out how in a step: `1.10.0 → 1.12.1: 8 results differ, 2 stops, 58 same, 3 cannot run`."""
    found = Counter(outcomes)
    return f"{pins}: {', '.join(f'{found[outcome]} {outcome}' for outcome in OUTCOMES if found[outcome])}"


def step_told(step: Step) -> StepTold:
    """One step in words."""
    explained = step.effect is not None and step.effect != "rounding"
    return StepTold(outcome_of(step), lines_of(step), (list(step.documented) or [UNEXPLAINED]) if explained else [])


def outcome_of(step: Step) -> str:
    """What a step came to."""
    return CHANGED[step.effect] if step.effect else step.kind


def lines_of(step: Step) -> list[str]:
    """What a step came to, beside its outcome, line by line."""
    if step.kind == "changed":
        return rounding_in_words(step.parts) if step.effect == "rounding" else changes_in_words(step.parts)
    if step.kind == "cannot run":
        return unable_in_words(step.likeness)
    if step.kind == "unsteady":
        return [f"two runs of {pin} came to different results" for pin in step.unsteady]
    return [likeness_in_words(step.likeness)] if step.kind == "not compared" else []


def rounding_in_words(parts: Sequence[Part]) -> list[str]:
    """What differs by no more than rounding, in one line."""
    largest = max(part.largest or 0.0 for part in parts)
    names = [one_line(part.name, 40) for part in parts if part.name]
    more = [f"and {len(names) - MOST_PARTS} more"] if len(names) > MOST_PARTS else []
    which = f"{'; '.join([*names[:MOST_PARTS], *more])}: " if names else ""
    return [f"{which}by up to {largest:.0e} of the largest"]


def changes_in_words(parts: Sequence[Part]) -> list[str]:
    """What changed, part by part; parts that differ by rounding beside others that changed are left out."""
    told = [part_in_words(part) for part in parts if part.effect != "rounding"]
    return [*told[:MOST_PARTS], *([f"and {len(told) - MOST_PARTS} more"] if len(told) > MOST_PARTS else [])]


def part_in_words(part: Part) -> str:
    """One part: what it was and what it is, or of a list of words what came and went."""
    name = f"{one_line(part.name, 60)}: " if part.name else ""
    lists = [words_of(values) for values in (part.first, part.second)]
    if all(lists):
        came, went = ([word for word in one if word not in other] for one, other in (lists[::-1], lists))
        signs = [f"{sign} {', '.join(words)}" for sign, words in (("+", came), ("\N{MINUS SIGN}", went)) if words]
        if len(came) + len(went) < len({*lists[0], *lists[1]}):
            return f"{name}{one_line('; '.join(signs), 240)}"
    return f"{name}{f' {ARROW} '.join(two_sides(part))}"


def words_of(values: tuple[Value, ...]) -> list[str]:
    """The words of a text that lists some; empty for anything else."""
    return values[0].split(", ") if len(values) == 1 and isinstance(values[0], str) and ", " in values[0] else []


def two_sides(part: Part) -> tuple[str, str]:
    """What a part was and what it is: the first values that differ."""
    if part.largest is None:
        return side_in_words(part.first), side_in_words(part.second)
    pairs = [pair for pair in zip(part.first, part.second, strict=True) if pair[0] != pair[1]]
    one, other = apart(*pairs[0])
    more = f" ({len(pairs)} of {len(part.first)} values)" if len(part.first) > 1 else ""
    return one, other + more


def side_in_words(values: tuple[Value, ...]) -> str:
    """One side of a part that is no list of as many numbers on the other."""
    if not values:
        return "nothing"
    shown = [one_line(value, 60) if isinstance(value, str) else value_in_words(value) for value in values[:3]]
    return ", ".join([*shown, *(["…"] if len(values) > 3 else [])])


# --- what will bite us ----------------------------------------------------------------------------------------------


def bites_of(rows: Sequence[ProbeRow], pin: str) -> list[str]:
    """The probes that come out otherwise on a pin than on the baseline, as sentences, the most expensive first; those
    that cost nothing but a look together."""
    steps = [(row.declared, row.against[pin]) for row in rows if pin in row.against]
    found = {effect: [(declared, step) for declared, step in steps if step.effect == effect] for effect in EFFECTS}
    told: tuple[Effect, ...] = ("differs", "stops", "warns")
    said = [bite_in_words(*each) for effect in told for each in found[effect]]
    together: dict[Effect, str] = {"more": "Works now, or is there", "rounding": "In the last bits alone"}
    for effect, what in together.items():
        titles = [declared.title for declared, _ in found[effect]]
        if titles:
            said.append(f"{what} ({len(titles)}): {'; '.join(titles)}.")
    return said


def bite_in_words(declared: DeclaredProbe, step: Step) -> str:
    """One change: what it does, what it was and is, what it means, and where it is documented."""
    what = "; ".join(lines_of(step))
    return (
        f"{outcome_of(step).capitalize()}: {declared.title} ({what}). {sentence(declared.means)} "
        f"Documented: {' '.join(step.documented) or UNEXPLAINED}"
    )
