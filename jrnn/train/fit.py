"""`fit`: a plain training loop for scripts."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Key
from jrnn.logs import Log
from jrnn.train.step import Hyper, Metrics, TrainState, make_steps


def fit(
    step: Callable[..., tuple[TrainState, Metrics]],
    state: TrainState,
    next_batch: Callable[[Any, jax.Array], Any],
    data: Any,
    key: Key | None,
    num_steps: int,
    *,
    learning_rate: ArrayLike,
    max_norm: ArrayLike = jnp.inf,
    steps_per_call: int = 16,
    log: Log | None = None,
) -> tuple[TrainState, Metrics]:
    """Train for a number of steps and return every step's metrics.

    Compiles once a call and runs the compiled program every `steps_per_call` steps;
    results stay on the device until the end, so nothing waits for a loss to be printed.
    To stop early, or to go on without compiling again, keep
    `jax.jit(make_steps(step, next_batch))` and call that in a loop of your own.

    Args:
        step: as from `make_step`.
        state: where to start.
        next_batch: `next_batch(data, n) -> batch`, traced: a slice of `data`, or
            sequences drawn with `fold_in(key, n)`.
        data: arrays that `next_batch` reads; `()` if it needs none.
        key: for everything random in the steps; None if nothing is.
        num_steps: updates to make.
        learning_rate: a number, or one for every step, (num_steps,).
        max_norm: threshold of the gradient's global norm, a number or one for every
            step.
        steps_per_call: steps in one compiled call; a last, shorter call compiles again.
        log: called once for each step, in order, with a dict of its number and its
            metrics, such as one of `jrnn.logs`. It lags one call behind, so that the
            device has work meanwhile.

    Returns:
        `(state, metrics)`, metrics stacked over steps, (num_steps,).

    Warns:
        RuntimeWarning: the loss or the gradient of a step was not finite, and the step
            was not left out; `metrics.nonfinite` says which. Not where `fit` itself is
            traced.

    Raises:
        ValueError: `num_steps` is not positive; `max_norm` is negative or NaN; another
            number of learning rates than steps.
        TypeError: `step`, `next_batch` or `log` cannot be called in this way; `log` is
            given where `fit` itself is traced.

    Example:
        >>> import jrnn
        >>> from jrnn.train import fit, init_state, make_step
        >>> def loss(params, carry, batch, *, key=None):
        ...     return jnp.square(params - batch).sum(), carry
        >>> state = init_state(jnp.zeros(2), (), jrnn.optimizers.adagrad)
        >>> step = make_step(loss, jrnn.optimizers.adagrad)
        >>> target = jnp.array([1.0, -2.0])
        >>> state, metrics = fit(
        ...     step, state, lambda data, n: data, target, jax.random.key(0), 200,
        ...     learning_rate=0.5)
        >>> bool(metrics.loss[-1] < 1e-4)
        True
    """
    if num_steps < 1:
        raise ValueError(f"fit: num_steps must be positive, got {num_steps}.")
    _check.takes("fit", "step", step, "state, batch, hyper, key")
    _check.takes("fit", "next_batch", next_batch, "data, n")
    _check.not_negative("fit", "max_norm", max_norm)
    first = 0 if log is None else _steps_made(state, log)
    steps = jax.jit(make_steps(step, next_batch))
    rates = _of_every_step("learning_rate", learning_rate, num_steps)
    norms = _of_every_step("max_norm", max_norm, num_steps)
    parts, starts = [], range(0, num_steps, steps_per_call)
    for start in starts:
        stop = min(start + steps_per_call, num_steps)
        state, metrics = steps(
            state, data, Hyper(rates[start:stop], norms[start:stop]), key
        )
        parts.append(metrics)
        if log is not None and len(parts) > 1:
            _tell(log, first + start - steps_per_call, parts[-2])
    if log is not None:
        _tell(log, first + starts[-1], parts[-1])
    metrics = jax.tree.map(lambda *m: jnp.concatenate(m), *parts)
    _warn_of_nonfinite(metrics)
    return state, metrics


def _steps_made(state: TrainState, log: Log) -> int:
    """The number of the last step made, which the records of `log` go on from."""
    _check.takes("fit", "log", log, "record")
    if isinstance(state.step, Tracer):
        raise TypeError(
            "fit: log is told numbers, and a traced call has none yet. Leave it out "
            "under jit and vmap, and log the metrics that fit returns."
        )
    return int(state.step)


def _tell(log: Log, made: int, metrics: Metrics) -> None:
    """Log each step of one call, whose first is the one after `made`."""
    values = {name: np.asarray(v) for name, v in metrics._asdict().items()}
    for n in range(len(values["loss"])):
        record = {name: v[n].item() for name, v in values.items()}
        log({"step": made + n + 1, **record})


def _of_every_step(argument: str, value: ArrayLike, num_steps: int) -> jax.Array:
    values = jnp.asarray(value, float)
    if values.shape not in ((), (num_steps,)):
        raise ValueError(
            f"fit: {argument} must be a number or have one for each of the {num_steps} "
            f"steps, got shape {values.shape}."
        )
    return jnp.broadcast_to(values, (num_steps,))


def _warn_of_nonfinite(metrics: Metrics) -> None:
    """Say which steps went wrong, where that is known: not in a traced call."""
    lost = metrics.nonfinite & ~metrics.skipped
    if isinstance(lost, Tracer):
        return
    steps = np.flatnonzero(np.asarray(lost))
    if len(steps):
        warnings.warn(
            f"fit: the loss or its gradient was NaN or infinite at {len(steps)} of "
            f"{len(lost)} steps, first at step {steps[0]}; the parameters may hold NaN "
            "from there on. Try a smaller learning rate or max_norm=1.0, look for NaN "
            "or labels out of range in the data, or leave such steps out with "
            "jrnn.train.skip_nonfinite(step).",
            RuntimeWarning,
            stacklevel=3,
        )
