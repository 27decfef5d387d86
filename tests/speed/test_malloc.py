"""What is freed is kept: counted in page faults, each in a process of its own."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from prune.speed.malloc import CHOSEN, keep_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")

FAULTS = """
import resource
import torch
import prune
from prune.speed.protocol import interleaved

def faults(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):  # zeros are written, so the pages are there
        torch.zeros(megabytes << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(80), faults(8))
{}
faults(80)
print(faults(80), faults(8))
"""
MANY = 150  # five blocks of 80 MB have 200 pages at least, of 2 MB; of 4 KB they have 100,000


def numbers(script: str, **environment: str) -> list[int]:
    """What a script prints in a process of its own, where malloc is left alone or as told."""
    clean = {name: value for name, value in os.environ.items() if name not in CHOSEN}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=clean | environment
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def faults(call: str, **environment: str) -> list[int]:
    """Of blocks of 80 and of 8 MB: before the call, and after it."""
    return numbers(FAULTS.format(call), **environment)


@pytest.mark.parametrize(
    "call", ["prune.keep_memory()", "interleaved({'a': lambda draw: 1.0}, rounds=1)"]
)
def test_from_the_call_on_no_block_is_mapped_anew(call: str) -> None:
    large, _, large_kept, small_kept = faults(call)
    assert large > MANY, "the first ones are new, each time"
    assert max(large_kept, small_kept) < MANY


def test_without_it_large_blocks_are_new_each_time() -> None:
    assert faults("")[2] > MANY


@pytest.mark.parametrize("name", CHOSEN)
def test_what_the_environment_says_stays(name: str) -> None:
    value = "" if name == "GLIBC_TUNABLES" else "1048576"
    assert faults("prune.keep_memory()", **{name: value})[2] > MANY


def test_without_glibc_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in CHOSEN:
        monkeypatch.delenv(name, raising=False)
    for problem in (AttributeError, OSError, TypeError):

        def missing(name: None, problem: type[Exception] = problem) -> None:
            asked.append(problem)
            raise problem("mallopt")

        monkeypatch.setattr(ctypes, "CDLL", missing)
        keep_memory()
    assert asked == [AttributeError, OSError, TypeError]


HUGE = r"""
import re
from pathlib import Path
import torch
import prune
from prune.speed import malloc

def megabytes(file, entry):
    found = re.findall(entry + r": +(\d+) kB", Path("/proc/self", file).read_text())
    return sum(map(int, found)) // 1024

{}
before = megabytes("status", "VmRSS")
prune.keep_memory()
prune.keep_memory()
asking = megabytes("status", "VmRSS") - before
blocks = [torch.ones(100 << 20, dtype=torch.uint8) for _ in range(2)]
print(megabytes("smaps", "AnonHugePages"), asking)
"""
SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
asked_for = pytest.mark.skipif(
    not SWITCH.exists() or "[madvise]" not in SWITCH.read_text(),
    reason="huge pages are not given on request here: always, or never",
)


@asked_for
def test_what_is_taken_after_the_call_lies_in_huge_pages_and_asking_costs_nothing() -> None:
    thread = "import threading as t; other = t.Thread(target=prune.keep_memory); other.start()"
    for before in ("", thread + "; other.join()"):
        pages, asking = numbers(HUGE.format(before))
        assert pages >= 190, "of 200 MB that are written to"
        assert asking <= 10


@asked_for
@pytest.mark.parametrize(
    "scarce",
    [
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40))",
        "malloc.STRICT = malloc.OVERCOMMIT.read_text().strip()",  # as if it were the strict way
        "malloc.os.sysconf = lambda name: 1 << 50",  # more than there are addresses
    ],
)
def test_where_addresses_are_scarce_nobody_asks(scarce: str) -> None:
    pages, _ = numbers(HUGE.format(scarce))
    assert pages <= 10
