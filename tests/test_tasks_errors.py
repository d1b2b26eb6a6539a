"""What tasks say to a mistake: the text names the task, the argument and the fix."""

import re

import jax
import numpy as np
import pytest
from task_cases import CASES, batch_of, examples, params_of

import jrnn
from jrnn.data import Dataset, from_arrays
from jrnn.tasks import (
    classification,
    feed_back,
    fit_sequences,
    forecasting,
    labelling,
    measure,
    numbers,
    symbols,
    translation,
)


def loss(name, **changed):
    """The loss of a batch of which some fields are wrong."""
    batch = batch_of(name, examples(name, (3, 2)))._replace(**changed)
    return CASES[name].task.loss(params_of(name), batch)


def fitted(**options):
    data = Dataset(from_arrays([np.ones((2, 1))]), np.array([0]))
    options = {"steps": 2, "key": jax.random.key(0)} | options
    return fit_sequences(classification(numbers(1), 2, hidden_size=2), data, **options)


def untold():
    task = classification(numbers(1), 2, hidden_size=2)
    params = task.init(jax.random.key(0))
    return measure(task, params, Dataset(from_arrays([np.ones((2, 1))])))


three = np.ones((2, 3), np.int32)
ERRORS = {
    "symbols": (lambda: symbols(0), ValueError, "symbols: size must be a positive"),
    "numbers": (lambda: numbers(1.5), ValueError, "numbers: size must be a positive"),
    "inputs": (
        lambda: classification(3, 2),
        TypeError,
        "classification: inputs must be symbols(V) for tokens or numbers(D) for "
        "vectors, got int.",
    ),
    "one-class": (
        lambda: labelling(symbols(3), 1),
        ValueError,
        "labelling: needs at least two classes, got 1.",
    ),
    "cell": (
        lambda: classification(numbers(1), 2, cell="gruu"),
        ValueError,
        "classification: cell must be a name in jrnn.models.CELLS or a cell factory, "
        "got 'gruu'. Did you mean 'gru'?",
    ),
    "whole-sequences": (
        lambda: labelling(numbers(1), 2, cell=lambda size: jrnn.conv(size, 3)),
        TypeError,
        "reads the whole sequence and cannot be stepped. Pass a cell factory",
    ),
    "pool": (
        lambda: classification(numbers(1), 2, pool="first"),
        ValueError,
        "classification: pool must be 'last', 'mean', 'max' or 'all', got 'first'.",
    ),
    "chunk": (
        lambda: classification(symbols(3), 2, chunk=2),
        ValueError,
        "classification: chunk puts numbers side by side; of symbols leave it 1, got",
    ),
    "dropout": (
        lambda: classification(numbers(1), 2, dropout=1.0),
        ValueError,
        "classification: rate must be in [0, 1), got 1.0.",
    ),
    "layers": (
        lambda: forecasting(1, (0,), 1, layers=0),
        ValueError,
        "forecasting: layers must be a positive integer, got 0.",
    ),
    "decoder-layers": (
        lambda: translation(3, 3, layers=0),
        ValueError,
        "translation: layers must be a positive integer, got 0.",
    ),
    "longest": (
        lambda: translation(3, 3, longest=0),
        ValueError,
        "translation: longest must be a positive integer, got 0.",
    ),
    "truth": (
        lambda: translation(3, 3, truth=0.5, dropout=0.1),
        ValueError,
        "translation: dropout and a truth below 1 cannot be had together.",
    ),
    "columns": (
        lambda: forecasting(2, (2,), 1),
        ValueError,
        "forecasting: targets must be columns from 0 to 1, got (2,).",
    ),
    "no-columns": (
        lambda: forecasting(2, (), 1),
        ValueError,
        "forecasting: targets must be columns from 0 to 1, got ().",
    ),
    "quantiles": (
        lambda: forecasting(1, (0,), 1, quantiles=(0.0, 0.5)),
        ValueError,
        "forecasting: quantiles must be in (0, 1), got (0.0, 0.5).",
    ),
    "falling-quantiles": (
        lambda: forecasting(1, (0,), 1, quantiles=(0.5, 0.5)),
        ValueError,
        "forecasting: quantiles must rise, got (0.5, 0.5).",
    ),
    "season": (
        lambda: forecasting(1, (0,), 1, season=-1),
        ValueError,
        "forecasting: season must be an integer >= 0, got -1.",
    ),
    "feed-back": (
        lambda: feed_back(3, (1,), 2),
        ValueError,
        "feed_back: needs forecasts of all 3 columns to go on from, but [0, 2] are not "
        "among the targets.",
    ),
    "tokens-of-floats": (
        lambda: loss("labelling", inputs=np.ones((2, 3))),
        TypeError,
        "labelling: symbols must be integers, got float64. For vectors of numbers make "
        "the task with numbers(D).",
    ),
    "tokens-of-vectors": (
        lambda: loss("labelling", inputs=np.ones((2, 3, 2), int)),
        ValueError,
        "labelling: symbols must have shape (B, T), got (2, 3, 2).",
    ),
    "columns-of-inputs": (
        lambda: loss("classification", inputs=np.ones((2, 3, 5))),
        ValueError,
        "classification: inputs must have shape (B, T, 2), got (2, 3, 5).",
    ),
    "no-targets": (
        lambda: loss("classification", targets=None),
        ValueError,
        "classification: the batch has no targets. Make the dataset with them, or call "
        "predict",
    ),
    "float-labels": (
        lambda: loss("classification", targets=np.ones(2)),
        TypeError,
        "classification: labels must be integers, got float64.",
    ),
    "a-label-a-step": (
        lambda: loss("classification", targets=three),
        ValueError,
        "classification: targets must have 1 axis, got shape (2, 3).",
    ),
    "too-few-labels": (
        lambda: loss("labelling", targets=three[:, :2]),
        ValueError,
        "labelling: there must be a label for each step, (B, 3), got (2, 2).",
    ),
    "float-texts": (
        lambda: loss("translation", targets=np.ones((2, 3))),
        TypeError,
        "translation: targets must be integers, got float64.",
    ),
    "texts-without-lengths": (
        lambda: loss("translation", targets=three, target_lengths=None),
        ValueError,
        "translation: targets must be sequences, with target_lengths in the batch.",
    ),
    "horizon": (
        lambda: loss("forecasting", targets=np.ones((2, 3, 2))),
        ValueError,
        "forecasting: targets must have shape (B, 4, 2), for horizon and columns, got "
        "(2, 3, 2).",
    ),
    "steps": (
        lambda: fitted(steps=0),
        ValueError,
        "fit_sequences: steps must be a positive integer, got 0.",
    ),
    "every": (
        lambda: fitted(every=0),
        ValueError,
        "fit_sequences: every must be a positive integer, got 0.",
    ),
    "patience": (
        lambda: fitted(patience=2),
        ValueError,
        "fit_sequences: patience needs examples to judge by. Pass valid=",
    ),
    "rates": (
        lambda: fitted(learning_rate=np.ones(3)),
        ValueError,
        "fit_sequences: learning_rate must be a number or have one for each of the 2 "
        "steps, got shape (3,).",
    ),
    "measure": (
        untold,
        ValueError,
        "measure: the dataset has no targets to compare with. Call predict",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_says_what_is_wrong(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()
