"""How many cores or accelerators share the batch of a training run."""

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jrnn.cli.config import Train
from jrnn.cli.errors import UserError
from jrnn.train import TrainState

_WORTH_IT = 0.95  # of the time on fewer devices; less gain is within the noise
_STEPS = 4  # timed, of which the fastest counts


def provide_cores(*, loops_in_loops: bool = True) -> None:
    """Let JAX count each core as a device, unless told otherwise or started.

    All devices share one pool of threads. A device that waits for the others holds one
    of them, so one a device is enough; but a loop in a loop holds a thread for each
    while it waits for another, and where none is left they wait for good. Threads that
    are not needed get into each other's way: with 8 a core, the gradient of an LSTM of
    128 units on two cores takes a fifth longer, or more.

    Args:
        loops_in_loops: whether programs of several devices will have such loops, as
            that of a whole training has, and that of one step has not.
    """
    if jax.config.jax_num_cpu_devices > 0:
        return
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = 8 * cores if loops_in_loops else cores
    os.environ.setdefault("PJRT_NPROC", str(threads))
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:
        return


def check_devices(config: Train) -> None:
    """Raise `UserError` where the batch cannot be divided as asked."""
    there = jax.local_device_count()
    several = jax.process_count() > 1
    wanted = jax.device_count() if several else config.devices or 1
    if several and config.batch_size % wanted:
        raise UserError(
            f"The {wanted} devices of {jax.process_count()} processes cannot share "
            f"--batch-size {config.batch_size} equally."
        )
    if not several and wanted > there:
        raise UserError(f"--devices is {wanted}, but this machine has {there}.")
    if config.batch_size % wanted:
        raise UserError(
            f"--devices {wanted} does not divide --batch-size {config.batch_size}."
        )


def candidates(batch_size: int, there: int) -> list[int]:
    """Numbers of devices to try: 1, and doublings that divide the batch."""
    numbers = [2**i for i in range(there.bit_length()) if 2**i <= there]
    return [n for n in numbers if batch_size % n == 0]


def mesh_of(devices: int) -> Mesh | None:
    """The devices that share a batch, of all processes; None for one."""
    if devices == 1:
        return None
    there = jax.devices() if jax.process_count() > 1 else jax.local_devices()
    return Mesh(np.array(there[:devices]), ("rows",))


def places(mesh: Mesh | None, state: TrainState) -> tuple[Any, Any]:
    """Where a step over the mesh expects the state and the rows; None for one."""
    if mesh is None:
        return None, None
    everywhere = NamedSharding(mesh, jax.P())
    divided = NamedSharding(mesh, jax.P("rows"))
    where = jax.tree.map(lambda _: everywhere, state)
    carry = jax.tree.map(lambda _: divided, state.carry)
    return where._replace(carry=carry), divided


def placed(mesh: Mesh | None, state: TrainState, rows: Any) -> tuple[TrainState, Any]:
    """The state and the rows of text where a step over the mesh expects them."""
    of_state, of_rows = places(mesh, state)
    if jax.process_count() > 1:  # every process has all of it, and takes its part
        state, rows = jax.tree.map(np.asarray, (state, rows))
    return jax.device_put(state, of_state), jax.device_put(rows, of_rows)


def fastest(numbers: list[int], seconds: Callable[[int], float]) -> int:
    """The number of devices with which a step takes least time.

    Args:
        numbers: rising; the next is tried only if the one before paid.
        seconds: of a step, by the number of devices.
    """
    if len(numbers) == 1:
        return numbers[0]
    best, least = numbers[0], seconds(numbers[0])
    for number in numbers[1:]:
        time_taken = seconds(number)
        if time_taken > _WORTH_IT * least:
            break
        best, least = number, time_taken
    return best


def timed(step: Callable[[], Any]) -> float:
    """Seconds of a step, the fastest of a few."""
    jax.block_until_ready(step())
    seconds = []
    for _ in range(_STEPS):
        begin = time.perf_counter()
        jax.block_until_ready(step())
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
