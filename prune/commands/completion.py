"""Tab completion. Hydra's shell script asks `prune -sc query=bash` with COMP_LINE set.

Command names are completed here; what follows `train` is Hydra's to complete.
"""

import os

from prune import compose
from prune.cli import COMMANDS, FLAGS, load
from prune.commands import db, ls
from prune.commands.runs import STATUSES


def main(argv: list[str]) -> int:
    """`argv` is `-sc WHAT`: query=SHELL, install=SHELL or uninstall=SHELL."""
    line = os.environ.get("COMP_LINE", "")
    if len(argv) != 2 or not argv[1].startswith("query="):
        return load(COMMANDS["train"][0])(argv)
    program, *words = line.split() or ["prune"]
    if line.endswith(" ") or not words:
        words.append("")  # the word that is being typed
    while len(words) > 1 and words[0] in FLAGS:
        words.pop(0)
    if len(words) == 1:
        print(" ".join(_starting(words[0], [*COMMANDS, *FLAGS])))
    elif words[0] == "train":
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        return load(COMMANDS["train"][0])(argv)
    else:
        print(" ".join(_starting(words[-1], _choices(words[:-1]))))
    return 0


def _choices(words: list[str]) -> list[str]:
    """What may follow `words`, the complete ones."""
    if words[-1] == "--status":
        return list(STATUSES)
    subcommands = {"runs": ["ls", "show", "rm"], "db": list(db.HELP)}
    if words[0] in subcommands and len(words) == 1:
        return subcommands[words[0]]
    if words[0] == "ls" and len(words) == 1:
        return list(ls.kinds())
    if words[0] == "sweep" and len(words) == 1:
        return compose.groups().get("sweep", [])
    return []


def _starting(start: str, choices: list[str]) -> list[str]:
    return [choice for choice in choices if choice.startswith(start)]
