"""Whole encoders for `block_sparse.py`: with blocks cut out, and with whole heads and neurons."""

from collections.abc import Iterator

import torch
from block_sparse_cases import INPUTS, ROUNDS, Contender, Setting, forward
from block_sparse_table import Case
from torch import nn
from transformers import BertConfig, BertModel

import prune
from prune.kernels.convert import convert
from prune.kernels.pattern import random_pattern


def model_cases(setting: Setting, dtype: str) -> Iterator[Case]:
    layers, batch = (2, 1) if setting.quick else (12, 1 if setting.loops(dtype) else 8)
    ids = torch.randint(1000, (INPUTS, batch, 128), device=setting.device)
    number = setting.torch_dtype(dtype)
    for density in (0.5, 0.25, 0.1):
        dense = blocked(encoder(layers), density)
        small = prune.shrink(narrowed(encoder(layers), density))
        dense, small = (m.to(setting.device, number) for m in (dense, small))
        sparse = convert(dense, r"encoder\..*")
        with torch.no_grad():
            right, ours = (m(ids[0]).last_hidden_state.float() for m in (dense, sparse))
        assert (ours - right).norm() <= 5e-2 * right.norm(), "not the same network"
        facts = {"shape": f"{layers} layers", "tokens": batch * 128, "density": density}
        contenders = [
            Contender(forward([model], [list(ids)]), 1.0, {**facts, "backend": name, "block": 32})
            for name, model in (("auto", sparse), ("shrunk", small))
        ]
        call = forward([dense], [list(ids)])
        yield from setting.timed("models", dtype, contenders, call, ROUNDS)


def encoder(layers: int) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(num_hidden_layers=layers, vocab_size=1000)
    return BertModel(config, add_pooling_layer=False).eval()


@torch.no_grad()
def blocked(model: BertModel, density: float) -> BertModel:
    """Random 32x32 blocks of all its linears kept."""
    for module in model.encoder.modules():
        if isinstance(module, nn.Linear):
            rows, columns = module.out_features // 32, module.in_features // 32
            keep = random_pattern((rows, columns), density)
            module.weight *= keep.repeat_interleave(32, 0).repeat_interleave(32, 1)
    return model


@torch.no_grad()
def narrowed(model: BertModel, density: float) -> BertModel:
    """As many weights left, in whole heads and neurons."""
    heads, neurons = max(1, round(density * 12)), round(density * 3072)
    for layer in model.encoder.layer:
        layer.attention.self.value.weight[heads * 64 :] = 0
        layer.intermediate.dense.weight[neurons:] = 0
    return model
