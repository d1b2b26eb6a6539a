"""Sequences of unequal length: readers, splits, scaling, batches by length.

NumPy and polars: nothing here imports JAX, keeps a state or draws from one that is
global.

    frame = read_table("recordings.csv")
    series = series_of(frame, ["x", "y", "z"], id="recording", time="t")
    names = labels_of(frame, "activity", series)
    classes, y = np.unique(names, return_inverse=True)
    train, valid, test = split_sequences(Dataset(series.sequences, y), stratify=y)
    scaling = fit_scaling(train.inputs)
    train = train._replace(inputs=scale(scaling, train.inputs))
    stream = batching(train, batch_size=32, seed=0)
    stream.batch(1000)  # the thousandth, without those before it

Messages of readers are two lines: what is wrong and where, and what to do.
"""

from jrnn.data.batching import Batching, batching, in_order
from jrnn.data.conll import read_conll
from jrnn.data.missing import fill_missing
from jrnn.data.npz import read_npz
from jrnn.data.pairs import read_lines, read_pairs
from jrnn.data.scaling import (
    Scaling,
    fit_scaling,
    scale,
    scaling_from_json,
    scaling_to_json,
    unscale,
)
from jrnn.data.sequences import Batch, Dataset, Sequences, from_arrays, windows
from jrnn.data.series import Series, labels_of, series_of
from jrnn.data.splits import split_sequences, split_time
from jrnn.data.tables import column, read_table
from jrnn.data.ts import read_ts

__all__ = [
    "Batch",
    "Batching",
    "Dataset",
    "Scaling",
    "Sequences",
    "Series",
    "batching",
    "column",
    "fill_missing",
    "fit_scaling",
    "from_arrays",
    "in_order",
    "labels_of",
    "read_conll",
    "read_lines",
    "read_npz",
    "read_pairs",
    "read_table",
    "read_ts",
    "scale",
    "scaling_from_json",
    "scaling_to_json",
    "series_of",
    "split_sequences",
    "split_time",
    "unscale",
    "windows",
]
