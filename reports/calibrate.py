"""`python -m reports.calibrate results/proofs/NAME …`: write calibration.json and calibration.md beside these folders,
and print the latter."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically
from harness.core.policy import read_policy
from reports.evidence.figures import read_matrix_figures
from reports.proofs.calibration import FILE, calibration_of
from reports.show.proofs import calibration_in_markdown
from reports.show.text import one_line


def main(arguments: list[str]) -> int:
    """Exit code 0 when every fault was found, 1 when some was not, 2 for bad input, 3 where runs are missing."""
    folders = [Path(argument) for argument in arguments]
    try:
        if not folders:
            raise UsageError("Name the results folders of a calibration: nox -s calibrate does.")
        policy = read_policy()
        matrices = {folder.name: read_matrix_figures(folder) for folder in folders}
        calibration = calibration_of(matrices, policy)
        text = calibration_in_markdown(calibration, policy)
        written = {FILE: to_json(calibration), "calibration.md": text.encode()}
        for name, content in written.items():
            write_atomically(folders[0].parent / name, content)
    except UsageError as error:
        print(f"error: {one_line(str(error), 2000)}", file=sys.stderr)
        return 2
    print(text)
    print("\n".join(f"wrote {folders[0].parent / name}" for name in written))
    if any(one.status != "ok" for matrix in matrices.values() for one in matrix.observations):
        return 3
    return 0 if calibration.all_found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
