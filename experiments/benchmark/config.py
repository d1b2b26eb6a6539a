"""The options of the command, and the sizes of the workloads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.benchmark.problem import Problem

Name = Literal["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9", "W10", "W11"]


@dataclass(frozen=True)
class Config:
    only: tuple[Name, ...] = ()
    """Workloads to run; all if empty. The others keep their numbers in the file."""
    rounds: int = 21
    """Rounds of each workload; 15 is the least for numbers to be shown."""
    quick: bool = False
    """Tiny sizes and 2 rounds. Shows that all runs; its numbers mean nothing."""
    out: Path | None = None
    """Folder of benchmark.json and .svg; experiments/results, none if quick."""
    seed: int = 0
    """Of weights, data and the order in a round."""

    @property
    def number_of_rounds(self) -> int:
        return min(self.rounds, 2) if self.quick else self.rounds

    def problem(self, kind, batch, time, hidden, layers=1) -> Problem:
        if self.quick:
            batch, time, hidden = min(batch, 3), min(time, 6), min(hidden, 5)
        vocab = 7 if self.quick else 65
        return Problem(kind, batch, time, hidden, layers, vocab, self.seed)
