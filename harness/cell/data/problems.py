"""Collecting everything that is wrong with a data set, so that the user can mend it in one go."""

from __future__ import annotations

from harness.core.errors import UsageError
from harness.core.files import spelt_out

SHOWN = 20


class Problems:
    """What is wrong, and where; `noun` says what is being looked at ("pictures", "label rows")."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.found: list[str] = []

    def add(self, where: str, what: str) -> None:
        """Note one problem: `where` is a path, with the line or key if there is one."""
        self.found.append(f"{spelt_out(where)}: {spelt_out(what)}")

    def settle(self, looked_at: int) -> None:
        """UsageError that counts the problems among `looked_at` and lists the first of them, if there are any."""
        if not self.found:
            return
        count = len(self.found)
        headline = f"{count} of {looked_at} {self.noun} cannot be used, so nothing was trained; mend or remove them:"
        lines = [headline, *self.found[:SHOWN]]
        if count > SHOWN:
            lines.append(f"… and {count - SHOWN} more")
        raise UsageError(*lines)
