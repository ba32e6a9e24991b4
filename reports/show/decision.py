"""`decision.md`: the record of an upgrade decision in the form of MADR 4.0, for people to complete and sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.core.files import digest_of
from harness.core.policy import Policy
from reports.judge.statements import (
    CandidateVerdict,
    CheckCell,
    Finding,
    Likeness,
    NeverEnded,
    OfCheck,
    OverallVerdict,
    Reason,
    Weighed,
)
from reports.judge.verdict import cells_of, worse_than
from reports.show.accuracy import accuracy_in_words, rule_in_words
from reports.show.attribution import headlines, in_words
from reports.show.edits import carried
from reports.show.findings import estimate_and_interval, margin_in_words
from reports.show.fingerprints import likeness_in_words
from reports.show.limits import NONE, limits_of, open_rows, risks_of
from reports.show.preamble import facts, who_decides
from reports.show.probes import bites_of, is_probe
from reports.show.text import for_markdown, one_line, pipe_table, sentence
from reports.show.verdict_file import Account, StoredOverall, Told, VerdictFile
from reports.show.verdicts import reason_in_words
from reports.show.words import NOT_MEASURED, counted, listed_in_words, shown_as, some, trouble_in_words

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # HTML's escapes are not markdown's: the filter `md` has both
)
TEMPLATES.filters["md"] = for_markdown

NAMED = ("pins", "hardware", "observed", "settings", "data", "rounds")
"""Of the facts above the table, those that a decision rests on."""
OPEN_HEAD = ["candidate", "metric", "why it is open", "smallest effect that would show", "what would settle it"]


@dataclass(frozen=True)
class Evidence:
    """What one machine says of one candidate: a table as markdown, and arguments as text."""

    heading: str
    table: str
    arguments: list[str]


def to_decision(account: Account, kept: dict[str, str]) -> str:
    """The whole file. `kept`: the sections of the file that it takes the place of, which stay as they are."""
    machines, policy = account.machines, account.judgement.policy
    digest = evidence_digest(account.verdict)
    sections, elsewhere = carried(kept, digest)
    baseline = shown_as([one.verdict.baseline for one in machines])
    candidates = account.judgement.candidates
    names = {one.version: shown_as([candidate.pin for _, candidate in one.on]) for one in candidates}
    on = {one.verdict.label: f" on {one.verdict.label}" if len(machines) > 1 else "" for one in machines}
    rows = [row for one in machines for row in open_rows(one, on[one.verdict.label])]
    days = [day for one in machines for day in one.machine.matrix.days]
    return TEMPLATES.get_template("decision.md").render(
        sections=sections,
        elsewhere=elsewhere,
        digest=digest,
        date=max(days).isoformat() if days else "",
        title=f"PyTorch {baseline}: "
        + (f"move to {listed_in_words([*names.values()], 'or')}?" if names else "no candidate"),
        question=question_of(baseline, [*names.values()]),
        machines=[context_of(one) for one in machines],
        drivers=drivers_of(machines, policy),
        bites=[each for one in machines for each in bites_on(one, on[one.verdict.label])],
        options=[f"Stay on {baseline}", *(f"Move to {name}" for name in names.values())],
        proposal=proposal_of(baseline, account.verdict, names),
        outcome=[outcome_of(baseline, one, names[one.version]) for one in account.verdict.candidates],
        risks=labelled(machines, {one.verdict.label: risks_of(one) for one in machines}),
        staying=staying(machines, on),
        moves=[
            {"option": f"Move to {names[one.version]}", "evidence": evidence_of(account, one, names[one.version])}
            for one in candidates
        ],
        limits=[
            "Nothing was measured on other hardware, data or settings than those named above.",
            *not_planned(account, names),
            *labelled(machines, {one.verdict.label: limits_of(one, policy) for one in machines}),
        ],
        open_table=pipe_table(OPEN_HEAD, [[for_markdown(cell) for cell in row] for row in rows], "left")
        if rows
        else "",
    )


NO_EVIDENCE = {"label", "matrix", "calibration", "calibration_sentence", "title", "sentence"}
"""Fields of verdict.json that the digest of the evidence leaves out: names of folders, what only says in words what the
others do, and the calibration."""


def evidence_digest(verdict: VerdictFile) -> str:
    """A short sha256 of findings, checks, fingerprints, verdicts and policy, and not of the words that they are told
    in. The same records have the same digest wherever they lie, and in whatever order the machines come."""
    machines = [without_words(msgspec.to_builtins(machine)) for machine in verdict.machines]
    return digest_of([verdict.policy, sorted(digest_of(rounded(machine)) for machine in machines)])[:12]


def without_words(value: object) -> object:
    """The same without the fields of `NO_EVIDENCE`, at any depth."""
    if isinstance(value, dict):
        return {name: without_words(each) for name, each in value.items() if name not in NO_EVIDENCE}
    return [without_words(each) for each in value] if isinstance(value, (list, tuple)) else value


def rounded(value: object) -> object:
    """All floats in six digits, for the last ones differ between builds of numpy and scipy."""
    if isinstance(value, float):
        return f"{round(value, 9) + 0.0:.6g}"
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def question_of(baseline: str, versions: list[str]) -> str:
    """The problem as a question."""
    if not versions:
        return f"PyTorch {baseline} ran alone: there is no candidate to decide on."
    which = listed_in_words(versions, "or")
    return f"Should PyTorch {which} take the place of {baseline}? Each was planned beside it, on the same work."


def context_of(told: Told) -> dict[str, object]:
    """What was compared on one machine, and when."""
    known = dict(facts(told.machine.matrix))
    days = told.machine.matrix.days
    shown = [(name, known[name]) for name in NAMED if name in known]
    if days:
        ended = days[0].isoformat() if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        shown.append(("runs ended", ended))
    return {
        "opening": f"Matrix {told.verdict.matrix} on {told.verdict.label}:",
        "facts": shown,
        "control": told.verdict.control.sentence,
    }


def drivers_of(machines: list[Told], policy: Policy) -> list[str]:
    """What the policy asks for, of the metrics that were judged here."""
    margins = {
        told.words.name(one): (one.rules.gates, margin_in_words(one))
        for told in machines
        for one in told.machine.findings
    }
    judged = {one.quantity.name for told in machines for one in told.machine.findings}
    gating = [f"{title} {margin}" for title, (gates, margin) in margins.items() if gates]
    idle = [f"{title} {margin}" for title, (gates, margin) in margins.items() if not gates]
    said = []
    if gating:
        said.append(f"A move has to be shown to be no worse than by these margins: {'; '.join(gating)}.")
    if idle:
        said.append(f"Judged too, but holding no move: {'; '.join(idle)}.")
    return [
        *said,
        "Worse and better: the interval is clear of 0 and the estimate beyond the margin. Equivalent: the whole "
        "interval is within the margin. All else is inconclusive.",
        "What holds a move: worse in a metric that gates, runs that all fail where none of the baseline's does, or a "
        "check that fails in all of several runs and holds in all of the baseline's, unless A/A fails it too. What "
        "keeps it from being supported: a check that is open, or comes out worse than on the baseline.",
        *dict.fromkeys(said for told in machines for said in who_decides(told.machine)),
        *([rule_in_words(policy.accuracy)] if policy.accuracy and policy.accuracy.score in judged else []),
        f"The error rate is {policy.error_rate * 100:g} %: the chance, over all metrics that gate and all candidates "
        "of a machine, that some difference is found where there is none. Metrics that do not gate have the same "
        "chance once more.",
        f"These terms are those of cases/policy.toml, digest {policy.digest()[:12]}.",
    ]


def proposal_of(baseline: str, verdict: VerdictFile, names: dict[str, str]) -> str:
    """Which options the evidence supports."""
    supported = [names[one.version] for one in verdict.candidates if one.verdict == "upgrade"]
    if len(supported) > 1:
        named = listed_in_words([f'"Move to {name}"' for name in supported])
        return f"Proposed options: {named}. The evidence supports each of them; which to take is left to people:"
    if supported:
        return f'Proposed option: "Move to {supported[0]}", because the evidence supports it:'
    if verdict.candidates:
        everywhere = " on all machines" if len(verdict.machines) > 1 else ""
        return f'Proposed option: "Stay on {baseline}", because the evidence supports no move{everywhere}:'
    return f'Proposed option: "Stay on {baseline}", because no candidate was measured.'


def outcome_of(baseline: str, one: StoredOverall, name: str) -> str:
    """The verdict on a candidate as an answer to the question, with its reason."""
    if one.verdict == "hold":
        return f"Stay on {baseline} rather than move to {name}: {one.sentence}"
    if one.verdict == "upgrade":
        return f"The evidence supports moving to {name}: {one.sentence}"
    why = one.sentence.removeprefix("Insufficient evidence")  # said of one machine only
    return f"Insufficient evidence to move to {name}{why if why != one.sentence else ': ' + why}"


def labelled(machines: list[Told], said: dict[str, list[str]]) -> list[str]:
    """Sentences of several machines, each with its machine."""
    if len(machines) == 1:
        return said[machines[0].verdict.label]
    return [f"On {label}: {each}" for label, sentences in said.items() for each in sentences]


def not_planned(account: Account, names: dict[str, str]) -> list[str]:
    """Candidates that some machine of several was not asked about."""
    said = []
    for one in account.judgement.candidates:
        asked = {machine.label for machine, _ in one.on}
        labels = [told.verdict.label for told in account.machines]
        said += [f"{names[one.version]} was not planned on {label}." for label in labels if label not in asked]
    return said


def bites_on(told: Told, here: str) -> list[tuple[str, list[str]]]:
    """What a move will bring on one machine, by candidate, in the order of what it costs: what never ends well, checks
    that fail, behaviour that has changed, and what else is not what it was."""
    said = []
    for one in told.machine.verdict.candidates:
        lines = [reason_in_words(reason, told.words) for reason in failures_of(one)]
        lines += [line for rows in told.machine.probes.values() for line in bites_of(rows, one.pin)]
        lines += changes_by_name(told, one.pin)
        said += [(f"{one.pin}{here}", lines)] if lines else []
    return said


def failures_of(one: CandidateVerdict) -> list[Reason]:
    """What fails with a candidate: what holds the move first, then checks that come out worse than on the baseline,
    then those that fail there as well."""

    def rank(weighed: Weighed) -> int:
        reason = weighed.reason
        if weighed.role == "holds":
            return 0
        return 1 if isinstance(reason, OfCheck) and worse_than(reason.cell, reason.base) else 2

    failing = [
        weighed
        for weighed in one.reasons
        if isinstance(weighed.reason, NeverEnded)
        or (isinstance(weighed.reason, OfCheck) and weighed.reason.cell.outcome == "failed")
    ]
    return [weighed.reason for weighed in sorted(failing, key=rank)]


def changes_by_name(told: Told, pin: str) -> list[str]:
    """What has other values under its names than on the baseline, such as libraries; probes are told elsewhere."""
    said = []
    for case, one in prints_against(told, told.verdict.baseline, pin):
        if one.kind == "differs" and one.declared.by_name and not is_probe(one):
            named = some([one_line(each.name, 60) for each in one.apart])
            known = f" {sentence(one.declared.differs.capitalize())}" if one.declared.differs else ""
            said.append(f"{one.declared.title} ({case}): {likeness_in_words(one, short=True)}: {named}.{known}")
    return said


def staying(machines: list[Told], on: dict[str, str]) -> list[str]:
    """What staying avoids and what it forgoes."""
    told_apart: dict[str, list[str]] = {"better": [], "worse": []}
    failing = []
    for told in machines:
        here = on[told.verdict.label]
        for one in (finding for candidate in told.machine.verdict.candidates for finding in candidate.findings):
            if one.alarms:
                told_apart[one.outcome].append(f"{told.words.title(one)} of {one.pin}{here}")
        failing += [
            f"{told.words.check_of(row, case)}{here}"
            for case, row, cell in cells_of(told.machine.matrix, told.verdict.baseline, told.machine.checks)
            if cell.outcome == "failed"
        ]
    lists = {
        "Good, because it avoids what is worse": told_apart["worse"],
        "Bad, because it forgoes what is better": told_apart["better"],
        "Bad, because these checks failed there": failing,
    }
    said = [f"{argument}: {'; '.join(names)}." for argument, names in lists.items() if names]
    return said or ["Neutral, because no candidate was found to be better or worse in anything."]


def evidence_of(account: Account, overall: OverallVerdict, name: str) -> list[Evidence]:
    """What there is on a candidate, machine by machine."""
    told = {one.verdict.label: one for one in account.machines}
    found = []
    for machine, one in overall.on:
        named = len(told) > 1 or one.pin != name
        heading = f"Evidence for {one.pin} on {machine.label}:" if named else ""
        found.append(evidence_on(told[machine.label], one, heading))
    return found


def evidence_on(told: Told, one: CandidateVerdict, heading: str) -> Evidence:
    """What one machine says of a candidate."""
    if one.cannot_run:
        why = trouble_in_words(one.cannot_run)
        return Evidence(heading, "", [sentence(f"Open, because it cannot run here: {why}")])
    accuracy = [accuracy_in_words(each, told.words) for each in one.accuracy]
    lies = [f"Neutral, on where it lies: {in_words(each, told.verdict.baseline)}" for each in headlines(told.machine)
            if each.pin == one.pin]  # fmt: skip
    arguments = [*accuracy, *arguments_of(one.findings, told), *lies]
    arguments += [*check_arguments(told, one.pin), *print_arguments(told, one.pin)]
    return Evidence(heading, table_of(one.findings, told), arguments)


def table_of(findings: Sequence[Finding], told: Told) -> str:
    """The findings on one candidate as a table."""
    head = ["metric", "difference", "interval", "level", "margin", "finding", "pairs"]
    return pipe_table(head, [row_of(one, told) for one in findings])


def row_of(one: Finding, told: Told) -> list[str]:
    """One finding as a row."""
    estimate, interval = estimate_and_interval(one) if one.measured else (NONE, NONE)
    outcome = one.outcome if one.measured else NOT_MEASURED
    name, margin = for_markdown(told.words.name(one)), margin_in_words(one)
    return [name, estimate, interval, level_in_words(one.level), margin, outcome, counted(one.n, one.pairs)]


def level_in_words(misses: float | None) -> str:
    """How sure an interval is, in as many digits as keep it from being shown as 100 %."""
    if misses is None:
        return NONE
    shown = (f"{(1 - misses) * 100:.{decimals}f} %" for decimals in range(1, 9))
    return next((text for text in shown if not text.startswith("100")), "100 %")


def arguments_of(findings: Sequence[Finding], told: Told) -> list[str]:
    """What speaks for and against a candidate, in the words of its findings."""
    words = {
        "better": "Good, because better",
        "equivalent": "Neutral, because equivalent",
        "worse": "Bad, because worse",
        "inconclusive": "Open, because inconclusive",
        NOT_MEASURED: f"Open, because {NOT_MEASURED}",
    }
    names: dict[str, list[str]] = {}
    for one in findings:
        names.setdefault(one.outcome if one.measured else NOT_MEASURED, []).append(told.words.name(one))
    return [f"{said}: {'; '.join(names[outcome])}." for outcome, said in words.items() if outcome in names]


def check_arguments(told: Told, pin: str) -> list[str]:
    """What speaks for and against a candidate in its checks, by their names."""
    baseline = told.verdict.baseline
    names: dict[str, list[str]] = {}
    for case, row, cell in cells_of(told.machine.matrix, pin, told.machine.checks):
        again = " again" if failed_before(cell, row.cells[0]) else ""
        names.setdefault(cell.outcome + again, []).append(told.words.check_of(row, case))
    words = {
        "held again": f"Good, because these checks held, which failed on {baseline}",
        "held": "Neutral, because these checks held",
        "failed again": f"Neutral, because these checks failed, as on {baseline}",
        "failed": "Bad, because these checks failed",
        "open again": f"Open, because these checks could not tell, which failed on {baseline}",
        "open": "Open, because these checks could not tell",
    }
    return [f"{said}: {'; '.join(names[outcome])}." for outcome, said in words.items() if outcome in names]


def failed_before(cell: CheckCell, base: CheckCell | None) -> bool:
    """Whether a check failed on the baseline, and came out no worse here."""
    return base is not None and base.outcome == "failed" and not worse_than(cell, base)


def print_arguments(told: Told, pin: str) -> list[str]:
    """What a candidate's fingerprints are beside the baseline's, which speaks neither for nor against it."""
    baseline = told.verdict.baseline
    alike: list[str] = []
    apart: list[str] = []
    for case, one in prints_against(told, baseline, pin):
        if is_probe(one):
            continue
        title = f"{one.declared.title} ({case})"
        if one.kind == "alike":
            alike.append(title)
        elif one.kind != "not compared":
            known = f", which is known: {one.declared.differs.rstrip('.')}" if one.declared.differs else ""
            apart.append(f"{title}, {likeness_in_words(one)}{known}")
    lists = {
        f"Neutral, because bit for bit as on {baseline}": alike,
        f"Neutral, because not bit for bit as on {baseline}": apart,
    }
    return [f"{argument}: {'; '.join(names)}." for argument, names in lists.items() if names]


def prints_against(told: Told, baseline: str, pin: str) -> list[tuple[str, Likeness]]:
    """The fingerprints of a pin beside the baseline's, with their cases."""
    return [
        (case, one)
        for case, made in told.machine.fingerprints.items()
        for one in made
        if (one.first, one.second) == (baseline, pin)
    ]
