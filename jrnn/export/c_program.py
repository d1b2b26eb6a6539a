"""A model as one file of C99, without any library but the standard one."""

from collections.abc import Sequence
from pathlib import Path

import jax
from jax.typing import ArrayLike

from jrnn import text
from jrnn.cell import Cell, Input, Params
from jrnn.export import c_print
from jrnn.export.arguments import Exported, check_file, checked
from jrnn.export.c_activations import EXPRESSIONS
from jrnn.export.c_int8 import cost, rounded
from jrnn.export.c_layers import write_layers
from jrnn.export.layers import Format, StackedLayer, layers_of
from jrnn.sequence import SequenceModel
from jrnn.train.checkpoint import write_atomically

FORM = Format("to_c", "a C file", tuple(EXPRESSIONS))


def to_c(
    path: str | Path,
    model: Cell | SequenceModel,
    params: Params,
    x: Input,
    *,
    int8: bool = False,
    xs: ArrayLike | None = None,
    vocabulary: text.Vocabulary | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model as one C99 file: its weights, a step, and a small `main`.

        void model_start(model_state *state);
        void model_step(model_state *state, int x, float *y);              tokens
        void model_step(model_state *state, const float *x, float *y);     vectors

    The state is a struct of the caller's, the weights are constants, and nothing is
    allocated: a step needs C99 and `math.h`. `main` reads tokens or numbers from the
    standard input, a step's worth after the other, and writes a line of outputs for
    each; `-DMODEL_NO_MAIN` leaves it out. With a vocabulary that names the outputs,
    `./model write LENGTH [SEED [TEMPERATURE]]` writes text; it does not read any, which
    would need a table of all characters.

    The file can hold stacks of elman, irnn, gru (both forms of reset), lstm, embed,
    one_hot, linear and activation, in float32, with every activation that jrnn knows by
    name. All else is refused by name. Weights are hexadecimal numbers, which are exact.
    A token outside 0..V-1 gives zeros, as in jrnn.

    With `int8` a matrix is kept in whole numbers from -127 to 127, and a scale for each
    row; biases and states stay float32. What that changes is measured, see `xs`, and
    stated at the head of the file.

    Args:
        path: the file.
        model: a stack of what the file can hold.
        params: its parameters, float32.
        x: an example of one step's input, as for `init`, or its spec.
        int8: keep matrices in eight bits.
        xs: with `int8`, a sequence (T, ...) to measure the loss of accuracy on. If None
            1,000 steps: tokens that the model writes itself, any tokens where it has
            not an output for each, or standard Gaussian numbers.
        vocabulary: what the tokens of a model of text stand for.
        overwrite: replace a file of that name.

    Returns:
        `Exported(path, sizes, measured)`; sizes are bytes of the file, of its text
        without weights (code), of the weights, of the state and of the arrays that a
        step has on the stack. With `int8`, measured has the steps, the largest and the
        relative difference of outputs, and for a model of text the loss (nats) with
        both kinds of weights.

    Raises:
        Unsupported: the model has a part that the file cannot hold.
        ValueError: `params` are those of another model, or not finite; `xs` has
            another shape, or is given without `int8`.
        TypeError: `model` is no cell.
        FileExistsError: there is a file of that name.
        OSError: it cannot be written; an old one is as it was.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, jrnn
        >>> net = jrnn.stack(jrnn.gru(4), jrnn.linear(2))
        >>> params = net.init(jax.random.key(0), jnp.zeros(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = to_c(f"{folder}/net.c", net, params, jnp.zeros(3))
        ...     program = file.path.read_text()
        >>> file.sizes["weights"], file.sizes["state"], "gru_after(state->h1" in program
        (472, 16, True)
    """
    path = Path(path)
    arrays, x = checked("to_c", model, params, x, vocabulary)
    tree = jax.tree.structure(params)
    params = jax.tree.unflatten(tree, list(arrays.values()))
    layers = layers_of(FORM, model, params, x)
    assert isinstance(model, Cell)  # what reads whole sequences has been refused
    if vocabulary is not None and len(vocabulary) != layers[0].tokens:
        raise ValueError(
            f"to_c: vocabulary has {len(vocabulary)} symbols, but the model reads "
            f"{layers[0].tokens or 'no'} tokens."
        )
    check_file("to_c", path, overwrite)
    measured = {}
    if int8:
        sizes = layers[0].tokens, layers[-1].outputs
        rough = jax.tree.map(rounded, params)
        measured = cost(model, params, rough, x, sizes, xs)
    elif xs is not None:
        raise ValueError("to_c: xs is for int8=True, whose cost is measured on it.")
    program, sizes = _program(layers, int8, measured, vocabulary)
    write_atomically(path, program.encode("ascii"))
    return Exported(path, sizes, measured)


def _program(
    layers: Sequence[StackedLayer],
    int8: bool,
    measured: dict[str, float],
    vocabulary: text.Vocabulary | None,
) -> tuple[str, dict[str, int]]:
    """The file, and what is how large."""
    code = write_layers(layers, int8)
    tokens = layers[0].tokens
    # it can write what it has an output for
    written = vocabulary if tokens == layers[-1].outputs else None
    writes = written is not None
    x = "const float *x" if tokens is None else "int x"
    head, functions = c_print.declarations(layers, code, x), c_print.functions(code, x)
    weights = "".join(c_print.table(name, a) for name, a in code.tables.items())
    symbols = "" if written is None else c_print.symbols(written)
    begin, main = c_print.main(tokens is not None, writes)
    sizes = {
        "code": sum(map(len, (head, functions, begin, main))),
        "weights": sum(array.nbytes for array in code.tables.values()),
        "state": 4 * sum(code.state.values()),
        "stack": 4 * sum(code.scratch.values()),
    }
    comment = c_print.comment(layers, sizes, int8, measured, writes)
    program = "".join([comment, head, weights, functions, begin, symbols, main])
    return program, {"file": len(program), **sizes}
