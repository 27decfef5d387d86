"""The masks that a run kept -> one picture of its matrices, side by side, a row for each layer.

An array of shares, NaN between the matrices. Matrices with more rows than columns lie on their
side, so that a layer is as low as its attention and a neuron is one column in both FFN matrices.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
LAYER = re.compile(r"^((?:[^.]+\.)*?\d+)\.(.+)$")
GAP = 3  # squares between two matrices
TITLES = {  # part of a matrix's name -> its title; the first that fits
    **{"query": "query", "q_proj": "query", "key": "key", "k_proj": "key"},
    **{"value": "value", "v_proj": "value", "attention.output": "output"},
    **{"o_proj": "output", "out_proj": "output"},
    **{"intermediate": "FFN in", "fc1": "FFN in", "output.dense": "FFN out", "fc2": "FFN out"},
}


@dataclass(frozen=True)
class Arranged:
    """`image` (height, width); where the matrices are in it; the names of columns and rows."""

    image: Image
    frames: list[tuple[int, int, int, int]]  # left, top, width, height
    columns: list[tuple[float, str]]  # middle, title
    rows: list[tuple[float, str]]


def arrange(masks: Mapping[str, NDArray[np.uint8]]) -> Arranged:
    """masks: matrix -> (rows, columns) of shares out of 255, in the order of the network."""
    layers: dict[str, dict[str, Image]] = {}
    for name, mask in masks.items():
        found = LAYER.match(name)
        layer, matrix = (found[1], found[2]) if found else ("", name)
        share: Image = mask.astype(np.float32) / np.float32(255)
        layers.setdefault(layer, {})[matrix] = share.T if _tall(share) else share
    names = list(dict.fromkeys(name for matrices in layers.values() for name in matrices))
    tall = {LAYER.sub(r"\2", name) for name, mask in masks.items() if _tall(mask)}
    widths = [max(m[n].shape[1] for m in layers.values() if n in m) for n in names]
    heights = [max(matrix.shape[0] for matrix in m.values()) for m in layers.values()]
    lefts, tops = _starts(widths), _starts(heights)
    image = np.full((tops[-1] - GAP, lefts[-1] - GAP), np.nan, dtype=np.float32)
    frames = []
    for top, matrices in zip(tops, layers.values(), strict=False):
        for left, name in zip(lefts, names, strict=False):
            if name in matrices:
                height, width = matrices[name].shape
                image[top : top + height, left : left + width] = matrices[name]
                frames.append((left, top, width, height))
    titles = [title(name) + ", on its side" * (name in tall) for name in names]
    return Arranged(
        image,
        frames,
        [(left + w / 2, t) for left, w, t in zip(lefts, widths, titles, strict=False)],
        [(top + h / 2, n) for top, h, n in zip(tops, heights, layer_names(list(layers)),
                                               strict=False)],
    )  # fmt: skip


def title(name: str) -> str:
    return next((text for part, text in TITLES.items() if part in name), name[-16:])


def layer_names(names: list[str]) -> list[str]:
    """`layer 3`; where there are several stacks `encoder 3`."""
    parts = [name.split(".") for name in names]
    if len({tuple(one[:-1]) for one in parts}) == 1:
        return [f"layer {one[-1]}".strip() for one in parts]
    return [" ".join((one[-3], one[-1])) if len(one) > 2 else ".".join(one) for one in parts]


def _tall(matrix: NDArray[Any]) -> bool:
    rows, columns = matrix.shape
    return bool(rows > columns)


def _starts(sizes: list[int]) -> list[int]:
    """Where each begins, and the next one would."""
    return [0, *np.cumsum([size + GAP for size in sizes]).tolist()]
