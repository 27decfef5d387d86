"""How a sweep is asked to stop: Ctrl-C once, Ctrl-C twice, or a signal from outside."""

import signal
from types import FrameType
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Signals:
    """A context: inside it a signal is only noted; the loop looks at it between two steps."""

    def __init__(self) -> None:
        self.interrupts = 0
        self.ended: signal.Signals | None = None
        self._previous: dict[int, Any] = {}

    @property
    def stopping(self) -> bool:
        """Nothing new is to be started."""
        return self.interrupts > 0 or self.cancelling

    @property
    def cancelling(self) -> bool:
        """What is running is to be ended."""
        return self.interrupts > 1 or self.ended is not None

    def __enter__(self) -> "Signals":
        for number in (signal.SIGINT, *ENDING):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.interrupts += 1
        else:
            self.ended = signal.Signals(number)
