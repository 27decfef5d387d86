"""Which weights of a saved network are zero, read from its file without torch or any library."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prune.errors import MissingInputError

SIZES: dict[str, Any] = {"F32": np.uint32, "F16": np.uint16, "BF16": np.uint16, "F64": np.uint64}
LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.(.+)\.weight$")
SIDE = 32  # weights that one pixel of a picture stands for, along each side
Shares = NDArray[np.float32]
Layers = dict[int, dict[str, Shares]]


def patterns(file: Path, side: int = SIDE) -> Layers:
    """Layer -> matrix -> the share of weights that are not zero in each `side` x `side` square.

    A square at the edge may be smaller. Raises MissingInputError if it is no safetensors file.
    """
    try:
        with open(file, "rb") as content:
            size = int.from_bytes(content.read(8), "little")
            if not 2 <= size <= 100_000_000:
                raise ValueError("no header")
            header: dict[str, Any] = json.loads(content.read(size))
        start = 8 + size
        found: dict[int, dict[str, Shares]] = defaultdict(dict)
        for name, about in header.items():
            match = LAYER.search(name)
            if match and len(about["shape"]) == 2 and about["dtype"] in SIZES:
                found[int(match[1])][match[2]] = _shares(file, start, about, side)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingInputError(f"cannot read the weights in {file}: {error}") from error
    return dict(found)


def _shares(file: Path, start: int, about: dict[str, Any], side: int) -> Shares:
    kind, shape = SIZES[about["dtype"]], tuple(about["shape"])
    if 0 in shape:
        return np.zeros((0, 0), dtype=np.float32)
    bits = np.memmap(file, kind, "r", start + about["data_offsets"][0], shape)
    sign = kind(1) << kind(bits.dtype.itemsize * 8 - 1)
    live = (np.asarray(bits) & ~sign) != 0  # -0.0 is zero too
    rows, columns = (np.arange(0, length, side) for length in shape)
    sums = np.add.reduceat(np.add.reduceat(live, rows, axis=0, dtype=np.int64), columns, axis=1)
    counts = np.minimum(side, shape[0] - rows)[:, None] * np.minimum(side, shape[1] - columns)
    return np.asarray(sums / counts, dtype=np.float32)
