"""Training: truncated backpropagation through time, evaluation, checkpoints."""

from jrnn.train.checkpoint import CheckpointError, load, read, save
from jrnn.train.evaluate import evaluate, evaluation_rows
from jrnn.train.fit import fit
from jrnn.train.hessian_free import (
    HessianFreeMetrics,
    HessianFreeState,
    gauss_newton_product,
    hessian_free,
)
from jrnn.train.step import (
    Hyper,
    Metrics,
    TrainState,
    init_state,
    make_step,
    make_steps,
    skip_nonfinite,
)
from jrnn.train.truncated import batched, initial_carries, truncated_loss

__all__ = [
    "CheckpointError",
    "HessianFreeMetrics",
    "HessianFreeState",
    "Hyper",
    "Metrics",
    "TrainState",
    "batched",
    "evaluate",
    "evaluation_rows",
    "fit",
    "gauss_newton_product",
    "hessian_free",
    "init_state",
    "initial_carries",
    "load",
    "make_step",
    "make_steps",
    "read",
    "save",
    "skip_nonfinite",
    "truncated_loss",
]
