"""How `block_sparse.py` measures, and how its cases are kept: in one file, part by part."""

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from block_sparse_table import Case
from common import MIN_PAIRS, environment, folder_of, interleaved, machine, read, row_of, save
from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROUNDS = 7  # of whole models
REPEATS = 20  # calls between two looks at a GPU's clock
FEW, MANY = 128, 1024  # tokens
INPUTS = 4  # in turn
NAME = "{backend} {dtype} {shape} M={tokens} {block}x{block} d={density} {way}"


class Contender(NamedTuple):
    """A call, the ratio it may take of the dense one's time, and fields of its Case."""

    call: Callable[[], Any]
    limit: float
    facts: dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where it is measured."""

    device: str
    threads: int
    quick: bool

    @property
    def kernel(self) -> str:
        return "triton" if self.device == "cuda" else "llvm"

    @property
    def dtypes(self) -> list[str]:
        return list(DTYPES)

    def torch_dtype(self, name: str) -> torch.dtype:
        return DTYPES[name]

    def loops(self, dtype: str) -> bool:
        """Whether torch multiplies it densely in a plain loop, for want of instructions."""
        return dtype == "bf16" and self.device == "cpu" and not self._multiplies_bf16

    @cached_property
    def _multiplies_bf16(self) -> bool:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def dense(self, dtype: str) -> str:
        """Whose product a dense layer is."""
        if self.device == "cuda":
            return "F.linear (cuBLAS)"
        if self.loops(dtype):
            return "F.linear (a loop)"
        blas = "MKL" if torch.backends.mkl.is_available() else "the BLAS of this torch"
        return f"F.linear ({'oneDNN' if dtype == 'bf16' else blas})"

    def many(self, dtype: str) -> int:
        return FEW if self.quick or self.loops(dtype) else MANY

    def tokens(self, dtype: str) -> list[int]:
        return [FEW] if self.quick or self.loops(dtype) else [FEW, MANY, 4 * MANY]

    def timed(
        self,
        part: str,
        dtype: str,
        contenders: Sequence[Contender],
        dense: Callable[[], Any],
        rounds: int = MIN_PAIRS,
    ) -> list[Case]:
        """Each against the dense call, all in turn."""
        calls = [self._whole(call) for call in (*(c.call for c in contenders), dense)]
        times = interleaved(calls, rounds, warmup=3 if rounds >= MIN_PAIRS else 1)
        found = []
        for contender, own in zip(contenders, times, strict=False):
            facts = {"part": part, "threads": self.threads, "dtype": dtype, "backend": self.kernel}
            facts["way"] = "forward"
            facts |= contender.facts
            names = NAME.format(**facts), self.dense(dtype)
            row = row_of(names, (own, times[-1]), "ratio", contender.limit)
            found.append(Case(**dataclasses.asdict(row), **facts))
        return found

    def _whole(self, call: Callable[[], Any]) -> Callable[[], None]:
        """On a GPU: many calls, until it is done with them."""

        def once() -> None:
            for _ in range(REPEATS):
                call()
            torch.cuda.synchronize()

        return call if self.device == "cpu" else once


def forward(layers: Sequence[Callable[[Tensor], Tensor]], xs: Sequence[list[Tensor]]) -> Any:
    """A call that runs each layer on its next input."""
    turn = itertools.cycle(range(INPUTS))

    def once() -> None:
        number = next(turn)
        with torch.no_grad():
            for layer, inputs in zip(layers, xs, strict=True):
                layer(inputs[number])

    return once


def both_ways(layers: Sequence[nn.Module], xs: Sequence[list[Tensor]]) -> Any:
    """Forward, and the gradients of input, weights and bias."""
    turn = itertools.cycle(range(INPUTS))

    def once() -> None:
        number = next(turn)
        for layer, inputs in zip(layers, xs, strict=True):
            x = inputs[number].requires_grad_()
            y = layer(x)
            y.backward(y.detach())  # any gradient that is not zero
            x.grad = None
            layer.zero_grad()

    return once


def merge(setting: Setting, part: str, cases: Sequence[Case], folder: Path | None) -> None:
    """Put the cases of one part in place of what the file had of it, for as many threads.

    folder: by default that of this machine. Raises SystemExit, and writes nothing, if the file is
    of another machine or other versions.
    """
    device = torch.cuda.get_device_name() if setting.device == "cuda" else ""
    now = environment(setting.threads, device)
    folder = folder or folder_of(now)
    path = folder / "block_sparse.json"
    rows: list[dict[str, Any]] = []
    if path.exists():
        content, _ = read(path, Case)
        was = content["environment"]
        if machine(was) != machine(now) or was["packages"] != now["packages"]:
            raise SystemExit(f"{path} is of another machine or other versions: delete it first")
        own = part, setting.threads
        rows = [row for row in content["rows"] if (row["part"], row["threads"]) != own]
    rows += [dataclasses.asdict(case) for case in cases]
    now["threads"] = max(row["threads"] for row in rows)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    about = "Random blocks, BERT-base shapes; ratios are times over those of a dense layer"
    content = {"benchmark": path.stem, "about": about, "date": today}
    save(path.stem, {**content, "environment": now, "rows": rows}, folder)
