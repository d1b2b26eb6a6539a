"""`jrnn report`: runs and sweeps beside one another, on one page."""

from jrnn.cli.report.command import report

__all__ = ["report"]
