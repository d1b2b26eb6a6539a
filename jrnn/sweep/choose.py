"""How many runs side by side: measured, since nothing else tells."""

import time
from collections.abc import Callable, Iterator, Sequence

import jax

from jrnn.sweep.execute import Program, execute, out_of_memory
from jrnn.sweep.processes import agreed
from jrnn.sweep.runs import Run, Trial

# Wider batches are tried as long as a run takes at most this share of the time it took.
WORTH_IT = 0.95
FACTOR = 8
SHORT = 1.0  # seconds of a call that is no loss if it is interrupted
CALLS, ENOUGH = 4, 0.1  # calls that are timed, unless that many seconds have passed


def measured(
    trials: Sequence[Trial],
    compile_for: Callable[..., Program],
    devices: int,
    most: int,
    several_cores: bool,
) -> Iterator[tuple[Program, list[Run]]]:
    """Make the runs in one way after the other, then the rest in the fastest.

    One at a time; where several cores are at work, also with products of one thread,
    and short runs in turn, some in a call, since at its begin a call does not have all
    cores; then with wider and wider batches, as long as wider is faster. The runs
    themselves are measured, and they are kept: the choice costs the compilation of
    programs that were not chosen, and no runs.

    Args:
        trials: of one group.
        compile_for: from a batch size, turns, and whether products have one thread, to
            a program.
        devices: that share the runs.
        most: largest batch size.
        several_cores: whether products of one thread are worth a try.

    Yields:
        The program used, and the runs it made.
    """
    best, least = None, float("inf")
    rest = list(trials)
    ways = [(1, False), (1, True)] if several_cores else [(1, False)]
    while rest and ways:
        width, one_thread = ways.pop(0)
        try:
            short = one_thread and FACTOR * least < SHORT
            turns = min(FACTOR, -(-len(rest) // devices)) if short else 1
            program = compile_for(width, turns=turns, one_thread=one_thread)
            seconds, runs = _try(program, rest)
        except jax.errors.JaxRuntimeError as error:
            if best is None or not (one_thread or out_of_memory(error)):
                raise
            continue  # too wide, or no such products: what went well goes on
        yield program, runs
        rest = rest[len(runs) :]
        faster = seconds <= WORTH_IT * least
        if faster:
            best, least = program, seconds
        if not ways and (faster or width == 1):
            wider = min(FACTOR * width, most, -(-len(rest) // devices))
            ways += [(wider, False)] if wider > width else []
    while rest:
        assert best is not None  # the first way was timed, or has raised
        yield best, execute(best, rest[: best.size])
        rest = rest[best.size :]


def _try(program: Program, trials: Sequence[Trial]) -> tuple[float, list[Run]]:
    """Seconds of a run, the least of a few calls if they are short, and the runs."""
    seconds, made = [], []
    while len(made) < len(trials) and len(seconds) < CALLS:
        taken, runs = _time(program, trials[len(made) : len(made) + program.size])
        seconds.append(taken)
        made += runs
        if sum(seconds) * program.size > ENOUGH:
            break
    return min(seconds), made


def _time(program: Program, trials: Sequence[Trial]) -> tuple[float, list[Run]]:
    """Seconds of a run if the program is full, alike on all processes, and the runs."""
    begin = time.perf_counter()
    runs = execute(program, trials)
    return agreed((time.perf_counter() - begin) / program.size), runs
