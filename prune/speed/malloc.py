"""What malloc does with the memory that a network frees. Of glibc; others have their own ways.

glibc maps each block of more than 32 MB anew and gives it back when it is freed; smaller ones at
the end of its heap it gives back now and then. The system fills each new page with zeros: of a
training step with a batch of 32 x 384 that was half the time (docs/notes/measuring.md), and a
measured pass pays for it or not by what its process did before.
"""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = -1
CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_memory() -> None:
    """Let malloc keep all that is freed for the next pass, from now on, in this whole process.

    Takes up to a third more memory at the peak. Does nothing without glibc, or where the
    environment says how malloc is to work: with GLIBC_TUNABLES, even an empty one, or MALLOC_*.
    """
    if any(name in os.environ for name in CHOSEN):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)
