"""The test of the tests: faults put into the package one by one; each must be seen.

    python tests/mutants.py [WORD ...]

runs, for every fault whose name contains one of the words (all without words), the
tests likeliest to catch it on a copy of the package, and exits with 1 if a fault
survives. Names of the engine's faults begin with their file's. A fault whose text is
not in its file once, or whose tests cannot be run, ends it with an error.
Not collected by pytest: it takes minutes, run it before a release.
"""

import contextlib
import importlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SURVIVED, CAUGHT = 0, 1  # exit codes of pytest
ORACLES, LAWS, WRAPPERS = "test_oracles.py", "test_laws.py", "test_wrappers.py"
SEQUENCE, SEQUENCE_LAWS = "test_sequence.py", "test_sequence_laws.py"
INITIALIZERS, LOSSES = "test_initializers.py", "test_losses.py"
OPTIMIZERS, PUBLIC, ERRORS = "test_optimizers.py", "test_public.py", "test_errors.py"
SCAN, GUARDS, DROP_IN = "test_scan.py", "test_scan_guards.py", "test_drop_in.py"
MIN_CUT, DIAGONAL, GENERATE = "test_min_cut.py", "test_diagonal.py", "test_generate.py"
LARGEST, THREEFRY = "test_largest.py", "test_threefry.py"


class StaleError(Exception):
    """A fault that the package, as it is now, has no place for."""


class Mutant(NamedTuple):
    """A fault: one text of the package replaced by another."""

    name: str
    file: str  # in the package
    text: str  # occurs in it once
    replacement: str
    tests: str  # the file of the tests likeliest to catch it
    expression: str  # which of them, as pytest's -k has it


LIBRARY = [
    Mutant(
        "lstm: i and f exchanged",
        "cells/lstm.py",
        "i, f, g, o = gates(",
        "f, i, g, o = gates(",
        ORACLES,
        "oracle and lstm",
    ),
    Mutant(
        "lstm: h and c exchanged in the carry",
        "cells/lstm.py",
        "return LSTMCarry(h, c), h",
        "return LSTMCarry(c, h), h",
        ORACLES,
        "oracle and lstm",
    ),
    Mutant(
        "lstm: output without tanh",
        "cells/lstm.py",
        "o * jnp.tanh(c)",
        "o * c",
        ORACLES,
        "keras and lstm",
    ),
    Mutant(
        "lstm: forget bias added in the step",
        "cells/lstm.py",
        "params.b  # (4H,)",
        "params.b.at[H : 2 * H].add(1.0)",
        ORACLES,
        "oracle and lstm",
    ),
    Mutant(
        "lstm: forget bias on the input gate",
        "cells/lstm.py",
        ".at[H : 2 * H]",
        ".at[:H]",
        INITIALIZERS,
        "starting",
    ),
    Mutant(
        "gru: hidden bias outside the reset gate",
        "cells/gru.py",
        "n = jnp.tanh(n_x + r * n_h)",
        "n = jnp.tanh(n_x + r * (n_h - params.b_h[2 * H :]) + params.b_h[2 * H :])",
        ORACLES,
        "oracle and gru",
    ),
    Mutant(
        "gru: r and z exchanged",
        "cells/gru.py",
        "h = (1 - z) * n + z * h",
        "h = z * n + (1 - z) * h",
        ORACLES,
        "oracle and gru",
    ),
    Mutant(
        "gru before: reset after instead",
        "cells/gru.py",
        "(r * h) @ w_n + b_n",
        "r * (h @ w_n) + b_n",
        ORACLES,
        "oracle and gru",
    ),
    Mutant(
        "elman: bias forgotten",
        "cells/elman.py",
        " + params.b)",
        " + 0 * params.b)",
        ORACLES,
        "oracle and elman",
    ),
    Mutant(
        "elman: w_h transposed",
        "cells/elman.py",
        "carry @ params.w_h",
        "carry @ params.w_h.T",
        ORACLES,
        "oracle and elman",
    ),
    Mutant(
        "irnn: tanh instead of the rectifier",
        "cells/elman.py",
        "jax.nn.relu,",
        "jnp.tanh,",
        ORACLES,
        "oracle and irnn",
    ),
    Mutant(
        "unroll: reverse ignored where a key is given",
        "unroll.py",
        "num_steps, reverse=reverse,",
        "num_steps, reverse=reverse and key is None,",
        LAWS,
        "unroll_equals and dropout",
    ),
    Mutant(
        "unroll: one key for all steps",
        "unroll.py",
        "step_keys = jax.random.split(step_key, num_steps)",
        "step_keys = jax.numpy.stack([step_key] * num_steps)",
        WRAPPERS,
        "dropout_zeroes",
    ),
    Mutant(
        "unroll: carry given is not used",
        "unroll.py",
        "    if carry is None:\n",
        "    if True:\n",
        LAWS,
        "(splitting or given_carry) and elman",
    ),
    Mutant(
        "unroll: looks one step ahead",
        "unroll.py",
        "scan(step, carry, (xs, step_keys)",
        "scan(step, carry, (xs[jnp.arange(1, num_steps + 1) % num_steps], step_keys)",
        LAWS,
        "(causal or unroll_equals) and elman",
    ),
    Mutant(
        "masked: carry not held",
        "wrappers.py",
        "return _where(valid, new_carry, carry), y",
        "return new_carry, y",
        WRAPPERS,
        "masked",
    ),
    Mutant(
        "masked: output not zeroed",
        "wrappers.py",
        "        y = _where(valid, y, jax.tree.map(_zeros, y))\n",
        "",
        WRAPPERS,
        "masked",
    ),
    Mutant(
        "masked: padding let into the step",
        "wrappers.py",
        "        x = _where(valid, x, jax.tree.map(_zeros, x))\n",
        "",
        WRAPPERS,
        "masked",
    ),
    Mutant(
        "reset: after the step instead of before",
        "wrappers.py",
        "return cell.step(params, _where(start, fresh, carry), x, key=step_key)",
        "c, y = cell.step(params, carry, x, key=step_key)\n"
        "        return _where(start, fresh, c), y",
        WRAPPERS,
        "reset",
    ),
    Mutant(
        "reset: one key for two uses",
        "wrappers.py",
        "(None, None) if key is None else jax.random.split(key)",
        "(None, None) if key is None else (key, jax.random.clone(key))",
        WRAPPERS,
        "reset",
    ),
    Mutant(
        "bidirectional: both directions forward",
        "combine.py",
        "            reverse=True,",
        "            reverse=False,",
        WRAPPERS,
        "bidirectional",
    ),
    Mutant(
        "bidirectional: length ignored by the backward cell",
        "combine.py",
        "            carry[1],\n            valid,",
        "            carry[1],\n            None,",
        WRAPPERS,
        "bidirectional",
    ),
    Mutant(
        "sequence: outputs of a run in reverse are not turned back",
        "unroll.py",
        "ys if model.pools else turn(ys)",
        "ys",
        SEQUENCE_LAWS,
        "reverse and nested",
    ),
    Mutant(
        "sequence: each neighbouring cell in a scan of its own",
        "combine.py",
        "itertools.groupby(parts, _check.is_sequence)",
        "[(_check.is_sequence(part), [part]) for part in parts]",
        SEQUENCE,
        "one_scan",
    ),
    Mutant(
        "sequence: cells behind a pool get no step of their own",
        "combine.py",
        "            pooled = pools_over_time(part)",
        "            pooled = False",
        SEQUENCE,
        "one_after",
    ),
    Mutant(
        "sequence: the flags of an outer mask are lost",
        "wrappers.py",
        "jnp.asarray(own) if valid is None else own & valid",
        "jnp.asarray(own)",
        SEQUENCE_LAWS,
        "prefix and masked",
    ),
    Mutant(
        "sequence: a residual reads padding",
        "wrappers.py",
        "add(only_valid(valid, xs), ys)",
        "add(xs, ys)",
        SEQUENCE_LAWS,
        "never_read and residual",
    ),
    Mutant(
        "sequence: the offset of layer_norm stays at padding",
        "wrappers.py",
        "only_valid(valid, jax.vmap(normal, (None, 0))(params, us))",
        "jax.vmap(normal, (None, 0))(params, us)",
        SEQUENCE_LAWS,
        "never_read and layer_norm",
    ),
    Mutant(
        "sequence: learned_carry keeps the carry of the model",
        "wrappers.py",
        "return _acting(cell, step, run, init=init, initial_carry=initial_carry)\n\n\n"
        "def length_mask",
        "return _acting(cell, step, run, init=init, initial_carry=lambda params, *, "
        "key=None: cell.initial_carry(params.cell))\n\n\ndef length_mask",
        SEQUENCE,
        "learned_carry",
    ),
    Mutant(
        "conv: dilation ignored",
        "sequence_layers.py",
        "rhs_dilation=(dilation,)",
        "rhs_dilation=(1,)",
        SEQUENCE,
        "conv_equals_numpy",
    ),
    Mutant(
        "conv: ahead and behind exchanged",
        "sequence_layers.py",
        "padding=[(before, around - before)]",
        "padding=[(around - before, before)]",
        SEQUENCE,
        "conv_equals_numpy",
    ),
    Mutant(
        "conv: padding is read",
        "sequence_layers.py",
        "only_valid(valid, xs)[None],",
        "xs[None],",
        SEQUENCE_LAWS,
        "never_read and conv",
    ),
    Mutant(
        "conv: the bias stays at padding",
        "sequence_layers.py",
        "only_valid(valid, ys + params.b[None])",
        "ys + params.b[None]",
        SEQUENCE_LAWS,
        "never_read and conv",
    ),
    Mutant(
        "pool: the mean counts padding",
        "sequence_layers.py",
        "jnp.maximum(valid.sum(), 1)",
        "jnp.asarray(len(valid))",
        SEQUENCE,
        "pool_equals_numpy",
    ),
    Mutant(
        "pool: the mean of nothing is not zero",
        "sequence_layers.py",
        "jnp.maximum(valid.sum(), 1)",
        "valid.sum()",
        SEQUENCE,
        "pool_equals_numpy",
    ),
    Mutant(
        "pool: the maximum of nothing is not zero",
        "sequence_layers.py",
        "jnp.where(valid.any(), largest, jnp.zeros_like(largest))",
        "largest",
        SEQUENCE,
        "pool_equals_numpy",
    ),
    Mutant(
        "pool: the last step, valid or not",
        "sequence_layers.py",
        "valid & (behind == 1)",
        "jnp.arange(len(valid)) == len(valid) - 1",
        SEQUENCE,
        "pool_equals_numpy",
    ),
    Mutant(
        "pool: a sum in half precision",
        "sequence_layers.py",
        "    dtype = _check.at_least_float32(xs.dtype)",
        "    dtype = xs.dtype",
        SEQUENCE,
        "half_precision",
    ),
    Mutant(
        "stack: one key for all cells",
        "combine.py",
        "else list(jax.random.split(key, n))",
        "else [jax.random.clone(key) for _ in range(n)]",
        WRAPPERS,
        "keys or own_key",
    ),
    Mutant(
        "dropout: survivors not scaled",
        "wrappers.py",
        "(kept.astype(dtype) / keep).astype",
        "kept.astype",
        WRAPPERS,
        "dropout_zeroes",
    ),
    Mutant(
        "dropout: rate is the share kept",
        "wrappers.py",
        "jax.random.bernoulli(key, keep, like.shape)",
        "jax.random.bernoulli(key, 1 - keep, like.shape)",
        WRAPPERS,
        "dropout_zeroes",
    ),
    Mutant(
        "variational_dropout: mask on the cell state",
        "wrappers.py",
        "carry.cell._replace(h=h)",
        "carry.cell._replace(h=h, c=carry.cell.c * carry.mask)",
        WRAPPERS,
        "variational",
    ),
    Mutant(
        "variational_dropout: mask not carried",
        "wrappers.py",
        "return VariationalDropoutCarry(inner, carry.mask), y",
        "return VariationalDropoutCarry(inner, 0 * carry.mask), y",
        WRAPPERS,
        "variational",
    ),
    Mutant(
        "resample: state drawn anew, masks kept",
        "wrappers.py",
        "new if is_mask(path) else old",
        "old if is_mask(path) else new",
        WRAPPERS,
        "resample",
    ),
    Mutant(
        "record: carry before the step",
        "wrappers.py",
        "        carry, y = cell.step(params, carry, x, key=key)\n"
        "        return carry, Recorded(y, carry)",
        "        new, y = cell.step(params, carry, x, key=key)\n"
        "        return new, Recorded(y, carry)",
        WRAPPERS,
        "record",
    ),
    Mutant(
        "learned_carry: not learned",
        "wrappers.py",
        "        return params.carry\n",
        "        return jax.lax.stop_gradient(params.carry)\n",
        WRAPPERS,
        "learned_carry",
    ),
    Mutant(
        "layer_norm: sample variance",
        "wrappers.py",
        "var = jnp.square(u).mean(axis=-1, keepdims=True)",
        "var = jnp.square(u).sum(axis=-1, keepdims=True) / (u.shape[-1] - 1)",
        WRAPPERS,
        "layer_norm",
    ),
    Mutant(
        "spectral_radius: expected instead of exact",
        "initializers.py",
        "radius = jnp.max(jnp.abs(jnp.linalg.eigvals(a)))",
        "radius = jnp.sqrt(jnp.asarray(float(shape[0])))",
        INITIALIZERS,
        "radius",
    ),
    Mutant(
        "gatewise: one draw for all gates",
        "initializers.py",
        "keys = jax.random.split(key, gates)",
        "keys = [jax.random.clone(key) for _ in range(gates)]",
        INITIALIZERS,
        "gatewise",
    ),
    Mutant(
        "cross_entropy: mean over padding too",
        "losses.py",
        "labels)\n    count = jnp.maximum(valid.sum(), 1)",
        "labels)\n    count = jnp.maximum(valid.size, 1)",
        LOSSES,
        "padding",
    ),
    Mutant(
        "cross_entropy: masked behind the logarithm only",
        "losses.py",
        "    logits = jnp.where(valid[..., None], logits, jnp.zeros_like(logits))\n",
        "",
        LOSSES,
        "padding",
    ),
    Mutant(
        "adagrad: accumulator from 0.1",
        "optimizers.py",
        "lambda p: jnp.zeros_like(p.real)",
        "lambda p: jnp.full_like(p.real, 0.1)",
        OPTIMIZERS,
        "adagrad",
    ),
    Mutant(
        "adagrad: eps outside the root",
        "optimizers.py",
        "g / jnp.sqrt(s + eps)",
        "g / (jnp.sqrt(s) + eps)",
        OPTIMIZERS,
        "numpy_loop and adagrad",
    ),
    Mutant(
        "clip: behind the rule",
        "optimizers.py",
        "clip_by_global_norm(max_norm), rule",
        "rule, clip_by_global_norm(max_norm)",
        OPTIMIZERS,
        "numpy_loop and (adagrad or adam)",
    ),
    Mutant(
        "adamw: biases decay",
        "optimizers.py",
        "jnp.ndim(p) >= 2",
        "jnp.ndim(p) >= 0",
        OPTIMIZERS,
        "adamw_decays",
    ),
    Mutant(
        "a wrapper with a case of its own missing",
        "wrappers.py",
        "def length_mask(",
        "def twice(cell: Cell) -> Cell:\n    return cell\n\n\ndef length_mask(",
        PUBLIC,
        "exported",
    ),
    Mutant(
        "a raise that nothing provokes",
        "layers.py",
        "    return stateless(lambda key, x: (), lambda params, x, key: f(x))",
        "    if f is None:\n        raise ValueError('activation: f is None')\n"
        "    return stateless(lambda key, x: (), lambda params, x, key: f(x))",
        ERRORS,
        "every_raise",
    ),
    Mutant(
        "layers import from above",
        "layers.py",
        "from jrnn import _check\n",
        "from jrnn import _check\nfrom jrnn.wrappers import record\n",
        PUBLIC,
        "floor",
    ),
]


# In numbers, in where things are computed, and in memory.
ENGINE = [
    Mutant(
        "reached: only what depends on the sources at once",
        "scan/step.py",
        "            if grown == carry:\n",
        "            if grown == carry or sum(grown) > sum(carry):\n",
        SCAN,
        "named_steps and (swapped or branches)",
    ),
    Mutant(
        "trace: a step with side effects is split",
        "scan/trace.py",
        "none or loop.effects or typed",
        "none or typed",
        SCAN,
        "side_effects",
    ),
    Mutant(
        "trace: a step with names for a policy is split",
        "scan/trace.py",
        "loop.effects or typed or named)",
        "loop.effects or typed)",
        DROP_IN,
        "policy_of_checkpoint",
    ),
    Mutant(
        "trace: unroll=0 writes out one step",
        "scan/trace.py",
        "min(unroll or length, length)",
        "min(unroll or 1, length)",
        DROP_IN,
        "unrolled_whole",
    ),
    Mutant(
        "simplify: sums without a product reordered",
        "scan/normalise/simplify.py",
        " and differentiable(result) and of_products",
        " and differentiable(result)",
        DROP_IN,
        "sums_keep_their_order",
    ),
    Mutant(
        "simplify: what is added late comes first",
        "scan/normalise/simplify.py",
        "sorted(reordered[result].terms, key=is_late)",
        "sorted(reordered[result].terms, key=is_late, reverse=True)",
        GUARDS,
        "known_early",
    ),
    Mutant(
        "simplify: a derivative's sums stay as they are written",
        "scan/normalise/simplify.py",
        "for v, w in sums.items() if linear or pays(v)",
        "for v, w in sums.items() if pays(v)",
        GUARDS,
        "known_early",
    ),
    Mutant(
        "slices: made a split whether or not they cover the whole",
        "scan/normalise/slices.py",
        "if len(readers) == uses[v] and _cover(readers):",
        "if len(readers) == uses[v] and None not in map(_cut, readers):",
        SCAN,
        "overlapping",
    ),
    Mutant(
        "slices: with gaps made a split",
        "scan/normalise/slices.py",
        "None if gaps or len(cut) != 1 else",
        "None if len(cut) != 1 else",
        SCAN,
        "slices_with_gaps",
    ),
    Mutant(
        "slices: left as they are",
        "scan/normalise/slices.py",
        "if len(readers) == uses[v] and _cover(readers):",
        "if False:",
        GUARDS,
        "slices_are",
    ),
    Mutant(
        "products: the contracted axis taken for the last",
        "scan/normalise/products.py",
        "x = x if axis + 2 == x.ndim else lax.transpose(x, _last(axis + 1, x.ndim))",
        "x = x",
        SCAN,
        "columns_of_an_input",
    ),
    Mutant(
        "products: rearranged for GPUs too",
        "scan/normalise/products.py",
        "for eqn in eqns if linear or cpu else []:",
        "for eqn in eqns:",
        DROP_IN,
        "not_widened",
    ),
    Mutant(
        "products: one column too few",
        "scan/normalise/products.py",
        "lax.slice_in_dim(out, 0, columns, axis=-1)",
        "lax.slice_in_dim(out, 1, columns + 1, axis=-1)",
        SCAN,
        "any_width",
    ),
    Mutant(
        "one_hot: negative tokens count from the end",
        "scan/normalise/one_hot.py",
        "known = (tokens >= 0) & (tokens < size)",
        "known = tokens < size",
        DROP_IN,
        "tokens_of_every_width",
    ),
    Mutant(
        "one_hot: tokens out of range take the nearest row",
        "scan/normalise/one_hot.py",
        "GatherScatterMode.FILL_OR_DROP",
        "GatherScatterMode.CLIP",
        GUARDS,
        "one_hot_products",
    ),
    Mutant(
        "one_hot: a count that wraps is taken for the classes",
        "scan/normalise/one_hot.py",
        "or not 0 < size <= most + 1:",
        "or not 0 < size:",
        DROP_IN,
        "tokens_of_every_width",
    ),
    Mutant(
        "one_hot: any count is taken for one along the last axis",
        "scan/normalise/one_hot.py",
        'return eqn.params["dimension"] == last',
        "return True",
        DROP_IN,
        "other_makes",
    ),
    Mutant(
        "placement: bits of any generator drawn for all steps at once",
        "scan/plan/placement.py",
        "deepest == BEFORE and (fixed or not operations.over_time(eqn)):",
        "deepest == BEFORE and fixed:",
        SCAN,
        "generators_that_draw",
    ),
    Mutant(
        "placement: a rule of the user's own applied to a sum over steps",
        "scan/plan/placement.py",
        "deepest == ONCE and not final and operations.own_rule(eqn)",
        "deepest == ONCE and final and operations.own_rule(eqn)",
        DROP_IN,
        "users_own or clip_of_a_weights",
    ),
    Mutant(
        "placement: what waits for nothing stays in the loop",
        "scan/plan/placement.py",
        "loop = needed(at[LOOP], next_carry + _pinned(",
        "loop = needed(at[LOOP], next_carry + ys + _pinned(",
        GUARDS,
        "report or readout",
    ),
    Mutant(
        "placement: rows looked up ahead of the loop",
        "scan/plan/placement.py",
        'again=lambda e: 0 if e.primitive.name == "jrnn_rows" else again(e, depth),',
        "again=lambda e: again(e, depth),",
        GUARDS,
        "only_tokens",
    ),
    Mutant(
        "placement: joined arrays copied behind the loop",
        "scan/plan/placement.py",
        "        if mere:\n",
        "        if False:\n",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "min_cut: no flow can be taken back",
        "scan/plan/min_cut.py",
        "        graph[b][a] += room\n",
        "",
        MIN_CUT,
        "",
    ),
    Mutant(
        "min_cut: values stored as late as can be",
        "scan/plan/min_cut.py",
        "int(price * cost(v))",
        "int(cost(v))",
        MIN_CUT,
        "",
    ),
    Mutant(
        "budget: none",
        "scan/plan/budget.py",
        "    if most >= length:\n",
        "    if True:\n",
        DROP_IN,
        "keeps_an_array_small and chunked and not checkpoint",
    ),
    Mutant(
        "budget: products that are large in every direction moved",
        "scan/plan/budget.py",
        "moved >= _LARGE and not any(",
        "moved >= _LARGE and any(",
        DROP_IN,
        "keeps_an_array_small and wide",
    ),
    Mutant(
        "budget: recomputing a step buys memory for more",
        "scan/plan/budget.py",
        "budget = held if step.recompute else 2 * held",
        "budget = 100 * held",
        DROP_IN,
        "keeps_an_array_small or recomputing",
    ),
    Mutant(
        "emit: carries before each step shifted forward in reverse",
        "scan/emit/run.py",
        "parts = [later[1:], first] if reverse else [first, later[:-1]]",
        "parts = [first, later[:-1]]",
        SCAN,
        "reverse_and_unroll",
    ),
    Mutant(
        "emit: a join that the loop reads is stored in parts",
        "scan/emit/run.py",
        "        and eqn.outvars[0] not in read_in_loop\n",
        "",
        DROP_IN,
        "1500_equations_is_traced and slices",
    ),
    Mutant(
        "chunks: those of a reversed loop taken forward",
        "scan/emit/chunks.py",
        "        parts = parts[::-1]\n",
        "        pass\n",
        SCAN,
        "remat and True and (2 or 3)",
    ),
    Mutant(
        "store: steps that are left over are not taken",
        "scan/emit/store.py",
        "return steps(length - whole, t, state)",
        "return t, state",
        DROP_IN,
        "unroll_gives",
    ),
    Mutant(
        "store: parts written over one another",
        "scan/emit/store.py",
        "start += part.shape[value.axis] if part.ndim else 0",
        "start += 0",
        GUARDS,
        "part_by_part",
    ),
    Mutant(
        "store: a loop to be unrolled whole stays one",
        "scan/emit/store.py",
        "(unroll != 1 and unroll >= length)",
        "(unroll != 1 and unroll > length)",
        DROP_IN,
        "unrolled_whole",
    ),
    Mutant(
        "tangent: steps to recompute keep what they like",
        "scan/derive/tangent.py",
        "return price if price == 0 or not recompute else 1e-3",
        "return price",
        DROP_IN,
        "keeps_an_array_small or recomputing",
    ),
    Mutant(
        "tangent: nothing may be written over",
        "scan/derive/tangent.py",
        "for i, v in enumerate(linear.stored, len(shared)) if v in private]",
        "for i, v in enumerate(linear.stored, len(shared)) if False]",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "tangent: carries before each step are made at once",
        "scan/derive/tangent.py",
        "for i, (v, *_) in enumerate(packed, len(shared)) if v in carry]",
        "for i, (v, *_) in enumerate(packed, len(shared)) if False]",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "tangent: a next carry is stored although its carry is",
        "scan/derive/tangent.py",
        "if v in known and n in wanted and n not in known]",
        "if False]",
        GUARDS,
        "next_carry",
    ),
    Mutant(
        "sums: what is early is not added to the other split",
        "scan/derive/sums.py",
        "others[i] = lax.add(others[i], early[i])",
        "pass",
        SCAN,
        "named_steps and gru and grad",
    ),
    Mutant(
        "sums: what is early is not added to what waits",
        "scan/derive/sums.py",
        "late[i] = lax.add(early[i], late[i])",
        "pass",
        SCAN,
        "named_steps and gru and grad",
    ),
    Mutant(
        "packing: nothing side by side",
        "scan/derive/packing.py",
        "if fills and first.aval.dtype == row.dtype and",
        "if False and",
        GUARDS,
        "report",
    ),
    Mutant(
        "linear: what the loop computes again is stored",
        "scan/primitives/linear.py",
        "wrap = again if rule.recomputes else lambda body: body",
        "wrap = lambda body: body",
        DROP_IN,
        "recomputing",
    ),
    Mutant(
        "linear: places of what may be written over off by one",
        "scan/primitives/linear.py",
        "p for p, i in enumerate(given, len(captured)) if",
        "p for p, i in enumerate(given, len(captured) + 1) if",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "recurrence: an infinity is not searched for",
        "scan/primitives/recurrence.py",
        "jax.config.jax_debug_nans or jax.config.jax_debug_infs",
        "jax.config.jax_debug_nans",
        DROP_IN,
        "debug_infs",
    ),
    Mutant(
        "recurrence: every policy saves the loop's results",
        "scan/primitives/recurrence.py",
        "saved = products and all(map(_says_save, map(saves, products)))",
        "saved = True",
        DROP_IN,
        "policy or checkpoint_around",
    ),
    Mutant(
        "recurrence: no policy saves the loop's results",
        "scan/primitives/recurrence.py",
        "saved = products and all(map(_says_save, map(saves, products)))",
        "saved = False",
        DROP_IN,
        "policy",
    ),
    Mutant(
        "overwrite: a row written a step early",
        "scan/cpu/overwrite.py",
        "before = jnp.minimum(t + 1, first) if reverse else jnp.maximum(t - 1, first)",
        "before = t",
        SCAN,
        "named_steps and lstm-grad",
    ),
    Mutant(
        "overwrite: the last row written in the place of the first",
        "scan/cpu/overwrite.py",
        "_put(state[1], rows, jnp.int32(last))",
        "_put(state[1], rows, jnp.int32(first))",
        SCAN,
        "named_steps and lstm-grad",
    ),
    Mutant(
        "overwrite: items with gaps read as neighbours",
        "scan/cpu/overwrite.py",
        'whole[1:] == part[1:] and set(eqn.params["strides"] or [1]) == {1}',
        "whole[1:] == part[1:]",
        SCAN,
        "slices_with_gaps",
    ),
    Mutant(
        "ordering: loops wait for what does not need them",
        "scan/cpu/ordering.py",
        "key=lambda eqn: id(eqn) not in ahead",
        "key=lambda eqn: 0",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "ordering: nothing waits for the loop to be over",
        "scan/cpu/ordering.py",
        "return jnp.where(over, value, jnp.zeros((), value.dtype))",
        "return value",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "concatenations: new parts put at the beginning",
        "scan/cpu/concatenations.py",
        "at = start + shift",
        "at = shift",
        SCAN,
        "named_steps and gru-grad",
    ),
    Mutant(
        "concatenations: made of an array of another shape",
        "scan/cpu/concatenations.py",
        "if alike and 0 < len(new) < len(at):",
        "if 0 < len(new) < len(at):",
        GUARDS,
        "its_own_shape",
    ),
    Mutant(
        "diagonal: bounds at powers of two",
        "scan/diagonal.py",
        "_LOW, _HIGH = 0.3, 0.6",
        "_LOW, _HIGH = 0.5, 1.0",
        DIAGONAL,
        "power_of_two",
    ),
    Mutant(
        "diagonal: zero has the exponent of its factors",
        "scan/diagonal.py",
        "e = jnp.where(s == 0, _LEAST, e + e_next + k)",
        "e = e + e_next + k",
        DIAGONAL,
        "zero_among or overflows",
    ),
    Mutant(
        "diagonal: exponents beyond those of floats cut off",
        "scan/diagonal.py",
        "return _shifted_little(_shifted_little(x, half), e - half)",
        "return _shifted_little(x, e)",
        DIAGONAL,
        "any_magnitude",
    ),
    Mutant(
        "diagonal: states before each step taken forward in reverse",
        "scan/diagonal.py",
        "before = [hs[1:], h[None]] if reverse else [h[None], hs[:-1]]",
        "before = [h[None], hs[:-1]]",
        DIAGONAL,
        "gradients_and_batches",
    ),
    Mutant(
        "token_table: a table of any size",
        "_replacements/token_table.py",
        "not crossing or entries > MAX_ENTRIES or",
        "not crossing or",
        GENERATE,
        "looked_up",
    ),
    Mutant(
        "token_table: the token's own row forgotten",
        "_replacements/token_table.py",
        "rows[index] for rows in table",
        "rows[0] for rows in table",
        GENERATE,
        "looked_up",
    ),
    Mutant(
        "token_table: side effects happen once",
        "_replacements/token_table.py",
        "entries > MAX_ENTRIES or jaxpr.effects",
        "entries > MAX_ENTRIES",
        GENERATE,
        "looked_up",
    ),
    Mutant(
        "likelihood: a label that is not there is the nearest",
        "_replacements/likelihood.py",
        "return [jnp.where(known, losses, jnp.nan)]",
        "return [losses]",
        LOSSES,
        "does_not_exist",
    ),
    Mutant(
        "likelihood: the derivative of many labels without the label",
        "_replacements/likelihood.py",
        "[at.add(-ct, wrap_negative_indices=False, **how)]",
        "[slope]",
        LOSSES,
        "many_labels",
    ),
    Mutant(
        "likelihood: logits moved for the sake of labels",
        "_replacements/likelihood.py",
        "place = 0 if axes[0] in (None, values[0].ndim - 1) else axes[0]",
        "place = 0",
        LOSSES,
        "not_moved",
    ),
    Mutant(
        "largest: NaN is no number",
        "_replacements/largest.py",
        "place = jnp.where(x == m, v, jnp.int32(-1))",
        "place = jnp.where(x == m, v, x.shape[-1])",
        LARGEST,
        "nan",
    ),
    Mutant(
        "largest: one pass on CPUs",
        "_replacements/largest.py",
        "if x.shape[-1] < _WIDE or x.size < _MANY:",
        "if True:",
        LARGEST,
        "no_loop",
    ),
    Mutant(
        "operations: a generator whose bits depend on the batch is repeatable",
        "scan/operations.py",
        'not kind.startswith("key<") or kind == "key<fry>"',
        "True",
        SCAN,
        "generators_that_draw",
    ),
    Mutant(
        "operations: both branches of a conditional run for all steps",
        "scan/operations.py",
        '"cond", "while", "rng_bit_generator",',
        '"while", "rng_bit_generator",',
        GUARDS,
        "conditional",
    ),
    Mutant(
        "operations: to store a tanh costs as little as to compute it again",
        "scan/operations.py",
        "return 0.5 if name in _MODERATE else None",
        "return None",
        GUARDS,
        "report",
    ),
    Mutant(
        "threefry: one rotation off",
        "_replacements/threefry.py",
        "(17, 29, 16, 24)",
        "(17, 29, 16, 25)",
        THREEFRY,
        "bits_are",
    ),
    Mutant(
        "threefry: the key of each four rounds off by one",
        "_replacements/threefry.py",
        "x_0 + k[n % 3], x_1 + k[(n + 1) % 3]",
        "x_0 + k[(n + 1) % 3], x_1 + k[n % 3]",
        THREEFRY,
        "bits_are",
    ),
]

MUTANTS = LIBRARY + ENGINE


def changed(mutant: Mutant, package: Path) -> str:
    """The source of its file with the fault in it."""
    source = (package / mutant.file).read_text()
    count = source.count(mutant.text)
    if count != 1:
        raise StaleError(
            f"mutants: {mutant.name!r} must find its text once in {mutant.file}, found "
            f"it {count} times."
        )
    return source.replace(mutant.text, mutant.replacement)


def run_tests(folder: Path, mutant: Mutant) -> tuple[int, str]:
    """Pytest in a fork, so that imports are paid once: its exit code and output."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, (folder / "output").read_text()
    code = 98
    try:
        tempfile.tempdir = str(folder)  # removed with it
        with (folder / "output").open("w") as file, contextlib.redirect_stdout(file):
            options = ["-x", "-q", "-rf", "-p", "no:cacheprovider", "-o", "addopts="]
            paths = ["-o", f"pythonpath={folder} {ROOT}"]
            tests = [str(ROOT / "tests" / mutant.tests), "-k", mutant.expression]
            code = pytest.main([*tests, *options, *paths])
        import jrnn

        code = int(code) if str(folder) in jrnn.__file__ else 99
    finally:
        os._exit(code)


def is_caught(mutant: Mutant) -> bool:
    """Whether its tests fail. That they cannot be run is an error."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "jrnn"
        shutil.copytree(ROOT / "jrnn", package)
        (package / mutant.file).write_text(changed(mutant, package))
        code, output = run_tests(Path(folder), mutant)
    if code not in (SURVIVED, CAUGHT):
        end = output[-2000:]
        raise RuntimeError(f"mutants: {mutant.name!r}: pytest ends with {code}: {end}")
    by = re.findall(r"^FAILED \S+::(\S+)", output, re.M)
    verdict = "caught   " if code == CAUGHT else "SURVIVED "
    print(verdict, mutant.name, *(f"({name})" for name in by[:1]), flush=True)
    return code == CAUGHT


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(w in m.name for w in words)]
    if not chosen:
        print(f"mutants: no name has one of the words {words} in it.")
        return 2
    for mutant in chosen:  # before any minutes are spent
        changed(mutant, ROOT / "jrnn")
    for module in ("jax.numpy", "optax", "numpy"):
        importlib.import_module(module)
    caught = sum([is_caught(mutant) for mutant in chosen])
    share = 100 * caught / len(chosen)
    print(f"{len(chosen)} applied, {caught} caught, {share:.0f} %")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
