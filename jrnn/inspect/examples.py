"""Examples of a task as people read them: what they are made of, and the answers."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

CLASSES = 12  # that are followed one by one


class Channels(NamedTuple):
    """Sequences of numbers, one behind the other."""

    names: Sequence[str]  # of D columns
    values: np.ndarray  # (N, D), in the units of the data


class Tokens(NamedTuple):
    """Sequences of symbols, one behind the other."""

    pieces: Sequence[str]  # what the tokens stand for
    tokens: np.ndarray  # (N,)
    level: Literal["char", "byte", "word"]


class Classes(NamedTuple):
    """A class for each example, or for each step."""

    names: Sequence[str]  # of C classes
    probability: np.ndarray  # (n, C), or (N, C) of steps
    target: np.ndarray | None  # (n,) or (N,), -1 for none of the classes; None: unknown
    each: Literal["sequence", "step"]


class Forecasts(NamedTuple):
    """What is forecast behind each example, in the units of the data."""

    columns: Sequence[int]  # the K channels that are forecast
    quantiles: Sequence[float]  # Q of them, rising
    values: np.ndarray  # (n, H, K, Q), H steps ahead
    truth: np.ndarray | None  # (n, H, K), NaN where it is missing; None: unknown


class Shown(NamedTuple):
    """Examples and their answers."""

    inputs: Channels | Tokens
    lengths: np.ndarray  # (n,), which are N together
    answers: Classes | Forecasts
    names: Sequence[str]  # what each example is called
    chunk: int = 1  # steps that the layers read at once


class Feature(NamedTuple):
    """What a unit might follow."""

    label: str
    about: str
    values: np.ndarray  # (N,)


def features_of(shown: Shown) -> dict[str, Feature]:
    """What units might follow, at every step of all examples.

        channels      x_t of each column
        derivatives   x_t - x_{t-1} of each column, 0 at the first step
        position      t, the steps that were read
        classes       1 where the class is this one
        next          x_{t+1} of the columns that are forecast

    Args:
        shown: the examples.

    Returns:
        `Feature`s by key. Of more than 12 classes none is followed by itself.

    Example:
        >>> xs = Channels(["a"], np.array([[1.0], [4.0], [2.0]]))
        >>> target = np.array([0, 1])
        >>> answers = Classes(["no", "yes"], np.ones((2, 2)), target, "sequence")
        >>> found = features_of(Shown(xs, np.array([2, 1]), answers, ["1", "2"]))
        >>> for key, feature in found.items():
        ...     print(key, feature.values.tolist())
        channel-0 [1.0, 4.0, 2.0]
        change-0 [0.0, 3.0, 0.0]
        position [1.0, 2.0, 1.0]
        class-1 [0.0, 0.0, 1.0]
    """
    starts = np.cumsum(shown.lengths) - shown.lengths
    step = np.arange(int(shown.lengths.sum())) - np.repeat(starts, shown.lengths)
    found: dict[str, Feature] = {}
    if isinstance(shown.inputs, Channels):
        found |= _of_channels(shown.inputs, step)
    words = "step in the sequence", "steps that were read"
    found["position"] = Feature(*words, (step + 1).astype(np.float32))
    if isinstance(shown.answers, Classes):
        return found | _of_classes(shown.answers, shown.lengths)
    if isinstance(shown.inputs, Channels):
        found |= _of_next(shown.inputs, shown.answers, starts, shown.lengths)
    return found


def _of_channels(inputs: Channels, step: np.ndarray) -> dict[str, Feature]:
    values = np.nan_to_num(np.asarray(inputs.values, np.float64))
    change = np.diff(values, axis=0, prepend=values[:1])
    change[step == 0] = 0
    found = {}
    for d, name in enumerate(inputs.names):
        about = f"the value of {name} that was just read"
        found[f"channel-{d}"] = Feature(str(name), about, values[:, d])
    for d, name in enumerate(inputs.names):
        about = f"by how much {name} has changed since the step before"
        found[f"change-{d}"] = Feature(f"change of {name}", about, change[:, d])
    return found


def _of_classes(answers: Classes, lengths: np.ndarray) -> dict[str, Feature]:
    if answers.target is None or len(answers.names) > CLASSES:
        return {}
    target = np.asarray(answers.target)
    if answers.each == "sequence":
        target = np.repeat(target, lengths)
    found = {}
    # of two classes the second says all
    for c, name in list(enumerate(answers.names))[len(answers.names) == 2 :]:
        of = "sequences" if answers.each == "sequence" else "steps"
        values = (target == c).astype(np.float32)
        found[f"class-{c}"] = Feature(
            f"class {name}", f"at {of} of class {name}", values
        )
    return found


def _of_next(
    inputs: Channels, answers: Forecasts, starts: np.ndarray, lengths: np.ndarray
) -> dict[str, Feature]:
    """The value that follows each step; behind the last one that which came."""
    found = {}
    for k, d in enumerate(answers.columns):
        values = np.asarray(inputs.values[:, d], np.float64)
        follows, last = np.append(values[1:], 0.0), starts + lengths - 1
        follows[last] = values[last]
        if answers.truth is not None:
            came = answers.truth[:, 0, k]
            follows[last] = np.where(np.isnan(came), values[last], came)
        name = inputs.names[d]
        about = f"the value of {name} one step later"
        found[f"next-{d}"] = Feature(f"next {name}", about, np.nan_to_num(follows))
    return found
