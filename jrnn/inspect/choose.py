"""Which units a page holds, where all of them are too many."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jrnn.inspect.ablate import Effect
from jrnn.inspect.ranking import ranked
from jrnn.inspect.record import RecordedLayer

_OF_STATES = 0.75  # of the room, if there are gates


class Kept(NamedTuple):
    """How many units of a layer are kept, of its states and of its gates."""

    states: int
    gates: int


def order(of_states: Sequence[np.ndarray], effect: Effect | None) -> np.ndarray:
    """Units of a layer by the best place that they have in any ranking.

    Of those with equal best places the one with the larger correlation comes first.

    The rankings are by the correlation with each feature, and by the effect on the loss
    of setting the unit to zero.

    Args:
        of_states: correlations (F, H) of each state.
        effect: if it was measured.

    Returns:
        Indices of all units (H,).

    Example:
        >>> order([np.array([[0.1, 0.9, 0.2], [0.8, 0.7, 0.0]])], None).tolist()
        [1, 0, 2]
    """
    rankings = [ranking for r in of_states for ranking in ranked(r)]
    if effect is not None and np.isfinite(effect.nats).all():
        rankings.append(np.argsort(-effect.nats, kind="stable"))
    places = np.argsort(np.stack(rankings), axis=-1)  # (rankings, H)
    strongest = np.abs(np.concatenate(of_states)).max(0)
    return np.lexsort((-strongest, places.min(0)))


def kept(layers: Sequence[RecordedLayer], steps: int, room: int) -> list[Kept]:
    """How many units of each layer fit into so many numbers.

    Every layer has equal room. States come first, and gates get what they leave, at
    least a quarter.

    Args:
        layers: what there is.
        steps: N, numbers of each unit.
        room: numbers in all.

    Returns:
        Counts for each layer; at least one unit of each, whatever the room.

    Example:
        >>> layer = RecordedLayer("gru", 8, dict.fromkeys("hrz"), ("r", "z"))
        >>> kept([layer], 100, 1200), kept([layer], 100, 9999)
        ([Kept(states=8, gates=2)], [Kept(states=8, gates=8)])
    """
    counts = []
    for layer in layers:
        own, gates = room / len(layers), len(layer.gates)
        states = len(layer.parts) - gates
        share = _OF_STATES if gates else 1.0
        of_states = _count(own * share, steps * states, layer.units)
        left = own - of_states * steps * states
        of_gates = _count(left, steps * gates, layer.units) if gates else 0
        counts.append(Kept(of_states, of_gates))
    return counts


def _count(room: float, of_each: int, units: int) -> int:
    return int(min(units, max(1, room // of_each)))
