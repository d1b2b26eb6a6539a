"""Negative log-likelihood of labels, as an operation that knows how to be batched.

L = logsumexp(logits) - logits[label],    dL / dlogits = softmax(logits) - [label]

`vmap` moves batch axes to the front wherever those of two operands differ. A model run
over time gives logits (T, B, V), its labels come as (B, T): the logits would be copied
for the sake of the labels, and their derivative copied back.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching

from jrnn._programs.operation import lower, operation, without_last_axis
from jrnn._programs.program import is_sharded

# Logits from which on the labels of a derivative are worth a pass of their own on CPU.
_MANY = 2**15


def negative_log_likelihood(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """- log softmax(logits)[labels]: (..., V) and integers (...) to (...).

    NaN where a label is not among 0..V-1.
    """
    if is_sharded(jax.typeof(logits)):
        return _evaluate(logits, labels)[0]
    (losses,) = _likelihood_p.bind(logits, labels)
    return losses


def _evaluate(logits: jax.Array, labels: jax.Array) -> list[jax.Array]:
    known = (0 <= labels) & (labels < logits.shape[-1])
    losses = jax.nn.logsumexp(logits, axis=-1) - _chosen(logits, labels)
    return [jnp.where(known, losses, jnp.nan)]


def _push(logits: jax.Array, labels: jax.Array, dlogits: jax.Array) -> list[jax.Array]:
    """The derivative: sum_v softmax(logits)_v dlogits_v - dlogits[label]."""
    p = jax.nn.softmax(logits, axis=-1)
    return [(p * dlogits).sum(-1) - _chosen(dlogits, labels)]


def _pull(logits: jax.Array, labels: jax.Array, ct: jax.Array) -> list[jax.Array]:
    """Its transpose: (softmax(logits)_v - [v is the label]) ct."""
    is_label = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)  # (..., V)
    return [(jax.nn.softmax(logits, axis=-1) - is_label) * ct[..., None]]


def _pull_in_place(
    logits: jax.Array, labels: jax.Array, ct: jax.Array
) -> list[jax.Array]:
    """The same without an array for [v is the label], which compilers make early."""
    if logits.size < _MANY:
        return _pull(logits, labels, ct)
    slope = jax.nn.softmax(logits, axis=-1) * ct[..., None]
    at = slope.at[*jnp.indices(labels.shape, sparse=True), labels]
    how = {"indices_are_sorted": True, "unique_indices": True, "mode": "drop"}
    return [at.add(-ct, wrap_negative_indices=False, **how)]


def _chosen(logits: jax.Array, labels: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="clip")
    return chosen[..., 0]


def _derive(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    losses = _likelihood_p.bind(*primals)
    if isinstance(tangents[0], ad.Zero):
        return losses, [ad.Zero(jax.typeof(losses[0]).to_tangent_aval())]
    return losses, _push_p.bind(*primals, tangents[0])


def _transpose(cts: Sequence[Any], logits: Any, labels: Any, dlogits: Any) -> list[Any]:
    if isinstance(cts[0], ad.Zero):
        return [None, None, ad.Zero(dlogits.aval)]
    return [None, None, *_pull_p.bind(logits, labels, cts[0])]


def _batch(made: core.Primitive, values: Sequence[Any], axes: Sequence[Any]) -> Any:
    """Batch all operands where the logits, the first, have the axis."""
    place = 0 if axes[0] in (None, values[0].ndim - 1) else axes[0]
    pairs = list(zip(values, axes, strict=True))
    (size,) = {v.shape[axis] for v, axis in pairs if axis is not None}

    def moved(v: Any, axis: int | None) -> Any:
        if axis == place:
            return v
        return jnp.moveaxis(batching.bdim_at_front(v, axis, size), 0, place)

    return made.bind(*(moved(v, axis) for v, axis in pairs)), [place]


def _losses_type(logits: Any, *_: Any) -> list[Any]:
    return [without_last_axis(logits, logits.dtype)]


def _logits_type(logits: Any, *_: Any) -> list[Any]:
    return [logits.update(weak_type=False)]


_likelihood_p = operation("jrnn_likelihood", _losses_type, lambda: jax.jit(_evaluate))
_push_p = operation("jrnn_likelihood_push", _losses_type, lambda: jax.jit(_push))
_pull_p = operation("jrnn_likelihood_pull", _logits_type, lambda: jax.jit(_pull))
ad.primitive_jvps[_likelihood_p] = _derive
ad.primitive_transposes[_push_p] = _transpose
# Elsewhere to put numbers in at places is slow.
lower(_pull_p, lambda: _pull_in_place, platform="cpu")
for made in (_likelihood_p, _push_p, _pull_p):
    batching.primitive_batchers[made] = functools.partial(_batch, made)
