"""Errors whose message is the sentence that the user reads."""


class UsageError(Exception):
    """Bad input or configuration, exit code 2. Its argument is the one sentence the user reads; further ones, where
    there are any, are lines that list what it is about. All of them may hold foreign text, such as names of files."""

    def __str__(self) -> str:
        return "\n  ".join(self.args)
