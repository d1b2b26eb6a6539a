"""What several processes must agree about, by the collectives of `jax.distributed`."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


class ProcessError(RuntimeError):
    """A process among several is gone."""


def agreed(value: float) -> float:
    """The first process's number, on all."""
    if jax.process_count() == 1:
        return value
    with _explain_lost_process():
        return float(multihost_utils.broadcast_one_to_all(np.float32(value)))


def shared(data: bytes) -> bytes:
    """The first process's bytes, on all."""
    if jax.process_count() == 1:
        return data
    with _explain_lost_process():
        size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
        padded = np.zeros(size, np.uint8)
        if is_first():
            padded[:] = np.frombuffer(data, np.uint8)
        return multihost_utils.broadcast_one_to_all(padded).tobytes()


def gathered(tree: Any) -> Any:
    """Arrays that devices share, whole and on every process, as NumPy's."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    with _explain_lost_process():
        return multihost_utils.process_allgather(tree, tiled=True)


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


@contextlib.contextmanager
def _explain_lost_process() -> Iterator[None]:
    try:
        yield
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        # each transport has an error of its own; what is computed here has none
        raise ProcessError(
            "sweep: another process of this sweep has ended or cannot be reached. What "
            "was complete is in the table: start all processes again with the same "
            "command."
        ) from error
