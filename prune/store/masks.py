"""The masks of a run as its folder keeps them, for pictures: a few kilobytes, numbers alone."""

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prune.store.files import storing

FILE = "masks.npz"
Masks = dict[str, NDArray[np.uint8]]  # matrix -> shares of its squares, 255 where all is alive


def write(folder: Path, masks: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write aside and rename."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **masks)
    aside = folder / f"{FILE}.tmp"
    with storing(folder / FILE):
        aside.write_bytes(content.getvalue())
        os.replace(aside, folder / FILE)


def read(folder: Path) -> Masks:
    """What `write` wrote; nothing where there is no such file, or none that can be read."""
    try:
        # From memory: numpy leaves a file that it cannot read open.
        with np.load(io.BytesIO((folder / FILE).read_bytes()), allow_pickle=False) as content:
            found = {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        return {}
    return {n: m for n, m in found.items() if m.ndim == 2 and m.dtype == np.uint8}
