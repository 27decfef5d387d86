"""A trial that computes nothing: it holds, logs and finishes a run folder as `prune train` does.

The arguments are those of `prune train`. It sleeps for a time that its run id draws, from one
second to twelve, and notes in $SPANS when its process began and ended.
"""

import json
import math
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from prune.config import run_id
from tests.sweeps import child

SHORTEST_S, LONGEST_S = 1.0, 12.0
TICKS = os.sysconf("SC_CLK_TCK")


def length(run: str) -> float:
    """Seconds of its own work: short ones are as many as long ones."""
    return math.exp(random.Random(run).uniform(math.log(SHORTEST_S), math.log(LONGEST_S)))


def born() -> float:
    """When this process was started, before any import, in the time of time.time()."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / TICKS
    return time.time() - float(Path("/proc/uptime").read_text().split()[0]) + started


if __name__ == "__main__":
    begun = born()
    os.environ["CHILD_WORK_S"] = str(length(run_id(child.config_of(sys.argv[1:]))))
    code = child.main()
    with open(os.environ["SPANS"], "a") as spans:
        print(json.dumps([begun, time.time()]), file=spans)
    sys.exit(code)
