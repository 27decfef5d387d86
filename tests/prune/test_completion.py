"""Tab completion, asked for by a real bash that evaluated our script."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from store_cases import ENVIRONMENT

from prune.cli import COMMANDS

# What bash does when the user presses tab after $1.
PRESS_TAB = r"""
press() {
    COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMPREPLY=()
    [[ "$1" == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    $handler; echo "${COMPREPLY[@]}"
}
eval "$(prune -sc install=bash)"
handler=$(complete -p prune | grep -o -- '-F [^ ]*' | cut -c 4-)
for line in "$@"; do press "$line"; done
"""

Press = Callable[..., list[list[str]]]


@pytest.fixture(scope="module")
def press(tmp_path_factory: pytest.TempPathFactory) -> Press:
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "prune"  # what pip makes of [project.scripts]
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom prune.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    def run(*lines: str) -> list[list[str]]:
        command = ["bash", "--norc", "-c", PRESS_TAB, "bash", *lines]
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert done.stderr == ""
        return [line.split() for line in done.stdout.splitlines()]

    return run


def test_commands_and_their_choices(press: Press) -> None:
    asked = {
        "prune tr": ["train"],
        "prune ": [*COMMANDS, "--debug", "--quiet"],
        "prune --debug ru": ["runs"],
        "prune runs ": ["ls", "show", "rm"],
        "prune db re": ["rebuild"],
        "prune runs ls --status int": ["interrupted"],
        "prune ls exp": ["experiments"],
        "prune sweep block_sh": ["block_shapes"],
    }
    assert press(*asked) == list(asked.values())


def test_overrides_of_train(press: Press) -> None:
    asked = {
        "prune train +experiment=dense_to": ["+experiment=dense_tokens", "+experiment=dense_toy"],
        "prune train attention=block train.scores": ["train.scores_lr="],
        "prune --debug train task=sq": ["task=squad", "task=squad_v2"],
    }
    assert press(*asked) == list(asked.values())


def test_the_script_is_for_prune_alone(press: Press) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prune", "-sc", "install=bash"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert "-F hydra_bash_completion prune\n" in done.stdout


def test_what_is_no_question(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prune", "-sc", "wat"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "prune -sc install=bash" in done.stderr
