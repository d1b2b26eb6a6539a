"""What a page of examples holds: channels, answers, layers, as arrays by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jrnn.inspect.ablate import Effect
from jrnn.inspect.arrays import costs, fine, smallest, unsigned
from jrnn.inspect.examples import (
    Channels,
    Classes,
    Forecasts,
    Shown,
    features_of,
)
from jrnn.inspect.layer_contents import Contents, layers_contents
from jrnn.inspect.record_task import RecordedExamples

_TOP = 5  # classes whose probabilities are kept


def task_contents(
    recording: RecordedExamples,
    shown: Shown,
    effects: Sequence[Effect] | None,
    room: int,
) -> Contents:
    """Describe recorded examples in arrays of few bits.

    Args:
        recording: of the examples.
        shown: what they are made of, and the answers.
        effects: for each layer, if they were measured.
        room: how many numbers of units there may be, one byte each.

    Returns:
        The arrays, and where they belong.
    """
    found = features_of(shown)
    layers = layers_contents(
        recording.layers, {key: f.values for key, f in found.items()}, effects, room
    )
    inputs, answers = _inputs(shown), _answers(shown.answers)
    about = {
        "count": int(shown.lengths.sum()),
        "level": "step",
        "chunk": shown.chunk,
        "examples": [str(name) for name in shown.names],
        "features": [
            {"key": key, "label": f.label, "about": f.about} for key, f in found.items()
        ],
        **inputs.about,
        **answers.about,
        **layers.about,
    }
    lengths = {"lengths": smallest(np.asarray(shown.lengths))}
    return Contents(
        about, {**lengths, **inputs.arrays, **answers.arrays, **layers.arrays}
    )


def bytes_of_inputs(shown: Shown) -> int:
    """About how many bytes inputs and answers have in a page, before base64.

    Args:
        shown: the examples.

    Returns:
        Bytes.
    """
    each = 2 * len(shown.inputs.names) if isinstance(shown.inputs, Channels) else 4
    answers = shown.answers
    if isinstance(answers, Forecasts):
        return each * int(shown.lengths.sum()) + 4 * answers.values.size
    return each * int(shown.lengths.sum()) + 15 * len(answers.probability)


def _inputs(shown: Shown) -> Contents:
    inputs = shown.inputs
    if isinstance(inputs, Channels):
        channels, arrays = [], {}
        for d, name in enumerate(inputs.names):
            levels, low, step = fine(np.nan_to_num(inputs.values[:, d]))
            channels.append({"name": str(name), "low": low, "step": step})
            arrays[f"channel-{d}"] = levels
        return Contents({"channels": channels}, arrays)
    used, tokens = np.unique(inputs.tokens, return_inverse=True)
    pieces = [inputs.pieces[token] for token in used.tolist()]
    about = {"channels": [], "pieces": pieces, "unit": inputs.level}
    return Contents(about, {"tokens": smallest(tokens)})


def _answers(answers: Classes | Forecasts) -> Contents:
    if isinstance(answers, Forecasts):
        return _of_forecasts(answers)
    p = np.nan_to_num(np.asarray(answers.probability, np.float32))
    top = np.argsort(-p, axis=1, kind="stable")[:, :_TOP]  # (M, K)
    chances = np.take_along_axis(p, top, axis=1)
    about: dict[str, Any] = {
        "answers": answers.each,
        "classes": [str(name) for name in answers.names],
        "top": top.shape[1],
        "nats": None,
    }
    arrays = {
        "guesses": smallest(top.T),  # (K, M)
        "chances": unsigned(chances.T, 1.0).bytes,
    }
    if answers.target is not None:
        target = np.asarray(answers.target)
        known = target >= 0
        own = p[np.arange(len(p)), np.where(known, target, 0)]
        with np.errstate(divide="ignore"):
            nats = costs(np.where(known, -np.log(own), 0.0))
        about["nats"] = {"step": nats.step}
        arrays["nats"] = nats.bytes
        # one more than there are classes: none of them
        arrays["targets"] = smallest(np.where(known, target, len(answers.names)))
    return Contents(about, arrays)


def _of_forecasts(answers: Forecasts) -> Contents:
    about = {
        "answers": "forecast",
        "columns": list(answers.columns),
        "quantiles": [float(q) for q in answers.quantiles],
        "horizon": answers.values.shape[1],
        "known": answers.truth is not None,
        "nats": None,
    }
    arrays = {"forecasts": np.asarray(answers.values, np.float32)}
    if answers.truth is not None:
        arrays["truth"] = np.asarray(answers.truth, np.float32)
    return Contents(about, arrays)
