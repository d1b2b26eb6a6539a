"""`Cell`: the one interface of the library, and what is needed to build one.

A recurrent cell is three pure functions. A feed-forward layer is a cell with an empty
carry, a model is a cell made of cells, and everything else in the library (unrolling,
training, sampling, analysis) takes any `Cell` and its params and nothing more.

Cells know one step of one sequence: no batch axis, no time axis. Batches are
`jax.vmap`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn._description import Description, described, written

if TYPE_CHECKING:  # it is made of what is here
    from jrnn.sequence import SequenceModel

# Pytrees of arrays; each cell defines its own NamedTuples for them.
Params = Any
Carry = Any
Input = Any
Output = Any
Key = jax.Array


class InitFn(Protocol):
    """Draws parameters: `init(key, x) -> params`.

    `x` is an example of one step's input, an array or a `jax.ShapeDtypeStruct`. Sizes
    and dtype are read from it, never values.
    """

    def __call__(self, key: Key, x: Input, /) -> Params: ...  # noqa: D102


class InitialCarryFn(Protocol):
    """The state before the first step: `initial_carry(params, *, key=None) -> carry`.

    Randomness that lasts a whole sequence is drawn here and carried along.
    """

    def __call__(self, params: Params, /, *, key: Key | None = None) -> Carry: ...  # noqa: D102


class StepFn(Protocol):
    """One step: `step(params, carry, x, *, key=None) -> (carry, y)`.

    The new carry has the structure, shapes and dtypes of the old one, so that
    `partial(cell.step, params)` is the body of a scan.
    """

    def __call__(  # noqa: D102
        self, params: Params, carry: Carry, x: Input, /, *, key: Key | None = None
    ) -> tuple[Carry, Output]: ...


class _Functions(NamedTuple):
    init: InitFn
    initial_carry: InitialCarryFn
    step: StepFn


class Cell(_Functions):
    """A recurrent cell as three pure functions.

    All three must take these arguments, a cell without randomness too: every cell can
    stand in every wrapper, and a wrapper passes the key on.

        init(key, x)                         -> params
        initial_carry(params, *, key=None)   -> carry
        step(params, carry, x, *, key=None)  -> (carry, y)

    A map whose parameters and first carry are given wherever it is used, to analyse its
    dynamics for instance, may have None for the first two.

    A cell that a factory of the library has made knows how, for `jrnn.save`. That is no
    part of the tuple: `_replace` makes another cell, which has no description.

    Raises:
        TypeError: a function that cannot be called in this way.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn
        >>> def init(key, x):
        ...     return jnp.zeros_like(x)
        >>> def initial_carry(params, *, key=None):
        ...     return jnp.zeros_like(params)
        >>> def step(params, carry, x, *, key=None):
        ...     carry = carry + x
        ...     return carry, carry
        >>> running_sum = jrnn.Cell(init, initial_carry, step)
        >>> xs = jnp.array([[1.0], [2.0], [3.0]])
        >>> params = running_sum.init(jax.random.key(0), xs[0])
        >>> jrnn.unroll(running_sum, params, xs)[1].ravel().tolist()
        [1.0, 3.0, 6.0]
    """

    description: Description | None = None

    def __new__(  # noqa: D102
        cls,
        init: InitFn | None,
        initial_carry: InitialCarryFn | None,
        step: StepFn,
    ) -> "Cell":
        if init is not None:
            _check.takes("Cell", "init", init, "key, x")
        if initial_carry is not None:
            _check.takes("Cell", "initial_carry", initial_carry, "params, *, key=None")
        _check.takes("Cell", "step", step, "params, carry, x, *, key=None")
        # nobody calls a field that is None, so no caller is made to ask
        return super().__new__(cls, init, initial_carry, step)  # pyright: ignore[reportArgumentType]

    def __repr__(self) -> str:
        """The call that made it, or the names of its functions."""
        if self.description is not None:
            return written(self.description)
        names = (getattr(f, "__qualname__", type(f).__name__) for f in self[:3])
        return f"Cell({', '.join(names)})"


@described
def stateless(
    init: InitFn, apply: Callable[[Params, Input, Key | None], Output]
) -> Cell:
    """Lift a feed-forward layer to a cell with an empty carry.

    Args:
        init: `(key, x) -> params`.
        apply: `(params, x, key) -> y`; `key` is None where the caller gave none.

    Returns:
        A cell whose carry is `()`.

    Raises:
        TypeError: a function that cannot be called in this way.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn
        >>> double = jrnn.stateless(lambda key, x: (), lambda params, x, key: 2 * x)
        >>> double.step((), (), jnp.array(3.0))[1].item()
        6.0
    """
    _check.takes("stateless", "init", init, "key, x")
    _check.takes("stateless", "apply", apply, "params, x, key")

    def initial_carry(params, *, key=None):
        del params, key
        return ()

    def step(params, carry, x, *, key=None):
        return carry, apply(params, x, key)

    return Cell(init, initial_carry, step)


@dataclass(frozen=True)
class DiagonalStep:
    """A step that declares its recurrence linear and diagonal; see `diagonal`."""

    coefficients: Callable[..., tuple[Carry, Carry]]  # (params, x, *, key) -> (a, u)
    output: Callable[[Params, Carry, Input], Output]  # (params, h, x) -> y
    name: str = "diagonal"  # of the factory, for messages

    def __call__(  # noqa: D102
        self, params: Params, carry: Carry, x: Input, *, key: Key | None = None
    ) -> tuple[Carry, Output]:
        a, u = self.coefficients(params, x, key=key)
        _check.diagonal_carry(self.name, a, u, carry)
        h = jax.tree.map(lambda a, h, u: a * h + u, a, carry, u)
        return h, self.output(params, h, x)


@dataclass(frozen=True)
class ChunkwiseStep:
    """A step that also says what many steps do at once, in fewer and larger products.

        step(params, carry, x, *, key)  -> (carry, y)
        chunk(params, carry, xs)        -> (carry, ys)

    Both give the same, up to rounding. `unroll` cuts a sequence into chunks of at most
    `length` steps. A wrapper that changes the step makes an ordinary one of it.
    """

    step: StepFn
    chunk: Callable[[Params, Carry, Input], tuple[Carry, Output]]
    length: int

    def __call__(  # noqa: D102
        self, params: Params, carry: Carry, x: Input, *, key: Key | None = None
    ) -> tuple[Carry, Output]:
        return self.step(params, carry, x, key=key)


@dataclass(frozen=True)
class CandidateStep:
    """A step that says what its candidate is: what it would write into its state.

        run(params, carry, x, change, *, key) -> (carry, y)

    `change` is a function of the candidate, which `run` calls once, before the
    candidate enters the state; as a step it leaves the candidate as it is.
    `recurrent_dropout` is made of it. A wrapper that changes the step makes an ordinary
    one of it.
    """

    run: Callable[..., tuple[Carry, Output]]

    def __call__(  # noqa: D102
        self, params: Params, carry: Carry, x: Input, *, key: Key | None = None
    ) -> tuple[Carry, Output]:
        return self.run(params, carry, x, lambda candidate: candidate, key=key)


@described
def diagonal(
    init: InitFn,
    initial_carry: InitialCarryFn,
    coefficients: Callable[..., tuple[Carry, Carry]],
    output: Callable[[Params, Carry, Input], Output],
) -> Cell:
    """Make a cell whose recurrence is declared linear and diagonal.

        a_t, u_t = coefficients(params, x_t)
        h_t = a_t * h_{t-1} + u_t
        y_t = output(params, h_t, x_t)

    A cell like any other; but since neither a nor u depends on the state, `unroll` may
    compute all states in parallel (see `diagonal_scan`), and does so off the CPU. A
    wrapper that changes the step makes an ordinary cell of it.

    Args:
        init: `(key, x) -> params`.
        initial_carry: `(params, *, key=None) -> h_0`.
        coefficients: `(params, x, *, key=None) -> (a, u)`, each of the form of h.
        output: `(params, h, x) -> y`.

    Returns:
        A cell with the carry h.

    Raises:
        TypeError: a function that cannot be called in this way.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn
        >>> smooth = diagonal(
        ...     lambda key, x: jnp.array(0.5),
        ...     lambda decay, *, key=None: jnp.zeros(()),
        ...     lambda decay, x, *, key=None: (decay, (1 - decay) * x),
        ...     lambda decay, h, x: h)
        >>> jrnn.unroll(smooth, jnp.array(0.5), jnp.array([4.0, 0.0, 2.0]))[1].tolist()
        [2.0, 1.0, 1.5]

    References:
        Martin, Cundy (2018), Parallelizing linear recurrent neural nets over sequence
        length, arXiv:1709.04057, section 2.
    """
    form = "params, x, *, key=None"
    _check.takes("diagonal", "coefficients", coefficients, form)
    _check.takes("diagonal", "output", output, "params, h, x")
    return Cell(init, initial_carry, DiagonalStep(coefficients, output))


def spec(x: Input) -> Input:
    """Shapes and dtypes of a pytree as `jax.ShapeDtypeStruct`s.

    Args:
        x: any pytree of arrays, scalars or specs.

    Returns:
        The same tree with every leaf replaced by its spec.

    Example:
        >>> import jax.numpy as jnp
        >>> spec(jnp.zeros((2, 3), jnp.int32))
        ShapeDtypeStruct(shape=(2, 3), dtype=int32)
    """
    return jax.tree.map(
        lambda a: (
            jax.ShapeDtypeStruct(jnp.shape(a), jax.dtypes.result_type(a))
            if not isinstance(a, jax.ShapeDtypeStruct | jax.Array)
            else jax.ShapeDtypeStruct(a.shape, a.dtype)
        ),
        x,
    )


def output_spec(cell: "Cell | SequenceModel", params: Params, x: Input) -> Output:
    """Shapes and dtypes of one step's output, without running it.

    Args:
        cell: any cell, or a model of whole sequences.
        params: its parameters, or their specs.
        x: an example of one step's input, or its spec.

    Returns:
        The output `y` as a pytree of `jax.ShapeDtypeStruct`; of a model that pools, its
        one output.

    Example:
        >>> import jax, jax.numpy as jnp, jrnn
        >>> cell, x = jrnn.lstm(4), jnp.zeros(3)
        >>> output_spec(cell, cell.init(jax.random.key(0), x), x)
        ShapeDtypeStruct(shape=(4,), dtype=float32)
    """

    def run(params, x, key):
        carry_key, step_key = jax.random.split(key)
        carry = cell.initial_carry(params, key=carry_key)
        if not _check.is_sequence(cell):
            return cell.step(params, carry, x, key=step_key)[1]
        xs = jax.tree.map(lambda a: a[None], x)
        ys = cell.run(params, xs, carry, key=step_key)[1]
        return ys if cell.pools else jax.tree.map(lambda y: y[0], ys)

    return jax.eval_shape(run, spec(params), spec(x), jax.random.key(0))
