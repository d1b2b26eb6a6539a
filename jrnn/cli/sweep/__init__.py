"""`jrnn sweep`: many small trainings on one text, and the best of them."""

from jrnn.cli.sweep.command import sweep

__all__ = ["sweep"]
