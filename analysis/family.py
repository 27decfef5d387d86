"""The curve a checkpoint belongs to: how attention and FFN were pruned, the teacher, the stage.

The names are those of the paper: unstructured, block RxC, hybrid RxC, structured, attention rows,
each perhaps NoNorm, ReLU, filled, with a large teacher, or from a large student. What was timed in
the block-sparse runtime is a family of its own: it needs that runtime where it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

DENSE = "dense"
UNSTRUCTURED = "unstructured"
UNKNOWN = "unknown"  # a config from elsewhere does not say
Parts = tuple[str, str]  # labels of attention and FFN
SEMI = " 2:4"
BLOCK_SPARSE = "block_sparse"  # a runtime of `prune.choices`


@dataclass(frozen=True)
class Recipe:
    """What a config says about how its network was pruned and taught."""

    attention: str  # as `part_label` says it
    ffn: str
    algorithm: str
    marks: tuple[str, ...]  # "2:4", "NoNorm", ...: after the name
    large: str  # "large teacher", "large student" or nothing

    def family(self, stage: str) -> str:
        """The family of a checkpoint of that stage (dense, pruned or filled)."""
        return _family(self, stage)

    @property
    def block(self) -> str:
        return block_shape((self.attention, self.ffn))


def family(config: Mapping[str, Any], stage: str) -> str:
    """The family of a checkpoint, from its run's config and its stage (dense, pruned or filled).

    Blocks or single weights in the attention with FFN neurons are `hybrid RxC`; heads with neurons
    are `structured`. Magnitude pruning learns no scores, so it is a family of its own.
    """
    return recipe(config).family(stage)


def timed_in(family: str, runtime: str) -> str:
    """What `family` is called where it was timed in `runtime`."""
    apart = runtime == BLOCK_SPARSE and family != DENSE
    return f"{family}, block-sparse runtime" if apart else family


def recipe(config: Mapping[str, Any]) -> Recipe:
    attention, ffn = section(config, "attention"), section(config, "ffn")
    swap = section(config, "swap")
    marks = [SEMI.strip()] if attention.get("ampere") or ffn.get("ampere") else []
    marks += [label for key, label in (("nonorm", "NoNorm"), ("relu", "ReLU")) if swap.get(key)]
    if attention.get("output_as_ffn"):
        marks.append("output as FFN")
    return Recipe(
        part_label(attention), part_label(ffn), algorithm(config), tuple(marks), _large(config)
    )


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a config; empty where a file from elsewhere has none."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def part_label(part: Mapping[str, Any]) -> str:
    """`dense`, `unstructured`, `block RxC`, `joint RxC`, `value-output`, `heads`, `neurons`, ..."""
    name = str(part.get("name", UNKNOWN))
    if name in (DENSE, UNKNOWN, "custom"):
        return name
    if part.get("algorithm") == "ampere":
        return SEMI.strip()
    geometry, sharing = str(part.get("geometry", "block")), part.get("sharing")
    if sharing == "value_output":
        return "value-output"
    if geometry == "rows" and sharing == "pair":
        return "neurons"
    if geometry != "block":
        return geometry
    shape = "x".join(map(str, part.get("block") or ()))
    if sharing == "joint":
        return f"joint {shape}"
    return UNSTRUCTURED if shape == "1x1" else f"block {shape}"


def algorithm(config: Mapping[str, Any]) -> str:
    """The algorithm of the parts that are pruned; `a + b` where they differ."""
    used = []
    for name in ("attention", "ffn"):
        part = section(config, name)
        if part.get("name", DENSE) != DENSE:
            used.append(str(part.get("algorithm", "")))
    return " + ".join(dict.fromkeys(used))


def block_shape(parts: Parts) -> str:
    """`RxC` of the attention, else of the FFN, else nothing."""
    for label in parts:
        kind, _, shape = label.partition(" ")
        if kind in ("block", "joint") and shape:
            return shape
        if label == UNSTRUCTURED:
            return "1x1"
    return ""


@lru_cache(maxsize=65536)
def _family(recipe: Recipe, stage: str) -> str:
    name = _name(recipe.attention, recipe.ffn)
    if stage == DENSE or (name == DENSE and not recipe.marks):
        return DENSE
    words = [name]
    if recipe.algorithm == "magnitude":
        words.append("magnitude")
    words += [mark for mark in recipe.marks if mark != name]
    if stage == "filled":
        words.append("filled")
    return " ".join(words) + (f", {recipe.large}" if recipe.large else "")


def _name(attention: str, ffn: str) -> str:
    if attention == ffn:
        return attention
    if ffn == "neurons":
        named = {"heads": "structured", "rows": "attention rows"}
        if attention in named:
            return named[attention]
        if (shape := block_shape((attention, ""))) and not attention.startswith("joint"):
            return f"hybrid {shape}"
    if ffn == DENSE:
        return attention if attention == "heads" else f"attention {attention}"
    if attention == DENSE:
        return ffn if ffn == "neurons" else f"FFN {ffn}"
    return f"{attention} + {ffn}"


def _large(config: Mapping[str, Any]) -> str:
    """A student that is large itself, else a teacher that is; by their names."""
    if "large" in str(section(config, "model").get("name", "")):
        return "large student"
    teacher = section(config, "teacher")
    said = f"{teacher.get('name', '')} {teacher.get('name_or_path', '')}"
    return "large teacher" if "large" in said else ""
