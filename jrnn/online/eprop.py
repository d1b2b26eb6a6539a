"""e-prop: eligibility traces of each unit times what the loss says to it now."""

import jax
from scipy import sparse

from jrnn.cell import Cell
from jrnn.online import _pattern
from jrnn.online._algorithm import Algorithm, StepResult
from jrnn.online._kept import Moment, Patterns, advanced, kept, reachable, scalar
from jrnn.online._step import evaluate, local, local_step, spatial, step_program


def eprop(cell: Cell) -> Algorithm:
    """Eligibility propagation (e-prop), for any cell that keeps a state by itself.

        eps_t = D_t eps_{t-1} + I_t       the eligibility vector of a parameter
        g_t   = dL_t/dtheta through step t + (dL_t/dh_{t-1}) eps_{t-1}

    D_t is what of dh_t/dh_{t-1} stays within a unit, and I_t what of dh_t/dtheta acts
    on a unit itself: wherever a step mixes units, as the products with the recurrent
    weights do, its states are held constant. dL_t/dh_{t-1} has the same paths up to the
    new state, and from there all those of step t to the loss, through layers above too.

    What a unit keeps by itself, and so the trace that remains:

        lstm         eps_t = f_t eps_{t-1} + dc_t/dtheta           of c; h has none
        gru          eps_t = z_t eps_{t-1} + dh_t/dtheta
        leaky        eps_t = (1 - dt/tau) eps_{t-1} + dh_t/dtheta
        indrnn, lru  eps_t = D_t eps_{t-1} + dh_t/dtheta           exact
        elman        none: the gradient of each step alone

    For the LSTM this is g_t = L_t e_t of the paper, with the learning signal L_t =
    dL_t/dh_t of its symmetric form (the same weights back as forth; not random ones).
    It is exact where the recurrent weights are zero. Memory and time are those of the
    parameters: `(C, ...)` for each array of them, C at most the number of fields of the
    carry that a unit keeps; of a readout nothing.

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
        >>> for cell in jrnn.lstm(4), jrnn.elman(4):
        ...     params = cell.init(jax.random.key(0), jnp.zeros(2))
        ...     _, trace = online.eprop(cell).init(params, jnp.zeros(2))
        ...     print(trace.w_h.shape)
        (1, 4, 16)
        (0, 4, 4)

    References:
        Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein, Maass (2020), A solution
        to the learning dilemma for recurrent networks of spiking neurons,
        doi:10.1038/s41467-020-17236-y, equations 1, 13 and 14.
        Murray (2019), Local online learning in recurrent networks with random feedback,
        doi:10.7554/eLife.43299 (of a leaky unit).
    """

    def keep(found: Patterns):
        reached = reachable(found.jacobian) @ (found.direct + found.start)
        # what no later step reads by itself needs no trace
        read = sparse.diags_array(found.jacobian.toarray().any(axis=0), dtype=bool)
        return sparse.csr_matrix(read @ reached, dtype=bool)

    return kept("eprop", cell, keep, _advance, local_step(cell))


def _advance(moment: Moment, influence: list[jax.Array]) -> StepResult:
    vector, tree = moment.vector, moment.tree
    params, h = moment.params, vector.flatten(moment.carry)
    made = step_program(
        moment.cell, tree.unflatten(params), moment.carry, moment.x, moment.key
    )

    def step(params, h, cut=None):
        carry = vector.unflatten(h, moment.carry)
        return evaluate(made, tree.unflatten(params), carry, cut)

    def of_loss(params):
        carry, y = step(params, h)
        return scalar("eprop", moment.loss(y)), (carry, y)

    cut_for_loss, cut_for_state = spatial(made), local(made)
    of_old_state = lambda h: moment.loss(step(params, h, cut_for_loss)[1])
    of_state = lambda params, h: vector.flatten(step(params, h, cut_for_state)[0])
    (value, (carry, y)), direct = jax.value_and_grad(of_loss, has_aux=True)(params)
    past = _pattern.weighed(moment.where, jax.grad(of_old_state)(h), influence)
    gradient = [a + b for a, b in zip(direct, past, strict=True)]
    _, pull = jax.vjp(of_state, params, h)
    influence = advanced(moment, pull, influence)
    return StepResult(carry, influence, y, value, gradient)
