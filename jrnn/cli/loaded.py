"""A trained model by its path: a run, or a file that `jrnn.save` has written."""

from pathlib import Path

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn.cell import output_spec
from jrnn.cli.errors import UserError
from jrnn.cli.run import Trained, load_trained
from jrnn.cli.words import plain_errors
from jrnn.files import Loaded, load
from jrnn.models import LanguageModel


def load_model(path: Path, which: str) -> Trained:
    """The language model of a run, with its best or last weights, or of a file."""
    return _of_file(path) if path.is_file() else load_trained(path, which)


def _of_file(path: Path) -> Trained:
    with plain_errors():
        loaded = load(path)
    if loaded.vocabulary is None:
        raise UserError(
            f"{path} has no vocabulary: it does not say what its tokens stand for.\n"
            "Save it again with jrnn.save(path, model, params, x, vocabulary=...)."
        )
    model = _language_model(path, loaded, len(loaded.vocabulary))
    return Trained(None, loaded.vocabulary, model, loaded.params, path, {})


def _language_model(path: Path, loaded: Loaded, symbols: int) -> LanguageModel:
    """The model, which must go from a token to a logit for each of so many symbols."""
    needed = (
        f"{path} is no language model: from a token it must give {symbols} logits, "
        "one for each symbol that follows, but "
    )
    if _check.is_sequence(loaded.model):
        raise UserError(f"{needed}it reads the whole text, what follows too.")
    try:
        token = jax.ShapeDtypeStruct((), jnp.int32)
        y = output_spec(loaded.model, loaded.params, token)
    except (TypeError, ValueError) as error:
        raise UserError(f"{needed}{error}") from error
    if getattr(y, "shape", None) != (symbols,):
        raise UserError(f"{needed}it gives {_check.kind(y)}.")
    return LanguageModel(train=loaded.model, evaluate=loaded.model)
