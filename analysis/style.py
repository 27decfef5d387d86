"""How every picture looks. Colours after Okabe and Ito, told apart also without colour vision.

Two of theirs are darker here: every colour has a contrast of 3 with white; on black the last two
are lighter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.font_manager import fontManager

from analysis.curves import OTHER

INK, SOFT, GRID, PAPER = "#1f2328", "#6e7781", "#e7eaee", "#ffffff"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#2E9BDB", "#7F4FC9", "#6B4423")
ON_BLACK = ("#3A8FC8", *COLOURS[1:6], "#A98BEA", "#B08968")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DPI = 200
HOLLOW = ("o", "s", "D", "^", "v", "h")  # of points of other papers, one a harness
FONTS = ("Inter", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans")


@dataclass(frozen=True)
class Style:
    colour: str
    marker: str


def styles(families: Sequence[str]) -> dict[str, Style]:
    """A colour and a marker for each family, the same in every panel."""
    chosen = {
        name: Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(families)
    }
    return {**chosen, OTHER: Style(SOFT, ".")}


def paper_style() -> Any:
    """The settings of matplotlib for every picture here."""
    present = {font.name for font in fontManager.ttflist}
    return {
        "figure.dpi": DPI,  # the layout is done once, for the widths that a PNG's letters have
        "figure.constrained_layout.w_pad": 0.07,
        "figure.constrained_layout.h_pad": 0.07,
        "font.family": "sans-serif",
        "font.sans-serif": [name for name in FONTS if name in present],
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": SOFT,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.handlelength": 2.2,
        "svg.hashsalt": "prune",
    }
