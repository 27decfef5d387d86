"""The command line: dispatch, errors as one line, exit codes, signals, completion."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_cases import ENVIRONMENT

from prune import cli, errors

ERRORS = [getattr(errors, name) for name in dir(errors) if name.endswith("Error")]
ERRORS = [error for error in ERRORS if isinstance(error, type)]


def prune(*words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -P -m prune WORDS` as sweep children do; its exit code must be `code`."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prune", *words],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done


# Commands for these tests: `cli.COMMANDS` names them like any other.
def fails(argv: list[str]) -> int:
    raise {e.__name__: e for e in (*ERRORS, errors.Stopped, errors.SweepFailed)}[argv[0]](argv[1])


def crashes(argv: list[str]) -> int:
    raise ZeroDivisionError("by\nzero")


def exits(argv: list[str]) -> int:
    sys.exit(int(argv[0]) if argv[0].isdigit() else argv[0])


def interrupted(argv: list[str]) -> int:
    raise KeyboardInterrupt


def pipes(argv: list[str]) -> int:
    raise BrokenPipeError("a worker died")


def sleeps(argv: list[str]) -> int:
    print("sleeping", flush=True)
    time.sleep(60)
    return 0


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fails", "crashes", "exits", "interrupted", "pipes"):
        monkeypatch.setitem(cli.COMMANDS, name, (f"{__name__}:{name}", ""))
    for variable in cli.FLAGS.values():
        monkeypatch.setenv(variable, "")


def test_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capfd.readouterr().out
    for name, (_, line) in cli.COMMANDS.items():
        assert name in out and line in out
    assert out.splitlines()[-1] == "Example: prune train +experiment=toy"
    assert cli.main([]) == 2


def test_help_is_fast_and_loads_nothing_heavy() -> None:
    def seconds(*command: str) -> float:
        """Of the processor: other tests may run beside this one."""
        before = os.times()
        subprocess.run([sys.executable, *command], env=ENVIRONMENT, capture_output=True, check=True)
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    bare = seconds("-c", "")
    assert min(seconds("-P", "-m", "prune", "--help") for _ in range(5)) < 0.2 + bare
    command = [sys.executable, "-X", "importtime", "-P", "-m", "prune", "--help"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {name for name in loaded if name.startswith("prune")} <= {
        "prune", "prune.autoload", "prune.cli", "prune.errors",
    }  # fmt: skip
    assert not loaded & {
        "argparse",
        "json",
        "subprocess",
        "importlib.metadata",
        "typing_extensions",
    }


def test_version() -> None:
    assert prune("--version").stdout.startswith("prune ")


def test_unknown_command_and_flag(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("prune: unknown command 'trian'; did you mean train? (choices: ")
    assert err.endswith("\n  see: prune --help\n")
    assert cli.main(["--qiet", "runs"]) == 2
    assert "did you mean --quiet?" in capfd.readouterr().err


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_of_ours(
    error: type[errors.PruneError], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["fails", error.__name__, "what\nnext step\nmore"]) == error.exit_code
    assert capfd.readouterr().err == "prune: what\n  next step\n  more\n"


def test_exit_codes() -> None:
    expected = {"ConfigError": 2, "UsageError": 2, "StoreError": 1, "SweepFailed": 3, "Stopped": 75}
    for name, code in expected.items():
        assert cli.main(["fails", name, "text"]) == code
    assert cli.main(["interrupted"]) == 130


def test_any_other_error_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["crashes"]) == 1
    expected = "unexpected ZeroDivisionError: by zero (run again with --debug for the traceback)\n"
    assert capfd.readouterr().err == f"prune: {expected}"
    assert cli.main(["pipes"]) == 1  # a broken pipe that is not our output
    assert "unexpected BrokenPipeError: a worker died" in capfd.readouterr().err


def test_debug_shows_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["crashes"], ["fails", "StoreError", "text"]):
        assert cli.main(["--debug", *words]) == 1
        err = capfd.readouterr().err
        assert "Traceback (most recent call last)" in err
        assert err.splitlines()[-1].startswith("prune: ")


def test_global_flags_reach_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--quiet", "--debug", "exits", "0"]) == 0
    assert os.environ["PRUNE_QUIET"] == os.environ["PRUNE_DEBUG"] == "1"


def test_what_a_command_exits_with(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["exits", "7"]) == 7
    assert cli.main(["exits", "words"]) == 1
    assert capfd.readouterr().err == "prune: words\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_in_one_line(number: signal.Signals, code: int) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from prune import cli; cli.COMMANDS['sleeps'] = ('test_cli:sleeps', '')\n"
        "sys.exit(cli.main(['sleeps']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout and process.stdout.readline() == "sleeping\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert len(err.splitlines()) == 1 and err.startswith("prune: stopped by ")


def test_a_reader_that_stops_early_is_no_error(runs: Path) -> None:
    line = f"{sys.executable} -P -m prune ls --json; echo code $? >&2"
    command = ["bash", "-c", f"({line}) | true"]
    for _ in range(3):
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.stderr == "code 0\n"


def test_output_that_cannot_be_written_is_an_error(runs: Path) -> None:
    command = ["bash", "-c", f"{sys.executable} -P -m prune ls > /dev/full"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("prune: unexpected OSError") and done.stderr.count("\n") == 1
