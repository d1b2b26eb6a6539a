"""States of all steps at once, for cells whose recurrence mixes or is not linear.

Experimental: names and arguments may change. Cells declared `diagonal` need nothing of
it, `unroll` runs them in parallel by itself. On CPUs all of this is right and slower
than a loop: it is meant for machines that a loop leaves idle.

affine      linear recurrences with a matrix for each step
_state      the carry of any cell as one vector
solution    the derivative of all states at once, by the implicit function theorem
adjoint     forward in the loop of `unroll`, backward in parallel
newton      forward too: the states as the root of a system of equations
"""

from jrnn.parallel_time.adjoint import adjoint_unroll
from jrnn.parallel_time.affine import affine_scan
from jrnn.parallel_time.newton import NewtonReport, NewtonUnroll, newton_unroll

__all__ = [
    "NewtonReport",
    "NewtonUnroll",
    "adjoint_unroll",
    "affine_scan",
    "newton_unroll",
]
