"""The sections of decision.md that people edit: what marks them, what stands in them at first, what was edited."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.core.errors import UsageError

SIGN_OFF = """\
Evidence: {digest}

| name | role | date | decision (sign / refuse) |
| --- | --- | --- | --- |
|  |  |  |  |
"""

FIRST = {
    "decision-makers": "status: proposed\ndecision-makers: []\n",
    "context": "*For the team to write: why now, what depends on this version, what a regression would cost.*\n",
    "risks": "*For the team to write: risks that were not measured.*\n",
    "sign-off": SIGN_OFF,
}
"""Section to what stands in it before anyone edits it."""

MARKER = re.compile(r"(?:# )?<!-- (edit|end edit): ([^<>]*) -->")
"""A line that opens or ends a section; in the front matter it is a comment of YAML too."""
LIKE_A_MARKER = re.compile(r"<!--\s*(?:end\s+)?edit\s*:", re.IGNORECASE)
UNTOUCHED = re.compile(re.escape(SIGN_OFF).replace(re.escape("{digest}"), "[0-9a-f]+"))
PROPOSED = re.compile(r"^status: *[\"']?proposed[\"']?\s*$", re.MULTILINE)


def read_edits(path: Path) -> dict[str, str]:
    """Each section of a decision.md, byte for byte; none where there is no file.

    Raises `UsageError` where the file cannot be read or its markers are broken: nothing in it must be lost.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read ({reason}): mend it or move it away.") from None
    if not os.access(path, os.W_OK):
        raise UsageError(f"{path} must not be written: make it writable or move it away.")
    found = sections_of(text, path)
    absent = [name for name in FIRST if name not in found]
    if absent:
        both = f"`{marker(absent[0])}` and `{marker(absent[0], end=True)}`"
        raise UsageError(f"{path} has no section {absent[0]}: put the lines {both} back, or move the file away.")
    return found


def marker(name: str, *, end: bool = False) -> str:
    """The comment that opens or ends a section."""
    return f"<!-- {'end edit' if end else 'edit'}: {name} -->"


def sections_of(text: str, path: Path) -> dict[str, str]:
    """The text between each pair of markers; `UsageError` names the line that is wrong."""
    lines = text.split("\n")
    opened: dict[str, int] = {}
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not LIKE_A_MARKER.search(line):
            continue
        inside = next((name for name in opened if name not in found), "")
        matched = MARKER.fullmatch(line.strip())
        kind, name = matched.groups() if matched else ("", "")
        wrong = what_is_wrong(kind, name, inside, opened)
        if wrong:
            raise UsageError(f"{path}, line {number}: {wrong}")
        if kind == "edit":
            opened[name] = number
        else:
            found[name] = "".join(f"{each}\n" for each in lines[opened[name] : number - 1])
    for name, number in opened.items():
        if name not in found:
            raise UsageError(f"{path}, line {number}: section {name} has no end: add `{marker(name, end=True)}`.")
    return found


def what_is_wrong(kind: str, name: str, inside: str, opened: dict[str, int]) -> str:
    """What forbids this marker at its place, and what to do; empty where nothing does. `inside`: the open section."""
    if not kind:
        return f"a marker has to be a line of its own like `{marker('risks')}`: write it so."
    if name not in FIRST:
        return f"there is no section {name}: take one of {', '.join(FIRST)}, or remove the marker."
    if kind == "edit":
        if name in opened:
            return f"section {name} was opened in line {opened[name]} already: keep it once."
        return f"section {inside} has not ended yet: put `{marker(inside, end=True)}` above." if inside else ""
    return "" if name == inside else f"section {name} ends without being open: put `{marker(name)}` where it starts."


def carried(kept: dict[str, str], digest: str) -> tuple[dict[str, str], bool]:
    """The sections as they are to be written, and whether somebody decided on other evidence than this.

    A sign-off that nobody has filled in is renewed. Once the status is no longer `proposed` it is not: else a
    status that was set on other evidence would stand above the digest of this one.
    """
    sections = {**FIRST, **kept}
    untouched = UNTOUCHED.fullmatch(sections["sign-off"].replace("\r\n", "\n"))
    if "sign-off" not in kept or (untouched and PROPOSED.search(sections["decision-makers"])):
        return {**sections, "sign-off": SIGN_OFF.format(digest=digest)}, False
    return sections, digest not in sections["sign-off"]
