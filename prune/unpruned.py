"""What other runtimes give the dense network, before pruning at all."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import PreTrainedModel

from prune.artifact.export import export
from prune.errors import ExportError, MissingInputError
from prune.speed.inputs import writes
from prune.speed.protocol import Ratio, interleaved
from prune.speed.runtimes import Compiled, Eager, Runtime, TorchInt8
from prune.speed.workload import Workload

DENSE = "dense"


def _onnx(model: PreTrainedModel) -> Runtime:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (file,) = export(model, Path(folder))
        return file.open()


RUNTIMES: dict[str, Callable[[PreTrainedModel], Runtime]] = {
    "compiled": lambda model: Compiled(model, None),
    "onnx": _onnx,
    "bf16": lambda model: Eager(model, "bf16"),
    "int8": lambda model: TorchInt8(model, None),
}
ON_CPU = ("onnx", "int8")


def faster_unpruned(
    dense: PreTrainedModel, work: Workload, names: Sequence[str], rounds: int, seed: int
) -> tuple[dict[str, Ratio], list[str]]:
    """How much faster than in eager mode it is in each of RUNTIMES, and what could not be tried."""
    passes, notes = {DENSE: work.timed(Eager(dense), dense, seed)}, []
    for name in names:
        try:
            if name != "bf16" and writes(dense):
                raise MissingInputError("it writes text")
            if name in ON_CPU and dense.device.type == "cuda":
                raise MissingInputError("it is measured on the processor only")
            passes[name] = work.timed(RUNTIMES[name](dense), dense, seed)
        except (ExportError, MissingInputError) as error:
            notes.append(f"{name} was not tried on the dense model: {error}")
    if len(passes) == 1:
        return {}, notes
    times = interleaved(passes, rounds, seed)
    return {name: times.speedup(DENSE, name) for name in passes if name != DENSE}, notes
