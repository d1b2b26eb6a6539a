"""Sparse n-step approximation: only influences that arise within n steps are kept."""

import jax

from jrnn import _check
from jrnn.cell import Cell
from jrnn.online import _pattern
from jrnn.online._algorithm import Algorithm, StepResult
from jrnn.online._kept import Moment, Patterns, advanced, kept, scalar
from jrnn.online._step import evaluate, output, step_program


def snap(cell: Cell, order: int = 1) -> Algorithm:
    """Sparse n-step approximation of real-time recurrent learning (SnAp-n).

        P_t = mask * (D_t P_{t-1} + I_t),   D_t = dh_t/dh_{t-1},   I_t = dh_t/dtheta
        g_t = dL_t/dtheta at fixed h_t + dL_t/dh_t P_t

    The mask keeps the derivative of those entries of the state h that a parameter
    reaches within n steps, whatever the values are. SnAp-1 keeps of each parameter its
    own unit: of an Elman network or a GRU as many numbers as there are parameters, of
    an LSTM twice that (h and c). A parameter of an early layer reaches all units of the
    later layers within one step: these are kept too. Once n steps reach everything it
    is `rtrl`, as it is from n = 1 where D_t is diagonal.

    Which entries these are is read from the program of a step. A cell whose gate acts
    on the state ahead of a product, such as `gru(H, "before")` or `mgu`, has many; the
    paper takes the GRU with its reset gate behind the product, as `gru(H)` is.

    Only the diagonal of D_t is needed for SnAp-1 of one layer; found from the program
    as it is here, it costs N backward passes of a step with respect to the state, N P
    operations in all where one written for a certain cell takes P. Memory is that of
    what is kept.

    Where an output reads the old state too, as in `masked`, what it reads adds
    dL_t/dh_{t-1} P_{t-1}.

    Args:
        cell: any cell, with randomness too.
        order: steps n, at least 1.

    Returns:
        An `Algorithm`; the influence has the tree of the parameters, with leaves
        `(C, ...)`, C entries of the state for each parameter or fewer.

    Raises:
        TypeError: `cell` is none; parameters that are not real floating-point arrays.
        ValueError: `order` is not a positive integer; the loss is not a scalar; an
            influence of another form.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> from jrnn import online
        >>> cell = jrnn.gru(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(2))
        >>> for order in 1, 2:
        ...     _, influence = online.snap(cell, order).init(params, jnp.zeros(2))
        ...     print(influence.w_h.shape)
        (1, 4, 12)
        (4, 4, 12)

    References:
        Menick, Elsen, Evci, Osindero, Simonyan, Graves (2021), Practical real time
        recurrent learning with a sparse approximation, arXiv:2006.07232, section 3.
    """
    _check.positive("snap", "order", order)

    def keep(found: Patterns):
        reached = found.direct + found.start
        for _ in range(order - 1):
            further = (found.jacobian @ reached).astype(bool) + reached
            if further.nnz == reached.nnz:
                break
            reached = further
        return reached.astype(bool)

    return kept("snap", cell, keep, _advance)


def _advance(moment: Moment, influence: list[jax.Array]) -> StepResult:
    vector, where, tree = moment.vector, moment.where, moment.tree
    params, h = moment.params, vector.flatten(moment.carry)
    made = step_program(
        moment.cell, tree.unflatten(params), moment.carry, moment.x, moment.key
    )

    def of_state(params, h):
        old = vector.unflatten(h, moment.carry)
        carry, _ = evaluate(made, tree.unflatten(params), old)
        return vector.flatten(carry), carry

    def of_loss(params, h, h_next):
        old, new = vector.unflatten(h, moment.carry), vector.unflatten(h_next, carry)
        y = output(made, tree.unflatten(params), old, new)
        return scalar("snap", moment.loss(y)), y

    h_next, pull, carry = jax.vjp(of_state, params, h, has_aux=True)
    (value, y), (direct, d_old, d_new) = jax.value_and_grad(
        of_loss, (0, 1, 2), has_aux=True
    )(params, h, h_next)
    old = _pattern.weighed(where, d_old, influence)
    influence = advanced(moment, pull, influence)
    new = _pattern.weighed(where, d_new, influence)
    gradient = [a + b + c for a, b, c in zip(direct, old, new, strict=True)]
    return StepResult(carry, influence, y, value, gradient)
