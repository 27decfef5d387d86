"""Two networks in several runtimes, over a grid of batch and length; all of it in turn."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from prune.artifact import example
from prune.artifact.export import export
from prune.errors import ConfigError, UsageError, unknown
from prune.opening import Opened, check_same_kind, dense_of
from prune.records import Latency
from prune.speed import measure
from prune.speed.inputs import writes
from prune.speed.lease import Lease
from prune.speed.memory import check_fits, fitting
from prune.speed.protocol import Ratio, interleaved
from prune.speed.runtimes import FROM_MODEL, Runtime
from prune.speed.workload import Workload

# runtime -> the kinds of 8-bit file it needs, and what `export` calls its file.
EXPORTED: dict[str, tuple[tuple[str, ...], str]] = {
    "onnx": ((), "onnx"),
    "int8": (("dynamic",), "int8"),
    "int8_static": (("static",), "int8_static"),
    "openvino": ((), "openvino"),
    "openvino_int8": (("static",), "openvino_int8"),
}
RUNTIMES = (*FROM_MODEL, *EXPORTED)


@dataclass(frozen=True)
class Asked:
    """`padded`: (True,), (False,) or both; without lengths of real inputs only padded is known."""

    runtimes: tuple[str, ...] = ("eager",)
    cells: tuple[tuple[int, int], ...] = ((1, 128),)  # batch, length
    padded: tuple[bool, ...] = (True,)
    lengths: tuple[int, ...] = ()
    dtype: str | None = None  # "fp32", "bf16"; None: as the models are
    rounds: int = 7
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Cell:
    """Both networks in one runtime, and how much faster ours is than the other in eager mode."""

    latency: Latency
    over_eager: Ratio | None
    note: str = ""  # what the runtime made of ours


def bench(
    ours: Opened, against: Opened | None, asked: Asked, lease: Lease, say: Callable[[str], None]
) -> list[Cell]:
    """Time `ours` and `against` (None: the dense network it was) at every cell, in every runtime.

    Raises UsageError for an unknown runtime or a dtype that it does not have, ConfigError for two
    models of different tasks and for a batch that does not fit, KernelError for a runtime that
    gives other outputs.
    """
    _check(ours, asked)
    if against is not None:
        check_same_kind(ours, against)
    models = (against.model if against else dense_of(ours.model), ours.model)
    works = [
        Workload(batch, length, asked.lengths, padded)
        for batch, length in asked.cells
        for padded in asked.padded
    ]
    for model in models:
        check_fits(model, works)
    found: list[Cell] = []
    with measure.threads(asked.threads), _runtimes(models, asked, say) as runtimes:
        for work in works:
            with lease.exclusive(), fitting(f"batch {work.batch} x {work.length}"):
                found += _cells(models, runtimes, work, asked)
    return found


def _check(ours: Opened, asked: Asked) -> None:
    for name in asked.runtimes:
        if name not in RUNTIMES:
            raise UsageError(f"{unknown('runtime', name, RUNTIMES)}\nsee: prune bench --help")
        if name in ("onnx", "openvino") and asked.dtype == "bf16":
            raise UsageError(f"{name} is measured in fp32: leave it out, or --dtype bf16")
        if name in EXPORTED and writes(ours.model):
            raise ConfigError(f"{ours.name} writes text, which {name} cannot: leave it out")


@contextmanager
def _runtimes(
    models: tuple[PreTrainedModel, PreTrainedModel], asked: Asked, say: Callable[[str], None]
) -> Iterator[dict[str, tuple[Runtime, Runtime]]]:
    """Every runtime with both networks; the exported ones are in a folder that goes afterwards."""
    wanted = [name for name in asked.runtimes if name in EXPORTED]
    with tempfile.TemporaryDirectory() as place:
        sides = []
        for number, model in enumerate(models):
            if wanted:
                say(f"exporting {('the other one', 'it')[number]}")
            folder = Path(place, str(number))
            folder.mkdir()
            side = _exported(model, folder, wanted)
            for name in asked.runtimes:
                if name in FROM_MODEL:
                    side[name] = FROM_MODEL[name](model, asked.dtype)
            sides.append(side)
        yield {name: (sides[0][name], sides[1][name]) for name in asked.runtimes}


def _exported(model: PreTrainedModel, folder: Path, wanted: list[str]) -> dict[str, Runtime]:
    if not wanted:
        return {}
    kinds = sorted({kind for name in wanted for kind in EXPORTED[name][0]})
    openvino = any("openvino" in name for name in wanted)
    batches = [example.inputs(model, rows=4, length=64)]  # the ranges do not matter for the time
    files = {f.name: f for f in export(model, folder, (), kinds, batches, openvino)}
    return {name: files[EXPORTED[name][1]].open() for name in wanted}


def _cells(
    models: tuple[PreTrainedModel, PreTrainedModel],
    runtimes: dict[str, tuple[Runtime, Runtime]],
    work: Workload,
    asked: Asked,
) -> Iterator[Cell]:
    passes = {
        f"{name} {side}": work.timed(pair[side], models[side], asked.seed)
        for name, pair in runtimes.items()
        for side in (0, 1)
    }
    for side in (0, 1):
        work.check([pair[side] for pair in runtimes.values()], models[side], asked.seed)
    times = interleaved(passes, asked.rounds, asked.seed)
    for name, (_, ours) in runtimes.items():
        latency = measure.cell(times, (f"{name} 0", f"{name} 1"), work, ours)
        over = times.speedup("eager 0", f"{name} 1") if "eager" in runtimes else None
        yield Cell(dataclasses.replace(latency, runtime=name), over, ours.note)
