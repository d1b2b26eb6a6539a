"""The `jrnn` command: train, sample, eval, info, export, sweep, experiments."""

from jrnn.cli.commands import main

__all__ = ["main"]
