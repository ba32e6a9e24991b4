"""Errors whose message is the sentence that the user reads."""


class UsageError(Exception):
    """Bad input or configuration: its message is the one sentence the user reads; exit code 2."""
