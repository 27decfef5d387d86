"""The curve a checkpoint belongs to: how attention and FFN were pruned, and the stage."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

DENSE = "dense"
UNSTRUCTURED = "unstructured"
UNKNOWN = "unknown"  # a config from elsewhere does not say
Parts = tuple[str, str]  # labels of attention and FFN


def family(config: Mapping[str, Any], stage: str) -> str:
    """The family of a checkpoint, from its run's config and its stage (dense, pruned or filled).

    Blocks or single weights in the attention with FFN neurons are `hybrid RxC`; heads with neurons
    are `structured`. Magnitude pruning learns no scores, so it is a family of its own.
    """
    return family_name(parts(config), algorithm(config) == "magnitude", stage)


def parts(config: Mapping[str, Any]) -> Parts:
    """How attention and FFN are pruned, each as `part_label` says it."""
    return part_label(section(config, "attention")), part_label(section(config, "ffn"))


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a config; empty where a file from elsewhere has none."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def part_label(part: Mapping[str, Any]) -> str:
    """`dense`, `unstructured`, `block RxC`, `heads`, `neurons`, `rows`, `columns`, `unknown`."""
    if part.get("name", UNKNOWN) in (DENSE, UNKNOWN):
        return str(part.get("name", UNKNOWN))
    geometry = str(part.get("geometry", "block"))
    if geometry == "rows" and part.get("sharing") == "pair":
        return "neurons"
    if geometry != "block":
        return geometry
    shape = "x".join(map(str, part.get("block") or ()))
    return UNSTRUCTURED if shape == "1x1" else f"block {shape}"


def algorithm(config: Mapping[str, Any]) -> str:
    """The algorithm of the parts that are pruned; `a + b` where they differ."""
    used = []
    for name in ("attention", "ffn"):
        part = section(config, name)
        if part.get("name", DENSE) != DENSE:
            used.append(str(part.get("algorithm", "")))
    return " + ".join(dict.fromkeys(used))


@lru_cache(maxsize=4096)
def family_name(parts: Parts, magnitude: bool, stage: str) -> str:
    """`family`, from what `parts` and `algorithm` found."""
    name = _name(*parts)
    if DENSE in (stage, name):
        return DENSE
    return name + (" magnitude" if magnitude else "") + (" filled" if stage == "filled" else "")


def block_shape(parts: Parts) -> str:
    """`RxC` of the attention, else of the FFN, else nothing."""
    for label in parts:
        if label.startswith("block "):
            return label.removeprefix("block ")
        if label == UNSTRUCTURED:
            return "1x1"
    return ""


def _name(attention: str, ffn: str) -> str:
    if attention == ffn:
        return attention
    if ffn == "neurons":
        if attention == "heads":
            return "structured"
        if shape := block_shape((attention, "")):
            return f"hybrid {shape}"
    if ffn == DENSE:
        return attention if attention == "heads" else f"attention {attention}"
    if attention == DENSE:
        return ffn if ffn == "neurons" else f"FFN {ffn}"
    return f"{attention} + {ffn}"
