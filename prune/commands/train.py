"""`prune train`: one run. Hydra reads the command line; what is done already is not done again."""

import os
from collections.abc import Sequence

from prune.config import RunConfig, run_id


def main(argv: Sequence[str]) -> int:
    from prune.app import run_app

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
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        from prune.run import ensure

        ensure(config, overrides, store)
