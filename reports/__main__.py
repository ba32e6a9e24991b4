"""`python -m reports results/NAME [--gate]`: write table.md, table.csv and verdict.json into the folder, print the
table."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically
from harness.core.policy import read_policy
from reports.calibration import read_calibration
from reports.comparison import incomparable
from reports.figures import read_matrix_figures, tidy
from reports.findings import find
from reports.markdown import to_markdown
from reports.table import build_table
from reports.terminal import to_terminal
from reports.verdict import held, verdict_of

USAGE = "python -m reports results/NAME [--gate]"
INCOMPLETE = 3
"""Exit code where some run failed or is missing."""
HOLD = 1
"""Exit code with --gate where the policy says hold."""


def report(results: Path, gate: bool) -> int:
    """Write and print the table of a results folder; 0, or 3 where some run failed or is missing, or with `gate` 1
    where the policy says hold.

    Raises `UsageError` where the folder or a record cannot be used, or the folder cannot be written.
    """
    matrix = read_matrix_figures(results)
    frame = tidy(matrix)
    policy = read_policy()
    refused = incomparable(matrix)
    findings = find(matrix, policy, refused)
    verdict = verdict_of(matrix, policy, findings, *read_calibration(results, matrix, policy))
    table = build_table(matrix, frame, findings, verdict, refused)
    written = {
        results / "verdict.json": to_json(verdict).decode(),
        results / "table.md": to_markdown(table),
        results / "table.csv": frame.to_csv(index=False, lineterminator="\n"),
    }
    for path, content in written.items():
        write_atomically(path, content.encode())
    print(to_terminal(table))
    print("\n".join(f"wrote {path}" for path in written))
    counts = matrix.count()
    if gate and held(verdict):
        return HOLD
    return INCOMPLETE if counts["failed"] or counts["missing"] else 0


def folder_of(arguments: list[str]) -> Path:
    """The one argument beside --gate; `UsageError` for anything else."""
    folders = [argument for argument in arguments if argument != "--gate"]
    if len(folders) != 1 or folders[0].startswith("-"):
        raise UsageError(f"Name one results folder: {USAGE}.")
    return Path(folders[0])


def main(arguments: list[str]) -> int:
    """Exit code 0 when every planned run is ok or unsupported, 3 when some failed or is missing, with --gate 1 when
    the policy says hold for some candidate, 2 for bad input."""
    if arguments in (["--help"], ["-h"]):
        print(f"{USAGE}\n\n{main.__doc__}")
        return 0
    try:
        return report(folder_of(arguments), "--gate" in arguments)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # `| head` has read enough; the files are written
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error.filename} cannot be read: {error.strerror}.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows ? for what it lacks
    sys.exit(main(sys.argv[1:]))
