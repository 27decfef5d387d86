"""The report's folder: every file is whole or absent, and the page comes last."""

import os
from collections.abc import Mapping
from pathlib import Path

from analysis.curves import families, panel
from analysis.figures import THEMED, colours, figure, render
from analysis.html import page
from analysis.metrics import AXES
from analysis.summary import Summary
from analysis.table import markdown
from prune.errors import PruneError, UsageError

FORMS = ("png", "svg", "pdf")


def write_report(
    folder: Path, summaries: list[Summary], points: str, command: str, notes: list[str]
) -> list[Path]:
    """Pictures, `points.csv`, `front.md` and `index.html`; the paths, the page first.

    points: the CSV text. Raises UsageError if `folder` is a file, PruneError if writing fails.
    """
    files: dict[str, bytes] = {}
    pictures: dict[str, str] = {}
    for summary in summaries:
        pictures[summary.name] = _pictures(summary, files)
    files["points.csv"] = points.encode()
    files["front.md"] = markdown(summaries).encode()
    dots = {summary.name: colours(families(summary)) for summary in summaries}
    files["index.html"] = page(summaries, pictures, dots, THEMED, command, notes).encode()
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


def _pictures(summary: Summary, files: dict[str, bytes]) -> str:
    """Adds the pictures of one task to `files`; the SVG for the page comes back.

    `pareto_TASK` has both panels, `pareto_TASK_AXIS` one each: against speedup and density, and the
    report's own axis if that is another one.
    """
    names = families(summary)
    shown = dict.fromkeys([AXES["speedup"], AXES["density"], summary.x])
    panels = [panel(summary, x) for x in shown]
    both = figure(panels, names)
    for form in FORMS:
        files[f"pareto_{summary.name}.{form}"] = render(both, form)
    for one in panels:
        files[f"pareto_{summary.name}_{one.x.label}.svg"] = render(figure([one], names), "svg")
    return render(both, "svg", text_as_text=True).decode()
