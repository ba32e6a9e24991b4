"""`python -m reports.weigh results/proofs/instruments`: print what the instruments cost.

That is the ratio of a training step with gradient watch and memory probes to one without, taken in turns."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.policy import read_policy
from reports.evidence.figures import read_matrix_figures
from reports.proofs.cost import cost_of
from reports.show.proofs import cost_in_words
from reports.show.text import one_line


def main(arguments: list[str]) -> int:
    """Exit code 0 when the ratio was measured, 2 with one sentence for bad input, 3 when it was not."""
    try:
        if len(arguments) != 1:
            raise UsageError("Name one results folder: nox -s bench does.")
        cost = cost_of(read_matrix_figures(Path(arguments[0])), read_policy().error_rate)
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    print(cost_in_words(cost))
    return 0 if cost.instruments else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
