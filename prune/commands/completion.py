"""Tab completion. Hydra's shell script asks `prune -sc query=bash` with COMP_LINE set.

Command names are completed here; what follows `train` is Hydra's to complete.
"""

import contextlib
import io
import os

from prune import compose
from prune.cli import COMMANDS, FLAGS, load
from prune.commands import db, ls, runs
from prune.errors import UsageError


def main(argv: list[str]) -> int:
    """`argv` is query=SHELL, install=SHELL or uninstall=SHELL."""
    if len(argv) != 1 or argv[0].partition("=")[0] not in ("query", "install", "uninstall"):
        raise UsageError('completion is installed by: eval "$(prune -sc install=bash)"')
    if not argv[0].startswith("query="):
        return _script(argv[0])
    line = os.environ.get("COMP_LINE", "")
    program, *words = line.split() or ["prune"]
    if line.endswith(" ") or not words:
        words.append("")  # the word that is being typed
    while len(words) > 1 and words[0] in FLAGS:
        words.pop(0)
    if len(words) > 1 and words[0] == "train":
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        return _hydra(argv[0])
    choices = _choices(words[:-1]) if len(words) > 1 else [*COMMANDS, *FLAGS]
    print(*(choice for choice in choices if choice.startswith(words[-1])))
    return 0


def _choices(words: list[str]) -> list[str]:
    """What may follow `words`, the complete ones."""
    if words[-1] == "--status":
        return list(runs.STATUSES)
    following: dict[tuple[str, ...], list[str]] = {
        ("runs",): list(runs.ACTIONS),
        ("db",): list(db.HELP),
        ("ls",): list(ls.kinds()),
        ("sweep",): compose.groups().get("sweep", []),
    }
    return following.get(tuple(words), [])


def _script(what: str) -> int:
    """Print Hydra's shell script, for `prune` instead of `prune train`."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = _hydra(what)
    print(out.getvalue().replace("prune train", "prune"), end="")
    return code


def _hydra(what: str) -> int:
    return load(COMMANDS["train"][0])(["-sc", what])
