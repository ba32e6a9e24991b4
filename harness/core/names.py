"""Names that the noxfile has in common with the harness. It runs without msgspec, so nothing is imported here."""

TWIN_ENDING = "-twin"
"""Ends the name of a pin's second environment, in which the baseline runs once more as the control A/A."""
