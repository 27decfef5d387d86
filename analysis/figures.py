"""Tables -> pictures, in the style of a paper.

Every family has a colour and a marker of its own. The dense network is the dashed line; points of
other papers are hollow, a shape for each harness that their speed was measured with.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis.curves import OTHER, Panel
from analysis.labels import columns
from analysis.metrics import Metric
from analysis.naming import name_others
from analysis.style import GRID, HOLLOW, INK, PAPER, SOFT, Style, paper_style, styles

SHADE = "#f1f4f6"  # of the area below the front
MANY = 1500  # points beyond which a cloud is drawn as pixels even in SVG and PDF
CHARACTERS = 14  # of the legend to an inch; each name has a marker before it
CROWDED = 30  # points on one curve beyond which some markers are left out
CANVASES: dict[str, tuple[type[FigureCanvasBase], dict[str, None]]] = {  # and no date in the file
    "png": (FigureCanvasAgg, {}),
    "svg": (FigureCanvasSVG, {"Date": None}),
    "pdf": (FigureCanvasPdf, {"CreationDate": None}),
}
MEANS = 30  # settings with several seeds that are drawn, the best ones


def figure(panels: Sequence[Panel], families: Sequence[str]) -> Figure:
    """The panels side by side with one legend below."""
    with matplotlib.rc_context(paper_style()):
        picture = Figure(figsize=(4.9 * len(panels), 3.9), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.subplots(1, len(panels), squeeze=False)[0]
        look, shapes = styles(families), hollow(panels)
        ends = [limit for one in panels for limit in one.ylim]
        panels = [dataclasses.replace(one, ylim=(min(ends), max(ends))) for one in panels]
        for axis, one in zip(axes, panels, strict=True):
            draw(axis, one, look)
            _others(axis, one, shapes)
        for axis in axes[1:]:
            axis.set_ylabel("")
        _legend(picture, panels, look, shapes)
        settle(picture)
        for axis, one in zip(axes, panels, strict=True):
            name_others(axis, one)
    return picture


def settle(picture: Figure) -> None:
    """Do the layout once, for good: it takes as long as the drawing."""
    engine = picture.get_layout_engine()
    if engine:
        engine.execute(picture)
    picture.set_layout_engine("none")


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
    _seeds(axes, panel)
    axes.set_xlabel(_label(panel.x))
    axes.set_ylabel(f"{panel.y.label} on {panel.task}")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if panel.x.unit == "x":
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    _note(axes, panel)


def render(picture: Figure, form: str, text_as_text: bool = False) -> bytes:
    """The picture as `png`, `svg` or `pdf`; the same table gives the same bytes.

    Asked of the canvas itself: `savefig` draws everything twice, to find out how large it is.
    """
    settings: Any = {**paper_style(), "svg.fonttype": "none" if text_as_text else "path"}
    with matplotlib.rc_context(settings), io.BytesIO() as file:
        kind, undated = CANVASES[form]
        canvas: Any = kind(picture)
        getattr(canvas, f"print_{form}")(file, metadata=undated)
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


def _seeds(axes: Axes, panel: Panel) -> None:
    """Means over seeds with their deviations, in both directions."""
    rows = panel.seeds.sort_values("quality", ascending=not panel.y.higher).head(MEANS)
    inside = rows["quality"].between(*panel.ylim) & rows["x"].between(*panel.xlim)
    rows = rows[inside]
    if len(rows):
        bars: dict[str, Any] = {"xerr": rows["x_std"], "yerr": rows["quality_std"], "capsize": 2}
        look: dict[str, Any] = {
            "fmt": "_",
            "color": INK,
            "markersize": 4,
            "elinewidth": 0.8,
            "capthick": 0.8,
        }
        axes.errorbar(rows["x"], rows["quality"], zorder=5, **bars, **look)


def _others(axes: Axes, panel: Panel, shapes: Mapping[str, str]) -> None:
    """Points of other papers, hollow: their speed is of another harness."""
    for harness, marker in shapes.items():
        rows = panel.references[panel.references["harness"] == harness]
        for _, own in rows.sort_values("x").groupby("name"):  # one name is for all of its points
            dots: dict[str, Any] = {"linestyle": ":", "linewidth": 0.8, "color": SOFT}
            axes.plot(own["x"], own["y"], zorder=3.5, **dots, **_hollow(marker))


def hollow(panels: Sequence[Panel]) -> dict[str, str]:
    """Harness -> the marker of its points, the same in all panels."""
    names = [name for one in panels for name in one.references["harness"]]
    return {n: HOLLOW[i % len(HOLLOW)] for i, n in enumerate(sorted(set(names)))}


def _hollow(marker: str) -> dict[str, Any]:
    look: dict[str, Any] = {
        "marker": marker,
        "markersize": 5.5,
        "markeredgecolor": INK,
        "markeredgewidth": 0.9,
    }
    return {**look, "markerfacecolor": "none"}


def _note(axes: Axes, panel: Panel) -> None:
    """What is not in the picture."""
    side = "below" if panel.y.higher else "above"
    hidden = f"{panel.hidden} more {side} {panel.y.show(panel.worst)}" if panel.hidden else ""
    many = "points of other papers lie" if panel.outside > 1 else "point of other papers lies"
    outside = f"{panel.outside} {many} outside" if panel.outside else ""
    text = "; ".join(filter(None, (hidden, outside)))
    if text:
        x, ha = (0.01, "left") if panel.x.higher else (0.99, "right")
        axes.text(x, 0.015, text, transform=axes.transAxes, ha=ha, fontsize=7.5, color=SOFT)


def _legend(
    picture: Figure, panels: Sequence[Panel], look: dict[str, Style], shapes: Mapping[str, str]
) -> None:
    seen = {name for one in panels for name in one.points["family"].unique()}
    handles: list[Artist] = [
        Line2D([], [], label=name, linewidth=1.3 * (name != OTHER), **_marker(style))
        for name, style in look.items()
        if name in seen
    ]
    if handles:
        handles.append(Patch(facecolor=SHADE, edgecolor=GRID, label="dominated"))
    for harness, marker in shapes.items():
        look_of: dict[str, Any] = {"linestyle": "none", **_hollow(marker)}
        handles.append(Line2D([], [], label=f"elsewhere: {harness}", **look_of))
    if handles:
        labels = [str(handle.get_label()) for handle in handles]
        room = int(picture.get_figwidth() * CHARACTERS)
        picture.legend(handles=handles, loc="outside lower center", ncols=columns(labels, room))


def _label(metric: Metric) -> str:
    unit = f" ({metric.unit.strip()})" if metric.unit not in ("", "x") else ""
    return (
        f"{metric.label}{unit}  (more is better)"
        if metric.higher
        else (f"{metric.label}{unit}  (less is better)")
    )
