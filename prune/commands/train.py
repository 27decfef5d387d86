"""`prune train`: one run. Hydra reads the command line; what is done already is not done again."""

import os
from collections.abc import Sequence

from prune.config import RunConfig, run_id


def main(argv: Sequence[str]) -> int:
    from prune.app import run_app

    if any(a.startswith("from_run=") for a in argv):
        from prune.sources import continued
        from prune.store import Store

        argv = continued(argv, Store())
    run_app(train, argv)
    return 0


def train(config: RunConfig, overrides: list[str]) -> None:
    """Do the run, or say that it is done already."""
    # Heavy imports wait until the configuration is known to be right.
    from prune.store import Store

    store = Store()
    if record := store.done(run_id(config)):
        print(f"run {record.run_id} is done already: {record.path}")
    else:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from transformers.utils import logging

        from prune.run import ensure

        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        ensure(config, overrides, store)
