"""`python -m reports results/NAME … [--into FOLDER] [--gate]`: write verdict, tables, decision and page, print the
table."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import pandas as pd

from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically
from harness.core.policy import read_policy
from reports.evidence.claims import read_claims
from reports.judge.judgement import Judgement, judge
from reports.show.decision import to_decision
from reports.show.drawn import left_out
from reports.show.edits import read_edits
from reports.show.forest import draw
from reports.show.ledger import to_claims
from reports.show.markdown import to_markdown, to_summary
from reports.show.overview import alt_text, panels_of
from reports.show.page import to_page
from reports.show.table import build_table
from reports.show.terminal import to_terminal
from reports.show.text import one_line
from reports.show.tidy import tidy
from reports.show.verdict_file import account_of

INCOMPLETE = 3
"""Exit code where some run failed or is missing."""
LONGEST_NAME = 255
"""Bytes that the name of a folder may have on the file systems of Linux."""
HOLD = 1
"""Exit code with --gate where the policy says hold."""


class Parser(argparse.ArgumentParser):
    """Wrong usage is one sentence, as all bad input is."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: {self.usage}.")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The arguments; `UsageError` for any that is not known, or no folder."""
    parser = Parser(
        usage="nox -s report -- results/NAME … [--into FOLDER] [--gate]",
        description="Build table, verdict, decision and page from the records of one or several machines.",
        epilog="Exit codes: 0 complete; 1 with --gate, when the policy says hold; 2 bad usage or input; "
        "3 some run failed or is missing; 130 interrupted.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("results", metavar="results/NAME", nargs="+", type=Path, help="a folder that nox -s matrix has made")
    add("--into", metavar="FOLDER", type=Path, help="where to write (default: the folder itself, or for several "
        "machines a new one beside the first, A+B)")  # fmt: skip
    add("--gate", action="store_true", help="end with exit code 1 when the policy says hold for a candidate")
    if "" in arguments:  # of a variable that is not set: as a path it would be the current folder
        parser.error("an argument is empty")
    return parser.parse_args(arguments)


def report(folders: list[Path], into: Path | None, gate: bool) -> int:
    """Judge these results folders, write and print what follows; 0, or 3 where some run failed or is missing, or with
    `gate` 1 where the policy says hold.

    Raises `UsageError` where a folder or a record cannot be used, or the files cannot be written.
    """
    judgement = judge(folders, read_policy(), read_claims())
    write(judgement, target(folders, into))
    if gate and judgement.held:
        return HOLD
    return 0 if judgement.complete else INCOMPLETE


def target(folders: list[Path], into: Path | None) -> Path:
    """Where to write."""
    if into is None:
        name = "+".join(each.name for each in folders)
        if len(folders) > 1 and len(os.fsencode(name)) > LONGEST_NAME:
            raise UsageError(f"{len(folders)} folders give no name for one: say where to write with --into FOLDER.")
        return folders[0] if len(folders) == 1 else folders[0].parent / name
    if len(folders) > 1 and into.resolve() in [folder.resolve() for folder in folders]:
        raise UsageError(f"--into {into} has a report of its own: name a folder for that of all machines.")
    return into


def write(judgement: Judgement, into: Path) -> None:
    """Write what was judged, for people and for programs, and print the table."""
    account = account_of(judgement)
    tables = [build_table(told) for told in account.machines]
    values = pd.concat([tidy(machine.matrix, machine.label) for machine in judgement.machines])
    figures = draw(panels_of(account.machines), left_out(account.machines))
    page = to_page(account, tables, figures["overview.svg"], alt_text(account.machines))
    written = {
        "verdict.json": to_json(account.verdict),
        "table.md": to_markdown(tables, account.verdict).encode(),
        "table.csv": values.to_csv(index=False, lineterminator="\n").encode(),
        "summary.md": to_summary(tables, account.verdict).encode(),
        "claims.md": to_claims(account.verdict).encode(),
        "decision.md": to_decision(account, read_edits(into / "decision.md")).encode(),
        **figures,
        "index.html": page.encode(),
    }
    for name, content in written.items():
        write_atomically(target_of(into / name), content)
    print(to_terminal(tables, account.verdict))
    print("\n".join(f"wrote {into / name}" for name in written))


def target_of(path: Path) -> Path:
    """What a link points to: a decision.md that a team keeps among its own documents is written there."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def main(arguments: list[str]) -> int:
    """Exit code 0 when every planned run is ok or unsupported, 3 when some failed or is missing, with --gate 1 when
    the policy says hold for some candidate, 2 for bad input, 130 when interrupted."""
    try:
        asked = parse(arguments)
        return report(asked.results, asked.into, asked.gate)
    except KeyboardInterrupt:
        print("interrupted: run the same command again.", file=sys.stderr)
        return 130
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
    except BrokenPipeError:  # `| head` has read enough; the files are written
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error.filename} cannot be read: {error.strerror}.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    gc.disable()  # no cycles worth collecting before the process ends; looking for them took an eighth of its time
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows ? for what it lacks
    sys.exit(main(sys.argv[1:]))
