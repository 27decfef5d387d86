"""Pictures of networks: heads and widths of every layer, and which blocks of each matrix live."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures import paper_style
from analysis.weights import Shares

MAP = "Blues"
CHARACTERS = 60  # that fit across a map
SHORT = {  # part of a matrix's name -> its title
    **{"query": "query", "key": "key", "value": "value", "attention.output": "attention output"},
    **{"intermediate": "FFN in", "output.dense": "FFN out"},
}


def layers_figure(networks: Sequence[tuple[str, Sequence[int], Sequence[int]]]) -> Figure:
    """Two maps: heads and FFN neurons left. networks: (label, heads, widths), a row each."""
    with matplotlib.rc_context(paper_style()):
        height = 1.1 + 0.3 * len(networks)
        picture = Figure(figsize=(9.8, height), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.subplots(1, 2)
        _map(axes[0], "Heads left", [(label, heads) for label, heads, _ in networks])
        _map(axes[1], "FFN neurons left", [(label, widths) for label, _, widths in networks])
        axes[1].set_yticklabels([])
    return picture


def _map(axes: Axes, title: str, rows: Sequence[tuple[str, Sequence[int]]]) -> None:
    longest = max((len(values) for _, values in rows), default=0)
    table = np.full((len(rows), max(longest, 1)), np.nan)
    for row, (_, values) in enumerate(rows):
        table[row, : len(values)] = values
    top = np.nanmax(table) if np.isfinite(table).any() else 1
    axes.imshow(table, cmap=MAP, vmin=0, vmax=top * 1.1, aspect="auto")
    room = CHARACTERS / max(longest, 1)  # in a cell
    for (row, layer), number in np.ndenumerate(table):
        if room < len(f"{top:.0f}"):
            break  # the shade has to do
        if np.isfinite(number):
            colour = "white" if number > 0.65 * top else "#1f2328"
            axes.text(layer, row, f"{number:.0f}", ha="center", va="center", fontsize=6.5,
                      color=colour)  # fmt: skip
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=7.5)
    axes.set_xticks(range(0, longest, max(1, longest // 12)))
    axes.set_xlabel("layer")
    axes.set_title(title, fontsize=9)
    axes.grid(False)


def masks_figure(title: str, layers: Mapping[int, Mapping[str, Shares]]) -> Figure:
    """A row for each layer, a picture for each matrix: dark where all weights live.

    Each is drawn to the scale of the largest, so that a matrix that shrank is smaller.
    """
    names = list(dict.fromkeys(name for matrices in layers.values() for name in matrices))
    tops = {n: [max(_size(m, n, axis) for m in layers.values()) for axis in (0, 1)] for n in names}
    with matplotlib.rc_context(paper_style()):
        picture = Figure(
            figsize=(1.2 + 1.35 * len(names), 0.7 + 1.15 * len(layers)), layout="constrained"
        )
        FigureCanvasAgg(picture)
        axes = picture.subplots(len(layers), len(names), squeeze=False)
        for row, (layer, matrices) in enumerate(sorted(layers.items())):
            for column, name in enumerate(names):
                axis = axes[row][column]
                _mask(axis, matrices.get(name), tops[name])
                if row == 0:
                    axis.set_title(_short(name), fontsize=7.5)
                if column == 0:
                    axis.set_ylabel(f"layer {layer}", fontsize=7.5)
        picture.suptitle(title, fontsize=9)
    return picture


def _mask(axes: Axes, shares: Shares | None, top: Sequence[int]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlim(-0.5, max(top[1], 1) - 0.5)
    axes.set_ylim(max(top[0], 1) - 0.5, -0.5)
    if shares is None or not shares.size:
        axes.text(0.5, 0.5, "none left", transform=axes.transAxes, ha="center", fontsize=6.5)
        return
    extent = (-0.5, shares.shape[1] - 0.5, shares.shape[0] - 0.5, -0.5)
    axes.imshow(shares, cmap=MAP, vmin=0, vmax=1, extent=extent, interpolation="nearest")
    frame: dict[str, Any] = {"fill": False, "linewidth": 0.5, "edgecolor": "#6e7781"}
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((-0.5, -0.5), shares.shape[1], shares.shape[0], **frame))
    axes.set_xlim(-0.5, max(top[1], 1) - 0.5)
    axes.set_ylim(max(top[0], 1) - 0.5, -0.5)


def _size(matrices: Mapping[str, Shares], name: str, axis: int) -> int:
    return matrices[name].shape[axis] if name in matrices else 0


def _short(name: str) -> str:
    return next((title for part, title in SHORT.items() if part in name), name[-16:])
