"""The cross-version table: what stands in its cells."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import MIB, Folder, cells, hashes, metric, policy, train_metrics
from saying import says

from harness.core.cases import read_case
from harness.core.declaration import Case, DeclaredMetric, Parameter
from harness.core.settings import CaseSettings
from reports.show.tidy import COLUMNS, tidy

Make = Callable[..., Folder]


def footnote(results: Folder, mark: str) -> str:
    """What the footnote with this mark says."""
    (found,) = [line for line in results.markdown().splitlines() if line.startswith(f"- {mark} ")]
    return found.removeprefix(f"- {mark} ")


MINUS, TO = "\N{MINUS SIGN}", "\N{EN DASH}"


def test_columns_are_the_pins_in_plan_order_with_the_baseline_marked(folder: Make) -> None:
    results = folder(["1.13.1", "1.10.0", "1.12.1"])
    head = next(line for line in results.markdown().splitlines() if line.startswith("| metric"))
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["metric", "1.13.1 (baseline)", "1.10.0", "1.12.1"]


def test_one_round_shows_the_value_alone(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", metrics=train_metrics(epoch=30, memory=400))
    results.keep("1.12.1", metrics=train_metrics(epoch=33, memory=300))
    assert results.cells("Epoch time (s)") == ["30.00", "33.00", "—", "+10.0 %<br>no finding"]
    assert results.cells("Memory, added by training (MiB)") == ["400.0", "300.0", "—", f"{MINUS}25.0 %<br>no finding"]


def test_several_rounds_show_the_median_with_smallest_and_largest(folder: Make) -> None:
    results = folder(rounds=3)
    for index, epoch in enumerate((31, 29, 30)):
        results.keep("1.10.0", index, metrics=train_metrics(epoch=epoch))
        results.keep("1.12.1", index, metrics=train_metrics(epoch=epoch))
    assert results.cells("Epoch time (s)")[0] == f"30.00 (29.00{TO}31.00)"


def test_runs_are_paired_by_round_and_not_by_rank(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("epoch_time"))
    for index, (baseline, candidate) in enumerate([(10, 11), (20, 24), (40, 36)]):
        results.keep("1.10.0", index, metrics=train_metrics(epoch=baseline))
        results.keep("1.12.1", index, metrics=train_metrics(epoch=candidate))
    # ratios 1.1, 1.2, 0.9: their median where nothing is judged, else their geometric mean; that of medians is 1.2
    assert results.cells("Step time (ms)")[3] == "+10.0 %"
    assert results.cells("Epoch time (s)")[3].startswith("+5.9 %<br>[")


def test_a_judged_difference_is_estimate_interval_and_outcome_on_lines_of_their_own(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep_all("1.10.0", epoch=[30, 40], map50=[0.8, 0.7])
    results.keep_all("1.12.1", epoch=[33, 44], map50=[0.8, 0.7])
    assert results.cells("Epoch time (s)")[3] == "+10.0 %<br>[+10.0 %, +10.0 %]<br>worse"
    assert results.cells("Final mAP50")[3] == "0.0 pt<br>[0.0 pt, 0.0 pt]<br>equivalent"
    lines = [line.rstrip() for line in results.terminal().splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("↳ vs baseline") and "+10.0 %" in line)
    assert [line.split()[-1] for line in lines[start : start + 3]] == ["%", "%]", "worse"]


def test_a_metric_that_the_policy_does_not_judge_has_no_word_about_findings(folder: Make) -> None:
    results = folder(rounds=2)
    for pin in results.pins:
        results.keep_all(pin, map50=[0.5, 0.6])
    assert results.cells("Final mAP50-95")[3] == "0.0 pt"


def test_map_differs_in_points_and_counts_plainly(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", metrics=train_metrics(map50=0.8, anomalies=1))
    results.keep("1.12.1", metrics=train_metrics(map50=0.792, anomalies=8))
    assert results.cells("Final mAP50") == ["0.800", "0.792", "—", f"{MINUS}0.8 pt<br>no finding"]
    assert results.cells("Gradient anomalies (steps)") == ["1", "8", "—", "+7<br>no finding"]


def test_a_failed_repeat_is_said_beside_the_values_of_the_others(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("epoch_time"))
    for index in range(3):
        results.keep("1.10.0", index)
    results.keep("1.12.1", 0, metrics=train_metrics(epoch=33))
    results.fail("1.12.1", 1)
    results.keep("1.12.1", 2, metrics=train_metrics(epoch=36))
    assert results.cells("Epoch time (s)")[1] == f"34.50 (33.00{TO}36.00)<br>2 of 3 runs¹"
    assert results.cells("Step time (ms)")[3] == "+15.0 %"
    assert results.cells("Epoch time (s)")[3].startswith("+14.9 %<br>[")
    assert says(footnote(results, "¹"), "1.12.1, round 2, failed: ", "SIGKILL.")


def test_a_run_without_a_run_of_the_baseline_to_pair_it_with_is_counted(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0)
    results.keep("1.12.1", 0, metrics=train_metrics(epoch=33))
    results.keep("1.12.1", 1, metrics=train_metrics(epoch=90))
    assert results.cells("Epoch time (s)")[3].split("<br>") == ["+10.0 % (1 of 2 pairs)", "no finding"]


def test_a_cell_without_any_value_counts_its_states(folder: Make) -> None:
    results = folder(rounds=3)
    results.keep("1.10.0", 0)
    results.fail("1.12.1", 0)
    results.fail("1.12.1", 1)
    assert results.cells("Final mAP50")[1].split("<br>") == ["failed (2 of 3)²", "missing (1 of 3)³"]
    assert results.cells("Final mAP50")[3] == "no pair"


def test_an_unsupported_pin_is_shown_with_its_reason_once(folder: Make) -> None:
    results = folder(rounds=2)
    for index in (0, 1):
        results.keep("1.10.0", index)
        results.keep("1.12.1", index, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    assert results.cells("Epoch time (s)")[1] == "unsupported¹"
    assert says(footnote(results, "¹"), "1.12.1, unsupported: ", "has no sm\\_90.")
    assert results.markdown().count(footnote(results, "¹")) == 1


def test_a_baseline_that_failed_leaves_values_without_differences(folder: Make) -> None:
    results = folder()
    results.fail("1.10.0")
    results.keep("1.12.1")
    assert results.cells("Epoch time (s)") == ["failed¹", "30.00", "—", "no pair"]


def test_what_was_not_measured_says_why(folder: Make) -> None:
    results = folder()
    without_map = [one for one in train_metrics() if one.name != "map50"]
    results.keep("1.10.0")
    results.keep("1.12.1", metrics=without_map, not_measured={"map50": "it never left 0"})
    assert results.cells("Final mAP50") == ["0.800", "not measured¹", "—", "no pair"]
    assert says(footnote(results, "¹"), "not measured: ", "it never left 0.")


def test_an_map_of_zero_in_every_run_is_not_measured(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep(pin, metrics=train_metrics(map50=0.0))
    assert results.cells("Final mAP50") == ["not measured¹", "not measured¹", "—", "no pair"]
    assert "nothing was learnt" in footnote(results, "¹")


def test_an_map_of_zero_beside_a_pin_that_learnt_is_the_loss_that_it_is(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", metrics=train_metrics(map50=0.6))
    results.keep("1.12.1", metrics=train_metrics(map50=0.0))
    assert results.cells("Final mAP50") == ["0.600", "0.000", "—", f"{MINUS}60.0 pt<br>no finding"]


def test_one_reason_for_several_cells_is_one_footnote(folder: Make) -> None:
    results = folder()
    reasons = {"map50": "it never left 0", "map50_95": "it never left 0"}
    for pin in results.pins:
        results.keep(pin, metrics=train_metrics()[:4], not_measured=reasons)
    assert results.cells("Final mAP50")[:2] == results.cells("Final mAP50-95")[:2] == ["not measured¹"] * 2
    (note,) = results.table().footnotes
    assert note.endswith(": it never left 0.")


def test_a_memory_of_zero_is_not_measured(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", metrics=train_metrics(memory=0))
    results.keep("1.12.1")
    assert results.cells("Memory, added by training (MiB)") == ["not measured¹", "400.0", "—", "no pair"]


def test_a_metric_that_one_record_lacks_without_a_word_is_not_measured(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", metrics=train_metrics()[:1])
    assert results.cells("Epoch time (s)")[1] == "not measured¹"


def test_a_metric_that_nobody_knows_yet_has_a_row_of_its_own(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", metrics=[*train_metrics(), metric("disk_reads", "requests", 10.0)])
    results.keep("1.12.1", metrics=[*train_metrics(), metric("disk_reads", "requests", 14.0)])
    assert results.cells("disk reads (requests)") == ["10", "14", "—", "+4"]


@pytest.mark.parametrize(
    ("device", "precision", "shown"), [("cpu", "fp32", False), ("cuda:0", "fp32", False), ("cuda:0", "amp", True)]
)
def test_scaler_skips_are_a_row_only_where_there_is_a_scaler(
    folder: Make, device: str, precision: str, shown: bool
) -> None:
    results = folder(device=device, precision=precision)
    results.keep("1.10.0")
    assert ("Scaler skips" in results.markdown()) is shown


def test_each_kind_of_gpu_memory_is_a_row_of_its_own(folder: Make) -> None:
    results = folder(["2.1.2"], device="cuda:0")
    peaks = {"peak_allocated": 100.0, "peak_reserved": 200.0, "nvml_process": 300.0}
    results.keep("2.1.2", metrics=[metric(name, "bytes", value * MIB) for name, value in peaks.items()])
    markdown = results.markdown()
    for kind, value in (
        ("Peak GPU memory, allocated", "100.0"),
        ("Peak GPU memory, reserved", "200.0"),
        ("GPU memory at epoch end, NVML", "300.0"),
    ):
        assert cells(markdown, f"{kind} (MiB)")[0] == value


def test_with_nothing_measured_the_table_still_has_its_rows(folder: Make) -> None:
    results = folder()
    assert results.cells("Epoch time (s)") == ["missing¹", "missing²", "—", "no pair"]
    assert results.cells("Memory, added by training (MiB)")[0] == "missing¹"
    assert "Peak GPU memory" not in results.markdown()


def test_a_single_pin_has_no_row_of_differences(folder: Make) -> None:
    results = folder(["ambient"])
    results.keep("ambient")
    assert "vs baseline" not in results.markdown()


def test_every_case_has_a_block_of_its_own(folder: Make) -> None:
    results = folder(cases=["train", "soak"])
    results.keep("1.10.0")
    results.keep("1.10.0", case="soak", metrics=[metric("turn_time", "s", 0.5)])
    markdown = results.markdown()
    assert markdown.index("## train") < markdown.index("## soak") < markdown.index("| turn time (s)")


@pytest.mark.parametrize(("factor", "said"), [(1.02, True), (0.98, True), (1.0, False), (1.1, False)])
def test_an_equivalent_finding_that_is_clear_of_zero_is_told_as_a_small_difference(
    folder: Make, factor: float, said: bool
) -> None:
    results = folder(rounds=2, policy=policy("epoch_time"))
    results.keep_all("1.10.0", epoch=[30, 40])
    results.keep_all("1.12.1", epoch=[30 * factor, 40 * factor])
    lines = results.cells("Epoch time (s)")[3].split("<br>")
    assert ("a small difference" in lines) is said
    assert lines[-1] == results.finding("epoch_time").outcome


def test_a_run_that_took_no_turns_says_so_below_the_table_of_its_case(folder: Make) -> None:
    results = folder()
    note = "not taken in turns: the device's memory does not hold two of the trainings at once"
    results.keep("1.10.0")
    results.keep("1.12.1", notes={"step_time": note})
    assert f"Step time (1.12.1): {note}." in results.table().blocks[0].remarks


def test_a_case_without_any_figure_does_not_vanish(folder: Make) -> None:
    results = folder(cases=["train", "soak"])
    results.keep("1.10.0")
    assert cells(results.markdown(), "Memory growth per epoch (%)")[0].startswith("missing")


@pytest.mark.parametrize("name", ["data", "initial_weights", "batch_stream"])
def test_records_whose_hashes_differ_keep_their_values_and_lose_their_difference(folder: Make, name: str) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", metrics=train_metrics(epoch=33), hashes=hashes(**{name: "other"}))
    assert results.cells("Epoch time (s)") == ["30.00", "33.00", "—", "not compared"]


def test_only_the_rounds_whose_hashes_differ_are_left_out(folder: Make) -> None:
    results = folder(rounds=2)
    for index in (0, 1):
        results.keep("1.10.0", index)
    results.keep("1.12.1", 0, metrics=train_metrics(epoch=33))
    results.keep("1.12.1", 1, metrics=train_metrics(epoch=60), hashes=hashes(data="other"))
    assert results.cells("Epoch time (s)")[3].split("<br>") == ["+10.0 % (1 of 2 pairs)", "no finding"]


def test_final_weights_may_differ(folder: Make) -> None:
    results = folder()
    results.keep_prints("1.10.0", {"final_weights": "f"})
    results.keep_prints("1.12.1", {"final_weights": "other"})
    assert results.cells("Epoch time (s)")[3] == "0.0 %<br>no finding"


def test_records_without_hashes_are_not_compared(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", hashes=None)
    results.keep("1.12.1")
    assert results.cells("Epoch time (s)")[3] == "not compared"


def test_every_run_is_listed_by_round(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0, metrics=train_metrics(epoch=30))
    results.keep("1.10.0", 1, metrics=train_metrics(epoch=31))
    results.keep("1.12.1", 0, metrics=train_metrics(epoch=32))
    results.fail("1.12.1", 1)
    listing = results.markdown().partition("## Every run: train")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in listing.splitlines()]
    assert ["Epoch time (s)", "1", "30.00", "32.00"] in rows
    assert ["Epoch time (s)", "2", "31.00", "failed"] in rows


def test_many_different_reasons_in_one_cell_are_cut_to_three_and_the_file_that_has_all(folder: Make) -> None:
    results = folder(rounds=9)
    for index in range(9):
        results.fail("1.10.0", index, f"Reason {index}.")
    assert results.cells("Epoch time (s)")[0] == "failed¹ ² ³ ⁴"
    assert "table.csv" in footnote(results, "⁴")


def test_the_tidy_table_keeps_every_value_and_every_reason(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0, metrics=[metric("epoch_time", "s", 29.0, 30.0, 35.0)])
    results.keep("1.12.1", 0, metrics=[], not_measured={"epoch_time": "no clock"})
    results.fail("1.12.1", 1)
    frame = tidy(results.matrix(), "here")
    assert list(frame.columns) == COLUMNS
    assert set(frame["machine"]) == {"here"}
    shown = (
        frame.astype(object).where(frame.notna(), None).drop(columns=["machine", "metric", "unit", "better", "case"])
    )
    hardware = "AMD EPYC 7B13"
    assert [tuple(row) for row in shown.itertuples(index=False)] == [
        ("1.10.0", 0, 0, "ok", 30.0, "", hardware),
        ("1.10.0", 1, 1, "missing", None, "There is no record of it: the run was not done.", ""),
        ("1.12.1", 0, 0, "not measured", None, "no clock", hardware),
        ("1.12.1", 1, 1, "failed", None, "The process was ended by SIGKILL.", ""),
    ]


def test_a_unit_is_learnt_from_whichever_record_has_the_figure(folder: Make) -> None:
    results = folder()
    results.keep("1.12.1", metrics=[], not_measured={"disk_reads": "no counter"})
    results.keep("1.10.0", metrics=[metric("disk_reads", "requests", 10.0)])
    assert set(tidy(results.matrix(), "here")["unit"]) == {"requests"}


def test_how_a_metric_was_taken_is_said_below_the_table(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", notes={"step_time": "host clock"})
    results.keep("1.12.1", notes={"step_time": "host clock", "training_memory": "counts from the start"})
    markdown = results.markdown()
    assert "- Step time: host clock.\n" in markdown
    assert says(markdown, "- Memory, added by training (1.12.1): ", "from the start.\n")


@pytest.mark.parametrize("case", ["soak", "resume", "batch-change", "broken-images", "two-process"])
def test_a_case_of_which_no_run_ended_well_has_the_rows_of_its_own_metrics(folder: Make, case: str) -> None:
    results = folder(cases=[case])
    for pin in results.pins:
        results.fail(pin, case=case)
    (block,) = results.table().blocks
    own = [row for row in block.rows if not row.heading.startswith("↳")]
    titles = [metric.title for metric in read_case(case).metrics if metric.headline]
    assert own
    assert all(any(row.heading.startswith(title) for title in titles) for row in own)
    assert all(row.cells[0] == ("failed¹",) for row in own)


def test_a_case_has_rows_of_what_it_measured_only(folder: Make) -> None:
    results = folder(cases=["train", "resume"])
    for pin in results.pins:
        results.keep(pin)
        results.keep(
            pin, 0, "resume", metrics=[metric("resume_time", "s", 3.0), metric("resumed_memory", "ratio", 1.01)]
        )
    headings = [row.heading for row in results.table().blocks[1].rows if not row.heading.startswith("↳")]
    assert headings == ["Memory after resuming (×)", "Time to resume (s)"]


def test_what_broken_pictures_cost_may_be_negative_and_differs_in_points(folder: Make) -> None:
    results = folder(rounds=2, cases=["broken-images"])
    for pin, costs in (("1.10.0", (-0.004, -0.002)), ("1.12.1", (-0.014, -0.012))):
        for index, cost in enumerate(costs):
            found = metric("map50_after_faults", "fraction", cost)
            results.keep(pin, index, "broken-images", metrics=[found])
    shown = results.cells("Lowest mAP50 after broken pictures, against the clean run (pt)")
    assert shown == [
        f"{MINUS}0.3 ({MINUS}0.4{TO}{MINUS}0.2)",
        f"{MINUS}1.3 ({MINUS}1.4{TO}{MINUS}1.2)",
        "—",
        f"{MINUS}1.0 pt",
    ]


def test_a_change_of_exactly_0_in_every_run_is_not_measured(folder: Make) -> None:
    results = folder(cases=["broken-images"])
    for pin in results.pins:
        found = metric("map50_after_faults", "fraction", 0.0)
        results.keep(pin, 0, "broken-images", metrics=[found])
    assert "exactly 0 in every run" in footnote(results, "¹")


def test_on_a_terminal_a_long_heading_takes_two_lines(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["batch-change"])
    results.keep("1.10.0", 0, "batch-change", metrics=[metric("retained_memory", "ratio", 1.01)])
    lines = results.terminal().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Largest memory after a batch change,"))
    assert lines[start + 1].startswith("against a fresh run (×)")


# --- fingerprints -------------------------------------------------------------------------------------------------


def printed(folder: Make, pins: list[str]) -> Folder:
    """Every pin trains alike but the last, whose third loss and final weights differ."""
    results = folder(pins, rounds=2)
    for pin in pins:
        other = pin == pins[-1]
        prints = {"first_losses": [3.0, 2.5, 2.26 if other else 2.25], "final_weights": "g" if other else "f"}
        results.keep_prints(pin, prints, prints)
    return results


def print_cells(results: Folder) -> dict[str, list[str]]:
    """The row of each pair of pins in table.md."""
    lines = results.markdown().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| fingerprint"))
    rows = [line.strip("|").split("|") for line in lines[start + 2 : lines.index("", start)]]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_every_pair_of_pins_has_a_row_and_every_fingerprint_a_column(folder: Make) -> None:
    found = print_cells(printed(folder, ["1.10.0", "1.12.1", "1.13.1"]))
    assert list(found) == ["1.10.0 and 1.12.1", "1.10.0 and 1.13.1", "1.12.1 and 1.13.1"]
    losses, norms, weights, detections = found["1.10.0 and 1.12.1"]
    assert losses == weights == "bit for bit alike"
    assert norms == detections == "not recorded"
    losses, _, weights, _ = found["1.12.1 and 1.13.1"]
    assert says(losses, "differs", "step 3", ": 2.25 and 2.26")
    assert weights == "differs"


def test_on_a_terminal_pairs_that_are_alike_share_a_line_without_their_values(folder: Make) -> None:
    lines = printed(folder, ["1.10.0", "1.12.1", "1.13.1"]).terminal().splitlines()
    start = lines.index("Fingerprint: Losses of the first steps")
    assert says(lines[start + 1], "  - bit for bit alike: ", "1.10.0 and 1.12.1")
    assert says(lines[start + 2], "step 3 on: ", "1.10.0 and 1.13.1; ", "1.12.1 and 1.13.1")


def test_of_very_many_pins_only_the_pairs_with_the_baseline_are_shown_and_that_is_said(folder: Make) -> None:
    pins = [f"1.{number}.0" for number in range(14)]
    results = printed(folder, pins)
    assert list(print_cells(results)) == [f"1.0.0 and {pin}" for pin in pins[1:]]
    assert "verdict.json has all" in results.markdown()


def test_pairs_of_which_nothing_could_be_compared_are_named_below_with_the_reason(folder: Make) -> None:
    results = printed(folder, ["1.10.0", "1.12.1", "1.13.1"])
    for index in range(2):
        results.fail("1.12.1", index)
    assert list(print_cells(results)) == ["1.10.0 and 1.13.1"]
    for text in (results.markdown(), results.terminal()):
        (note,) = [line for line in text.splitlines() if "no round in common" in line]
        assert says(note, "- 1.10.0 and 1.12.1; ", "1.12.1 and 1.13.1: ")


def test_a_case_of_which_no_fingerprint_could_be_compared_has_no_table_of_them(folder: Make) -> None:
    results = folder()
    results.keep_prints("1.10.0", {"final_weights": "f"})
    results.keep("1.12.1")
    assert "| fingerprint" not in results.markdown()
    kinds = {(one.name, one.kind, one.why) for one in results.verdict_file().machines[0].fingerprints}
    assert ("final_weights", "not compared", "not recorded") in kinds


# --- parameters ---------------------------------------------------------------------------------------------------


class Sizes(CaseSettings, frozen=True):
    """The sizes of a case of these tests."""

    sizes: list[int]


SIZED = Case(
    settings=Sizes,
    parameters=(Parameter("size", "size", "sizes", "px"),),
    metrics=(DeclaredMetric("latency", "Latency", "s", "ratio", shown="ms", by=("size",), margin=0.1),),
)


def sized(folder: Make, declare: Callable[[str, Case], None], **settings: object) -> Folder:
    """A case that measures one metric at two sizes, at the larger of which the candidate is slower."""
    declare("sized", SIZED)
    told = {"sized": {"sizes": [64, 640]}}
    terms = policy("epoch_time", required=[])
    results = folder(rounds=3, cases=["train", "sized"], settings=told, policy=terms, **settings)
    for pin in results.pins:
        results.keep_all(pin, epoch=[30.0, 31.0, 30.5])
        for index in range(3):
            slow = 1.3 if pin == "1.12.1" else 1.0
            at = [metric("latency", "s", 0.01 + 0.001 * index, at={"size": 64})]
            at.append(metric("latency", "s", (0.05 + 0.001 * index) * slow, at={"size": 640}))
            results.keep(pin, index, "sized", metrics=at)
    return results


def test_a_metric_has_a_row_and_a_finding_for_each_value_of_a_parameter(
    folder: Make, declare: Callable[[str, Case], None]
) -> None:
    results = sized(folder, declare)
    assert results.cells("Latency, size 64 px (ms)")[3].endswith("equivalent")
    assert results.cells("Latency, size 640 px (ms)")[3].endswith("worse")
    assert set(tidy(results.matrix(), "here")["metric"]) > {"latency[size=64]", "latency[size=640]"}
    (candidate,) = results.verdict_file().machines[0].candidates
    assert [one.at for one in candidate.findings if one.metric == "latency"] == [{"size": 64}, {"size": 640}]
    assert says(results.decision(), "Bad, because worse: ", "Latency, size 640 px (")
