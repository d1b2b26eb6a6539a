"""Learning from a stream: gradients that are carried forward, step by step.

Backpropagation through time has to keep, or to cut, all steps that it goes back over.
The algorithms here keep the influence of the parameters on the present state instead:
memory does not grow with the length of the stream, and the gradient of a step's loss is
there at that step. All but kf_rtrl take any cell, and all are two pure functions each:

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
"""

from jrnn.online._algorithm import Accumulated, Algorithm, StepResult, accumulate
from jrnn.online.eprop import eprop
from jrnn.online.kf_rtrl import KFInfluence, kf_rtrl
from jrnn.online.rtrl import rtrl
from jrnn.online.snap import snap
from jrnn.online.uoro import UOROInfluence, uoro

__all__ = [
    "Accumulated",
    "Algorithm",
    "KFInfluence",
    "StepResult",
    "UOROInfluence",
    "accumulate",
    "eprop",
    "kf_rtrl",
    "rtrl",
    "snap",
    "uoro",
]
