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
EXPORT, EXPORT_ONNX, EXPORT_C = (
    f"test_export{part}.py" for part in ("", "_onnx", "_c")
)
EXPORT_HF, EXPORT_COMMAND = "test_export_hf.py", "test_export_command.py"


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
        "program: what is called in a scope loses it",
        "_programs/program.py",
        "        with source_of(eqn):  # the scopes",
        "        with contextlib.nullcontext():  # the scopes",
        DROP_IN,
        "what_is_replaced and call",
    ),
    Mutant(
        "program: what replaces an operation loses its scope",
        "_programs/program.py",
        "                with source_of(eqn):\n                    env |=",
        "                if True:\n                    env |=",
        DROP_IN,
        "what_is_replaced and (slices or lookup)",
    ),
    Mutant(
        "program: only what depends on the sources at once is reached",
        "_programs/program.py",
        "            if grown == carry:\n",
        "            if grown == carry or sum(grown) > sum(carry):\n",
        SCAN,
        "named_steps and (swapped or branches)",
    ),
    Mutant(
        "loop: a step with side effects is split",
        "scan/loop.py",
        "none or loop.effects or typed",
        "none or typed",
        SCAN,
        "side_effects",
    ),
    Mutant(
        "loop: a step with names for a policy is split",
        "scan/loop.py",
        "loop.effects or typed or named or wide)",
        "loop.effects or typed or wide)",
        DROP_IN,
        "policy_of_checkpoint",
    ),
    Mutant(
        "normalise: unroll=0 writes out one step",
        "scan/normalise.py",
        "min(unroll or length, length)",
        "min(unroll or 1, length)",
        DROP_IN,
        "unrolled_whole",
    ),
    Mutant(
        "normalise: sums without a product reordered",
        "scan/normalise.py",
        " and is_differentiable(result) and of_products",
        " and is_differentiable(result)",
        DROP_IN,
        "sums_keep_their_order",
    ),
    Mutant(
        "normalise: what is added late comes first",
        "scan/normalise.py",
        "sorted(reordered[result].terms, key=is_late)",
        "sorted(reordered[result].terms, key=is_late, reverse=True)",
        GUARDS,
        "known_early",
    ),
    Mutant(
        "normalise: a derivative's sums stay as they are written",
        "scan/normalise.py",
        "for v, w in sums.items() if linear or pays(v)",
        "for v, w in sums.items() if pays(v)",
        GUARDS,
        "known_early",
    ),
    Mutant(
        "normalise: slices made a split whether or not they cover the whole",
        "scan/normalise.py",
        "return cuts if limits == [*(cut.start for cut in ordered), size] else []",
        "return cuts",
        SCAN,
        "overlapping",
    ),
    Mutant(
        "normalise: slices with gaps made a split",
        "scan/normalise.py",
        "None if gaps or len(cut) != 1 else",
        "None if len(cut) != 1 else",
        SCAN,
        "slices_with_gaps",
    ),
    Mutant(
        "normalise: slices left as they are",
        "scan/normalise.py",
        "if len(readers) == uses[v] and (cuts := _cuts(readers)):",
        "if False:",
        GUARDS,
        "slices_are",
    ),
    Mutant(
        "emit: the contracted axis taken for the last",
        "scan/emit.py",
        "lax.transpose(x, _axes_with_last(axis + 1, x.ndim))",
        "x",
        SCAN,
        "columns_of_an_input",
    ),
    Mutant(
        "plan: weights laid out anew for GPUs too",
        "scan/plan.py",
        "return where._replace(on_cpu=layouts | ",
        "return where._replace(layouts=layouts, on_cpu=layouts | ",
        DROP_IN,
        "not_widened",
    ),
    Mutant(
        "emit: one column too few",
        "scan/emit.py",
        "lax.slice_in_dim(out, 0, columns, axis=-1)",
        "lax.slice_in_dim(out, 1, columns + 1, axis=-1)",
        SCAN,
        "any_width",
    ),
    Mutant(
        "one_hot: negative tokens count from the end",
        "_replacements/one_hot.py",
        "known = (tokens >= 0) & (tokens < size)",
        "known = tokens < size",
        DROP_IN,
        "tokens_of_every_width",
    ),
    Mutant(
        "one_hot: tokens out of range take the nearest row",
        "_replacements/one_hot.py",
        "GatherScatterMode.FILL_OR_DROP",
        "GatherScatterMode.CLIP",
        GUARDS,
        "one_hot_products",
    ),
    Mutant(
        "normalise: a count that wraps is taken for the classes",
        "scan/normalise.py",
        "or not 0 < size <= most + 1:",
        "or not 0 < size:",
        DROP_IN,
        "tokens_of_every_width",
    ),
    Mutant(
        "normalise: any count is taken for one along the last axis",
        "scan/normalise.py",
        'return eqn.params["dimension"] == last',
        "return True",
        DROP_IN,
        "other_makes",
    ),
    Mutant(
        "plan: bits of any generator drawn for all steps at once",
        "scan/plan.py",
        "latest == BEFORE and (fixed or not is_vectorisable(eqn)):",
        "latest == BEFORE and fixed:",
        SCAN,
        "generators_that_draw",
    ),
    Mutant(
        "plan: a rule of the user's own applied to a sum over steps",
        "scan/plan.py",
        "latest == ONCE and not final and has_custom_rule(eqn)",
        "latest == ONCE and final and has_custom_rule(eqn)",
        DROP_IN,
        "users_own or clip_of_a_weights",
    ),
    Mutant(
        "plan: what waits for nothing stays in the loop",
        "scan/plan.py",
        "backward_slice(eqns, next_carry + pinned)",
        "backward_slice(eqns, next_carry + ys + pinned)",
        GUARDS,
        "report or readout",
    ),
    Mutant(
        "plan: rows looked up ahead of the loop",
        "scan/plan.py",
        '    if eqn.primitive.name == "jrnn_rows":\n        return 0\n',
        "",
        GUARDS,
        "only_tokens",
    ),
    Mutant(
        "plan: joined arrays copied behind the loop",
        "scan/plan.py",
        "        if is_light:\n",
        "        if False:\n",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "min_cut: no flow can be taken back",
        "scan/min_cut.py",
        "        graph[b][a] += room\n",
        "",
        MIN_CUT,
        "",
    ),
    Mutant(
        "min_cut: values stored as late as can be",
        "scan/min_cut.py",
        "int(price * store[v])",
        "int(store[v])",
        MIN_CUT,
        "",
    ),
    Mutant(
        "plan: no budget",
        "scan/plan.py",
        "    if most >= length:\n",
        "    if True:\n",
        DROP_IN,
        "keeps_an_array_small and chunked and not checkpoint",
    ),
    Mutant(
        "plan: products that are large in every direction moved",
        "scan/plan.py",
        "moved >= _LARGE and not any(",
        "moved >= _LARGE and any(",
        DROP_IN,
        "keeps_an_array_small and wide",
    ),
    Mutant(
        "plan: recomputing a step buys memory for more",
        "scan/plan.py",
        "budget = held if step.recompute else 2 * held",
        "budget = 100 * held",
        DROP_IN,
        "keeps_an_array_small or recomputing",
    ),
    Mutant(
        "emit: carries before each step shifted forward in reverse",
        "scan/emit.py",
        "parts = [later[1:], first] if reverse else [first, later[:-1]]",
        "parts = [first, later[:-1]]",
        SCAN,
        "reverse_and_unroll",
    ),
    Mutant(
        "plan: a concatenation that the loop reads is stored in parts",
        "scan/plan.py",
        "if v not in read and is_differentiable(v)",
        "if is_differentiable(v)",
        DROP_IN,
        "1500_equations_is_traced and slices",
    ),
    Mutant(
        "emit: chunks of a reversed loop taken forward",
        "scan/emit.py",
        "        parts = parts[::-1]\n",
        "        pass\n",
        SCAN,
        "remat and True and (2 or 3)",
    ),
    Mutant(
        "emit: steps that are left over are not taken",
        "scan/emit.py",
        "return steps(length - whole, t, state)",
        "return t, state",
        DROP_IN,
        "unroll_gives",
    ),
    Mutant(
        "emit: parts written over one another",
        "scan/emit.py",
        "start += part.shape[value.axis] if part.ndim else 0",
        "start += 0",
        GUARDS,
        "part_by_part",
    ),
    Mutant(
        "emit: a loop to be unrolled whole stays one",
        "scan/emit.py",
        "(unroll != 1 and unroll >= length)",
        "(unroll != 1 and unroll > length)",
        DROP_IN,
        "unrolled_whole",
    ),
    Mutant(
        "plan: steps to recompute keep what they like",
        "scan/plan.py",
        "return price if price == 0 or not recompute else 1e-3",
        "return price",
        DROP_IN,
        "keeps_an_array_small or recomputing",
    ),
    Mutant(
        "derive: nothing may be written over",
        "scan/derive.py",
        "spare=flags(read_only_in_loop(where, linear.inputs.saved))",
        "spare=flags(())",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "derive: carries before each step are made at once",
        "scan/derive.py",
        "shifted=flags({v for v, group in pairs if group[0] in carry})",
        "shifted=flags(())",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "derive: a next carry is stored although its carry is",
        "scan/derive.py",
        "nexts = [n for v, n in pairs if v in residuals and n in wanted]",
        "nexts = []",
        GUARDS,
        "next_carry",
    ),
    Mutant(
        "derive: what is early is not added to the other split",
        "scan/derive.py",
        "others[i] = lax.add(others[i], early[i])",
        "pass",
        SCAN,
        "named_steps and gru and grad",
    ),
    Mutant(
        "derive: what is early is not added to what waits",
        "scan/derive.py",
        "late[i] = lax.add(early[i], late[i])",
        "pass",
        SCAN,
        "named_steps and gru and grad",
    ),
    Mutant(
        "derive: no residuals side by side",
        "scan/derive.py",
        "if fills and aval.dtype == row.dtype and",
        "if False and",
        GUARDS,
        "report",
    ),
    Mutant(
        "emit: what the loop computes again is stored",
        "scan/emit.py",
        "    if not where.checkpoint:\n",
        "    if True:\n",
        DROP_IN,
        "recomputing",
    ),
    Mutant(
        "primitives: places of what may be written over off by one",
        "scan/primitives.py",
        "*[False] * len(captured),",
        "*[False] * (len(captured) + 1),",
        GUARDS,
        "before_its_time",
    ),
    Mutant(
        "primitives: an infinity is not searched for",
        "scan/primitives.py",
        'setting("jax_debug_nans") or setting("jax_debug_infs")',
        'setting("jax_debug_nans")',
        DROP_IN,
        "debug_infs",
    ),
    Mutant(
        "primitives: every policy saves the loop's results",
        "scan/primitives.py",
        "saved = products and all(map(_says_save, map(saves, products)))",
        "saved = True",
        DROP_IN,
        "policy or checkpoint_around",
    ),
    Mutant(
        "primitives: no policy saves the loop's results",
        "scan/primitives.py",
        "saved = products and all(map(_says_save, map(saves, products)))",
        "saved = False",
        DROP_IN,
        "policy",
    ),
    Mutant(
        "overwrite: a row written a step early",
        "scan/cpu/overwrite.py",
        "before = jnp.minimum(t + 1, last) if reverse else jnp.maximum(t - 1, 0)",
        "before = t",
        SCAN,
        "named_steps and lstm-grad",
    ),
    Mutant(
        "overwrite: the last row written in the place of the first",
        "scan/cpu/overwrite.py",
        "last = 0 if reverse else length - 1",
        "last = length - 1 if reverse else 0",
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
        "key=lambda eqn: early.isdisjoint(eqn.outvars)",
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
        "return _ldexp_normal(_ldexp_normal(x, half), e - half)",
        "return _ldexp_normal(x, e)",
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
        "shared: GPUs are kept from fusing too",
        "_replacements/shared.py",
        'lambda: _computed_once, platform="cpu")',
        "lambda: _computed_once)",
        DROP_IN,
        "no_traces_of_a_cpu",
    ),
    Mutant(
        "shared: cotangents put in order for each reader",
        "_replacements/shared.py",
        "if value.ndim < 3 or is_symbolic(value.shape):",
        "if value.ndim < 9:",
        GUARDS,
        "batch_first",
    ),
    Mutant(
        "shared: rows of sizes without a number",
        "_replacements/shared.py",
        " or is_symbolic(value.shape)",
        "",
        DROP_IN,
        "symbolic_sizes and gradient",
    ),
    Mutant(
        "operation: checks do not look inside",
        "_programs/operation.py",
        "    error_checks[made] = rule\n",
        "    del rule\n",
        DROP_IN,
        "checkify or checks",
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
        "plan: a generator whose bits depend on the batch is repeatable",
        "scan/plan.py",
        'not kind.startswith("key<") or kind == "key<fry>"',
        "True",
        SCAN,
        "generators_that_draw",
    ),
    Mutant(
        "plan: both branches of a conditional run for all steps",
        "scan/plan.py",
        '"cond", "while", "rng_bit_generator",',
        '"while", "rng_bit_generator",',
        GUARDS,
        "conditional",
    ),
    Mutant(
        "plan: to store a tanh costs as little as to compute it again",
        "scan/plan.py",
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

EXPORTS = [
    Mutant(
        "export to JAX: the first state of another sequence",
        "export/jax_programs.py",
        '_numpy(named("carry", carry))',
        '_numpy(named("carry", jax.tree.map(jnp.ones_like, carry)))',
        EXPORT,
        "programs_give or documentation",
    ),
    Mutant(
        "export to JAX: a step returns the old state",
        "export/jax_programs.py",
        'return named("carry", new), _flat("y", y)',
        'return named("carry", batch[0]), _flat("y", y)',
        EXPORT,
        "programs_give or documentation",
    ),
    Mutant(
        "export to JAX: for CPUs only",
        "export/jax_programs.py",
        'PLATFORMS = "cpu", "cuda", "tpu"',
        'PLATFORMS = ("cpu",)',
        EXPORT,
        "says_what",
    ),
    Mutant(
        "export: NaN passes",
        "export/arguments.py",
        "np.isfinite(array.astype(complex)).all()",
        "True",
        EXPORT,
        "refuses",
    ),
    Mutant(
        "export: dropout passes",
        "export/arguments.py",
        'RANDOM = "dropout", "variational_dropout"',
        'RANDOM = ("variational_dropout",)',
        EXPORT,
        "refuses",
    ),
    Mutant(
        "export: a file is replaced unasked",
        "export/arguments.py",
        "if path.exists() and not overwrite:",
        "if False:",
        EXPORT,
        "replaced",
    ),
    Mutant(
        "export: residual passes as a layer",
        "export/layers.py",
        'made.factory not in ("stack", *KINDS)',
        'made.factory not in ("stack", "residual", *KINDS)',
        EXPORT,
        "cannot_hold",
    ),
    Mutant(
        "export: names of states in nested stacks",
        "export/layers.py",
        'at = f"{name}.{i}" if name else str(i)',
        "at = str(i)",
        EXPORT_ONNX,
        "jrnn_gives",
    ),
    Mutant(
        "export to ONNX: gates of the LSTM in our order",
        "export/onnx_graph.py",
        '"ifgo", "iofg"',
        '"ifgo", "ifgo"',
        EXPORT_ONNX,
        "jrnn_gives and lstm",
    ),
    Mutant(
        "export to ONNX: r and z exchanged",
        "export/onnx_graph.py",
        '"rzn", "zrn"',
        '"rzn", "rzn"',
        EXPORT_ONNX,
        "jrnn_gives and gru",
    ),
    Mutant(
        "export to ONNX: reset on the other side",
        "export/onnx_graph.py",
        'layer.reset == "after"',
        'layer.reset != "after"',
        EXPORT_ONNX,
        "jrnn_gives and gru",
    ),
    Mutant(
        "export to ONNX: c and h of the state exchanged",
        "export/onnx_graph.py",
        'return y, [node(graph, "Squeeze", state, first) for state in last]',
        'return y, [node(graph, "Squeeze", state, first) for state in last[::-1]]',
        EXPORT_ONNX,
        "jrnn_gives and lstm",
    ),
    Mutant(
        "export to ONNX: a token that does not exist wraps",
        "export/onnx_graph.py",
        'node(graph, "And", positive, below)',
        "below",
        EXPORT_ONNX,
        "exist",
    ),
    Mutant(
        "export to ONNX: slope of leaky_relu",
        "export/onnx_activations.py",
        '"leaky_relu": ("LeakyRelu", 0.01, 0.0)',
        '"leaky_relu": ("LeakyRelu", 0.02, 0.0)',
        EXPORT_ONNX,
        "recurrent_activations",
    ),
    Mutant(
        "export to C: f and i exchanged",
        "export/c_helpers.py",
        "c[k] = f * c[k] + i * g;",
        "c[k] = i * c[k] + f * g;",
        EXPORT_C,
        "jrnn_gives and lstm",
    ),
    Mutant(
        "export to C: the rest of the rows is left out",
        "export/c_helpers.py",
        "y[j] += x[i] * w[j];",
        "y[j] += 0.0f * w[j];",
        EXPORT_C,
        "jrnn_gives and tanh",
    ),
    Mutant(
        "export to C: a token beyond the vocabulary",
        "export/c_helpers.py",
        "token >= 0 && token < n",
        "token >= 0 && token <= n",
        EXPORT_C,
        "exist",
    ),
    Mutant(
        "export to C: a state that start leaves as it was",
        "export/c_print.py",
        "for name, size in code.state.items()\n    ] or",
        "for name, size in list(code.state.items())[:1]\n    ] or",
        EXPORT_C,
        "callers",
    ),
    Mutant(
        "export to C: weights with six digits",
        "export/c_print.py",
        'digits, exponent = value.hex().split("p")',
        'digits, exponent = float(f"{value:.6g}").hex().split("p")',
        EXPORT_C,
        "exact",
    ),
    Mutant(
        "export to C: a scale for the whole matrix",
        "export/c_int8.py",
        "np.abs(w).max(axis=1) /",
        "np.full(len(w), np.abs(w).max()) /",
        EXPORT_C,
        "jrnn_gives and int8",
    ),
    Mutant(
        "export to C: the cost of eight bits on one step",
        "export/c_int8.py",
        "float(jnp.abs(ys - rough_ys).max())",
        "float(jnp.abs(ys - rough_ys)[0].max())",
        EXPORT_C,
        "what_was_measured",
    ),
    Mutant(
        "export to C: text that is too cold",
        "export/c_helpers.py",
        "total += expf((y[i] - y[best]) / temperature);",
        "total += expf(y[i] - y[best]);",
        EXPORT_C,
        "probabilities",
    ),
    Mutant(
        "export to a folder: another model's config replaced",
        "export/hf_folder.py",
        'config.get("model_type") == MODEL_TYPE',
        "True",
        EXPORT_HF,
        "foreign",
    ),
    Mutant(
        "export: figures of other weights",
        "cli/export.py",
        'weights.get("step") != step',
        "False",
        EXPORT_COMMAND,
        "other_weights",
    ),
    Mutant(
        "export: a file of the run replaced",
        "cli/export.py",
        "if to.resolve() in own:",
        "if to == run:",
        EXPORT_COMMAND,
        "cannot_go",
    ),
    Mutant(
        "export: eight bits measured on another text",
        "cli/export.py",
        'data.sha256 != described["text"]["sha256"]',
        "False",
        EXPORT_COMMAND,
        "eight_bits",
    ),
]

MUTANTS = LIBRARY + ENGINE + EXPORTS


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
