"""`prune db`: the index of the runs. It can be thrown away: the run folders are the truth."""

from prune.commands import say, subcommands
from prune.migrations import HEAD
from prune.store import Store

HELP = {
    "rebuild": "make the index again from the run folders",
    "path": "print where the index is",
    "upgrade": "bring the schema of the index up to date",
}


def main(argv: list[str]) -> int:
    parser, commands = subcommands(
        "prune db", "The SQL index of the run folders (PRUNE_DB, or index.db).", "prune db path"
    )
    for name, text in HELP.items():
        commands.add_parser(
            name, prog=f"prune db {name}", help=text, description=text, example=f"prune db {name}"
        )
    asked = parser.parse_args(argv)
    store = Store()  # this alone upgrades the schema
    if asked.command == "path":
        print(store.database)
    elif asked.command == "upgrade":
        say(f"schema {HEAD}: {store.database}")
    else:
        rebuild(store)
    return 0


def rebuild(store: Store) -> None:
    rebuilt = store.rebuild()
    say(f"indexed {rebuilt.runs} runs of {store.root}")
    for line in rebuilt.skipped:
        print(f"skipped {line}")
