"""What a search says of the folders that it was given: what is wanted next, what was found, what speaks against it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from results_folder import Folder, metric, policy

from harness.core.cases import read_case
from harness.core.record import Fingerprint
from harness.core.search import SCHEMA, Search, Wanted, keep_search, keep_skipped
from harness.core.spec import TWIN
from reports.bisect import REPORT, main
from reports.judge.search import Progress, read_progress
from reports.show.bisection import bisection_in_words

RELEASES = ["1.10.0", "1.10.1", "1.11.0", "1.12.0", "1.12.1", "1.13.0", "1.13.1"]
PROBE = read_case("probes").fingerprints[0].name
WOBBLE = (0.0, 0.0004, -0.0003, 0.0001, -0.0002, 0.0003)
"""By how much values of equal pins are off, as shares."""
Make = Callable[..., "Releases"]


@dataclass
class Releases:
    """Releases whose values are known, measured as a search wants it."""

    folder: Path
    search: Search
    values: Mapping[str, float | str]
    fails: Sequence[str] = ()
    measured: list[Wanted] = field(default_factory=list)

    def progress(self) -> Progress:
        return read_progress(self.folder, policy())

    def measure(self, wanted: Wanted) -> None:
        """Leave the records of what is wanted, in place of those that are there."""
        self.measured.append(wanted)
        pins = [wanted.pins[0], TWIN, *wanted.pins[1:]]
        into = self.folder / wanted.name
        shutil.rmtree(into, ignore_errors=True)
        made = Folder(into, pins, wanted.rounds or 2, cases=[self.search.case])
        for index in range(made.rounds):
            for place, pin in enumerate(pins):
                release = wanted.pins[0] if pin == TWIN else pin
                value = self.values[release]
                if release in self.fails:
                    made.fail(pin, index, case=self.search.case)
                elif isinstance(value, str):
                    prints = [Fingerprint(self.search.what, [value], ["it"])]
                    made.keep(pin, index, self.search.case, metrics=[], fingerprints=prints)
                else:
                    samples = [value * (1 + WOBBLE[(index + 2 * place + part) % 6]) for part in (0, 3)]
                    made.keep(pin, index, self.search.case, metrics=[metric(self.search.what, "bytes", *samples)])

    def all(self) -> Progress:
        """The search until its end."""
        while wanted := (progress := self.progress()).wanted:
            self.measure(wanted)
        return progress

    def text(self) -> str:
        return "\n".join(bisection_in_words(self.progress()))


@pytest.fixture
def releases(tmp_path: Path) -> Make:
    def make(*values: float | str, every: bool = False, fails: Sequence[str] = (), **changes: object) -> Releases:
        of_probe = isinstance(values[0], str)
        search = Search(
            schema=SCHEMA,
            name="bisect/it",
            what=PROBE if of_probe else "peak_rss",
            kind="fingerprint" if of_probe else "metric",
            case="probes" if of_probe else "train",
            profile="smoke",
            releases=RELEASES,
            rounds=6,
            every=every,
            device="cpu",
            threads=1,
        )
        keep_search(tmp_path, msgspec.structs.replace(search, **changes))
        return Releases(tmp_path, search, dict(zip(RELEASES, values, strict=True)), fails)

    return make


def test_first_the_ends_are_wanted_for_as_many_rounds_as_tell_the_noise(releases: Make) -> None:
    assert releases(*[400.0] * 7).progress().wanted == Wanted("ends", ["1.10.0", "1.13.1"], 3)


def test_the_release_of_a_step_is_found_with_few_of_them_and_its_neighbours_compared(releases: Make) -> None:
    made = releases(400.0, 400.0, 400.0, 400.0, 420.0, 420.0, 420.0)
    found = made.all()
    assert found.course is not None
    assert (RELEASES[found.course.low], RELEASES[found.course.high]) == ("1.12.0", "1.12.1")
    assert {one.name for one in made.measured} == {"ends", "1.12.0", "1.12.1", "neighbours"}
    text = made.text()
    assert "It changed with 1.12.1." in text
    assert "1.12.1 against 1.12.0, side by side: +5.0 %" in text
    assert "https://github.com/pytorch/pytorch/releases/tag/v1.12.1" in text
    assert "1.10.1  not tried" in text
    assert "!" not in text


def test_ends_that_do_not_differ_are_said_to_show_no_difference_after_the_most_rounds(releases: Make) -> None:
    made = releases(*[400.0] * 7)
    found = made.all()
    assert found.course is not None
    assert (found.course.ends.answer, found.course.ends.rounds) == ("open", 6)
    assert "1.10.0 and 1.13.1 show no clear difference" in made.text()


def test_a_release_on_the_level_of_neither_end_is_warned_of(releases: Make) -> None:
    made = releases(400.0, 400.0, 400.0, 408.0, 420.0, 420.0, 420.0)
    made.all()
    text = made.text()
    assert "! 1.12.0 is on the level of neither end, at +2.0 %" in text
    assert "apart than the ends: it changed elsewhere too" in text
    assert "--from 1.10.0 --to 1.12.0, and --from 1.12.1 --to 1.13.1" in text


def test_a_release_whose_runs_fail_is_passed_over_and_named(releases: Make) -> None:
    made = releases(400.0, 400.0, 400.0, 400.0, 420.0, 420.0, 420.0, fails=["1.12.0"])
    made.all()
    text = made.text()
    assert "It changed after 1.11.0 and no later than with 1.12.1: 1.12.0 between them told nothing." in text
    assert "! 1.12.0 is left out: The process was ended by SIGKILL." in text


def test_a_release_that_could_not_be_had_is_not_asked_for(releases: Make) -> None:
    made = releases(400.0, 400.0, 400.0, 400.0, 420.0, 420.0, 420.0)
    keep_skipped(made.folder, {"1.12.0": "No lock for torch 1.12.0 could be made."})
    made.all()
    assert "1.12.0" not in {name for one in made.measured for name in one.pins}
    assert "1.12.0 is left out: No lock for torch 1.12.0 could be made." in made.text()


def test_a_search_that_was_cut_short_anywhere_goes_on_and_ends_alike(releases: Make) -> None:
    values = (400.0, 400.0, 400.0, 400.0, 420.0, 420.0, 420.0)
    whole = releases(*values)
    told = whole.all()
    for stop in range(1, len(whole.measured)):
        shutil.rmtree(whole.folder)
        again = releases(*values)
        for _ in range(stop):
            again.measure(again.progress().wanted)  # type: ignore[arg-type]
        assert again.progress().wanted == whole.measured[stop]
        assert again.all().course == told.course


@pytest.mark.parametrize("values", [(400.0,) * 4 + (420.0,) * 3, ("a",) * 3 + ("b",) * 4])
def test_what_was_killed_in_the_middle_of_its_runs_is_wanted_again(
    releases: Make, values: Sequence[float | str]
) -> None:
    for every in (False, True) if isinstance(values[0], str) else (False,):
        made = releases(*values, every=every)
        first = made.progress().wanted
        assert first is not None
        made.measure(first)
        assert made.progress().wanted != first
        (made.folder / first.name / "runs" / made.search.case / "A-A" / "1.json").unlink()
        again = made.progress().wanted
        assert again == first
        shutil.rmtree(made.folder / first.name)


def test_of_a_probe_all_releases_are_looked_at_side_by_side(releases: Make) -> None:
    made = releases("a", "a", "a", "b", "b", "b", "b", every=True)
    assert made.progress().wanted == Wanted("every", RELEASES, 0)
    found = made.all()
    assert [(one.before, one.after) for one in found.changes] == [("1.11.0", "1.12.0")]
    assert "It changed with 1.12.0" in made.text()


def test_a_probe_that_changed_in_one_release_only_and_back_is_found(releases: Make) -> None:
    made = releases("a", "a", "a", "b", "a", "a", "a", every=True)
    found = made.all()
    assert [(one.before, one.after) for one in found.changes] == [("1.11.0", "1.12.0"), ("1.12.0", "1.12.1")]
    text = made.text()
    assert "It changed and changed back: 1.10.0 and 1.13.1 have the same value." in text
    assert "  it: a → b" in text
    assert "1.12.0    b\n1.12.1  a\n" in text


def test_a_probe_is_halved_where_few_releases_are_wanted_and_what_that_may_miss_is_said(releases: Make) -> None:
    made = releases("a", "a", "a", "a", "a", "b", "b")
    found = made.all()
    assert [(one.before, one.after) for one in found.changes] == [("1.12.1", "1.13.0")]
    assert len({name for one in made.measured for name in one.pins}) < len(RELEASES)
    assert "what changed and changed back between two of them is not seen" in made.text()


def test_a_probe_whose_runs_come_to_different_values_is_warned_of(releases: Make) -> None:
    made = releases("a", "a", "a", "b", "b", "b", "b", every=True)
    made.all()
    other = Folder(made.folder / "every", ["1.10.0", TWIN, *RELEASES[1:]], 2, cases=["probes"])
    other.keep("1.11.0", 1, "probes", metrics=[], fingerprints=[Fingerprint(PROBE, ["c"], ["it"])])
    assert "! Two runs of 1.11.0 came to different values" in made.text()


def test_the_program_leaves_what_is_wanted_and_at_the_end_the_report(
    releases: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = releases("a", "a", "a", "b", "b", "b", "b", every=True)
    left = tmp_path / "next.json"
    assert main([str(made.folder), "--next", str(left)]) == 0
    assert msgspec.json.decode(left.read_bytes(), type=Wanted).name == "every"
    left.unlink()
    made.all()
    assert main([str(made.folder), "--next", str(left)]) == 0
    assert not left.exists()
    assert "It changed with 1.12.0" in capsys.readouterr().out
    report = (made.folder / REPORT).read_text(encoding="utf-8")
    assert "```\n1.10.0  a\n" in report


def test_an_end_that_cannot_be_run_ends_the_search_with_one_sentence(
    releases: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = releases(*[400.0] * 7, fails=["1.13.1"])
    made.all()
    assert main([str(made.folder), "--next", str(tmp_path / "next.json")]) == 2
    assert "error: The search has no end. 1.13.1 is left out: The process was ended" in capsys.readouterr().err
