"""The one loop of the library: `scan`, with the meaning of `jax.lax.scan`.

Rooms in the order in which a step goes through them; each imports only from those
above it, from `jrnn._programs` (flat programs: trace, evaluate, slice) and from the two
files `step` (a step as a flat program) and `operations` (what is known of single ones):

normalise/   sums, slices, products, one-hot products: the form that costs least
plan/        placement before, in and after the loop; minimum cut; budget of memory
emit/        run a step as planned; loops that store what they make, and over chunks
trace        from a step function to such a step: what `jax.lax.scan` checks
derive/      the derivative of a step, split by the same code, and what it saves
cpu/         what only steers XLA's compiler for CPUs: overwriting, order
primitives/  the loop, its derivative and its transpose as operations of JAX
loop         `scan` itself, and `remat`
diagonal     linear recurrences without mixing, in a loop or in parallel
report       what runs where, for people to read
"""

from jrnn.scan.diagonal import diagonal_scan
from jrnn.scan.loop import scan
from jrnn.scan.report import ScanReport, scan_report

__all__ = ["ScanReport", "diagonal_scan", "scan", "scan_report"]
