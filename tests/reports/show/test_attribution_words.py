"""How it is told where a difference lies: sentence, table, figure, and where they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attribution_folders import Make, keep, looked_into

from harness.core.cases import read_case
from harness.core.spec import TWIN
from reports.judge.statements import Attribution, PartApart
from reports.show.attribution import breakdowns_told, in_words, plot_of, share_in_words

TIME, _, MEMORY, _ = read_case("attribution").breakdowns
WHOLE = PartApart("", 0.2, 0.18, -0.02, -0.022, -0.018)


def part(name: str, value: float, half: float = 0.001, gathered: int = 0) -> PartApart:
    return PartApart(name, 0.05, 0.05 + value, value, value - half, value + half, gathered)


def attribution(*parts: PartApart, whole: PartApart = WHOLE, **changes: object) -> Attribution:
    one = Attribution("attribution", TIME, "1.13.1", 4, 24, whole, parts, ())
    return replace(one, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "half", "words"),
    [
        (-0.015, 0.001, "three quarters of it"),
        (-0.010, 0.001, "half of it"),
        (-0.0133, 0.001, "two thirds of it"),
        (-0.005, 0.001, "a quarter of it"),
        (-0.020, 0.001, "all of it"),
        (-0.030, 0.001, "more than all of it"),
        (-0.017, 0.006, "more than half of it"),
        (-0.010, 0.006, "some of it"),
    ],
)
def test_a_share_is_called_by_a_fraction_where_its_interval_allows_it(value: float, half: float, words: str) -> None:
    assert share_in_words(part("x", value, half), WHOLE) == words


def test_the_sentence_says_how_much_and_what_makes_it_up() -> None:
    one = attribution(part("norm, backward", -0.015), part("conv, forward", -0.005), part("loss", 0.0001))
    assert in_words(one, "1.10.0") == (
        "1.13.1 takes 10.0 % less time for a step (−20.0 ms [−22.0 ms, −18.0 ms]): "
        "three quarters of it in norm, backward and a quarter of it in conv, forward."
    )


def test_what_goes_against_it_is_told_and_what_is_not_clear_is_not() -> None:
    one = attribution(part("norm, backward", -0.025), part("loss", 0.005), part("conv", -0.004, 0.005))
    assert in_words(one, "1.10.0").endswith(": more than all of it in norm, backward; against it loss (+5.0 ms).")


def test_where_no_part_is_clear_none_stands_out() -> None:
    one = attribution(part("norm", -0.002, 0.003), part("conv", -0.002, 0.003))
    assert in_words(one, "1.10.0").endswith(": no single part stands out.")


def test_where_the_whole_does_not_differ_there_is_nothing_to_explain() -> None:
    whole = PartApart("", 0.2, 0.2, 0.0, -0.002, 0.002)
    assert in_words(attribution(part("norm", 0.0), whole=whole), "1.10.0") == (
        "1.13.1: no difference to 1.10.0 in the time for a step that could be explained (0.0 ms [−2.0 ms, +2.0 ms])."
    )
    two = attribution(part("norm", -0.01), part("conv", 0.01), whole=whole)
    assert in_words(two, "1.10.0").endswith("though these differ: norm (−10.0 ms) and conv (+10.0 ms).")


def test_memory_is_told_in_its_own_unit_and_small_parts_by_their_number() -> None:
    mib = 2**20
    whole = PartApart("", 100 * mib, 102 * mib, 2 * mib, 1.8 * mib, 2.2 * mib)
    small = PartApart("", 3 * mib, 5 * mib, 2 * mib, 1.9 * mib, 2.1 * mib, gathered=12)
    assert in_words(attribution(small, whole=whole, declared=MEMORY), "1.10.0") == (
        "1.13.1 takes 2.0 % more memory at its peak (+2.0 MiB [+1.8 MiB, +2.2 MiB]): "
        "all of it in 12 others that are small."
    )


def test_the_table_has_the_whole_first_and_a_cell_for_every_other_pin(folder: Make) -> None:
    machine = looked_into(folder, norm_backward=-20.0).machine()
    (told, _), (memory, _) = breakdowns_told(machine, "attribution")
    assert told.headings == ["1.10.0", TWIN, "1.13.1"]
    assert [line.name for line in told.lines[:2]] == ["the whole", "norm, backward"]
    twin, candidate = told.lines[1].cells
    assert twin
    assert candidate
    assert (twin.clear, candidate.clear) == ("", "less")
    assert candidate.lines[0] == "−20.0 ms"
    assert memory.title == "Memory at its peak, by the kind of layer that took it (MiB)"


def test_the_notes_say_that_the_parts_add_up_and_what_a_plain_step_says(folder: Make) -> None:
    machine = looked_into(folder, norm_backward=-20.0).machine()
    (told, _), _ = breakdowns_told(machine, "attribution")
    notes = "\n".join(told.notes)
    assert "1.13.1: the parts add up to −20" in notes
    assert "Step time, plain (attribution) −10.0 %" in notes
    assert "which agrees" in notes
    assert "On 1.10.0 the whole is 1.00 times Step time, plain (attribution)." in notes


def test_where_looking_into_it_changes_the_difference_that_is_said(folder: Make) -> None:
    results = looked_into(folder, norm_backward=-20.0)
    keep(results, "1.13.1", {"norm, backward": 30.0, "conv, backward": 150.0}, plain=240.0)
    (told, _), _ = breakdowns_told(results.machine(), "attribution")
    assert any("which is another: do not rely on the parts" in note for note in told.notes)


def test_the_figure_has_a_bar_for_every_part_of_every_pin(folder: Make) -> None:
    machine = looked_into(folder, norm_backward=-20.0).machine()
    some = [one for one in machine.attributions["attribution"] if one.declared == TIME]
    data = plot_of(some, machine.matrix.pins).figure["data"]
    assert [trace["name"] for trace in data] == [TWIN, "1.13.1"]  # type: ignore[index, attr-defined]
    assert all(len(trace["x"]) == len(some[0].parts) + 1 for trace in data)  # type: ignore[index, attr-defined]


def test_the_sentence_stands_on_top_of_every_report(folder: Make) -> None:
    results = looked_into(folder, norm_backward=-20.0)
    sentence = "1.13.1 takes 10.0 % less time for a step"
    for said in (results.markdown(), results.summary(), results.terminal(), results.decision()):
        assert sentence in " ".join(said.split())
    assert f"{TWIN} takes" not in results.markdown()
    assert "| norm, backward" in results.markdown()


def test_verdict_json_has_every_part_with_its_numbers(folder: Make) -> None:
    (machine,) = looked_into(folder, norm_backward=-20.0).verdict_file().machines
    (candidate,) = machine.candidates
    assert [one.breakdown for one in candidate.attributions] == ["time_by_layer", "memory_by_layer"]
    part = candidate.attributions[0].parts[0]
    assert (part.part, part.gathered) == ("norm, backward", 0)
    assert part.value == pytest.approx(-0.02, abs=1e-4)
    assert candidate.attributions[0].adds_up


def test_names_of_parts_are_foreign_text(folder: Make) -> None:
    results = looked_into(folder, **{"<b>_x|y": 50.0})
    assert "&lt;b&gt;" in results.markdown()
    assert "<b>" not in results.markdown()
