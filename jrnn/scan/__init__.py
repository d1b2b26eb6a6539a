"""The one loop of the library: `scan`, with the meaning of `jax.lax.scan`.

Modules in the order in which they import each other, each only from those above it and
from `jrnn._programs` (flat programs and steps; functions as operations of JAX):

min_cut      the cheapest set of values to store
plan         where each equation of a step runs, and how; the budget of memory
normalise    a step in the form that costs least: rewrites, sums, keys
emit         run a step as planned; loops that store what they make, and over chunks
derive       the derivative of a step, as a step that is planned too
cpu/         what only steers XLA's compiler for CPUs: overwriting, order
primitives   the loop, its derivative and its transpose as operations of JAX
loop         `scan` itself: arguments, tracing, `remat`
diagonal     linear recurrences without mixing, in a loop or in parallel
report       what runs where, for people to read

`ARCHITECTURE.md` carries a step through all of them.
"""

from jrnn.scan.diagonal import diagonal_scan
from jrnn.scan.loop import scan
from jrnn.scan.report import ScanReport, scan_report

__all__ = ["ScanReport", "diagonal_scan", "scan", "scan_report"]
