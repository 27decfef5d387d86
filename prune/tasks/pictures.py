"""Folders of pictures: one folder a class, read with Pillow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from prune.errors import MissingInputError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises


@dataclass(frozen=True)
class Picture:
    file: Path
    label: str


def classes(folder: Path) -> list[Path]:
    """The folders in `folder` that are not hidden, in the order of their names."""
    return sorted(path for path in folder.iterdir() if _shown(path) and path.is_dir())


def pictures_of(folder: Path) -> Iterator[Picture]:
    """All pictures of the class folders of `folder`, in the order of their names.

    What is hidden, or has not the name of a picture, is passed over. Raises MissingInputError for
    a class without pictures, and for a file that is none.
    """
    for kind in classes(folder):
        files = [f for f in sorted(kind.rglob("*")) if _shown(f) and f.suffix.lower() in ENDINGS]
        if not files:
            raise MissingInputError(f"{kind} has no pictures ({', '.join(ENDINGS)})")
        for file in files:
            _opened(file).close()  # only its header: what is no picture is found before training
            yield Picture(file, kind.name)


def picture(file: Path) -> Image.Image:
    """The picture, upright and in three colours. Raises MissingInputError."""
    with _opened(file) as image:
        try:
            upright = ImageOps.exif_transpose(image)
            if "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return upright.convert("RGB")
        except BROKEN as error:
            raise MissingInputError(f"{file} cannot be read as a picture ({error})") from error


def _opened(file: Path) -> Image.Image:
    try:
        return Image.open(file)
    except BROKEN as error:
        raise MissingInputError(f"{file} cannot be read as a picture ({error})") from error


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")
