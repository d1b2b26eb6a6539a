"""Tasks on sequences: classification, labelling, translation, forecasting.

What the commands `jrnn classify`, `label`, `translate` and `forecast` do is about ten
lines each. All begin with these:

    >>> import jax, numpy as np
    >>> from jrnn.data import Dataset, fit_scaling, from_arrays, scale
    >>> from jrnn.data import split_sequences, split_time
    >>> from jrnn.tasks import *
    >>> key, rng = jax.random.key(0), np.random.default_rng(0)
    >>> more = {"key": key, "learning_rate": 0.02, "patience": 5}

A class for a sequence. Does a walk of unequal length drift up or down?

    >>> kinds, lengths = rng.integers(0, 2, 300), rng.integers(5, 30, 300)
    >>> walk = lambda kind, t: rng.normal(kind - 0.5, 1, (t, 1)).cumsum(axis=0)
    >>> data = Dataset(from_arrays(map(walk, kinds, lengths)), kinds)
    >>> parts = split_sequences(data, (0.6, 0.2, 0.2), stratify=kinds)
    >>> scaling = fit_scaling(parts[0].inputs)
    >>> scaled = lambda part: part._replace(inputs=scale(scaling, part.inputs))
    >>> train, valid, test = map(scaled, parts)
    >>> task = classification(numbers(1), 2, hidden_size=8)
    >>> fitted = fit_sequences(task, train, steps=150, valid=valid, **more)
    >>> accuracy = measure(task, fitted.params, test)["accuracy"]
    >>> accuracy > baselines.most_frequent_class(train, test, 2)["accuracy"] + 0.2
    True
    >>> predict(task, fitted.params, test).probability.shape
    (60, 2)

A label for each step. Is a letter part of a word that begins with a capital?

    >>> write = lambda _: "".join(rng.choice(list("ab AB"), rng.integers(5, 30)))
    >>> texts = [*map(write, range(200))]
    >>> tag = lambda text: [w[:1].isupper() for w in text.split(" ") for _ in w + " "]
    >>> symbol = {c: n for n, c in enumerate(sorted(set("".join(texts))))}
    >>> inputs = from_arrays([[symbol[c] for c in text] for text in texts])
    >>> data = Dataset(inputs, from_arrays(tag(text)[:-1] for text in texts))
    >>> train, valid, test = split_sequences(data, (0.6, 0.2, 0.2))
    >>> task = labelling(symbols(len(symbol)), 2, hidden_size=8, embed_size=0)
    >>> fitted = fit_sequences(task, train, steps=200, valid=valid, **more)
    >>> f1 = measure(task, fitted.params, test)["macro_f1"]
    >>> f1 > baselines.token_majority(train, test, 2)["macro_f1"] + 0.1
    True

A sequence for a sequence. Each token twice, and the end by itself:

    >>> texts = [rng.integers(0, 3, t) for t in rng.integers(1, 4, 200)]
    >>> data = Dataset(from_arrays(texts), from_arrays(x.repeat(2) for x in texts))
    >>> train, valid, test = split_sequences(data, (0.6, 0.2, 0.2))
    >>> task = translation(3, 3, hidden_size=16, embed_size=8, longest=8, beam_size=2)
    >>> fitted = fit_sequences(task, train, steps=200, valid=valid, **more)
    >>> figures, copied = measure(task, fitted.params, test), baselines.copying(test)
    >>> figures["exact_match"] > copied["exact_match"] + 0.5
    True
    >>> predict(task, fitted.params, Dataset(from_arrays([[2, 0]]))).tokens[0].tolist()
    [2, 2, 0, 0]

What comes next. Four steps of a noisy wave, with a band for 80 % of what may come:

    >>> wave = np.sin(np.arange(500) / 2) + 0.1 * rng.normal(size=500)
    >>> parts = split_time(from_arrays([wave[:, None]]), horizon=4, context=15)
    >>> scaling = fit_scaling(parts[0])
    >>> cut = lambda part: forecast_windows(part, (0,), context=15, horizon=4)
    >>> train, valid, test = (cut(scale(scaling, part)) for part in parts)
    >>> task = forecasting(1, (0,), 4, hidden_size=16, unit=scaling.std)
    >>> task = calibrated(task, horizon=4, targets=1)
    >>> fitted = fit_sequences(task, train, steps=200, valid=valid, **more)
    >>> params = calibrate(task, fitted.params, valid)  # widens the band
    >>> error = measure(task, params, test)["mean_absolute_error"]
    >>> last = baselines.last_season(train, test, (0,), unit=scaling.std)
    >>> error < 0.3 * last["mean_absolute_error"]
    True

`defaults(len(train.inputs))` says how large a model to take and how long to train it.
"""

from jrnn.tasks import baselines, metrics
from jrnn.tasks.bands import Calibrated, calibrate, calibrated, margins
from jrnn.tasks.classification import classification
from jrnn.tasks.fit import Fitted, fit_sequences, measure, predict
from jrnn.tasks.forecasting import feed_back, forecast_windows, forecasting
from jrnn.tasks.labelling import labelling
from jrnn.tasks.reader import Numbers, Symbols, numbers, symbols
from jrnn.tasks.sizes import Defaults, defaults, drifts, spreads, wanders
from jrnn.tasks.task import Classified, Padded, Read, Task
from jrnn.tasks.translation import Written, translation, translation_model

__all__ = [
    "Calibrated",
    "Classified",
    "Defaults",
    "Fitted",
    "Numbers",
    "Padded",
    "Read",
    "Symbols",
    "Task",
    "Written",
    "baselines",
    "calibrate",
    "calibrated",
    "classification",
    "defaults",
    "drifts",
    "feed_back",
    "fit_sequences",
    "forecast_windows",
    "forecasting",
    "labelling",
    "margins",
    "measure",
    "metrics",
    "numbers",
    "predict",
    "spreads",
    "symbols",
    "translation",
    "translation_model",
    "wanders",
]
