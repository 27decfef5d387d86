"""What one timed pass reads: so many inputs, padded to one length or as long as real ones are."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prune.errors import ConfigError
from prune.speed.inputs import random_inputs
from prune.speed.protocol import Pass, seconds_of
from prune.speed.runtimes import Runtime

PIECES = 8  # batches of similar lengths that stand for all of them


@dataclass(frozen=True)
class Workload:
    """`batch` inputs of up to `length` tokens.

    lengths: in tokens, of real inputs; without them every input has `length`. padded: each batch is
    padded to `length`; else inputs of similar length share a batch, as long as its longest one, and
    a pass is the mean over `pieces` such batches.
    """

    batch: int
    length: int
    lengths: tuple[int, ...] = ()
    padded: bool = True
    pieces: int = PIECES

    def batches(self, model: PreTrainedModel, draw: int) -> list[dict[str, Tensor]]:
        """Fresh random inputs, the same ones for the same number `draw`."""
        generator = torch.Generator().manual_seed(draw % 2**32)
        if not self.lengths:
            return [random_inputs(model, self.batch, self.length, generator)]
        rows = self._rows(1 if self.padded else self.pieces)
        chunks = [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
        found = []
        for chunk in chunks:
            width = self.length if self.padded else max(chunk)
            inputs = random_inputs(model, self.batch, width, generator)
            if "attention_mask" not in inputs:
                raise ConfigError(f"{type(model).__name__}: what it reads has no real length")
            for row, tokens in enumerate(chunk):
                inputs["attention_mask"][row, tokens:] = 0
            found.append(inputs)
        return found

    def check(self, runtimes: Iterable[Runtime], model: PreTrainedModel, seed: int = 0) -> None:
        """Each runtime's own check, on inputs as they will be timed. Raises KernelError."""
        batch = self.batches(model, seed * 1_000_003)[0]
        for runtime in runtimes:
            runtime.check(batch)

    def timed(self, runtime: Runtime, model: PreTrainedModel, seed: int = 0) -> Pass:
        """A pass of `runtime` for `interleaved`; `model` says what it reads."""

        def once(draw: int) -> float:
            batches = self.batches(model, seed * 1_000_003 + draw)
            took = [seconds_of(partial(runtime.once, b), runtime.device) for b in batches]
            return sum(took) / len(took)

        return once

    def _rows(self, pieces: int) -> list[int]:
        """batch * pieces lengths, evenly spread over all, from the shortest to the longest."""
        known, wanted = sorted(min(n, self.length) for n in self.lengths), self.batch * pieces
        return [known[int((i + 0.5) * len(known) / wanted)] for i in range(wanted)]
