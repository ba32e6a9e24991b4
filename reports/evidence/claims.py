"""What is claimed, and by what evidence it is judged: `cases/claims.toml`, whose head describes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Optional, Union

from msgspec import Meta

from harness.core.cases import case_names, read_case
from harness.core.declaration import Case, Combination
from harness.core.errors import UsageError
from harness.core.files import ROOT, read_toml
from harness.core.settings import Positive, Strict
from reports.evidence.arithmetic import compare

CLAIMS = ROOT / "cases" / "claims.toml"

Text = Annotated[str, Meta(min_length=1)]
Place = Union[float, str]
Values = dict[str, Union[Place, list[Place]]]


class Where(Strict, frozen=True):
    """What a run has to be like for it to tell anything of a claim; nothing that is not named matters."""

    device: Literal["", "cpu", "cuda"] = ""
    gpu: str = ""
    """A word of the GPU's name, such as A10."""
    cuda: str = ""
    """The beginning of the version of CUDA that torch was built for."""
    packages: dict[str, str] = {}
    """What its environment has to have: by name the beginning of the version."""
    data: str = ""
    """A part of the data set's name."""
    image_size: Optional[Positive] = None
    hours: float = 0.0
    """What its settings have at least."""


class Piece(Strict, frozen=True, kw_only=True, tag_field="kind"):
    """One piece of the evidence for or against a claim."""

    where: Where = Where()
    decides: bool = True
    """Whether it counts; what does not is shown beside."""
    run: str = ""
    """What would have to be run or done where it tells nothing, in place of what follows from it."""


class OnRecords(Piece, frozen=True, kw_only=True):
    """One that rests on records of these pins."""

    pins: Annotated[list[Text], Meta(min_length=1)]


class OnCase(OnRecords, frozen=True, kw_only=True):
    """One that rests on what runs of a case left."""

    case: str


class OnCheck(OnCase, frozen=True, kw_only=True, tag="check"):
    """The claim says that a check holds on these pins, or with `holds = false` that it fails on all of them."""

    check: str
    """As records have it, with the part or combination that it is on."""
    holds: bool = True
    said: str = ""
    """A pattern: runs that said something else of the check tell nothing."""


class OnFinding(OnCase, frozen=True, kw_only=True, tag="finding"):
    """The claim says how far these pins are from another one, the baseline, in a metric: between `least` and `most`, as
    shares where the metric is compared as a ratio (0.03: 3 % more), else in its unit."""

    metric: str
    at: Combination = {}
    against: str
    least: Optional[float] = None
    most: Optional[float] = None


class OnMetric(OnCase, frozen=True, kw_only=True, tag="metric"):
    """The claim says what a metric is on these pins, in every run: between `least` and `most`, in its unit."""

    metric: str
    at: Combination = {}
    least: Optional[float] = None
    most: Optional[float] = None


class OnFingerprint(OnCase, frozen=True, kw_only=True, tag="fingerprint"):
    """The claim says that a fingerprint, such as a probe, is the same on two pins, or not; or what some of its values
    are on all of these pins; or that runs of these pins cannot come to one."""

    fingerprint: str
    same: Optional[bool] = None
    values: Values = {}
    """By name."""
    unable: str = ""
    """A pattern that the reason has why they cannot."""


class OnEnvironment(OnRecords, frozen=True, kw_only=True, tag="environment"):
    """The claim says which version of something these pins have: a pattern that all of it matches."""

    of: str
    """python, torch, torchvision, cuda, or the name of a package."""
    version: Text


class OnRuns(OnCase, frozen=True, kw_only=True, tag="runs"):
    """The claim says that runs of a case end well on these pins, or with `ended = false` that none does."""

    ended: bool = True


class OnArithmetic(Piece, frozen=True, kw_only=True, tag="arithmetic"):
    """What the claim says has to be so among its own numbers. They are written as they are given, as their digits tell
    how they were rounded."""

    numbers: Annotated[dict[str, str], Meta(min_length=1)]
    holds: str


class OnSource(Piece, frozen=True, kw_only=True, tag="source"):
    """The claim says that a pattern is found in files of somebody's code, or with `found = false` that it is not. An
    empty pattern: that there are such files."""

    source: str
    what: Text
    """What the pattern stands for, in words."""
    files: Annotated[list[Text], Meta(min_length=1)]
    pattern: str = ""
    found: bool = True


class Taking(Piece, frozen=True, kw_only=True, tag="takes"):
    """What it takes to test the claim: `where`. Where a run was observed to have it, there is still `run` to be done;
    else the claim cannot be tested here."""


Evidence = Union[
    OnCheck, OnFinding, OnMetric, OnFingerprint, OnEnvironment, OnRuns, OnArithmetic, OnSource, Taking
]  # fmt: skip


class Claim(Strict, frozen=True):
    """One entry."""

    claim: Text
    """What is said, in our words."""
    how: Text
    """How it is tested, as a sentence."""
    evidence: Annotated[list[Evidence], Meta(min_length=1)]
    needs: Literal["all", "any"] = "all"
    """Whether all that counts has to bear the claim out for it to be reproduced, and any against it refutes it; or any,
    and all."""


class Source(Strict, frozen=True):
    """Somebody's code: where it is from, and the environment variable that names a checkout of it."""

    address: Text
    variable: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]*$")]


class Claims(Strict, frozen=True):
    """The whole of claims.toml."""

    claims: dict[str, Claim] = {}
    sources: dict[str, Source] = {}


def read_claims(path: Path = CLAIMS) -> Claims:
    """Decode claims.toml strictly; `UsageError` names the file, the claim and what is wrong."""
    claims = read_toml(path, "the file of claims", Claims)
    for name, claim in claims.claims.items():
        for number, piece in enumerate(claim.evidence, 1):
            problem = problem_of(piece, claims.sources)
            if problem:
                raise UsageError(f"{path}: piece {number} of the evidence of {name} {problem}.")
    return claims


def problem_of(piece: Evidence, sources: Mapping[str, Source]) -> str:
    """What is wrong with a piece that its type does not tell, as the end of a sentence; empty where nothing is."""
    return next(filter(None, problems_of(piece, sources)), "")


def problems_of(piece: Evidence, sources: Mapping[str, Source]) -> Iterator[str]:
    """All that is; what comes later rests on that nothing came before."""
    if isinstance(piece, OnCase):
        known = case_names()
        yield "" if piece.case in known else f"names the case {piece.case!r}, and cases/ has {', '.join(known)}"
        yield undeclared(piece, read_case(piece.case))
    if isinstance(piece, (OnFinding, OnMetric)):
        yield range_problem(piece)
    if isinstance(piece, OnFingerprint):
        yield fingerprint_problem(piece)
    if isinstance(piece, OnArithmetic):
        yield arithmetic_problem(piece)
    if isinstance(piece, OnSource) and piece.source not in sources:
        yield f"names the source {piece.source!r}, which is no table of [sources]"
    if isinstance(piece, Taking) and (piece.where == Where() or not piece.run):
        yield "has to say what it takes, in where, and what is then to be done, in run"
    yield pattern_problem(piece)


def undeclared(piece: OnCase, case: Case) -> str:
    """What a piece names that its case does not declare."""
    if isinstance(piece, OnCheck) and case.check(piece.check.partition("[")[0]) is None:
        return f"names the check {piece.check!r}, which {case.name} does not have"
    if isinstance(piece, (OnFinding, OnMetric)) and case.metric(piece.metric) is None:
        return f"names the metric {piece.metric!r}, which {case.name} does not have"
    if isinstance(piece, OnFingerprint) and case.fingerprint(piece.fingerprint) is None:
        return f"names the fingerprint {piece.fingerprint!r}, which {case.name} does not have"
    return ""


def range_problem(piece: OnFinding | OnMetric) -> str:
    """What is wrong with a range."""
    least, most = piece.least, piece.most
    if least is None and most is None:
        return "has to say at least or at most how much, in least or most"
    return "has a least above its most" if least is not None and most is not None and least > most else ""


def fingerprint_problem(piece: OnFingerprint) -> str:
    """What is wrong with what is said of a fingerprint."""
    if (piece.same is not None) + bool(piece.values) + bool(piece.unable) != 1:
        return "has to say one thing: whether two pins are the same, or values, or unable"
    return "has to name two pins that are the same or not" if piece.same is not None and len(piece.pins) != 2 else ""


def arithmetic_problem(piece: OnArithmetic) -> str:
    """What is wrong with an expression or its numbers."""
    try:
        compare(piece.holds, piece.numbers)
    except ValueError as error:
        return f"cannot be worked out: {error}"
    return ""


def pattern_problem(piece: Evidence) -> str:
    """What is wrong with a regular expression."""
    names = ("said", "version", "pattern", "unable")
    try:
        for pattern in filter(None, (getattr(piece, name, "") for name in names)):
            re.compile(pattern)
    except re.error as error:
        return f"has a pattern that cannot be used: {error}"
    return ""
