"""Tasks on sequences: classification, labelling, translation, forecasting."""

from jrnn.tasks.task import Task

__all__ = ["Task"]
