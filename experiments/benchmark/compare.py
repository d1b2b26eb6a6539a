"""From contenders to a result: the same answer first, then the time of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from rich.progress import Progress

from experiments.benchmark import of_lax
from experiments.benchmark.config import Config
from experiments.benchmark.models import Entry, Model, gradient_entry
from experiments.benchmark.problem import Data, Problem, Weights
from experiments.benchmark.timing import measure

TOLERANCE = 1e-5  # of the norm of an array; float32, up to ten thousand steps


class UnequalError(Exception):
    """A contender computes something else."""


@dataclass(frozen=True)
class Session:
    """What all workloads share."""

    cfg: Config
    progress: Progress
    peers: dict = field(default_factory=dict)  # name -> module
    missing: dict = field(default_factory=dict)  # name -> why it cannot be imported

    def measure(self, title: str, entries: Sequence[Entry]) -> dict[str, np.ndarray]:
        rounds = self.cfg.number_of_rounds
        task = self.progress.add_task(title, total=rounds)
        after_round = lambda: self.progress.advance(task)
        try:
            return measure(entries, rounds, self.cfg.seed, after_round)
        finally:
            self.progress.remove_task(task)


def check(
    problem: Problem, weights: Weights, data: Data, entries: Sequence[Entry]
) -> float:
    """Compare loss and gradient of each entry with the textbook's.

    Returns:
        The largest difference found, relative to the norm of the array.

    Raises:
        UnequalError: one is larger than the tolerance, or is not a number.
    """
    references, largest = {}, 0.0
    for entry in entries:
        kind = entry.kind or problem.kind
        if kind not in references:
            references[kind] = reference(problem._replace(kind=kind), weights, data)
        entry.prepare()
        got = in_one_layout(entry, weights, entry.call())
        for name, expected in references[kind].items():
            found = difference(expected, got[name])
            if not found < TOLERANCE:
                raise UnequalError(
                    f"{entry.name}, {problem.title}: {name} differs from lax.scan's "
                    f"by {found:.1e} of its norm."
                )
            largest = max(largest, found)
    return largest


def reference(problem: Problem, weights: Weights, data: Data) -> dict:
    model = Model("reference", of_lax.textbook(problem))
    entry = gradient_entry(model, weights, data)
    return in_one_layout(entry, weights, entry.call())


def in_one_layout(entry: Entry, weights: Weights, result) -> dict[str, np.ndarray]:
    """Loss and gradient by jrnn's weights, of an answer in the contender's layout.

    Its weights are a linear function of jrnn's, so the transposed function takes its
    gradient to jrnn's.
    """
    loss, gradient = result
    own, transpose = jax.vjp(entry.load, weights)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(gradient)]
    gradient = jax.tree.unflatten(jax.tree.structure(own), leaves)
    (common,) = transpose(gradient)
    arrays = {"loss": np.asarray(loss)}
    for n, layer in enumerate(common.layers):
        arrays |= {f"{k} of layer {n}": v for k, v in layer._asdict().items()}
    arrays |= {f"{k} of the readout": v for k, v in common.readout._asdict().items()}
    # not every library's GRU has the second bias
    return {k: np.asarray(v) for k, v in arrays.items() if not k.startswith("b_h")}


def difference(expected: np.ndarray, got: np.ndarray) -> float:
    scale = np.linalg.norm(expected.ravel())
    return float(np.linalg.norm((expected - got).ravel()) / max(scale, 1e-12))
