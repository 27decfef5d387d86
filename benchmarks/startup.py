"""P10: how long a user waits before anything happens, as whole processes.

    python benchmarks/startup.py [--pairs 20]

Each command is timed in turn with a bare interpreter; the goal is in ms, the ratio says how much
of it is ours.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import common

PRUNE = [sys.executable, "-P", "-m", "prune"]
BARE = [sys.executable, "-c", "pass"]
COMPOSE = "from prune import compose; compose.load(['+experiment=hybrid_squad'])"
CASES = [
    ("`prune --help`", [*PRUNE, "--help"], 200),
    ("compose and check a config", [sys.executable, "-P", "-c", COMPOSE], 500),
    ("`prune sweep block_shapes --dry-run`", [*PRUNE, "sweep", "block_shapes", "--dry-run"], 1500),
]


def run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=common.MIN_PAIRS)
    pairs = parser.parse_args().pairs
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "analysis").mkdir()  # -P: what lies in the folder does not matter
        for name, command, limit in CASES:
            calls = (lambda c=command: run(c, folder), lambda: run(BARE, folder))
            names = (name, "`python -c pass`")
            rows.append(common.compare(names, calls, "ms", limit, pairs))
    path = common.write("startup", rows, threads=1, about="Start-up, whole processes")
    print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main()
