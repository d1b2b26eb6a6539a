"""What a step does to its token alone, done once for each token that there is.

In generation the token comes out of the loop, so nothing that depends on it can be done
ahead of the loop for all steps. But there are only V tokens: what depends on the token
and not on the carry, such as the product of its embedding with the input weights, is a
table of V rows, and the loop looks its row up.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

from jrnn._programs.program import (
    Equation,
    constants,
    dependents,
    evaluate,
    jaxpr_of,
    read,
    trace,
    type_of,
    variables,
)

# A table this large is not worth its memory; 256 tokens and an LSTM of 1024 units fit
MAX_ENTRIES = 2**20


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
    program = trace(leaves, [*flat, tokens[0]])
    jaxpr, env = jaxpr_of(program), constants(program)
    fixed, per_token, in_loop = _sort(jaxpr)
    made = {v for eqn in per_token for v in eqn.outvars}
    used = [a for eqn in in_loop for a in eqn.invars] + list(jaxpr.outvars)
    crossing = [v for v in variables(used) if v in made]
    entries = len(tokens) * sum(type_of(v).size for v in crossing)
    if not crossing or entries > MAX_ENTRIES or jaxpr.effects:
        return None
    evaluate(fixed, env)
    *carry_vars, token_var = jaxpr.invars

    def row(token):
        values = env | {token_var: token}
        evaluate(per_token, values)
        return [values[v] for v in crossing]

    table = jax.vmap(row)(tokens)
    out = jax.tree.structure(jax.eval_shape(step, carry, tokens[0]))

    def look_up(carry, index):
        values = env | dict(zip(carry_vars, jax.tree.leaves(carry), strict=True))
        values[token_var] = tokens[index]
        values.update(zip(crossing, [rows[index] for rows in table], strict=True))
        evaluate(in_loop, values)
        return out.unflatten([read(values, atom) for atom in jaxpr.outvars])

    return look_up


def _sort(jaxpr: core.Jaxpr) -> tuple[list[Equation], list[Equation], list[Equation]]:
    """Equations that depend on neither, on the token alone, and on the carry."""
    *carry, token = jaxpr.invars
    of_carry, of_token = (dependents(jaxpr.eqns, v) for v in (carry, [token]))
    reads = lambda eqn, sources: not sources.isdisjoint(variables(eqn.invars))
    in_loop = [eqn for eqn in jaxpr.eqns if reads(eqn, of_carry)]
    rest = [eqn for eqn in jaxpr.eqns if not reads(eqn, of_carry)]
    per_token = [eqn for eqn in rest if reads(eqn, of_token)]
    return [eqn for eqn in rest if not reads(eqn, of_token)], per_token, in_loop
