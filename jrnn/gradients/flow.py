"""`gradient_flow`: the derivative of a loss with respect to the state at every step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._programs import program
from jrnn.cell import Carry, Cell, Input, Key, Output, Params
from jrnn.gradients._flat import scaled
from jrnn.unroll import unroll


class GradientFlow(NamedTuple):
    """The gradient of a loss on its way back through the states."""

    loss: jax.Array  # ()
    norms: Carry  # a carry whose every leaf is (T,): norm of dL/d leaf_t
    vectors: Carry | None  # a carry whose every leaf is (T, ...): dL/d leaf_t


def gradient_flow(
    cell: Cell,
    params: Params,
    xs: Input,
    loss: Callable[[Output], jax.Array],
    carry: Carry | None = None,
    *,
    key: Key | None = None,
    vectors: bool = False,
) -> GradientFlow:
    """Norms of dL/dh_t for every step t, in one backward pass.

        norms[t] = || dL / d carry_t ||,   carry_t what step t returns,  t = 0 .. T-1

    Every field of the carry is seen by itself: h and c of an LSTM, each layer of a
    stack. The derivative is the total one of the textbooks: a change of h_t acts on
    the output of step t, on the layers above and on all later steps, and a change of
    the LSTM's c_t acts on h_t too. (A path from h_t to y_t counts where a step computes
    y_t from the very value that it returns as carry, as all cells here do. `masked`
    returns a choice of two values, which only later steps read.)

    Computed as the gradient with respect to zeros added to every state. Gradients
    smaller than the smallest float are zero here; `lag_jacobians` has no such limit.

    Args:
        cell: any cell.
        params: its parameters.
        xs: inputs `(T, ...)`.
        loss: from the outputs `ys` `(T, ...)` to a scalar.
        carry: state before the first step; `cell.initial_carry(params)` if None.
        key: for cells that need randomness.
        vectors: return the derivatives themselves too, not only their norms.

    Returns:
        `GradientFlow(loss, norms, vectors)`. `norms` and `vectors` have the structure
        of the carry, with leaves `(T,)` and `(T, ...)`; fields that are not
        floating-point are None.

    Raises:
        ValueError: the loss is not a scalar; the leaves of `xs` disagree about T.

    Example:
        >>> import jrnn
        >>> cell = jrnn.elman(4, w_h_init=jrnn.initializers.orthogonal(0.5))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> flow = gradient_flow(cell, params, jnp.zeros((9, 3)), lambda ys: ys[-1, 0])
        >>> jnp.round(flow.norms[-4:], 4).tolist()  # each step back halves it
        [0.125, 0.25, 0.5, 1.0]

    References:
        Werbos (1990), Backpropagation through time: what it does and how to do it,
        doi:10.1109/5.58337.
        Goodfellow, Bengio, Courville (2016), Deep Learning, section 10.2.2.
    """
    value, gradients = state_gradients(
        "gradient_flow", cell, params, xs, loss, carry, key=key, independent=False
    )
    log_norms = jax.tree.map(jax.vmap(lambda g: scaled(g)[1]), gradients)
    norms = jax.tree.map(jnp.exp, log_norms)
    return GradientFlow(value, norms, gradients if vectors else None)


def state_gradients(
    name: str,
    cell: Cell,
    params: Params,
    xs: Input,
    loss: Callable[[Output], jax.Array],
    carry: Carry | None,
    *,
    key: Key | None = None,
    independent: bool,
) -> tuple[jax.Array, Carry]:
    """The loss and dL/d carry_t; `independent` holds the other fields of carry_t."""
    _check.cell(name, cell, "Analyse a cell in it, with the inputs that it gets.")
    num_steps = _check.num_steps(name, xs)
    if carry is None:
        like = jax.eval_shape(lambda p, k: cell.initial_carry(p, key=k), params, key)
    else:
        like = carry
    probes = jax.tree.map(lambda leaf: _probe(leaf, num_steps), like)
    probed = probed_cell(cell, independent=independent)

    def run(probes):
        value = loss(unroll(probed, params, (xs, probes), carry, key=key)[1])
        if jnp.shape(value) != ():
            raise ValueError(
                f"{name}: loss must return a scalar, got shape {jnp.shape(value)}."
            )
        return value

    return jax.value_and_grad(run)(probes)


def _probe(leaf: Any, num_steps: int) -> jax.Array | None:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return None
    return jnp.zeros((num_steps, *leaf.shape), leaf.dtype)


def probed_cell(cell: Cell, *, independent: bool) -> Cell:
    """A cell with input `(x, probe)` that adds the probe to the carry of the step.

    The probe has to reach the output as well, and all that the step computes from its
    new carry, which only the step itself knows; so it is added in the step's program,
    to the variable that is the new carry.
    """

    def step(params, carry, x, *, key=None):
        x, probe = x
        args, args_tree = jax.tree.flatten((params, carry, x, key))
        run = lambda *flat: _run(cell, *args_tree.unflatten(flat))
        traced = program.trace(lambda *flat: jax.tree.leaves(run(*flat)), args)
        # None marks a field without a probe
        probes = jax.tree.leaves(probe, is_leaf=lambda leaf: leaf is None)
        evaluate = _independent if independent else _total
        outs = evaluate(traced, args, probes)
        return jax.tree.structure(jax.eval_shape(run, *args)).unflatten(outs)

    return cell._replace(step=step)


def _run(cell, params, carry, x, key):
    return cell.step(params, carry, x, key=key)


def _total(traced: Any, args: list, probes: list) -> list:
    """Evaluate a step; whatever reads a new carry reads it with its probe."""
    jaxpr = program.jaxpr_of(traced)
    env = program.constants(traced) | dict(zip(jaxpr.invars, args, strict=True))
    added = _made_here(jaxpr, probes)
    for eqn in jaxpr.eqns:
        values = [program.read(env, atom) for atom in eqn.invars]
        for var, value in zip(eqn.outvars, program.apply(eqn, values), strict=True):
            env[var] = sum(added.get(var, ()), start=value)
    outs = [program.read(env, atom) for atom in jaxpr.outvars]
    return _add_to_rest(outs, jaxpr, probes, added)


def _independent(traced: Any, args: list, probes: list) -> list:
    """Evaluate a step; only the output reads the new carry with its probe."""
    jaxpr = program.jaxpr_of(traced)
    env = program.constants(traced) | dict(zip(jaxpr.invars, args, strict=True))
    inputs = dict(env)
    program.evaluate(jaxpr.eqns, env)
    added = _made_here(jaxpr, probes)
    carry = {var: sum(added[var], start=env[var]) for var in added}
    again = program.backward_slice(jaxpr.eqns, jaxpr.outvars[len(probes) :], carry)
    env = env | inputs | carry
    program.evaluate(again, env)
    outs = [program.read(env | carry, atom) for atom in jaxpr.outvars]
    return _add_to_rest(outs, jaxpr, probes, added)


def _made_here(jaxpr: Any, probes: list) -> dict:
    """The probes of each new carry that the step computes, by variable."""
    made = {var for eqn in jaxpr.eqns for var in eqn.outvars}
    added = {}
    for atom, probe in zip(jaxpr.outvars[: len(probes)], probes, strict=True):
        if probe is not None and program.is_variable(atom) and atom in made:
            added[atom] = [*added.get(atom, ()), probe]
    return added


def _add_to_rest(outs: list, jaxpr: Any, probes: list, added: dict) -> list:
    """A carry that is passed on, or a constant, gets its probe when it leaves."""
    for n, (atom, probe) in enumerate(
        zip(jaxpr.outvars[: len(probes)], probes, strict=True)
    ):
        if probe is not None and not (program.is_variable(atom) and atom in added):
            outs[n] = outs[n] + probe
    return outs
