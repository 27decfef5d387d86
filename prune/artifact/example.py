"""Random inputs that any of the architectures takes: to compare two networks."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

FIRST = 3  # below are padding and other special tokens


def inputs(model: PreTrainedModel, rows: int = 2, length: int = 16) -> dict[str, Tensor]:
    """Token ids (rows, length), or images (rows, channels, height, width). Always the same."""
    config = model.config
    generator = torch.Generator().manual_seed(0)
    if model.main_input_name == "pixel_values":
        side = config.image_size
        height, width = (side, side) if isinstance(side, int) else side
        return {
            "pixel_values": torch.randn(
                rows, config.num_channels, height, width, generator=generator
            )
        }
    most = getattr(config, "max_position_embeddings", None) or length
    ids = torch.randint(FIRST, config.vocab_size, (rows, min(length, most)), generator=generator)
    if config.eos_token_id is not None:  # some heads read the one place where a sentence ends
        ids[ids == config.eos_token_id] = FIRST
        ids[:, -1] = config.eos_token_id
    found = {"input_ids": ids.to(model.device), "attention_mask": torch.ones_like(ids)}
    if config.is_encoder_decoder:
        found["decoder_input_ids"] = ids.clone()
    elif getattr(config, "add_cross_attention", False):
        found["encoder_hidden_states"] = torch.randn(
            rows, length + 1, config.hidden_size, generator=generator
        )
    return {name: tensor.to(model.device) for name, tensor in found.items()}
