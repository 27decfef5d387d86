"""The accelerators of this machine, by asking the driver's own tool: no torch, no context."""

import os
import re
import subprocess
from collections.abc import Callable, Sequence

from sweeps.executors.slots import Device

TIMEOUT_S = 20
QUERY = ("nvidia-smi", "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits")
LIST = ("nvidia-smi", "-L")
GB = 1024.0  # MiB; MIG profiles are named by it

Ask = Callable[[Sequence[str]], str]


def devices(ask: Ask | None = None, visible: str | None = None) -> list[Device]:
    """Every device that jobs may use: whole ones, and the slices of those that are cut (MIG).

    `visible`, by default $CUDA_VISIBLE_DEVICES, restricts them by number or UUID.
    """
    ask = ask or answer
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    memory = dict(_pairs(ask(QUERY)))
    found: list[tuple[str, Device]] = []  # number, device
    number = uuid = ""
    for line in ask(LIST).splitlines() if memory else []:
        if match := re.match(r"GPU (\d+): .*\(UUID: (GPU-[\w-]+)\)", line):
            number, uuid = match.groups()
            found.append((number, Device(uuid, memory.get(uuid, 0.0))))
        elif match := re.match(r"\s+MIG \S*?(\d+)gb.*\(UUID: (MIG-[\w/-]+)\)", line):
            found = [pair for pair in found if pair[1].id != uuid]  # cut: not to be used whole
            found.append((f"{number}.", Device(match[2], int(match[1]) * GB)))
    if visible is None:
        return [device for _, device in found]
    wanted = [name.strip() for name in visible.split(",") if name.strip()]
    return [d for n, d in found if any(n == w or d.id.startswith(w) for w in wanted)]


def memories(ask: Ask) -> list[float]:
    """MiB of every whole device of the machine that is asked."""
    return [mb for _, mb in _pairs(ask(QUERY))]


def answer(command: Sequence[str]) -> str:
    """What a command says; nothing if there is no such command, or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _pairs(text: str) -> list[tuple[str, float]]:
    rows = [line.split(",") for line in text.splitlines() if line.count(",") == 1]
    return [(uuid.strip(), float(mb)) for uuid, mb in rows if re.fullmatch(r"\s*\d+\s*", mb)]
