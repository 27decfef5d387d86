"""What a table says of an architecture: names of modules and of fields, nothing that acts.

A pattern is matched in full against the names of modules; the other names are below what it
matches.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionTable:
    """One kind of attention layer."""

    pattern: str
    output: str
    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    core: str = ""  # what is replaced when no head is left; "" is the layer itself
    part: str = "attention"
    heads: str = "num_attention_heads"  # field of the model's config
    norm: str = ""  # a norm inside the core, which adds the residual too
    followers: tuple[str, ...] = ()  # other matrices with a row for each unit of the query
    head_counts: tuple[str, ...] = ()  # attributes of the core that hold the number of heads
    unit_counts: tuple[str, ...] = ()  # attributes of the core that hold heads * head size
    position: str = ""  # biases per head: "table" in this layer, "given" to it, "none" of its own
    results: int = 2  # of the core's forward


@dataclass(frozen=True)
class FfnTable:
    """One kind of feed-forward layer. `gate` may be missing in a model that has no gates."""

    pattern: str
    inner: str
    outer: str
    activation: str
    gate: str = ""
    part: str = "ffn"


@dataclass(frozen=True)
class Table:
    """All kinds of layers of an architecture."""

    attention: tuple[AttentionTable, ...]
    ffn: tuple[FfnTable, ...]
