"""Names that the noxfile has in common with the harness. It runs without msgspec, so nothing is imported here."""

TWIN_ENDING = "-twin"
"""Ends the name of a pin's second environment, in which the baseline runs once more as the control A/A."""


def locked_name(pin: str, model: str) -> str:
    """What the lock of a pin is called, and its environment: with the model whose requirements it has too, if any."""
    return f"{pin}-{model}" if model else pin
