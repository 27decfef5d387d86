"""One run as text: what was asked, what came out, the next command."""

import shlex
from collections.abc import Mapping

from prune.records import Point, Record, readable


def summary(record: Record, progress: Mapping[str, float] | None = None) -> str:
    """Several lines about `record`; `progress` is the last line of its metrics."""
    title = [record.run_id, record.status, record.experiment, record.task]
    lines = [" · ".join(filter(None, title)) + f"   {record.path}"]
    facts = {
        "overrides": shlex.join(record.overrides),
        "started": record.started,
        "took": took(record),
        "progress": "" if record.points else progress_text(progress),
        **{f"from {role}": name for role, name in record.lineage.items()},
        "reference": quality_text(record.reference, record.metric),
        "error": record.error,
    }
    lines += [f"  {name:<14}{text}" for name, text in facts.items() if text]
    for point in record.points:
        lines += _point(point, record.metric)
    if record.status in ("failed", "interrupted"):
        lines.append(f"next: prune train {shlex.join(record.overrides)}".rstrip())
    return "\n".join(lines)


def took(record: Record) -> str:
    """How long, for how many steps, and what the time was spent on."""
    if not record.seconds:
        return ""
    spent = ", ".join(f"{what} {seconds:,.0f}" for what, seconds in record.costs.items())
    return f"{record.seconds:,.0f} s, {record.steps:,} steps" + (f" ({spent})" if spent else "")


def _point(point: Point, metric: str) -> list[str]:
    density = point.density
    lines = [
        f"  {point.stage:<14}{quality_text(point.quality, metric)}   "
        f"{point.dense_size_mb:.1f} -> {point.size_mb:.1f} MB   {point.artifact}/",
        f"    density   {density.nonzero:.3f} non-zero, {density.stored:.3f} stored, "
        f"{density.model:.3f} of the whole model",
    ]
    for cell in point.latency:
        later = f", measured {cell.measured}" if cell.measured else ""
        lines.append(
            f"    {cell.batch} x {cell.length} {cell.runtime}: dense {readable(cell.dense_ms)} ms, "
            f"pruned {readable(cell.pruned_ms)} ms, speedup {cell.speedup:.2f}x "
            f"({cell.speedup_low:.2f} to {cell.speedup_high:.2f}){later}"
        )
    if point.heads:
        lines.append(f"    heads     {' '.join(map(str, point.heads))}")
    if point.widths:
        lines.append(f"    neurons   {' '.join(map(str, point.widths))}")
    return lines


def quality_text(quality: Mapping[str, float], metric: str) -> str:
    """The headline metric, or all of them if it is missing."""
    names = [metric] if metric in quality else list(quality)
    return ", ".join(f"{name} {quality[name]:.2f}" for name in names)


def progress_text(progress: Mapping[str, float] | None) -> str:
    if not progress:
        return ""
    loss = f", loss {progress['loss']:.3g}" if "loss" in progress else ""
    return f"step {progress.get('step', 0):,.0f}{loss}"
