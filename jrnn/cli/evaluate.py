"""`jrnn eval`: a trained run measured on texts."""

import math

from rich.table import Table

from jrnn.cli.config import Eval
from jrnn.cli.data import load_data
from jrnn.cli.display import BITS, UNITS, Console
from jrnn.cli.errors import UserError, told_plainly
from jrnn.cli.run import load_trained
from jrnn.text import encode, read_files
from jrnn.train import evaluate


def evaluate_files(options: Eval) -> None:
    """Run the command."""
    if options.rows < 1:
        raise UserError(f"--rows must be at least 1, got {options.rows}.")
    if options.context < 0:
        raise UserError(f"--context must be >= 0, got {options.context}.")
    trained = load_trained(options.run, options.checkpoint)
    level = trained.config.level
    texts = []
    for file in options.files:
        with told_plainly():
            tokens = encode(trained.vocabulary, read_files(file, level))
        texts.append((str(file), tokens))
    if not texts:
        data = load_data(trained.config, trained.vocabulary)
        texts = [
            (f"{part} part of the run's text", tokens)
            for part, tokens in (("validation", data.valid), ("test", data.test))
            if len(tokens) > 1
        ]
    if not texts:
        raise UserError(f"{options.run} has no held-out text. Name files to measure.")
    title = f"{options.run}, {trained.path.name} of step {trained.facts['step']}"
    table = Table(title=title, title_justify="left")
    table.add_column("text", overflow="fold")
    for name in (UNITS[level], "nats", f"bits per {UNITS[level][:-1]}", "perplexity"):
        table.add_column(name, justify="right")
    for name, tokens in texts:
        with told_plainly(ValueError):
            nats, count = evaluate(
                trained.model.evaluate,
                trained.params,
                tokens,
                rows=options.rows,
                context=options.context,
            )
        nats = float(nats)
        numbers = (f"{count:,}", f"{nats:.4f}", f"{nats * BITS:.4f}")
        table.add_row(name, *numbers, f"{math.exp(min(nats, 700.0)):.3f}")
    Console(highlight=False).print(table)
