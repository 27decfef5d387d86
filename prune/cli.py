"""The command line: which command, and an error as one line and an exit code.

Imports nothing heavy: commands are strings, loaded when they are asked for.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from prune.errors import PruneError, Stopped, UsageError, unknown

Command = Callable[[list[str]], int]

# name -> ("module:function", one help line); the function takes the arguments after the name.
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("prune.commands.train:main", "fine-prune one model and prove what it gained"),
    "sweep": ("sweeps.command:main", "many runs: a grid or a search; the same command resumes"),
    "report": ("analysis.command:main", "tables and Pareto curves of what the runs measured"),
    "recommend": ("analysis.recommend:main", "which checkpoint to ship, and how to load it"),
    "explain": ("prune.commands.explain:main", "where the time of a model goes, layer by layer"),
    "import": ("analysis.importing:main", "published results as runs, to be compared with ours"),
    "dashboard": ("sweeps.dashboard:main", "the trials of every sweep in the browser"),
    "bench": ("prune.commands.bench:main", "time a model beside the dense one, in any runtime"),
    "export": ("prune.commands.export:main", "ONNX, int8 and OpenVINO files, each measured"),
    "runs": ("prune.commands.runs:main", "list, show and remove runs"),
    "db": ("prune.commands.db:main", "the index of the runs: rebuild, path, upgrade"),
    "profile": ("prune.commands.profile:main", "what encoder layers cost on this machine"),
    "doctor": ("prune.commands.doctor:main", "does this machine have what runs need?"),
    "ls": ("prune.commands.ls:main", "what one can choose: experiments, models, algorithms, ..."),
}
COMPLETION = "prune.commands.completion:main"
COMPLETION_FLAGS = ("-sc", "--shell-completion")
FLAGS = {"--debug": "PRUNE_DEBUG", "--quiet": "PRUNE_QUIET"}
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Never raises, but for what it cannot survive."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        signal.signal(signal.SIGTERM, _stop)
        code = run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as error:
        return _exit_code(error)
    except KeyboardInterrupt:
        return _say("stopped by Ctrl-C", INTERRUPTED)
    except PruneError as error:
        _trace()
        return _say(str(error), error.exit_code)
    except BrokenPipeError as error:
        # `prune runs ls | head -1`: the reader has enough
        return 0 if _reader_is_gone() else _unexpected(error)
    except Exception as error:
        return _unexpected(error)
    finally:
        _abandon_unwritable_output()


def run(arguments: list[str]) -> int:
    """Take the global flags off the front and run the command. Raises PruneError."""
    while arguments and arguments[0] in FLAGS:
        os.environ[FLAGS[arguments.pop(0)]] = "1"
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if arguments else UsageError.exit_code
    name, *rest = arguments
    if name in ("-V", "--version"):
        print(f"prune {version()}")
        return 0
    if name in COMPLETION_FLAGS:
        return load(COMPLETION)(rest)
    if name not in COMMANDS:
        kind = "flag" if name.startswith("-") else "command"
        choices = [*FLAGS, "--help", "--version"] if kind == "flag" else COMMANDS
        raise UsageError(f"{unknown(kind, name, choices)}\nsee: prune --help")
    return load(COMMANDS[name][0])(rest)


def load(target: str) -> Command:
    """The function that `module:function` names."""
    module, _, function = target.partition(":")
    command: Command = getattr(importlib.import_module(module), function)
    return command


def help_text() -> str:
    commands = "\n".join(f"  {name:<11}{line}" for name, (_, line) in COMMANDS.items())
    return f"""\
prune: your transformer, smaller and faster on your hardware, with evidence.

Usage: prune [--debug] [--quiet] COMMAND ...

{commands}

  --debug    show the traceback of an error
  --quiet    results and errors only
  --version  print the version
  --help     this text; `prune COMMAND --help` for one command

Tab completion in bash: eval "$(prune -sc install=bash)"

Example: prune train +experiment=toy"""


def version() -> str:
    from importlib import metadata

    try:
        return metadata.version("prune")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _stop(signum: int, frame: FrameType | None) -> None:
    raise Stopped("stopped by SIGTERM; the same command goes on from here")


def _say(message: str, code: int) -> int:
    first, *more = message.splitlines() or [""]
    print("\n".join([f"prune: {first}", *(f"  {line}" for line in more)]), file=sys.stderr)
    return code


def _unexpected(error: Exception) -> int:
    text = " ".join(str(error).split())
    _trace()
    hint = "" if _debug() else " (run again with --debug for the traceback)"
    return _say(f"unexpected {type(error).__name__}: {text}{hint}", PruneError.exit_code)


def _debug() -> bool:
    return bool(os.environ.get("PRUNE_DEBUG"))


def _trace() -> None:
    if _debug():
        import traceback

        traceback.print_exc()


def _exit_code(error: SystemExit) -> int:
    """What `sys.exit` of argparse or Hydra meant: None, a code, or a message."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    return _say(str(error.code), PruneError.exit_code)


def _reader_is_gone() -> bool:
    """Whether the broken pipe is our own standard output."""
    import select

    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _abandon_unwritable_output() -> None:
    """Leave nothing that the interpreter would fail to write, and complain about, at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
