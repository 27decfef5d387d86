"""Every error the library raises on purpose. The command line turns each into one line.

PruneError                    1   something failed; the message says what to do next
├── ConfigError               2   a key, a choice, a value: all problems at once
├── UsageError                2   the command line itself
├── PolicyError               2   rules that do not fit the model
├── MissingInputError         1   a model, a data set or a run that is not there
├── TrainingError             1   the run cannot go on (a loss that is not finite, ...)
├── ShrinkError               1   the small model is not equal to the masked one
├── CheckpointError           1   a saved model that cannot be trusted
├── KernelError               1   a block-sparse layer that no backend, or not this one, can run
├── ExportError               1   a model that cannot be exported, or whose file is not equal
├── StoreError                1   the run folders or their index
├── SweepFailed               3   the sweep ended with failed trials
└── Stopped                  75   stopped by a limit; the same command resumes

The number is the exit code. Ctrl-C is 130.
"""

import difflib
from collections.abc import Iterable, Sequence


class PruneError(Exception):
    """Root of the tree. `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(PruneError):
    """One or more problems with a configuration, all reported together."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class UsageError(PruneError):
    exit_code = 2


class PolicyError(PruneError):
    exit_code = 2


class MissingInputError(PruneError):
    pass


class TrainingError(PruneError):
    pass


class ShrinkError(PruneError):
    pass


class CheckpointError(PruneError):
    pass


class KernelError(PruneError):
    pass


class ExportError(PruneError):
    pass


class StoreError(PruneError):
    pass


class SweepFailed(PruneError):
    exit_code = 3


class Stopped(PruneError):
    exit_code = 75


def unknown(kind: str, name: object, choices: Iterable[str], others: Iterable[str] = ()) -> str:
    """The one way to say that a name is not known: the nearest match, then the choices.

    The nearest match may also be one of `others`, too many to be listed.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(str(name), [*known, *others], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (choices: {', '.join(known)})"
