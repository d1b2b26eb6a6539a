"""The one loop of the library: `scan`, with the meaning of `jax.lax.scan`.

diagonal     linear recurrences without mixing, in a loop or in parallel
loop         scan itself, and what of it is kept for the backward pass
steps        from a step function to a flat step
recurrence   the loop as one operation of JAX: evaluate, derive, batch
linear       the derivative's loop as operations, forward and transposed
overwrite    a transposed loop writing over what it has read
later        what can wait until the loop needs it, or is over
joins        joined arrays made of others that are nearly the same
tangent      the derivative of a step, split by the same code
pack         what is saved for it, in arrays as large as its results
emit         run a step as planned
fission      which equations run before, in and after the loop
budget       how much memory moving work out of the loop may take
chunks       loops in two levels: over chunks of time, and over their steps
store        loops that count the time and store what they make
simplify     sums rewritten so that less happens in the loop
slices       slices that share an array out, made a split
divide       sums divided into parts, where some belong to another sum
cut          the cheapest set of values to store
products     products with a weight, in the form that costs least
one_hot      products with one-hot vectors, looked up on CPUs
operations   what is known about single operations
program      flat programs: trace, evaluate, slice
report       what runs where, for people to read
"""

from jrnn.scan.diagonal import diagonal_scan
from jrnn.scan.loop import scan
from jrnn.scan.report import ScanReport, scan_report

__all__ = ["ScanReport", "diagonal_scan", "scan", "scan_report"]
