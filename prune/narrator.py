"""What a run says while it works: lines for people on stdout and in train.log, a bar on stderr."""

import os
import sys
from pathlib import Path
from typing import Any, final

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerState

from prune.artifact.checkpoint import Shape
from prune.config import RunConfig
from prune.masks.policy import Site
from prune.masks.schedule import Ramp
from prune.records import Latency, Point, Record, readable
from prune.store import RunFolder
from prune.training.trainer import SparseTrainer

CONTEXT_MB = 600  # of a device's memory: what a process takes before its first tensor


@final
class Narrator:
    """Says each line once, here and in the run's log; says nothing here with --quiet."""

    def __init__(self, log: Path | None = None) -> None:
        self.quiet = bool(os.environ.get("PRUNE_QUIET"))
        self.log = log

    def say(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def begin(self, config: RunConfig, run_id: str, path: Path) -> None:
        title = " · ".join(dict.fromkeys([config.experiment, config.model.name, config.task.name]))
        self.say(f"{title:<43} run {run_id}   {path}")

    def plan(self, sites: list[Site]) -> None:
        """One line a part: how many matrices, by which algorithm, cut how."""
        if not sites:
            self.say("  dense       nothing is pruned")
        parts = dict.fromkeys(site.part for site in sites)
        width = max(11, *map(len, parts)) if parts else 0
        for part in parts:
            ours = [site for site in sites if site.part == part]
            ties = len({site.scores for site in ours})
            shared = f", {ties} score tensors" if ties < len(ours) else ""
            shared = ", shared in pairs" if 2 * ties == len(ours) else shared
            name = type(ours[0].algorithm).__module__.rpartition(".")[2]
            linears = len({site.module for site in ours})  # an ampere mask may come on top
            self.say(f"  {part:<{width}} {linears} linears   {name:<18} {ours[0].geometry}{shared}")

    def schedule(self, ramp: Ramp, penalty: float, prunes: bool) -> None:
        if not ramp.total:
            return
        if not prunes:
            self.say(f"  schedule    {ramp.total:,} steps: {ramp.warmup} warm-up")
            return
        lambda_ = f"   penalty {penalty:g}" if penalty else ""
        self.say(
            f"  schedule    {ramp.total:,} steps: {ramp.begin} warm-up, "
            f"{ramp.end - ramp.begin} ramp, {ramp.total - ramp.end} final{lambda_}"
        )

    def resumed(self, step: int, steps: int) -> None:
        self.say(f"resumed     at step {step:,} of {steps:,}")

    def shrunk(self, before: Shape, after: Shape, difference: float) -> None:
        self.say(
            f"shrink      {sum(before.heads)} -> {sum(after.heads)} heads · "
            f"{sum(before.widths):,} -> {sum(after.widths):,} neurons · "
            f"logits equal to {difference:.0e}"
        )

    def filled(self, weights: int) -> None:
        self.say(f"fill        {weights:,} zeros revived")

    def measured(self, point: Point) -> None:
        first: dict[str, Latency] = {}
        for cell in point.latency:
            first.setdefault(cell.runtime, cell)
        for name, cell in first.items():
            runtime = "" if name == "eager" else f" {name}"
            self.say(
                f"measure     batch {cell.batch} x {cell.length}{runtime}, {cell.rounds} rounds: "
                f"dense {readable(cell.dense_ms)} ms, pruned {readable(cell.pruned_ms)} ms"
            )

    def end(self, record: Record) -> None:
        """The lines that count: quality, density, size and speedup of what was saved, and where."""
        self.say(summary(record))
        self.say(f"saved {record.path}/{record.points[-1].artifact}    next: prune report --pareto")


def summary(record: Record) -> str:
    """One line: quality, density, size, speedup."""
    point, name = record.points[-1], record.metric
    dense = record.reference.get(name)
    against = "" if dense is None or point.stage == "dense" else f" (dense {dense:.1f})"
    cell = point.latency[0]
    return (
        f"{name[0].upper()}{name[1:].replace('_', ' ')} {point.quality[name]:.1f}{against}   "
        f"density {point.density.nonzero:.2f} ({point.density.stored:.2f} stored)   "
        f"{point.dense_size_mb:.1f} -> {point.size_mb:.1f} MB   "
        f"speedup {cell.speedup:.2f}x ({cell.speedup_low:.2f} to {cell.speedup_high:.2f})"
    )


class Watch(TrainerCallback):
    """Follows a SparseTrainer: a bar on stderr, and a line of metrics.jsonl at each log."""

    def __init__(self, folder: RunFolder, trainer: SparseTrainer, before: int = 0) -> None:
        self.folder, self.trainer = folder, trainer
        self.before = before  # steps of earlier phases of the run
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty() or bool(os.environ.get("PRUNE_QUIET")),
            transient=True,
        )
        self.job = self.bar.add_task("training", state="")

    def on_train_begin(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        self.bar.update(self.job, total=state.max_steps)
        self.bar.start()

    def on_step_end(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        self.bar.update(self.job, completed=state.global_step)

    def on_log(self, args: Any, state: TrainerState, *_: Any, logs: Any = None, **__: Any) -> None:
        if "loss" not in (logs or {}):
            return
        pruner = self.trainer.pruner
        loss, words = logs["loss"], [f"loss {logs['loss']:.2f}"]
        values = {"loss": loss, "learning_rate": logs["learning_rate"]}
        if pruner.sites:
            values |= {"density": pruner.density(), "penalty": pruner.penalty()}
            words.append(f"density {values['density']:.2f}")
        if torch.cuda.is_available():  # a sweep puts as many runs on a device as fit
            values["memory_mb"] = torch.cuda.max_memory_reserved() / 2**20 + CONTEXT_MB
        steps = self.before + state.max_steps
        self.folder.log(self.before + state.global_step, steps=steps, **values)
        self.bar.update(self.job, state="   ".join(words))

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.bar.stop()
