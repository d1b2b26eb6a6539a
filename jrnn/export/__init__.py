"""Trained models as programs that run without jrnn.

    to_jax    one step and a whole sequence as programs of JAX, and weights, in a file
    to_onnx   a graph of the operators RNN, GRU and LSTM, for onnxruntime and others
    to_c      one file of C99 that needs math.h: weights, a step, and a main
    to_hf     a folder for the Hugging Face Hub: weights, a description, a model card

`jrnn export RUN --to PATH --format jax|onnx|c|hf` does the same for a run of
`jrnn train` or a file of `jrnn.save`. The state is explicit in all of them: an argument
and a result of every step.

`to_jax` holds any cell that draws no random numbers, in any dtypes; `to_hf` what
`jrnn.save` can; `to_onnx` and `to_c` stacks of elman, irnn, gru, lstm, embed, one_hot,
linear and activation in float32 (`to_c` matrices in int8 too). What a format cannot
hold is refused by its place and its name.

How a program of JAX is read, with the packages jax, flatbuffers and safetensors:

    import json

    import jax
    import jax.export
    import numpy as np
    from safetensors import safe_open

    with safe_open("mytext.jax", framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        symbols = json.loads(file.metadata()["jrnn-programs"])["vocabulary"]["symbols"]
    params = {name: a for name, a in tensors.items() if name.startswith("params")}
    start = {name: a for name, a in tensors.items() if name.startswith("carry")}
    step = jax.jit(jax.export.deserialize(bytearray(tensors["step"])).call)
    sequence = jax.jit(jax.export.deserialize(bytearray(tensors["sequence"])).call)
    carry = {name: np.broadcast_to(a, (2, *a.shape)) for name, a in start.items()}
    carry, ys = sequence(params, carry, np.array([[3, 1, 4], [1, 5, 7]], np.int32))
    carry, y = step(params, carry, np.array([2, 6], np.int32))

How a graph of ONNX is run, piece by piece (zeros are the first state):

    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession("mytext.onnx")
    names = [output.name for output in session.get_outputs()]
    carry = {i.name: np.zeros((2, i.shape[1]), "f") for i in session.get_inputs()[1:]}
    for tokens in np.array([[3, 1, 4], [1, 5, 7]]), np.array([[2], [6]]):
        given = {"x": tokens.astype(np.int32), **carry}
        results = dict(zip(names, session.run(names, given)))
        carry = {name: results[f"next_{name}"] for name in carry}
    y = results["y"]
"""

from jrnn.export.arguments import Exported, Unsupported
from jrnn.export.c_program import to_c
from jrnn.export.hf_folder import to_hf
from jrnn.export.jax_programs import to_jax
from jrnn.export.onnx_graph import to_onnx

__all__ = ["Exported", "Unsupported", "to_c", "to_hf", "to_jax", "to_onnx"]
