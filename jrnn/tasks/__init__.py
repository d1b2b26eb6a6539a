"""Tasks on sequences: classification, labelling, translation, forecasting."""

from jrnn.tasks import baselines, metrics
from jrnn.tasks.classification import classification
from jrnn.tasks.fit import Fitted, fit_sequences, measure, predict
from jrnn.tasks.forecasting import feed_back, forecast_windows, forecasting
from jrnn.tasks.labelling import labelling
from jrnn.tasks.reader import Numbers, Symbols, numbers, symbols
from jrnn.tasks.task import Choice, Padded, Task
from jrnn.tasks.translation import Written, translation

__all__ = [
    "Choice",
    "Fitted",
    "Numbers",
    "Padded",
    "Symbols",
    "Task",
    "Written",
    "baselines",
    "classification",
    "feed_back",
    "fit_sequences",
    "forecast_windows",
    "forecasting",
    "labelling",
    "measure",
    "metrics",
    "numbers",
    "predict",
    "symbols",
    "translation",
]
