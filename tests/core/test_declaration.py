import dataclasses

import pytest

from cases.probes import probes_in
from harness.core.cases import all_cases, case_names, read_case
from harness.core.declaration import (
    ByGrowths,
    BySpread,
    ByTrend,
    Case,
    DeclaredCheck,
    DeclaredFingerprint,
    DeclaredMetric,
    DeclaredProbe,
    DeclaredSeries,
    Parameter,
    TradeOff,
    Turns,
    applies,
    key_of,
    name_in,
)
from harness.core.errors import UsageError
from harness.core.faults import PLANTABLE
from harness.core.settings import CaseSettings

TIME = DeclaredMetric("time", "Time", "s", "ratio")


def test_every_folder_in_cases_declares_a_case_that_says_what_it_shows():
    assert {"train", "fidelity", "broken-images"} <= set(case_names())
    for name, case in all_cases().items():
        assert case.name == name
        assert len(case.about.splitlines()) > 1


def test_a_name_that_is_no_case_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"There is no case 'trian': cases/ has .*, train,"):
        read_case("trian")


def test_a_case_that_cannot_be_read_is_one_sentence_with_its_file(monkeypatch):
    monkeypatch.setattr("harness.core.cases.case_names", lambda: ["torn"])
    monkeypatch.setattr("harness.core.cases.package_of", lambda _: "tests.core.no_such_module")
    with pytest.raises(UsageError, match=r"^cases/torn/__init__\.py cannot be used \(ModuleNotFoundError"):
        read_case("torn")


def test_a_folder_without_a_declaration_is_refused(monkeypatch):
    monkeypatch.setattr("harness.core.cases.case_names", lambda: ["empty"])
    monkeypatch.setattr("harness.core.cases.package_of", lambda _: "harness.core.turns")
    with pytest.raises(UsageError, match=r"cases/empty/__init__\.py cannot be used"):
        read_case("empty")


class Sizes(CaseSettings, frozen=True):
    sizes: tuple[int, ...] = (64, 96)
    batches: tuple[int, ...] = (1, 2)


def weighed(by=("size", "batch"), **changed):
    """A case whose sizes bring quality and cost time, which is by these parameters."""
    parts = {"gain": "quality", "cost": "time", "along": "size", "draws": "halves", "worth": 0.1, **changed}
    return Case(
        settings=Sizes,
        parameters=(Parameter("size", "size", "sizes"), Parameter("batch", "batch", "batches")),
        turns=Turns(("time",)),
        tradeoff=TradeOff(**parts),
        metrics=(
            dataclasses.replace(TIME, by=by),
            DeclaredMetric("quality", "Quality", "fraction", "points", better="higher", by=("size",)),
        ),
        series=(DeclaredSeries("halves", "Quality of halves"),),
    )


def test_a_trade_off_between_what_is_declared_is_taken():
    assert weighed().tradeoff.along == "size"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: DeclaredMetric("time", "Time", "hours", "ratio"), "'hours'; the units are bytes, s"),
        (lambda: Case(metrics=(TIME, TIME)), "declares 'time' twice"),
        (lambda: Case(turns=Turns(("time", "pace")), metrics=(TIME,)), "'pace', which is none of its metrics"),
        (lambda: Case(turns=Turns(("time",), rest="pace"), metrics=(TIME,)), "'pace', which is none of its metrics"),
        (lambda: Case(metrics=(dataclasses.replace(TIME, by=("size",)),)), "a parameter that it does not have"),
        (lambda: Case(settings=CaseSettings, command="argv"), "no 'argv', which says what command a run is"),
        (lambda: weighed(gain="none"), "rests on 'none', 'time' and 'halves', which are not all"),
        (lambda: weighed(draws="none"), "rests on 'quality', 'time' and 'none', which are not all"),
        (lambda: weighed(cost="quality"), "the cost 'quality' of its trade-off is not what its turns measure"),
        (lambda: weighed(along="batch"), "the gain of its trade-off is not by 'batch'"),
        (lambda: weighed(by=("batch",)), "or by something that the cost is not by"),
        (
            lambda: Case(checks=(DeclaredCheck("leak", "No leak", ByTrend("rss", "leak")),)),
            "'rss', which is none",
        ),
        (lambda: Case(checks=(DeclaredCheck("rule", "No leak", ByGrowths("rss")),)), "'rss', which is none"),
        (
            lambda: Case(checks=(DeclaredCheck("seeds", "Alike", BySpread("map50", "s")),)),
            "'map50', which is none",
        ),
        (
            lambda: Case(settings=Sizes, parameters=(Parameter("size", "size", "size"),)),
            "settings have no 'size'",
        ),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused_at_once(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_a_case_has_every_combination_of_the_values_that_its_settings_list():
    case = Case(settings=Sizes, parameters=(Parameter("size", "size", "sizes"), Parameter("batch", "batch", "batches")))
    settings = {"sizes": [64, 96], "batches": [1, 2]}
    assert [*case.combinations(settings)] == [{"size": size, "batch": batch} for size in (64, 96) for batch in (1, 2)]
    assert [*case.combinations(settings, ("batch",))] == [{"batch": 1}, {"batch": 2}]
    assert [*case.combinations(settings, ())] == [{}]


def test_a_metric_at_a_combination_has_a_key_that_tells_it_from_the_others():
    assert key_of("latency", {"size": 64, "batch": 1}) == "latency[size=64,batch=1]"
    assert key_of("latency", {}) == "latency"
    assert {name_in(key_of("latency", at)) for at in ({}, {"size": 64, "batch": 1})} == {"latency"}


def test_a_part_of_a_series_a_check_or_a_fingerprint_has_the_declaration_of_the_whole():
    case = Case(
        series=(DeclaredSeries("loss", "Loss"),),
        checks=(DeclaredCheck("exchanged", "A checkpoint of {part} goes on here"),),
        fingerprints=(DeclaredFingerprint("operators", "Operators"),),
    )
    assert case.one_series("loss:box").title == "Loss, box"
    assert case.check("exchanged:1.12.1").title == "A checkpoint of 1.12.1 goes on here"
    assert case.check("exchanged").title == "A checkpoint of {part} goes on here"
    assert case.fingerprint("operators:small").title == "Operators, small"
    assert case.fingerprint("losses:small") is None
    assert case.one_series("gain:box") is None
    assert case.check("lost:1.12.1") is None


@pytest.mark.parametrize(
    ("where", "cpu", "cuda", "amp"),
    [("always", True, True, True), ("cpu", True, False, False), ("cuda", False, True, True),
     ("amp", False, False, True)],
)  # fmt: skip
def test_what_applies_to_some_runs_only_is_told_by_device_and_precision(where, cpu, cuda, amp):
    runs = (("cpu", "fp32"), ("cuda:0", "fp32"), ("cuda:1", "amp"))
    assert [applies(where, *run) for run in runs] == [cpu, cuda, amp]
    assert applies(where, "cpu", "amp") == cpu


def test_every_fault_is_to_be_found_by_a_metric_a_check_a_fingerprint_or_a_part():
    prints = {one.name for case in all_cases().values() for one in case.fingerprints}
    metrics = {metric.name for case in all_cases().values() for metric in case.metrics}
    checks = {check.name for case in all_cases().values() for check in case.checks}
    assert [kind for kind, fault in PLANTABLE.items() if fault.swells] == ["slow-layer"]  # the runs tell the parts
    for fault in PLANTABLE.values():
        assert fault.worsens or fault.breaks or fault.alters or fault.swells
        assert set(fault.alters) <= prints
        assert set(fault.worsens) <= metrics
        assert set(fault.breaks) <= checks


def test_every_probe_has_all_its_texts_as_sentences_and_addresses_of_releases():
    probes = [one for case in all_cases().values() for one in case.fingerprints if isinstance(one, DeclaredProbe)]
    assert len(probes) >= 40
    for one in probes:
        assert one.why.endswith("."), one.name
        assert one.means.endswith("."), one.name
        assert not one.title.endswith("."), one.name
        assert all(address.startswith("https://") for address in one.see.values()), one.name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": ""}, "no title"),
        ({"topic": ""}, "no topic"),
        ({"why": ""}, "no why"),
        ({"means": ""}, "no means"),
        ({"see": {"2.0": "http://example.org"}}, "'2.0': 'http://example.org'"),
        ({"see": {"two": "https://example.org"}}, "'two': 'https://example.org'"),
    ],
)
def test_a_probe_that_lacks_a_text_or_has_no_address_is_refused(change, said):
    texts = {"name": "ties", "title": "Ties", "topic": "Sorting", "why": "They tie.", "means": "Do not."}
    assert DeclaredProbe(**texts, see={"": "https://example.org", "2.0": "https://example.org"}).see
    with pytest.raises(ValueError, match="the probe 'ties'.*" + said):
        DeclaredProbe(**{**texts, **change})


TOPIC = '''
"""Sorting.

More of it.
"""

from cases.probes.probing import probe


def helper():
    return 1


@probe(
    why="They " "tie.",
    means="Do not.",
    see={"2.0": "https://example.org"},
    tolerance=1e-3,
)
def ties():
    """Ties of many kinds.

    And more.
    """
    return helper()
'''


def test_a_probe_is_read_from_its_source_and_nothing_else_in_the_module_is_one(tmp_path):
    (tmp_path / "sorting.py").write_text(TOPIC, encoding="utf-8")
    (one,) = probes_in(tmp_path / "sorting.py")
    assert (one.name, one.title, one.topic) == ("ties", "Ties of many kinds", "Sorting")
    assert (one.why, one.means, one.see, one.tolerance) == (
        "They tie.",
        "Do not.",
        {"2.0": "https://example.org"},
        1e-3,
    )


DOCSTRING = '"""Ties of many kinds.\n\n    And more.\n    """'


@pytest.mark.parametrize(
    ("old", "new"), [('means="Do not.",', ""), ('"Do not."', "str(1)"), ("tolerance", "tolerant"), (DOCSTRING, "")]
)
def test_a_probe_that_cannot_be_read_is_named_with_its_file_and_line(tmp_path, old, new):
    assert old in TOPIC
    (tmp_path / "sorting.py").write_text(TOPIC.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=r"topics/sorting\.py, line \d+, ties: "):
        [*probes_in(tmp_path / "sorting.py")]
