"""Where labels go so that none covers another: boxes in, places out. Draws nothing.

A box is (left, bottom, right, top), in pixels.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
# Directions from the point, the usual first: right, left, above, below, and between.
AROUND = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
REACH = (5.0, 12.0, 20.0)  # points, as fonts have them, from what is labelled


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Boxes,
    frame: tuple[float, float, float, float],
    scale: float = 1.0,
) -> list[tuple[float, float] | None]:
    """Left bottom corner of the label of each point, `sizes` (width, height), all in pixels.

    taken: (n, 4) boxes that a label should not cover. Inside `frame`, near its point, and first
    come first served; None where every place would cover another label. scale: pixels a point.
    """
    corners: list[tuple[float, float] | None] = []
    labels = np.empty((0, 4))
    for point, size in zip(points, sizes, strict=True):
        boxes = _candidates(point, size, scale)
        inside = (boxes[:, :2] >= frame[:2]).all(axis=1) & (boxes[:, 2:] <= frame[2:]).all(axis=1)
        free = inside & (overlap(boxes, labels) == 0)
        if not free.any():
            corners.append(None)
            continue
        # Better near than quite free: a place further away has to save a tenth of the label.
        cost = 0.1 * size[0] * size[1] * (np.arange(len(boxes)) // len(AROUND))
        covered = overlap(boxes, taken) + cost + 1e-3 * np.arange(len(boxes))
        best = boxes[int(np.argmin(np.where(free, covered, np.inf)))]
        corners.append((float(best[0]), float(best[1])))
        labels = np.vstack([labels, best])
    return corners


def overlap(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """The area of each of `boxes` that `others` cover, counted again where they do so twice."""
    width = np.minimum(boxes[:, None, 2], others[None, :, 2]) - np.maximum(
        boxes[:, None, 0], others[None, :, 0]
    )
    height = np.minimum(boxes[:, None, 3], others[None, :, 3]) - np.maximum(
        boxes[:, None, 1], others[None, :, 1]
    )
    area: NDArray[np.float64] = (np.clip(width, 0, None) * np.clip(height, 0, None)).sum(axis=1)
    return area


def squares(points: NDArray[np.float64], half: float) -> Boxes:
    """A box around each of the points (n, 2)."""
    return np.hstack([points - half, points + half])


def distance(
    point: tuple[float, float], corner: tuple[float, float], size: tuple[float, float]
) -> float:
    """From a point to the nearest edge of a box, given by its left bottom corner and size."""
    gaps = [max(c - p, 0.0, p - c - s) for p, c, s in zip(point, corner, size, strict=True)]
    return math.hypot(*gaps)


def along(points: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Points (m, 2) at most `step` apart on the line through `points` (n, 2)."""
    parts = [points[:1]]
    for start, end in pairwise(points):
        count = max(1, int(np.hypot(*(end - start)) / step))
        parts.append(start + (end - start) * np.arange(1, count + 1)[:, None] / count)
    return np.vstack(parts)


def columns(labels: Sequence[str], room: int, extra: int = 7) -> int:
    """The most columns of a legend that fit into `room` characters, each with `extra` besides."""
    for count in range(len(labels), 1, -1):
        parts = np.array_split(np.array([len(label) for label in labels]), count)
        if sum(int(part.max()) + extra for part in parts) <= room:
            return count
    return 1


def _candidates(point: tuple[float, float], size: tuple[float, float], scale: float) -> Boxes:
    found = []
    for reach in (scale * reach for reach in REACH):
        for across, up in AROUND:
            left = point[0] + reach * across - size[0] * (1 - across) / 2
            bottom = point[1] + reach * up - size[1] * (1 - up) / 2
            found.append((left, bottom, left + size[0], bottom + size[1]))
    return np.array(found)
