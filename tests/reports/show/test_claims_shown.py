"""How the ledger of claims is told: in claims.md, on the page, on a terminal and in verdict.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from browser import Browser
from results_folder import Folder, check, environment, metric
from saying import says

from reports.evidence.claims import Claims
from reports.judge.claims import ClaimOutcome, Says, Shown
from reports.show.claims import OUTCOMES, SAYS, SHOWN, counts_in_words
from reports.show.ledger import to_claims
from reports.show.page import CLAIM_MARKS, to_page
from reports.show.verdict_file import StoredClaim, VerdictFile

Make = Callable[..., Folder]
PINS = ["1.10.0", "1.12.1"]
HOSTILE = "<img src=x onerror=owned=1>| `x` {{ 7*7 }} @someone"

KILLED = {"kind": "check", "case": "resume", "check": "killed", "pins": PINS}
CLAIMS: dict[str, Any] = {
    "K1": {"claim": "Resuming works", "how": "It is killed.", "evidence": [KILLED]},
    "K2": {"claim": "Resuming breaks", "how": "It is killed.", "evidence": [{**KILLED, "holds": False}]},
    "K3": {
        "claim": "It is 3 % less",
        "how": "By sums.",
        "evidence": [{"kind": "arithmetic", "numbers": {"a": "38.7", "b": "42.9"}, "holds": "(1 - a / b) * 100 == 3"}],
    },
    "K4": {
        "claim": f"It runs on {HOSTILE}",
        "how": f"On one. {HOSTILE}",
        "evidence": [{"kind": "takes", "where": {"gpu": "RTX 3090", "cuda": "11.3"}, "run": f"run {HOSTILE}"}],
    },
    "K5": {
        "claim": "Steps are slower",
        "how": "In turns.",
        "evidence": [
            {
                "kind": "finding",
                "case": "train",
                "metric": "step_time",
                "pins": ["1.12.1"],
                "against": "1.10.0",
                "least": 0.01,
                "most": 0.2,
            },
            {**KILLED, "decides": False},
        ],
    },
    "K6": {
        "claim": "The code tries",
        "how": "It has an except.",
        "evidence": [{"kind": "source", "source": "code", "what": "an except", "files": ["*.py"], "pattern": "except"}],
    },
}
SOURCES = {"code": {"address": "https://example.org/code", "variable": "CODE_CHECKOUT"}}


@pytest.fixture
def results(folder: Make, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Records by which one claim comes out in every way."""
    monkeypatch.delenv("CODE_CHECKOUT", raising=False)
    claims = msgspec.convert({"claims": CLAIMS, "sources": SOURCES}, Claims)
    made = folder(PINS, rounds=1, cases=["resume"], claims=claims)
    for pin in PINS:
        made.keep(pin, 0, "resume", metrics=[], checks=[check("held", f"9 of 9 {HOSTILE}")])
    return made


def of(results: Folder, name: str) -> StoredClaim:
    (found,) = [one for one in results.verdict_file().claims if one.name == name]
    return found


def test_every_outcome_and_all_that_can_be_seen_has_its_words() -> None:
    assert set(OUTCOMES) == set(get_args(ClaimOutcome)) == set(CLAIM_MARKS)
    assert set(SAYS) == set(get_args(Says))
    assert set(SHOWN) == set(get_args(Shown))


def test_outcomes_are_counted_in_their_order(results: Folder) -> None:
    counts = "1 reproduced, 1 refuted, 1 inconsistent with itself, 2 not testable here, 1 open"
    assert counts_in_words([one.outcome for one in results.verdict_file().claims]) == counts
    assert f"Claims: {counts}." in " ".join(results.terminal().split())
    assert counts_in_words([]) == ""


def test_a_claim_tells_why_it_came_out_so(results: Folder) -> None:
    assert says(of(results, "K1").sentence, "Check killed (resume): 1.10.0 held: 9 of 9", "; 1.12.1 held: 9 of 9")
    assert of(results, "K2").sentence == of(results, "K1").sentence
    assert of(results, "K3").sentence == (
        "(1 - a / b) * 100 == 3, with a = 38.7 and b = 42.9: 9.568 to 10.01 against 3.000."
    )
    assert of(results, "K4").sentence == (
        "It takes runs on a GPU called RTX 3090; with a torch that was built for CUDA 11.3: none here was."
    )
    assert of(results, "K5").sentence == "Nothing that was run tells."
    assert of(results, "K6").sentence == ("It takes a checkout of example.org/code: name it by CODE_CHECKOUT.")


def test_an_open_claim_says_what_of_it_is_known(results: Folder) -> None:
    asked = {"claim": "Both", "how": "By two.", "evidence": [KILLED, {**KILLED, "check": "torn"}]}
    results.claims = msgspec.convert({"claims": {"K": asked}}, Claims)
    assert of(results, "K").sentence == "Some of it is borne out; nothing that was run tells the rest."
    broken = {**asked, "needs": "any", "evidence": [{**one, "holds": False} for one in asked["evidence"]]}
    results.claims = msgspec.convert({"claims": {"K": broken}}, Claims)
    assert of(results, "K").sentence == "Some of it is not so; nothing that was run tells the rest."


def test_evidence_names_the_folder_what_is_said_and_what_was_seen(results: Folder) -> None:
    (part,) = of(results, "K2").evidence
    assert (part.kind, part.says, part.decides) == ("check", "against", True)
    assert part.expected == "the check killed of resume fails on 1.10.0 and 1.12.1."
    (witness,) = part.witnesses
    assert (witness.folder, witness.says) == (str(results.path), "against")
    assert witness.values == {"1.10.0": "held", "1.12.1": "held"}
    assert says(witness.sentence, str(results.path), "1.10.0 held", "speaks against it.")


def test_a_stand_in_for_the_code_is_told_with_digest_and_place(
    results: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "stand-in"
    code.mkdir()
    (code / "train.py").write_text("try:\n    1\nexcept SECRET:\n    2\n", encoding="utf-8")
    monkeypatch.setenv("CODE_CHECKOUT", str(code))
    found = of(results, "K6")
    assert found.outcome == "reproduced"
    assert says(found.sentence, "An except in *.py of code: found at train.py:3 (1 file looked at, digest ")
    assert "SECRET" not in to_claims(results.verdict_file())


FINDING = {"kind": "finding", "case": "train", "pins": ["1.12.1"], "against": "1.10.0"}


@pytest.mark.parametrize(
    ("evidence", "expected", "seen"),
    [
        (
            {**FINDING, "metric": "epoch_time", "least": 0.01, "most": 0.2},
            "Epoch time of 1.12.1 against 1.10.0 (train) is between +1.0 % and +20.0 %.",
            ["1.12.1 +10.0 % [", "3 rounds; bears it out."],
        ),
        (
            {**FINDING, "metric": "map50", "most": -0.012},
            "Final mAP50 of 1.12.1 against 1.10.0 (train) is at most −1.2 pt.",
            ["1.12.1 0.0 pt", "speaks against it."],
        ),
        (
            {"kind": "metric", "case": "train", "metric": "training_memory", "pins": PINS, "most": 2**20},
            "Memory, added by training of 1.10.0 and 1.12.1 (train) is at most 1.000 MiB in every run.",
            ["1.10.0 400.0 MiB, 400.0 MiB", "; 1.12.1 400.0 MiB", "speaks against it."],
        ),
        (
            {"kind": "environment", "pins": ["1.10.0"], "of": "torchvision", "version": r"0\.11\..*"},
            r"torchvision of 1.10.0 is of a version that is 0\.11\..*.",
            ["torchvision of 1.10.0 is 0.11.1; bears it out."],
        ),
        (
            {"kind": "runs", "case": "train", "pins": PINS, "ended": False},
            "runs of train fail on 1.10.0 and 1.12.1.",
            ["1.10.0: 3 of 3 ended well; 1.12.1: 3 of 3 ended well; speaks against it."],
        ),
        (
            {"kind": "fingerprint", "case": "train", "fingerprint": "final_weights", "pins": PINS, "same": True},
            "'Final weights' (train) is the same on 1.10.0 and 1.12.1.",
            ["1.10.0 and 1.12.1: not recorded; tells nothing."],
        ),
        (
            {"kind": "runs", "case": "train", "pins": PINS, "where": {"image_size": 640, "hours": 72}},
            "runs of train end well on 1.10.0 and 1.12.1, at 640 px, over 72 hours.",
            ["there are runs, but not at 640 px, over 72 hours; tells nothing."],
        ),
    ],
)
def test_each_kind_tells_what_is_said_and_what_was_seen(
    folder: Make, evidence: dict[str, Any], expected: str, seen: list[str]
) -> None:
    one = {"claim": "It is so", "how": "By records.", "evidence": [evidence]}
    made = folder(PINS, rounds=3, claims=msgspec.convert({"claims": {"K": one}}, Claims))
    made.keep_all("1.10.0", epoch=[30.0, 31.0, 30.5])
    made.keep_all("1.12.1", epoch=[33.0, 34.1, 33.55])
    (part,) = of(made, "K").evidence
    assert part.expected == expected
    (witness,) = part.witnesses
    assert says(witness.sentence, *seen)


def test_the_file_of_claims_has_all_and_nothing_foreign_becomes_markup(results: Folder) -> None:
    text = to_claims(results.verdict_file())
    table = " ".join(text.split())
    assert "| K1 | Resuming works | **reproduced** | Check killed (resume): " in table
    assert says(text, "## K2: Resuming breaks", "**refuted.**", "How it is tested: It is killed.", "- The claim says: ")
    assert says(text, "## K4", "Where that is there: `run &lt;img".replace("&lt;", "<"))
    assert says(text, "## K5", "No results folder has it.", "(shown beside, does not count)", "To settle it: `nox -s ")
    outside = "".join(text.split("`")[::2])
    assert "<img" not in outside
    assert "{{ 7*7 }} @someone" not in outside


def test_without_claims_the_file_says_so(folder: Make) -> None:
    assert "No claims stand in" in to_claims(folder().verdict_file())
    assert "Claims:" not in folder().terminal()


def test_claims_do_not_change_the_digest_that_a_decision_is_signed_on(results: Folder, folder: Make) -> None:
    signed = results.decision().partition("has the digest ")[2][:12]
    results.claims = Claims()
    assert results.decision().partition("has the digest ")[2][:12] == signed


def test_the_claims_in_the_verdict_file_can_be_read_back(results: Folder) -> None:
    stored = results.verdict_file()
    assert msgspec.json.decode(msgspec.json.encode(stored), type=VerdictFile) == stored


def test_the_page_has_all_claims_and_filters_them_by_outcome(results: Folder, tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "index.html"
    page.write_text(to_page(results.account(), [results.table()], b"<svg/>", ""), encoding="utf-8")
    assert "<img src=x" not in page.read_text(encoding="utf-8")
    browser.open(page)
    shown = "return [...document.querySelectorAll('#claim-list tbody tr')].filter((row) => !row.hidden).length"
    assert browser.run(shown) == len(CLAIMS)
    browser.run(
        "const one = document.querySelector('[data-filters=claim-list] select'); one.value = 'refuted';"
        "one.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    assert browser.run(shown) == 1
    assert not browser.run("return window.owned")


def test_a_page_without_claims_has_no_such_section(folder: Make) -> None:
    made = folder()
    made.keep("1.10.0", 0, environment=environment(), metrics=[metric("map50", "fraction", 0.5)])
    assert 'id="claims"' not in to_page(made.account(), [made.table()], b"<svg/>", "")
