"""What a search says of the folders that it was given: what is wanted next, what was found, what speaks against it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from results_folder import Folder, check, metric, policy

from harness.core.cases import read_case
from harness.core.plan import PLAN_FILE, read_plan, write_plan
from harness.core.record import Fingerprint
from harness.core.search import SCHEMA, Search, Wanted, keep_search, keep_skipped, keep_twice, read_twice
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
    fails_once: Sequence[str] = ()
    """Those whose runs fail on the first try only."""
    why: str = "The process was ended by SIGKILL."
    measured: list[Wanted] = field(default_factory=list)

    def progress(self) -> Progress:
        return read_progress(self.folder, policy())

    def measure(self, wanted: Wanted) -> None:
        """Leave the records of what is wanted, in place of those that are there."""
        self.measured.append(wanted)
        if wanted.again:
            keep_twice(self.folder, [*read_twice(self.folder), wanted.name])
        pins = [wanted.pins[0], TWIN, *wanted.pins[1:]]
        into = self.folder / wanted.name
        shutil.rmtree(into, ignore_errors=True)
        made = Folder(into, pins, wanted.rounds or 2, cases=[self.search.case])
        for index in range(made.rounds):
            for place, pin in enumerate(pins):
                release = wanted.pins[0] if pin == TWIN else pin
                value = self.values[release]
                if release in self.fails or (release in self.fails_once and not wanted.again):
                    made.fail(pin, index, self.why, case=self.search.case)
                elif self.search.kind == "check":
                    outcome = str(value).split()[index % len(str(value).split())]
                    checks = [check(outcome, f"seen to be {outcome}", self.search.what)]
                    made.keep(pin, index, self.search.case, metrics=[], checks=checks)
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
    def make(
        *values: float | str,
        every: bool = False,
        fails: Sequence[str] = (),
        fails_once: Sequence[str] = (),
        **changes: object,
    ) -> Releases:
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
        search = msgspec.structs.replace(search, **changes)
        keep_search(tmp_path, search)
        return Releases(tmp_path, search, dict(zip(RELEASES, values, strict=True)), fails, fails_once)

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


@pytest.mark.parametrize("end", ["1.10.0", "1.13.1"])
def test_an_end_that_cannot_be_run_ends_the_search_with_one_sentence(
    releases: Make, end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = releases(*[400.0] * 7, fails=[end])
    made.all()
    assert main([str(made.folder), "--next", str(tmp_path / "next.json")]) == 2
    assert f"error: The search has no end. {end} is left out: The process was ended" in capsys.readouterr().err


# --- runs that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "folders"), [(True, ["every"]), (False, ["1.12.0", "neighbours"])])
def test_what_failed_at_first_is_done_a_second_time_and_tells(
    releases: Make, every: bool, folders: Sequence[str]
) -> None:
    values = ("a", "a", "a", "a", "b", "b", "b")
    made = releases(*values, every=every, fails_once=["1.12.0"])
    made.all()
    assert [one.name for one in made.measured if one.again] == folders
    assert "It changed with 1.12.1" in made.text()
    assert "left out" not in made.text()


def test_of_a_metric_the_second_try_has_no_more_rounds(releases: Make) -> None:
    made = releases(400.0, 400.0, 400.0, 400.0, 420.0, 420.0, 420.0, fails_once=["1.12.0"])
    made.all()
    first = next(place for place, one in enumerate(made.measured) if one.name == "1.12.0")
    tried = made.measured[first : first + 2]
    pins = ["1.10.0", "1.12.0", "1.13.1"]
    assert tried == [Wanted("1.12.0", pins, 1), Wanted("1.12.0", pins, 1, again=True)]
    assert "It changed with 1.12.1." in made.text()


def test_what_fails_again_is_not_tried_a_third_time_and_told_to_fail_every_time(releases: Make) -> None:
    made = releases(400.0, 400.0, 400.0, 400.0, 420.0, 420.0, 420.0, fails=["1.12.0"])
    made.all()
    assert [one.again for one in made.measured if one.name == "1.12.0"] == [False, True]
    assert "1.12.0 is left out: The process was ended by SIGKILL. All its runs failed, on a second try" in made.text()


def test_a_release_beside_which_another_one_fails_is_not_said_to_fail_itself(releases: Make) -> None:
    made = releases(400.0, 400.0, 400.0, 400.0, 420.0, 420.0, 420.0)
    made.measure(made.progress().wanted)  # type: ignore[arg-type]
    made.fails = ["1.13.1"]
    made.all()
    assert "! 1.12.0 is left out: 1.13.1 failed beside it: The process was ended by SIGKILL." in made.text()


# --- checks -------------------------------------------------------------------------------------------------------

HELD, FAILED, OPEN = "held", "failed", "open"


@pytest.fixture
def checked(releases: Make) -> Make:
    """Releases that come to these outcomes; of one whose runs come to several: `held failed`, a round each."""

    def make(*outcomes: str, every: bool = True, **changes: object) -> Releases:
        return releases(*outcomes, every=every, kind="check", case="audit", what="unmixed", **changes)

    return make


def test_of_a_check_all_releases_are_looked_at_and_what_was_seen_is_told(checked: Make) -> None:
    made = checked(HELD, HELD, HELD, FAILED, FAILED, FAILED, FAILED)
    made.all()
    assert made.measured == [Wanted("every", RELEASES, 0)]
    text = made.text()
    assert "It changed with 1.12.0: held in 2 of 2 runs before, failed in 2 of 2 runs since.\n" in text
    assert "  1.11.0: seen to be held\n  1.12.0: seen to be failed\n" in text
    assert "https://github.com/pytorch/pytorch/releases/tag/v1.12.0" in text
    assert "1.11.0  a    held in 2 of 2 runs\n1.12.0    b  failed in 2 of 2 runs\n" in text
    assert "!" not in text


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("outcome", [HELD, FAILED, OPEN])
def test_a_check_that_comes_to_the_same_everywhere_is_said_to(checked: Make, outcome: str, every: bool) -> None:
    made = checked(*[outcome] * 7, every=every)
    found = made.all()
    assert (found.changes, len(made.measured)) == ((), 1)
    assert f"The releases that were looked at have the same value: {outcome} in 2 of 2 runs.\n" in made.text()


def test_a_check_that_fails_in_one_release_only_is_found(checked: Make) -> None:
    made = checked(HELD, HELD, FAILED, HELD, HELD, HELD, HELD)
    made.all()
    text = made.text()
    assert "It changed and changed back: 1.10.0 and 1.13.1 have the same value.\n" in text
    assert "It changed with 1.11.0: held" in text
    assert "It changed with 1.12.0: failed" in text


def test_a_check_is_halved_where_few_releases_are_wanted(checked: Make) -> None:
    made = checked(HELD, HELD, HELD, HELD, HELD, OPEN, OPEN, every=False)
    made.all()
    assert [one.name for one in made.measured] == ["ends", "1.12.0", "1.12.1", "1.13.0", "neighbours"]
    text = made.text()
    assert "It changed with 1.13.0: held in 2 of 2 runs before, open in 2 of 2 runs since." in text
    assert "1.10.1  not tried\n" in text
    assert "1.13.0  b  open in 2 of 2 runs\n" in text


@pytest.mark.parametrize("every", [True, False])
def test_a_check_of_which_runs_of_one_release_differ_is_warned_of(checked: Make, every: bool) -> None:
    made = checked(HELD, HELD, HELD, "held failed", FAILED, FAILED, FAILED, every=every)
    made.all()
    text = made.text()
    assert "failed in 1 of 2 runs" in text
    assert "! Two runs of 1.12.0 came to different values: such a value tells nothing of the release." in text


def test_a_check_to_which_the_twin_does_not_come_is_warned_of(checked: Make) -> None:
    made = checked(HELD, HELD, HELD, FAILED, FAILED, FAILED, FAILED)
    made.all()
    assert "!" not in made.text()
    other = Folder(made.folder / "every", ["1.10.0", TWIN, *RELEASES[1:]], 2, cases=["audit"])
    for index in range(2):
        other.keep(TWIN, index, "audit", metrics=[], checks=[check("failed", name="unmixed")])
    assert "! Two runs of 1.10.0 came to different values" in made.text()


def test_neighbours_that_do_not_confirm_a_check_are_warned_of(checked: Make) -> None:
    made = checked(HELD, HELD, HELD, HELD, FAILED, FAILED, FAILED, every=False)
    while (wanted := made.progress().wanted) and wanted.name != "neighbours":
        made.measure(wanted)
    made.values = dict.fromkeys(RELEASES, HELD)
    made.all()
    text = made.text()
    assert "It changed with 1.12.1: held in 2 of 2 runs before, failed in 2 of 2 runs since." in text
    assert "! Side by side 1.12.0 and 1.12.1 do not confirm it" in text
    assert "! Two runs of 1.12.1 came to different values" in text


def test_a_check_of_what_an_end_has_written_has_that_end_beside_the_neighbours_that_confirm_it(checked: Make) -> None:
    of_first = "state_weights_only:1.10.0"
    made = checked(OPEN, OPEN, OPEN, OPEN, HELD, HELD, HELD, every=False)
    made.search = msgspec.structs.replace(made.search, what=of_first, case="checkpoints")
    keep_search(made.folder, made.search)
    made.all()
    assert made.measured[-1] == Wanted("neighbours", ["1.12.0", "1.12.1", "1.10.0"], 0)
    text = made.text()
    assert "It changed with 1.12.1: open in 2 of 2 runs before, held in 2 of 2 runs since." in text
    assert "confirm" not in text


def test_neighbours_that_do_not_confirm_a_probe_are_warned_of(releases: Make) -> None:
    made = releases("a", "a", "a", "a", "b", "b", "b")
    while (wanted := made.progress().wanted) and wanted.name != "neighbours":
        made.measure(wanted)
    made.fails = ["1.12.1"]
    made.all()
    text = made.text()
    assert "It changed with 1.12.1" in text
    assert "  it: a → b" in text
    assert "! Side by side 1.12.0 and 1.12.1 do not confirm it" in text


@pytest.mark.parametrize("every", [True, False])
def test_that_no_run_ends_well_since_a_release_is_an_answer_of_its_own(checked: Make, every: bool) -> None:
    made = checked(*[HELD] * 7, every=every, fails=RELEASES[4:])
    made.why = "The run reported nothing for 300 s, was taken to hang and was killed."
    made.all()
    text = made.text()
    assert "It changed with 1.12.1: held in 2 of 2 runs before, no run ends well since.\n" in text
    assert f"  1.12.1: {made.why} All its runs failed, on a second try too.\n" in text
    assert "left out" not in text


def test_a_release_without_a_run_that_ends_well_is_told_to_be_one_that_lived_alone(checked: Make) -> None:
    made = checked(*[HELD] * 7, fails=["1.11.0"])
    made.all()
    assert [one.again for one in made.measured] == [False, True]
    text = made.text()
    assert "It changed with 1.11.0: held in 2 of 2 runs before, no run ends well since." in text
    assert "1.11.0    b  no run ends well\n" in text


def test_a_release_between_that_comes_to_what_neither_end_did_is_passed_over(checked: Make) -> None:
    made = checked(HELD, HELD, HELD, OPEN, FAILED, FAILED, FAILED, every=False)
    made.all()
    text = made.text()
    assert "It changed after 1.11.0 and no later than with 1.12.1: 1.12.0 between them told nothing: held" in text
    assert "! 1.12.0 is left out: it came to what neither end did, open in 2 of 2 runs: seen to be open" in text


@pytest.mark.parametrize("every", [True, False])
def test_releases_that_differ_and_ran_on_different_pythons_are_warned_of(checked: Make, every: bool) -> None:
    made = checked(HELD, HELD, HELD, FAILED, FAILED, FAILED, FAILED, every=every)
    made.all()
    assert "!" not in made.text().replace("! Few releases", "")
    for path in made.folder.glob(f"*/{PLAN_FILE}"):
        plan = read_plan(path)
        newer = [msgspec.structs.replace(pin, python="3.10") if pin.name >= "1.12.0" else pin for pin in plan.pins]
        write_plan(path, msgspec.structs.replace(plan, pins=newer))
    assert "wheels for, 1.11.0 on 3.9 and 1.12.0 on 3.10: Python may be what changed it." in made.text()


@pytest.mark.parametrize("every", [True, False])
def test_where_every_run_fails_there_is_no_answer(
    checked: Make, every: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = checked(*[HELD] * 7, every=every, fails=RELEASES)
    made.all()
    assert [one.again for one in made.measured] == [False, True]
    assert main([str(made.folder), "--next", str(tmp_path / "next.json")]) == 2
    assert "error: The search has no end. 1.10.0 is left out: The process was ended" in capsys.readouterr().err


def test_a_check_that_runs_do_not_make_is_answered_with_those_they_do(
    checked: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = checked(*[HELD] * 7)
    made.all()
    keep_search(made.folder, msgspec.structs.replace(made.search, what="complete"))
    assert main([str(made.folder), "--next", str(tmp_path / "next.json")]) == 2
    assert "1.10.0 is left out: its runs do not make that check; they make unmixed" in capsys.readouterr().err
