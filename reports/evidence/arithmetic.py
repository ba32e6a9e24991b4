"""Arithmetic on numbers that are known to so many digits: an expression is told to hold as long as it may.

A number that is given as 38.7 stands for all that are rounded so, from 38.65 to 38.75. What is worked out from such
numbers is an interval too, and two sides are equal where their intervals meet. Where one number occurs twice the
interval is too wide and never too short, so nothing is called wrong that rounding may explain.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what it is worked out from, as text, and the ends of what it may be."""

    text: str
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Whether a relation may hold between two sides."""

    left: Side
    relation: str
    right: Side
    holds: bool


Ends = tuple[float, float]


def rounded(number: str) -> Ends:
    """The ends of what is rounded to this number: half a unit of its last digit to either side. `ValueError` for what
    is no number."""
    try:
        value = Decimal(number)
    except InvalidOperation:
        raise ValueError(f"{number!r} is no number") from None
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{number!r} is not finite")
    half = Decimal((0, (5,), exponent - 1))
    return float(value - half), float(value + half)


def times(one: Ends, other: Ends) -> Ends:
    """The ends of a product."""
    products = [mine * yours for mine in one for yours in other]
    return min(products), max(products)


def over(one: Ends, other: Ends) -> Ends:
    """The ends of a quotient; `ValueError` where the divisor may be 0."""
    if other[0] <= 0 <= other[1]:
        raise ValueError("it divides by what may be 0")
    return times(one, (1 / other[1], 1 / other[0]))


OPERATIONS: dict[type[ast.operator], Callable[[Ends, Ends], Ends]] = {
    ast.Add: lambda one, other: (one[0] + other[0], one[1] + other[1]),
    ast.Sub: lambda one, other: (one[0] - other[1], one[1] - other[0]),
    ast.Mult: times,
    ast.Div: over,
}
RELATIONS: dict[type[ast.cmpop], tuple[str, Callable[[Ends, Ends], bool]]] = {
    ast.Eq: ("=", lambda one, other: one[0] <= other[1] and other[0] <= one[1]),
    ast.LtE: ("≤", lambda one, other: one[0] <= other[1]),
    ast.GtE: ("≥", lambda one, other: one[1] >= other[0]),
}
CHOICES: dict[str, Callable[[list[float]], float]] = {"min": min, "max": max}


def compare(expression: str, numbers: Mapping[str, str]) -> Comparison:
    """Whether `LEFT == RIGHT`, `<=` or `>=` may hold, where either side is made of named numbers, numbers of its own,
    which are exact, + - * / and min() and max(). `ValueError` says what else there is."""
    try:
        body = ast.parse(expression, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{expression!r} is no expression") from None
    if not (isinstance(body, ast.Compare) and len(body.ops) == 1 and type(body.ops[0]) in RELATIONS):
        raise ValueError(f"{expression!r} is no comparison of two sides by ==, <= or >=")
    known = {name: rounded(number) for name, number in numbers.items()}
    (one, left), (other, right) = (
        (ends_of(part, known), ast.unparse(part)) for part in (body.left, body.comparators[0])
    )
    relation, holds = RELATIONS[type(body.ops[0])]
    return Comparison(Side(left, *one), relation, Side(right, *other), holds(one, other))


def ends_of(part: ast.expr, known: Mapping[str, Ends]) -> Ends:
    """The ends of what a part of an expression may be."""
    if isinstance(part, ast.Constant) and isinstance(part.value, (int, float)) and not isinstance(part.value, bool):
        return float(part.value), float(part.value)
    if isinstance(part, ast.Name) and part.id in known:
        return known[part.id]
    if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub):
        low, high = ends_of(part.operand, known)
        return -high, -low
    if isinstance(part, ast.BinOp) and type(part.op) in OPERATIONS:
        return OPERATIONS[type(part.op)](ends_of(part.left, known), ends_of(part.right, known))
    if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in CHOICES and part.args:
        choose, given = CHOICES[part.func.id], [ends_of(each, known) for each in part.args]
        return choose([low for low, _ in given]), choose([high for _, high in given])
    raise ValueError(f"{ast.unparse(part)!r} is none of its numbers, and no arithmetic")
