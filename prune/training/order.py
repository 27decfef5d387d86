"""The order of the examples of an epoch, as a function of seed and epoch: so resume is exact."""

from collections.abc import Callable, Iterator
from typing import final

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler


@final
class EpochOrder(Sampler[int]):
    """Batches of similar lengths, shuffled anew in each epoch.

    The sampler of transformers draws from the global generator, which has moved on when a training
    is resumed in the middle of an epoch. `epoch()` is asked whenever an epoch begins.
    """

    def __init__(self, sampler: LengthGroupedSampler, seed: int, epoch: Callable[[], int]) -> None:
        self.sampler, self.seed, self.epoch = sampler, seed, epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed((self.seed * 1_000_003 + self.epoch()) % 2**63)
        self.sampler.generator = generator
        return iter(self.sampler)
