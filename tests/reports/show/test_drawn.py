"""Which machines are drawn where a report has many, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder
from typical_folders import POLICY, filled

from reports.judge.judgement import judge
from reports.show.drawn import MOST, drawn_of, left_out
from reports.show.forest import draw
from reports.show.overview import alt_text, panels_of
from reports.show.page import to_page
from reports.show.table import build_table
from reports.show.verdict_file import Account, account_of

Make = Callable[..., Folder]
SENTENCE = f"Drawn are {MOST} machines of {MOST + 2}, those with the least good verdicts; the tables have all."


@pytest.fixture
def many(folder: Make) -> Account:
    """Two machines more than are drawn, the last of which holds the upgrade."""
    fine = [filled(folder, f"fine-{number:02}") for number in range(MOST + 1)]
    slow = filled(folder, "slow", factor=1.2)
    return account_of(judge([each.path for each in [*fine, slow]], POLICY))


def test_of_many_machines_those_with_the_least_good_verdicts_are_drawn_in_their_order(many: Account) -> None:
    labels = [told.machine.label for told in drawn_of(many.machines)]
    assert labels == [*(f"CPU of fine-{number:02}" for number in range(MOST - 1)), "CPU of slow"]
    assert len(panels_of(many.machines)) == MOST


def test_it_is_said_in_the_figure_in_its_words_and_on_the_page_that_some_are_not_drawn(many: Account) -> None:
    assert left_out(many.machines) == SENTENCE
    assert SENTENCE in alt_text(many.machines)
    assert len(draw([], SENTENCE)["overview.svg"]) > len(draw([])["overview.svg"])
    tables = [build_table(told) for told in many.machines]
    page = to_page(many, tables, b"", "")
    assert page.count(SENTENCE) == 2  # in the part of each machine that is not drawn
    for told in many.machines:
        assert f"on {told.machine.label}</h2>" in page


def test_a_few_machines_are_all_drawn_and_nothing_is_said(folder: Make) -> None:
    folders = [filled(folder, name).path for name in ("one", "other")]
    told = account_of(judge(folders, POLICY)).machines
    assert drawn_of(told) == told
    assert left_out(told) == ""
