"""Threshold, penalty weight and learning rate as pure functions of training progress.

The cubic ramp of Zhu & Gupta 2017 as movement pruning uses it (Sanh et al. 2020). With T steps in
all, w warm-up steps and `initial` and `final` in units of w: nothing moves until initial * w, all
is done final * w before the end, and between them what is left of the way shrinks with the cube.
"""

from dataclasses import dataclass

from prune.errors import ConfigError


@dataclass(frozen=True)
class Ramp:
    """A schedule fitted to a run: optimizer steps from `begin` to `end`, of `total`."""

    total: int
    warmup: int
    begin: int
    end: int

    def progress(self, step: int) -> float:
        """How much of the way is done after `step` optimizer steps: 0 to 1."""
        if step <= self.begin:
            return 0.0
        if step > self.end or self.end <= self.begin:
            return 1.0
        return 1.0 - (1.0 - (step - self.begin) / (self.end - self.begin)) ** 3

    def value(self, step: int, start: float, end: float) -> float:
        """A quantity that goes from `start` to `end` along the ramp."""
        # Written so that both ends are exact.
        progress = self.progress(step)
        return start * (1.0 - progress) + end * progress

    def learning_rate(self, step: int) -> float:
        """Factor of the learning rate: up over the warm-up, then linearly to 0 at the end."""
        if step < self.warmup:
            return step / self.warmup
        return max(0.0, (self.total - step) / max(1, self.total - self.warmup))


@dataclass(frozen=True)
class Schedule:
    """What a run asks for; `fit` makes it a Ramp of a known number of steps.

    warmup_steps w, or warmup_ratio of all steps; `initial` and `final` in units of w;
    `ramp_epochs` (the pruning speed) sets the length of the ramp instead of `final`.
    """

    warmup_steps: int | None = None
    warmup_ratio: float = 0.0488
    initial: float = 1.0
    final: float = 10.0
    ramp_epochs: float | None = None

    def fit(self, total: int, steps_per_epoch: float | None = None) -> Ramp:
        """Raises ConfigError, saying what would fit, if the run is too short."""
        ratio = self.warmup_ratio
        warmup = round(ratio * total) if self.warmup_steps is None else self.warmup_steps
        begin = round(self.initial * warmup)
        if self.ramp_epochs is None:
            end = total - round(self.final * warmup)
        else:
            end = begin + round(self.ramp_epochs * (steps_per_epoch or total))
        if begin < 0 or end > total or (end <= begin and total > 0):
            raise ConfigError(self._too_short(total, warmup, begin, end))
        return Ramp(total, warmup, begin, end)

    def _too_short(self, total: int, warmup: int, begin: int, end: int) -> str:
        if self.ramp_epochs is not None:
            return (
                f"schedule.ramp_epochs={self.ramp_epochs} needs {end} steps and the run has "
                f"{total}: train longer (train.epochs) or ramp faster"
            )
        units = self.initial + self.final
        if self.warmup_steps is None:
            fits = f"warmup_ratio below {1 / units:.3f}"
        else:
            fits = f"warmup_steps={max(0, int(total / units) - 1)} or less"
        return (
            f"the schedule does not fit: {self.initial:g} + {self.final:g} times {warmup} warm-up "
            f"steps leave no ramp in {total} steps; use schedule.{fits}, a smaller schedule.final, "
            "or more train.epochs"
        )


@dataclass(frozen=True)
class Fitted(Schedule):
    """A schedule whose ramp is known, whatever the run."""

    ramp: Ramp = Ramp(0, 0, 0, 0)

    def fit(self, total: int, steps_per_epoch: float | None = None) -> Ramp:
        return self.ramp
