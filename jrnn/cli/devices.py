"""How many cores or accelerators share the batch of a training run."""

import time
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding

from jrnn.cli.config import Train
from jrnn.cli.errors import UserError
from jrnn.devices import mesh_of, placed
from jrnn.train import TrainState

ROWS = jax.P("rows")

_WORTH_IT = 0.95  # of the time on fewer devices; less gain is within the noise
_STEPS = 4  # timed, of which the fastest counts


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


def mesh_for(devices: int) -> Mesh | None:
    """The devices that share a batch, of all processes; None for one."""
    return None if devices == 1 else mesh_of(devices)


def divided(state: TrainState) -> TrainState:
    """How devices share the state: its carry by rows, a copy on each of the rest."""
    copies = jax.tree.map(lambda _: jax.P(), state)
    return copies._replace(carry=jax.tree.map(lambda _: ROWS, state.carry))


def places(mesh: Mesh | None, state: TrainState) -> tuple[Any, Any]:
    """Where a step over the mesh expects the state and the rows; None for one."""
    if mesh is None:
        return None, None
    return jax.tree.map(lambda s: NamedSharding(mesh, s), (divided(state), ROWS))


def on_devices(mesh: Mesh | None, state: TrainState, rows: Any) -> tuple:
    """The state and the rows of text where a step over the mesh expects them."""
    if mesh is None:
        return jax.device_put((state, rows))
    return placed((state, rows), mesh, (divided(state), ROWS))


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
