"""How it is told whether accuracy is shown, and by what: for readers who know no statistics."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.cases import all_cases
from harness.core.policy import AccuracyRule
from reports.judge.accuracy import harm
from reports.judge.statements import Finding, Lack, Likeness, OfAccuracy
from reports.show.findings import Words
from reports.show.text import one_line
from reports.show.words import counted, listed_in_words, some

NUDGED = "one rounding in the initial weights alone"
UNKNOWN_CHANCE = {
    "no control": "the control A/A has not measured it in two rounds",
    "still control": "in the control A/A one rounding in the initial weights has not moved it at all",
}
"""Why it is not known how far chance reaches."""
MOST_NAMED = 3


def accuracy_in_words(of: OfAccuracy, words: Words) -> str:
    """Whether accuracy is shown, and by what or what is missing, in a few sentences."""
    if of.shown == "by the score":
        return f"Accuracy: shown. {within_margin(of.score, words)}"
    if of.shown == "by the same step":
        return f"Accuracy: shown. {same_step(of.steps, words)} {no_more_than_chance(of, words)}"
    if of.shown == "worse":
        return f"Accuracy: worse by {named([one for one in (of.score, *of.steps) if one.outcome == 'worse'], words)}."
    step = [*filter(None, [lack_of_step(lack, words) for lack in of.lacks])] or [same_step(of.steps, words)]
    chance = filter(None, [lack_of_chance(lack, of, words) for lack in of.lacks])
    return " ".join(["Accuracy: not shown.", open_score(of.score, words), *step, *chance])


def accuracy_in_short(of: OfAccuracy, words: Words) -> str:
    """The same as a part of a sentence."""
    title = words.title(of.score)
    if of.shown == "by the score":
        return f"accuracy is shown by {title} within its margin"
    if of.shown == "by the same step":
        return f"accuracy is shown by the same step to rounding, with {title} no further off than chance"
    if any(lack_of_step(lack, words) for lack in of.lacks):
        return f"accuracy is shown neither by {title} within its margin nor by the same step"
    if any(lack.kind == "beyond chance" for lack in of.lacks):
        return f"accuracy is not shown, as every step is the same but {title} is further off than chance"
    return f"accuracy is not shown, as every step is the same but it is not known how far chance moves {title}"


def rule_in_words(rule: AccuracyRule) -> str:
    """How the policy has accuracy shown."""
    declared = {metric.name: metric.title for case in all_cases().values() for metric in case.metrics}
    score, steps = declared[rule.score], listed_in_words([in_a_sentence(declared[name]) for name in rule.same_step])
    return (
        f"Accuracy is shown by {score} within its margin, or by the same step to rounding together with {score} no "
        f"further off than chance. The same step: {steps} no worse than by their margins, and all checks of the step "
        f"held. Chance: how far {NUDGED} may move {score}, by the control A/A."
    )


# --- the score ----------------------------------------------------------------------------------------------------


def amount(found: Finding, value: float) -> str:
    """How large a difference is, without a sign: `2.8 points`."""
    shown = found.show(abs(value)).lstrip("+")
    return shown.removesuffix(" pt") + " points" if shown.endswith(" pt") else shown


def apart(found: Finding) -> str:
    """How a score differs on average: `2.8 points lower`."""
    value = found.estimate or 0.0
    if amount(found, value) == amount(found, 0.0):
        return "on average the same"
    return f"on average {amount(found, value)} {'lower' if value < 0 else 'higher'}"


def than_its_margin(found: Finding) -> str:
    """What a score must not be: `lower by more than its margin of 0.8 points`."""
    return f"{'higher' if found.quantity.better == 'lower' else 'lower'} by more than its margin of " + amount(
        found, found.rules.margin
    )


def within_margin(found: Finding, words: Words) -> str:
    """That a score is no worse than its margin allows, as a sentence."""
    return (
        f"{words.title(found)} is {apart(found)}, and these {counted(found.n, found.pairs)} show that it is not "
        f"{than_its_margin(found)}."
    )


def open_score(found: Finding, words: Words) -> str:
    """That it is open whether a score is worse by more than its margin, as a sentence."""
    return (
        f"{words.title(found)} is {apart(found)}, and {counted(found.n, found.pairs)} cannot tell whether it is "
        f"{than_its_margin(found)}."
    )


def no_more_than_chance(of: OfAccuracy, words: Words) -> str:
    """That a score is no further off than chance, and how far that reaches, as sentences."""
    said = f"{words.title(of.score)} is {apart(of.score)}"
    if of.chance is not None and -harm(of.score) > of.chance:
        return f"{said}, which is more than chance but does no harm: {reach(of)}."
    return f"{said}, no more than chance: {reach(of)}."


def reach(of: OfAccuracy) -> str:
    """How far chance reaches in the score, with what it did in the control."""
    largest = amount(of.score, max(map(abs, of.moved)))
    return (
        f"{NUDGED} may move it by {amount(of.score, of.chance or 0.0)} over {counted(of.score.n, of.score.pairs)}, and "
        f"in the control A/A moved it by up to {largest}"
    )


# --- the step -----------------------------------------------------------------------------------------------------


def in_a_sentence(title: str) -> str:
    """A title in the middle of a sentence."""
    return f"the {title if title[1:2].isupper() else title[:1].lower() + title[1:]}"


def same_step(steps: Sequence[Finding], words: Words) -> str:
    """That every step is the same to rounding, and by which measures, as a sentence."""
    titles = dict.fromkeys(one.quantity.declared.title for one in steps if one.quantity.declared)
    names = listed_in_words([in_a_sentence(title) for title in titles])
    are = "are" if len(titles) > 1 else "is"
    return f"Every step is the same to rounding: {names} {are} no worse than {one_line(words.baseline)}'s."


def lack_of_step(lack: Lack, words: Words) -> str:
    """What is missing for a step to be the same, as a sentence; empty for what is no matter of the step."""
    if lack.kind == "not run":
        cases = sorted(name for name, case in all_cases().items() if any(map(case.metric, lack.metrics)))
        which = (
            f"cases {listed_in_words(cases)} tell it and were"
            if len(cases) > 1
            else f"case {cases[0]} tells it and was"
        )
        return f"Whether every step is the same is not known: the {which} not run."
    if lack.kind == "not measured":
        return f"Whether every step is the same is not known, as this was not measured: {named(lack.findings, words)}."
    if lack.kind == "open step":
        its = "its margin" if len(lack.findings) == 1 else "their margins"
        return f"Whether every step is the same is open: {named(lack.findings, words)} may be worse by more than {its}."
    if lack.kind == "check":
        checks = some([words.check_of(row, case) for case, row in lack.checks], MOST_NAMED)
        return f"What is checked of the steps does not hold in every run: {checks}."
    prints = some([*map(unlike, lack.prints)], MOST_NAMED)
    return f"The steps are not shown to be the same apart from rounding: {prints}." if prints else ""


def lack_of_chance(lack: Lack, of: OfAccuracy, words: Words) -> str:
    """What is missing for a score to be no further off than chance, as a sentence; empty for what is no matter of
    that."""
    if lack.kind == "beyond chance":
        return f"The difference in {words.title(of.score)} is more than chance: {reach(of)}."
    why = UNKNOWN_CHANCE.get(lack.kind)
    return f"How far chance moves {words.title(of.score)} is not known: {why}." if why else ""


def named(findings: Sequence[Finding], words: Words) -> str:
    """The titles of findings, as many as are told."""
    return some([words.title(one) for one in findings], MOST_NAMED)


def unlike(one: Likeness) -> str:
    """A fingerprint in which two pins are apart, or were not compared."""
    said = "was not compared" if one.kind == "not compared" else "differs"
    return f"{one_line(one.declared.title)} ({one.case}) {said}"
