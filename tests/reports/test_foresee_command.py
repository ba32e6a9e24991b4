"""`python -m reports.foresee`: what a plan will be able to tell, from an earlier matrix of this machine, and its exit
codes. The case is a soak, whose metrics are one value a round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from results_folder import MIB, Folder, metric, policy

from harness.core.faults import Fault
from harness.core.plan import PLAN_FILE, write_plan, write_plans
from harness.core.settings import Shapes
from harness.core.spec import TWIN
from reports import foresee
from reports.foresee import main

Make = Callable[..., Folder]
Say = Callable[..., str]
Output = pytest.CaptureFixture[str]

HERE = "AMD EPYC 7B13"
SOAK = {"hours": 1.0, "warmup_epochs": 2, "checkpoint_epochs": 5}


@pytest.fixture
def say(folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> Say:
    """What is printed of a plan of so many rounds, on one line a paragraph or row: the soak as the fixture has it."""

    def run(
        rounds: int = 6,
        pins: Sequence[str] = ("1.10.0", "1.12.1"),
        *names: str,
        idle: Sequence[str] = (),
        **settings: object,
    ) -> str:
        asked = folder(list(pins), rounds, name="asked", **{"cases": ["soak"], **settings})
        write_plans(tmp_path / "plans.json", [asked.plan])
        judged = policy(*(names or ("training_memory",)), idle=idle, required=[])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(foresee, "read_policy", lambda: judged)
        monkeypatch.setattr(foresee, "hardware_of", {"cpu": HERE}.get)
        assert main(["plans.json"]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.fixture
def earlier(folder: Make) -> Callable[..., Folder]:
    """A results folder of soaks in whose rounds the memory of the candidate differs from the baseline's by these
    log-ratios, and its growth by as much as said."""

    def make(name: str, *apart: float, growth: Sequence[float] = (), **settings: object) -> Folder:
        made = folder(["1.10.0", "1.12.1"], len(apart), name=f"results/{name}", **{"cases": ["soak"], **settings})
        for index, one in enumerate(apart):
            for pin, more in (("1.10.0", 0.0), ("1.12.1", one)):
                known = [metric("training_memory", "bytes", 400 * MIB * math.exp(more))]
                known += (
                    [metric("memory_growth", "1/epoch", growth[index] if pin == "1.12.1" else 0.0)] if growth else []
                )
                made.keep(pin, index, "soak", metrics=[*known, metric("gradient_anomalies", "steps", 0.0)])
        return made

    return make


def row(text: str, title: str) -> list[str]:
    """The cells of a metric's line in the table, with what stands in the lines below it."""
    lines = text.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith(title)]
    cells = [cell.strip() for cell in lines[at].split("  ") if cell.strip()]
    for below in lines[at + 1 :]:
        if not below.startswith("   "):
            break
        cells[-1] += " " + below.strip()
    return cells


SPREAD = (-0.01, 0.0, 0.01)
"""Three log-ratios with the standard deviation 0.01: their mean has the error 0.01/√3."""


def test_the_smallest_effect_shrinks_with_the_rounds_that_are_planned(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    # 6 rounds: (t of 0.975 and 5, 2.5706, and t of 0.8, 0.9195) · 0.01/√6 = 0.01425
    assert row(say(6), "Memory, added by training") == [
        "Memory, added by training", "2.0 %", "1.4 %", "6 rounds", "can be told",
    ]  # fmt: skip


def test_too_few_rounds_are_said_with_how_many_it_would_take(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    # 3 rounds: (4.3027 + 1.0607) · 0.01/√3 = 0.0310; of 4 it is 0.0208, of 5 it is 0.0166; ln 1.02 = 0.0198
    assert row(say(3), "Memory, added by training") == [
        "Memory, added by training", "2.0 %", "3.1 %", "3 rounds", "too few rounds: it would take about 5",
    ]  # fmt: skip
    assert row(say(5), "Memory, added by training")[-1] == "can be told"
    assert row(say(4), "Memory, added by training")[-1] == "too few rounds: it would take about 5"


def test_one_round_tells_nothing(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    assert row(say(1), "Memory, added by training")[2:] == ["—", "1 round", "too few rounds: it would take about 5"]


def test_a_margin_that_no_number_of_rounds_reaches_is_said_to_be_such(say: Say, earlier: Make) -> None:
    earlier("quick", -1.0, 0.0, 1.0)
    assert row(say(3), "Memory, added by training")[-1] == "no practical number of rounds would do"


def test_the_level_is_the_strictest_of_all_findings_of_the_candidates(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD, growth=(0.0, 0.001, 0.002))
    text = say(6, ("1.10.0", TWIN, "1.12.1", "1.13.1"), "training_memory", "memory_growth")
    assert "0.05 for 4 gating findings together, so 0.013 for one." in " ".join(text.split())
    # (t of 1 - 0.05/8 and 5, 3.8100, and 0.9195) · 0.001/√6 = 0.00193 an epoch
    assert row(text, "Memory growth per epoch")[1:4] == ["0.50 %", "0.19 %", "6 rounds"]
    assert row(text, "Memory, added by training")[2] == "1.9 %"


def test_what_does_not_gate_counts_as_no_finding_and_has_no_line(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    text = say(6, ("1.10.0", "1.12.1"), "training_memory", "memory_growth", idle=["memory_growth"])
    assert "0.05 for 1 gating finding together" in " ".join(text.split())
    assert "Memory growth" not in text


def test_counts_rest_on_their_number_and_not_on_noise(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    # 2 · (1/2)^k ≤ 0.05 takes 6 events, over 6 runs
    assert row(say(6, ("1.10.0", "1.12.1"), "gradient_anomalies"), "Gradient anomalies")[1:] == [
        "0", "1", "6 rounds", "whatever is shown counts",
    ]  # fmt: skip


def test_the_noisiest_pin_is_the_one_that_counts(say: Say, folder: Make) -> None:
    made = folder(["1.10.0", TWIN, "1.12.1"], 3, name="results/quick", cases=["soak"])
    for index in range(3):
        for pin, spread in (("1.10.0", 0.0), (TWIN, 1e-5), ("1.12.1", 0.01)):
            memory = 400 * MIB * math.exp(spread * (index - 1))
            made.keep(pin, index, "soak", metrics=[metric("training_memory", "bytes", memory)])
    assert row(say(6), "Memory, added by training")[2] == "1.4 %"


def test_a_pin_with_a_planted_fault_tells_nothing_of_the_noise(say: Say, folder: Make) -> None:
    copies = {"faulty": {"fault": Fault(kind="memory", size=0.05)}}
    made = folder(["1.10.0", TWIN, "faulty"], 3, name="results/proofs/health", cases=["soak"], copies=copies)
    for index in range(3):
        for pin, spread in (("1.10.0", 0.0), (TWIN, 0.01), ("faulty", 3.0)):
            memory = 400 * MIB * math.exp(spread * (index - 1))
            made.keep(pin, index, "soak", metrics=[metric("training_memory", "bytes", memory)])
    assert row(say(6), "Memory, added by training")[2] == "1.4 %"


def test_the_folder_and_the_day_of_the_noise_are_named(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD, day="2026-11-25")
    assert "The noise of soak is that of results/quick, 2026-11-25." in say(6)


def test_the_newest_matrix_counts_whatever_its_name(say: Say, earlier: Make) -> None:
    earlier("b", -0.05, 0.0, 0.05, day="2026-01-01")
    earlier("a", *SPREAD, day="2026-01-03")
    earlier("c", -0.05, 0.0, 0.05, day="2026-01-02")
    text = say(6)
    assert "results/a, 2026-01-03." in text
    assert row(text, "Memory, added by training")[2] == "1.4 %"


def test_a_matrix_of_one_round_shows_no_noise_and_the_one_before_counts(say: Say, earlier: Make) -> None:
    earlier("old", *SPREAD, day="2026-01-01")
    earlier("new", 0.01, day="2026-01-02")
    assert "results/old, 2026-01-01." in say(6)


def test_a_calibration_counts_where_there_is_no_matrix(say: Say, earlier: Make) -> None:
    earlier("proofs/health", *SPREAD, day="2026-01-02")
    assert "results/proofs/health, 2026-01-02." in say(6)
    earlier("quick", *SPREAD, day="2026-01-01")
    assert "results/quick, 2026-01-01." in say(6)


NOT_KNOWN = (
    "What this plan will be able to tell is not known yet: no earlier matrix of this profile has been run on this "
    "machine."
)


@pytest.mark.parametrize(
    "other",
    [
        {"cpu": "another processor"},
        {"device": "cuda:0"},
        {"settings": {"soak": {**SOAK, "warmup_epochs": 8}}},
        {"copies": {"1.10.0": {"threads": 2}, "1.12.1": {"threads": 2}}},
        {"copies": {"1.10.0": {"flags": "stock"}, "1.12.1": {"flags": "stock"}}},
    ],
    ids=["hardware", "device", "settings", "threads", "flags"],
)
def test_a_matrix_of_other_settings_or_of_another_machine_is_not_used(
    say: Say, earlier: Make, other: dict[str, object]
) -> None:
    earlier("quick", *SPREAD, **other)
    assert " ".join(say(6).split()) == NOT_KNOWN


@pytest.mark.parametrize(
    "other",
    [{"machine": "ampere"}, {"data": "/data/ours.yaml"}, {"shapes": {"soak": Shapes(images=9, validation=9)}}],
    ids=["machine", "data", "shapes"],
)
def test_a_matrix_of_another_kind_of_machine_or_other_data_is_not_used(
    say: Say, earlier: Make, other: dict[str, object]
) -> None:
    made = earlier("quick", *SPREAD)
    write_plan(made.path / PLAN_FILE, replace(made.plan, **other))
    assert " ".join(say(6).split()) == NOT_KNOWN


def test_each_case_has_the_noise_of_the_newest_matrix_that_did_it_alike(say: Say, earlier: Make) -> None:
    earlier("old", *SPREAD, day="2026-01-01")
    both = {"cases": ["soak", "train"], "settings": {"soak": {**SOAK, "warmup_epochs": 8}}}
    new = earlier("new", -0.05, 0.0, 0.05, day="2026-01-02", **both)
    for pin in new.pins:
        new.keep_all(pin, memory=(400.0, 401.0, 402.0))
    text = say(6, cases=["soak", "train"])
    assert "The noise of soak is that of results/old, 2026-01-01." in text
    assert "The noise of train is that of results/new, 2026-01-02." in text
    # two findings: (t of 0.9875 and 5, 3.1634, and 0.9195) · 0.01/√6 = 0.01667
    assert row(text.partition("case train")[0], "Memory, added by training")[2] == "1.7 %"


def test_a_matrix_with_another_baseline_is_not_used(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    assert " ".join(say(6, ("1.12.1", "1.10.0")).split()) == NOT_KNOWN


def test_other_candidates_do_not_matter(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    assert "can be told" in say(6, ("1.10.0", "2.8.0"))


def test_without_an_earlier_matrix_one_sentence_says_so(say: Say) -> None:
    assert " ".join(say(6).split()) == NOT_KNOWN


def test_a_folder_that_cannot_be_read_is_passed_over(say: Say, earlier: Make) -> None:
    earlier("good", *SPREAD)
    broken = earlier("broken", *SPREAD, day="2026-02-01")
    (broken.path / "runs" / "soak" / "1.10.0" / "0.json").write_text("{", encoding="utf-8")
    (earlier("older", *SPREAD).path / "plan.json").write_text('{"schema": 1}', encoding="utf-8")
    assert "results/good, " in say(6)


def test_a_case_that_has_not_been_run_before_is_named(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    text = say(6, cases=["soak", "train"])
    assert "What it will be able to tell of train is not known yet" in text
    assert "0.05 for 2 gating findings together" in " ".join(text.split())
    assert row(text, "Memory, added by training")


def test_a_metric_that_the_earlier_matrix_lacks_is_not_known(say: Say, earlier: Make) -> None:
    earlier("quick", *SPREAD)
    text = say(6, ("1.10.0", "1.12.1"), "training_memory", "memory_growth")
    assert row(text, "Memory growth per epoch")[2:] == ["—", "—", "not known: that matrix has not measured it"]


def test_a_plan_that_measures_nothing_that_gates_is_told_so(say: Say) -> None:
    text = say(6, ("1.10.0", "1.12.1"), "map50")
    assert text.strip() == "This plan measures nothing that gates, so it will tell nothing that a verdict rests on."


def test_of_several_plans_each_is_below_the_kind_of_its_machine_and_another_machines_is_not_known(
    say: Say, folder: Make, earlier: Make, capsys: Output
) -> None:
    earlier("quick", *SPREAD, growth=(0.0, 0.001, 0.002))
    say(6, ("1.10.0", "1.12.1"), "memory_growth")
    here, there = (folder(rounds=6, name=device, cases=["soak"], device=device) for device in ("cpu", "cuda:0"))
    write_plans(Path("plans.json"), [here.plan, replace(there.plan, machine="hopper")])
    assert main(["plans.json"]) == 0
    first, second = capsys.readouterr().out.split("hopper:\n")
    assert first.startswith("\ncpu:\n")
    assert "can be told" in first
    assert " ".join(second.split()) == NOT_KNOWN


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["none.json"], ["broken.json"], ["."]])
def test_bad_input_ends_with_2_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("[{", encoding="utf-8")
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
