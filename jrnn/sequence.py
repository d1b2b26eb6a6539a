"""`SequenceModel`: the interface of what needs the whole sequence at once.

A `Cell` reads forward in time, one step after the other. What reads backward, or looks
ahead, or takes the mean over time, has no such step: it reads all of a sequence, and
which of its steps are valid. It has the `init` and `initial_carry` of a cell, and `run`
in place of `step`. `jrnn.unroll` runs both kinds.
"""

from typing import Any, Literal, NamedTuple, NoReturn, Protocol

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import Description, written
from jrnn.cell import Carry, Cell, InitFn, InitialCarryFn, Input, Key, Output, Params

Remat = Literal["step", "chunk"] | int | None


class RunFn(Protocol):
    """All steps: `run(params, xs, carry, valid=None, *, key=None, remat=None)`.

    `xs` has time first on every leaf, `(T, ...)`, and so has `ys` unless the model
    pools. `valid` says which steps count, `(T,)`, all of them if None: what the others
    hold reaches no valid output, no carry and no gradient, and their outputs are zero.
    """

    def __call__(  # noqa: D102
        self,
        params: Params,
        xs: Input,
        carry: Carry,
        valid: jax.Array | None = None,
        /,
        *,
        key: Key | None = None,
        remat: Remat = None,
    ) -> tuple[Carry, Output]: ...


class _Functions(NamedTuple):
    init: InitFn
    initial_carry: InitialCarryFn
    run: RunFn
    pools: bool


class SequenceModel(_Functions):
    """A model that reads the whole sequence, as three pure functions.

        init(key, x)                                  -> params
        initial_carry(params, *, key=None)            -> carry
        run(params, xs, carry, valid=None, *,
            key=None, remat=None)                     -> (carry, ys)

    `x` is an example of one step's input, as for `Cell`; `xs` are all steps `(T, ...)`,
    and `valid` flags `(T,)`, or None where all are valid: see `RunFn` for what is
    promised about those that are not. `pools` says that there is one output for the
    sequence, without a time axis. It cannot be stepped: where a loop calls `step`, as
    in sampling, only a `Cell` will do.

    Raises:
        TypeError: a function that cannot be called in this way.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn
        >>> from jrnn.sequence import only_valid
        >>> def run(params, xs, carry, valid=None, *, key=None, remat=None):
        ...     n = len(xs) if valid is None else valid.sum()
        ...     mean = only_valid(valid, xs).sum(axis=0, keepdims=True) / n
        ...     return carry, only_valid(valid, xs - mean)
        >>> centred = jrnn.SequenceModel(
        ...     lambda key, x: (), lambda params, *, key=None: (), run)
        >>> xs = jnp.array([[1.0], [5.0], [jnp.nan]])
        >>> valid = jrnn.length_mask(2, 3)
        >>> jrnn.unroll(jrnn.masked(centred), (), (xs, valid))[1].ravel().tolist()
        [-2.0, 2.0, 0.0]
    """

    description: Description | None = None

    def __new__(  # noqa: D102
        cls,
        init: InitFn,
        initial_carry: InitialCarryFn,
        run: RunFn,
        pools: bool = False,
    ) -> "SequenceModel":
        _check.takes("SequenceModel", "init", init, "key, x")
        _check.takes(
            "SequenceModel", "initial_carry", initial_carry, "params, *, key=None"
        )
        form = "params, xs, carry, valid, *, key=None, remat=None"
        _check.takes("SequenceModel", "run", run, form)
        return super().__new__(cls, init, initial_carry, run, pools)

    def __repr__(self) -> str:
        """The call that made it, or the names of its functions."""
        if self.description is not None:
            return written(self.description)
        names = (getattr(f, "__qualname__", type(f).__name__) for f in self[:3])
        return f"SequenceModel({', '.join(names)})"

    def step(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise: there is no step, whoever asks for one."""
        del args, kwargs
        raise _check.no_step("step", self)


def run_of(model: Any) -> RunFn:
    """The `run` of what is known to be a model of whole sequences.

    Args:
        model: a cell by its type, and a model of whole sequences where this is called.

    Returns:
        Its function `run`.

    Example:
        >>> import jrnn
        >>> run_of(jrnn.pool("last"))((), jnp.array([1.0, 2.0]), ())[1].item()
        2.0
    """
    return model.run


def pools_over_time(model: Cell | SequenceModel) -> bool:
    """Whether a model has one output for the sequence; a cell has one for each step.

    Args:
        model: a cell, or a model of whole sequences.

    Returns:
        True where the outputs have no time axis.

    Example:
        >>> import jrnn
        >>> pools_over_time(jrnn.pool("mean")), pools_over_time(jrnn.gru(2))
        (True, False)
    """
    return _check.is_sequence(model) and model.pools


def only_valid(valid: jax.Array | None, xs: Input) -> Input:
    """The steps of a sequence, zero where they are not valid.

    Args:
        valid: flags `(T,)`; None if all steps are valid.
        xs: a pytree with time first, `(T, ...)`.

    Returns:
        The same tree; what is not valid passes no gradient, even if it is NaN.

    Example:
        >>> xs = jnp.array([[1.0, 2.0], [jnp.nan, 4.0]])
        >>> only_valid(jnp.array([True, False]), xs).tolist()
        [[1.0, 2.0], [0.0, 0.0]]
    """
    if valid is None:
        return xs
    flags = lambda x: valid.reshape(-1, *[1] * (x.ndim - 1))
    zero_else = lambda x: jnp.where(flags(x), x, jnp.zeros_like(x))
    return jax.tree.map(lambda x: zero_else(jnp.asarray(x)), xs)
