"""Starts the runs in the pins' environments, watches them, keeps their records, shows progress. No torch here."""
