"""The report's folder: every file is whole or absent, and the page comes last."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.curves import families, panel
from analysis.drawing import layers_figure, masks_figure
from analysis.figures import figure, render
from analysis.html import page
from analysis.masks import arrange
from analysis.metrics import AXES
from analysis.paper import paper_figures
from analysis.summary import Summary
from analysis.table import markdown
from prune.errors import PruneError, UsageError
from prune.store.masks import read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = ("png", "svg", "pdf")
LAYERS = 12  # networks of a front in the map of layers
MASKS = 4  # networks of which the masks are drawn


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
    panels = [panel(summary, x, data["references"]) for x in shown]
    _add(files, f"pareto_{summary.name}", figure(panels, names))
    for one in panels:
        files[f"pareto_{summary.name}_{one.x.label}.svg"] = render(figure([one], names), "svg")
    for name, (those, order) in paper_figures(summary).items():
        _add(files, f"{name}_{summary.name}", figure(those, order))
    _shapes(summary, data, files)
    _masks(summary, files)


def _shapes(summary: Summary, data: Mapping[str, Any], files: dict[str, bytes]) -> None:
    """Heads and widths of the front's networks."""
    points = {(p["run"], p["family"]): p for p in data["points"]}
    rows = []
    for row in summary.front.head(LAYERS).to_dict("records"):
        layers = points.get((row["run_id"], row["family"]), {}).get("layers") or {}
        if layers.get("heads") or layers.get("widths"):
            label = f"{summary.y.show(row['quality'])} at {row['speedup']:.2f}x"
            rows.append((label, layers["heads"], layers["widths"]))
    if rows:
        _add(files, f"layers_{summary.name}", layers_figure(rows))


def _masks(summary: Summary, files: dict[str, bytes]) -> None:
    """What lives of the best network of each family of the front, by the masks its run kept."""
    seen: set[str] = set()
    for row in summary.front.to_dict("records"):
        if len(seen) == MASKS or row["family"] in seen:
            continue
        if masks := read(Path(row["path"])):
            seen.add(row["family"])
            title = f"{row['family']} ({row['run_id']}), {summary.y.label} " + (
                f"{summary.y.show(row['quality'])}: the weights that live"
            )
            name = f"masks_{summary.name}_{row['run_id']}"
            _add(files, name, masks_figure(title, arrange(masks)))


def _add(files: dict[str, bytes], name: str, picture: "Figure") -> None:
    for form in FORMS:
        files[f"{name}.{form}"] = render(picture, form)
