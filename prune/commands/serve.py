"""A warm server of `prune train`: loads torch and transformers once, and forks for each run.

Started by a sweep (`python -P -m prune.commands.serve`). A line of JSON on stdin is an order: name,
overrides, log, environment. Lines on stdout: ready; name and pid of a run that began; pid and code
of one that ended. Its runs lead sessions of their own and outlive it; it ends when stdin does.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
from typing import Any, NoReturn

# What a run will import anyway. Nothing here may start a thread or touch a device.
LOADED = (
    "torch",
    "transformers",
    "transformers.models.bert.modeling_bert",
    "safetensors.torch",
    "hydra",
    "prune.app",
    "prune.run",
    "prune.store",
    "sqlalchemy.dialects.sqlite",
)


def main() -> int:
    out = os.dup(1)
    os.dup2(2, 1)  # whatever prints while it is imported must not speak in our name
    wake, ring = os.pipe()
    os.set_blocking(ring, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(ring)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child must not copy what all of them share
    say(out, {"ready": os.getpid()})
    rest = b""
    while True:
        readable, _, _ = select.select([0, wake], [], [])
        if wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            reap(out)
        if 0 in readable:
            part = os.read(0, 65536)
            if not part:
                return 0
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                order = json.loads(line)
                say(out, {"name": order["name"], "pid": start(order, (out, wake, ring))})


def say(out: int, content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the controller was killed: stdin ends, too
        os.write(out, json.dumps(content).encode() + b"\n")


def reap(out: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            say(out, {"pid": ended[0], "code": os.waitstatus_to_exitcode(ended[1])})


def start(order: dict[str, Any], ours: tuple[int, ...]) -> int:
    """Fork; the pid of the run, which leads a session by now. The child never returns."""
    there, here = os.pipe()
    if pid := os.fork():
        os.close(here)
        os.read(there, 1)  # nothing: the child closes it
        os.close(there)
        return pid
    code = 70
    try:
        os.setsid()
        become(order, (*ours, there, here))
        code = run(order["overrides"])
    except BaseException as error:
        print(f"the run could not begin: {error!r}", file=sys.stderr)
    finally:
        leave(code)


def become(order: dict[str, Any], ours: tuple[int, ...]) -> None:
    """Be what a fresh process would be: its signals, output, environment and threads."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for handle in ours:
        os.close(handle)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def run(overrides: list[str]) -> int:
    from prune import cli

    return cli.main(["train", *overrides])


def leave(code: int) -> NoReturn:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
