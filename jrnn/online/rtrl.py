"""Real-time recurrent learning: the exact gradient, carried forward."""

import jax
import jax.numpy as jnp

from jrnn.cell import Cell
from jrnn.online import _pattern
from jrnn.online._algorithm import Algorithm, StepResult
from jrnn.online._kept import Moment, Patterns, advanced, kept, reachable, scalar


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
        >>> import jrnn
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
    def run(params, h):
        carry, y = moment.step(moment.cell.step, params, h, moment.x)
        value = scalar("rtrl", moment.loss(y))
        return (moment.vector.flatten(carry), value), (carry, y)

    h = moment.vector.flatten(moment.carry)
    (h_next, value), pull, (carry, y) = jax.vjp(run, moment.params, h, has_aux=True)
    direct, d_h = pull((jnp.zeros_like(h_next), jnp.ones_like(value)))
    past = _pattern.weighed(moment.where, d_h, influence)
    gradient = [a + b for a, b in zip(direct, past, strict=True)]
    no_loss = jnp.zeros_like(value)
    influence = advanced(moment, lambda ct: pull((ct, no_loss)), influence)
    return StepResult(carry, influence, y, value, gradient)
