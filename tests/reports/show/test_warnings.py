"""The warnings above the table: what may spoil a comparison or forbids it."""

from __future__ import annotations

from collections.abc import Callable

from results_folder import Folder, data_set, environment, hashes
from saying import says

from harness.core.dataset import Shared
from harness.core.record import Others

Make = Callable[..., Folder]


def warnings_of(results: Folder) -> list[str]:
    """The warnings but the one that there is no control, which these small folders have none of."""
    control, *others = results.table().preamble.warnings
    assert "A/A was not planned" in control
    return others


def test_different_hashes_are_a_warning_that_names_pin_rounds_and_hash(folder: Make) -> None:
    results = folder(rounds=3)
    for index in range(3):
        results.keep("1.10.0", index)
        results.keep("1.12.1", index, hashes=hashes(batch_stream="other") if index != 1 else hashes())
    (warning,) = warnings_of(results)
    assert says(warning, "train 1.12.1, rounds 1, 3: ", "batch stream", "record of 1.10.0")


def test_candidates_are_held_against_each_other_where_the_baseline_has_no_record(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"])
    results.keep("1.12.1")
    results.keep("1.13.1", hashes=hashes(data="other"))
    (warning,) = warnings_of(results)
    assert says(warning, "train 1.13.1: ", "data set", "record of 1.12.1")


def test_equal_hashes_and_hardware_are_no_warning(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1")
    assert warnings_of(results) == []


def test_other_hardware_or_driver_within_the_matrix_is_a_warning_that_names_both(folder: Make) -> None:
    results = folder(device="cuda:0")
    results.keep("1.10.0", environment=environment(gpu="A100", driver="535"))
    results.keep("1.12.1", environment=environment(cpu="Intel Xeon", gpu="H100", driver="550"))
    refusal, *warnings = warnings_of(results)
    assert refusal.startswith("train 1.12.1: the hardware differs")
    assert [warning.partition(" is not")[0] for warning in warnings] == ["The CPU", "The GPU", "The GPU driver"]
    assert "A100 (1.10.0); H100 (1.12.1)" in warnings[1] or "H100 (1.12.1); A100 (1.10.0)" in warnings[1]


def test_a_flag_that_was_to_be_alike_and_is_not_forbids_comparing_and_is_named(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", environment=environment(flags={"setting": "pinned", "cudnn.allow_tf32": "False"}))
    results.keep("1.12.1", environment=environment(flags={"setting": "pinned", "cudnn.allow_tf32": "True"}))
    (refusal,) = warnings_of(results)
    assert says(refusal, "train 1.12.1: ", "flag cudnn.allow_tf32")
    assert results.cells("Epoch time (s)")[-1] == "not compared"


def test_another_number_of_threads_than_asked_for_is_a_warning(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", environment=environment(threads=2))
    (warning,) = warnings_of(results)
    assert warning.startswith("1.12.1 ran on 2 threads ")


def test_a_val_that_shares_pictures_with_the_train_is_a_warning(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep(pin, data=data_set(Shared(2, "/d/val/a.jpg", equal=False)))
    (warning,) = warnings_of(results)
    assert warning == "Of the data set shapes, 2 of the pictures of val are in train too, such as /d/val/a.jpg."


def test_a_set_that_shares_nothing_is_no_warning(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep(pin, data=data_set())
    assert warnings_of(results) == []


def with_others(results: Folder, *pins: str, rounds: int = 3, **others: object) -> None:
    """Write the records of pins, all of which others were beside."""
    for pin in pins:
        for index in range(rounds):
            results.keep(pin, index, others=Others(**others))  # type: ignore[arg-type]


def test_runs_beside_which_others_used_the_processors_are_named_with_the_most_they_took(folder: Make) -> None:
    results = folder(rounds=3)
    with_others(results, "1.10.0", processors=0.01)
    with_others(results, "1.12.1", processors=0.02)
    results.keep("1.12.1", 1, others=Others(processors=0.4))
    results.keep("1.12.1", 2, others=Others(processors=0.06, stolen=0.02))
    (warning,) = warnings_of(results)
    assert says(warning, "others took up to 40% of the processors' time", "beside train 1.12.1, rounds 2, 3.")
    assert warning in " ".join(results.terminal().split())
    assert warning in results.summary().replace("\\", "")


def test_what_the_hypervisor_gave_to_other_machines_counts_as_others(folder: Make) -> None:
    results = folder(rounds=3)
    with_others(results, "1.10.0", "1.12.1", processors=0.03, stolen=0.03)
    assert says(*warnings_of(results), "up to 6% ", "beside train. ")


def test_other_processes_on_the_gpu_are_told_of(folder: Make) -> None:
    results = folder(rounds=3, device="cuda:0")
    with_others(results, "1.10.0", processors=0.0, gpu=[])
    with_others(results, "1.12.1", processors=0.0, gpu=[])
    results.keep("1.10.0", 0, others=Others(gpu=[4711]))
    assert says(*warnings_of(results), "other processes computed on the GPU", "of train 1.10.0, round 1.")


def test_runs_that_were_alone_or_of_which_that_is_not_known_are_not_told_of(folder: Make) -> None:
    results = folder(rounds=3)
    with_others(results, "1.10.0", processors=0.049, stolen=0.0, gpu=[])
    with_others(results, "1.12.1")
    results.keep("1.12.1", 0)
    assert warnings_of(results) == []


def test_a_run_that_failed_is_not_told_of_as_one_that_was_not_alone(folder: Make) -> None:
    results = folder(rounds=3)
    results.keep("1.10.0", 0, status="failed", reason="x", metrics=[], others=Others(processors=0.9))
    assert warnings_of(results) == []
