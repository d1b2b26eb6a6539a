"""What a command that trains on examples says about itself, and the data it reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jrnn.cell import Params
from jrnn.cli.tasks.answers import Lines, Rows
from jrnn.cli.tasks.files import Found
from jrnn.cli.workflow import Figures, Guess
from jrnn.data import Dataset
from jrnn.tasks import Task


class Examples(NamedTuple):
    """The data of a task on sequences, read and split."""

    train: Dataset
    valid: Dataset  # without examples where --split leaves none for it
    test: Dataset
    source: str  # such as "names.tsv"
    sha256: str  # of the files' content, by which a run knows its data again
    files: tuple[Path, ...]  # found from any directory: `Path.resolve`
    # What answers need besides the weights, as JSON can hold it: classes, scaling,
    # columns, symbols. A run keeps it in task.json.
    known: dict[str, Any]
    kept: bytes | None = None  # the content, where it cannot be read again: of a pipe

    def part(self, name: str) -> Dataset | None:
        """The part that is called train, valid or test; None without examples."""
        part = getattr(self, name)
        return part if len(part.inputs) else None


class Command(NamedTuple):
    """All that is particular to a command that trains on examples.

    `config` is an instance of the command's class of options, `known` is
    `Examples.known`. Nothing here is random but by the seed in `config`.
    """

    name: str  # such as "classify"

    # (config, known, content) -> Examples of `config.files`, split by `config.split`.
    # `known` is None for a new run, where it is made of the training part; given, it is
    # the run's, and is returned as it is. `content` is what a run has kept of a pipe.
    read: Callable[[Any, dict[str, Any] | None, bytes | None], Examples]
    # (config, examples) -> config: each option that is 0 for "as the data suggest"
    settle: Callable[[Any, Examples], Any]
    task: Callable[[Any, dict[str, Any]], Task]  # (config, known)

    # measuring
    guess: Callable[[Examples], Guess]  # the loss of what is known without learning
    baselines: Callable[[Any, Examples], dict[str, Figures]]  # (config, ..), by name
    curves: tuple[str, ...]  # figures of the task, numbers, that metrics.jsonl gets

    # words and pictures
    shown: Callable[[Figures], str]  # "0.1234, accuracy 97.3 %"; any may be missing
    about: Callable[[Examples], list[str]]  # what is particular, such as the classes
    # (known, dataset, answers): some examples with their answers, a line for each
    told: Callable[[dict[str, Any], Dataset, Any], list[str]]
    details: Callable[[dict[str, Any], Figures], list[str]]  # of the test part
    draw: Callable[[Any, Path], None] | None = None  # (Tested, path of a PNG file)
    # (config, sizes of the parts): what to say of small ones; None: of shares in them
    cautions: Callable[[Any, tuple[int, int, int]], list[str]] | None = None
    unit: str = "examples"  # what an update is made of

    # (known, weights, answers to the validation part, it) -> the best weights as they
    # are saved; None: as they are
    kept: Callable[[dict[str, Any], Params, Any, Dataset], Params] | None = None

    # new examples, for jrnn predict
    # (config, known, probabilities); None where the run does not read lines of text
    lines: Callable[[Any, dict[str, Any], bool], Lines | None] | None = None
    # (config, known, found, probabilities)
    rows: Callable[[Any, dict[str, Any], Found, bool], Rows] | None = None


class Tested(NamedTuple):
    """What a picture of the test part is made of."""

    known: dict[str, Any]
    dataset: Dataset
    answers: Any  # of the task's `predict`, in the order of the dataset
    figures: Figures
