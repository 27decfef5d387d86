"""BERT for question answering as one would write it for given heads and widths, without a library.

What a shrunk network is held to: cutting must not leave anything behind that costs time.
"""

from collections.abc import Mapping

import torch
from networks import HEAD, HIDDEN, Network
from torch import Tensor, nn

from prune.artifact.shape import shape_of
from prune.speed.runtimes import Batch, Runtime


class PlainLayer(nn.Module):
    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.heads, units = heads, heads * HEAD
        self.query, self.key, self.value = (nn.Linear(HIDDEN, units) for _ in range(3))
        self.output, self.first = nn.Linear(units, HIDDEN), nn.LayerNorm(HIDDEN, eps=1e-12)
        self.inner, self.outer = nn.Linear(HIDDEN, width), nn.Linear(width, HIDDEN)
        self.second = nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        shape = (x.shape[0], x.shape[1], self.heads, HEAD)
        q, k, v = (m(x).view(shape).transpose(1, 2) for m in (self.query, self.key, self.value))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.first(x + self.output(mixed.transpose(1, 2).flatten(2)))
        return self.second(x + self.outer(nn.functional.gelu(self.inner(x))))


class PlainBert(nn.Module):
    """(batch, length) -> start and end logits (batch, length), with the weights of `like`."""

    def __init__(self, like: Network) -> None:
        super().__init__()
        shape, config = shape_of(like), like.config
        self.words = nn.Embedding(config.vocab_size, HIDDEN)
        self.places = nn.Embedding(config.max_position_embeddings, HIDDEN)
        self.kinds = nn.Embedding(2, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.layers = nn.ModuleList(map(PlainLayer, shape.heads, shape.widths))
        self.head = nn.Linear(HIDDEN, 2)
        for ours, theirs in zip(self.parameters(), like.parameters(), strict=True):
            assert ours.shape == theirs.shape
            ours.data = theirs.data  # declared in the same order

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Mapping[str, Tensor]:
        mask = None if attention_mask.all() else attention_mask[:, None, None].bool()
        places = self.places.weight[: input_ids.shape[1]]
        x = self.norm(self.words(input_ids) + places + self.kinds.weight[0])
        for layer in self.layers:
            x = layer(x, mask)
        start, end = self.head(x).unbind(-1)
        return {"start_logits": start, "end_logits": end}


class Plain(Runtime):
    """A PlainBert, eager."""

    name = "plain"

    def __init__(self, like: Network) -> None:
        self.module, self.device = PlainBert(like).eval(), like.device

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        with torch.inference_mode():
            return self.module(**batch)  # type: ignore[no-any-return]
