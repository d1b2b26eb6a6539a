"""What a step does to its token alone, done once for each token that there is.

In generation the token comes out of the loop, so nothing that depends on it can be done
ahead of the loop for all steps. But there are only V tokens: what depends on the token
and not on the carry, such as the product of its embedding with the input weights, is a
table of V rows, and the loop looks its row up.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.extend import core

# A table this large is not worth its memory; 256 tokens and an LSTM of 1024 units fit
MAX_ENTRIES = 2**20

_CALLS = {"jit", "pjit", "closed_call", "core_call"}


def with_token_table(step: Callable, carry: Any, tokens: jax.Array) -> Callable | None:
    """Give a step that looks up what the token alone decides.

    Args:
        step: `(carry, token) -> out`, pytrees.
        carry: an example.
        tokens: all there are, integers (V,).

    Returns:
        `(carry, index) -> out`, equal to `step(carry, tokens[index])` up to rounding,
        or None where there is nothing to look up, the table would be large, or the step
        has side effects.

    Example:
        >>> import jax.numpy as jnp
        >>> w = jnp.arange(6.0).reshape(3, 2)
        >>> step = lambda carry, token: carry + jax.nn.one_hot(token, 3) @ w
        >>> fast = with_token_table(step, jnp.zeros(2), jnp.arange(3))
        >>> fast(jnp.ones(2), 2).tolist()
        [5.0, 6.0]
    """
    flat, tree = jax.tree.flatten(carry)
    leaves = lambda *args: jax.tree.leaves(step(tree.unflatten(args[:-1]), args[-1]))
    nested = jax.make_jaxpr(leaves)(*flat, tokens[0])
    program = jax.make_jaxpr(lambda *args: _call(nested, args))(*flat, tokens[0])
    jaxpr, env = program.jaxpr, _constants(program)
    fixed, per_token, in_loop = _sort(jaxpr)
    made = {v for eqn in per_token for v in eqn.outvars}
    used = [a for eqn in in_loop for a in eqn.invars] + list(jaxpr.outvars)
    crossing = [v for v in dict.fromkeys(_variables(used)) if v in made]
    entries = len(tokens) * sum(v.aval.size for v in crossing)
    if not crossing or entries > MAX_ENTRIES or jaxpr.effects:
        return None
    _evaluate(fixed, env)
    *carry_vars, token_var = jaxpr.invars

    def row(token):
        values = env | {token_var: token}
        _evaluate(per_token, values)
        return [values[v] for v in crossing]

    table = jax.vmap(row)(tokens)
    out = jax.tree.structure(jax.eval_shape(step, carry, tokens[0]))

    def look_up(carry, index):
        values = env | dict(zip(carry_vars, jax.tree.leaves(carry), strict=True))
        values[token_var] = tokens[index]
        values.update(zip(crossing, [rows[index] for rows in table], strict=True))
        _evaluate(in_loop, values)
        return out.unflatten([_read(values, atom) for atom in jaxpr.outvars])

    return look_up


def _sort(jaxpr: core.Jaxpr) -> tuple[list, list, list]:
    """Equations that depend on neither, on the token alone, and on the carry."""
    *carry_vars, token_var = jaxpr.invars
    of_carry, of_token = set(carry_vars), {token_var}
    fixed, per_token, in_loop = [], [], []
    for eqn in jaxpr.eqns:
        inputs = set(_variables(eqn.invars))
        if inputs & of_carry:
            in_loop.append(eqn)
            of_carry.update(eqn.outvars)
        elif inputs & of_token:
            per_token.append(eqn)
            of_token.update(eqn.outvars)
        else:
            fixed.append(eqn)
    return fixed, per_token, in_loop


def _call(program: core.ClosedJaxpr, args: Iterable[Any]) -> list[Any]:
    """Evaluate a program, nested jits and all."""
    values = _constants(program) | dict(zip(program.jaxpr.invars, args, strict=True))
    _evaluate(program.jaxpr.eqns, values)
    return [_read(values, atom) for atom in program.jaxpr.outvars]


def _evaluate(eqns: Iterable[core.JaxprEqn], values: dict) -> None:
    for eqn in eqns:
        inputs = [_read(values, atom) for atom in eqn.invars]
        if eqn.primitive.name in _CALLS:
            inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
            results = _call(inner, inputs)
        else:
            params = eqn.primitive.get_bind_params(eqn.params)
            results = eqn.primitive.bind(*inputs, **params)
            results = results if eqn.primitive.multiple_results else [results]
        values.update(zip(eqn.outvars, results, strict=True))


def _constants(program: core.ClosedJaxpr) -> dict:
    return dict(zip(program.jaxpr.constvars, program.consts, strict=True))


def _variables(atoms: Iterable) -> list[core.Var]:
    return [atom for atom in atoms if isinstance(atom, core.Var)]


def _read(values: dict, atom) -> Any:
    return atom.val if isinstance(atom, core.Literal) else values[atom]
