"""Random inputs of a network, and one pass over them as whoever uses it would make it."""

from typing import Any

import torch
from torch import Generator, Tensor
from transformers import PreTrainedModel

from prune.tasks.writing import writing

WRITTEN = 16  # tokens that a network which writes text writes in one pass


def random_inputs(
    model: PreTrainedModel, batch: int, length: int, generator: Generator
) -> dict[str, Tensor]:
    """Tokens (batch, length), or pictures (batch, channels, length, length), on its device."""
    device = model.device
    if model.main_input_name == "pixel_values":
        shape = (batch, model.config.num_channels, length, length)
        return {"pixel_values": torch.randn(shape, generator=generator).to(device)}
    ids = torch.randint(0, model.config.vocab_size, (batch, length), generator=generator)
    return {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device)}


def writes(model: PreTrainedModel) -> bool:
    """Whether it is an encoder and decoder that write text."""
    return bool(model.config.is_encoder_decoder) and model.can_generate()


def one_pass(model: PreTrainedModel, inputs: dict[str, Tensor]) -> None:
    """One forward pass; of an encoder and decoder that write text: that many tokens, greedily."""
    network: Any = model
    if writes(model):
        network.generate(**inputs, generation_config=writing(model, WRITTEN, WRITTEN, beams=1))
    else:
        network(**inputs)
