"""The verdict on each candidate, its reasons, `verdict.json`, and the exit code that goes with it."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from markdown_it import MarkdownIt
from results_folder import Folder, anomaly, environment, hashes, policy, train_metrics

from harness.core.policy import read_policy
from harness.core.spec import PACE, TWIN
from reports.__main__ import main
from reports.judge.verdict import VerdictFile

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]
ALL = {"epoch": [30.0, 31.0, 30.5], "memory": [400.0, 401.0, 400.5], "map50": [0.8, 0.81, 0.805]}


def times(factor: float) -> dict[str, list[float]]:
    """The values of `ALL`, the epochs longer by this factor."""
    return {**ALL, "epoch": [value * factor for value in ALL["epoch"]]}


def judged(folder: Make, factor: float = 1.0, pins: list[str] | None = None, **settings: object) -> Folder:
    """Three whole rounds; the last pin's epochs take longer by this factor."""
    results = folder(pins or PINS, rounds=3, **{"policy": policy("epoch_time", "map50"), **settings})
    for pin in results.pins:
        results.keep_all(pin, **(times(factor) if pin == results.pins[-1] else ALL))
    return results


def read_verdict(results: Folder) -> VerdictFile:
    return msgspec.json.decode((results.path / "verdict.json").read_bytes(), type=VerdictFile, strict=True)


# --- upgrade, hold or neither -----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.0, 0.9, 1.01])
def test_what_is_no_worse_than_its_margin_anywhere_is_an_upgrade(folder: Make, factor: float) -> None:
    assert judged(folder, factor).verdict().verdict == "upgrade"


def test_anything_worse_that_gates_is_a_hold(folder: Make) -> None:
    verdict = judged(folder, 1.1).verdict()
    assert verdict.verdict == "hold"
    assert verdict.reasons[0].startswith("Epoch time: worse, +10.0 % [+10.0 %, +10.0 %] against a margin of 3.0 %.")


def test_anything_worse_that_does_not_gate_is_said_and_holds_nothing(folder: Make) -> None:
    verdict = judged(folder, 1.1, policy=policy("epoch_time", "map50", idle=["epoch_time"])).verdict()
    assert verdict.verdict == "upgrade"
    (reason,) = [reason for reason in verdict.reasons if reason.startswith("Epoch time: worse")]
    assert reason.endswith(" It does not gate.")


def test_one_metric_that_is_worse_outweighs_all_that_are_better(folder: Make) -> None:
    results = judged(folder, 0.5)
    results.keep_all("1.12.1", **{**times(0.5), "map50": [0.7, 0.71, 0.705]})
    verdict = results.verdict()
    assert verdict.verdict == "hold"
    assert verdict.reasons[0].startswith("Final mAP50: worse, \N{MINUS SIGN}10.0 pt")


def test_anything_that_gates_and_is_open_is_inconclusive_and_says_what_would_settle_it(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[30.0, 33.0, 31.0], map50=ALL["map50"])
    verdict = results.verdict()
    (found,) = [one for one in verdict.findings if one.metric == "epoch_time"]
    assert (verdict.verdict, found.finding) == ("inconclusive", "inconclusive")
    assert verdict.reasons[0].startswith("Epoch time: inconclusive, +")
    assert found.reason in verdict.reasons[0]
    assert f"About {found.further} more rounds would settle it." in verdict.reasons[0]


def test_an_open_finding_that_no_more_rounds_would_settle_says_so(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[30 * 1.0301, 31 * 1.0299, 30.5 * 1.02999], map50=ALL["map50"])
    assert "No bearable number of further rounds would settle it as things stand." in results.verdict().reasons[0]


def test_what_is_open_but_surely_not_worse_stands_in_the_way_of_nothing(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[30 * 0.98, 31 * 0.97, 30.5 * 0.975], map50=ALL["map50"])
    verdict = results.verdict()
    (found,) = [one for one in verdict.findings if one.metric == "epoch_time"]
    assert (found.finding, verdict.verdict) == ("inconclusive", "upgrade")
    assert any("though surely not worse by more than the margin" in reason for reason in verdict.reasons)


def test_without_a_control_that_tells_the_noise_nothing_is_an_upgrade(folder: Make) -> None:
    results = folder(PINS, rounds=3, policy=policy("epoch_time", "map50"))
    for pin in results.pins:
        if pin != TWIN:
            results.keep_all(pin, **ALL)
    for index in range(3):
        results.fail(TWIN, index)
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert any(reason.startswith("The control A/A measured nothing") for reason in verdict.reasons)


def test_one_run_per_pin_is_never_an_upgrade_and_never_a_hold(folder: Make) -> None:
    results = folder(PINS, policy=policy("epoch_time"))
    for pin in PINS:
        results.keep(pin, metrics=train_metrics(epoch=300 if pin == "1.12.1" else 30))
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "Epoch time: inconclusive (one pair of runs decides nothing)." in verdict.reasons


def test_a_gating_metric_that_was_not_measured_is_no_upgrade(folder: Make) -> None:
    verdict = judged(folder, policy=policy("epoch_time", "map50", PACE)).verdict()
    assert verdict.verdict == "inconclusive"
    assert "Pace, step time in turns: not measured (the case pace is not part of this matrix)." in verdict.reasons


def test_a_metric_that_does_not_gate_and_was_not_measured_stands_in_the_way_of_nothing(folder: Make) -> None:
    verdict = judged(folder, policy=policy("epoch_time", "map50", PACE, idle=[PACE])).verdict()
    assert verdict.verdict == "upgrade"


def test_records_that_did_other_work_are_no_upgrade(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.keep("1.12.1", index, hashes=hashes(batch_stream="other"))
    assert results.verdict().verdict == "inconclusive"


def test_a_difference_as_large_as_the_machines_noise_is_no_hold(folder: Make) -> None:
    results = judged(folder, 1.05)
    results.keep_all(TWIN, **times(1.06))
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "the baseline differs from itself as much" in verdict.reasons[0]


def test_each_candidate_has_a_verdict_of_its_own(folder: Make) -> None:
    results = judged(folder, 1.1, pins=[*PINS, "1.13.1"])
    assert [(one.version, one.verdict) for one in results.verdict_file().candidates] == [
        ("1.12.1", "upgrade"),
        ("1.13.1", "hold"),
    ]


def test_every_finding_has_a_reason_that_names_its_outcome(folder: Make) -> None:
    results = judged(folder, 1.1, policy=policy())
    verdict = results.verdict()
    assert len(verdict.findings) == 6
    for found in verdict.findings:
        stated = found.finding if found.measured else "not measured"
        title = {"epoch_time": "Epoch time", "map50": "Final mAP50", "peak_rss": "Peak memory, RSS"}.get(found.metric)
        if title:
            assert any(reason.startswith(f"{title}: {stated}") for reason in verdict.reasons)


# --- runs that are not there ------------------------------------------------------------------------------------


def test_a_pin_that_fails_in_all_rounds_while_the_baseline_runs_is_a_hold(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail("1.12.1", index)
    verdict = results.verdict()
    assert verdict.verdict == "hold"
    assert verdict.reasons[0] == (
        "None of its 3 runs of train ended well, all of the baseline's did: The process was ended by SIGKILL."
    )


def test_a_pin_that_fails_once_is_no_hold_and_no_upgrade(folder: Make) -> None:
    results = judged(folder)
    results.fail("1.12.1", 1)
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "1 of its 3 runs of train are failed." in verdict.reasons


def test_a_pin_that_fails_in_its_only_round_is_no_hold(folder: Make) -> None:
    results = folder(PINS)
    results.keep("1.10.0")
    results.fail("1.12.1")
    assert results.verdict().verdict == "inconclusive"


def test_a_pin_that_fails_where_the_baseline_does_too_is_no_hold(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.fail("1.12.1", index)
    results.fail("1.10.0", 2)
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "1 of the baseline's 3 runs of train are failed." in verdict.reasons


def test_a_pin_that_never_runs_one_of_several_cases_is_a_hold(folder: Make) -> None:
    results = judged(folder, cases=["train", PACE])
    for pin in PINS[:2]:
        results.keep_pace(pin, 0.1, 0.1, 0.1)
    for index in range(3):
        results.fail("1.12.1", index, case=PACE)
    verdict = results.verdict()
    assert verdict.verdict == "hold"
    assert verdict.reasons[0].startswith("None of its 3 runs of pace ended well")


def test_runs_that_were_not_done_are_no_hold_and_no_upgrade(folder: Make) -> None:
    results = folder(PINS, rounds=3)
    for pin in PINS[:2]:
        results.keep_all(pin, **ALL)
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "3 of its 3 runs of train are missing." in verdict.reasons


def test_an_unsupported_pin_is_inconclusive_with_the_reason(folder: Make) -> None:
    results = judged(folder)
    for index in range(3):
        results.keep("1.12.1", index, status="unsupported", reason="The wheel has no sm_90", metrics=[], hashes=None)
    verdict = results.verdict()
    assert verdict.verdict == "inconclusive"
    assert "3 of its 3 runs of train are unsupported." in verdict.reasons
    assert any("The wheel has no sm_90" in reason for reason in verdict.reasons)


# --- verdict.json -----------------------------------------------------------------------------------------------


def test_the_file_is_the_verdict_and_carries_the_digest_of_the_policy(folder: Make) -> None:
    results = judged(folder, 1.1, policy=read_policy())
    results.keep("1.12.1", 0, metrics=train_metrics(**{name: values[0] for name, values in times(1.1).items()}))
    main([str(results.path)])
    stored = read_verdict(results)
    assert stored == results.verdict_file()
    assert stored.policy == read_policy().digest()
    (machine,) = stored.machines
    assert (machine.baseline, machine.kind, machine.hardware) == ("1.10.0", "cpu", ["AMD EPYC 7B13"])
    assert (machine.rounds, machine.runs) == (3, {"ok": 9})


def test_the_file_of_a_matrix_with_nothing_in_it_can_be_read_back(folder: Make) -> None:
    results = folder(PINS, rounds=2, policy=read_policy())
    main([str(results.path)])
    stored = read_verdict(results)
    assert stored == results.verdict_file()
    assert [one.verdict for one in stored.candidates] == ["inconclusive"]
    assert not stored.machines[0].control.quiet


def test_the_file_is_decoded_strictly(folder: Make) -> None:
    results = judged(folder)
    main([str(results.path)])
    path = results.path / "verdict.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"matrix":', '"matricks":'), encoding="utf-8")
    with pytest.raises(msgspec.ValidationError, match="matricks"):
        read_verdict(results)


def test_a_stored_finding_tells_estimate_interval_level_and_margin(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[33.0, 34.2, 33.5], map50=ALL["map50"])
    (found,) = [one for one in results.verdict().findings if one.metric == "epoch_time"]
    assert (found.compared, found.unit, found.better, found.margin, found.gates) == ("ratio", "s", "lower", 0.03, True)
    assert found.low is not None
    assert found.high is not None
    assert found.estimate is not None
    assert 0.03 < found.low < found.estimate < found.high
    assert found.level == pytest.approx(0.025)
    assert found.smallest is not None
    assert found.smallest > 0
    assert (found.n, found.pairs, found.further, found.reason) == (3, "rounds", None, "")


# --- exit codes -------------------------------------------------------------------------------------------------


def whole(folder: Make, factor: float) -> Folder:
    """A matrix with all that policy.toml of the project judges."""
    results = judged(folder, factor, cases=["train", PACE], policy=read_policy())
    for pin in PINS:
        results.keep_pace(pin, 0.1, 0.11, 0.1)
    return results


@pytest.mark.parametrize(("factor", "arguments", "code"), [(1.5, ["--gate"], 1), (1.5, [], 0), (1.0, ["--gate"], 0)])
def test_only_with_gate_a_hold_ends_with_1(folder: Make, factor: float, arguments: list[str], code: int) -> None:
    results = whole(folder, factor)
    assert main([*arguments, str(results.path)]) == code
    assert [one.verdict for one in read_verdict(results).candidates] == ["hold" if factor > 1 else "upgrade"]


def test_an_inconclusive_matrix_ends_with_0_also_with_gate(folder: Make) -> None:
    results = folder(PINS)
    for pin in PINS:
        results.keep(pin)
    assert main([str(results.path), "--gate"]) == 0


@pytest.mark.parametrize("arguments", [[], ["--gate"]])
def test_a_run_that_failed_without_a_hold_ends_with_3(folder: Make, arguments: list[str]) -> None:
    results = whole(folder, 1.0)
    results.fail("1.12.1", 0)
    assert main([str(results.path), *arguments]) == 3


def test_a_hold_outweighs_a_run_that_failed_where_it_is_asked_for(folder: Make) -> None:
    results = whole(folder, 1.5)
    results.fail(TWIN, 0)
    assert main([str(results.path)]) == 3
    assert main([str(results.path), "--gate"]) == 1


# --- as it is shown ---------------------------------------------------------------------------------------------

HOSTILE = "a|b `c` *d* _e_ [red]f[/red] <script>g</script> &amp; \\| \x1b[31mh\x07\r\n| x | y |\n# i \u202ej\u2028k"


def hostile(folder: Make) -> Folder:
    results = folder(["1.10.0", TWIN, HOSTILE], rounds=2)
    for index in (0, 1):
        results.keep("1.10.0", index, environment=environment(cpu=HOSTILE))
        results.keep(TWIN, index, not_measured={"memory_growth": HOSTILE}, metrics=train_metrics()[:-1])
        results.keep(HOSTILE, index, not_measured={"map50": HOSTILE}, metrics=train_metrics()[:5])
    results.keep(HOSTILE, 1, metrics=[], anomalies=[anomaly(HOSTILE, parameter=HOSTILE)])
    return results


def test_hostile_names_and_reasons_are_escaped_in_the_verdict(folder: Make) -> None:
    text = hostile(folder).markdown()
    html = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    above = html.partition("<table>")[0]
    assert set(re.findall(r"</?([a-zA-Z0-9]+)", above)) <= {"h1", "h2", "p", "strong", "ul", "li", "blockquote"}
    assert "<p><strong>a|b `c` *d* _e_ [red]f[/red] &lt;script&gt;g&lt;/script&gt; &amp;amp; \\|" in above
    assert sum(1 for line in above.splitlines() if line.startswith("<h1>")) == 1


def test_hostile_names_and_reasons_are_on_lines_of_ours_on_the_terminal(folder: Make) -> None:
    lines = hostile(folder).terminal().splitlines()
    assert not any("\x1b" in line or line.startswith(("| x", "# i")) for line in lines)
    assert any(line.startswith("a|b `c` *d*") and line.endswith(": INCONCLUSIVE") for line in lines)


def test_hostile_names_leave_the_file_readable(folder: Make) -> None:
    results = hostile(folder)
    main([str(results.path)])
    assert [one.pin for one in read_verdict(results).machines[0].candidates] == [HOSTILE]


def test_the_verdict_stands_above_the_table_with_its_reasons(folder: Make) -> None:
    results = judged(folder, 1.1)
    above = results.markdown().partition("| metric")[0]
    verdict = results.verdict()
    assert "**1.12.1: hold**\n\n- Epoch time: worse, +10.0 % \\[" in above
    assert above.count("\n- Epoch time: ") == 1
    assert "1.12.1: HOLD\n  - Epoch time: worse, +10.0 % [" in results.terminal()
    assert len(verdict.reasons) == 2


def test_the_reports_own_files_are_all_that_is_written(folder: Make) -> None:
    results = judged(folder)
    before = {path.name for path in results.path.iterdir()}
    main([str(results.path)])
    assert {path.name for path in results.path.iterdir()} - before == {
        "verdict.json",
        "table.md",
        "table.csv",
        "summary.md",
        "overview.svg",
        "overview.png",
        "decision.md",
        "index.html",
    }


def test_a_quiet_control_says_how_much_it_leaves_open(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=3, policy=policy("epoch_time", "peak_rss"))
    results.keep_all("1.10.0", epoch=[30.0, 31.0, 32.0])
    results.keep_all(TWIN, epoch=[31.0, 30.0, 34.0])
    results.keep_all("1.12.1", epoch=[30.0, 31.0, 32.0])
    assert results.machine_verdict().control.sentence == (
        "The control A/A is quiet: 1.10.0 was found better or worse than itself in none of 2 metrics, "
        "1 of them inconclusive."
    )
