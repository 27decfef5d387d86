"""One file a command. Here: what they share to read arguments and to print tables."""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from prune.errors import UsageError, unknown

if TYPE_CHECKING:
    from prune.store import Store

COLOURS = {"done": "32", "running": "36", "interrupted": "33", "failed": "31", "broken": "31"}


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours; its help ends in `example`, a command that runs."""

    def __init__(self, prog: str, description: str, example: str, **options: Any) -> None:
        options |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        epilog = f"Example: {example}"
        super().__init__(prog=prog, description=description, epilog=epilog, **options)

    def error(self, message: str) -> NoReturn:
        # argparse's own words, except for a name that is not known.
        found = re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)$", message)
        if found:
            message = unknown("command", found[1], re.findall(r"[\w-]+", found[2]))
        raise UsageError(f"{message}\nsee: {self.prog} --help")


def subcommands(
    prog: str, description: str, example: str, names: Sequence[str]
) -> tuple[Parser, Any]:
    """A parser, and the action that its subcommands `names` (`asked.command`) are added to."""
    parser = Parser(prog, description, example)
    return parser, parser.add_subparsers(dest="command", metavar="|".join(names), required=True)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, allow_nan=False))


def open_store() -> "Store":
    """The store of this user; imported now, so that help and tab completion stay fast."""
    from prune.store import Store

    return Store()


def store_if_any() -> "Store | None":
    """The store, if there are runs at all: a look must not make the folder."""
    from prune.compose import runs_dir

    return open_store() if runs_dir().is_dir() else None


def say(text: str) -> None:
    """Print unless --quiet."""
    if not os.environ.get("PRUNE_QUIET"):
        print(text)


def calm() -> None:
    """Keep what the libraries say of themselves off the terminal."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """`rows` as aligned columns, plain text; the columns in `right` are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if position in right else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(map(painted, cells)).rstrip())
    return "\n".join(lines)


def painted(cell: str) -> str:
    """A status in its colour, on a terminal that wants colours (NO_COLOR is honoured)."""
    code = COLOURS.get(cell.strip())
    if code is None or os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return cell
    return f"\033[{code}m{cell}\033[0m"
