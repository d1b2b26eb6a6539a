"""The parts of a program of C as text."""

import re
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from jrnn import text
from jrnn.export.c_activations import EXPRESSIONS, function_of
from jrnn.export.c_helpers import (
    HELPERS,
    INPUT_OF_NUMBERS,
    INPUT_OF_TOKENS,
    MAIN,
    TEXT,
    WRITE,
)
from jrnn.export.c_layers import Code
from jrnn.export.layers import StackedLayer


def comment(
    layers: Sequence[StackedLayer],
    sizes: dict[str, int],
    int8: bool,
    measured: dict[str, float],
    writes: bool,
) -> str:
    """What the file is, how large, and how it is used. Nothing in it is the user's."""
    chain = " -> ".join(_called(layer) for layer in layers)
    kind = "int8, a float32 scale for each row" if int8 else "float32"
    lines = [
        "A recurrent network, written by jrnn export.",
        "",
        *textwrap.wrap(chain, 75, initial_indent="  ", subsequent_indent="  "),
        "",
        f"Bytes: weights {sizes['weights']:,} ({kind}), state {sizes['state']:,}, a "
        f"step's arrays",
        f"on the stack {sizes['stack']:,}, this text without the weights "
        f"{sizes['code']:,}.",
        *_told(measured),
        "",
        "A step needs C99 and math.h; main is left out by -DMODEL_NO_MAIN.",
        "",
        "  cc -std=c99 -O3 -o model model.c -lm",
        '  echo "..." | ./model      a line of outputs for each step\'s input',
    ]
    if writes:
        lines.append("  ./model write LENGTH [SEED [TEMPERATURE]]      text")
    return "/* " + "\n".join(f"   {line}".rstrip() for line in lines)[3:] + "\n*/\n\n"


def _told(measured: dict[str, float]) -> list[str]:
    """What eight bits cost, in words."""
    if not measured:
        return []
    lines = [
        "",
        f"Over {measured['steps']:,} steps outputs differ from those with float32 by "
        f"{measured['largest difference']:.2g}",
        f"at most, {measured['relative difference']:.2%} of their root mean square.",
    ]
    if "nats" in measured:
        lines.append(
            f"Loss per token there: {measured['nats in int8']:.4f} nats, with float32 "
            f"{measured['nats']:.4f}."
        )
    return lines


def _called(layer: StackedLayer) -> str:
    inside = [str(layer.outputs)]
    if layer.kind == "embed":
        inside = [str(layer.tokens), str(layer.outputs)]
    if layer.kind == "elman":
        inside.append(layer.activation)
    if layer.kind == "gru":
        inside.append(f"reset {layer.reset}")
    if layer.kind == "activation":
        inside = [layer.activation]
    return f"{layer.kind}({', '.join(inside)})"


def declarations(layers: Sequence[StackedLayer], code: Code, x: str) -> str:
    """Sizes, the type of the state, and the functions that others may call."""
    tokens, first = layers[0].tokens, layers[0].inputs
    inputs = f"MODEL_TOKENS {tokens}" if tokens else f"MODEL_INPUTS {first}"
    fields = [f"    float {name}[{size}];" for name, size in code.state.items()]
    fields = fields or ["    char none; /* C has no empty struct */"]
    return "\n".join(
        [
            "#include <math.h>",
            "",
            f"#define {inputs}",
            f"#define MODEL_OUTPUTS {layers[-1].outputs}",
            "",
            "typedef struct {",
            *fields,
            "} model_state;",
            "",
            "void model_start(model_state *state);",
            f"void model_step(model_state *state, {x}, float *y);",
            "",
            "",
        ]
    )


def functions(code: Code, x: str) -> str:
    """The helpers that are used, `model_start` and `model_step`."""
    known = HELPERS | {f"apply_{name}": function_of(name) for name in EXPRESSIONS}
    used = set(code.helpers)
    for name in reversed(known):  # what a function calls stands above it
        if name in used:
            used |= {f for f in HELPERS if re.search(rf"\b{f}\(", known[name])}
    helpers = "".join(known[name].lstrip("\n") + "\n" for name in known if name in used)
    start = [
        f"for (int i = 0; i < {size}; i++)\n        state->{name}[i] = 0.0f;"
        for name, size in code.state.items()
    ] or ["(void)state;"]
    arrays = [f"float {name}[{size}];" for name, size in code.scratch.items()]
    step = arrays + ([] if code.state else ["(void)state;"]) + code.step
    return (
        helpers
        + _function("void model_start(model_state *state)", start)
        + _function(f"void model_step(model_state *state, {x}, float *y)", step)
    )


def _function(head: str, statements: Sequence[str]) -> str:
    body = "\n".join(f"    {statement}" for statement in statements)
    return f"{head}\n{{\n{body}\n}}\n\n"


def main(tokens: bool, writes: bool) -> tuple[str, str]:
    """What stands before and after the symbols of a vocabulary."""
    begin = ["#ifndef MODEL_NO_MAIN", "#include <stdio.h>", "#include <stdlib.h>"]
    begin += ["#include <string.h>"] * writes
    words = {
        "ARGUMENTS": "int argc, char **argv" if writes else "void",
        "INPUT": "int x" if tokens else "static float x[MODEL_INPUTS]",
        "WRITE": WRITE if writes else "",
        "ADDRESS": "&x" if tokens else "x",
    }
    end = MAIN
    for name, value in words.items():
        end = end.replace(name, value)
    read = INPUT_OF_TOKENS if tokens else INPUT_OF_NUMBERS
    return "\n".join(begin) + "\n", (TEXT if writes else "") + read + end + "#endif\n"


def symbols(vocabulary: text.Vocabulary) -> str:
    """The symbols of a vocabulary as bytes, joined, and where each of them begins."""
    told = [_bytes(vocabulary, symbol) for symbol in vocabulary.symbols]
    starts = np.cumsum([0, *map(len, told)])
    first = next((s for s in ("\n", " ") if s in vocabulary.symbols), None)
    token = vocabulary.symbols.index(first) if first else 0
    return (
        f"\n#define FIRST_TOKEN {token}\n\n"
        + _array("unsigned char symbols", map(str, b"".join(told)), 16)
        + _array("unsigned symbol_starts", map(str, starts), 10)
    )


def _bytes(vocabulary: text.Vocabulary, symbol: str) -> bytes:
    if vocabulary.level == "byte":
        return bytes([ord(symbol)])
    return symbol.encode("utf-8", "surrogatepass")


def table(name: str, array: np.ndarray) -> str:
    """A constant array of all numbers of a table, row by row."""
    numbers = array.ravel().tolist()
    if array.dtype == np.int8:
        return _array(f"signed char {name}", map(str, numbers), 14)
    return _array(f"float {name}", map(_exact, numbers), 4)


def _array(name: str, words: Iterable[str], per_line: int) -> str:
    words = list(words)
    lines = [
        "    " + ", ".join(words[i : i + per_line])
        for i in range(0, len(words), per_line)
    ]
    content = ",\n".join(lines)
    return f"static const {name}[{len(words)}] = {{\n{content}\n}};\n\n"


def _exact(value: float) -> str:
    """A float32 as a hexadecimal constant of C, without zeros at its end."""
    digits, exponent = value.hex().split("p")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits}p{exponent}f"
