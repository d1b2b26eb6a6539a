"""Recurrent networks as dynamical systems, and what theory says about random ones.

All functions take any cell (or a weight matrix) and one sequence; networks, seeds and
inputs are `jax.vmap`. Those that need double precision say so with a warning where they
get less: `jax.config.update("jax_enable_x64", True)`, and parameters in float64.

lyapunov      exponents along an input sequence, dimension and entropy of the attractor
fixed_points  fixed and slow points, their stability
memory        how much of past inputs a state holds
mean_field    random tanh networks of infinite size
"""

from jrnn.dynamics.fixed_points import FixedPoints, fixed_points
from jrnn.dynamics.lyapunov import (
    entropy_rate,
    kaplan_yorke_dimension,
    largest_exponent,
    lyapunov_spectrum,
)
from jrnn.dynamics.mean_field import MeanField, critical_gain, mean_field
from jrnn.dynamics.memory import MemoryCapacity, fisher_memory_curve, memory_capacity

__all__ = [
    "FixedPoints",
    "MeanField",
    "MemoryCapacity",
    "critical_gain",
    "entropy_rate",
    "fisher_memory_curve",
    "fixed_points",
    "kaplan_yorke_dimension",
    "largest_exponent",
    "lyapunov_spectrum",
    "mean_field",
    "memory_capacity",
]
