"""Rounds: all once in each, in a new order, so that a slow moment hits all alike."""

import gc
import time
from collections.abc import Callable, Sequence

import numpy as np

from experiments.benchmark.models import Entry

BLOCK_SECONDS = 0.01  # short calls are repeated until a block of them takes this long
MOST_CALLS = 50


def measure(
    entries: Sequence[Entry],
    rounds: int,
    seed: int = 0,
    after_round: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Seconds per unit of work, (rounds,) for each entry."""
    calls = {entry.name: calls_in_block(entry, clock) for entry in entries}
    if len(calls) < len(entries):
        raise ValueError(f"measure: names occur twice in {[e.name for e in entries]}.")
    seconds = {entry.name: np.zeros(rounds) for entry in entries}
    rng = np.random.default_rng(seed)
    gc.collect()
    for n in range(rounds):
        for i in rng.permutation(len(entries)):
            entry = entries[i]
            seconds[entry.name][n] = block(entry, calls[entry.name], clock)
        after_round()
    return seconds


def calls_in_block(entry: Entry, clock) -> int:
    entry.prepare()
    entry.call()
    begin = clock()
    entry.call()
    once = max(clock() - begin, 1e-9)
    return int(np.clip(BLOCK_SECONDS / once, 1, MOST_CALLS))


def block(entry: Entry, calls: int, clock) -> float:
    """One call to bring its weights back into the cache, then those that count.

    The first also waits until threads of the one before have stopped spinning.
    """
    entry.prepare()
    entry.call()
    begin = clock()
    for _ in range(calls):
        entry.call()
    return (clock() - begin) / calls / entry.work
