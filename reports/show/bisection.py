"""What a search for a release has found, as lines of text: on a terminal, and in `bisect.md`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.core.cases import read_case
from harness.core.declaration import name_in
from reports.evidence.units import Quantity
from reports.judge.bisection import Weighed
from reports.judge.search import Change, LeftOut, Level, Progress, Standing
from reports.show.checks import cell_in_words, said_in
from reports.show.fingerprints import likeness_in_words
from reports.show.probes import lines_of, outcome_of
from reports.show.text import one_line
from reports.show.words import absent_in_words, counted, listed_in_words, some, trouble_in_words

NOTES = "https://github.com/pytorch/pytorch/releases/tag/v"
WIDTH = 41
"""Characters of the figure."""
TWICE = "All its runs failed, on a second try too."


def bisection_in_words(progress: Progress) -> list[str]:
    """The answer, what speaks against it, the figure, and what it took; without the figure's frame. An empty line parts
    paragraphs."""
    lines = [heading(progress), "", *answer(progress)]
    warned = warnings(progress)
    lines += ["", *warned] if warned else []
    lines += ["", *figure(progress)] if progress.levels or progress.seen or progress.course else []
    return [*lines, "", cost(progress)]


def to_markdown(progress: Progress) -> str:
    """`bisect.md`: the same, with the figure in a frame."""
    drawn = figure(progress)
    text = "\n".join(bisection_in_words(progress)) + "\n"
    body = "\n".join(drawn)
    return text.replace(body, f"```\n{body}\n```") if body else text


def heading(progress: Progress) -> str:
    """What was searched for, and where."""
    search = progress.search
    return (
        f"{title(progress)} ({search.what} of the case {search.case}, profile {search.profile}), "
        f"{counted(len(search.releases), 'releases')} from {search.releases[0]} to {search.releases[-1]}"
    )


def title(progress: Progress) -> str:
    """What is searched by, as its declaration calls it."""
    case, what = read_case(progress.search.case), progress.search.what
    declared = case.metric(name_in(what)) or case.check(what) or case.fingerprint(what)
    return declared.title if declared else what


def answer(progress: Progress) -> list[str]:
    """In which release it changed."""
    if progress.search.kind == "metric":
        return answer_of_metric(progress)
    if not progress.changes:
        told = next(iter(progress.standings.values()), None)
        return ["The releases that were looked at have the same value" + (f": {came_to(told)}." if told else ".")]
    lines = [line for change in progress.changes for line in change_in_words(progress, change)]
    if progress.ends_alike:
        lines.insert(0, f"It changed and changed back: {progress.search.releases[0]} and "
                     f"{progress.search.releases[-1]} have the same value.")  # fmt: skip
    elif len(progress.changes) > 1:
        lines.insert(0, f"It changed {len(progress.changes)} times.")
    return lines


def answer_of_metric(progress: Progress) -> list[str]:
    """The same of a metric: the release, and how sure that is."""
    course, quantity, releases = progress.course, progress.quantity, progress.search.releases
    if course is None or quantity is None:
        return []
    first, last = releases[0], releases[-1]
    if not course.differ:
        return [
            f"{first} and {last} show no clear difference: {told(quantity, course.ends)}, "
            f"{counted(course.ends.rounds, 'rounds')}. What changed and changed back between them halving cannot see."
        ]
    before, after = releases[course.low], releases[course.high]
    lines = [f"{changed_in(course.low, course.high, releases)}."]
    if course.neighbours:
        confirmed = course.neighbours.answer == course.ends.answer
        said = "" if confirmed else " That does not confirm it."
        lines.append(f"{after} against {before}, side by side: {told(quantity, course.neighbours)}, "
                     f"{counted(course.neighbours.rounds, 'rounds')}.{said}")  # fmt: skip
    lines.append(f"{last} against {first}: {told(quantity, course.ends)}, {counted(course.ends.rounds, 'rounds')}.")
    lines.append(
        f"If there was one step, the search names a wrong release with a chance of at most "
        f"{progress.error_rate * 100:g} %."
    )
    return lines + notes(releases[course.low + 1 : course.high + 1])


def changed_in(low: int, high: int, releases: Sequence[str]) -> str:
    """The release in which it changed, or those of which it is one."""
    between = releases[low + 1 : high]
    if not between:
        return f"It changed with {releases[high]}"
    untold = f"{some(between)} between them told nothing"
    return f"It changed after {releases[low]} and no later than with {releases[high]}: {untold}"


def notes(releases: Sequence[str]) -> list[str]:
    """The addresses of the notes of releases."""
    return [f"Release notes: {NOTES}{release}" for release in releases]


def told(quantity: Quantity, weighed: Weighed) -> str:
    """A difference with its interval."""
    if weighed.estimate is None:
        return "not measured"
    low, high = weighed.interval
    return f"{difference(quantity, weighed.estimate.value)} {interval(quantity, low, high)}"


def difference(quantity: Quantity, value: float) -> str:
    """A difference of a metric as it is shown."""
    return quantity.shown_difference(raised(value) if quantity.relative else value)


def interval(quantity: Quantity, low: float, high: float) -> str:
    """Likewise its interval."""
    return quantity.shown_interval(*((raised(low), raised(high)) if quantity.relative else (low, high)))


def raised(log_ratio: float) -> float:
    """A log-ratio as a ratio; infinite where it is too large for a number."""
    return math.exp(log_ratio) if log_ratio < 700 else math.inf


def change_in_words(progress: Progress, change: Change) -> list[str]:
    """One change of a check or fingerprint."""
    releases = progress.search.releases
    low, high = releases.index(change.before), releases.index(change.after)
    how, seen = likeness_in_words(change.likeness) if change.likeness else "", []
    if change.standings:
        before, since = change.standings
        how = f"{came_to(before)} before, {came_to(since)} since"
        seen = [f"  {change.before}: {seen_of(before)}", f"  {change.after}: {seen_of(since)}"]
    step = change.step
    if step and step.parts:
        how = outcome_of(step)
    parts = [f"  {line}" for line in lines_of(step)] if step else []
    documented = [f"Documented: {address}" for address in step.documented] if step else []
    lines = [f"{changed_in(low, high, releases)}: {how}.", *seen, *parts, *documented]
    return lines + notes(releases[low + 1 : high + 1])


def came_to(standing: Standing) -> str:
    """What a release came to in a check."""
    return cell_in_words(standing.cell) if standing.cell else "no run ends well"


def seen_of(standing: Standing) -> str:
    """What was seen of it there."""
    if standing.cell:
        return said_in(standing.cell) or "nothing was said"
    return f"{trouble_in_words(standing.trouble)} {TWICE}"


# --- what speaks against it ---------------------------------------------------------------------------------------


def warnings(progress: Progress) -> list[str]:
    """What the answer does not explain, and what was left out."""
    lines = [*not_one_step(progress), *(left_out_in_words(one) for one in progress.left_out)]
    course = progress.course
    if progress.changes and course and course.neighbours and course.neighbours.answer != "above":
        both = f"{progress.changes[0].before} and {progress.changes[0].after}"
        lines.append(f"Side by side {both} do not confirm it: run the search again under another --name.")
    if progress.unsteady:
        lines.append(f"Two runs of {listed_in_words(progress.unsteady)} came to different values: such a value tells "
                     "nothing of the release.")  # fmt: skip
    if progress.pythons:
        ran = listed_in_words([f"{release} on {python}" for release, python in progress.pythons.items()])
        lines.append(f"They ran on the Pythons that each has wheels for, {ran}: Python may be what changed it.")
    if progress.search.kind != "metric" and not progress.search.every:
        lines.append("Few releases were looked at: what changed and changed back between two of them is not seen.")
    return [f"! {line}" for line in lines]


def not_one_step(progress: Progress) -> list[str]:
    """Where releases speak against one step between two levels."""
    course, quantity = progress.course, progress.quantity
    if quantity is None or course is None:
        return []
    lines = [
        f"{one.release} is on the level of neither end, at {difference(quantity, one.difference)} "
        f"{interval(quantity, one.low, one.high)}: it was not one step."
        for one in progress.levels
        if one.off
    ]
    step = course.neighbours
    if step and step.estimate and course.ends.estimate and not overlap(step.interval, course.ends.interval):
        part = abs(step.estimate.value) < abs(course.ends.estimate.value)
        releases = progress.search.releases
        lines.append(
            f"The two neighbours are {'less' if part else 'more'} apart than the ends: it changed elsewhere too. "
            f"Search on both sides: --from {releases[0]} --to {releases[course.low]}, and "
            f"--from {releases[course.high]} --to {releases[-1]}."
        )
    open_ = [progress.search.releases[place] for place, told in course.steps.items() if told.answer == "open"]
    if open_:
        lines.append(f"{listed_in_words(open_)} stayed open after {counted(progress.search.rounds, 'rounds')}: half "
                     "way between the ends, or too noisy. More rounds may tell (--rounds).")  # fmt: skip
    return lines


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two intervals have a number in common."""
    return one[0] <= other[1] and other[0] <= one[1]


def left_out_in_words(one: LeftOut) -> str:
    """Why a release tells nothing."""
    why = one_line(one.detail) or trouble_in_words(one.trouble) or (absent_in_words(one.absent) if one.absent else "")
    if one.beside:
        why = f"{one.beside} failed beside it: {why}"
    why = f"{why} {TWICE}" if one.twice else why
    if one.standing:
        why = f"it came to what neither end did, {came_to(one.standing)}: {seen_of(one.standing)}"
    elif one.made:
        why = f"its runs do not make that check; they make {some([*map(one_line, one.made)])}"
    return f"{one.release} is left out: {why}"


# --- the figure ---------------------------------------------------------------------------------------------------


def figure(progress: Progress) -> list[str]:
    """A row for each release: of a metric where it lies between the ends, with its interval; else which of them have
    the same value."""
    search = progress.search
    width = max(map(len, search.releases))
    if search.kind == "metric":
        levels = {one.release: one for one in progress.levels}
        rows = {release: level_row(progress, levels[release]) for release in levels}
    else:
        rows = value_rows(progress)
    left_out = {one.release for one in progress.left_out}
    others = {release: "left out" if release in left_out else "not tried" for release in search.releases}
    return [f"{release:>{width}}  {rows.get(release, others[release])}".rstrip() for release in search.releases]


def level_row(progress: Progress, level: Level) -> str:
    """One release of a metric."""
    quantity = progress.quantity
    if quantity is None:
        return ""
    every = [end for one in progress.levels for end in (one.difference, one.low, one.high)]
    first = level.release == progress.search.releases[0]
    said = f"{quantity.shown(level.value)} {quantity.scale.unit}".rstrip()
    if not first:
        said += f"  {difference(quantity, level.difference)} {interval(quantity, level.low, level.high)}"
    return f"{bar(level, min(every), max(every))}  {said}"


def bar(level: Level, least: float, most: float) -> str:
    """Where a value lies between the least and the most, with its interval."""
    span = (most - least) or 1.0
    low, at, high = (round((one - least) / span * (WIDTH - 1)) for one in (level.low, level.difference, level.high))
    cells = ["-" if low <= place <= high else " " for place in range(WIDTH)]
    cells[at] = "o"
    return "".join(cells)


def value_rows(progress: Progress) -> dict[str, str]:
    """Of a check or fingerprint: a letter for each value."""
    if not progress.search.every:
        course = progress.course
        if course is None:
            return {}
        last = len(progress.search.releases) - 1
        places = {0: "a", last: "b" if course.differ else "a"}
        places |= {place: "b" if told.answer == "above" else "a" for place, told in course.steps.items()
                   if told.answer != "none"}  # fmt: skip
        rows = {progress.search.releases[place]: letter for place, letter in places.items()}
    else:
        rows = {
            release: " " * (2 * value) + chr(ord("a") + value % 26)
            for release, value in zip(progress.seen, progress.values, strict=True)
        }
    width = max(map(len, rows.values()), default=0)
    told = {release: came_to(standing) for release, standing in progress.standings.items()}
    return {release: f"{row:<{width}}  {told[release]}" if release in told else row for release, row in rows.items()}


def cost(progress: Progress) -> str:
    """What it took."""
    tried = len(progress.levels) or len(progress.seen) or len(value_rows(progress))
    return (
        f"{counted(tried, 'releases')} looked at, {counted(progress.spent.runs, 'runs')} in "
        f"{progress.spent.seconds / 60:.1f} minutes"
    )
