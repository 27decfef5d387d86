"""What a running sweep looks like: one live line a slot on a terminal, else a line an event."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

EIGHTHS = " ▏▎▍▌▋▊▉█"
SHOWN = ("loss", "density", "speedup", "f1")  # of a run's metrics, in this order


@dataclass(frozen=True)
class Busy:
    """A slot with a run in it; `progress` is the last line of the run's metrics."""

    slot: int
    name: str
    seconds: float  # since it was started; 0 if nobody knows
    progress: Mapping[str, float] = field(default_factory=dict)

    def line(self, width: int = 0) -> str:
        """slot 0   #7  32x32   ███████▏   71 %   loss 2.20   eta 1:12 ; `width` of the name."""
        words = [f"slot {self.slot}", self.name.ljust(width)]
        step, steps = self.progress.get("step", 0), self.progress.get("steps", 0)
        if not (0 < step <= steps):
            return "   ".join([*words, "starting" if self.seconds else "running"])
        share = step / steps
        words += [bar(share), f"{100 * share:3.0f} %"]
        words += [f"{k} {self.progress[k]:.2f}" for k in SHOWN if k in self.progress]
        if share == 1:
            words.append("measuring")
        elif self.seconds:
            words.append(f"eta {clock(self.seconds * (1 - share) / share)}")
        return "   ".join(words)


class View(Protocol):
    """Where a sweep says what happens. Nothing of it goes to stdout."""

    def event(self, text: str, minor: bool = False) -> None:
        """Something happened; minor: live lines show it anyway."""

    def update(self, busy: Sequence[Busy], summary: str) -> None:
        """The state of the slots now."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Quiet:
    def event(self, text: str, minor: bool = False) -> None:
        pass

    def update(self, busy: Sequence[Busy], summary: str) -> None:
        pass

    def close(self) -> None:
        pass


class Lines:
    def __init__(self, stream: IO[str] | None = None) -> None:
        self.stream = stream or sys.stderr

    def event(self, text: str, minor: bool = False) -> None:
        print(text, file=self.stream, flush=True)

    def update(self, busy: Sequence[Busy], summary: str) -> None:
        pass

    def close(self) -> None:
        pass


class Live:
    def __init__(self, stream: IO[str] | None = None) -> None:
        from rich.console import Console
        from rich.live import Live as Display

        console = Console(file=stream or sys.stderr, highlight=False)
        self.display: Any = Display(console=console, auto_refresh=False, transient=True)
        self.display.start()

    def event(self, text: str, minor: bool = False) -> None:
        if not minor:
            self.display.console.print(text, markup=False, soft_wrap=True)

    def update(self, busy: Sequence[Busy], summary: str) -> None:
        from rich.text import Text

        width = max((len(b.name) for b in busy), default=0)
        lines = [*(f"  {b.line(width)}" for b in busy), f"  {summary}"]
        text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        self.display.update(text, refresh=True)

    def close(self) -> None:
        from rich.text import Text

        self.display.update(Text(""))
        self.display.stop()


def view(quiet: bool = False) -> View:
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Lines()


def bar(share: float, width: int = 20) -> str:
    """A bar of `width` characters, filled in eighths."""
    full, part = divmod(round(share * width * 8), 8)
    return ("█" * full + (EIGHTHS[part] if part else "")).ljust(width)


def clock(seconds: float) -> str:
    """1:12 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """50 s, 12 min, 1 h 50 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
