"""Coloured shapes as picture files: one colour and one shape a class."""

import random
from pathlib import Path

from PIL import Image, ImageDraw

CLASSES = {"blue_square": (40, 60, 230), "green_triangle": (40, 200, 60), "red_disc": (230, 40, 40)}


def draw(kind: str, source: random.Random) -> Image.Image:
    """A shape of any size anywhere on a dark ground, 40 x 36 pixels."""
    image = Image.new("RGB", (40, 36), tuple(source.randrange(70) for _ in range(3)))
    pen, r = ImageDraw.Draw(image), source.randint(6, 12)
    x, y = source.randint(r, 39 - r), source.randint(r, 35 - r)
    colour = tuple(min(255, max(0, c + source.randint(-40, 40))) for c in CLASSES[kind])
    if kind == "red_disc":
        pen.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    elif kind == "blue_square":
        pen.rectangle([x - r, y - r, x + r, y + r], fill=colour)
    else:
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=colour)
    return image


def write(folder: Path, train: int = 40, validation: int = 15, seed: int = 0) -> Path:
    """`train` and `validation` pictures of each class, in the folders that the task wants."""
    source = random.Random(seed)
    for split, count in (("train", train), ("validation", validation)):
        for kind in CLASSES:
            (folder / split / kind).mkdir(parents=True)
            for number in range(count):
                draw(kind, source).save(folder / split / kind / f"{number}.png")
    return folder
