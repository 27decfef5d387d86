"""`prune dashboard`: every sweep's trials in the browser, from the database they are in."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from prune.errors import UsageError

HELP = """\
Serve optuna-dashboard on the database of the runs folder ($PRUNE_RUNS, $PRUNE_DB): a study for each
sweep, its trials with their commands, its front, what each axis matters. Ctrl-C ends it.
"""
EXAMPLE = "Example: prune dashboard --port 8080"


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(list(argv))
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise UsageError("needs optuna-dashboard: pip install 'prune[dashboard]'") from error
    from prune.store import Store

    store = Store()
    print(f"sweeps of {store.root} at http://{asked.host}:{asked.port}/  (Ctrl-C ends it)")
    try:
        run_server(store.url, host=asked.host, port=asked.port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {asked.host}:{asked.port}: {error.strerror}; use another --port"
        ) from error
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee: prune dashboard --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="prune dashboard",
        description=HELP,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="localhost", help="whom to serve (this machine only)")
    parser.add_argument("--port", type=int, default=8080, help="8080 if nothing is said")
    return parser
