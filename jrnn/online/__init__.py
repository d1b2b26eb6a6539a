"""Learning from a stream: gradients that are carried forward, step by step.

Backpropagation through time has to keep, or to cut, all steps that it goes back over.
The algorithms here keep the influence of the parameters on the present state instead:
memory does not grow with the length of the stream, and the gradient of a step's loss is
there at that step. Those of gradients take any cell, but for kf_rtrl, and are two pure
functions each:

    carry, influence = algorithm.init(params, x)
    carry, influence, y, value, gradient = algorithm.step(
        params, carry, influence, x, loss)

of a cell with N numbers in its state and P parameters, P about N^2:

rtrl    exact; N P numbers, and P for diagonal cells
snap    what arises within n steps; for n = 1 about P numbers
eprop   what a unit keeps by itself; P numbers or fewer
uoro    unbiased, with large noise; N + P numbers
kf_rtrl unbiased, with less noise; about N^2 numbers of a cell of products with weights

`accumulate` sums gradients over k steps. States are those of `jrnn.unroll`, so that a
model may be trained here and used anywhere.

A linear readout needs no gradient: least squares of a stream has the best one after
every step, in H^2 numbers for H units.

recursive_least_squares    `ridge_readout`, one row after the other
force                      the readout of a network that reads its own output
"""

from jrnn.online._algorithm import Accumulated, Algorithm, StepResult, accumulate
from jrnn.online.eprop import eprop
from jrnn.online.force import Force, ForceState, force
from jrnn.online.kf_rtrl import KFInfluence, kf_rtrl
from jrnn.online.least_squares import (
    LeastSquares,
    Regression,
    recursive_least_squares,
)
from jrnn.online.rtrl import rtrl
from jrnn.online.snap import snap
from jrnn.online.uoro import UOROInfluence, uoro

__all__ = [
    "Accumulated",
    "Algorithm",
    "Force",
    "ForceState",
    "KFInfluence",
    "LeastSquares",
    "Regression",
    "StepResult",
    "UOROInfluence",
    "accumulate",
    "eprop",
    "force",
    "kf_rtrl",
    "recursive_least_squares",
    "rtrl",
    "snap",
    "uoro",
]
