"""Pictures of networks: heads and widths of every layer, and which blocks of each matrix live."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analysis.figures import settle
from analysis.masks import Arranged
from analysis.style import INK, PAPER, SOFT, paper_style

MAP = "Blues"
ACROSS, MOST_INCHES = 8.6, 12.0  # of a picture of masks
CHARACTER = 0.06  # inches, of a number in a map
MOST_ACROSS = 16.0  # inches of both maps

Shapes = Sequence[tuple[str, Sequence[int], Sequence[int]]]  # label, heads, widths


def layers_figure(networks: Shapes) -> Figure:
    """Two maps: heads and FFN neurons left of each layer, a row for each network."""
    maps = [
        ("Heads left", [(label, heads) for label, heads, _ in networks]),
        ("FFN neurons left", [(label, widths) for label, _, widths in networks]),
    ]
    widths = [_inches([values for _, values in rows]) for _, rows in maps]
    with matplotlib.rc_context(paper_style()):
        across = min(MOST_ACROSS, sum(widths))
        size = (across + 1.4, 1.1 + 0.27 * len(networks))
        picture = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.subplots(1, 2, width_ratios=widths)
        for axis, (title, rows) in zip(axes, maps, strict=True):
            _map(picture, axis, title, rows, numbers=sum(widths) <= MOST_ACROSS)
        axes[1].set_yticklabels([])
        settle(picture)
    return picture


def _inches(rows: Sequence[Sequence[int]]) -> float:
    """What a map needs so that its numbers can be read."""
    digits = max((len(str(value)) for row in rows for value in row), default=1)
    return max(2.5, CHARACTER * (digits + 1.5) * max(map(len, rows), default=0))


def _map(
    picture: Figure,
    axes: Axes,
    title: str,
    rows: Sequence[tuple[str, Sequence[int]]],
    numbers: bool,
) -> None:
    longest = max((len(values) for _, values in rows), default=0)
    table = np.full((len(rows), max(longest, 1)), np.nan)
    for row, (_, values) in enumerate(rows):
        table[row, : len(values)] = values
    top = np.nanmax(table) if np.isfinite(table).any() else 1
    image = axes.imshow(table, cmap=MAP, vmin=0, vmax=max(1, top) * 1.1, aspect="auto")
    if numbers:
        _numbers(axes, table, top)
    else:  # the shade has to do
        picture.colorbar(image, ax=axes, shrink=0.8, pad=0.01)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=7.5)
    axes.set_xticks(range(0, longest, max(1, longest // 12)))
    axes.set_xlabel("layer")
    axes.set_title(title, fontsize=9)
    axes.grid(False)


def _numbers(axes: Axes, table: NDArray[np.float64], top: float) -> None:
    for (row, layer), number in np.ndenumerate(table):
        if np.isfinite(number):
            colour = PAPER if number > 0.65 * top else INK
            look: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 6.5,
                "color": colour,
            }
            # It lies inside of the map: the layout need not measure it, nor look for formulas.
            text = axes.text(layer, row, f"{number:.0f}", parse_math=False, **look)
            text.set_in_layout(False)


def masks_figure(title: str, arranged: Arranged) -> Figure:
    """Every matrix of a network, a row for each layer: dark where all of its weights live."""
    height, width = arranged.image.shape
    with matplotlib.rc_context(paper_style()):
        tall = min(MOST_INCHES, ACROSS * height / width)
        picture = Figure(figsize=(ACROSS + 1.2, tall + 0.9), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.subplots()
        axes.imshow(arranged.image, cmap=MAP, vmin=0, vmax=1, aspect="auto",
                    interpolation="nearest")  # fmt: skip
        frames = [Rectangle((x - 0.5, y - 0.5), w, h) for x, y, w, h in arranged.frames]
        look: dict[str, Any] = {"facecolor": "none", "edgecolor": SOFT, "linewidth": 0.5}
        axes.add_collection(PatchCollection(frames, **look))
        axes.set_xticks([x for x, _ in arranged.columns], [t for _, t in arranged.columns])
        axes.set_yticks([y for y, _ in arranged.rows], [t for _, t in arranged.rows])
        axes.set_xlim(-1, width), axes.set_ylim(height, -1)  # the frames stand out a little
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelsize=7.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.grid(False)
        picture.suptitle(title, fontsize=9)
        settle(picture)
    return picture
