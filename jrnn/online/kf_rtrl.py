"""Kronecker-factored RTRL: the influence of each layer as one random product."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._programs.program import type_of
from jrnn._state_vector import state_vector
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.online._algorithm import Algorithm, StepResult
from jrnn.online._kept import float_leaves, scalar, start_pattern
from jrnn.online._noise import keys_of_step, norm, ratio, signs
from jrnn.online._step import StepProgram, evaluate, nudged, step_program
from jrnn.online._sums import UnfactoredError, WeightedSum, sums


class KFInfluence(NamedTuple):
    """Kronecker factors whose product is the influence on average."""

    inputs: Params  # u, (I,) of weights (I, M), () of biases, (0,) where it is none
    matrices: tuple[jax.Array, ...]  # A (N, M) of each sum of parameters


def kf_rtrl(cell: Cell) -> Algorithm:
    """Kronecker-factored real-time recurrent learning (KF-RTRL): right on average.

        P_t = D_t P_{t-1} + v_t (x) E_t       v_t = [x_t, h_{t-1}, 1],  E_t = dh_t/dz_t
        u_t = c_1 p_1 u_{t-1} + c_2 p_2 v_t                   c in {-1, 1} at random
        A_t = c_1 D_t A_{t-1} / p_1 + c_2 E_t / p_2
        g_t = dL_t/dtheta + u_{t-1} (x) (dL_t/dh_{t-1} A_{t-1})   through step t only
        p_1^2 = |D_t A_{t-1}| / |u_{t-1}|,   p_2^2 = |E_t| / |v_t|

    (x) is the Kronecker product, and D_t = dh_t/dh_{t-1}. The weights of a layer act on
    the state through a sum z_t = v_t w of M numbers, so that what a step adds to the
    influence of real-time recurrent learning is one product; the mean of u_t (x) A_t
    over all signs is the influence. The gradient is right on average while the
    parameters stay the same, and its noise is smaller than that of `uoro`.

    Memory is N M numbers and time N^2 M operations a step: N^2 and N^3 of an Elman
    network of N units. Where a cell has several sums, such as a GRU, whose z from the
    input and from the state act apart, or a stack of layers, each has its own factors
    and signs. Parameters that do not reach the state, such as a readout's, need none.

    Where a norm is zero its factor is 1 (the paper adds a small number to the norms).

    Args:
        cell: one whose parameters reach the state only as weights of products with
            vectors and as biases added to them, each of them once in a step: `elman`,
            `gru`, `lstm`, stacks of them; with randomness too.

    Returns:
        An `Algorithm`, whose `step` needs a key: for the signs, and for the cell. The
        influence is `KFInfluence(inputs, matrices)`.

    Raises:
        TypeError: `cell` is none; parameters that are not real floating-point arrays.
        ValueError: parameters that reach the state in another way, such as those of
            `indrnn` or `lru`; no key; the loss is not a scalar; an influence of another
            form.

    Example:
        >>> import jrnn
        >>> from jrnn import online
        >>> cell = jrnn.stack(jrnn.lstm(4), jrnn.linear(1))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(2))
        >>> algorithm = online.kf_rtrl(cell)
        >>> carry, influence = algorithm.init(params, jnp.zeros(2))
        >>> influence.inputs[0].w_h.shape, influence.matrices[0].shape  # h and c
        ((4,), (8, 16))

    References:
        Mujika, Meier, Steger (2018), Approximating real-time recurrent learning with
        random Kronecker factors, arXiv:1805.10842.
    """
    _check.cell("kf_rtrl", cell, "Online learning takes one step after the other.")

    def init(params, x, /, carry=None, *, key=None):
        float_leaves("kf_rtrl", params)
        start = partial(cell.initial_carry, key=key)
        if carry is None:
            vector = state_vector(jax.eval_shape(start, params))
            if start_pattern(cell, params, vector).different.nnz:
                raise ValueError(
                    "kf_rtrl: the initial carry of this cell depends on its "
                    "parameters, which is no product of a vector with weights. Give "
                    "init a carry, which counts as a constant, or use rtrl or uoro."
                )
            carry = start(params)
        form = jax.eval_shape(partial(_zeros, cell), params, carry, x)
        return carry, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), form)

    def step(params, carry, influence, x, loss, /, *, key=None):
        sign_key, own_key = keys_of_step("kf_rtrl", key)
        leaves, tree = float_leaves("kf_rtrl", params)
        _checked(influence, jax.eval_shape(partial(_zeros, cell), params, carry, x))
        made = step_program(cell, params, carry, x, own_key)
        vector = state_vector(carry)

        def of_loss(leaves, h):
            state = vector.unflatten(h, carry)
            new, y = evaluate(made, tree.unflatten(leaves), state)
            return scalar("kf_rtrl", loss(y)), (new, y)

        (value, (new, y)), (direct, d_h) = jax.value_and_grad(
            of_loss, (0, 1), has_aux=True
        )(leaves, vector.flatten(carry))
        past = _weighed(_sums_of(made, params), d_h, influence)
        gradient = [g + past.get(n, 0) for n, g in enumerate(direct)]
        moved = _advanced(made, params, carry, influence, sign_key)
        return StepResult(new, moved, y, value, tree.unflatten(gradient))

    return Algorithm(init, step)


def _sums_of(made: StepProgram, params: Params) -> list[WeightedSum]:
    """The sums of a step, or an error that says which parameters are in none."""
    try:
        return sums(made)
    except UnfactoredError as error:
        path, _ = jax.tree_util.tree_leaves_with_path(params)[error.leaf]
        name = f"params{jax.tree_util.keystr(path)}"
        got = ", ".join(error.operations) or "no operation"
        raise ValueError(
            f"kf_rtrl: {name} must reach the state by one product with a vector, or as "
            f"a bias added to one, got {got}. Take uoro, which is right on average for "
            "any cell, or rtrl."
        ) from None


def _zeros(cell: Cell, params: Params, carry: Carry, x: Input) -> KFInfluence:
    """An influence of nothing."""
    made = step_program(cell, params, carry, x, jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    us = [jnp.zeros(0, w.dtype) for w in leaves]
    vector, matrices = state_vector(carry), []
    for s in _sums_of(made, params):
        matrices.append(jnp.zeros((vector.size, *type_of(s.z).shape), vector.dtype))
        for t in s.terms:
            shape = () if t.vector is None else (leaves[t.leaf].shape[t.axis],)
            us[t.leaf] = jnp.zeros(shape, leaves[t.leaf].dtype)
    return KFInfluence(tree.unflatten(us), tuple(matrices))


def _checked(influence: KFInfluence, like: KFInfluence) -> None:
    """An error where an influence is that of something else."""
    shapes = lambda tree: [jnp.shape(a) for a in jax.tree.leaves(tree)]
    if jax.tree.structure(influence) != jax.tree.structure(like) or (
        shapes(influence) != shapes(like)
    ):
        raise ValueError(
            f"kf_rtrl: influence must have leaves of shapes {shapes(like)}, got "
            f"{shapes(influence)}. It comes from init(params, x) or an earlier step of "
            "the same algorithm."
        )


def _weighed(
    found: list[WeightedSum], d_h, influence: KFInfluence
) -> dict[int, jax.Array]:
    """dL_t/dh_{t-1} times the influence, by array of parameters."""
    us = jax.tree.leaves(influence.inputs)
    past = {}
    for s, a in zip(found, influence.matrices, strict=True):
        d_z = jnp.tensordot(d_h, a, 1)
        for t in s.terms:
            u, d = us[t.leaf], d_z.astype(us[t.leaf].dtype)
            if t.vector is not None:  # u along the axis of v, d along the other one
                u, d = jnp.expand_dims(u, 1 - t.axis), jnp.expand_dims(d, t.axis)
            past[t.leaf] = u * d
    return past


def _advanced(
    made: StepProgram, params: Params, carry: Carry, influence: KFInfluence, key
) -> KFInfluence:
    """The factors after a step."""
    vector, found = state_vector(carry), _sums_of(made, params)
    vectors = [t.vector for s in found for t in s.terms if t.vector is not None]

    def of_state(h, nudges):
        by_sum = dict(zip([s.z for s in found], nudges, strict=True))
        state = vector.unflatten(h, carry)
        new, values = nudged(made, params, state, by_sum, vectors)
        return vector.flatten(new), values

    zeros = [jnp.zeros(type_of(s.z).shape, type_of(s.z).dtype) for s in found]
    _, pull, values = jax.vjp(of_state, vector.flatten(carry), zeros, has_aux=True)
    jacobian, direct = jax.vmap(pull)(jnp.eye(vector.size, dtype=vector.dtype))
    us, tree = jax.tree.flatten(influence.inputs)
    values, matrices = iter(values), []
    for n, (s, a, e) in enumerate(zip(found, influence.matrices, direct, strict=True)):
        old = [us[t.leaf] for t in s.terms]
        new = [
            jnp.ones_like(us[t.leaf]) if t.vector is None else next(values)
            for t in s.terms
        ]
        moved, e = jnp.tensordot(jacobian, a, 1), e.astype(a.dtype)
        made_us, matrix = _joined(old, new, moved, e, jax.random.fold_in(key, n))
        matrices.append(matrix)
        for t, u in zip(s.terms, made_us, strict=True):
            us[t.leaf] = u
    return KFInfluence(tree.unflatten(us), tuple(matrices))


def _joined(old, new, moved, e, key):
    """u_t and A_t from u_{t-1}, v_t, D_t A_{t-1} and E_t, each u and v in parts."""
    c_1, c_2 = signs(key, jnp.zeros(2, e.dtype))
    size = lambda tree: norm(tree, e.dtype)
    p_1 = c_1 * ratio(size(moved), size(old))
    p_2 = c_2 * ratio(size(e), size(new))
    add = lambda u, v: p_1.astype(u.dtype) * u + p_2.astype(u.dtype) * v.astype(u.dtype)
    return [add(u, v) for u, v in zip(old, new, strict=True)], moved / p_1 + e / p_2
