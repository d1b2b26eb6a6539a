"""Small files for `jrnn translate` and `jrnn forecast`, and the commands on them."""

import random
from pathlib import Path

import numpy as np
import polars as pl

from jrnn.cli import main

TINY = (
    "--steps 6 --batch-size 8 --hidden-size 4 --eval-every 3 --log-every 3 "
    "--save-every 3 --sample-every 6 --learning-rate 0.01"
).split()
SEASON, CONTEXT, HORIZON = 4, 8, 3
FORECAST = (
    f"--target load --horizon {HORIZON} --season {SEASON} --context {CONTEXT}"
).split()


def run(*words) -> int:
    """The exit code of a command."""
    return main([str(word) for word in words])


def pairs(path: Path, rows: int = 60, longest: int = 5) -> Path:
    """Lines source<TAB>target: the target is the source in capitals."""
    chance = random.Random(3)
    word = lambda: "".join(chance.choices("abcd", k=chance.randint(1, longest)))
    words = [word() for _ in range(rows)]
    path.write_text("".join(f"{w}\t{w.upper()}\n" for w in words), encoding="utf-8")
    return path


def series(rows: int = 120, seed: int = 0, level: float = 100.0) -> pl.DataFrame:
    """A season of four steps around a level, another column, and days."""
    rng, n = np.random.default_rng(seed), np.arange(rows)
    load = level + 10 * np.sin(np.pi * n / 2) + rng.normal(size=rows)
    days = np.datetime64("2024-01-01") + n
    return pl.DataFrame(
        {
            "day": [str(day) for day in days],
            "load": load.round(3),
            "heat": rng.normal(size=rows).round(3),
            "place": ["north"] * rows,
        }
    )


def table(path: Path, frame: pl.DataFrame | None = None) -> Path:
    """The series as a file: CSV, TSV or Parquet by its ending."""
    frame = series() if frame is None else frame
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path
