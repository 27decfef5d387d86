"""What runs on another machine: the same child as on this one, and nothing else."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sweeps.executors.local import environment


def run_child(command: Sequence[str], log: Path, threads: int) -> int:
    """Run it there, its output appended to `log`; its exit code, as subprocess has it.

    Whatever ends the job asks the child to end first: it leaves a checkpoint.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(threads),
        )
        try:
            return child.wait()
        except BaseException:  # the job is cancelled, or its time is over
            child.send_signal(signal.SIGTERM)
            child.wait()
            raise
