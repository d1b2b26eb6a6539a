"""Keep freed memory in the process, for the next step of training to use."""

import ctypes
import sys

# of <malloc.h>, part of glibc's interface
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_ALWAYS = 2**31 - 1


def keep_memory() -> bool:
    """Let the C library keep what is freed; returns whether it understood.

    A step of training takes all of its memory as one piece and gives it back at its
    end. Pieces of more than 32 MiB, glibc returns to the kernel, which clears every
    page of the next one: often a quarter of a step's time. With one arena for all
    threads, and thresholds above any step, they stay.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    options = {_ARENA_MAX: 1, _MMAP_THRESHOLD: 2**30, _TRIM_THRESHOLD: _ALWAYS}
    return all([mallopt(name, value) for name, value in options.items()])
