"""The prunable layers of one network, by the names of their modules.

Roles are named as in the literature. Roles with the same module are slices of the rows of one fused
matrix, in the order of `rows`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from prune.masks.structure.table import AttentionTable


@dataclass(frozen=True)
class Attention:
    """One attention layer: module names in the model, and the size of one head."""

    name: str
    query: str
    key: str
    value: str
    output: str
    core: str  # the module that is replaced when no head is left
    head_size: int
    group: int  # query heads that share one key and value head
    table: AttentionTable

    @property
    def part(self) -> str:
        return self.table.part

    @property
    def rows(self) -> tuple[str, str, str]:
        """The matrices whose rows are heads: query, key, value."""
        return self.query, self.key, self.value

    @property
    def followers(self) -> list[str]:
        """Matrices that are not pruned but lose the rows of the heads that go."""
        return [f"{self.name}.{name}" for name in self.table.followers]


@dataclass(frozen=True)
class Ffn:
    """One feed-forward layer: outer(act(inner(x))), or outer(act(gate(x)) * inner(x))."""

    name: str
    inner: str
    outer: str
    activation: str
    gate: str | None
    part: str

    @property
    def rows(self) -> tuple[str, ...]:
        """The matrices whose rows are neurons: the gate, if there is one, and inner."""
        return (self.inner,) if self.gate is None else (self.gate, self.inner)


@dataclass(frozen=True)
class Structure:
    """The prunable layers of one model, in order."""

    attention: list[Attention]
    ffn: list[Ffn]
    others: list[str] = field(default_factory=list)  # matrices of an architecture without a table

    def matrices(self) -> list[str]:
        """The prunable matrices, each once."""
        return list(dict.fromkeys(self._roles()))

    def _roles(self) -> Iterator[str]:
        for layer in self.attention:
            yield from (*layer.rows, layer.output)
        for ffn in self.ffn:
            yield from (*ffn.rows, ffn.outer)
        yield from self.others


def fused(rows: tuple[str, ...], name: str) -> int:
    """In how many slices the roles `rows` cut the matrix `name`: 1 where it is one role's own."""
    return rows.count(name)
