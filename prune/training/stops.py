"""Ctrl-C and SIGTERM during a training: it ends behind the step it is in, not within it."""

import signal
import threading
from types import FrameType
from typing import Any, final

STOPPING = (signal.SIGINT, signal.SIGTERM)


@final
class Stops:
    """A context: the first signal is noted for `heed`; a second one does what it always did."""

    def __init__(self) -> None:
        self.noted: tuple[int, FrameType | None] | None = None
        self._previous: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        return self.noted is not None

    def heed(self) -> None:
        """Do what the noted signal does: raise KeyboardInterrupt, or what SIGTERM is here."""
        if self.noted:
            number, frame = self.noted
            self._previous[number](number, frame)

    def __enter__(self) -> "Stops":
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if callable(handler := signal.getsignal(number)):  # not ignored, not the default
                    self._previous[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            self._previous[number](number, frame)
        self.noted = number, frame
