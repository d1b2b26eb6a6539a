"""One step and a whole sequence as programs that need JAX and nothing of jrnn."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export  # an attribute of jax only once it is imported
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from jrnn import text
from jrnn.cell import Carry, Cell, Input, Params
from jrnn.export.arguments import (
    Exported,
    Unsupported,
    bytes_of,
    check_file,
    checked,
    named,
)
from jrnn.files.tensors import input_to_json
from jrnn.sequence import SequenceModel
from jrnn.train.checkpoint import digest, write_atomically
from jrnn.unroll import unroll

ENTRY = "jrnn-programs"  # of the header
FORMAT = 1
PLATFORMS = "cpu", "cuda", "tpu"


def to_jax(
    path: str | Path,
    model: Cell | SequenceModel,
    params: Params,
    x: Input,
    *,
    vocabulary: text.Vocabulary | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model as two programs, with its weights, in one safetensors file.

        step(params, carry, x)          -> (carry, y)     x (B, ...),    y (B, ...)
        sequence(params, carry, xs)     -> (carry, ys)    xs (B, T, ...), ys (B, T, ...)

    B and T are any numbers from 1 on, and the programs run on CPU, CUDA and TPU. A
    program that reads them needs jax, flatbuffers and safetensors, not jrnn; the lines
    for it stand in `jrnn.export`. The file holds

    * `step` and `sequence`, what `jax.export` has serialised, as bytes;
    * `params.1.w_h` for `params[1].w_h`, the weights, and `carry.1.h`, the state before
      the first step of one sequence. The programs take both as dictionaries by these
      names, and return the state so;
    * the entry `jrnn-programs` of the metadata: JSON with the form of the input, the
      vocabulary, the platforms, JAX's version and a digest of it all.

    Of several inputs x is a dictionary `x.0`, `x.1`, and of several outputs y too. A
    model that reads the whole sequence at once, as one in two directions does, has no
    program `step`.

    Any cell can be exported, one of your own too, unless it draws random numbers. JAX
    reads a program for six months after its version at least, in newer versions.

    Args:
        path: the file.
        model: any cell without randomness.
        params: its parameters; they keep their dtypes.
        x: an example of one step's input, as for `init`, or its spec.
        vocabulary: what the tokens of a model of text stand for.
        overwrite: replace a file of that name.

    Returns:
        `Exported(path, sizes, measured)`; sizes are bytes of the file, the weights, the
        state of one sequence and each program, and nothing is measured.

    Raises:
        Unsupported: the model draws random numbers.
        ValueError: `params` are those of another model, or not finite.
        TypeError: `model` is no cell.
        FileExistsError: there is a file of that name.
        OSError: it cannot be written; an old one is as it was.

    Example:
        >>> import tempfile, jrnn
        >>> from safetensors.numpy import load_file
        >>> net = jrnn.stack(jrnn.gru(4), jrnn.linear(2))
        >>> params = net.init(jax.random.key(0), jnp.zeros(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = to_jax(f"{folder}/net.jax", net, params, jnp.zeros(3))
        ...     tensors = load_file(file.path)
        >>> weights = {n: v for n, v in tensors.items() if n.startswith("params")}
        >>> step = jax.export.deserialize(bytearray(tensors["step"])).call
        >>> carry, y = step(weights, {"carry.0": jnp.zeros((5, 4))}, jnp.ones((5, 3)))
        >>> y.shape
        (5, 2)
    """
    path = Path(path)
    arrays, x = checked("to_jax", model, params, x, vocabulary)
    check_file("to_jax", path, overwrite)
    leaves = map(jnp.asarray, arrays.values())
    params = jax.tree.unflatten(jax.tree.structure(params), leaves)
    carry = jax.tree.map(jnp.asarray, model.initial_carry(params))
    forms, programs = {"sequence": (_whole(model), "b, t")}, {}
    if isinstance(model, Cell):
        forms["step"] = model.step, "b"
    for name, (run, axes) in forms.items():
        f = _batched(run, params, carry, x)
        try:
            program = _exported(f, params, carry, x, axes)
        except jax.errors.InconclusiveDimensionOperation as error:
            raise Unsupported(_NEEDS_LENGTH) from error
        programs[name] = np.frombuffer(program.serialize(), np.uint8)
    tensors = programs | _numpy(named("params", params)) | _numpy(named("carry", carry))
    content = {
        "format": FORMAT,
        "input": input_to_json(x),
        "platforms": PLATFORMS,
        "jax": jax.__version__,
        "vocabulary": vocabulary and text.to_json(vocabulary),
    }
    content = json.loads(json.dumps(content))
    header = {ENTRY: json.dumps({**content, "sha256": digest(tensors, content)})}
    data = safetensors.numpy.save(tensors, metadata=header)
    write_atomically(path, data)
    sizes = {"file": len(data), "weights": bytes_of(params), "state": bytes_of(carry)}
    sizes |= {f"program {name}": program.size for name, program in programs.items()}
    return Exported(path, sizes, {})


_NEEDS_LENGTH = (
    "to_jax: the model asks how large a batch is or how long a sequence, which the "
    "program does not know before it runs. Compare no sizes in it."
)


def _whole(model: Cell | SequenceModel) -> Callable:
    """The run over a sequence, of a length that is a symbol."""
    if not isinstance(model, Cell):
        return lambda params, carry, xs: unroll(model, params, xs, carry)

    # a step of `diagonal` would be joined pairwise, which needs a length in numbers
    def step(params, carry, x, *, key=None):
        return model.step(params, carry, x, key=key)

    looped = model._replace(step=step)
    return lambda params, carry, xs: unroll(looped, params, xs, carry)


def _batched(run: Callable, params: Params, carry: Carry, x: Input) -> Callable:
    """`run(params, carry, x)` of one sequence, on a batch and on dictionaries."""

    def program(weights, state, inputs):
        p = _tree("params", params, weights)
        one = lambda carry, x: run(p, carry, x)
        batch = _tree("carry", carry, state), _tree("x", x, inputs)
        new, y = jax.vmap(one)(*batch)
        return named("carry", new), _flat("y", y)

    return program


def _exported(
    f: Callable, params: Params, carry: Carry, x: Input, axes: str
) -> jax.export.Exported:
    symbols = jax.export.symbolic_shape(axes)
    like = lambda a, *sizes: jax.ShapeDtypeStruct((*sizes, *a.shape), a.dtype)
    return jax.export.export(jax.jit(f), platforms=PLATFORMS)(
        {name: like(a) for name, a in named("params", params).items()},
        {name: like(a, symbols[0]) for name, a in named("carry", carry).items()},
        _flat("x", jax.tree.map(lambda a: like(a, *symbols), x)),
    )


def _flat(prefix: str, tree: Any) -> Any:
    """A lone array as it is, others by place; classes are not for other programs."""
    leaves = named(prefix, tree)
    return leaves[prefix] if leaves.keys() == {prefix} else leaves


def _tree(prefix: str, like: Any, flat: Any) -> Any:
    """The inverse: what is by place in the form of an example."""
    names = named(prefix, like)
    leaves = [flat] if not isinstance(flat, dict) else [flat[name] for name in names]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _numpy(leaves: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf, order="C") for name, leaf in leaves.items()}
