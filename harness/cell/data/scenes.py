"""The kinds of scenes that the embedded data set can be drawn as: what is in a picture, and how well it is seen."""

from __future__ import annotations

import math

import msgspec

from harness.core.settings import SceneName, Shapes

DESIGNED_AT = 64  # px: the width at which the numbers below were looked at


class Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of scene. Lengths are shares of the picture's width, colours 0 to 255. The defaults are `plain`."""

    objects: tuple[int, int] = (1, 3)
    extent: tuple[float, float] = (0.28, 0.6)
    slimmest: float = 0.8  # a shape is squeezed to at least this share of its width
    covered: float = 0.2  # at most this share of the smaller of two boxes may lie in the other
    seen: float = 0.0  # at least this share of a shape stays in sight, whatever is painted over it
    ground: tuple[int, int] = (5, 75)
    bright: tuple[int, int] = (110, 255)
    own_colour: float = 0.9  # how often a class wears its own colour instead of any
    noise: int = 16
    every: int = 1  # of every so many pictures the first has objects: no split is without any
    more: bool = False  # a larger picture shows more objects, not only larger ones


SCENES: dict[SceneName, Scene] = {
    "plain": Scene(),
    "few-large": Scene(objects=(1, 2), extent=(0.66, 0.95), slimmest=0.9, covered=0.5, seen=0.6),
    # Narrower shapes would be less than 6 px wide at 64 px, where the finest cells of the network are 8.
    "many-small": Scene(objects=(8, 14), extent=(0.135, 0.19), slimmest=0.95, covered=0.1, more=True),
    # Boxes that cover each other more than this are one box to suppression, and no model could find both.
    "crowded": Scene(objects=(7, 11), extent=(0.28, 0.46), covered=0.7, seen=0.45),
    "low-light": Scene(ground=(0, 20), bright=(30, 75), noise=30),
    "mostly-empty": Scene(every=4),
}


def scene_of(settings: Shapes) -> Scene:
    """The scene of a data set, in pictures of its size."""
    scene = SCENES[settings.scene]
    return at_size(scene, settings.size) if scene.more else scene


def at_size(scene: Scene, size: int) -> Scene:
    """The scene in pictures of another width than it was designed at: half of what is gained (in the exponent) goes
    into the number of objects, half into their pixels. Shares alone would make small objects large ones at 640 px.
    """
    growth = math.sqrt(size / DESIGNED_AT)
    fewest, most = (max(1, round(count * growth)) for count in scene.objects)
    smallest, largest = (share / growth for share in scene.extent)
    return msgspec.structs.replace(scene, objects=(fewest, most), extent=(smallest, largest))
