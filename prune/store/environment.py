"""What a run ran on: code, library versions, hardware. Imports none of the libraries it names."""

import importlib.metadata
import os
import platform
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

VECTORS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "neon", "asimd")  # the best come first
BF16 = ("amx_bf16", "avx512_bf16")  # those that multiply bf16 natively
LIBRARIES = ("prune", "torch", "transformers", "datasets", "safetensors", "numpy")


def environment() -> dict[str, Any]:
    """The content of `env.json`. Never fails: what cannot be found is None."""
    return {
        "git": git_state(checkout()),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": cpu_model(),
        "vectors": vectors(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def checkout() -> Path:
    """The checkout this code is run from; if it is installed, the current folder."""
    source = Path(__file__).resolve().parents[2]
    return source if (source / ".git").exists() else Path.cwd()


def git_state(folder: Path) -> dict[str, Any] | None:
    """`sha`, and whether tracked files differ from it; None outside of a repository."""
    sha = _git(folder, "rev-parse", "HEAD")
    if sha is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"sha": sha, "dirty": bool(changes) if changes is not None else None}


def _git(folder: Path, *arguments: str) -> str | None:
    # Without optional locks: eight runs that start at once must not disturb someone's commit.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def cpu_model() -> str | None:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or None


def vectors() -> str | None:
    """The best vector instructions of this processor that matter here; None if not known."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    found = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    flags = found[1].split() if found else []
    return next((name for name in VECTORS if name in flags), None)
