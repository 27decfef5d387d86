"""The way back: from a RunConfig to overrides that compose to it, in Hydra's grammar.

A run that another one needs (its dense model, its teacher) exists as a RunConfig only; this writes
the command that makes it.
"""

import dataclasses
import re
from typing import Any

from prune.compose import plain
from prune.config import RunConfig


def overrides_of(config: RunConfig) -> list[str]:
    """Overrides that compose to `config`: its experiment, then every field that differs from it.

    `load(overrides_of(c), c.group) == c` for every c that `load` or `needs` gave.
    """
    base = plain(f"+experiment={config.experiment}")
    return [f"+experiment={config.experiment}", *_differences(base, config)]


def _differences(base: Any, config: Any, path: str = "") -> list[str]:
    found: list[str] = []
    for item in dataclasses.fields(config):
        old, new, name = getattr(base, item.name), getattr(config, item.name), path + item.name
        if dataclasses.is_dataclass(new):
            found += _differences(old, new, name + ".")
        elif new != old and name != "group":
            if isinstance(new, dict) and old:
                found.append(f"~{name}")  # Hydra merges dictionaries: the old keys would stay
            found.append(f"{name}={_written(new)}")
    return found


def _written(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_written(v)}" for k, v in value.items()) + "}"
    if not isinstance(value, str):
        return repr(value)
    plain = re.fullmatch(r"[A-Za-z/.][\w./:-]*", value, re.ASCII)
    if plain and value.lower() not in ("null", "true", "false", "nan", "inf"):
        return value
    # Backslashes count only before a quote.
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value) + "'"
