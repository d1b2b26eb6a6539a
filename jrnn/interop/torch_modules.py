"""What a module of PyTorch says that its state dict does not: kinds, and an order."""

import importlib
from typing import Any

# The classes of torch.nn whose weights are read, and those without that jrnn has too.
_KINDS = {
    "LSTM": "lstm",
    "GRU": "gru",
    "LSTMCell": "lstm",
    "GRUCell": "gru",
    "Embedding": "embedding",
    "Linear": "linear",
    "ReLU": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Identity": "identity",
    "Dropout": "dropout",
}


def told_by(function: str, module: Any) -> tuple[dict[str, str], bool]:
    """The layers of a module by their names, and whether they are in their order.

    Only a Sequential says an order; in another module it stands in `forward`, which is
    not read.

    Args:
        function: the public function, for messages.
        module: any module.

    Returns:
        Kinds of `torch_names` by name; True for a Sequential of Sequentials and layers.

    Raises:
        TypeError: a module that jrnn has no counterpart of.
        ValueError: one with an option that jrnn has no counterpart of.
    """
    kinds: dict[str, str] = {}
    known = _collect(function, "", module, kinds)
    return kinds, known


def _collect(function: str, name: str, module: Any, kinds: dict[str, str]) -> bool:
    nn = importlib.import_module("torch.nn")

    if (kind := _kind(function, name, module, nn)) is not None:
        kinds[name] = kind
        return True
    children = list(module.named_children())
    if not children or type(module).__module__.startswith("torch.nn.modules.rnn"):
        raise TypeError(
            f"{function}: {name or 'the module'} is {type(module).__name__}, which "
            "jrnn "
            f"has no counterpart of. Only RNN, RNNCell, {', '.join(_KINDS)} have. Pass "
            "the state dict of the layers that jrnn has, with "
            "layers={name: kind} for the others."
        )
    known = isinstance(module, nn.Sequential)
    for child, inner in children:
        inside = f"{name}.{child}" if name else child
        known = _collect(function, inside, inner, kinds) and known
    return known


def _kind(function: str, name: str, module: Any, nn: Any) -> str | None:
    place = name or type(module).__name__
    if getattr(module, "proj_size", 0):
        raise ValueError(
            f"{function}: {place} has proj_size={module.proj_size}, which no cell of "
            "jrnn has. Train it without proj_size."
        )
    if isinstance(module, nn.Embedding) and module.max_norm is not None:
        raise ValueError(
            f"{function}: {place} has max_norm={module.max_norm}, by which reading a "
            "row changes it; jrnn.embed does not. Train it without max_norm."
        )
    if isinstance(module, nn.RNN | nn.RNNCell):
        return f"rnn_{module.nonlinearity}"
    known = (kind for c, kind in _KINDS.items() if isinstance(module, getattr(nn, c)))
    return next(known, None)
