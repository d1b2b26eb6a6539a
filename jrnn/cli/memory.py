"""Keep freed memory in the process, for the next step of training to use."""

import ctypes
import sys

# of <malloc.h>, part of glibc's interface
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_ALWAYS = 2**31 - 1


def keep_memory(*, one_arena: bool = False) -> bool:
    """Let the C library keep what is freed; returns whether it understood.

    A step of training takes all of its memory as one piece and gives it back at its
    end. Pieces of more than 32 MiB, glibc returns to the kernel, which clears every
    page of the next one: often a quarter of a step's time. With thresholds above any
    step, they stay.

    Each thread takes memory from an arena of its own, which holds at most 64 MiB. One
    arena for all holds larger pieces, but where several devices take turns at it, the
    same step takes a fifth longer on two cores.

    Args:
        one_arena: whether all threads share one, for a process of one device.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    options = {
        _MMAP_THRESHOLD: 2**30,
        _TRIM_THRESHOLD: _ALWAYS,
        _TOP_PAD: 2**25,  # an empty arena keeps this much, and is not given back
    }
    if one_arena:
        options[_ARENA_MAX] = 1
    return all([mallopt(name, value) for name, value in options.items()])
