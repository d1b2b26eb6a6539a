"""Weights from other libraries and back: PyTorch, Keras, Flax, Haiku, Equinox.

    model, params = jrnn.interop.from_torch(net)      # a module or a state dict
    net.load_state_dict(jrnn.interop.to_torch(model, params, like=net))

What comes back is an ordinary model of jrnn: a cell, or a `stack` of `embed`, recurrent
cells and `linear`, with its parameters, so that everything in the library works on it.
Its outputs are those of the other library but for the order of sums. What jrnn has no
counterpart of is refused by name.

The way back gives the same bytes. Where another library adds two biases and jrnn has
one, that takes the argument `like`, the original, which says how the sum was split; see
`to_torch`.

None of the libraries is imported before a function of its own is called, and no
function needs one of the others. The pages docs/coming-from-*.md have tables from their
names to ours.
"""

# Those functions name a library as text, importlib.import_module("torch"): where it is
# not installed, type checkers would take `import torch` for the file of that name here.
from jrnn.interop.equinox import from_equinox, to_equinox
from jrnn.interop.flax import from_flax, to_flax
from jrnn.interop.haiku import from_haiku, to_haiku
from jrnn.interop.keras import from_keras, to_keras
from jrnn.interop.torch import from_torch, to_torch

__all__ = [
    "from_equinox",
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_torch",
    "to_equinox",
    "to_flax",
    "to_haiku",
    "to_keras",
    "to_torch",
]
