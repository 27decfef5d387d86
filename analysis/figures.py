"""Tables -> pictures, in the style of a paper. The only file that imports matplotlib; no pyplot.

Colours are those of Okabe and Ito, told apart also without colour vision; every family has its own
marker besides. The dense network is the dashed line.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis.curves import OTHER, Panel
from analysis.metrics import Metric

INK, SOFT, GRID, PAPER = "#1f2328", "#6e7781", "#e7eaee", "#ffffff"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F4FC9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<")
SHADE = "#f1f4f6"  # of the area below the front
MANY = 1500  # points beyond which a cloud is drawn as pixels even in SVG and PDF
CHARACTERS = 14  # of the legend to an inch; each name has a marker before it
CROWDED = 30  # points on one curve beyond which some markers are left out
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


def colours(families: Sequence[str]) -> dict[str, str]:
    """Family -> its colour in the figures, for a legend elsewhere."""
    return {name: style.colour for name, style in styles(families).items()}


def figure(panels: Sequence[Panel], families: Sequence[str]) -> Figure:
    """The panels side by side with one legend below."""
    with matplotlib.rc_context(paper_style()):
        picture = Figure(figsize=(4.9 * len(panels), 3.9), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.subplots(1, len(panels), squeeze=False)[0]
        look = styles(families)
        for axis, one in zip(axes, panels, strict=True):
            draw(axis, one, look)
        for axis in axes[1:]:
            axis.set_ylabel("")
        _legend(picture, panels, look)
    return picture


def draw(axes: Axes, panel: Panel, look: dict[str, Style]) -> None:
    """One panel: faint points, the front of each family connected, intervals, the dense lines."""
    for family, style in look.items():
        _cloud(axes, panel, family, style)
    _front(axes, panel)
    for family, style in look.items():
        _curve(axes, panel, family, style)
    axes.set_xlim(*panel.xlim)
    axes.set_ylim(*panel.ylim)
    _dense(axes, panel)
    axes.set_xlabel(_label(panel.x))
    axes.set_ylabel(f"{panel.y.label} on {panel.task}")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if panel.x.unit == "x":
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    if panel.hidden:
        _hidden_note(axes, panel)


def render(picture: Figure, form: str, text_as_text: bool = False) -> bytes:
    """The picture as `png`, `svg` or `pdf`; the same table gives the same bytes."""
    extra: dict[str, Any] = {"png": {"dpi": 200}}.get(form, {})
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    settings: Any = {**paper_style(), "svg.fonttype": "none" if text_as_text else "path"}
    with matplotlib.rc_context(settings), io.BytesIO() as file:
        picture.savefig(file, format=form, metadata=metadata, **extra)
        return file.getvalue()


def _cloud(axes: Axes, panel: Panel, family: str, style: Style) -> None:
    rows = panel.points
    rows = rows[(rows["family"] == family) & ~rows["curve"]]
    if len(rows):
        many = len(panel.points) > MANY
        axes.scatter(
            *(rows["x"], rows["y"]),
            s=4 if many else 16,
            c=style.colour,
            marker="." if many else style.marker,
            alpha=0.18 if many else 0.32,
            linewidths=0,
            rasterized=many,
            zorder=2,
        )


def _front(axes: Axes, panel: Panel) -> None:
    """Shade what the front of all families dominates; its edge are the points one can have."""
    x, y = panel.steps()
    axes.fill_between(x, y, panel.worst, color=SHADE, linewidth=0, zorder=0.5)


def _curve(axes: Axes, panel: Panel, family: str, style: Style) -> None:
    rows = panel.curve(family)
    if not len(rows):
        return
    axes.plot(rows["x"], rows["y"], color=style.colour, linewidth=1.3, alpha=0.85, zorder=3)
    known = rows[rows["low"].notna() & rows["high"].notna()]
    axes.hlines(known["y"], known["low"], known["high"], style.colour, linewidth=0.9, zorder=3)
    apart = 0.025 if len(rows) > CROWDED else None  # of the diagonal
    look = _marker(style)
    axes.plot(*(rows["x"], rows["y"]), linestyle="none", zorder=4, markevery=apart, **look)


def _marker(style: Style) -> dict[str, Any]:
    return {
        "marker": style.marker,
        "color": style.colour,
        "markersize": 6,
        "markeredgecolor": PAPER,
        "markeredgewidth": 0.7,
    }


def _dense(axes: Axes, panel: Panel) -> None:
    lines: dict[str, tuple[float, list[str]]] = {}
    for model, quality in panel.dense.itertuples(index=False):
        if panel.ylim[0] <= quality <= panel.ylim[1]:  # equal ones share their line and its label
            lines.setdefault(panel.y.show(quality), (quality, []))[1].append(str(model))
    for quality, models in lines.values():
        axes.axhline(quality, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1.5)
        name = f"dense {', '.join(models)}" if len(lines) > 1 else "dense"
        axes.annotate(
            f"{name} {panel.y.show(quality)}",
            (0.99 if panel.x.higher else 0.01, quality),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right" if panel.x.higher else "left",
            fontsize=8,
            color=INK,
        )


def _hidden_note(axes: Axes, panel: Panel) -> None:
    side = "below" if panel.y.higher else "above"
    text = f"{panel.hidden} more {side} {panel.y.show(panel.worst)}"
    x, ha = (0.01, "left") if panel.x.higher else (0.99, "right")
    axes.text(x, 0.015, text, transform=axes.transAxes, ha=ha, fontsize=7.5, color=SOFT)


def _legend(picture: Figure, panels: Sequence[Panel], look: dict[str, Style]) -> None:
    seen = {name for one in panels for name in one.points["family"].unique()}
    handles: list[Artist] = [
        Line2D([], [], label=name, linewidth=1.3, **_marker(style))
        for name, style in look.items()
        if name in seen
    ]
    if handles:
        handles.append(Patch(facecolor=SHADE, edgecolor=GRID, label="dominated"))
        longest = max(len(str(handle.get_label())) for handle in handles)
        fitting = max(1, int(picture.get_figwidth() * CHARACTERS / (longest + 7)))
        rows = math.ceil(len(handles) / min(fitting, 3 * len(panels)))
        columns = math.ceil(len(handles) / rows)
        picture.legend(handles=handles, loc="outside lower center", ncols=columns)


def _label(metric: Metric) -> str:
    unit = f" ({metric.unit.strip()})" if metric.unit not in ("", "x") else ""
    return (
        f"{metric.label}{unit}  (more is better)"
        if metric.higher
        else (f"{metric.label}{unit}  (less is better)")
    )


def paper_style() -> Any:
    """The settings of matplotlib for every picture here."""
    present = {font.name for font in fontManager.ttflist}
    return {
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
