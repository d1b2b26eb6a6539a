"""Layers as a page holds them: their units in bytes, and what each of them follows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jrnn.inspect.ablate import Effect
from jrnn.inspect.arrays import Scaled, signed, unsigned
from jrnn.inspect.choose import Kept, kept, order
from jrnn.inspect.ranking import correlations
from jrnn.inspect.record import RecordedLayer

_STEPS = 4096  # that are converted at a time
SHUT, OPEN = 0.1, 0.9  # as in `jrnn.gradients.gate_saturation`
STATES = {"h": "state h", "c": "memory c"}
GATES = {
    "i": "input gate i",
    "f": "forget gate f",
    "o": "output gate o",
    "r": "reset gate r",
    "z": "update gate z",
}


class Contents(NamedTuple):
    """What a page holds, or a part of it."""

    about: dict[str, Any]  # as JSON can hold it
    arrays: dict[str, np.ndarray]


def layers_contents(
    layers: Sequence[RecordedLayer],
    found: dict[str, np.ndarray],
    effects: Sequence[Effect] | None,
    room: int,
) -> Contents:
    """Describe recorded layers in arrays of few bits.

    Args:
        layers: what was recorded, N steps.
        found: features (N,) by name.
        effects: for each layer, if they were measured.
        room: how many numbers of units there may be, one byte each.

    Returns:
        Descriptions as "layers"; the arrays of layer l have names that begin with "l-".
    """
    steps = len(next(iter(found.values())))
    described, arrays = [], {}
    counts = kept(layers, steps, room)
    for place, (layer, count) in enumerate(zip(layers, counts, strict=True)):
        effect = effects[place] if effects else None
        about, own = _layer(layer, found, effect, count)
        described.append(about)
        arrays |= {f"{place}-{name}": array for name, array in own.items()}
    return Contents({"layers": described}, arrays)


def _layer(
    layer: RecordedLayer,
    found: dict[str, np.ndarray],
    effect: Effect | None,
    count: Kept,
) -> Contents:
    """The units of one layer, those of them that there is room for."""
    r = {name: correlations(part, found) for name, part in layer.parts.items()}
    states = [r[name] for name in layer.parts if name not in layer.gates]
    units = order(states, effect)
    arrays = {f"{name}-r": of_part for name, of_part in r.items()}  # (F, H)
    if effect is not None and np.isfinite(effect.nats).all():
        both = np.stack([effect.nats, np.nan_to_num(effect.error)])
        arrays["effect"] = both.astype(np.float32)
        if effect.figure is not None and np.isfinite(effect.figure).all():
            arrays["figure"] = effect.figure.astype(np.float32)
    parts = []
    for name, values in layer.parts.items():
        is_gate = name in layer.gates
        chosen = np.sort(units[: count.gates if is_gate else count.states])
        scaled = [_in_bytes(values[:, j], is_gate) for j in chosen]
        arrays |= {f"{name}-{j}": a.bytes for j, a in zip(chosen, scaled, strict=True)}
        if is_gate:
            arrays[f"{name}-saturation"] = _saturation(values)
        label = GATES.get(name) or STATES.get(name, f"state {name}")
        kept = {"units": chosen.tolist(), "steps": [a.step for a in scaled]}
        parts.append({"key": name, "label": label, "gate": is_gate, **kept})
    whole = []
    for key, label, values in _as_a_whole(layer):
        scaled = unsigned(values)
        arrays[key] = scaled.bytes
        whole.append({"key": key, "label": label, "step": scaled.step})
    described = {"kind": layer.kind, "name": layer.name, "units": layer.units}
    return Contents({**described, "parts": parts, "whole": whole}, arrays)


def _in_bytes(values: np.ndarray, is_gate: bool) -> Scaled:
    finite = np.nan_to_num(values.astype(np.float32))
    return unsigned(finite, 1.0) if is_gate else signed(finite)


def _saturation(gate: np.ndarray) -> np.ndarray:
    """Shares of the steps at which each unit's gate is shut and open, (2, H)."""
    return np.stack([(gate < SHUT).mean(0), (gate > OPEN).mean(0)]).astype(np.float32)


def _as_a_whole(layer: RecordedLayer) -> Iterator[tuple[str, str, np.ndarray]]:
    """What all units of a layer do together: key, label and numbers (N,)."""
    name = next(iter(layer.parts))
    h, label = layer.parts[name], STATES.get(name, f"state {name}")
    before = np.vstack([h[:1], h[:-1]])
    yield "size", f"size of {label}", _over_units(lambda h: np.square(h), h) ** 0.5
    change = _over_units(lambda h, before: np.square(h - before), h, before)
    yield "change", f"change of {label}", change**0.5
    for gate in layer.gates:
        mean = _over_units(lambda g: g, layer.parts[gate])
        yield f"mean-{gate}", f"mean of {GATES[gate]}", mean


def _over_units(f: Callable[..., np.ndarray], *parts: np.ndarray) -> np.ndarray:
    """The mean of f over all units, (N,): in single precision, piece by piece."""
    pieces = []
    for t in range(0, len(parts[0]), _STEPS):
        some = (np.nan_to_num(np.float32(part[t : t + _STEPS])) for part in parts)
        pieces.append(f(*some).mean(axis=1))
    return np.concatenate(pieces)
