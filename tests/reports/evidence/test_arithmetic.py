"""Arithmetic on numbers that are rounded: it holds as long as rounding may explain it."""

from __future__ import annotations

import pytest

from reports.evidence.arithmetic import compare, rounded


@pytest.mark.parametrize(
    ("number", "ends"),
    [("38.7", (38.65, 38.75)), ("8", (7.5, 8.5)), ("8.0", (7.95, 8.05)), ("-0.2", (-0.25, -0.15))],
)
def test_a_number_stands_for_all_that_are_rounded_so(number: str, ends: tuple[float, float]) -> None:
    assert rounded(number) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("expression", "numbers", "holds"),
    [
        ("a == b", {"a": "1.0", "b": "1.1"}, True),  # both may be 1.05
        ("a == b", {"a": "1.00", "b": "1.02"}, False),
        ("a <= 40", {"a": "40.2"}, False),
        ("a <= 40", {"a": "40"}, True),
        ("a >= 40", {"a": "39.9"}, False),
        ("a - b == c", {"a": "52.4", "b": "48.1", "c": "4.3"}, True),
        ("(1 - a / b) * 100 == c", {"a": "38.7", "b": "42.9", "c": "11.3"}, False),
        ("(1 - a / b) * 100 == c", {"a": "38.7", "b": "42.9", "c": "9.8"}, True),
        ("max(a, b, c) - min(a, b, c) <= 0.8", {"a": "52.3", "b": "52.1", "c": "52.4"}, True),
        ("max(a, b) - min(a, b) <= 0.8", {"a": "52.3", "b": "50.1"}, False),
        ("-a * b == -6", {"a": "2", "b": "3"}, True),
    ],
)
def test_a_relation_holds_as_long_as_it_may(expression: str, numbers: dict[str, str], holds: bool) -> None:
    assert compare(expression, numbers).holds is holds


def test_both_sides_are_told_with_their_ends() -> None:
    found = compare("a / b == 3", {"a": "1.0", "b": "2.0"})
    assert (found.left.text, found.relation, found.right.text) == ("a / b", "=", "3")
    assert (found.left.low, found.left.high) == pytest.approx((0.95 / 2.05, 1.05 / 1.95))
    assert (found.right.low, found.right.high) == (3, 3)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("a", "no comparison"),
        ("a < 1 < 2", "no comparison"),
        ("a != 1", "no comparison"),
        ("a ==", "no expression"),
        ("b == 1", "'b' is none of its numbers"),
        ("a ** 2 == 1", "no arithmetic"),
        ("__import__('os') == 1", "no arithmetic"),
        ("a.real == 1", "no arithmetic"),
        ("'x' == 1", "no arithmetic"),
        ("True == 1", "no arithmetic"),
        ("max() == 1", "no arithmetic"),
        ("1 / (a - 1) == 1", "divides by what may be 0"),
    ],
)
def test_what_is_no_arithmetic_is_refused(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        compare(expression, {"a": "1.0"})


@pytest.mark.parametrize("number", ["", "1,5", "inf", "nan", "one"])
def test_what_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match=r"is no number|is not finite"):
        compare("a == 1", {"a": number})
