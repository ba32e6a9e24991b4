"""Probes: what changed from version to version, what it does to code, and where that is documented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from results_folder import Folder, environment, hashes

from harness.core.declaration import Case, DeclaredFingerprint, DeclaredProbe
from harness.core.record import Fingerprint
from harness.core.spec import TWIN
from reports.judge.statements import ProbeRow, Step
from reports.show.fingerprints import likeness_in_words

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
Values = dict[str, Any]

PROBE = DeclaredProbe(
    "ties",
    "Ties",
    topic="Sorting",
    why="They tie.",
    means="Do not.",
    see={"": "https://example.org/all", "1.11": "https://example.org/11", "1.13": "https://example.org/13"},
)
PINS = ["1.10.0", TWIN, "1.12.1", "1.13.1"]


def of(values: Values | str, name: str = "ties") -> Fingerprint:
    """A fingerprint of these values by what they are of, or that a run could not come to one, and why."""
    if isinstance(values, str):
        return Fingerprint(name, [], unable=values)
    listed = [(place, one) for place, part in values.items() for one in (part if isinstance(part, list) else [part])]
    return Fingerprint(name, [one for _, one in listed], [place for place, _ in listed])


def probed(
    folder: Make, declare: Declare, by_pin: dict[str, Sequence[Values | str]], declared: DeclaredProbe = PROBE
) -> Folder:
    """Records of these pins: of each, what its rounds came to."""
    declare("probing", Case(fingerprints=(declared, DeclaredFingerprint("other", "Other"))))
    results = folder([*by_pin], rounds=max(map(len, by_pin.values())), cases=["probing"])
    for pin, rounds in by_pin.items():
        for index, values in enumerate(rounds):
            seen = environment(torch=results.plan.pins[results.pins.index(pin)].torch)
            made = [of(values), of({"": 1.0}, "other")]
            results.keep(pin, index, "probing", metrics=[], fingerprints=made, environment=seen)
    return results


def row(results: Folder) -> ProbeRow:
    (found,) = results.machine().probes["probing"]
    return found


def step(folder: Make, declare: Declare, first: Values | str, second: Values | str) -> Step:
    """What the probe says of two versions."""
    (found,) = row(probed(folder, declare, {"1.10.0": [first], "1.12.1": [second]})).steps
    return found


def test_only_probes_are_told_and_a_case_without_any_is_not(folder: Make, declare: Declare) -> None:
    results = probed(folder, declare, {"1.10.0": [{"": 1.0}], "1.12.1": [{"": 1.0}]})
    assert [one.declared.name for one in results.machine().probes["probing"]] == ["ties"]
    assert folder(cases=["train"]).machine().probes == {}


def test_equal_values_are_the_same(folder: Make, declare: Declare) -> None:
    found = step(folder, declare, {"a": [1.0, None], "b": "x"}, {"a": [1.0, None], "b": "x"})
    assert (found.kind, found.parts, found.effect, found.documented) == ("same", (), None, ())


def test_each_name_that_differs_is_a_part_with_its_size(folder: Make, declare: Declare) -> None:
    found = step(folder, declare, {"a": [1.0, -4.0], "b": "x", "c": 2.0}, {"a": [1.0, -3.0], "b": "x", "d": 2.0})
    assert found.kind == "changed"
    parts = {part.name: (part.first, part.second, part.largest) for part in found.parts}
    assert parts == {
        "a": ((1.0, -4.0), (1.0, -3.0), 0.25),
        "c": ((2.0,), (), None),
        "d": ((), (2.0,), None),
    }


@pytest.mark.parametrize(
    ("first", "second", "effect"),
    [
        (1.0, 1.0 + 1e-7, "rounding"),
        (1.0, 1.1, "differs"),
        (1.0, None, "differs"),
        ("float32", "float64", "differs"),
        ("raises TypeError", 1.0, "more"),
        ("not there", "None", "more"),
        (1.0, "raises TypeError", "stops"),
        ("UserWarning", "UserWarning, raises TypeError", "stops"),
        ("there", "not there", "stops"),
        ("raises TypeError", "raises RuntimeError", "warns"),
        ("none", "FutureWarning", "warns"),
        ("UserWarning", "none", "warns"),
        ("lr, momentum", "foreach, lr, momentum", "more"),
        ("lr, momentum", "lr, nesterov", "differs"),
    ],
)
def test_what_a_change_does_to_code_follows_from_the_values(
    folder: Make, declare: Declare, first: float | str, second: float | str | None, effect: str
) -> None:
    found = step(folder, declare, {"a": first}, {"a": second})
    assert found.effect == effect


def test_a_step_is_as_grave_as_its_gravest_part_which_comes_first(folder: Make, declare: Declare) -> None:
    found = step(
        folder,
        declare,
        {"bits": 1.0, "new": "raises TypeError", "said": "none", "gone": 1.0, "other": "x"},
        {"bits": 1.0 + 1e-9, "new": 1.0, "said": "UserWarning", "gone": "raises TypeError", "other": "y"},
    )
    assert [part.name for part in found.parts] == ["other", "gone", "said", "new", "bits"]
    assert found.effect == "differs"


def test_a_tolerance_is_of_the_largest_value_of_a_name(folder: Make, declare: Declare) -> None:
    tolerant = DeclaredProbe("ties", "Ties", tolerance=1e-3, topic="Sorting", why="They tie.", means="Do not.")
    values = ({"a": [1e-9, 1.0]}, {"a": [2e-9, 1.0]}, {"a": [1e-9, 1.1]})
    pins = dict(zip(["1.10.0", "1.12.1", "1.13.1"], [[one] for one in values], strict=True))
    small, large = row(probed(folder, declare, pins, tolerant)).steps
    assert (small.kind, small.parts) == ("same", ())
    assert large.kind == "changed"


def test_steps_go_from_version_to_version_whatever_the_order_of_the_pins(folder: Make, declare: Declare) -> None:
    pins = ["1.13.1", TWIN, "2.8.0", "1.10.0"]
    found = row(probed(folder, declare, {pin: [{"a": 1.0}] for pin in pins}))
    assert [(one.likeness.first, one.likeness.second) for one in found.steps] == [
        ("1.10.0", "1.13.1"),
        ("1.13.1", "2.8.0"),
    ]
    assert {pin: (one.likeness.first, one.likeness.second) for pin, one in found.against.items()} == {
        "2.8.0": ("1.13.1", "2.8.0"),
        "1.10.0": ("1.13.1", "1.10.0"),
    }


def test_a_pin_that_is_no_version_has_the_place_of_the_torch_that_was_observed(folder: Make, declare: Declare) -> None:
    results = probed(folder, declare, {pin: [{"a": 1.0}] for pin in ("1.10.0", "ambient", "2.8.0")})
    for pin, torch in (("1.10.0", "1.10.0+cu102"), ("ambient", "of our own"), ("2.8.0", "2.8.0+cpu")):
        prints = [of({"a": 1.0})]
        results.keep(pin, 0, "probing", metrics=[], fingerprints=prints, environment=environment(torch=torch))
    steps = row(results).steps
    assert [one.likeness.second for one in steps] == ["2.8.0", "ambient"]  # no release is known: last
    prints = [of({"a": 1.0})]
    results.keep("ambient", 0, "probing", metrics=[], fingerprints=prints, environment=environment(torch="2.1.0+cpu"))
    assert [one.likeness.second for one in row(results).steps] == ["ambient", "2.8.0"]


def test_what_explains_a_change_is_of_a_release_after_the_older_and_up_to_the_newer(
    folder: Make, declare: Declare
) -> None:
    values = {"1.10.0": 1.0, "1.11.0": 2.0, "1.12.1": 3.0, "1.13.1": 4.0}
    steps = row(probed(folder, declare, {pin: [{"a": value}] for pin, value in values.items()})).steps
    assert [one.documented for one in steps] == [("https://example.org/11",), (), ("https://example.org/13",)]


def test_a_probe_that_cannot_run_on_a_pin_says_on_which_and_why(folder: Make, declare: Declare) -> None:
    found = step(folder, declare, "no such thing", {"a": 1.0})
    assert found.kind == "cannot run"
    assert found.likeness.unable == ("no such thing", "")
    assert likeness_in_words(found.likeness) == "not compared: on 1.10.0: no such thing; runs on 1.12.1"
    assert step(folder, declare, "no GPU", "no GPU").kind == "cannot run"


def test_a_probe_that_changes_between_two_runs_of_a_pin_tells_nothing(folder: Make, declare: Declare) -> None:
    steady = [{"a": 1.0}, {"a": 1.0}]
    results = probed(folder, declare, {"1.10.0": steady, "1.12.1": [{"a": 1.0}, {"a": 2.0}], "1.13.1": steady})
    first, second = row(results).steps
    assert (first.kind, first.unsteady) == ("unsteady", ("1.12.1",))
    assert (second.kind, second.unsteady) == ("unsteady", ("1.12.1",))
    assert row(results).against["1.13.1"].kind == "same"


def test_a_probe_that_differs_on_the_baselines_twin_tells_nothing(folder: Make, declare: Declare) -> None:
    values = {"1.10.0": {"a": 1.0}, TWIN: {"a": 2.0}, "1.12.1": {"a": 1.0}, "1.13.1": {"a": 1.0}}
    first, second = row(probed(folder, declare, {pin: [one] for pin, one in values.items()})).steps
    assert (first.kind, first.unsteady) == ("unsteady", ("1.10.0",))
    assert second.kind == "same"


def test_a_pin_without_a_run_is_not_compared(folder: Make, declare: Declare) -> None:
    results = probed(folder, declare, {"1.10.0": [{"a": 1.0}], "1.12.1": [{"a": 1.0}]})
    results.fail("1.12.1", case="probing")
    (found,) = row(results).steps
    assert (found.kind, found.likeness.why) == ("not compared", "no run")


def test_records_that_are_not_of_the_same_work_are_not_compared(folder: Make, declare: Declare) -> None:
    results = probed(folder, declare, {"1.10.0": [{"a": 1.0}], "1.12.1": [{"a": 1.0}]})
    results.keep("1.12.1", 0, "probing", metrics=[], fingerprints=[of({"a": 1.0})], hashes=hashes(data="other"))
    (found,) = row(results).steps
    assert (found.kind, found.likeness.why) == ("not compared", "refused")


def test_one_pin_alone_has_no_steps(folder: Make, declare: Declare) -> None:
    found = row(probed(folder, declare, {"1.10.0": [{"a": 1.0}]}))
    assert (found.steps, found.against) == ((), {})
