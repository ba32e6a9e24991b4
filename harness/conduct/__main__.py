"""`python -m harness.conduct plan|run`: what the sessions `plan`, `matrix` and `measure` call."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from harness.conduct.arguments import RESULTS, parse
from harness.conduct.board import make_board, minutes
from harness.conduct.jobs import check_jobs, job_of, make_plans
from harness.conduct.planning import MATRIX, make_plan, make_proof
from harness.conduct.rounds import do_rounds, sole_use
from harness.core.errors import UsageError
from harness.core.files import write_atomically
from harness.core.matrix import read_matrix
from harness.core.plan import ASKED_FILE, Plan, read_plan, write_plan
from harness.core.policy import read_policy
from harness.core.settings import PaceSettings
from harness.core.spec import TWIN, RunSpec


def show(plan: Plan) -> None:
    """Say what will be done."""
    device = plan.runs[0].device
    print(f"machine: {plan.machine} ({plan.reason}); device: {device}; profile: {plan.profile}")
    print(f"pins: {', '.join(pin.name for pin in plan.pins)}; the first is the baseline, {TWIN} the same once more")
    print(f"runs: {len(plan.runs)} in {plan.rounds} round(s), in this order:")
    sittings = plan.sittings()
    for index in range(plan.rounds):
        groups = [group for group in sittings if round_of(group[0]) == index]
        order = ", ".join(" + ".join(f"{run.case} {run.pin.name}" for run in group) for group in groups)
        print(f"  round {index + 1}: {order}")


def round_of(run: RunSpec) -> int:
    """The round in which a run is done: runs of `pace` count their sittings, several a round."""
    return run.round // run.settings.sittings if isinstance(run.settings, PaceSettings) else run.round


def plan_command(arguments: list[str]) -> None:
    """Make a plan and show it; with --handoff leave it in the results folder and say where that is, with --jobs write
    the jobs of CI that do it."""
    asked = parse(arguments)
    check_jobs(asked)
    matrix, policy = read_matrix(MATRIX), read_policy()
    if asked.proofs and asked.name:
        raise UsageError("--name has no meaning here: the proofs' folders are in results/proofs.")
    if asked.proofs:
        plans = [make_proof(asked, matrix, policy, name) for name in asked.proofs]
    elif asked.machines:
        plans = make_plans(asked, matrix, policy)
    else:
        plans = [make_plan(asked, matrix, policy)]
    for plan in plans:
        show(plan)
    if asked.jobs:
        write_atomically(asked.jobs, msgspec.json.encode([job_of(plan, asked) for plan in plans]))
    if asked.handoff:
        for plan in plans:
            results = RESULTS / plan.name
            with sole_use(results):  # a matrix at work there is told of now, not after building environments
                write_plan(results / ASKED_FILE, plan)
        pins = [pin for plan in plans for pin in plan.pins if pin.lock]
        handoff = {
            "results": [str(RESULTS / plan.name) for plan in plans],
            "report": ["--gate"] if asked.gate and not asked.proofs else [],
            "environments": list(dict.fromkeys(pin.environment for pin in pins)),
        }
        write_atomically(asked.handoff, msgspec.json.encode(handoff))


def run_command(arguments: list[str]) -> None:
    """Do the runs that were asked for in a results folder."""
    parser = argparse.ArgumentParser(prog="python -m harness.conduct run")
    parser.add_argument("results", type=Path, help="a results folder in which `plan --handoff` has left its plan")
    results = parser.parse_args(arguments).results
    plan = read_plan(results / ASKED_FILE)
    with sole_use(results):
        began = time.monotonic()
        with make_board(plan.runs) as board:
            do_rounds(results, plan, board)
    statuses = Counter(row.state for row in board.rows.values())
    print("runs: " + ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())))
    measuring, seconds = board.measuring, time.monotonic() - began
    if measuring:
        print(f"took {minutes(seconds)}; {measuring / seconds:.0%} of it went into epochs, evaluations and turns")


def printable(text: str) -> str:
    """Text without control characters: a name from a file must not steer the terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)


def main(arguments: list[str]) -> int:
    """Exit code 0 when everything planned was tried, 2 with one sentence when it could not be, 130 when interrupted."""
    commands = {"plan": plan_command, "run": run_command}
    if not arguments or arguments[0] not in commands:
        print(f"error: say what to do: python -m harness.conduct {'|'.join(commands)} ….", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job ends as Ctrl-C does
    try:
        commands[arguments[0]](arguments[1:])
    except UsageError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {printable(str(error.filename))} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was complete is kept; run the same command to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
