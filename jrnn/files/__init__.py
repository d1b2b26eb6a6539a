"""A model as one file: its weights, and how its cell was made.

    jrnn.save("mean.safetensors", model, params, x)
    model, params, _ = jrnn.load("mean.safetensors")

A `Cell` is three functions, and functions have no place in a file. What has one is the
call that made them, `stack(lstm(16), linear(1))`: the names of factories and their
arguments, as JSON in the header of the file. Loading makes the same calls again. It
looks names up in a table and runs nothing that comes out of the file.

The form of the parameters is not in the file either. It is what `init(key, x)` of the
cell gives, for a cell of your own too, whatever classes it keeps its parameters in;
that is why `save` takes an example of one step's input as `init` does. Both `save` and
`load` compare every name, shape and kind of number with it.

The file is a safetensors file that any tool can open. Tensors are named by their place
in the parameters, `1.w_h` for `params[1].w_h`; dtypes are kept, bfloat16 and complex64
(as pairs of float32, the format's C64) among them. The one entry of its metadata,
`jrnn-model`, is

    {"format": 1,
     "model": {"factory": "stack", "arguments": {"cells": [
       {"factory": "lstm", "gates": "i f g o", "arguments": {"hidden_size": 16, ...}},
       ...]}},
     "input": "float32[1]",
     "vocabulary": null,
     "sha256": "..."}

where gates says in which order they lie side by side in the weights, and the digest is
of everything else in the file.
"""

from jrnn.files.model import Loaded, load, save
from jrnn.files.names import register

__all__ = ["Loaded", "load", "register", "save"]
