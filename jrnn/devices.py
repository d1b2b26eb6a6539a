"""Cores and accelerators for a program: as devices, as a mesh, with memory kept.

    keep_memory()
    provide_cores(loops_in_loops=False)  # both before JAX does anything else
    mesh = mesh_of(2)
    loss = jrnn.train.batched(window_loss, mesh)
    rows = placed(rows, mesh)

`jrnn train`, `jrnn sweep` and `jrnn.sweep` use these functions themselves.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jrnn._setting import setting

__all__ = ["keep_memory", "may_work_at_once", "mesh_of", "placed", "provide_cores"]

Devices = int | Sequence[jax.Device]  # how many, or which

THREADS = "PJRT_NPROC"  # read by XLA: threads of the pool that a CPU's devices share
THREADS_PER_DEVICE = 8  # enough for loops in loops

# of <malloc.h>, part of glibc's interface
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_ALWAYS = 2**31 - 1


def provide_cores(*, loops_in_loops: bool = True) -> None:
    """Let JAX count each core as a device, unless told otherwise or started.

    All devices share one pool of threads. A device that waits for the others holds one
    of them, so one a device is enough; but a loop in a loop holds a thread for each
    while it waits for another, and where none is left they wait for good. Threads that
    are not needed get into each other's way: with 8 a core, the gradient of an LSTM of
    128 units on two cores takes a fifth longer, or more.

    It sets `jax_num_cpu_devices` and, where it is not set yet, the environment variable
    PJRT_NPROC. After JAX has started it does nothing, and so it does where
    `jax_num_cpu_devices` is set.

    Args:
        loops_in_loops: whether programs of several devices will have such loops, as
            that of a whole training has, and that of one step has not.

    Returns:
        None.

    Example:
        >>> provide_cores()  # the first lines of a script
        >>> jax.local_device_count() >= 1
        True
    """
    if setting("jax_num_cpu_devices") > 0:
        return
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = THREADS_PER_DEVICE * cores if loops_in_loops else cores
    os.environ.setdefault(THREADS, str(threads))
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:
        return


def may_work_at_once() -> bool:
    """Whether the local devices can run programs with loops in loops side by side.

    The devices of a CPU share a pool of as many threads as there are cores. A loop
    within a loop, such as training, holds a thread while it waits for another one, so
    that two devices can hold all threads and wait for ever (seen with jaxlib 0.10.2).
    `provide_cores` prevents it.

    Returns:
        True for one device, for accelerators, and for the devices of a CPU that have
        8 threads each.

    Example:
        >>> may_work_at_once() or jax.local_device_count() > 1
        True
    """
    local = jax.local_device_count()
    if jax.default_backend() != "cpu" or local == 1:
        return True
    return int(os.environ.get(THREADS) or 0) >= THREADS_PER_DEVICE * local


def mesh_of(devices: Devices | None = None, axis: str = "rows") -> Mesh:
    """A mesh with one axis, for work that devices share equally.

    Differs from `jax.make_mesh`: some of the devices will do, and the axis is not
    explicit, so that types do not say how an array is divided.

    Args:
        devices: so many (the first), or these; all of all processes if None.
        axis: its name.

    Returns:
        A mesh with the devices in their order.

    Raises:
        ValueError: no device, or more than there are.

    Example:
        >>> dict(mesh_of(1).shape)
        {'rows': 1}
    """
    there = jax.devices()
    if devices is None:
        devices = there
    elif isinstance(devices, int):
        if not 1 <= devices <= len(there):
            raise ValueError(
                f"mesh_of: devices must be 1 to {len(there)}, got {devices}. On a CPU, "
                "jrnn.devices.provide_cores() before JAX starts makes each core one."
            )
        devices = there[:devices]
    elif not len(devices):
        raise ValueError("mesh_of: devices must be at least one, got none.")
    return Mesh(np.array(devices), (axis,))


def placed(tree: Any, mesh: Mesh, spec: Any = None) -> Any:
    """Arrays on the devices of a mesh, each device given its own part.

    Differs from `jax.device_put`, which with several processes first sends every array
    through the network, to compare it.

    Args:
        tree: arrays. With several processes each has all of them, and the same.
        mesh: as from `mesh_of`.
        spec: how they are divided, a `jax.P`, or a tree of them that is a prefix of
            `tree`: `jax.P()` for a copy on every device. By the first axis if None.

    Returns:
        The same tree of arrays on the mesh.

    Raises:
        ValueError: an axis that the devices cannot share equally.

    Example:
        >>> rows = placed(np.arange(6.0).reshape(2, 3), mesh_of(1))
        >>> [part.data.shape for part in rows.addressable_shards]  # of two: (1, 3) each
        [(2, 3)]
    """
    spec = jax.P(mesh.axis_names) if spec is None else spec
    is_spec = lambda node: isinstance(node, PartitionSpec)
    where = jax.tree.map(lambda s: NamedSharding(mesh, s), spec, is_leaf=is_spec)
    if jax.process_count() == 1:
        return jax.device_put(tree, where)

    def divided(sharding: NamedSharding, part: Any) -> Any:
        return jax.tree.map(lambda array: _own_parts(array, sharding), part)

    return jax.tree.map(divided, where, tree)


def _own_parts(array: Any, sharding: NamedSharding) -> jax.Array:
    """An array of which this process gives its own devices their parts."""
    array = np.asarray(array)
    array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
    return jax.make_array_from_callback(array.shape, sharding, lambda i: array[i])


def keep_memory(*, one_arena: bool = False) -> bool:
    """Let the C library keep what is freed, for the next step of training to use.

    A step of training takes all of its memory as one piece and gives it back at its
    end. Pieces of more than 32 MiB, glibc returns to the kernel, which clears every
    page of the next one: often a quarter of a step's time. With thresholds above any
    step, they stay.

    Each thread takes memory from an arena of its own, which holds at most 64 MiB. One
    arena for all holds larger pieces, but where several devices take turns at it, the
    same step takes a fifth longer on two cores.

    Call it before JAX starts: a thread that has its arena keeps it.

    Args:
        one_arena: whether all threads share one, for a process of one device.

    Returns:
        Whether the C library understood: True with glibc, on Linux.

    Example:
        >>> keep_memory() in (True, False)
        True

    References:
        GNU C Library manual, Malloc Tunable Parameters.
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
