"""The report's folder: every file is whole or absent, and the page comes last."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.curves import families, panel
from analysis.drawing import layers_figure, masks_figure
from analysis.figures import figure, render
from analysis.html import page
from analysis.metrics import AXES
from analysis.paper import paper_figures
from analysis.summary import Summary
from analysis.table import markdown
from analysis.weights import Layers, patterns
from prune.errors import MissingInputError, PruneError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = ("png", "svg", "pdf")
LAYERS = 16  # networks of a front in the map of layers


def write_report(
    folder: Path,
    summaries: list[Summary],
    points: str,
    data: Mapping[str, Any],
    command: str,
    notes: list[str],
) -> list[Path]:
    """Pictures, `points.csv`, `front.md` and `index.html`; the paths, the page first.

    points: the CSV text. data: of `page_data`. Raises UsageError if `folder` is a file,
    PruneError if writing fails.
    """
    files: dict[str, bytes] = {}
    for summary, task in zip(summaries, data["tasks"], strict=True):
        _pictures(summary, task, files)
    files["points.csv"] = points.encode()
    files["front.md"] = markdown(summaries).encode()
    files["index.html"] = page(summaries, data, command, notes).encode()
    write_files(folder, files)
    return [folder / name for name in reversed(files)]


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """In order; a crash at any moment leaves no file that is half written."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file: name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            aside = folder / f".{name}.{os.getpid()}.tmp"
            try:
                aside.write_bytes(content)
                os.replace(aside, folder / name)
            finally:
                aside.unlink(missing_ok=True)
    except OSError as error:
        raise PruneError(
            f"cannot write the report to {folder}: {error.strerror}; choose another with --out"
        ) from error


def _pictures(summary: Summary, data: Mapping[str, Any], files: dict[str, bytes]) -> None:
    """Adds the pictures of one task to `files`.

    `pareto_TASK` has both panels, `pareto_TASK_AXIS` one each: against speedup and density, and the
    report's own axis if that is another one. `blocks_`, `teacher_`, `pruning_speed_`, `layers_` and
    `masks_` where there is something to be seen.
    """
    names = families(summary)
    shown = dict.fromkeys([AXES["speedup"], AXES["density"], summary.x])
    panels = [panel(summary, x) for x in shown]
    _add(files, f"pareto_{summary.name}", figure(panels, names))
    for one in panels:
        files[f"pareto_{summary.name}_{one.x.label}.svg"] = render(figure([one], names), "svg")
    for name, (those, order) in paper_figures(summary).items():
        _add(files, f"{name}_{summary.name}", figure(those, order))
    _networks(summary, data, files)


def _networks(summary: Summary, data: Mapping[str, Any], files: dict[str, bytes]) -> None:
    """The shapes of the front's networks, and the masks of the best one that is on this disk."""
    points = {(p["run"], p["family"]): p for p in data["points"]}
    rows = []
    for row in summary.front.head(LAYERS).to_dict("records"):
        layers = points.get((row["run_id"], row["family"]), {}).get("layers") or {}
        if layers.get("heads") or layers.get("widths"):
            label = f"{summary.y.show(row['quality'])} at {row['speedup']:.2f}x"
            rows.append((label, layers["heads"], layers["widths"]))
    if rows:
        _add(files, f"layers_{summary.name}", layers_figure(rows))
    found: dict[str, Layers] = {}
    for row in summary.front.head(LAYERS).to_dict("records"):
        weights = Path(row["path"], row["artifact"] or "-", "model.safetensors")
        if not row["source"] and (layers := _patterns(weights)):
            found.setdefault(
                f"{row['family']} ({row['run_id']}): the weights that are left", layers
            )
    if found:  # the first that has holes: one without them is dark all over
        title = next((title for title, layers in found.items() if _holes(layers)), min(found))
        _add(files, f"masks_{summary.name}", masks_figure(title, found[title]))


def _holes(layers: Layers) -> bool:
    return any((m < 0.5).any() for matrices in layers.values() for m in matrices.values())


def _patterns(weights: Path) -> Layers:
    """Nothing for a model that was removed or cannot be read: a report does without its picture."""
    try:
        return patterns(weights) if weights.is_file() else {}
    except MissingInputError:
        return {}


def _add(files: dict[str, bytes], name: str, picture: "Figure") -> None:
    for form in FORMS:
        files[f"{name}.{form}"] = render(picture, form)
