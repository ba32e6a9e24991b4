"""Foreign text (names, error messages) made harmless where it is shown: on a terminal and in markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

LONGEST = 300
"""Characters that are shown of one reason; the record has all of it."""

HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that steer a terminal or turn the direction of writing."""

SPECIAL = re.compile(r"[\\`*_\[\]|~$#!]")
STARTS_A_BLOCK = re.compile(r"^(\d{0,9})([-+.)](?=\s|$)|[-=]+$)")
"""What would make a list or a heading of a line that begins with it."""
REFERS = re.compile(r"@|\\#(?=\d)")
"""What GitHub takes for a name to notify or the number of an issue, after it has undone backslashes and entities. A
space of no width parts it."""
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text on one line: white space collapsed, control characters spelt out (`\\x1b`), the end cut off."""
    start = " ".join(text[: 4 * longest].split())
    spelt = "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in HARMFUL else character
        for character in start
    )
    return spelt if len(spelt) <= longest else spelt[: longest - 1] + "…"


def for_markdown(text: str, longest: int = 2000) -> str:
    """The text as GitHub's markdown shows it literally, also in a table's cell: no markup, no HTML, no new cell, and
    nobody is mentioned."""
    html = one_line(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = SPECIAL.sub(lambda match: "\\" + match.group(), html)
    return REFERS.sub(lambda match: f"{match.group()}&#8203;", STARTS_A_BLOCK.sub(r"\1\\\2", escaped))


def sentence(text: str) -> str:
    """The text with a full stop, if it has no ending of its own."""
    line = one_line(text)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def superscript(number: int) -> str:
    """The mark of a footnote."""
    return str(number).translate(SUPERSCRIPTS)


def rounds_in_words(indices: Sequence[int], planned: int) -> str:
    """`, round 2` or `, rounds 1, 3`; nothing where it is all of them. Shown rounds count from 1."""
    if len(indices) == planned:
        return ""
    shown = [str(index + 1) for index in sorted(indices)[:6]] + (["…"] if len(indices) > 6 else [])
    return f", round{'s' if len(indices) > 1 else ''} {', '.join(shown)}"


def pipe_table(head: list[str], rows: list[list[str]], others: Literal["left", "right"] = "right") -> str:
    """A table in pipes, its columns as wide as their widest cell. `others`: how all columns but the first stand.

    Not made by tabulate, which looks for numbers in every cell: of ten thousand runs there are some hundred thousand.
    """
    widths = [max([len(name) + 2, *map(len, cells)]) for name, *cells in zip(head, *rows, strict=True)]
    left = [place == 0 or others == "left" for place in range(len(head))]
    columns = [*zip(widths, left, strict=True)]
    rule = "|".join(f":{'-' * (width + 1)}" if to_left else f"{'-' * (width + 1)}:" for width, to_left in columns)
    line = " | ".join(f"{{:{'<' if to_left else '>'}{width}}}" for width, to_left in columns)
    return "\n".join([f"| {line.format(*head)} |", f"|{rule}|", *(f"| {line.format(*row)} |" for row in rows)])
