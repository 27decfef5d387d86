"""The teacher's logits, computed once for all runs and kept on disk.

One file of half-precision numbers, (examples, heads, ...), memory-mapped and addressed by the
example's index. The name is a hash of what it depends on, so a file that is there is right; it is
written aside and renamed. Of several runs that need it at once, one computes and the others wait.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

Produce = Callable[[], Iterable[tuple[Sequence[int], Sequence[Tensor]]]]


def cache_key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@final
class CachedTeacher:
    """Logits of a fixed teacher, (batch, ...) a head, by the `index` of each example.

    follow_tokens: whether the first size after the heads is the length of the input.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], follow_tokens: bool = True) -> None:
        self.path = path
        self.follow_tokens = follow_tokens
        self.values = np.memmap(path, dtype=np.float16, mode="r", shape=shape)

    @property
    def size_mb(self) -> float:
        return self.path.stat().st_size / 1e6

    def logits(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """One tensor a head, cut to the length of this batch where it has one logit a token."""
        index = batch["index"].cpu().numpy()
        rows = torch.from_numpy(np.asarray(self.values[index]))
        width = batch["input_ids"].shape[1] if self.follow_tokens else None
        device = batch["index"].device
        return [rows[:, head, :width].to(device) for head in range(rows.shape[1])]


def cached(
    folder: Path, key: str, shape: tuple[int, ...], produce: Produce, follow_tokens: bool = True
) -> CachedTeacher:
    """The cache for `key`, made by `produce` (indexes and logits of each batch) if it is missing.

    shape: (examples, heads, longest, ...). Safe when several processes ask at once, and under
    kill -9.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.f16"
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _write(path, shape, produce)
    return CachedTeacher(path, shape, follow_tokens)


def _write(path: Path, shape: tuple[int, ...], produce: Produce) -> None:
    aside = path.with_suffix(".partial")
    values = np.memmap(aside, dtype=np.float16, mode="w+", shape=shape)
    for index, heads in produce():
        for number, logits in enumerate(heads):
            half = logits.detach().float().clamp(-6e4, 6e4).to(torch.float16).cpu().numpy()
            values[np.asarray(index), number, : half.shape[1]] = half
    values.flush()
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(aside, path)
