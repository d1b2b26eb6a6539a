"""FORCE: a readout that feeds back, trained by least squares while it does."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Carry, Cell, Input, Key, Params, stateless
from jrnn.combine import stack
from jrnn.feedback import FeedbackCarry, FeedbackParams, feedback
from jrnn.layers import LinearParams, linear
from jrnn.online.least_squares import LeastSquares, recursive_least_squares


class ForceState(NamedTuple):
    """A network that learns while it runs."""

    cell: Params  # of the cell, which stay as they are
    y: jax.Array  # (O,), what the first step read
    carry: FeedbackCarry  # of the network
    fit: LeastSquares  # its readout, and what that was fitted to

    @property
    def params(self) -> FeedbackParams:
        """The parameters of the network, `feedback(stack(cell, linear(O)))`."""
        return FeedbackParams((self.cell, self.fit.readout), self.y)


class StartForceFn(Protocol):
    """The start, `init(params, carry=None, *, key=None)`, which returns a state.

    `params` and `carry` are those of the network, `feedback(stack(cell, linear(O)))`;
    without a carry it starts from its initial one.
    """

    def __call__(  # noqa: D102
        self,
        params: FeedbackParams,
        /,
        carry: Carry | None = None,
        *,
        key: Key | None = None,
    ) -> ForceState: ...


class ForceStepFn(Protocol):
    """One step, `step(state, x, target, *, learn=True, key=None)`.

    Returns `(state, y)`, where y (O,) is what the network said before its readout was
    told the target. `learn` may be traced; where it is false the network just runs.
    """

    def __call__(  # noqa: D102
        self,
        state: ForceState,
        x: Input,
        target: jax.Array,
        /,
        *,
        learn: ArrayLike = True,
        key: Key | None = None,
    ) -> tuple[ForceState, jax.Array]: ...


class Force(NamedTuple):
    """FORCE learning of a cell as two pure functions.

    `init(params, carry=None, *, key=None)` starts it, and `step(state, x, target, *,
    learn=True, key=None)` takes a step.
    """

    init: StartForceFn
    step: ForceStepFn


def force(
    cell: Cell,
    penalty: ArrayLike = 1.0,
    *,
    forgetting: ArrayLike = 1.0,
    bias: bool = False,
) -> Force:
    """FORCE learning (first-order reduced and controlled error) of a readout.

        carry_t, h_t = cell(carry_{t-1}, [x_t, z_{t-1}])
        y_t = h_t w_{t-1} + b             what it says, to be compared with the target
        w_t by `recursive_least_squares`, from w_{t-1}, h_t and target_t
        z_t = h_t w_t + b                 what it reads at the next step

    The network reads its own output z, mistakes and all, and not the target as with
    teacher forcing; what keeps z near the target is that w follows at every step. So it
    meets the instabilities that it will have on its own, and learns to resist them: a
    chaotic network can be made to go on with a pattern after learning has ended. Steps
    that are short beside the network's own time help. Only the readout is trained; the
    recurrent weights and those of the feedback stay as they were drawn. Neither
    PyTorch, Keras nor Flax has it.

    The network is `feedback(stack(cell, linear(O)))`, with its parameters and carry:
    `state.params` run in it afterwards. With learning switched off, a step is its step.

    Args:
        cell: any cell that reads one vector, [x, y], and returns one, h. In the paper
            the rows of its input weights that belong to y are of order 1, and its
            recurrence is chaotic, with a gain of about 1.5. For a network without
            inputs, x is a vector of size 0; one that is still at a state of zeros needs
            a bias or another carry to start.
        penalty: above 0, alpha of the paper, which finds 1 to 100 effective for 1000
            units, by task: small ones learn fast, and may become unstable.
        forgetting: as in `recursive_least_squares`; 1 in the paper.
        bias: whether the readout has a bias that is fitted; the paper's has none. If
            not, b stays as it is.

    Returns:
        A `Force`, whose `init(params, carry=None, *, key=None)` returns
        `ForceState(cell, y, carry, fit)`, and whose `step(state, x, target, *,
        learn=True, key=None)` returns `(state, y)`, (O,).

    Raises:
        TypeError: `cell` is none; parameters, or a carry, of another network.
        ValueError: `penalty` is not above 0, or `forgetting` outside (0, 1]; a target
            of another size than y; `learn` is not one flag.

    Example:
        >>> import jrnn
        >>> from jrnn import online
        >>> cell = jrnn.echo_state(100, radius=1.5, leak=0.3, bias_scale=0.2)
        >>> net = jrnn.feedback(jrnn.stack(cell, jrnn.linear(1)))
        >>> wave = jnp.sin(0.2 * jnp.arange(2200.0))[:, None]
        >>> none = jnp.zeros((2200, 0))  # it has no inputs but its own output
        >>> params = net.init(jax.random.key(0), (none[0], wave[0]))
        >>> learner = online.force(cell, penalty=0.1)
        >>> step = lambda state, inputs: learner.step(state, *inputs)
        >>> start = learner.init(params)
        >>> state, ys = jax.lax.scan(step, start, (none[:2000], wave[:2000]))
        >>> _, alone = jrnn.unroll(net, state.params, (none[2000:], None), state.carry)
        >>> bool(jnp.abs(alone - wave[2000:]).max() < 0.1)
        True

    References:
        Sussillo, Abbott (2009), Generating coherent patterns of activity from chaotic
        neural networks, doi:10.1016/j.neuron.2009.07.018, equations 1 to 6 (the
        network of its figure 1A).
    """
    _check.cell("force", cell, "What it returns at a step is known after the last.")
    _check.above_zero("force", "penalty", penalty)
    _check.above_zero("force", "forgetting", forgetting, most=1)
    rls = recursive_least_squares(penalty, forgetting=forgetting, bias=bias)
    network = feedback(stack(cell, _READOUT), lambda o, key: o[1])

    def init(params, /, carry=None, *, key=None):
        _check.params_type("force", params, FeedbackParams)
        _network(params.cell)
        own, readout = params.cell
        if carry is None:
            carry = network.initial_carry(params, key=key)
        _check.carry_type("force", carry, FeedbackCarry)
        fit = rls.init(readout.w[:, 0], readout.b, readout)
        return ForceState(own, params.y, carry, fit)

    def step(state, x, target, /, *, learn: ArrayLike = True, key=None):
        if not isinstance(state, ForceState):
            raise TypeError(
                f"force: the state must be ForceState, got {_check.kind(state)}. It "
                "comes from init(params) or an earlier step."
            )
        _check.flag("force", "learn", learn)
        carry, (h, y) = network.step(state.params, state.carry, (x, None), key=key)
        if jnp.shape(target) != y.shape:
            raise ValueError(
                f"force: the target must have shape {y.shape}, that of y, got "
                f"{jnp.shape(target)}."
            )
        fit = lax.cond(
            learn, lambda fit: rls.step(fit, h, target)[0], lambda fit: fit, state.fit
        )
        z = _read(fit.readout, h)[1].astype(carry.y.dtype)
        return state._replace(carry=carry._replace(y=z), fit=fit), y

    return Force(init, step)


def _network(layers) -> None:
    """Raise unless these are parameters of a cell and of a readout."""
    pair = type(layers) is tuple and len(layers) == 2
    if not pair or not isinstance(layers[1], LinearParams):
        raise TypeError(
            "force: params must be those of feedback(stack(cell, linear(O))), which "
            f"has (cell, LinearParams) inside, got {_check.kind(layers)}."
        )


def _read(params: LinearParams, h: jax.Array, key=None) -> tuple[jax.Array, jax.Array]:
    """A readout that returns beside y what it reads."""
    return h, linear(params.b.size).step(params, (), h, key=key)[1]


_READOUT = stateless(lambda key, x: (), _read)
