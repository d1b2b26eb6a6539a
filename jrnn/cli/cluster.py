"""Several processes that train one model, on one host or many.

Every process does the same, on its own part of each batch, and one of them writes. The
others work in a folder that is thrown away, so that nothing else needs to know.
"""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jrnn.cli.errors import Stopped, UserError
from jrnn.cli.options import TrainingOptions
from jrnn.sweep.processes import ProcessError, gathered, is_first

__all__ = [
    "all_or_none",
    "any_of",
    "apart",
    "check_same",
    "end_without_peers",
    "gathered",
    "join",
    "moved",
    "of_this_host",
]

T = TypeVar("T")


def join(cluster: str | None) -> None:
    """Make this process one of several, before JAX does anything else."""
    if cluster is None:
        return
    place = {} if cluster == "auto" else _place(cluster)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**place)
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--cluster {cluster}: {reason}") from error


def _place(cluster: str) -> dict[str, Any]:
    address, _, numbers = cluster.partition(",")
    number, _, index = numbers.partition(",")
    host, _, port = address.rpartition(":")
    digits = port.isdigit() and number.isdigit() and index.isdigit()
    if not host or not digits or not int(index) < int(number):
        raise UserError(
            "--cluster must be auto, or HOST:PORT of the first process, their number "
            "and which of them this is, counted from 0, such as first:1234,4,0; got "
            f"{cluster!r}."
        )
    return {
        "coordinator_address": address,
        "num_processes": int(number),
        "process_id": int(index),
    }


@contextlib.contextmanager
def apart() -> Iterator[Path | None]:
    """None for the first process; a folder for each other, which shows nothing.

    The folder is gone at the end.
    """
    if jax.process_count() == 1 or is_first():
        yield None
        return
    with (
        tempfile.TemporaryDirectory(prefix="jrnn-") as scratch,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        folder = Path(scratch) / "run"
        try:
            yield folder
        except Stopped as stop:
            raise Stopped(str(stop).replace(str(folder), "RUN")) from None


def moved(config: TrainingOptions, folder: Path | None) -> TrainingOptions:
    """The configuration of a run in another folder, that of `apart`."""
    if folder is None:
        moved = config
    elif config.resume is None:
        moved = dataclasses.replace(config, out=folder, overwrite=False)
    else:
        shutil.copytree(config.resume, folder)
        moved = dataclasses.replace(config, resume=folder)
    if jax.process_count() > 1:  # the first may write to what the others have copied
        multihost_utils.sync_global_devices("moved")
    return moved


def all_or_none(act: Callable[[], T]) -> T:
    """What an act returns, when every process has done it; an error where one cannot.

    Else the others would wait for one that was refused until its silence is noticed.
    """
    try:
        result = act()
    except UserError:
        any_of(True)
        raise
    if any_of(False):
        raise UserError("Another process was refused: see what it says.")
    return result


@contextlib.contextmanager
def end_without_peers(advice: str) -> Iterator[None]:
    """End this process with a plain message where another is lost."""
    try:
        yield
    except (ProcessError, ValueError, jax.errors.JaxRuntimeError) as error:
        # each transport has errors of its own
        words = "gloo", "peer", "connection", "coordination", "heartbeat", "barrier"
        told = any(word in str(error).lower() for word in words)
        if jax.process_count() == 1 or not (told or isinstance(error, ProcessError)):
            raise
        message = f"jrnn: Another process has ended or cannot be reached. {advice}"
        print(message, file=sys.stderr, flush=True)
        os._exit(1)  # JAX would wait for the dead one first, and then abort


def any_of(flag: bool) -> bool:
    """Whether the flag is up on any process."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def check_same(run: str) -> None:
    """Raise `UserError` on every process where they would not train the same.

    Args:
        run: a digest of what decides the training, of one length on all.
    """
    if jax.process_count() == 1:
        return
    mine = np.frombuffer(run.encode(), np.uint8)
    of_all = multihost_utils.process_allgather(mine)
    if (of_all != mine).any():
        raise UserError(
            "The processes of --cluster have different texts or options. Start all "
            "with the same files and the same words, but for each one's number."
        )


def of_this_host(tree: Any) -> Any:
    """Arrays that every device has, on the first device of this process."""
    return jax.tree.map(lambda a: a.addressable_data(0), tree)
