"""`prune sweep` with child.py in the place of `prune train`; the arguments are those of sweep."""

import sys
from pathlib import Path

from prune import cli
from sweeps.executors import local

local.PROGRAM = (sys.executable, str(Path(__file__).with_name("child.py")))

if __name__ == "__main__":
    sys.exit(cli.main(["sweep", *sys.argv[1:]]))
