"""Tasks on sequences: classification, labelling, translation, forecasting."""

from jrnn.tasks.classification import classification
from jrnn.tasks.forecasting import feed_back, forecasting
from jrnn.tasks.labelling import labelling
from jrnn.tasks.reader import Numbers, Symbols, numbers, symbols
from jrnn.tasks.task import Choice, Padded, Task
from jrnn.tasks.translation import Written, translation

__all__ = [
    "Choice",
    "Numbers",
    "Padded",
    "Symbols",
    "Task",
    "Written",
    "classification",
    "feed_back",
    "forecasting",
    "labelling",
    "numbers",
    "symbols",
    "translation",
]
