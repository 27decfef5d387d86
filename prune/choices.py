"""The tasks, what may prune a part, and the rules of a custom one: names and checks, no torch."""

from typing import Any

from prune.errors import unknown

TASKS = (
    *("toy", "squad", "squad_v2", "text", "tokens", "images", "summarization"),
    *("mnli", "sst2", "mrpc", "rte", "cola", "stsb", "qnli", "qqp", "wnli"),
)
ALGORITHMS = ("magnitude", "topk", "threshold", "sigmoid_threshold", "l0", "ampere")
GEOMETRIES = ("block", "rows", "columns", "heads")
SHARINGS = ("none", "pair", "joint", "value_output")
SHARINGS_OF = {"attention": ("none", "joint", "value_output"), "ffn": ("none", "pair")}
# What a run is timed in: these run the very weights that its quality is of. Exported and 8-bit
# ones have evidence of their own: `prune export`.
RUNTIMES = ("eager", "compiled", "block_sparse")
RULE_KEYS = ("pattern", "algorithm", "geometry", "block", "share", "flipped", "head_size")


def rule_problems(name: str, custom: bool, rules: list[dict[str, Any]]) -> list[str]:
    """Whether `rules` are there exactly if asked for, and made of known keys and choices."""
    if bool(rules) != custom:
        return [
            f"{name}.rules are those of {name}=custom, which needs at least one [{{pattern: .}}]"
        ]
    found = []
    for number, rule in enumerate(rules):
        path = f"{name}.rules[{number}]"
        found += [f"{path}: {unknown('key', k, RULE_KEYS)}" for k in rule if k not in RULE_KEYS]
        wrong = [key for key, value in rule.items() if not _fits(key, value)]
        found += [f"{path}.{key}={rule[key]!r} does not fit" for key in wrong]
        if "pattern" not in rule:
            found.append(f"{path} needs a pattern: the full name of a module, a regular expression")
    return found


def _fits(key: str, value: Any) -> bool:
    sizes = value if isinstance(value, list) else [value]
    whole = all(type(size) is int and size >= 1 for size in sizes)
    return {
        "algorithm": value in ALGORITHMS,
        "geometry": value in GEOMETRIES,
        "block": whole and isinstance(value, list) and len(value) == 2,
        "flipped": isinstance(value, bool),
        "head_size": whole and not isinstance(value, list),
    }.get(key, isinstance(value, str))
