"""From a step function to a flat step: everything `jax.lax.scan` checks and promotes.

The function is traced by `jax.lax.scan` itself, so that its errors, its promotion of
weak types and its treatment of captured values are those of JAX.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from jrnn._programs.program import (
    CALLS,
    Atom,
    Equation,
    cached,
    call,
    constants,
    dependents,
    evaluate,
    examples,
    free,
    is_variable,
    needed,
    opened,
    read,
    trace,
)
from jrnn._programs.sharding import divided
from jrnn.scan.emit.store import scan_all
from jrnn.scan.normalise.one_hot import with_lookups
from jrnn.scan.normalise.products import apply_weight_on_the_right
from jrnn.scan.normalise.simplify import evaluate_sums_early
from jrnn.scan.normalise.slices import split_slices
from jrnn.scan.operations import with_inner
from jrnn.scan.plan.placement import LOOP, ONCE, depths, light
from jrnn.scan.step import Step


class Traced(NamedTuple):
    """A call of `jax.lax.scan`, traced: equations, the last of which is the loop."""

    program: core.ClosedJaxpr
    loop: Equation
    leaves: list[Any]  # of init, then of xs
    out_tree: Any


def traced(
    f: Callable, init: Any, xs: Any, length: int | None, **options: Any
) -> Traced:
    """Trace `jax.lax.scan(f, init, xs, length, **options)` without running it."""
    program, shapes = jax.make_jaxpr(
        lambda init, xs: scan_all(f, init, xs, length, **options), return_shape=True
    )(init, xs)
    loops = [e for e in opened(program)[0].eqns if e.primitive.name == "scan"]
    leaves = [as_array(leaf) for leaf in jax.tree.leaves((init, xs))]
    return Traced(program, loops[-1], leaves, jax.tree.structure(shapes))


def as_array(value: Any) -> jax.Array:
    """An array of JAX: what is passed through must not be the caller's own array."""
    return value if isinstance(value, jax.Array) else jnp.asarray(value)


def understood(loop: Equation) -> bool:
    """Whether the engine may run this loop.

    It must have steps and no side effects. Where types say how arrays are divided among
    devices, JAX's own loop keeps the account; and a policy of `jax.checkpoint` sees the
    names of values in that loop only.
    """
    named = any(e.primitive.name == "name" for e in with_inner(loop))
    typed = any(divided(a.aval) for a in [*loop.invars, *loop.outvars])
    none = isinstance(length := loop.params["length"], int) and length == 0
    return not (none or loop.effects or typed or named)


def evaluate_around(
    call_: Traced, run_loop: Callable[[Sequence[Any]], list[Any]]
) -> Any:
    """Evaluate a traced scan, with `run_loop` in the place of its loop."""
    jaxpr, _ = opened(call_.program)
    env = constants(call_.program)
    env |= dict(zip(jaxpr.invars, call_.leaves, strict=True))
    for eqn in jaxpr.eqns:
        if eqn is call_.loop:
            values = [read(env, a) for a in eqn.invars]
            env.update(zip(eqn.outvars, run_loop(values), strict=True))
        else:
            evaluate([eqn], env)
    return jax.tree.unflatten(call_.out_tree, [read(env, a) for a in jaxpr.outvars])


class Prepared(NamedTuple):
    """A flat step, and what is computed from the weights before all else."""

    once: core.ClosedJaxpr  # weights as given -> weights of the step
    step: Step
    kinds: tuple[str | None, ...]  # of the random keys among the outputs


class Options(NamedTuple):
    """How to take a step often; the fields are those of `Step`."""

    length: Any
    reverse: bool
    unroll: int
    recompute: bool = False
    budget: int | None = None


def prepare(
    call_: Traced,
    values: Sequence[Any],
    *,
    recompute: bool = False,
    budget: int | None = None,
) -> tuple[Prepared, list[Any]]:
    """The flat step of a traced scan, and the values that enter it.

    Random keys travel as their raw words, which any operation may carry.
    """
    kinds = tuple(_kind(v) for v in values)
    params = call_.loop.params
    weights, carry = loop_parts(call_.loop)
    length, unroll = params["length"], params["unroll"]
    if isinstance(length, int):
        unroll = min(unroll or length, length)  # 0 unrolls the whole loop
    often = Options(length, params["reverse"], unroll, recompute, budget)
    ready = _prepare(params["jaxpr"], kinds, weights, carry, often)
    raw = [
        jax.random.key_data(v) if k else v for v, k in zip(values, kinds, strict=True)
    ]
    return ready, [*call(ready.once, raw[:weights]), *raw[weights:]]


def with_keys(values: Sequence[Any], kinds: Sequence[str | None]) -> list[Any]:
    """Raw words made random keys again, where there is a kind."""
    return [
        jax.random.wrap_key_data(v, impl=kind) if kind else v
        for v, kind in zip(values, kinds, strict=True)
    ]


def loop_parts(loop: Equation) -> tuple[int, int]:
    """How many inputs of a loop are captured, and how many are carried.

    What has a time axis outside has none inside. (The arguments of `jax.lax.scan` do
    not tell: it captures a carry that never changes.)
    """
    inner, _ = opened(loop.params["jaxpr"])
    same = lambda outer, inner: sum(
        a.aval.ndim == b.aval.ndim for a, b in zip(outer, inner, strict=True)
    )
    carry = same(loop.outvars, inner.outvars)
    return same(loop.invars, inner.invars) - carry, carry


def _kind(value: Any) -> str | None:
    is_key = jax.dtypes.issubdtype(jnp.result_type(value), jax.dtypes.prng_key)
    return jax.random.key_impl(value) if is_key else None


def _is_key(atom: Atom) -> bool:
    return jax.dtypes.issubdtype(atom.aval.dtype, jax.dtypes.prng_key)


@cached
def _prepare(
    loop: core.ClosedJaxpr,
    kinds: tuple[str | None, ...],
    weights: int,
    carry: int,
    often: Options,
) -> Prepared:
    flat, out_kinds = _flatten(loop, kinds)
    inner, _ = opened(flat)
    flat = split_slices(flat, dependents(inner.eqns, inner.invars[weights:]))
    flat = with_lookups(flat)
    step = Step(flat, weights, carry, **often._asdict())
    jaxpr, _ = opened(flat)
    weight_vars, carry_vars, x_vars = step.inputs()
    # What nothing reads is kept for those that check every value, and never planned.
    eqns = jaxpr.eqns
    known = [*constants(flat), *weight_vars]
    depth, at = depths(eqns, known, x_vars, carry_vars, fixed=often.budget == 0)
    rest = [eqn for eqn in eqns if depth[eqn.outvars[0]] != ONCE]
    rest = needed(light(at[ONCE]), free(rest, jaxpr.outvars)) + rest
    own = {*constants(flat), *carry_vars, *x_vars}
    entering = [v for v in free(rest, jaxpr.outvars) if v not in own]

    def once(*values: Any) -> list[Any]:
        env = constants(flat) | dict(zip(weight_vars, values, strict=True))
        evaluate(at[ONCE], env)
        return [env[v] for v in entering]

    inputs = [*entering, *carry_vars, *x_vars]
    late = lambda v: depth[v] == LOOP
    early = lambda a: not is_variable(a) or depth[a] == ONCE
    evaluate_one = functools.partial(apply_weight_on_the_right, is_weight=early)

    def program(*values: Any) -> list[Any]:
        env = constants(flat) | dict(zip(inputs, values, strict=True))
        evaluate_sums_early(rest, env, jaxpr.outvars, late, evaluate_one)
        return [read(env, a) for a in jaxpr.outvars]

    return Prepared(
        trace(once, examples(weight_vars)),
        step._replace(program=trace(program, examples(inputs)), weights=len(entering)),
        out_kinds,
    )


def _flatten(
    loop: core.ClosedJaxpr, kinds: Sequence[str | None]
) -> tuple[core.ClosedJaxpr, tuple[str | None, ...]]:
    jaxpr, _ = opened(loop)
    nested = any(eqn.primitive.name in CALLS for eqn in jaxpr.eqns)
    keys = any(map(_is_key, [*jaxpr.invars, *jaxpr.outvars]))
    if not nested and not keys:
        return loop, (None,) * len(jaxpr.outvars)
    out_kinds: list[str | None] = []

    def flat(*values: Any) -> list[Any]:
        outs = call(loop, with_keys(values, kinds), inline=CALLS)
        out_kinds[:] = [_kind(out) for out in outs]
        return [
            jax.random.key_data(out) if kind else out
            for out, kind in zip(outs, out_kinds, strict=True)
        ]

    like = examples(opened(loop)[0].invars)
    like = [
        jax.eval_shape(jax.random.key_data, e) if kind else e
        for e, kind in zip(like, kinds, strict=True)
    ]
    return trace(flat, like), tuple(out_kinds)
