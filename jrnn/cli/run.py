"""A run's directory: its files, and how a model is rebuilt from them."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn.cell import Params
from jrnn.cli.config import Train
from jrnn.cli.errors import UserError, told_plainly
from jrnn.models import CELLS, LanguageModel, language_model
from jrnn.text import Vocabulary, from_json
from jrnn.train import CheckpointError, load
from jrnn.train.checkpoint import named_leaves, read, unfinished, write_atomically

FORMAT = "jrnn-run-1"
# tuples of paths and numbers become lists in JSON
_PATHS = ("files", "out", "resume")


class Run(NamedTuple):
    """Paths of the files of a run."""

    directory: Path

    @property
    def config(self) -> Path:
        """All hyperparameters, versions and what the text was."""
        return self.directory / "config.json"

    @property
    def vocabulary(self) -> Path:
        """The symbols."""
        return self.directory / "vocab.json"

    @property
    def text(self) -> Path:
        """The text, if it came from a pipe and cannot be read again."""
        return self.directory / "text.txt"

    @property
    def metrics(self) -> Path:
        """One line of JSON for each log step."""
        return self.directory / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Text generated during training."""
        return self.directory / "samples.txt"

    @property
    def plot(self) -> Path:
        """Loss over steps."""
        return self.directory / "loss.png"

    @property
    def last(self) -> Path:
        """Everything needed to go on."""
        return self.directory / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """Parameters with the lowest validation loss."""
        return self.directory / "best.safetensors"

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that a run may leave, unfinished ones included."""
        whole = (
            self.config,
            self.vocabulary,
            self.text,
            self.metrics,
            self.samples,
            self.plot,
            self.last,
            self.best,
        )
        return whole + tuple(unfinished(path) for path in whole)


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file, whole or not at all."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode("utf-8", "surrogatepass"))


def read_config(run: Run) -> tuple[Train, dict[str, Any]]:
    """The options of a run and the whole content of its config.json."""
    if not run.directory.is_dir():
        raise UserError(f"There is no run at {run.directory}.")
    data = _read_json(run.config)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UserError(f"{run.config} is not the configuration of a run.")
    fields = {f.name for f in dataclasses.fields(Train)}
    options = data.get("options", {})
    if set(options) != fields:
        odd = ", ".join(sorted(set(options) ^ fields))
        raise UserError(f"{run.config} is of another version: it differs in {odd}.")
    for name in _PATHS:
        value = options[name]
        if isinstance(value, list):
            options[name] = tuple(Path(v) for v in value)
        elif value is not None:
            options[name] = Path(value)
    options["split"] = tuple(options["split"])
    return Train(**options), data


def options_as_json(config: Train) -> dict[str, Any]:
    """A configuration as JSON can hold it; `read_config` is the inverse."""
    plain = lambda v: str(v) if isinstance(v, Path) else v
    return {
        name: [plain(v) for v in value] if isinstance(value, tuple) else plain(value)
        for name, value in dataclasses.asdict(config).items()
    }


def read_vocabulary(run: Run) -> Vocabulary:
    """The vocabulary of a run."""
    with told_plainly():
        return from_json(_read_json(run.vocabulary))


def build_model(config: Train, vocab_size: int) -> LanguageModel:
    """The model that a configuration describes."""
    return language_model(
        vocab_size,
        cell=CELLS[config.cell],
        hidden_size=config.hidden_size,
        layers=config.layers,
        embed_size=config.embed_size,
        dropout_rate=config.dropout,
        recurrent_dropout_rate=config.recurrent_dropout,
    )


def params_like(model: LanguageModel) -> Params:
    """Shapes and dtypes of a model's parameters."""
    token = jax.ShapeDtypeStruct((), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(lambda key: model.evaluate.init(key, token), key)


class Trained(NamedTuple):
    """A model with its weights, ready to use."""

    config: Train
    vocabulary: Vocabulary
    model: LanguageModel
    params: Params
    path: Path  # where the weights came from
    facts: dict[str, Any]  # what was saved beside them: step, loss


def load_trained(directory: Path, which: str) -> Trained:
    """Rebuild the model of a run with its best or last weights.

    A run without a validation part has no best weights; its last ones are taken.
    """
    run = Run(directory)
    config, _ = read_config(run)
    vocabulary = read_vocabulary(run)
    model = build_model(config, len(vocabulary))
    like = params_like(model)
    path = run.best if which == "best" else run.last
    if which == "best" and not path.exists():
        path = run.last
    if not path.exists():
        raise UserError(
            f"{directory} has no checkpoint yet. Train it with\n"
            f"  jrnn train --resume {directory}"
        )
    with told_plainly():
        if path == run.best:
            params, facts = load(path, like)
        else:
            params, facts = load_weights(path, like)
    return Trained(config, vocabulary, model, jax.device_put(params), path, facts)


def load_weights(path: Path, like: Params) -> tuple[Params, dict[str, Any]]:
    """The weights of a training checkpoint: the running mean if there is one."""
    arrays, facts = read(path)
    for prefix in (".state.average", ".state.params"):
        names = [prefix + name for name, _ in named_leaves(like)]
        if names and all(name in arrays for name in names):
            leaves = [arrays[name] for name in names]
            wrong = [
                name
                for name, a, b in zip(names, leaves, jax.tree.leaves(like), strict=True)
                if a.shape != b.shape
            ]
            if wrong:
                raise CheckpointError(
                    f"{path} holds another model: {wrong[0]} has shape "
                    f"{arrays[wrong[0]].shape}."
                )
            return jax.tree.unflatten(jax.tree.structure(like), leaves), facts
    raise CheckpointError(f"{path} holds another model than its config.json describes.")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is not a run.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}.") from error
