"""`python -m harness.conduct plan|build|run|bisect|ready`: what the sessions call."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from harness.conduct.alone import alone_on_machine
from harness.conduct.arguments import Asked, Parser, parse
from harness.conduct.bisecting import bisect_command, ready_command
from harness.conduct.board import make_board, minutes
from harness.conduct.environments import build, session_of
from harness.conduct.folder import sole_use
from harness.conduct.jobs import check_jobs, job_of, plan_elsewhere
from harness.conduct.launchers import launcher_of
from harness.conduct.planning import MATRIX, plan, plan_proof
from harness.conduct.releases import with_kept
from harness.conduct.run import Outcome, at_work, run
from harness.core.errors import UsageError
from harness.core.files import ROOT, spelt_out, write_atomically
from harness.core.matrix import MatrixFile, read_matrix
from harness.core.plan import ASKED_FILE, RESULTS, Plan, read_plan, write_plan, write_plans
from harness.core.policy import Policy, read_policy
from harness.core.spec import TWIN


def show(made: Plan) -> None:
    """Say what will be done."""
    first = made.runs[0]
    print(
        f"machine: {made.machine} ({made.reason}); device: {first.device}; model: {first.model.name}; "
        f"profile: {made.profile}"
    )
    print(f"pins: {', '.join(pin.name for pin in made.pins)}; the first is the baseline, {TWIN} the same once more")
    print(f"runs: {len(made.runs)} in {made.rounds} round(s), in this order:")
    groups = made.groups()
    for index in range(made.rounds):
        of_round = [group for group in groups if group[0].round == index]
        order = ", ".join(" + ".join(f"{run.case} {run.pin.name}" for run in group) for group in of_round)
        print(f"  round {index + 1}: {order}")


def plan_command(arguments: Sequence[str]) -> None:
    """Make a plan and show it; with --handoff leave it in the results folder and say where that is, with --jobs write
    the jobs of CI that do it, with --plans the plan itself."""
    asked = parse(arguments)
    check_jobs(asked)
    matrix = with_kept(read_matrix(MATRIX))
    plans = plans_of(asked, matrix, read_policy())
    for made in plans:
        if asked.handoff:
            launcher_of(made, RESULTS / made.name, Path(sys.executable), matrix)  # one that is no use is told of now
        show(made)
    if asked.jobs:
        write_atomically(asked.jobs, msgspec.json.encode([job_of(made, asked.request) for made in plans]))
    if asked.plans:
        write_plans(asked.plans, plans)
    if asked.handoff:
        hand_on(plans, asked, asked.handoff)


def plans_of(asked: Asked, matrix: MatrixFile, policy: Policy) -> list[Plan]:
    """The plans that are asked for: a matrix, one for each kind of machine, or proofs."""
    if asked.proofs and asked.request.name:
        raise UsageError("--name has no meaning here: the proofs' folders are in results/proofs.")
    if asked.proofs:
        return [plan_proof(name, asked.request, matrix, policy) for name in asked.proofs]
    if asked.machines:
        return plan_elsewhere(asked.machines, asked.request, matrix, policy)
    return [plan(asked.request, matrix, policy)]


def hand_on(plans: Sequence[Plan], asked: Asked, handoff: Path) -> None:
    """Leave every plan in its results folder, and in the file of the handoff where that is, the sessions of the
    environments that it takes, and with what the report is called."""
    for made in plans:
        results = RESULTS / made.name
        with sole_use(results):  # a matrix at work there is told of now, not after building environments
            write_plan(results / ASKED_FILE, made)
    locked = [one for made in plans for one in made.environments() if one.lock]
    said = {
        "results": [str(RESULTS / made.name) for made in plans],
        "report": ["--gate"] if asked.gate and not asked.proofs else [],
        "sessions": list(dict.fromkeys(map(session_of, locked))),
    }
    write_atomically(handoff, msgspec.json.encode(said))


def build_command(arguments: Sequence[str]) -> None:
    """Build environments, or keep those that are built, and check them; with --handoff say where they are."""
    parser = Parser("python -m harness.conduct build", "Build environments, or keep those that are built.")
    parser.add_argument(
        "environments", nargs="+", metavar="ENVIRONMENT", help="a pin, with -twin its second one, or a helper"
    )
    parser.add_argument("--handoff", type=Path, help="a file for their interpreters, by their names")
    asked = parser.read(arguments)
    matrix = with_kept(read_matrix(MATRIX))
    with alone_on_machine(f"building environments in {ROOT}", say):  # it would take time from what is measured
        interpreters = {name: str(build(name, matrix, say)) for name in asked.environments}
    if asked.handoff:
        write_atomically(asked.handoff, msgspec.json.encode(interpreters))


def run_command(arguments: Sequence[str]) -> None:
    """Do the runs that were asked for in a results folder."""
    parser = Parser("python -m harness.conduct run", "Do the runs that were planned in a results folder.")
    parser.add_argument("results", type=Path, help="a results folder in which `plan --handoff` has left its plan")
    parser.add_argument("--ambient", type=Path, default=sys.executable, help="the interpreter of the pin `ambient`")
    asked = parser.read(arguments)
    made = read_plan(asked.results / ASKED_FILE)
    launcher = launcher_of(made, asked.results, Path(asked.ambient), read_matrix(MATRIX))
    with at_work(made, asked.results, here=launcher.here, say=say):
        began = time.monotonic()
        with make_board(made.runs) as board:
            outcomes = run(made, launcher, board)
        took = time.monotonic() - began
    sum_up(outcomes, took)


def say(sentence: str) -> None:
    """Print a line now: what is waited for may take hours."""
    print(spelt_out(sentence), flush=True)


def sum_up(outcomes: Sequence[Outcome], seconds: float) -> None:
    """Say what became of the runs, and how much of the time was spent on measuring."""
    statuses = Counter(outcome.status for outcome in outcomes)
    print("runs: " + ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())))
    measuring = sum(outcome.measuring for outcome in outcomes)
    if measuring:
        print(f"took {minutes(seconds)}; {measuring / seconds:.0%} of it went into epochs, evaluations and turns")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "plan": plan_command,
    "build": build_command,
    "run": run_command,
    "bisect": bisect_command,
    "ready": partial(ready_command, say=say),
}


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when everything planned was tried, 2 with one sentence when it could not be, 130 when interrupted."""
    if not arguments or arguments[0] not in COMMANDS:
        print(f"error: say what to do: python -m harness.conduct {'|'.join(COMMANDS)} ….", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job ends as Ctrl-C does
    try:
        COMMANDS[arguments[0]](arguments[1:])
        sys.stdout.flush()  # here, where a full disk can be told of
    except UsageError as error:
        print("error:", "\n  ".join(map(spelt_out, error.args)), file=sys.stderr)
        return 2
    except OSError as error:
        what = f"{spelt_out(str(error.filename))} cannot be used" if error.filename else "the output cannot be written"
        print(f"error: {what}: {error.strerror}.", file=sys.stderr)
        if not error.filename:  # what is left of the output is not tried again when the program ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was complete is kept; run the same command to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
