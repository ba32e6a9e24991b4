"""`index.html`: one file that holds all there is to see and needs nothing else, no network and no server."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness.core.plan import PROOFS
from harness.core.spec import TWIN
from reports.evidence.figures import Matrix
from reports.evidence.traces import DRAWN_ROUNDS
from reports.judge.machines import Machine
from reports.judge.statements import Finding
from reports.show.between import LEGEND
from reports.show.claims import counts_in_words
from reports.show.curves import curves_of
from reports.show.drawn import drawn_of, left_out
from reports.show.environments import EnvironmentRow, side_by_side
from reports.show.findings import effect, why_in_words, why_open
from reports.show.plots import Plot, plot_of_intervals, plot_of_runs
from reports.show.probes import CHANGED, TOLD
from reports.show.table import Table
from reports.show.text import LONGEST, one_line, superscript
from reports.show.tidy import state_of
from reports.show.tradeoffs import plots_of_tradeoff
from reports.show.verdict_file import Account, Told
from reports.show.words import counted, differing_in_words, shown_as

TEMPLATES = Path(__file__).with_name("templates")
MOST_POINTS = 60_000
"""Of all curves of a page: they take some ten bytes each."""
MOST_ANOMALIES = 1000
"""Rows of the list of anomalies; the records have all."""

MARKS = {"worse": "✗", "better": "✓", "equivalent": "=", "inconclusive": "?"}
"""Of findings, so that none is told by colour alone."""
CHECK_MARKS = {"failed": "✗", "held": "✓", "open": "?"}
VERDICT_MARKS = {"hold": "✗", "upgrade": "✓", "inconclusive": "?"}
STEP_MARKS = {
    "unsteady": "!",
    CHANGED["differs"]: "≠",
    CHANGED["stops"]: "✗",
    CHANGED["warns"]: "!",
    CHANGED["more"]: "+",
    CHANGED["rounding"]: "≈",
    "cannot run": "\N{EN DASH}",
    "not compared": "\N{EN DASH}",
    "same": "=",
}
"""Of the steps of probes."""
PART_MARKS = {"more": "▲", "less": "▼"}
"""Of parts that a pin takes more or less of."""
CLAIM_MARKS = {
    "reproduced": "✓",
    "refuted": "✗",
    "inconsistent with itself": "≠",
    "not testable here": "\N{EN DASH}",
    "open": "?",
}
PRINT_MARKS = {"alike": "=", "within tolerance": "≈", "differs": "≠", "not compared": "\N{EN DASH}"}


@dataclass(frozen=True)
class FindingText:
    """One finding on one pin: `outcome` is empty where nothing was measured, and `text` then says why."""

    pin: str
    outcome: str
    text: str


@dataclass(frozen=True)
class MetricPlots:
    """One metric of one case: its plots, and its findings in words."""

    title: str
    findings: list[FindingText]
    plots: list[Plot]


@dataclass(frozen=True)
class AnomalyRow:
    """One line of the list of anomalies. Round, epoch and step count from 1."""

    machine: str
    case: str
    pin: str
    round: int
    kind: str
    epoch: int
    step: int
    what: str


@dataclass(frozen=True)
class Absent:
    """Something that was not measured, and why."""

    case: str
    metric: str
    pins: str
    runs: str
    reason: str


@dataclass(frozen=True)
class MachinePart:
    """All that the page shows of one machine."""

    label: str
    anchor: str
    table: Table
    metrics: list[tuple[str, list[MetricPlots]]]
    tradeoffs: list[tuple[str, list[Plot]]]
    curves: list[tuple[str, list[Plot]]]
    drawn: str
    absent: list[Absent]
    environment: dict[str, list[EnvironmentRow]]
    commands: list[str]
    digests: list[tuple[str, str]]
    data_sets: list[tuple[str, list[str]]]
    """By name, what each holds and what was left out of it, in lines."""


def to_page(account: Account, tables: Sequence[Table], overview: bytes, alt: str) -> str:
    """The page. `overview` is the main figure as SVG, `alt` what it says in words. All foreign text is escaped."""
    machines, verdict = account.judgement.machines, account.verdict
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = one_line
    environment.filters["json"] = for_script
    drawn = drawn_of(account.machines)
    parts = [
        part_of(told, table, f"machine-{place}", len(drawn))
        if any(told is one for one in drawn)
        else part_without_plots(told, table, f"machine-{place}", left_out(account.machines))
        for place, (told, table) in enumerate(zip(account.machines, tables, strict=True), 1)
    ]
    anomalies = [row for machine in machines for row in anomalies_of(machine)]
    total = sum(one.anomalous_steps for machine in machines for one in machine.matrix.observations)
    days = [day for machine in machines for day in machine.matrix.days]
    return environment.get_template("index.html").render(
        verdict=verdict,
        baseline=shown_as([machine.baseline for machine in verdict.machines]),
        parts=parts,
        anomalies=anomalies[:MOST_ANOMALIES],
        anomalies_in_all=total,
        ended=max(days).isoformat() if days else "",
        marks=MARKS,
        verdict_marks=VERDICT_MARKS,
        check_marks=CHECK_MARKS,
        print_marks=PRINT_MARKS,
        part_marks=PART_MARKS,
        claim_marks=CLAIM_MARKS,
        claim_counts=counts_in_words([one.outcome for one in verdict.claims]),
        step_marks=STEP_MARKS,
        told_in_full=TOLD,
        overview=base64.b64encode(overview).decode(),
        alt=alt,
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
        superscript=superscript,
        legend=LEGEND,
    )


def for_script(value: object) -> Markup:
    """JSON that can stand inside a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def part_of(told: Told, table: Table, anchor: str, machines: int) -> MachinePart:
    """What the page shows of one machine, of so many that are drawn."""
    machine, matrix = told.machine, told.machine.matrix
    rounds = drawn_rounds(matrix, machines)
    most = max(matrix.plan.rounds_of(case) for case in matrix.plan.cases)
    return replace(
        part_without_plots(told, table, anchor, f"The first {rounds} of {most:,} rounds are drawn." * (rounds < most)),
        metrics=[(case, list(metric_plots(machine, case))) for case in matrix.plan.cases],
        tradeoffs=[(case, plots) for case in matrix.plan.cases if (plots := plots_of_tradeoff(machine, case))],
        curves=[(case, plots) for case in matrix.plan.cases if (plots := curves_of(matrix, case, rounds))],
    )


def part_without_plots(told: Told, table: Table, anchor: str, drawn: str) -> MachinePart:
    """All of that but the plots; `drawn` says what of them is missing."""
    machine, matrix = told.machine, told.machine.matrix
    return MachinePart(
        label=machine.label,
        anchor=anchor,
        table=table,
        metrics=[],
        tradeoffs=[],
        curves=[],
        drawn=drawn,
        absent=[*absent_figures(matrix), *absent_findings(machine), *absent_differences(machine)],
        environment=side_by_side(matrix),
        commands=commands_for(machine),
        digests=digests_of(machine),
        data_sets=[(name, summary.in_words()) for name, summary in matrix.named_data_sets()],
    )


def drawn_rounds(matrix: Matrix, machines: int) -> int:
    """How many rounds of curves fit into this machine's share of the page."""
    points = [0] * min(DRAWN_ROUNDS, max(matrix.plan.rounds_of(case) for case in matrix.plan.cases))
    for one in matrix.observations:
        if one.trace:
            points[one.spec.round] += sum(len(curve.values) for curve in one.trace.curves.values())
    fitting, used = 0, 0
    for count in points:
        used += count
        if fitting and used > MOST_POINTS / machines:
            break
        fitting += 1
    return fitting


def metric_plots(machine: Machine, case: str) -> Iterator[MetricPlots]:
    """The plots of every metric of a case that has a figure."""
    for quantity in machine.matrix.quantities[case]:
        findings = [one for one in machine.findings if (one.case, one.quantity.key) == (case, quantity.key)]
        plots = [plot_of_runs(machine.matrix, case, quantity), plot_of_intervals(machine.matrix.pins, findings)]
        drawn = [plot for plot in plots if plot]
        if drawn:
            yield MetricPlots(quantity.heading(), [*map(finding_text, findings)], drawn)


def finding_text(found: Finding) -> FindingText:
    """One finding in words."""
    return (
        FindingText(found.pin, found.outcome, effect(found))
        if found.measured
        else FindingText(found.pin, "", why_open(found))
    )


def anomalies_of(machine: Machine) -> Iterator[AnomalyRow]:
    """The anomalies that were kept, in the order of the plan."""
    for one in machine.matrix.observations:
        for each in one.anomalies:
            place = one_line(each.parameter, 120) or "the loss"
            others = f" and {each.count - 1} more" if each.count > 1 else ""
            what = f"{place}{others}: {one_line(each.value, 40)}"
            where = (machine.label, one.spec.case, one.spec.pin.name, one.spec.round + 1)
            yield AnomalyRow(*where, each.kind, each.epoch + 1, each.step + 1, what)


def absent_figures(matrix: Matrix) -> Iterator[Absent]:
    """What has no figure: runs that did not end well, and metrics of runs that did; alike ones together."""
    gathered: dict[tuple[str, str, str], dict[str, int]] = {}
    for one in matrix.observations:
        case = one.spec.case
        for quantity in matrix.quantities[case] if one.status == "ok" else matrix.quantities[case][:1]:
            status, value, reason = state_of(one, quantity.key, 2 * LONGEST)
            if value is None:
                what = quantity.title if one.status == "ok" else "all metrics"
                pins = gathered.setdefault((case, what, f"{status}: {reason}"), {})
                pins[one.spec.pin.name] = pins.get(one.spec.pin.name, 0) + 1
    for (case, metric, reason), pins in gathered.items():
        yield Absent(case, metric, ", ".join(pins), counted(sum(pins.values()), "runs"), reason)


def absent_findings(machine: Machine) -> Iterator[Absent]:
    """Metrics that the policy judges and of which no run says anything."""
    shown = {(case, quantity.key) for case, rows in machine.matrix.quantities.items() for quantity in rows}
    for found in machine.findings:
        if not found.measured and (found.case, found.quantity.key) not in shown:
            why = why_in_words(found.why)
            yield Absent(found.case or "no case", found.quantity.title, found.pin, "no finding", why)


def absent_differences(machine: Machine) -> Iterator[Absent]:
    """Records that are not compared."""
    for (case, index, pin), refusal in machine.refused.items():
        names = [*map(differing_in_words, refusal.differing)]
        differing = " and ".join(names) or "hashes, which one of the two lacks,"
        reason = f"not compared: {differing} not as in the record of {refusal.reference}"
        yield Absent(case, "all differences", pin, f"round {index + 1}", reason)


def commands_for(machine: Machine) -> list[str]:
    """What measures the same again, and what reports it."""
    plan = machine.matrix.plan
    if plan.name.startswith(f"{PROOFS}/"):
        return ["nox -s calibrate" if plan.calibrates else "nox -s bench"]
    some = plan.runs[0]
    words = ["nox", "-s", "matrix", "--", "--profile", plan.profile]
    words += ["--pins", *(pin for pin in machine.matrix.pins if pin != TWIN)]
    words += ["--case", *plan.cases]
    rounds = set(plan.rounds_by_case().values())
    words += ["--rounds", *map(str, rounds)] if len(rounds) == 1 else []  # else they are the profile's own
    words += ["--data", plan.data] if plan.data else []
    words += ["--weights", plan.weights] if plan.weights else []
    words += ["--device", some.device, "--threads", str(some.threads), "--name", plan.name]
    return [shlex.join(words), f"nox -s report -- {shlex.quote(f'results/{plan.name}')}"]


def digests_of(machine: Machine) -> list[tuple[str, str]]:
    """What has to be the same for the records to be the same: locks, harness, data."""
    plan = machine.matrix.plan
    locks = [(f"lock of {pin.name}", pin.lock) for pin in plan.pins if pin.lock and pin.name != TWIN]
    code = dict.fromkeys((f"harness of {run.case}", run.harness) for run in plan.runs)
    data = dict.fromkeys((f"data set {run.data.name}", run.data.digest) for run in plan.runs if run.data.digest)
    return [*locks, *code, *data]
