"""`jrnn train FILES --from RUN`: another text, from the weights of an earlier run."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from jrnn.cell import Params
from jrnn.cli.config import Train
from jrnn.cli.errors import UserError
from jrnn.cli.options import option
from jrnn.cli.run import Origin, RunDirectory, Trained, load_trained, read_train
from jrnn.text import Vocabulary, build_vocabulary

# What the weights decide; it cannot be another than that of the run they come from.
MODEL = ("level", "cell", "hidden_size", "layers", "embed_size", "tie_weights")
# What is taken from that run as well, but may be given anew.
HABITS = ("min_count", "dropout", "recurrent_dropout")


def default_from(directory: Path, default: Train) -> Train:
    """Defaults of a run that starts from another: of the preset, but for the model."""
    before, _ = read_train(RunDirectory(directory))
    same = {name: getattr(before, name) for name in MODEL + HABITS}
    return dataclasses.replace(default, **same)


def load_origin(directory: Path, config: Train) -> Trained:
    """The run that `--from` names, if the options leave its model as it is."""
    origin = load_trained(directory, "best")
    for name in MODEL:
        old, new = getattr(origin.config, name), getattr(config, name)
        if old != new:
            raise UserError(
                f"{option(name)} must be that of the run whose weights are taken: "
                f"{directory} has {old}, got {new}."
            )
    return origin


def extended(old: Vocabulary, text: str | bytes, min_count: int) -> Vocabulary:
    """A vocabulary with the symbols of a text that it lacks, behind its own.

    Ids of the old symbols stay. One that has an unknown token keeps it.
    """
    fresh = build_vocabulary(text, old.level, min_count)
    unknown_symbol = None if fresh.unknown is None else fresh.symbols[fresh.unknown]
    known = set(old.symbols)
    if old.unknown is not None and unknown_symbol is not None:
        known.add(unknown_symbol)  # it has a symbol for that already
    symbols = (*old.symbols, *[s for s in fresh.symbols if s not in known])
    unknown = old.unknown
    if unknown is None and unknown_symbol is not None:
        unknown = symbols.index(unknown_symbol)
    return Vocabulary(old.level, symbols, unknown)


def grown(old: Params, fresh: Params) -> Params:
    """Weights for a larger vocabulary: the old ones, and fresh ones for what is new.

    An array that depends on the vocabulary has one axis that is longer in `fresh`; the
    symbols that both know come first on it.
    """

    def leaf(old: np.ndarray, fresh: jax.Array) -> jax.Array:
        return fresh.at[tuple(map(slice, np.shape(old)))].set(old)

    return jax.tree.map(leaf, old, fresh)


def origin_in(trained: Trained, vocabulary: Vocabulary) -> Origin:
    """What is taken from a run into one with a larger vocabulary, or the same."""
    return Origin(
        run=str(trained.path.parent.resolve()),
        weights=trained.path.name,
        step=trained.facts["step"],
        symbols=len(trained.vocabulary),
        new_symbols=vocabulary.symbols[len(trained.vocabulary) :],
    )
