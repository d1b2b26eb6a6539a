"""Examples of a run as `jrnn inspect` shows them, in the units of their data."""

from typing import Any

import numpy as np

from jrnn.cli.forecast_options import Forecast
from jrnn.cli.predict import Answerer
from jrnn.cli.tasks.observed import columns_of, target_scaling
from jrnn.cli.tasks.outlook import unscale_quantiles
from jrnn.data import Dataset, Sequences, scaling_from_json, unscale
from jrnn.inspect import Channels, Classes, Forecasts, Shown, Tokens
from jrnn.text import from_json


def chosen(trained: Answerer, dataset: Dataset, steps: int) -> np.ndarray:
    """Which examples to show: so many that they have about that many steps.

    They are taken evenly from all, since those of one class may lie side by side. Of
    forecasts, which overlap, those that start where the horizon of another ends.

    Args:
        trained: the run.
        dataset: all examples.
        steps: how many steps there may be; one example is chosen in any case.

    Returns:
        Places in the dataset, rising.
    """
    candidates = np.arange(len(dataset.inputs))
    if isinstance(trained.config, Forecast) and dataset.targets is not None:
        candidates = _apart(dataset, trained.known["horizon"])
    lengths = dataset.inputs.lengths[candidates]
    number = max(1, min(len(candidates), int(steps / lengths.mean())))
    while True:
        places = np.unique(np.linspace(0, len(candidates) - 1, number).astype(int))
        if number == 1 or lengths[places].sum() <= steps:
            return candidates[places]
        number = max(1, min(number - 1, int(number * steps / lengths[places].sum())))


def _apart(dataset: Dataset, horizon: int) -> np.ndarray:
    """Windows of which no two forecast the same step."""
    starts, found, last = dataset.targets.starts, [], -horizon
    for i, start in enumerate(starts.tolist()):
        if start >= last + horizon or start < last:
            found.append(i)
            last = start
    return np.array(found)


def shown_of(trained: Answerer, dataset: Dataset, answers: Any) -> Shown:
    """Examples and their answers.

    Args:
        trained: the run.
        dataset: the examples.
        answers: of `jrnn.tasks.predict`.

    Returns:
        A `Shown`.
    """
    names = [str(i) for i in range(1, len(dataset.inputs) + 1)]
    told = _answers(trained, dataset, answers)
    chunk = getattr(trained.config, "chunk", 1)
    return Shown(_inputs(trained, dataset), dataset.inputs.lengths, told, names, chunk)


def _inputs(trained: Answerer, dataset: Dataset) -> Channels | Tokens:
    known, inputs = trained.known, dataset.inputs
    steps = np.concatenate([inputs[i] for i in range(len(inputs))])
    if known["form"] == "text":
        vocabulary = from_json(known["vocabulary"])
        return Tokens(vocabulary.symbols, steps, vocabulary.level)
    if known["form"] == "words":
        return Tokens(known["symbols"], steps, "word")
    marks = [f"{name} is missing" for name in known["indicators"]]
    values = unscale(scaling_from_json(known["scaling"]), steps)
    names = [f"channel {n}" if n.isdigit() else n for n in known["features"]]
    return Channels([*names, *marks], np.asarray(values))


def _answers(trained: Answerer, dataset: Dataset, answers: Any) -> Classes | Forecasts:
    known, targets = trained.known, dataset.targets
    if isinstance(trained.config, Forecast):
        truth = None
        if targets is not None:
            scaled = np.stack([*targets])[:, : known["horizon"]]
            truth = unscale(target_scaling(known), scaled)
        values = unscale_quantiles(known, np.asarray(answers))
        return Forecasts(columns_of(known), known["quantiles"], values, truth)
    p = answers.probability
    if not isinstance(p, Sequences):
        return Classes(known["classes"], p, targets, "sequence")
    joined = lambda of: np.concatenate([of[i] for i in range(len(of))])
    target = None if targets is None else joined(targets)
    return Classes(known["classes"], joined(p), target, "step")
