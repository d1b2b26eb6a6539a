"""Small files for `jrnn classify` and `jrnn label`, and the command on them."""

import random
from pathlib import Path

import numpy as np
import polars as pl

from jrnn.cli import main

TINY = (
    "--steps 6 --batch-size 8 --hidden-size 4 --embed-size 3 --eval-every 3 "
    "--log-every 3 --save-every 3 --sample-every 6 --learning-rate 0.01"
).split()


def run(*words) -> int:
    """The exit code of a command."""
    return main([str(word) for word in words])


def texts(path: Path, rows: int = 60) -> Path:
    """Lines label<TAB>text: vowels or consonants, of six letters all."""
    chance = random.Random(3)
    letters = {"vowels": "aeiou", "others": "bcdfg"}
    lines = []
    for _ in range(rows):
        label = chance.choice(sorted(letters))
        lines.append(f"{label}\t{''.join(chance.choices(letters[label], k=6))}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def sentences(path: Path, count: int = 40) -> Path:
    """Five words in each sentence; what a word is, its form tells."""
    chance = random.Random(5)
    kinds = {"N": ("cat", "dog", "mats"), "V": ("sat", "ran"), "D": ("the", "a")}
    blocks = []
    for _ in range(count):
        tags = chance.choices(sorted(kinds), k=5)
        rows = [f"{chance.choice(kinds[tag])}\t{tag}\n" for tag in tags]
        blocks.append("".join(rows))
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def recordings(count: int = 40, steps: int = 5, seed: int = 0) -> pl.DataFrame:
    """Rows of recordings that rise or fall, and in each row the half it is in."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        rising = bool(rng.integers(2))
        for t in range(steps):
            x = (t if rising else -t) + 0.1 * rng.normal()
            rows.append(
                {
                    "who": f"r{i}",
                    "person": f"p{i % 8}",
                    "t": t,
                    "x": 100 + 20 * round(x, 3),
                    "y": round(float(rng.normal()), 3),
                    "kind": "up" if rising else "down",
                    "half": "first" if t < steps / 2 else "second",
                }
            )
    return pl.DataFrame(rows)
