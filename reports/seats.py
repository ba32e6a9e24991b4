"""`python -m reports.seats results/proofs/seats`: print how the seats of a sitting compare, in which the same process
sits by turns."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import UsageError
from reports.evidence.figures import read_matrix_figures
from reports.proofs.seats import seats_of
from reports.show.proofs import seats_in_words
from reports.show.text import one_line


def main(arguments: list[str]) -> int:
    """Exit code 0 when the seats were compared, 2 with one sentence for bad input."""
    try:
        if len(arguments) != 1:
            raise UsageError("Name one results folder: nox -s seats does.")
        print(seats_in_words(seats_of(read_matrix_figures(Path(arguments[0])))))
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
