"""Real-time recurrent learning: the exact gradient, carried forward."""

import jax

from jrnn.cell import Cell
from jrnn.online import _pattern
from jrnn.online._algorithm import Algorithm, StepResult
from jrnn.online._kept import Moment, Patterns, advanced, kept, reachable, scalar
from jrnn.online._step import evaluate, step_program


def rtrl(cell: Cell) -> Algorithm:
    """Real-time recurrent learning (RTRL), exact for any cell.

        P_t = D_t P_{t-1} + I_t,   D_t = dh_t/dh_{t-1},   I_t = dh_t/dtheta at h_{t-1}
        g_t = dL_t/dtheta + dL_t/dh_{t-1} P_{t-1}         both through step t only

    P is the derivative of the state h, all fields of the carry as one vector (N,), by
    the parameters theta (P,). The sum of g_t is what backpropagation through time gives
    for the whole sequence, but is known at every step, and memory does not grow with
    their number. Parameters may change on the way: P is then that of those it was made
    with.

    Entries of P that are zero whatever the values are not kept; which these are is read
    from the program of a step. Of a parameter that does not reach the state, such as a
    readout's, nothing is kept; of a `diagonal` cell, or another that has a diagonal
    Jacobian such as `indrnn`, at most as much as there are parameters (twice that where
    states are complex): the influence is then computed element by element, and exact
    learning is as cheap as a backward pass.

    Memory is N P numbers and time N^2 P operations a step for a cell that mixes its
    state, such as an Elman network of N units: N^3 and N^4. Of a diagonal cell both are
    a small multiple of P.

    The influence has the tree of the parameters, with leaves `(C, ...)`: dh_c/dtheta in
    row c where C is N; with fewer rows, each holds entries that share no parameter.

    Args:
        cell: any cell, with randomness too.

    Returns:
        An `Algorithm`.

    Raises:
        TypeError: `cell` is none; parameters that are not real floating-point arrays.
        ValueError: the loss is not a scalar; an influence of another form.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> from jrnn import online
        >>> cell = jrnn.stack(jrnn.elman(4), jrnn.linear(1))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(2))
        >>> algorithm = online.rtrl(cell)
        >>> carry, influence = algorithm.init(params, jnp.zeros(2))
        >>> influence[0].w_h.shape, influence[1].w.shape  # of the readout nothing
        ((4, 4, 4), (0, 4, 1))
        >>> found = algorithm.step(
        ...     params, carry, influence, jnp.ones(2), lambda y: jnp.square(y[0]))
        >>> found.gradient[0].w_h.shape, found.loss.shape
        ((4, 4), ())

    References:
        Williams, Zipser (1989), A learning algorithm for continually running fully
        recurrent neural networks, doi:10.1162/neco.1989.1.2.270.
        Zucchet, Meier, Schug, Mujika, Sacramento (2023), Online learning of long-range
        dependencies, arXiv:2305.15947, section 3 (diagonal cells).
    """

    def keep(found: Patterns):
        return (reachable(found.jacobian) @ (found.direct + found.start)).astype(bool)

    return kept("rtrl", cell, keep, _advance)


def _advance(moment: Moment, influence: list[jax.Array]) -> StepResult:
    vector, tree = moment.vector, moment.tree
    params, h = moment.params, vector.flatten(moment.carry)
    made = step_program(
        moment.cell, tree.unflatten(params), moment.carry, moment.x, moment.key
    )

    def step(params, h):
        carry = vector.unflatten(h, moment.carry)
        return evaluate(made, tree.unflatten(params), carry)

    def of_state(params, h):
        carry, _ = step(params, h)
        return vector.flatten(carry), carry

    def of_loss(params, h):
        _, y = step(params, h)
        return scalar("rtrl", moment.loss(y)), y

    # not one derivative of both: of a batch of LRUs in float32 that program, with zeros
    # for the cotangent of the loss, ended jaxlib 0.10.2 on CPUs by a segmentation fault
    (value, y), (direct, d_h) = jax.value_and_grad(of_loss, (0, 1), has_aux=True)(
        params, h
    )
    past = _pattern.weighed(moment.where, d_h, influence)
    gradient = [a + b for a, b in zip(direct, past, strict=True)]
    _, pull, carry = jax.vjp(of_state, params, h, has_aux=True)
    influence = advanced(moment, pull, influence)
    return StepResult(carry, influence, y, value, gradient)
