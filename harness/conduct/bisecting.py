"""`python -m harness.conduct bisect|ready`: begins the search for the release in which something changed, and makes
ready what has to be measured next. What that is, `reports.bisect` says."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from harness.conduct.alone import Say, alone_on_machine
from harness.conduct.arguments import Parser, folder_name, text_path, whole
from harness.conduct.environments import build
from harness.conduct.folder import sole_use
from harness.conduct.machine import choose_device
from harness.conduct.planning import MATRIX, known, plan
from harness.conduct.releases import keep_pin, releases_between, with_kept
from harness.conduct.request import Request
from harness.core.cases import all_cases, read_case
from harness.core.declaration import BySpread, Case, DeclaredMetric, applies, key_of, name_in
from harness.core.errors import UsageError
from harness.core.files import ROOT, write_atomically
from harness.core.matrix import MatrixFile, Profile, read_matrix
from harness.core.names import TWIN_ENDING
from harness.core.plan import ASKED_FILE, RESULTS, write_plan
from harness.core.policy import read_policy
from harness.core.search import (
    EVERY,
    SCHEMA,
    SEARCH_FILE,
    Kind,
    Search,
    Wanted,
    keep_search,
    keep_skipped,
    keep_twice,
    read_file,
    read_search,
    read_skipped,
    read_twice,
)

FOLDER = "bisect"
"""The folder in results/ that has those of all searches."""
USUAL_CASE = "train"
"""Taken where several cases have what is asked for."""
MOST_ROUNDS = 24


def parser() -> Parser:
    """The options of `nox -s bisect`, with what `--help` says of them."""
    parser = Parser(
        "nox -s bisect --",
        "Find the release in which a metric, check, fingerprint or probe changed. Locks and environments of the "
        "releases between are made as they are needed, and kept. Run again, it goes on.",
        "Exit codes: 0 answered; 2 bad usage or input, or an end that cannot be run; 130 interrupted.",
    )
    add = parser.add_argument
    add("--metric", "--check", "--fingerprint", "--probe", dest="what", metavar="NAME", required=True,
        help="what changed, by the name that its case declares: all four options mean the same")  # fmt: skip
    add("--from", dest="first", metavar="V", required=True, help="a release before the change")
    add("--to", dest="last", metavar="V", required=True, help="a later release, after it")
    add("--case", metavar="NAME", help="the case that tells it (default: the one that does; train, if several do)")
    add("--profile", metavar="NAME", help="how much is run (default: the first of matrix.toml that has the case)")
    add("--rounds", metavar="N", type=whole(1000), default=MOST_ROUNDS, help="of a metric: the most rounds of one "
        f"comparison; as many are run as it takes (default: {MOST_ROUNDS})")  # fmt: skip
    add("--fewest", action="store_true", help="of a check, fingerprint or probe: look at as few releases as possible, "
        "not at all of them; what changed and changed back between two of them is then missed")  # fmt: skip
    add("--data", metavar="PATH", type=text_path, help="as of nox -s matrix")
    add("--weights", metavar="FILE", type=text_path, help="as of nox -s matrix")
    add("--device", metavar="DEVICE", default="auto", help="auto, cpu or cuda:N (default: auto)")
    add("--threads", metavar="N", type=whole(os.cpu_count() or 1), default=1, help="as of nox -s matrix")
    add("--name", metavar="NAME", type=folder_name, help="folder in results/bisect/ (default: of what, from and to)")
    add("--handoff", type=Path, help=argparse.SUPPRESS)
    return parser


def bisect_command(arguments: Sequence[str]) -> None:
    """Begin a search, or take up the one that is there; with --handoff say in which folder it is."""
    asked = parser().read(arguments)
    search = search_of(asked)
    folder = RESULTS / search.name
    with sole_use(folder):
        there = read_search(folder) if (folder / SEARCH_FILE).exists() else None
        if there:
            search = replace(search, releases=there.releases)
            require_same(search, there, asked)
        else:
            search = replace(search, releases=releases_between(asked.first, asked.last))
            require_between(search.releases)
        keep_search(folder, search)
        keep_skipped(folder, {})  # what could not be had may be there now
        keep_twice(folder, [])  # and what failed may end well
    print(f"{search.what}, case {search.case}, profile {search.profile}: {len(search.releases)} releases from "
          f"{asked.first} to {asked.last}")  # fmt: skip
    if asked.handoff:
        write_atomically(asked.handoff, msgspec.json.encode({"results": str(folder)}))


def search_of(asked: argparse.Namespace) -> Search:
    """What is asked for, without the releases between; `UsageError` for what there is not or cannot be searched by."""
    matrix = read_matrix(MATRIX)
    case, kind = case_and_kind(asked.what, asked.case)
    profile = asked.profile or first_with(case.name, matrix)
    entry = known(matrix.profiles, profile, "profile", f"[profiles.*] of {MATRIX.relative_to(ROOT)}")
    require_told(asked.what, kind, case, entry, choose_device(asked.device)[0])
    if kind == "check":
        require_part(asked.what, case, (asked.first, asked.last))
    usual = re.sub(r"[^A-Za-z0-9._+]+", "-", asked.what).strip("-") + f"-{asked.first}-{asked.last}"
    return Search(
        schema=SCHEMA,
        name=f"{FOLDER}/{asked.name or usual}",
        what=asked.what,
        kind=kind,
        case=case.name,
        profile=profile,
        releases=[asked.first, "", asked.last],
        rounds=asked.rounds,
        every=kind != "metric" and not asked.fewest,
        device=asked.device,
        threads=asked.threads,
        data=str(asked.data.absolute()) if asked.data else None,
        weights=str(asked.weights.absolute()) if asked.weights else None,
    )


def require_same(search: Search, there: Search, asked: argparse.Namespace) -> None:
    """`UsageError` where a folder holds another search: its records would answer for this one."""
    free = {"rounds": search.rounds, "every": search.every}
    ends = [asked.first, asked.last] == [there.releases[0], there.releases[-1]]
    if replace(there, **free) != search or not ends:
        raise UsageError(
            f"{RESULTS / there.name} holds another search ({there.what} of {there.case} from {there.releases[0]} to "
            f"{there.releases[-1]}, profile {there.profile}): give this one a folder of its own with --name."
        )


def require_between(releases: Sequence[str]) -> None:
    """`UsageError` where there is nothing to search."""
    if len(releases) < 3:
        raise UsageError(
            f"There is no release between {releases[0]} and {releases[-1]}: compare the two with "
            f"`nox -s matrix -- --pins {' '.join(releases)}`."
        )


def case_and_kind(what: str, named: str | None) -> tuple[Case, Kind]:
    """The case that tells it, and what it is there; `UsageError` where none or several do."""
    cases = {named: read_case(named)} if named else all_cases()
    having = {name: kind for name, case in cases.items() if (kind := kind_in(case, what))}
    if not having:
        raise UsageError(*unknown(what, cases, named))
    name = USUAL_CASE if USUAL_CASE in having else next(iter(having))
    if len(having) > 1 and name != USUAL_CASE:
        raise UsageError(f"{what} is told by several cases: name one with --case: {', '.join(having)}.")
    return cases[name], having[name]


def kind_in(case: Case, what: str) -> Kind | None:
    """What that name is in a case; None where it has none of it."""
    if case.metric(name_in(what)):
        return "metric"
    return "check" if case.check(what) else "fingerprint" if case.fingerprint(what) else None


def unknown(what: str, cases: dict[str, Case], named: str | None) -> list[str]:
    """The sentence on a name that is not known, and by case those that are."""
    names = {name: list(dict.fromkeys(names_of(case))) for name, case in cases.items()}
    near = difflib.get_close_matches(what, [one for of_case in names.values() for one in of_case], 3)
    where = f"The case {named} declares" if named else "No case declares"
    hint = f" Near to it: {', '.join(dict.fromkeys(near))}." if near else ""
    no = "no" if named else "a"
    return [
        f"{where} {no} metric, check, fingerprint or probe {what!r}.{hint} Known are:",
        *(f"{name}: {', '.join(known)}" for name, known in names.items() if known),
    ]


def names_of(case: Case) -> list[str]:
    """What a case can be asked for."""
    return [
        *(one.name for one in case.metrics),
        *(one.name for one in case.checks),
        *(one.name for one in case.fingerprints),
    ]


def first_with(case: str, matrix: MatrixFile) -> str:
    """The first profile that has the case; `UsageError` where none has."""
    name = next((name for name, profile in matrix.profiles.items() if case in profile.cases), None)
    if name is None:
        raise UsageError(f"No profile of {MATRIX.relative_to(ROOT)} has the case {case}: name one with --profile.")
    return name


def require_told(what: str, kind: Kind, case: Case, profile: Profile, device: str) -> None:
    """`UsageError` for what a run on this device does not tell, or what no few runs of a release can."""
    metric, check = case.metric(name_in(what)), case.check(what)
    if kind == "metric" and metric:
        precision = "fp32" if device == "cpu" else profile.train_of(case.name).precision
        if not applies(metric.applies, device, precision):
            raise UsageError(f"{metric.name} is not measured by {case.name} on {device} in {precision}.")
        if metric.spread_of:
            raise UsageError(f"{metric.name} is the spread of many runs: search by {metric.spread_of}.")
        require_combination(what, metric, case, profile)
    elif kind == "check" and check:
        if isinstance(check.judged, BySpread):
            raise UsageError(f"{check.name} is judged by the spread of many runs: search by {check.judged.metric}.")
        precision = "fp32" if device == "cpu" else profile.train_of(case.name).precision
        if not check.concerns(device, precision, msgspec.to_builtins(profile.settings_of(case.name))):
            raise UsageError(f"{check.name} is not made by {case.name} on {device} with the settings of that profile.")


def require_part(what: str, case: Case, ends: tuple[str, str]) -> None:
    """`UsageError` where runs make a check by part, and this names none, or one that not all of them make."""
    name, _, part = what.partition(":")
    check = case.check(name)
    if check and bool(part) != ("{part}" in check.title):
        of_part = f"by part: name one, {name}:PART" if not part else f"as a whole: leave out :{part}"
        raise UsageError(f"{name} is told {of_part}.")
    if check and part and case.peers and part not in ends:
        either = " or ".join(f"{name}:{end}" for end in ends)
        raise UsageError(f"{name} is told of what one release has written, here one of the ends: name {either}.")


def require_combination(what: str, metric: DeclaredMetric, case: Case, profile: Profile) -> None:
    """`UsageError` where a metric has several values, and this is none of them."""
    settings = msgspec.to_builtins(profile.settings_of(case.name)) or {}
    keys = [key_of(metric.name, at) for at in case.combinations(settings, metric.by)] if metric.by else [metric.name]
    if what not in keys:
        raise UsageError(f"{metric.name} has these values in that profile, name one of them: {', '.join(keys)}.")


# --- what is to be measured ---------------------------------------------------------------------------------------


def ready_command(arguments: Sequence[str], say: Say) -> None:
    """Make locks and environments of the releases that are wanted, and plan their runs; with --handoff say where, if
    there is anything to run. A release that cannot be had is noted, and left out of the search."""
    parser = Parser("python -m harness.conduct ready", "Make ready what a search wants measured.")
    parser.add_argument("folder", type=Path, help="that of the search")
    parser.add_argument("wanted", type=Path, help="what reports.bisect left")
    parser.add_argument("--handoff", type=Path, help="a file for the results folder to run")
    asked = parser.read(arguments)
    search, wanted = read_search(asked.folder), read_file(asked.wanted, Wanted)
    with alone_on_machine(f"building environments in {ROOT}", say):
        had, lacking = have(wanted.pins, say)
    keep_skipped(asked.folder, {**read_skipped(asked.folder), **lacking})
    for pin in (search.releases[0], search.releases[-1]):
        if pin in lacking:
            raise UsageError(f"The end {pin} of the search cannot be had here. {lacking[pin]}")
    needed = wanted.pins[:1] if wanted.name == EVERY else wanted.pins
    if len(had) > 1 and set(needed) <= set(had):
        made = plan_wanted(search, wanted, had)
        if wanted.again:
            print(f"What failed in {made} is done a second time.")
            keep_twice(asked.folder, [*read_twice(asked.folder), wanted.name])
        if asked.handoff:
            write_atomically(asked.handoff, msgspec.json.encode({"results": str(made)}))


def have(pins: Sequence[str], say: Say) -> tuple[list[str], dict[str, str]]:
    """Make what locks and environments lack: the releases whose environments are there, and why others are not."""
    had, lacking = [], {}
    matrix = read_matrix(MATRIX)
    for place, pin in enumerate(pins):
        try:
            keep_pin(pin, matrix)
            for environment in [pin] if place else [pin, pin + TWIN_ENDING]:
                build(environment, with_kept(matrix), say)
            had.append(pin)
        except UsageError as error:
            lacking[pin] = str(error)
            say(f"{pin} is left out: {error}")
    return had, lacking


def plan_wanted(search: Search, wanted: Wanted, pins: Sequence[str]) -> Path:
    """Plan the runs of these releases: the results folder that has the plan."""
    request = Request(
        profile=search.profile,
        pins=tuple(pins),
        cases=(search.case,),
        rounds=wanted.rounds or None,
        data=Path(search.data) if search.data else None,
        weights=Path(search.weights) if search.weights else None,
        device=search.device,
        threads=search.threads,
        name=f"{search.name}/{wanted.name}",
    )
    made = plan(request, with_kept(read_matrix(MATRIX)), read_policy())
    with sole_use(RESULTS / made.name):
        write_plan(RESULTS / made.name / ASKED_FILE, made)
    print(f"{', '.join(pins)}: {len(made.runs)} runs in {made.rounds} round(s)")
    return RESULTS / made.name
