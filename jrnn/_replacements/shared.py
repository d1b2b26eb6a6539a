"""The identity, as an operation whose cotangent CPUs compute once.

A compiler for CPUs may choose to compute a cheap value again for every reader: the
cotangent of a sum goes to each of its terms. One that lies in another order it copies
for every shape in which it is read.
"""

import math
from collections.abc import Sequence
from typing import Any

from jax import lax
from jax.interpreters import ad

from jrnn._programs.operation import batch_as_itself, lower, operation
from jrnn._programs.program import is_symbolic


def share_cotangent(value: Any) -> Any:
    """`value`, whose cotangent CPUs compute once, not once for each that reads it."""
    return _shared_p.bind(value)[0]


def _transpose(cts: Sequence[Any], x: Any) -> list[Any]:
    return [ad.Zero(x.aval) if isinstance(cts[0], ad.Zero) else share_cotangent(cts[0])]


def _computed_once(value: Any) -> list[Any]:
    """The value behind a barrier, as rows: so products of all steps read it.

    The cotangent of logits (T, B, V) may come from a loss with the batch leading.
    """
    if value.ndim < 3 or is_symbolic(value.shape):
        return [lax.optimization_barrier(value)]
    rows = lax.reshape(value, (math.prod(value.shape[:-1]), value.shape[-1]))
    return [lax.reshape(lax.optimization_barrier(rows), value.shape)]


_shared_p = operation("jrnn_shared", lambda x: [x], lambda: lambda x: [x])
ad.primitive_transposes[_shared_p] = _transpose
batch_as_itself(_shared_p)
lower(_shared_p, lambda: _computed_once, platform="cpu")
