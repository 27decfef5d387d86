"""The names of points of other papers beside them, in a figure whose layout is done."""

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.curves import Panel
from analysis.labels import REACH, Boxes, along, distance, place, squares
from analysis.style import SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOK: dict[str, Any] = {"fontsize": 6.5, "color": SOFT, "va": "bottom", "zorder": 6}
LEADER: dict[str, Any] = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.5, "shrinkB": 3}


def name_others(axes: "Axes", panel: Panel) -> None:
    """Each once, where it covers no line, marker or other name; with a line if it is not near."""
    rows = panel.references.sort_values("y").drop_duplicates("name")
    if rows.empty:
        return
    scale = axes.figure.dpi / 72
    spots = axes.transData.transform(rows[["x", "y"]].to_numpy(dtype=float))
    sizes = [_size(axes, name) for name in rows["name"]]
    left, bottom, right, top = axes.get_window_extent().extents
    others = axes.transData.transform(panel.references[["x", "y"]].to_numpy(dtype=float))
    taken = np.vstack([_taken(axes, panel, scale), squares(others, 4 * scale)])
    points = [(float(x), float(y)) for x, y in spots]
    places = place(points, sizes, taken, (left, bottom, right, top), scale)
    for (x, y, name), spot, size, corner in zip(
        rows[["x", "y", "name"]].itertuples(index=False), points, sizes, places, strict=True
    ):
        if corner is None:
            continue
        near = distance(spot, corner, size) <= 1.5 * REACH[0] * scale
        axes.annotate(
            *(name, (x, y), ((corner[0] - spot[0]) / scale, (corner[1] - spot[1]) / scale)),
            textcoords="offset points",
            arrowprops=None if near else LEADER,
            **LOOK,
        )


def _size(axes: "Axes", name: str) -> tuple[float, float]:
    text = axes.text(0, 0, name, **LOOK)
    box = text.get_window_extent()
    text.remove()
    return box.width, box.height


def _taken(axes: "Axes", panel: Panel, scale: float) -> Boxes:
    """What a name should not cover, in pixels: curves, the dense lines and what they are called."""
    lines = [np.array([(x, q) for x in panel.xlim]) for q in panel.dense["quality"]]
    lines += [panel.curve(name)[["x", "y"]].to_numpy() for name in panel.points["family"].unique()]
    found = [np.reshape([text.get_window_extent().extents for text in axes.texts], (-1, 4))]
    for line in lines:
        if len(line):
            pixels = axes.transData.transform(line.astype(float))
            found.append(squares(along(pixels, 6 * scale), 2.5 * scale))
    return np.vstack(found)
