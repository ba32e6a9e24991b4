"""`decision.md`: the record of an upgrade decision in the form of MADR 4.0, for people to complete and sign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.core.files import digest_of
from harness.core.policy import Policy
from harness.core.spec import TWIN
from reports.show.edits import carried
from reports.judge.findings import Finding
from reports.show.limits import NONE, limits_of, name_of, open_rows, risks_of
from reports.judge.machines import Machine
from reports.show.markdown import pipe_table
from reports.show.preamble import facts
from reports.judge.reasons import cannot_run, cells_of, listed_in_words, margin_in_words, titled, worse_than
from reports.show.text import for_markdown, sentence
from reports.judge.verdict import CandidateVerdict, OverallVerdict, VerdictFile, shown_as, versions_of

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


def to_decision(machines: list[Machine], verdict: VerdictFile, policy: Policy, kept: dict[str, str]) -> str:
    """The whole file. `kept`: the sections of the file that it takes the place of, which stay as they are."""
    digest = evidence_digest(verdict)
    sections, elsewhere = carried(kept, digest)
    baseline = shown_as([one.verdict.baseline for one in machines])
    names = {
        one.version: shown_as([pin.pin for each in machines for pin in candidates_of(each, one.version)])
        for one in verdict.candidates
    }
    on = {one.label: f" on {one.label}" if len(machines) > 1 else "" for one in machines}
    rows = [row for one in machines for row in open_rows(one, on[one.label])]
    days = [day for one in machines for day in one.matrix.days]
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
        options=[f"Stay on {baseline}", *(f"Move to {name}" for name in names.values())],
        proposal=proposal_of(baseline, verdict, names),
        outcome=[outcome_of(baseline, one, names[one.version]) for one in verdict.candidates],
        risks=labelled(machines, {one.label: risks_of(one) for one in machines}),
        staying=staying(machines, on),
        moves=[
            {"option": f"Move to {name}", "evidence": evidence_of(machines, version, name)}
            for version, name in names.items()
        ],
        limits=[
            "Nothing was measured on other hardware, data or settings than those named above.",
            *not_planned(machines, names),
            *labelled(machines, {one.label: limits_of(one, policy) for one in machines}),
        ],
        open_table=pipe_table(OPEN_HEAD, [[for_markdown(cell) for cell in row] for row in rows], "left")
        if rows
        else "",
    )


def evidence_digest(verdict: VerdictFile) -> str:
    """A short sha256 of findings, verdicts and policy. Names of folders and the order of machines do not count, nor
    does the calibration: the same records have the same digest wherever they lie."""
    names = ("label", "matrix", "calibration", "calibration_sentence")
    machines = [
        {name: value for name, value in msgspec.to_builtins(machine).items() if name not in names}
        for machine in verdict.machines
    ]
    return digest_of([verdict.policy, sorted(digest_of(rounded(machine)) for machine in machines)])[:12]


def rounded(value: object) -> object:
    """All floats in six digits, for the last ones differ between builds of numpy and scipy."""
    if isinstance(value, float):
        return f"{round(value, 9) + 0.0:.6g}"
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def candidates_of(machine: Machine, version: str) -> list[CandidateVerdict]:
    """The verdicts on what the overall verdict calls so, on one machine: one at most."""
    named = zip(machine.verdict.candidates, versions_of(machine.verdict), strict=True)
    return [one for one, name in named if name == version]


def question_of(baseline: str, versions: list[str]) -> str:
    """The problem as a question."""
    if not versions:
        return f"PyTorch {baseline} ran alone: there is no candidate to decide on."
    which = listed_in_words(versions, "or")
    return f"Should PyTorch {which} take the place of {baseline}? Each was planned beside it, on the same work."


def context_of(machine: Machine) -> dict[str, object]:
    """What was compared on one machine, and when."""
    known = dict(facts(machine.matrix))
    days = machine.matrix.days
    shown = [(name, known[name]) for name in NAMED]
    if days:
        ended = days[0].isoformat() if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        shown.append(("runs ended", ended))
    return {
        "opening": f"Matrix {machine.verdict.matrix} on {machine.label}:",
        "facts": shown,
        "control": machine.verdict.control.sentence,
    }


def drivers_of(machines: list[Machine], policy: Policy) -> list[str]:
    """What the policy asks for, of the metrics that were judged here."""
    margins = {name_of(one): (one.policy.gates, margin_in_words(one)) for each in machines for one in each.findings}
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
        f"The error rate is {policy.error_rate * 100:g} %: the chance, over all metrics and candidates of a machine, "
        "that some difference is found where there is none.",
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


def outcome_of(baseline: str, one: OverallVerdict, name: str) -> str:
    """The verdict on a candidate as an answer to the question, with its reason."""
    if one.verdict == "hold":
        return f"Stay on {baseline} rather than move to {name}: {one.sentence}"
    if one.verdict == "upgrade":
        return f"The evidence supports moving to {name}: {one.sentence}"
    why = one.sentence.removeprefix("Insufficient evidence")  # said of one machine only
    return f"Insufficient evidence to move to {name}{why if why != one.sentence else ': ' + why}"


def labelled(machines: list[Machine], said: dict[str, list[str]]) -> list[str]:
    """Sentences of several machines, each with its machine."""
    if len(machines) == 1:
        return said[machines[0].label]
    return [f"On {label}: {each}" for label, sentences in said.items() for each in sentences]


def not_planned(machines: list[Machine], names: dict[str, str]) -> list[str]:
    """Candidates that some machine of several was not asked about."""
    return [
        f"{name} was not planned on {machine.label}."
        for version, name in names.items()
        for machine in machines
        if not candidates_of(machine, version)
    ]


def staying(machines: list[Machine], on: dict[str, str]) -> list[str]:
    """What staying avoids and what it forgoes."""
    found: dict[str, list[str]] = {"better": [], "worse": []}
    for machine in machines:
        for one in machine.findings:
            if one.pin != TWIN and one.alarms:
                found[one.outcome].append(f"{one.title} of {one.pin}{on[machine.label]}")
    said = [f"Good, because it avoids what is worse: {'; '.join(found['worse'])}."] if found["worse"] else []
    said += [f"Bad, because it forgoes what is better: {'; '.join(found['better'])}."] if found["better"] else []
    failing = [
        f"{titled(row, case)}{on[machine.label]}"
        for machine in machines
        for case, row, cell in cells_of(machine.matrix, machine.matrix.pins[0], machine.checks)
        if cell.outcome == "failed"
    ]
    said += [f"Bad, because these checks failed there: {'; '.join(failing)}."] if failing else []
    return said or ["Neutral, because no candidate was found to be better or worse in anything."]


def evidence_of(machines: list[Machine], version: str, name: str) -> list[Evidence]:
    """The findings on a candidate, machine by machine."""
    found = []
    for machine in machines:
        for pin in [one.pin for one in candidates_of(machine, version)]:
            findings = [one for one in machine.findings if one.pin == pin]
            impossible = cannot_run(machine.matrix, pin)
            heading = f"Evidence for {pin} on {machine.label}:" if len(machines) > 1 or pin != name else ""
            if impossible:
                found.append(Evidence(heading, "", [sentence(f"Open, because it cannot run here: {impossible}")]))
            else:
                arguments = arguments_of(findings) + check_arguments(machine, pin)
                found.append(Evidence(heading, table_of(findings), arguments))
    return found


def table_of(findings: list[Finding]) -> str:
    """The findings on one candidate as a table."""
    head = ["metric", "difference", "interval", "level", "margin", "finding", "pairs"]
    rows = []
    for one in findings:
        estimate, interval = one.estimate_and_interval()
        outcome = one.outcome if one.measured else "not measured"
        pairs = f"{one.n} {one.pairs if one.n != 1 else one.pairs[:-1]}"
        estimate, interval = (estimate, interval) if one.measured else (NONE, NONE)
        rows.append(
            [
                for_markdown(name_of(one)),
                estimate,
                interval,
                level_in_words(one.level),
                margin_in_words(one),
                outcome,
                pairs,
            ]
        )
    return pipe_table(head, rows)


def level_in_words(misses: float | None) -> str:
    """How sure an interval is, in as many digits as keep it from being shown as 100 %."""
    if misses is None:
        return NONE
    shown = (f"{(1 - misses) * 100:.{decimals}f} %" for decimals in range(1, 9))
    return next((text for text in shown if not text.startswith("100")), "100 %")


def arguments_of(findings: list[Finding]) -> list[str]:
    """What speaks for and against a candidate, in the words of its findings."""
    words = {"better": "Good", "equivalent": "Neutral", "worse": "Bad"}
    said = []
    for outcome, word in words.items():
        titles = [name_of(one) for one in findings if one.outcome == outcome]
        if titles:
            said.append(f"{word}, because {outcome}: {'; '.join(titles)}.")
    open_ = [name_of(one) for one in findings if one.outcome == "inconclusive" and one.measured]
    unknown = [name_of(one) for one in findings if not one.measured]
    said += [f"Open, because inconclusive: {'; '.join(open_)}."] if open_ else []
    return said + ([f"Open, because not measured: {'; '.join(unknown)}."] if unknown else [])


def check_arguments(machine: Machine, pin: str) -> list[str]:
    """What speaks for and against a candidate in its checks, by their names."""
    baseline = machine.matrix.pins[0]
    names: dict[str, list[str]] = {}
    for case, row, cell in cells_of(machine.matrix, pin, machine.checks):
        base = row.cells[0]
        again = base is not None and base.outcome == "failed" and not worse_than(cell, base)
        names.setdefault(f"{cell.outcome} again" if again else cell.outcome, []).append(titled(row, case))
    words = {
        "held again": f"Good, because these checks held, which failed on {baseline}",
        "held": "Neutral, because these checks held",
        "failed again": f"Neutral, because these checks failed, as on {baseline}",
        "failed": "Bad, because these checks failed",
        "open again": f"Open, because these checks could not tell, which failed on {baseline}",
        "open": "Open, because these checks could not tell",
    }
    return [f"{said}: {'; '.join(names[outcome])}." for outcome, said in words.items() if outcome in names]
