"""`python -m reports.bisect results/bisect/NAME --next FILE`: say in FILE what the search has to measure next; where it
is at its end, print what it found, write `bisect.md`, and leave no FILE."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically
from harness.core.policy import read_policy
from reports.judge.search import Progress, read_progress
from reports.show.bisection import bisection_in_words, left_out_in_words, to_markdown
from reports.show.text import one_line

REPORT = "bisect.md"


def main(arguments: list[str]) -> int:
    """Exit code 0, or 2 for bad input, or where an end of the search has no value."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--next", type=Path, required=True)
    asked = parser.parse_args(arguments)
    try:
        progress = read_progress(asked.folder, read_policy())
        require_ends(progress)
        if progress.wanted:
            write_atomically(asked.next, to_json(progress.wanted))
            return 0
        write_atomically(asked.folder / REPORT, to_markdown(progress).encode())
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    print("\n" + "\n".join(bisection_in_words(progress)) + f"\nwrote {asked.folder / REPORT}")
    return 0


def require_ends(progress: Progress) -> None:
    """`UsageError` where an end tells nothing: there is nothing to search between."""
    releases = progress.search.releases
    for one in progress.left_out:
        if one.release in (releases[0], releases[-1]) and not progress.wanted:
            raise UsageError(f"The search has no end. {left_out_in_words(one)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
