"""`verdict.json`, the exit code that goes with it, and how a verdict is shown above the table."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from markdown_it import MarkdownIt
from results_folder import Folder, anomaly, environment, metric, policy, train_metrics
from typical_folders import ALL, judged, of_three_cases, times

from harness.core.policy import read_policy
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.evidence.claims import read_claims
from reports.show.verdict_file import StoredCandidate, StoredFinding, VerdictFile

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]


def read_verdict(results: Folder) -> VerdictFile:
    return msgspec.json.decode((results.path / "verdict.json").read_bytes(), type=VerdictFile, strict=True)


def candidate(results: Folder, pin: str = "1.12.1") -> StoredCandidate:
    """What is stored of one candidate."""
    (found,) = [one for one in results.verdict_file().machines[0].candidates if one.pin == pin]
    return found


def finding(results: Folder, name: str) -> StoredFinding:
    (found,) = [one for one in candidate(results).findings if one.metric == name]
    return found


# --- verdict.json -----------------------------------------------------------------------------------------------


def test_the_file_is_the_verdict_and_carries_the_digest_of_the_policy(folder: Make) -> None:
    results = judged(folder, 1.1, policy=read_policy(), claims=read_claims())
    results.keep("1.12.1", 0, metrics=train_metrics(**{name: values[0] for name, values in times(1.1).items()}))
    main([str(results.path)])
    stored = read_verdict(results)
    assert stored == results.verdict_file()
    assert stored.policy == read_policy().digest()
    (machine,) = stored.machines
    assert (machine.baseline, machine.kind, machine.hardware) == ("1.10.0", "cpu", ["AMD EPYC 7B13"])
    assert (machine.rounds, machine.runs) == (3, {"ok": 9})


def test_the_file_of_a_matrix_with_nothing_in_it_can_be_read_back(folder: Make) -> None:
    results = folder(PINS, rounds=2, policy=read_policy(), claims=read_claims())
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
    found = finding(results, "epoch_time")
    assert (found.compared, found.unit, found.better, found.margin, found.gates) == ("ratio", "s", "lower", 0.03, True)
    assert found.low is not None
    assert found.high is not None
    assert found.estimate is not None
    assert 0.03 < found.low < found.estimate < found.high
    assert found.level == pytest.approx(0.025)
    assert found.smallest is not None
    assert found.smallest > 0
    assert (found.n, found.pairs, found.further, found.why) == (3, "rounds", None, "")


# --- exit codes -------------------------------------------------------------------------------------------------


def whole(folder: Make, factor: float) -> Folder:
    """A matrix with all that policy.toml of the project requires."""
    results = judged(folder, factor, cases=["train", "soak"], policy=read_policy())
    soaked = [metric("memory_growth", "1/epoch", 0.0), metric("gradient_anomalies", "steps", 0.0)]
    for pin in PINS:
        results.keep_soak(pin, *[[4e8] * 30] * 3, metrics=[metric("training_memory", "bytes", 1e8), *soaked])
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
    assert "**1.12.1: hold**\n\n- Epoch time: worse, +10.0 % \\[" in above
    assert above.count("\n- Epoch time: ") == 1
    assert "1.12.1: HOLD\n  - Epoch time: worse, +10.0 % [" in results.terminal()
    assert len(candidate(results).reasons) == 2


def test_the_reports_own_files_are_all_that_is_written(folder: Make) -> None:
    results = judged(folder)
    before = {path.name for path in results.path.iterdir()}
    main([str(results.path)])
    assert {path.name for path in results.path.iterdir()} - before == {
        "verdict.json",
        "table.md",
        "table.csv",
        "summary.md",
        "claims.md",
        "overview.svg",
        "overview.png",
        "decision.md",
        "index.html",
    }


# --- the control ------------------------------------------------------------------------------------------------


def test_a_quiet_control_says_how_much_it_leaves_open(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=3, policy=policy("epoch_time", "training_memory"))
    results.keep_all("1.10.0", epoch=[30.0, 31.0, 32.0])
    results.keep_all(TWIN, epoch=[31.0, 30.0, 34.0])
    results.keep_all("1.12.1", epoch=[30.0, 31.0, 32.0])
    control = results.verdict_file().machines[0].control
    assert control.quiet
    assert "none of 2 metrics" in control.sentence
    assert "1 of them is inconclusive" in control.sentence


def test_a_control_that_alarms_says_so_before_anything_else(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(TWIN, **times(1.06))
    control = results.verdict_file().machines[0].control
    assert (control.state, control.quiet) == ("noisy", False)
    assert control.sentence.startswith("NOISE: the baseline 1.10.0 differs from itself (Epoch time +6.0 % [")
    title, first, *_ = [line for line in results.markdown().splitlines() if line]
    assert title.startswith("# ")
    assert first.startswith("> **Warning:** NOISE: the baseline 1.10.0 differs from itself")
    _, first, *_ = [line for line in results.terminal().splitlines() if line]
    assert first.startswith("WARNING: NOISE: the baseline 1.10.0 differs from itself")


def test_a_quiet_control_makes_no_noise(folder: Make) -> None:
    assert "NOISE" not in judged(folder).markdown()


# --- what is stored beside the sentences ------------------------------------------------------------------------


def test_every_reason_is_stored_with_its_kind_its_role_and_what_it_is_about(folder: Make) -> None:
    found = candidate(
        judged(folder, 1.1, policy=policy("epoch_time", "map50", "memory_growth", required=["train", "soak"]))
    ).reasons
    assert [(one.kind, one.role, one.about, one.case) for one in found] == [
        ("finding", "holds", "epoch_time", "train"),
        ("finding", "keeps", "memory_growth", ""),
        ("finding", "tells", "map50", "train"),
    ]
    assert all(one.sentence.endswith(".") for one in found)


def test_every_finding_has_a_reason_that_names_its_outcome(folder: Make) -> None:
    found = candidate(judged(folder, 1.1, policy=policy()))
    assert len(found.findings) == 5
    sentences = [reason.sentence for reason in found.reasons]
    for one in found.findings:
        stated = one.finding if one.measured else "not measured"
        assert any(sentence.startswith(f"{one.title}: {stated}") for sentence in sentences)


def test_a_metric_that_several_cases_of_the_matrix_have_is_called_by_its_case(folder: Make) -> None:
    results = of_three_cases(folder)
    assert [one.title for one in candidate(results).findings] == [
        "Memory, added by training (train)",
        "Final mAP50 (train)",
        "Final mAP50 (converge)",
        "Spread of final mAP50",
        "Memory, added by training (soak)",
    ]
    told = "\n".join([*(reason.sentence for reason in candidate(results).reasons), results.decision()])
    assert "Final mAP50 (converge): " in told
    assert "Memory, added by training (soak): " in told


def test_an_interval_too_wide_for_a_number_breaks_nothing_that_is_shown(folder: Make) -> None:
    pins = ["1.10.0", *(f"1.{number}.0" for number in range(11, 24))]
    results = folder(pins, rounds=2)
    for pin in pins[:-1]:
        results.keep_all(pin)
    results.keep_all(pins[-1], epoch=[30, 1800])
    assert results.markdown()


def test_what_would_settle_an_open_finding_is_said(folder: Make) -> None:
    results = judged(folder)
    results.keep_all("1.12.1", epoch=[30.0, 33.0, 31.0], map50=ALL["map50"])
    found = finding(results, "epoch_time")
    assert f"About {found.further} more rounds would settle it." in found.sentence
    results.keep_all("1.12.1", epoch=[30 * 1.0301, 31 * 1.0299, 30.5 * 1.02999], map50=ALL["map50"])
    assert "No practical number of further rounds would settle it." in finding(results, "epoch_time").sentence


def test_one_event_in_one_run_is_named_with_its_place(folder: Make) -> None:
    results = judged(folder)
    results.keep("1.12.1", 1, metrics=train_metrics(anomalies=1), anomalies=[anomaly("non-finite gradient")])
    last = candidate(results).reasons[-1]
    assert (last.kind, last.role, last.about) == ("anomaly", "tells", "non-finite gradient")
    for part in ("non-finite gradient", "round 2", "epoch 2, step 4, stem.weight"):
        assert part in last.sentence


def test_what_is_worse_is_said_rather_than_what_never_ran(folder: Make) -> None:
    results = judged(folder, 1.1, cases=["train", "soak"])
    for pin in PINS[:2]:
        results.keep_growths(pin, 0.0, 0.0, 0.0)
    for index in range(3):
        results.fail("1.12.1", index, case="soak")
    found = candidate(results)
    assert [one.kind for one in found.reasons if one.role == "holds"] == ["never ended", "finding"]
    assert found.sentence.startswith("Epoch time is worse")
