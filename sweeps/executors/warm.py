"""A warm server beside the controller: a run is a fork of a process that has torch loaded.

It saves the seconds that every fresh interpreter spends on imports. While it is still loading, or
if it ever fails, runs are started cold: it makes things faster, and nothing depends on it.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, final

SINGLE = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # a fork copies one thread only
SERVER = (sys.executable, "-P", "-m", "prune.commands.serve")
FORK_S = 10.0  # for a server that is ready to fork


@final
class Forked:
    """A child of the server, to be used like a Popen."""

    def __init__(self, server: "Server", pid: int) -> None:
        self.server, self.pid = server, pid
        self.code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs. GONE if nobody knows."""
        self.server.listen()
        self.code = self.server.codes.pop(self.pid, self.code)
        if self.code is None and self.server.dead and not _exists(self.pid):
            self.code = GONE
        return self.code

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.02)
        return code


GONE = 1_000  # no exit code a process can have


@final
class Server:
    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                SERVER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={**environment, **SINGLE},
                start_new_session=True,
            )
        self.stdin: IO[bytes] = self.process.stdin  # type: ignore[assignment]
        self.stdout: IO[bytes] = self.process.stdout  # type: ignore[assignment]
        os.set_blocking(self.stdout.fileno(), False)
        self.ready = self.dead = False
        self.codes: dict[int, int] = {}  # pid -> exit code of children that ended
        self._born: dict[str, int] = {}  # name -> pid of children that were just forked
        self._rest = b""

    def fork(
        self, name: str, overrides: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> Forked | None:
        """Start `prune train OVERRIDES`; None if the server cannot (yet, or any more)."""
        self.listen()
        if self.dead or not self.ready:
            return None
        order = {"name": name, "overrides": list(overrides), "log": str(log)}
        try:
            self.stdin.write(json.dumps({**order, "environment": dict(environment)}).encode())
            self.stdin.write(b"\n")
            self.stdin.flush()
        except OSError:
            self.dead = True
            return None
        deadline = time.monotonic() + FORK_S
        while name not in self._born and not self.dead and time.monotonic() < deadline:
            select.select([self.stdout], [], [], 0.1)
            self.listen()
        if name not in self._born:
            self.close()  # it may still fork: no second run of the same beside it
            return None
        return Forked(self, self._born.pop(name))

    def listen(self) -> None:
        """Take in what the server said. Never blocks."""
        with contextlib.suppress(BlockingIOError):
            while not self.dead and (part := os.read(self.stdout.fileno(), 65536)):
                *lines, self._rest = (self._rest + part).split(b"\n")
                for line in lines:
                    self._heard(json.loads(line))
            self.dead = True

    def close(self) -> None:
        """End the server, not its children."""
        self.dead = True
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                stream.close()

    def _heard(self, said: dict[str, Any]) -> None:
        if "ready" in said:
            self.ready = True
        elif "code" in said:
            self.codes[said["pid"]] = said["code"]
        else:
            self._born[said["name"]] = said["pid"]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
