"""What can be asked of the Pruner: a Policy of parts and rules."""

from dataclasses import dataclass, field

from prune.masks.algorithms import Algorithm, SigmoidThreshold, TopK
from prune.masks.geometry import Block, Geometry, Heads, Rows
from prune.masks.schedule import Schedule


@dataclass(frozen=True)
class Part:
    """How the attention or the FFN of a network is pruned.

    sharing, FFN: `pair`, the rows of inner (and gate) and the columns of outer have one score
    tensor. Attention: `joint`, query, key, value and the output transposed have one;
    `value_output`, only value and output are pruned and have one. Else `none`.
    """

    algorithm: Algorithm
    geometry: Geometry
    sharing: str = "none"
    weight: float = 1.0  # of this part in the penalty
    pooled: bool = False  # rank all matrices of the part together
    ampere: bool = False  # times 2 of every 4 weights


@dataclass(frozen=True)
class Rule:
    """Prune every linear layer or convolution whose full name matches `pattern`.

    `share` names the score tensor: a template for the match, as in `re.Match.expand`, so that
    layers that get the same name share their scores. `flipped` cuts the transpose of the matrix.
    """

    pattern: str
    algorithm: Algorithm
    geometry: Geometry
    share: str | None = None
    flipped: bool = False
    part: str = "custom"
    head_size: int | None = None
    weight: float = 1.0
    pooled: bool = False


@dataclass(frozen=True)
class Policy:
    """Everything the Pruner has to know. Penalty is lambda, the weight of all parts together.

    The seed is that of the noise of `l0`; processes that train together need the same.
    """

    attention: Part | None = None
    ffn: Part | None = None
    rules: list[Rule] = field(default_factory=list)
    schedule: Schedule = field(default_factory=Schedule)
    penalty: float = 0.0
    seed: int = 0


def hybrid(
    block: tuple[int, int] = (32, 32),
    density: float | None = None,
    penalty: float = 10.0,
    schedule: Schedule | None = None,
) -> Policy:
    """Blocks in the attention, whole neurons in the FFN (Lagunas et al. 2021).

    With a `density`, top-k keeps exactly that share; without, the penalty decides.
    """
    algorithm: Algorithm = SigmoidThreshold() if density is None else TopK(density)
    return Policy(
        attention=Part(algorithm, Block(*block)),
        ffn=Part(algorithm, Rows(), sharing="pair"),
        penalty=penalty if density is None else 0.0,
        schedule=schedule or Schedule(),
    )


def structured(
    density: float | None = None, penalty: float = 10.0, schedule: Schedule | None = None
) -> Policy:
    """Whole heads and whole neurons."""
    algorithm: Algorithm = SigmoidThreshold() if density is None else TopK(density)
    return Policy(
        attention=Part(algorithm, Heads()),
        ffn=Part(algorithm, Rows(), sharing="pair"),
        penalty=penalty if density is None else 0.0,
        schedule=schedule or Schedule(),
    )
