"""How many runs side by side: measured, since nothing else tells."""

import time
from collections.abc import Callable, Iterator, Sequence

import jax

from jrnn.sweep.execute import Program, execute, out_of_memory
from jrnn.sweep.processes import agreed
from jrnn.sweep.runs import Job, Run

# Wider batches are tried as long as a run takes at most this share of the time it took.
WORTH_IT = 0.95
FACTOR = 8


def measured(
    jobs: Sequence[Job], compile_for: Callable[[int], Program], devices: int, most: int
) -> Iterator[tuple[Program, list[Run]]]:
    """Make the runs with wider and wider batches, then the rest with the fastest.

    What is measured are the runs themselves, and they are kept: the choice costs the
    compilation of programs that were not chosen, and no runs.

    Args:
        jobs: of one group.
        compile_for: from a batch size to a program.
        devices: that share the runs.
        most: largest batch size.

    Yields:
        The program used, and the runs it made.
    """
    best, least = None, float("inf")
    rest, width = list(jobs), 1
    while rest and (best is None or width > best.batch_size):
        try:
            program = compile_for(width)
            seconds, runs = _timed(program, rest[: program.size])
        except jax.errors.JaxRuntimeError as error:
            if best is None or not out_of_memory(error):
                raise
            break  # too wide: what fitted goes on
        yield program, runs
        rest = rest[program.size :]
        if seconds > WORTH_IT * least:
            break
        best, least = program, seconds
        width = min(FACTOR * width, most, -(-len(rest) // devices))
    while rest:
        yield best, execute(best, rest[: best.size])
        rest = rest[best.size :]


def _timed(program: Program, jobs: Sequence[Job]) -> tuple[float, list[Run]]:
    """Seconds of a run if the program is full, alike on all processes, and the runs."""
    begin = time.perf_counter()
    runs = execute(program, jobs)
    return agreed((time.perf_counter() - begin) / program.size), runs
