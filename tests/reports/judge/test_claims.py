"""The ledger of claims: every outcome follows from records, and other records give another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from results_folder import Folder, check, environment, metric
from typical_folders import change

from harness.core.declaration import Case, DeclaredFingerprint, DeclaredProbe
from harness.core.record import Fingerprint
from harness.core.spec import TWIN, Data
from reports.evidence.claims import Claim, Claims, Evidence, Source, Where
from reports.judge.claims import (
    Exhibit,
    JudgedClaim,
    Lack,
    NothingSeen,
    OtherSetting,
    Says,
    judged_claims,
    outcome_of,
)
from reports.judge.judgement import judge

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
PINS = ["1.10.0", "1.12.1"]


def piece(kind: str, **fields: Any) -> Evidence:
    """A piece as the file has it."""
    return msgspec.convert({"kind": kind, **fields}, Evidence)


def judged(*folders: Folder, evidence: list[Evidence], needs: str = "all", sources: Any = None) -> JudgedClaim:
    """What these folders say of one claim."""
    claim = Claim(claim="It is so.", how="By records.", evidence=evidence, needs=needs)  # type: ignore[arg-type]
    claims = Claims(claims={"X1": claim}, sources=sources or {})
    (found,) = judge([one.path for one in folders], folders[0].policy, claims).ledger
    return found


def says(*folders: Folder, **fields: Any) -> Says:
    """What these folders say of one piece."""
    (exhibit,) = judged(*folders, evidence=[piece(**fields)]).exhibits
    return exhibit.says


# --- each kind, from records and from other records -----------------------------------------------------------------


def checked(folder: Make, outcome: str, said: str = "0 of 9", name: str = "quick") -> Folder:
    """Records of resume in which a check came out so on the candidate, and held on the baseline."""
    results = folder(PINS, rounds=2, cases=["resume"], name=name)
    for index in range(2):
        results.keep("1.10.0", index, "resume", metrics=[], checks=[check()])
        results.keep("1.12.1", index, "resume", metrics=[], checks=[check(outcome, said)])  # type: ignore[arg-type]
    return results


CHECK: dict[str, Any] = {"kind": "check", "case": "resume", "check": "killed", "pins": PINS}


@pytest.mark.parametrize(("outcome", "expected"), [("held", "for"), ("failed", "against"), ("open", "open")])
def test_a_check_that_is_said_to_hold_has_to_on_all_pins(folder: Make, outcome: str, expected: str) -> None:
    assert says(checked(folder, outcome), **CHECK) == expected


@pytest.mark.parametrize(("outcome", "expected"), [("held", "against"), ("failed", "for"), ("open", "open")])
def test_a_check_that_is_said_to_fail_has_to(folder: Make, outcome: str, expected: str) -> None:
    assert says(checked(folder, outcome), **{**CHECK, "pins": ["1.12.1"], "holds": False}) == expected


def test_a_check_tells_nothing_where_its_runs_did_not_say_what_they_have_to_have_said(folder: Make) -> None:
    results = checked(folder, "failed", "OpenCV 4.11.0: it cannot")
    asked = {**CHECK, "pins": ["1.12.1"]}
    assert says(results, **asked, said=r"^OpenCV 4\.11") == "against"
    assert says(results, **asked, said=r"^OpenCV 4\.5") == "open"


def test_a_check_that_no_run_made_tells_nothing(folder: Make) -> None:
    results = checked(folder, "held")
    (exhibit,) = judged(results, evidence=[piece(**{**CHECK, "check": "torn"})]).exhibits
    assert exhibit.says == "open"
    assert [one.shown for one in exhibit.witnesses] == [NothingSeen()]


@pytest.mark.parametrize(
    ("factor", "least", "most", "expected"),
    [
        (1.10, 0.03, 0.2, "for"),
        (1.10, None, 0.03, "against"),
        (1.00, 0.03, 0.2, "against"),
        (1.00, -0.03, 0.03, "for"),
        (1.10, 0.10, 0.2, "open"),  # the interval reaches over an end
    ],
)
def test_a_finding_has_to_lie_within_what_is_said(
    folder: Make, factor: float, least: float | None, most: float, expected: str
) -> None:
    results = folder(PINS, rounds=3)
    base = [30.0, 31.0, 30.5]
    results.keep_all("1.10.0", epoch=base)
    results.keep_all("1.12.1", epoch=[value * factor + 0.01 * place for place, value in enumerate(base)])
    asked = {"kind": "finding", "case": "train", "metric": "epoch_time", "pins": ["1.12.1"], "against": "1.10.0"}
    assert says(results, **asked, least=least, most=most) == expected


def test_a_finding_against_another_baseline_is_none(folder: Make) -> None:
    results = folder(["1.12.1", "1.10.0"], rounds=2)
    for pin in results.pins:
        results.keep_all(pin, epoch=[30.0, 31.0])
    asked = {"kind": "finding", "case": "train", "metric": "epoch_time", "pins": ["1.12.1"], "most": 0.1}
    (exhibit,) = judged(results, evidence=[piece(**asked, against="1.10.0")]).exhibits
    assert (exhibit.says, exhibit.witnesses) == ("open", ())


@pytest.mark.parametrize(("anomalies", "expected"), [((0.0, 0.0), "for"), ((0.0, 1.0), "against")])
def test_a_metric_has_to_be_what_is_said_in_every_run(folder: Make, anomalies: Any, expected: str) -> None:
    results = folder(["1.10.0"], rounds=2)
    for index, value in enumerate(anomalies):
        results.keep("1.10.0", index, metrics=[metric("gradient_anomalies", "steps", value)])
    asked = {"kind": "metric", "case": "train", "metric": "gradient_anomalies", "pins": ["1.10.0"], "most": 0}
    assert says(results, **asked) == expected


def test_a_metric_without_a_figure_tells_nothing(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=1)
    results.keep("1.10.0", 0, metrics=[metric("map50", "fraction", 0.5)], not_measured={"gradient_anomalies": "none"})
    asked = {"kind": "metric", "case": "train", "metric": "gradient_anomalies", "pins": ["1.10.0"], "most": 0}
    assert says(results, **asked) == "open"


PROBE = DeclaredProbe("hooks", "Hooks: order", topic="Hooks", why="They do.", means="Look.")


def probed(folder: Make, declare: Declare, first: Any, *second: Any, name: str = "quick") -> Folder:
    """Records of a probe on two pins: a value of each, or why there is none; of the second by round."""
    declare("probing", Case(fingerprints=(PROBE, DeclaredFingerprint("o", "O"))))
    results = folder(PINS, rounds=len(second), cases=["probing"], name=name)
    for index, value in enumerate(second):
        for pin, one in (("1.10.0", first), ("1.12.1", value)):
            made = [Fingerprint("hooks", [], unable=one)] if isinstance(one, str) else [Fingerprint("hooks", *one)]
            made.append(Fingerprint("o", [1.0 if pin == "1.10.0" else 2.0]))
            results.keep(pin, index, "probing", metrics=[], fingerprints=made, environment=environment(torch=pin))
    return results


def of(*values: Any) -> Any:
    return [[*values], ["calls"] * len(values)]


PRINT: dict[str, Any] = {"kind": "fingerprint", "case": "probing", "fingerprint": "hooks", "pins": PINS}


@pytest.mark.parametrize(
    ("second", "same", "expected"),
    [
        ([of(3.0)], True, "for"),
        ([of(3.0)], False, "against"),
        ([of(2.0)], True, "against"),
        ([of(2.0)], False, "for"),
        (["no GPU"], False, "open"),
        ([of(3.0), of(2.0)], False, "open"),  # unsteady
    ],
)
def test_a_probe_is_the_same_on_two_pins_or_not(
    folder: Make, declare: Declare, second: Any, same: bool, expected: str
) -> None:
    assert says(probed(folder, declare, of(3.0), *second), **PRINT, same=same) == expected


def test_a_fingerprint_that_is_no_probe_is_compared_too(folder: Make, declare: Declare) -> None:
    results = probed(folder, declare, of(3.0), of(3.0))
    assert says(results, **{**PRINT, "fingerprint": "o"}, same=False) == "for"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (of(1.0, 0.0), "for"),
        (of(1.0, 2.0), "against"),
        (of(1.0), "against"),
        ("no GPU", "open"),
        ([[1.0, 0.0], ["other", "other"]], "open"),  # it has no such name
    ],
)
def test_a_fingerprint_has_the_values_that_are_said(folder: Make, declare: Declare, seen: Any, expected: str) -> None:
    results = probed(folder, declare, of(3.0), seen)
    assert says(results, **{**PRINT, "pins": ["1.12.1"]}, values={"calls": [1, 0]}) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [("its process was ended by SIGABRT", "for"), ("no GPU was found", "open"), (of(1.0), "against")],
)
def test_a_probe_that_is_said_to_abort_has_to_for_that_reason(
    folder: Make, declare: Declare, seen: Any, expected: str
) -> None:
    results = probed(folder, declare, of(3.0), seen)
    assert says(results, **{**PRINT, "pins": ["1.12.1"]}, unable="SIGABRT") == expected


@pytest.mark.parametrize(("cuda", "expected"), [("12.1", "for"), ("10.2", "against"), (None, "against")])
def test_what_an_environment_was_observed_to_be(folder: Make, cuda: str | None, expected: str) -> None:
    results = folder(["1.10.0"], rounds=1)
    results.keep("1.10.0", 0, environment=environment(cuda=cuda))
    assert says(results, kind="environment", pins=["1.10.0"], of="cuda", version=r"12\.1") == expected


def test_a_package_is_looked_up_by_its_name(folder: Make) -> None:
    results = folder(["1.10.0"], rounds=1)
    results.keep("1.10.0")
    assert says(results, kind="environment", pins=["1.10.0"], of="numpy", version=r"1\..*") == "for"
    assert says(results, kind="environment", pins=["1.10.0"], of="scipy", version=r"1\..*") == "against"


@pytest.mark.parametrize(
    ("failing", "ended", "not_ended"), [(0, "for", "against"), (2, "against", "for"), (1, "open", "against")]
)
def test_runs_end_well_or_do_not(folder: Make, failing: int, ended: str, not_ended: str) -> None:
    results = folder(["1.10.0"], rounds=2)
    for index in range(2):
        if index < failing:
            results.fail("1.10.0", index)
        else:
            results.keep("1.10.0", index)
    asked = {"kind": "runs", "case": "train", "pins": ["1.10.0"]}
    assert says(results, **asked) == ended
    assert says(results, **asked, ended=False) == not_ended


def test_arithmetic_needs_no_records(folder: Make) -> None:
    asked = {"kind": "arithmetic", "holds": "a == b"}
    assert says(folder(), **asked, numbers={"a": "1.0", "b": "1.0"}) == "consistent"
    assert says(folder(), **asked, numbers={"a": "1.0", "b": "2.0"}) == "inconsistent"


def test_somebodys_code_speaks_where_a_checkout_is_named(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "stand-in"
    code.mkdir()
    (code / "train.py").write_text("step()\n", encoding="utf-8")
    sources = {"code": Source(address="https://example.org", variable="CODE_CHECKOUT")}
    asked = {"kind": "source", "source": "code", "what": "an except", "files": ["train.py"], "pattern": "except"}

    def said(**more: Any) -> Exhibit:
        return judged(folder(), evidence=[piece(**asked, **more)], sources=sources).exhibits[0]

    monkeypatch.delenv("CODE_CHECKOUT", raising=False)
    assert (said().says, said().lacking) == ("not here", (Lack("source", "code"),))
    monkeypatch.setenv("CODE_CHECKOUT", str(code))
    assert (said().says, said(found=False).says) == ("against", "for")
    (code / "train.py").write_text("try:\n    step()\nexcept ValueError:\n    pass\n", encoding="utf-8")
    assert (said().says, said(found=False).says) == ("for", "against")
    (code / "train.py").unlink()
    assert said().says == "open"


# --- what it takes --------------------------------------------------------------------------------------------------

A10 = {"gpu": "NVIDIA A10", "cuda": "11.3"}


@pytest.mark.parametrize(
    ("where", "observed", "lacking"),
    [
        ({"gpu": "A10"}, A10, ()),
        ({"gpu": "A10"}, {"gpu": "NVIDIA A100-SXM4"}, (Lack("gpu", "A10"),)),
        ({"gpu": "A10"}, {}, (Lack("gpu", "A10"),)),
        ({"cuda": "11.3"}, A10, ()),
        ({"cuda": "11.3"}, {"cuda": "11.30"}, (Lack("cuda", "11.3"),)),
        ({"gpu": "A10", "cuda": "12.1"}, A10, (Lack("cuda", "12.1"),)),
        ({"packages": {"numpy": "1.26"}}, {}, ()),
        ({"packages": {"numpy": ""}}, {}, ()),
        ({"packages": {"torchaudio": "0.10"}}, {}, (Lack("package", "torchaudio 0.10"),)),
        ({"data": "coco"}, {}, (Lack("data", "coco"),)),
        ({"device": "cuda"}, {}, (Lack("device", "cuda"),)),
        ({"image_size": 640}, {}, ()),
        ({"hours": 72}, {}, ()),
    ],
)
def test_what_it_takes_is_here_if_a_run_observed_it(folder: Make, where: Any, observed: Any, lacking: Any) -> None:
    results = folder(["1.10.0"], rounds=1)
    results.keep("1.10.0", 0, environment=environment(**observed))
    found = judged(results, evidence=[piece("takes", where=where, run="go")])
    (exhibit,) = found.exhibits
    assert exhibit.lacking == lacking
    assert found.outcome == ("not testable here" if lacking else "open")
    assert found.runs == ("go",)


def test_what_it_takes_has_to_be_there_in_one_run(folder: Make) -> None:
    results = folder(PINS, rounds=1)
    results.keep("1.10.0", 0, environment=environment(cuda="11.3"))
    results.keep("1.12.1", 0, environment=environment(gpu="NVIDIA A10"))
    (exhibit,) = judged(results, evidence=[piece("takes", where={"gpu": "A10", "cuda": "11.3"}, run="go")]).exhibits
    assert exhibit.lacking == (Lack("gpu", "A10"), Lack("cuda", "11.3"))


@pytest.mark.parametrize(
    ("where", "expected"),
    [({"image_size": 64}, "for"), ({"image_size": 640}, "open"), ({"hours": 72}, "open"), ({"device": "cpu"}, "for")],
)
def test_runs_in_another_setting_tell_nothing(folder: Make, where: Any, expected: str) -> None:
    results = checked(folder, "held")
    (exhibit,) = judged(results, evidence=[piece(**CHECK, where=where)]).exhibits
    assert exhibit.says == expected
    if expected == "open":
        assert exhibit.witnesses[0].shown == OtherSetting(msgspec.convert(where, Where))


def test_a_setting_that_nothing_here_has_makes_it_not_testable_and_one_that_has_it_tells(folder: Make) -> None:
    asked = piece(**CHECK, where={"data": "coco"})
    assert judged(checked(folder, "held"), evidence=[asked]).outcome == "not testable here"
    coco = Data(name="coco", digest="0" * 64)
    on_coco = {pin: {"data": coco} for pin in PINS}
    results = folder(PINS, rounds=1, cases=["resume"], name="coco", copies=on_coco)
    for pin in PINS:
        results.keep(pin, 0, "resume", metrics=[], checks=[check()])
    assert judged(results, evidence=[asked]).outcome == "reproduced"


# --- several folders ------------------------------------------------------------------------------------------------


def test_each_piece_takes_its_evidence_from_the_folders_that_have_it(folder: Make) -> None:
    one = checked(folder, "held", name="one")
    other = folder(["1.10.0"], rounds=1, name="other")
    other.keep("1.10.0", 0, environment=environment(cuda="12.1"))
    pieces = [piece(**CHECK), piece("environment", pins=["1.10.0"], of="cuda", version=r"12\.1")]
    found = judged(other, evidence=pieces)
    assert (found.outcome, [exhibit.says for exhibit in found.exhibits]) == ("open", ["open", "for"])
    found = judged(one, other, evidence=pieces)
    assert [[each.folder for each in exhibit.witnesses] for exhibit in found.exhibits] == [
        [str(one.path)],
        [str(one.path), str(other.path)],
    ]
    assert [exhibit.says for exhibit in found.exhibits] == ["for", "disagree"]  # the other one has no CUDA


def test_folders_that_disagree_are_both_shown_and_decide_nothing(folder: Make, declare: Declare) -> None:
    one = probed(folder, declare, of(3.0), of(3.0), name="one")
    other = probed(folder, declare, of(3.0), of(2.0), name="other")
    change(other, ended="later")  # else they would be the same runs
    found = judged(one, other, evidence=[piece(**PRINT, same=True)])
    assert (found.outcome, found.disagree) == ("open", True)
    assert [each.says for each in found.exhibits[0].witnesses] == ["for", "against"]
    assert not judged(one, evidence=[piece(**PRINT, same=True)]).disagree


def test_a_build_counts_as_its_version(folder: Make) -> None:
    results = folder(["1.10.0+cu113"], rounds=1)
    results.keep("1.10.0+cu113", 0, environment=environment(cuda="11.3"))
    assert says(results, kind="environment", pins=["1.10.0"], of="cuda", version=r"11\.3") == "for"


def test_a_pin_that_was_not_run_leaves_it_open_unless_another_one_speaks_against_it(folder: Make) -> None:
    asked = {**CHECK, "pins": [*PINS, "1.13.1"]}
    assert says(checked(folder, "held"), **asked) == "open"
    assert says(checked(folder, "failed"), **asked) == "against"


def test_where_there_are_no_records_the_command_is_told_that_makes_them(folder: Make) -> None:
    results = folder(["1.10.0", TWIN], rounds=1)
    found = judged(results, evidence=[piece(**CHECK), piece(**CHECK, decides=False)])
    assert (found.outcome, found.runs) == ("open", ("nox -s matrix -- --case resume --pins 1.10.0 1.12.1",))
    assert judged(results, evidence=[piece(**CHECK, run="do it")]).runs == ("do it",)
    asked = {"kind": "finding", "case": "train", "metric": "step_time", "pins": ["1.13.1"], "most": 0.0}
    asked_of_another = judged(results, evidence=[piece(**asked, against="1.12.1")])
    assert asked_of_another.runs == ("nox -s matrix -- --case train --pins 1.12.1 1.13.1",)


# --- what follows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "said", "outcome"),
    [
        ("all", ["for", "for"], "reproduced"),
        ("all", ["for", "consistent", "met"], "reproduced"),
        ("all", ["for", "open"], "open"),
        ("all", ["for", "not here"], "not testable here"),
        ("all", ["for", "against", "inconsistent", "not here"], "refuted"),
        ("all", ["for", "inconsistent", "not here"], "inconsistent with itself"),
        ("all", ["for", "disagree"], "open"),
        ("all", ["consistent"], "open"),
        ("all", ["met"], "open"),
        ("any", ["for", "against"], "reproduced"),
        ("any", ["against", "against"], "refuted"),
        ("any", ["against", "open"], "open"),
        ("any", ["against", "not here"], "not testable here"),
        ("any", ["against", "inconsistent"], "inconsistent with itself"),
    ],
)
def test_the_outcome_follows_from_what_all_pieces_say(needs: str, said: list[Says], outcome: str) -> None:
    counting = piece("takes", where={"gpu": "A10"}, run="go")
    beside = piece("takes", where={"gpu": "A10"}, run="go", decides=False)
    claim = Claim(claim="x", how="y", evidence=[counting], needs=needs)  # type: ignore[arg-type]
    exhibits = [Exhibit(counting, one) for one in said]
    assert outcome_of(claim, exhibits) == outcome
    shown = [Exhibit(beside, one) for one in ("for", "against", "inconsistent", "not here")]
    assert outcome_of(claim, [*exhibits, *shown]) == outcome  # type: ignore[list-item]


def test_without_claims_there_is_no_ledger(folder: Make) -> None:
    assert judged_claims(Claims(), folder().judgement().machines) == []
