"""What happens to gradients on their way back through time.

Gradients of weights are sums over all steps and cannot show that they vanish: what
shows it is the derivative of the loss with respect to each state, and of the last state
with respect to the one k steps before. All functions take any cell and one sequence;
seeds, networks and inputs are `jax.vmap`.

flow        dL/dh_t for every t, in one backward pass
jacobians   the Jacobian of a step, and of k steps, by lag k
rates       the rate of growth or decay by lag, and what the weights say about it
penalty     the regulariser that keeps the norm of the gradient
saturation  how often gates are shut or open
bptt        backpropagation through time written out, to read and to check against
"""

from jrnn.gradients.bptt import BPTT, bptt
from jrnn.gradients.flow import GradientFlow, gradient_flow
from jrnn.gradients.jacobians import LagJacobians, lag_jacobians, step_jacobians
from jrnn.gradients.penalty import omega
from jrnn.gradients.rates import Bounds, DecayRate, bounds, decay_rate
from jrnn.gradients.saturation import Saturation, gate_saturation

__all__ = [
    "BPTT",
    "Bounds",
    "DecayRate",
    "GradientFlow",
    "LagJacobians",
    "Saturation",
    "bounds",
    "bptt",
    "decay_rate",
    "gate_saturation",
    "gradient_flow",
    "lag_jacobians",
    "omega",
    "step_jacobians",
]
