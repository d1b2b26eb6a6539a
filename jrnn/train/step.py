"""One update of the parameters, and many of them in one compiled call."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jrnn import _check, optimizers
from jrnn._norm import is_inexact, scaled_norm
from jrnn.cell import Carry, Key, Params
from jrnn.train.truncated import WindowLoss

# optimizer(learning_rate, max_norm), or optimizer(learning_rate) as most of Optax's
OptimizerFactory = Callable[..., optax.GradientTransformation]


class Hyper(NamedTuple):
    """What may change from step to step without compiling anew: traced scalars."""

    learning_rate: ArrayLike  # ()
    max_norm: ArrayLike  # (), threshold of the gradient's global norm


class TrainState(NamedTuple):
    """Everything that training carries from one step to the next."""

    params: Params
    opt_state: Any
    carry: Carry  # (B, ...) on every leaf: where each row of the stream stands
    average: Params  # running mean of params, or () where none is kept
    step: jax.Array  # (), int32, updates made so far


class Metrics(NamedTuple):
    """What one step reports."""

    loss: jax.Array  # (), nats
    grad_norm: jax.Array  # (), before clipping; inf where no float is as large
    clipped: jax.Array  # (), whether the norm was above the threshold
    nonfinite: jax.Array  # (), whether the loss or its gradient held a NaN or inf
    skipped: jax.Array  # (), whether the step was left out, see `skip_nonfinite`


def init_state(
    params: Params, carry: Carry, optimizer: OptimizerFactory, *, average: bool = False
) -> TrainState:
    """State before the first step.

    Args:
        params: initial parameters.
        carry: initial carries of the batch, see `initial_carries`.
        optimizer: a function of `jrnn.optimizers`, or of Optax; see `make_step`.
        average: whether to keep a running mean of the parameters.

    Returns:
        A `TrainState` at step 0.

    Raises:
        TypeError: the optimiser is not a function of a learning rate.

    Example:
        >>> import jrnn
        >>> init_state({"w": jnp.ones(2)}, (), jrnn.optimizers.adagrad).step.item()
        0
    """
    one = jnp.ones(())
    return TrainState(
        params=params,
        opt_state=_built("init_state", optimizer, one, one).init(params),
        carry=carry,
        average=jax.tree.map(jnp.copy, params) if average else (),
        step=jnp.zeros((), jnp.int32),
    )


def make_step(
    loss: WindowLoss, optimizer: OptimizerFactory, *, average_decay: float = 0.0
) -> Callable[..., tuple[TrainState, Metrics]]:
    """One training step: gradient of the loss, clipping, update.

        L, carry = loss(params, carry, batch);   g = dL / dparams
        params = params + optimizer(g)
        average = d * average + (1 - d) * params,   d = min(average_decay, (1+n)/(10+n))

    The optimiser is built inside the traced step from the step's learning rate and
    threshold, so that neither is a constant of the compiled program.

    Args:
        loss: `loss(params, carry, batch, *, key) -> (scalar, carry)`, for a batch.
        optimizer: `optimizer(learning_rate, max_norm)`, a function of
            `jrnn.optimizers` or a partial of one; or `optimizer(learning_rate)`, such
            as `optax.lion`, which gets the gradient clipped by its global norm.
        average_decay: memory d of the running mean of parameters at step n, in [0, 1);
            used where the state keeps one.

    Returns:
        `step(state, batch, hyper, key=None) -> (state, Metrics)`, pure and not
        compiled: wrap it in `jax.jit`.

    Raises:
        TypeError: the optimiser is not a function of a learning rate; the loss cannot
            be called in this way.

    Example:
        >>> import jrnn
        >>> def loss(params, carry, batch, *, key=None):
        ...     return jnp.square(params - batch).sum(), carry
        >>> step = make_step(loss, jrnn.optimizers.sgd)
        >>> state = init_state(jnp.zeros(2), (), jrnn.optimizers.sgd)
        >>> hyper = Hyper(jnp.array(0.1), jnp.array(jnp.inf))
        >>> state, metrics = jax.jit(step)(state, jnp.array([1.0, 2.0]), hyper)
        >>> [round(float(p), 4) for p in state.params], float(metrics.loss)
        ([0.2, 0.4], 5.0)

    References:
        Pascanu, Mikolov, Bengio (2013), arXiv:1211.5063, algorithm 1 (clipping).
        Polyak, Juditsky (1992), Acceleration of stochastic approximation by averaging,
        doi:10.1137/0330046 (the mean of parameters).
    """
    _check.takes("make_step", "loss", loss, "params, carry, batch, *, key=None")
    _check_optimizer("make_step", optimizer)

    def step(state: TrainState, batch, hyper: Hyper, key: Key | None = None):
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        (value, carry), grads = value_and_grad(
            state.params, state.carry, batch, key=key
        )
        # steepest ascent, which is the conjugate where parameters are complex
        grads = jax.tree.map(jnp.conj, grads)
        rule = _built("make_step", optimizer, *hyper)
        updates, opt_state = rule.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = _metrics(value, grads, hyper.max_norm)
        average = _average(state, params, average_decay)
        return TrainState(params, opt_state, carry, average, state.step + 1), metrics

    return step


def make_steps(
    step: Callable[..., tuple[TrainState, Metrics]],
    next_batch: Callable[[Any, jax.Array], Any],
    start_carry: Callable[[Params, Key | None], Carry] | None = None,
    starts: Callable[[jax.Array], jax.Array] | None = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Many training steps as one function, for one compiled call.

    Small models spend more time on calling the compiled step than in it. The
    randomness of step n comes from `fold_in(key, n)`, whatever the number of steps in
    a call.

    Args:
        step: as from `make_step`.
        next_batch: `next_batch(data, n) -> batch`, traced; n is the step's number.
        start_carry: `start_carry(params, key) -> carry` for the start of a stream.
        starts: `starts(n) -> bool`, true where step n begins a stream anew.

    Returns:
        `steps(state, data, hypers, key) -> (state, Metrics)`: as many steps as the
        leading axis of `hypers` is long, metrics stacked along it. `key` may be None
        where nothing in them is random; `step` and `start_carry` then get None too.

    Raises:
        TypeError: one of `start_carry` and `starts` without the other.

    Example:
        >>> import jrnn
        >>> def loss(params, carry, batch, *, key=None):
        ...     return jnp.square(params - batch).sum(), carry
        >>> steps = make_steps(
        ...     make_step(loss, jrnn.optimizers.sgd), lambda data, n: data[n])
        >>> state = init_state(jnp.zeros(()), (), jrnn.optimizers.sgd)
        >>> hypers = Hyper(jnp.full(3, 0.5), jnp.full(3, jnp.inf))
        >>> data = jnp.array([1.0, 2.0, 3.0])
        >>> state, metrics = jax.jit(steps)(state, data, hypers, jax.random.key(0))
        >>> float(state.params), metrics.loss.tolist()
        (3.0, [1.0, 1.0, 1.0])
    """
    if (start_carry is None) != (starts is None):
        raise TypeError(
            "make_steps: start_carry and starts go together, got one of them. Pass "
            "both for streams that begin anew, or neither."
        )

    def steps(state: TrainState, data, hypers: Hyper, key: Key | None):
        def one(state, hyper):
            n = state.step
            step_key = carry_key = None
            if key is not None:
                step_key, carry_key = jax.random.split(jax.random.fold_in(key, n))
            if start_carry is not None and starts is not None:
                fresh, anew = start_carry(state.params, carry_key), starts(n)
                choose = lambda new, old: jnp.where(anew, new, old)
                state = state._replace(carry=jax.tree.map(choose, fresh, state.carry))
            return step(state, next_batch(data, n), hyper, step_key)

        return jax.lax.scan(one, state, hypers)

    return steps


def skip_nonfinite(
    step: Callable[..., tuple[TrainState, Metrics]],
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Leave out the steps that would put a NaN or an infinity into training.

    A step is left out where its loss, its gradient or a new parameter is not finite, or
    a number in the carry ceases to be. Of such a step the counter alone remains:
    parameters, memory of the optimiser, carry and running mean stay what they were.
    `metrics.skipped.sum()` counts them. (`optax.apply_if_finite` guards parameters and
    memory only: with a NaN in the carry, all later steps of the stream are lost.)

    Args:
        step: as from `make_step`.

    Returns:
        A step of the same form.

    Example:
        >>> import jrnn
        >>> def loss(params, carry, batch, *, key=None):
        ...     return jnp.sum(params * batch), carry
        >>> step = skip_nonfinite(make_step(loss, jrnn.optimizers.sgd))
        >>> state = init_state(jnp.zeros(2), (), jrnn.optimizers.sgd)
        >>> hyper = Hyper(jnp.array(0.5), jnp.array(jnp.inf))
        >>> state, metrics = step(state, jnp.array([1.0, jnp.nan]), hyper)
        >>> state.params.tolist(), bool(metrics.skipped)
        ([0.0, 0.0], True)
    """

    def careful(state: TrainState, batch, hyper: Hyper, key: Key | None = None):
        new, metrics = step(state, batch, hyper, key)
        lost = jax.tree.map(
            _any_lost, (state.params, state.carry), (new.params, new.carry)
        )
        skipped = functools.reduce(
            jnp.logical_or, jax.tree.leaves(lost), metrics.nonfinite
        )
        kept = jax.tree.map(lambda old, new: jnp.where(skipped, old, new), state, new)
        return kept._replace(step=new.step), metrics._replace(skipped=skipped)

    return careful


def _built(name: str, optimizer: OptimizerFactory, learning_rate, max_norm):
    """The optimiser of one step, behind the clipping that Optax's do without."""
    _check_optimizer(name, optimizer)
    if _reads_norm(optimizer):
        return optimizer(learning_rate, max_norm)
    clip = optimizers.clip_by_global_norm(max_norm)
    return optax.chain(clip, optimizer(learning_rate))


def _check_optimizer(name: str, optimizer: OptimizerFactory) -> None:
    if isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer):
        raise TypeError(
            f"{name}: optimizer must be a function (learning_rate, max_norm) or "
            f"(learning_rate) that makes one, got a {type(optimizer).__name__}. Pass "
            "jrnn.optimizers.adam or optax.adam itself, not what it returns."
        )


def _reads_norm(optimizer: OptimizerFactory) -> bool:
    """Whether the second argument is a threshold, and not an option of Optax's."""
    try:
        parameters = [*inspect.signature(optimizer).parameters.values()]
    except ValueError:  # without a signature
        return True
    if any(p.name == "max_norm" or p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    needed = [
        p for p in parameters if p.kind < p.VAR_POSITIONAL and p.default is p.empty
    ]
    return len(needed) > 1


def _any_lost(old: jax.Array, new: jax.Array) -> jax.Array:
    """Whether a number that was finite no longer is."""
    if not is_inexact(old):
        return jnp.zeros((), bool)
    return (jnp.isfinite(old) & ~jnp.isfinite(new)).any()


def _metrics(loss: jax.Array, grads: Params, max_norm: ArrayLike) -> Metrics:
    n, s = scaled_norm(grads)
    norm = n / s
    finite = jnp.isfinite(loss) & jnp.isfinite(n)
    return Metrics(loss, norm, norm > max_norm, ~finite, jnp.zeros((), bool))


def _average(state: TrainState, params: Params, decay: float) -> Params:
    if not jax.tree.leaves(state.average):
        return ()
    n = state.step.astype(float)
    # a short memory at first, so that the mean does not remember the initial weights
    d = jnp.minimum(decay, (1 + n) / (10 + n))
    mean = lambda a, p: d.astype(p.dtype) * a + (1 - d).astype(p.dtype) * p
    return jax.tree.map(mean, state.average, params)
