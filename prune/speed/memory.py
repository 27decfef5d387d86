"""Whether a batch fits: said before it is tried, for a process that is killed says nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel

from prune.errors import ConfigError
from prune.speed.workload import Workload

WORDS = ("not enough memory", "t allocate", "failed to allocate", "bad_alloc", "out of memory")


def check_fits(model: PreTrainedModel, workloads: Sequence[Workload]) -> None:
    """Raises ConfigError for inputs that `model` cannot read, or that no memory is free for."""
    longest = getattr(model.config, "max_position_embeddings", None)
    for work in workloads:
        where = f"batch {work.batch} x {work.length}"
        if longest and 0 < longest < work.length:
            raise ConfigError(f"{where}: the model reads {longest} tokens at most")
        needed, free = activations(model, work), _free(model.device)
        if needed > free:
            raise ConfigError(
                f"{where} does not fit: about {needed / 1e9:,.0f} GB of activations, and "
                f"{free / 1e9:,.0f} GB are free; use a smaller batch or length"
            )


def activations(model: PreTrainedModel, work: Workload) -> float:
    """Bytes of one layer's activations, with the scores of all heads, in fp32; the most there is.

    0 for an architecture that does not say how wide it is.
    """
    config = model.config
    hidden = getattr(config, "hidden_size", 0) or 0
    inner = getattr(config, "intermediate_size", 0) or 4 * hidden
    heads = getattr(config, "num_attention_heads", 0) or 0
    tokens = work.batch * work.length
    return 4.0 * tokens * (8 * hidden + 2 * inner + 2 * heads * work.length)


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """An allocation that fails inside becomes a ConfigError about `what`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in WORDS):
            raise ConfigError(f"{what} does not fit into memory: use a smaller batch") from error
        raise


def _free(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    known = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(known["MemAvailable"].split()[0])
