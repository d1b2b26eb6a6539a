"""What an algorithm of online learning is, and the sum of its gradients over steps."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn.cell import Carry, Input, Key, Output, Params

Influence = Any  # each algorithm's own pytree of arrays


class StartStreamFn(Protocol):
    """The start of a stream, `init(params, x, carry=None, *, key=None)`.

    Returns `(carry, influence)`. Of `x`, an example of one step's input or its spec,
    only the form counts. Without a carry the stream starts from the cell's initial one,
    which may depend on the parameters; a carry that is given counts as a constant.
    """

    def __call__(
        self,
        params: Params,
        x: Input,
        /,
        carry: Carry | None = None,
        *,
        key: Key | None = None,
    ) -> tuple[Carry, Influence]: ...


class StepResult(NamedTuple):
    """What one step of a stream returns."""

    carry: Carry
    influence: Influence  # of the parameters on the carry, in its algorithm's form
    y: Output
    loss: jax.Array  # () what `loss(y)` is
    gradient: Params  # of this loss, an estimate or exact


class StreamStepFn(Protocol):
    """One step, `step(params, carry, influence, x, loss, *, key=None)`.

    Returns a `StepResult`. `loss` is a function from the output y of this step to a
    scalar. The gradient is that of this one loss by the parameters, through this and
    all steps before.
    """

    def __call__(
        self,
        params: Params,
        carry: Carry,
        influence: Influence,
        x: Input,
        loss: Callable[[Output], jax.Array],
        /,
        *,
        key: Key | None = None,
    ) -> StepResult: ...


class Algorithm(NamedTuple):
    """An algorithm of online learning as two pure functions.

    `init(params, x, carry=None, *, key=None)` starts a stream, and
    `step(params, carry, influence, x, loss, *, key=None)` takes a step of it. Both work
    under `jit`, `scan` and `vmap`: a batch is a batch of streams.
    """

    init: StartStreamFn
    step: StreamStepFn


class Accumulated(NamedTuple):
    """A stretch of a stream."""

    carry: Carry
    influence: Influence
    ys: Output  # (k, ...)
    losses: jax.Array  # (k,)
    gradient: Params  # of their sum


def accumulate(
    algorithm: Algorithm,
    params: Params,
    carry: Carry,
    influence: Influence,
    xs: Input,
    targets: Any,
    loss: Callable[[Output, Any], jax.Array],
    *,
    key: Key | None = None,
) -> Accumulated:
    """Take k steps with the same parameters and sum up their gradients.

        g = sum_t g_t,   g_t the algorithm's gradient of loss(y_t, target_t)

    The memory of it does not grow with k, but for what is returned for each step.
    Between two calls the parameters may change: the influence is then that of the
    parameters as they were when it was made, which is what the literature does and is
    right to first order in the learning rate. An update after every step is k = 1, or
    `algorithm.step` in a scan of one's own.

    Args:
        algorithm: such as `rtrl(cell)`.
        params: the parameters of its cell.
        carry: state before the first step, from `algorithm.init` or the last call.
        influence: likewise.
        xs: inputs, a pytree with time first on every leaf, `(k, ...)`.
        targets: likewise, what `loss` compares the outputs with.
        loss: `(y, target) -> scalar`, of one step.
        key: for algorithms and cells that need randomness; split into one a step.

    Returns:
        `Accumulated(carry, influence, ys, losses, gradient)`.

    Raises:
        ValueError: the leaves of `xs` and `targets` disagree about k; the loss is not a
            scalar.

    Example:
        >>> import jrnn
        >>> from jrnn import online
        >>> cell = jrnn.stack(jrnn.gru(4), jrnn.linear(1))
        >>> xs, targets = jnp.ones((9, 2)), jnp.zeros((9, 1))
        >>> params = cell.init(jax.random.key(0), xs[0])
        >>> loss = lambda y, target: jnp.square(y - target).sum()
        >>> algorithm = online.rtrl(cell)
        >>> carry, influence = algorithm.init(params, xs[0])
        >>> found = online.accumulate(
        ...     algorithm, params, carry, influence, xs, targets, loss)
        >>> whole = lambda p: jax.vmap(loss)(jrnn.unroll(cell, p, xs)[1], targets).sum()
        >>> exact = jax.grad(whole)(params)
        >>> bool(jnp.allclose(found.gradient[0].w_h, exact[0].w_h, atol=1e-6))
        True

    References:
        Williams, Zipser (1989), A learning algorithm for continually running fully
        recurrent neural networks, doi:10.1162/neco.1989.1.2.270.
    """
    num_steps = _check.num_steps("accumulate", xs)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(targets)]
    if any(shape[:1] != (num_steps,) for shape in shapes):
        raise ValueError(
            f"accumulate: targets must have {num_steps} rows, one for each step of xs, "
            f"got shapes {shapes}."
        )
    keys = None if key is None else jax.random.split(key, num_steps)

    def step(state, inputs):
        carry, influence, total = state
        x, target, key = inputs
        made = algorithm.step(
            params, carry, influence, x, lambda y: loss(y, target), key=key
        )
        total = jax.tree.map(jnp.add, total, made.gradient)
        return (made.carry, made.influence, total), (made.y, made.loss)

    start = carry, influence, jax.tree.map(jnp.zeros_like, params)
    # not jrnn.scan, which trades memory for speed: it does all steps' products at once
    end, (ys, losses) = jax.lax.scan(step, start, (xs, targets, keys))
    return Accumulated(end[0], end[1], ys, losses, end[2])
