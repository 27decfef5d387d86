"""`prune db`: the index of the runs. It can be thrown away: the run folders are the truth."""

from prune.commands import open_store, say, subcommands

HELP = {
    "rebuild": "make the index again from the run folders",
    "path": "print where the index is",
    "upgrade": "bring the schema of the index up to date",
}


def main(argv: list[str]) -> int:
    parser, commands = subcommands(
        "prune db",
        "The SQL index of the run folders (PRUNE_DB, or index.db beside them).",
        "prune db path",
        list(HELP),
    )
    for name, text in HELP.items():
        commands.add_parser(
            name, prog=f"prune db {name}", help=text, description=text, example=f"prune db {name}"
        )
    asked = parser.parse_args(argv)
    store = open_store()  # this alone upgrades the schema
    if asked.command == "path":
        print(store.database)
    elif asked.command == "upgrade":
        say(f"schema {store.schema}: {store.database}")
    else:
        rebuilt = store.rebuild()
        say(f"indexed {rebuilt.runs} runs of {store.root}")
        for line in rebuilt.skipped:
            print(f"skipped {line}")
    return 0
