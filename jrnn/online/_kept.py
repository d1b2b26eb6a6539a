"""The skeleton of algorithms that keep the influence of parameters, or parts of it.

    P_t = D_t P_{t-1} + I_t     where P is kept,
    D_t = dh_t/dh_{t-1},        I_t = dh_t/dtheta at fixed h_{t-1}

An algorithm chooses which entries of P are kept, what of D_t counts, and how a gradient
is made of P.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jrnn import _check
from jrnn._state_vector import StateVector, state_vector
from jrnn.cell import Carry, Cell, Input, Key, Params, spec
from jrnn.online import _pattern
from jrnn.online._algorithm import Algorithm, StepResult
from jrnn.online._dependence import Columns, Pattern, dependence
from jrnn.online._pattern import Layout

Leaves = list[jax.Array]


class Specs(NamedTuple):
    """The form of a cell's arguments, to be the key of a cache."""

    tree: Any
    leaves: tuple[tuple[tuple[int, ...], Any], ...]

    def unflatten(self) -> tuple[Params, Carry, Input]:
        """Specs in the form of the arguments."""
        leaves = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in self.leaves]
        return self.tree.unflatten(leaves)


class Moment(NamedTuple):
    """A step of a cell, with everything that a gradient of its loss is made of."""

    cell: Cell
    vector: StateVector
    where: Layout
    params: Leaves
    tree: Any  # of the parameters
    carry: Carry
    x: Input
    loss: Callable[..., jax.Array]
    key: Key | None

    def step(self, step: Callable, params: Leaves, h: jax.Array, x: Input) -> Any:
        """`step` as a function of vectors, up to its carry."""
        carry = self.vector.unflatten(h, self.carry)
        return step(self.tree.unflatten(params), carry, x, key=self.key)


class Patterns(NamedTuple):
    """What may differ from zero, element by element.

    Parameters that act on the same entries of the state are of one kind, K in all.
    """

    jacobian: Pattern  # (N, N) of D_t
    direct: Pattern  # (N, K) of I_t
    start: Pattern  # (N, K) of the initial carry by the parameters
    kind: np.ndarray  # (P,) of each parameter


def kept(
    name: str,
    cell: Cell,
    keep: Callable[[Patterns], Pattern],
    advance: Callable[[Moment, Leaves], StepResult],
    local: Callable[..., Any] | None = None,
) -> Algorithm:
    """An algorithm that keeps some entries of the influence.

    Args:
        name: of the algorithm, for messages.
        cell: any cell.
        keep: from what may differ from zero to what is kept of P, (N, K).
        advance: `(moment, influence) -> StepResult`, its carry, influence and gradient
            with leaves in a list.
        local: the step of which D_t and I_t are derivatives; the cell's own if None.
    """
    _check.cell(name, cell, "Online learning takes one step after the other.")

    @functools.lru_cache(maxsize=8)
    def layout_of(specs: Specs) -> Layout:
        found = patterns(cell, specs, cell.step if local is None else local)
        influence = Columns(keep(found), found.kind)
        params = jax.tree.leaves(specs.unflatten()[0])
        return _pattern.layout(found.jacobian, influence, [p.shape for p in params])

    def init(params, x, /, carry=None, *, key=None):
        leaves, tree = float_leaves(name, params)
        start = lambda leaves: cell.initial_carry(tree.unflatten(leaves), key=key)
        given = carry is not None
        like = carry if given else jax.eval_shape(start, leaves)
        vector = state_vector(like)
        where = layout_of(specs_of(params, like, x))
        if given:
            return carry, tree.unflatten(_pattern.zeros(where, leaves))

        def first(leaves):
            carry = start(leaves)
            return vector.flatten(carry), carry

        _, pull, carry = jax.vjp(first, leaves, has_aux=True)
        influence = _pattern.pulled(where, lambda ct: pull(ct)[0], vector.dtype)
        return carry, tree.unflatten(influence)

    def step(params, carry, influence, x, loss, /, *, key=None):
        leaves, tree = float_leaves(name, params)
        where = layout_of(specs_of(params, carry, x))
        before = checked(name, where, influence, params)
        vector = state_vector(carry)
        moment = Moment(cell, vector, where, leaves, tree, carry, x, loss, key)
        made = advance(moment, before)
        return made._replace(
            influence=tree.unflatten(made.influence),
            gradient=tree.unflatten(made.gradient),
        )

    return Algorithm(init, step)


def float_leaves(name: str, params: Params) -> tuple[Leaves, Any]:
    """The arrays of parameters in a list, and their tree."""
    leaves, tree = jax.tree.flatten(params)
    for leaf in leaves:
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{name}: params must consist of real floating-point arrays, got "
                f"{dtype}. Keep in the carry or the cell what is not learned."
            )
    return [jnp.asarray(leaf) for leaf in leaves], tree


def scalar(name: str, value: jax.Array) -> jax.Array:
    """The value of a loss, or an error where it is none."""
    if jnp.shape(value) != ():
        raise ValueError(
            f"{name}: loss must return a scalar, got shape {jnp.shape(value)}. It is "
            "the loss of one step, a function of that step's output."
        )
    return value


def checked(name: str, where: Layout, influence: Any, params: Params) -> Leaves:
    """The leaves of an influence, or an error where it is that of something else."""
    like = jax.eval_shape(lambda p: _pattern.zeros(where, jax.tree.leaves(p)), params)
    expected = [a.shape for a in like]
    same = jax.tree.structure(influence) == jax.tree.structure(params)
    got = [jnp.shape(a) for a in jax.tree.leaves(influence)]
    if not same or got != expected:
        raise ValueError(
            f"{name}: influence must have leaves of shapes {expected}, got {got}. It "
            "comes from init(params, x) or an earlier step of the same algorithm."
        )
    return jax.tree.leaves(influence)


def specs_of(params: Params, carry: Carry, x: Input) -> Specs:
    """The form of the arguments."""
    leaves, tree = jax.tree.flatten(spec((params, carry, x)))
    return Specs(tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))


def patterns(cell: Cell, specs: Specs, step: Callable) -> Patterns:
    """What may differ from zero, from the programs of a step and of the initial carry.

    All are given a key: whether one is used makes no difference to a pattern.
    """
    params, carry, x = specs.unflatten()
    vector = state_vector(carry)
    leaves, tree = jax.tree.flatten(params)
    fixed, fixed_tree = jax.tree.flatten((carry, x, jax.random.key(0)))

    def of_step(*args):
        carry, x, key = fixed_tree.unflatten(args[len(leaves) + 1 :])
        carry = vector.unflatten(args[0], carry)
        params = tree.unflatten(args[1 : len(leaves) + 1])
        return [vector.flatten(step(params, carry, x, key=key)[0])]

    h = jax.ShapeDtypeStruct((vector.size,), vector.dtype)
    found = dependence(of_step, [h, *leaves], fixed)
    jacobian = found.different[:, found.kind[: vector.size]]
    direct = found.kind[vector.size :]
    if cell.initial_carry is None:
        start = Columns(sparse.csr_matrix((vector.size, 1), dtype=bool), 0 * direct)
    else:
        start = start_pattern(cell, params, vector)
    pairs, kind = np.unique([direct, start.kind], axis=1, return_inverse=True)
    return Patterns(
        jacobian,
        found.different[:, pairs[0]],
        start.different[:, pairs[1]],
        kind.ravel(),
    )


def start_pattern(cell: Cell, params: Params, vector: StateVector) -> Columns:
    """Where the initial carry depends on the parameters, (N, P)."""
    leaves, tree = jax.tree.flatten(spec(params))

    def of_start(*args):
        *leaves, key = args
        return [vector.flatten(cell.initial_carry(tree.unflatten(leaves), key=key))]

    return dependence(of_start, leaves, [jax.random.key(0)])


def reachable(jacobian: Pattern) -> Pattern:
    """Where a product of any number of Jacobians may differ from zero, (N, N)."""
    reach = jacobian.toarray() | np.eye(jacobian.shape[0], dtype=bool)
    while True:
        further = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
        if (further == reach).all():
            return sparse.csr_matrix(reach)
        reach = further


def advanced(
    moment: Moment, pull: Callable[..., tuple], influence: Sequence[jax.Array]
) -> Leaves:
    """P_t = D_t P_{t-1} + I_t, where it is kept.

    Args:
        moment: the step.
        pull: from a cotangent of h_t to those of `(params, h_{t-1})`.
        influence: P_{t-1}.
    """
    where, dtype = moment.where, moment.vector.dtype
    direct = _pattern.pulled(where, lambda ct: pull(ct)[0], dtype)
    if not len(where.seeds):
        return direct
    jacobian = jax.vmap(lambda ct: pull(ct)[1])(jnp.asarray(where.seeds, dtype))
    through = _pattern.pushed(where, jacobian, influence)
    return [a + b for a, b in zip(through, direct, strict=True)]
