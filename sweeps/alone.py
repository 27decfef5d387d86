"""One controller a sweep, held by a lock that dies with it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from prune.errors import StoreError
from prune.store.lock import held, holder


@contextlib.contextmanager
def alone(folder: Path, sweep: str) -> Iterator[None]:
    """Raises StoreError, naming its host and pid, if another controller has the sweep."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(folder))
        except StoreError as error:
            if owner := holder(folder):
                raise StoreError(
                    f"sweep {sweep} is run by {owner}: wait for it, or stop it"
                ) from error
            raise
        yield
