"""What is done on another machine: one child, the same as on this one, watched until it ends.

Nothing but the standard library: Ray sends this file along, so that no folder of that machine that
is called like a package of ours is imported there.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

WHERE = ".where"  # beside the log of a job: host and pid of its child
LINGER_S = 60.0  # how long its exit code can be asked for
# Outlives whoever started it. stdin ends with that process, however it ends; a line says that the
# child is gone already. Then its group is asked to end, and what is left is killed.
KEEPER = """
exec 3<&0
(
  if ! read -r _ <&3; then
    kill -s TERM -- "-$1"
    n=0
    while [ "$n" -lt "$2" ] && kill -s 0 -- "-$1"; do sleep 1; n=$((n + 1)); done
  fi
  kill -s KILL -- "-$1"
) > /dev/null 2>&1 < /dev/null &
"""


def begin(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    folder: str | None = None,
    session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start the child in `folder`, its output appended to `log`; note beside that where it is.

    `session`: it leads one of its own, so that all it starts can be ended with it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=session,
        )
    note = {"host": socket.gethostname(), "pid": child.pid}
    log.with_suffix(WHERE).write_text(json.dumps(note))
    return child


class Runner:
    """A child that ends with this process, whatever ends that, with all that it started.

    `environment` wins over the variables that are set there; `grace_s` is how long the child may
    take to end when it is asked to.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: str,
        environment: Mapping[str, str],
        folder: str,
        grace_s: float,
    ) -> None:
        path = Path(log)
        self.child = begin(command, path, {**os.environ, **environment}, folder, session=True)
        end, self.keeper = os.pipe()
        words = ["sh", "-c", KEEPER, "sh", str(self.child.pid), f"{grace_s:.0f}"]
        subprocess.run(words, stdin=end, start_new_session=True, check=True)
        os.close(end)
        threading.Thread(target=self._linger, daemon=True).start()

    def wait(self, seconds: float) -> int | None:
        """Its exit code, if it ends by then."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.child.wait(seconds)
        return None

    def stop(self) -> None:
        """It is asked to end, and killed if it does not. Returns at once."""
        keeper, self.keeper = self.keeper, -1
        if keeper >= 0:
            os.close(keeper)

    def _linger(self) -> None:
        self.child.wait()
        with contextlib.suppress(OSError):
            os.write(self.keeper, b"\n")
        self.stop()
        time.sleep(LINGER_S)
        os._exit(0)  # nobody wants to know: what it holds is for others
