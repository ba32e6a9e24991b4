"""The file of claims: what may stand in it, and how a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from reports.evidence.claims import Claims, OnCheck, OnFingerprint, read_claims

HEAD = '[sources.code]\naddress = "https://example.org/code"\nvariable = "CODE_CHECKOUT"\n'
CLAIM = '[claims.X1]\nclaim = "It leaks"\nhow = "A soak."\nevidence = [{ %s }]\n'
CHECK = 'kind = "check", case = "soak", check = "leak_rss", pins = ["1.10.0"]'
FINDING = 'kind = "finding", case = "train", metric = "step_time", pins = ["1.12.1"], against = "1.10.0"'
PRINT = 'kind = "fingerprint", case = "probes", fingerprint = "hook_order", pins = ["1.10.0", "1.12.1"]'
SUM = 'kind = "arithmetic", numbers = { a = "1.0" }'
SOURCE = 'kind = "source", source = "code", what = "a loop", files = ["*.py"]'


def read(path: Path, evidence: str, more: str = "") -> Claims:
    file = path / "claims.toml"
    file.write_text(HEAD + CLAIM % evidence + more, encoding="utf-8")
    return read_claims(file)


def test_the_projects_claims_can_be_read() -> None:
    claims = read_claims()
    assert len(claims.claims) >= 29
    assert all(one.evidence for one in claims.claims.values())


def test_a_claim_of_ones_own_needs_an_entry_and_no_code(tmp_path: Path) -> None:
    (claim,) = read(tmp_path, CHECK).claims.values()
    assert (claim.claim, claim.needs) == ("It leaks", "all")
    assert claim.evidence == [OnCheck(case="soak", check="leak_rss", pins=["1.10.0"])]
    (probe,) = read(tmp_path, PRINT + ", same = false").claims["X1"].evidence
    assert isinstance(probe, OnFingerprint)
    assert probe.same is False


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ("", "evidence"),
        ('kind = "chek", case = "soak", check = "leak_rss", pins = ["1.10.0"]', "chek"),
        (CHECK + ", hold = true", "hold"),
        (CHECK.replace('"1.10.0"', ""), "pins"),
        (CHECK + ', where = { gpus = "A10" }', "gpus"),
        (CHECK.replace("soak", "soka"), "piece 1 of the evidence of X1 names the case 'soka', and cases/ has "),
        (CHECK.replace("leak_rss", "leaks"), "names the check 'leaks', which soak does not have"),
        (CHECK + ', said = "("', "has a pattern that cannot be used"),
        (FINDING, "has to say at least or at most how much"),
        (FINDING + ", least = 0.1, most = 0.0", "has a least above its most"),
        (FINDING.replace("step_time", "pace") + ", least = 0.1", "names the metric 'pace', which train does not have"),
        (PRINT, "has to say one thing"),
        (PRINT + ", same = true, values = { a = 1 }", "has to say one thing"),
        (PRINT.replace(', "1.12.1"', "") + ", same = true", "has to name two pins"),
        (PRINT.replace("hook_order", "hooks") + ", same = true", "names the fingerprint 'hooks', which probes does"),
        (SUM + ', holds = "b == 1"', "cannot be worked out: 'b' is none of its numbers"),
        (SUM.replace('"1.0"', "1.0") + ', holds = "a == 1"', "numbers"),
        (SOURCE.replace('"code"', '"cod"'), "names the source 'cod', which is no table of [sources]"),
        (SOURCE + ', pattern = "["', "has a pattern that cannot be used"),
        ('kind = "takes"', "has to say what it takes"),
        ('kind = "takes", where = { gpu = "A10" }', "has to say what it takes"),
    ],
)
def test_a_mistake_is_told_with_file_claim_and_what_is_wrong(tmp_path: Path, evidence: str, said: str) -> None:
    with pytest.raises(UsageError) as problem:
        read(tmp_path, evidence)
    text = str(problem.value)
    assert str(tmp_path / "claims.toml") in text
    assert said in text
    assert "\n" not in text


def test_a_key_that_there_is_not_is_told_with_its_claim(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"claims\.toml: .*outcome.*X1"):
        read(tmp_path, CHECK, 'outcome = "refuted"\n')
