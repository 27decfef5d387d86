"""What malloc does with the memory that a network frees. Of glibc; others have their own ways.

glibc maps each block of more than 32 MB anew and gives it back when it is freed; smaller ones at
the end of its heap it gives back now and then. The system fills each new page with zeros: of a
training step with a batch of 32 x 384 that was half the time (docs/notes/measuring.md), and a
measured pass pays for it or not by what its process did before. What is kept can lie in huge
pages, of 2 MB instead of 4 KB, so that a processor has to look up 512 times fewer addresses.
"""

import ctypes
import mmap
import os
import threading
from functools import cache
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = -1
CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
STRICT = "2"  # addresses count as memory there


def keep_memory() -> None:
    """Let malloc keep all that is freed for the next pass, from now on, in this whole process.

    On Linux, what the heap takes from then on lies in huge pages, if the system has them for those
    who ask (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`), or for all.

    To be called in the main thread: others have heaps of their own, of at most 64 MB.
    Takes up to two fifths more memory at the peak. Does nothing without glibc, or where the
    environment says how malloc is to work: with GLIBC_TUNABLES, even an empty one, or MALLOC_*.
    """
    if any(name in os.environ for name in CHOSEN):
        return
    try:
        libc = ctypes.CDLL(None)
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    in_main_heap = threading.current_thread() is threading.main_thread()
    if hasattr(mmap, "MADV_HUGEPAGE") and in_main_heap and not _addresses_are_scarce():
        _ask_for_huge_pages()


def _addresses_are_scarce() -> bool:
    import resource  # not on Windows

    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    if any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits):
        return True
    return OVERCOMMIT.exists() and OVERCOMMIT.read_text().strip() == STRICT


@cache  # once in a process
def _ask_for_huge_pages() -> None:
    """Let the heap reach as far as half of the machine's memory would, in huge pages.

    A block of that size is taken and freed, and never written to, so it takes addresses, not
    memory. The heap keeps them because it is not trimmed any more.
    """
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.sbrk.argtypes, libc.sbrk.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    size = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2
    if (block := libc.malloc(size)) is None:
        return
    if block + size <= libc.sbrk(0):  # in the heap, and not somewhere else by another malloc
        start = -(-block // mmap.PAGESIZE) * mmap.PAGESIZE
        libc.madvise(start, block + size - start, mmap.MADV_HUGEPAGE)
    libc.free(block)
