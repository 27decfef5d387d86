"""`prune ls`: what one can choose, with one line about each."""

import ast
from pathlib import Path

from prune import compose
from prune.choices import ALGORITHMS
from prune.commands import Parser, add_json, print_json, table
from prune.errors import UsageError, unknown

PLURAL = {"attention": "attention", "ffn": "ffn", "train": "train"}  # as they are; others take an s


def kinds() -> dict[str, str]:
    """What `prune ls` takes -> the config group; algorithms are code, not YAML."""
    found = {PLURAL.get(group, f"{group}s"): group for group in compose.groups()}
    return dict(sorted({**found, "algorithms": "algorithm"}.items()))


def choices(group: str) -> list[tuple[str, str]]:
    """Names and descriptions of a group."""
    if group == "algorithm":
        return [(name, _docstring(name)) for name in ALGORITHMS]
    return [(name, _comment(group, name)) for name in compose.groups()[group]]


def main(argv: list[str]) -> int:
    parser = Parser("prune ls", "What one can choose, with one line each.", "prune ls experiments")
    parser.add_argument("kind", nargs="?", help="one of: " + ", ".join(kinds()))
    add_json(parser)
    asked = parser.parse_args(argv)
    if asked.kind is None:
        rows = [(kind, f"{len(choices(group))} choices") for kind, group in kinds().items()]
    else:
        rows = choices(_group(asked.kind))
    if asked.json:
        print_json([{"name": name, "description": text} for name, text in rows])
    elif rows:
        print(table(rows))
    return 0


def _group(kind: str) -> str:
    known = kinds()
    if kind in known.values():
        return kind
    if kind not in known:
        raise UsageError(f"{unknown('kind', kind, known)}\nsee: prune ls --help")
    return known[kind]


def _comment(group: str, name: str) -> str:
    """The first comment at the top of a YAML file that is not for Hydra."""
    for line in (compose.conf_dir() / group / f"{name}.yaml").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            return line.lstrip("# ").rstrip()
    return ""


def _docstring(algorithm: str) -> str:
    """The first line of the file of an algorithm; read, not imported: that would load torch."""
    file = Path(__file__).parents[1] / "masks" / "algorithms" / f"{algorithm}.py"
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return text.partition("\n")[0]
