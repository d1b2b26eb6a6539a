"""A run's directory: its files, and how a model is rebuilt from them."""

import shutil
import typing
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jrnn import _lock
from jrnn.cell import Params
from jrnn.cli.config import TRAINING, Train
from jrnn.cli.errors import UserError, options_of_a_cell
from jrnn.cli.options import TrainingOptions, fields_of, option
from jrnn.cli.stored import check_seal, read_json
from jrnn.cli.typed import Mismatch, typed
from jrnn.cli.words import plain_errors
from jrnn.files.runs import FORMAT, check_owner, digest, last_weights, params_like
from jrnn.models import CELLS, LanguageModel, language_model
from jrnn.text import Vocabulary, from_json, to_json
from jrnn.train import load
from jrnn.train.checkpoint import read, unfinished


class RunDirectory(NamedTuple):
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
    def task(self) -> Path:
        """What a task on sequences knows of its data: classes, scaling, columns."""
        return self.directory / "task.json"

    @property
    def text(self) -> Path:
        """The text, if it came from a pipe and cannot be read again."""
        return self.directory / "text.txt"

    @property
    def metrics(self) -> Path:
        """One line of JSON for each log step."""
        return self.directory / "metrics.jsonl"

    @property
    def times(self) -> Path:
        """Seconds of training at each log step."""
        return self.directory / "times.jsonl"

    @property
    def samples(self) -> Path:
        """Text generated during training."""
        return self.directory / "samples.txt"

    @property
    def plot(self) -> Path:
        """Loss over steps."""
        return self.directory / "loss.png"

    @property
    def picture(self) -> Path:
        """What a task on sequences draws of its answers to the test part."""
        return self.directory / "test.png"

    @property
    def last(self) -> Path:
        """Everything needed to go on."""
        return self.directory / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """Parameters with the lowest validation loss."""
        return self.directory / "best.safetensors"

    @property
    def start(self) -> Path:
        """Parameters that came from another run; see `jrnn.cli.start`."""
        return self.directory / "start.safetensors"

    @property
    def results(self) -> Path:
        """What was measured at the end."""
        return self.directory / "results.json"

    @property
    def lock(self) -> Path:
        """The file whose lock the process has that writes the others."""
        return self.directory / _lock.NAME

    @property
    def table(self) -> Path:
        """What metrics.jsonl holds, as a table; made by --log csv."""
        return self.directory / "metrics.csv"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Of the other logs."""
        return self.directory / "tensorboard", self.directory / "wandb"

    @property
    def content(self) -> tuple[Path, ...]:
        """Every file of a run, unfinished ones included; first what makes it a run."""
        whole = (
            self.config,
            self.vocabulary,
            self.task,
            self.text,
            self.metrics,
            self.times,
            self.samples,
            self.plot,
            self.picture,
            self.last,
            self.best,
            self.start,
            self.results,
        )
        return whole + tuple(unfinished(path) for path in whole)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file and folder that a run may leave: its content, logs and lock."""
        logs = (self.table, *self.folders)
        return self.content + logs + _lock.files_at(self.lock)


def clear(run: RunDirectory) -> None:
    """Delete what an earlier run has left in a directory, but for the lock."""
    for path in (*run.content, run.table):
        path.unlink(missing_ok=True)
    for folder in run.folders:
        if folder.is_dir():
            shutil.rmtree(folder)


def read_config(run: RunDirectory) -> tuple[TrainingOptions, dict[str, Any]]:
    """The options of a run, of any task, and the whole content of its config.json."""
    if not run.directory.is_dir():
        raise UserError(f"There is no run at {run.directory}.")
    data = read_json(run.config)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UserError(f"{run.config} is not the configuration of a run.")
    command = task_of(data)
    if command not in TRAINING:
        raise UserError(
            f"{run.config} is of another version: its task is none of "
            f"{', '.join(TRAINING)}."
        )
    config = _options(run.config, data.get("options"), TRAINING[command])
    _check_facts(run.config, data, _FACTS if command == "train" else _TASK_FACTS)
    check_seal(run.config, data)
    try:
        config.check()
    except UserError as error:
        raise UserError(f"{run.config}: {error}") from None
    return config, data


def read_train(run: RunDirectory) -> tuple[Train, dict[str, Any]]:
    """What `read_config` reads, of a run of `jrnn train`; `UserError` of another's."""
    config, data = read_config(run)
    if not isinstance(config, Train):
        raise UserError(
            f"{run.directory} is a run of jrnn {task_of(data)}, not of jrnn train.\n"
            f"It answers new examples: jrnn predict {run.directory} FILE"
        )
    return config, data


def task_of(described: dict[str, Any]) -> str:
    """The command that made a run, which config.json describes."""
    return str(described.get("task", "train"))


def _options(path: Path, options: Any, kind: type[TrainingOptions]) -> TrainingOptions:
    if not isinstance(options, dict):
        raise UserError(f'{path} has no "options".')
    hints, fields = typing.get_type_hints(kind), fields_of(kind)
    kinds = {f.name: hints[f.name] for f in fields}
    later = {f.name: f.default for f in fields if f.name in kind.later.split()}
    if odd := sorted(kinds.keys() ^ (options.keys() | later.keys())):
        raise UserError(
            f"{path} is of another version: it differs in {', '.join(odd)}."
        )
    values = {}
    for name, value in options.items():
        try:
            values[name] = typed(value, kinds[name])
        except Mismatch as error:
            raise UserError(f"{path}, {option(name)}: {error}.") from None
    return kind(**{**later, **values})


# The rest of config.json, what was trained on and by what: where, and of which type.
_FACTS = {
    ("text", "source"): str,
    ("text", "sha256"): str,
    ("text", "tokens"): int,
    ("text", "parts"): tuple[int, int, int] | None,  # later ones may be missing
    ("text", "symbols_sha256"): str | None,
    ("id",): str | None,
}
_TASK_FACTS = {
    ("data", "source"): str,
    ("data", "sha256"): str,
    ("data", "parts"): tuple[int, int, int],
    ("data", "task_sha256"): str,
    ("id",): str,
}


def _check_facts(path: Path, data: dict[str, Any], facts: dict[Any, Any]) -> None:
    for names, kind in facts.items():
        value: Any = data
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        try:
            typed(value, kind)
        except Mismatch as error:
            raise UserError(f"{path}, {' '.join(names)}: {error}.") from None
    if not isinstance(data.get("versions"), dict):
        raise UserError(f"{path}, versions: expected names and numbers.")
    try:
        origin_of(data)
    except Mismatch as error:
        raise UserError(f"{path}, origin: {error}.") from None


class Origin(NamedTuple):
    """What a run took from another, by `--from`."""

    run: str
    weights: str  # the file
    step: int
    symbols: int  # of its vocabulary
    new_symbols: tuple[str, ...]  # that the text of this run adds

    def told(self) -> str:
        """What was taken from where, in a sentence."""
        new = self.new_symbols
        shown = " ".join(map(repr, new[:10])) + (" ..." if len(new) > 10 else "")
        s = "s" if len(new) > 1 else ""
        grew = f"is extended by {len(new)} symbol{s}: {shown}" if new else "is kept"
        return (
            f"From {self.run}, {self.weights} of step {self.step}; its vocabulary of "
            f"{self.symbols} symbols {grew}."
        )


def origin_of(described: dict[str, Any]) -> Origin | None:
    """The origin that config.json tells of, if it does."""
    data = described.get("origin")
    if data is None:
        return None
    of = data.get if isinstance(data, dict) else lambda name: None
    kinds = typing.get_type_hints(Origin)
    return Origin(**{name: typed(of(name), kind) for name, kind in kinds.items()})


def options_as_json(config: TrainingOptions) -> dict[str, Any]:
    """A configuration as JSON can hold it; `read_config` is the inverse."""
    plain = lambda v: str(v) if isinstance(v, Path) else v
    values = {f.name: getattr(config, f.name) for f in fields_of(type(config))}
    return {
        name: [plain(v) for v in value] if isinstance(value, tuple) else plain(value)
        for name, value in values.items()
    }


def read_vocabulary(run: RunDirectory, described: dict[str, Any]) -> Vocabulary:
    """The vocabulary of a run, which config.json describes."""
    try:
        vocabulary = from_json(read_json(run.vocabulary))
    except (ValueError, TypeError) as error:
        raise UserError(f"{run.vocabulary} is damaged: {error}") from error
    expected = described["text"].get("symbols_sha256")
    if expected not in (None, digest(to_json(vocabulary))):
        raise UserError(
            f"{run.vocabulary} is damaged or from another run: its symbols are not "
            f"those of {run.config}."
        )
    return vocabulary


def check_cell(cell: str, hidden_size: int) -> None:
    """Raise `UserError` where a cell cannot have this size."""
    with options_of_a_cell(cell, hidden_size):
        CELLS[cell](hidden_size)


def build_model(config: Train, vocab_size: int) -> LanguageModel:
    """The model that a configuration describes."""
    with options_of_a_cell(config.cell, config.hidden_size):
        return language_model(
            vocab_size,
            cell=CELLS[config.cell],
            hidden_size=config.hidden_size,
            layers=config.layers,
            embed_size=config.embed_size,
            tie_weights=config.tie_weights,
            dropout_rate=config.dropout,
            recurrent_dropout_rate=config.recurrent_dropout,
        )


class Trained(NamedTuple):
    """A model with its weights, ready to use."""

    config: Train | None  # of a run; a file has none
    vocabulary: Vocabulary
    model: LanguageModel
    params: Params
    path: Path  # where the weights came from
    facts: dict[str, Any]  # what was saved beside them: step, loss


def load_trained(directory: Path, which: str) -> Trained:
    """Rebuild the model of a run with its best or last weights.

    A run without a validation part has no best weights; its last ones are taken.
    """
    run = RunDirectory(directory)
    config, described = read_train(run)
    vocabulary = read_vocabulary(run, described)
    model = build_model(config, len(vocabulary))
    weights = load_weights(run, described, params_like(model.evaluate), which)
    return Trained(config, vocabulary, model, *weights)


class RunWeights(NamedTuple):
    """Weights of a run, and where they came from."""

    params: Params
    path: Path
    facts: dict[str, Any]  # what was saved beside them: step, loss


def load_weights(
    run: RunDirectory, described: dict[str, Any], like: Params, which: str
) -> RunWeights:
    """The best or the last weights of a run of any task.

    Args:
        run: where.
        described: its config.json.
        like: weights of its model, or their shapes.
        which: best or last.
    """
    with plain_errors():
        path = run.last if which == "last" or _has_no_best(run) else run.best
        if not path.exists():
            raise UserError(
                f"{run.directory} has no checkpoint yet. Train it with\n"
                f"  jrnn {task_of(described)} --resume {run.directory}"
            )
        read_weights = last_weights if path == run.last else load
        params, facts = read_weights(path, like)
        check_owner(path, facts, described)
    return RunWeights(jax.device_put(params), path, facts)


def _has_no_best(run: RunDirectory) -> bool:
    """Whether the last weights stand for the best, of which there are none."""
    if run.best.exists():
        return False
    if run.last.exists() and read(run.last)[1].get("best_step") is not None:
        raise UserError(
            f"{run.best} is missing. The last weights are there: sample or measure "
            "them by --checkpoint last."
        )
    return True
