"""The environments side by side: what pins do not share is marked, and lists that a case has made are shown whole."""

from __future__ import annotations

from collections.abc import Callable

from results_folder import Folder, environment

from harness.core.declaration import Case, DeclaredFingerprint
from harness.core.record import Fingerprint
from reports.show.environments import EnvironmentRow, side_by_side

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
LISTED = DeclaredFingerprint("mapped", "Shared libraries", counted="file", by_name=True, inventory=True)


def folder_with(folder: Make, declare: Declare, *, inventory: bool = True) -> Folder:
    """Records of two pins that list what they have mapped: of three files one is other, and one is on one pin alone."""
    listed = LISTED if inventory else DeclaredFingerprint("mapped", "Shared libraries", counted="file", by_name=True)
    declare("audited", Case(fingerprints=(listed,)))
    results = folder(["1.10.0", "1.12.1"], cases=["audited"])
    for pin, names, values in (
        ("1.10.0", ["libc.so", "libgomp.so"], ["2.36", "old"]),
        ("1.12.1", ["libc.so", "libgomp.so", "libcublas.so"], ["2.36", "new", "10"]),
    ):
        prints = [Fingerprint("mapped", values, names)]  # type: ignore[arg-type]
        results.keep(pin, 0, "audited", metrics=[], fingerprints=prints, environment=environment())
    return results


def test_what_a_case_lists_of_the_environment_is_a_group_with_a_row_for_each_name(
    folder: Make, declare: Declare
) -> None:
    groups = side_by_side(folder_with(folder, declare).machine().matrix)
    assert groups["Shared libraries"] == [
        EnvironmentRow("libc.so", ["2.36", "2.36"], differs=False),
        EnvironmentRow("libgomp.so", ["old", "new"], differs=True),
        EnvironmentRow("libcublas.so", ["—", "10"], differs=True),
    ]


def test_other_fingerprints_are_no_part_of_the_environment(folder: Make, declare: Declare) -> None:
    groups = side_by_side(folder_with(folder, declare, inventory=False).machine().matrix)
    assert "Shared libraries" not in groups


def test_of_a_pair_of_pins_only_the_number_is_told_with_where_the_whole_is(folder: Make, declare: Declare) -> None:
    (block,) = folder_with(folder, declare).table().blocks
    assert block.prints is not None
    ((_, (cell,)),) = block.prints.rows
    assert (cell.text, cell.short) == ("differs in 2 of 3 files, see Environments", "differs in 2 of 3 files")
