"""Which of the other libraries are here. Each is imported only when it is asked for."""

import importlib
from types import ModuleType

MODULES = {
    "PyTorch": "peer_torch",
    "Flax nnx": "peer_flax_nnx",
    "Flax linen": "peer_flax_linen",
    "Haiku": "peer_haiku",
    "Equinox": "peer_equinox",
}


def find() -> tuple[dict[str, ModuleType], dict[str, str]]:
    """Peers that can be imported, and for those that cannot the reason."""
    here, missing = {}, {}
    for name, module in MODULES.items():
        try:
            here[name] = importlib.import_module(f"experiments.benchmark.{module}")
        except ImportError as error:
            missing[name] = str(error)
    return here, missing


def in_jax(here: dict[str, ModuleType]) -> list[ModuleType]:
    return [module for module in here.values() if hasattr(module, "models")]
