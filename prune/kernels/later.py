"""Calls of machine code that are put off, to be made one after the other.

A pass over megabytes leaves nothing of Python in the processor's caches, and what leads to the next
one then takes several times as long. So what Python does for all matrices comes first, and the
passes themselves after that (docs/notes/measuring.md).
"""

from collections.abc import Callable

from torch import Tensor


class Later:
    """Passes that are still to be made, in their order; until then nothing of theirs is there."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[[], None], tuple[Tensor, ...]]] = []

    def add(self, call: Callable[[], None], *tensors: Tensor) -> None:
        """The call has the addresses of the tensors, which are held for it."""
        self._calls.append((call, tensors))

    def make(self) -> None:
        for call, _ in self._calls:
            call()
        self._calls.clear()
